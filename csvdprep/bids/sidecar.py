"""JSON sidecars of products, from their declarations and the plan."""

from __future__ import annotations

from typing import Any

from csvdprep.bids.names import fill, space_of
from csvdprep.core.plan import Plan
from csvdprep.core.room import Derivative

#: Labels whose masks BIDS calls lesions.
LESIONS = frozenset({'WMH', 'CMB', 'lacune', 'PVS', 'RSSI', 'lesion'})
#: Suffixes of structural images, which keep the head unless their declaration says otherwise.
STRUCTURAL = frozenset({'T1w', 'T2w', 'FLAIR', 'PDw', 'T2starw'})


def sidecar(name: str, derivative: Derivative, plan: Plan) -> dict[str, Any]:
    """Describe a product as BIDS asks.

    Parameters
    ----------
    name : str
        Product: the name under which its room makes it.
    derivative : Derivative
        Its declaration.
    plan : Plan
        Plan of the visit.

    Returns
    -------
    dict
        Description, Units, Sources (the raw files behind the product, as BIDS URIs),
        SpatialReference where the file name has a ``space`` that is an image of the visit, Type
        of masks, SkullStripped of images, columns of tables; what the declaration says prevails.

    Examples
    --------
    >>> from csvdprep.core.declared import Frame, Input
    >>> from csvdprep.core.plan import Scan, Visit, VisitInput, make_plan
    >>> from csvdprep.core.room import Room
    >>> flair = Scan(name='flair', path='', uri='bids:raw:sub-01/anat/sub-01_FLAIR.nii.gz')
    >>> room = Room(name='flair', title='', needs=(), makes={}, build='', inputs=(Input(
    ...     name='flair', title='FLAIR', description='', datatype='anat', suffixes=('FLAIR',),
    ...     frame='flair', reference=2),),
    ...     frames=(Frame(name='flair', description='', space='FLAIR'),))
    >>> plan = make_plan(VisitInput(visit=Visit('01'), scans={'flair': flair}), [room])
    >>> mask = Derivative(suffix='mask', label='WMH', description='Hyperintensities on {hub}',
    ...                   frame='flair')
    >>> for item in sidecar('wmh_mask', mask, plan).items():
    ...     print(*item)
    Description Hyperintensities on FLAIR
    Sources ['bids:raw:sub-01/anat/sub-01_FLAIR.nii.gz']
    SpatialReference bids:raw:sub-01/anat/sub-01_FLAIR.nii.gz
    Type Lesion

    """
    hub = plan.context.hub
    suffix, extension = fill(derivative.suffix, hub), derivative.extension
    facts: dict[str, Any] = {'Description': fill(derivative.description, hub)}
    if derivative.units:
        facts['Units'] = derivative.units
    facts['Sources'] = _sources(name, plan)
    space = space_of(derivative, hub, plan.declared)
    if space and (reference := _image_of(space, plan)):
        facts['SpatialReference'] = reference.uri
    if suffix == 'mask':
        if derivative.desc == 'brain':
            facts['Type'] = 'Brain'
        elif derivative.label in LESIONS:
            facts['Type'] = 'Lesion'
    if suffix in STRUCTURAL or (derivative.desc == 'preproc' and extension == '.nii.gz'):
        facts['SkullStripped'] = False
    facts |= {column.name: column.described() for column in derivative.columns}
    return facts | _filled(derivative.metadata, hub)


def _image_of(space: str, plan: Plan):
    """Return the scan of a visit whose grid is called so, None if there is none."""
    inputs = [item.name for item in plan.declared.inputs if space in item.suffixes]
    frames = [f.source for f in plan.declared.frames if f.space == space]
    sources = [name for f in frames for name in ((f,) if isinstance(f, str) else f)]
    return next((plan.scans[name] for name in (*inputs, *sources) if name in plan.scans), None)


def _sources(name: str, plan: Plan) -> list[str]:
    """Trace a product back to the scans that it was made from."""
    takes = {product: step.takes for step in plan.steps for product in step.room.outputs()}
    seen: set[str] = set()
    todo = [name]
    while todo:
        taken = todo.pop()
        current = plan.aliases.get(taken, taken)
        if current not in seen:
            seen.add(current)
            todo.extend(takes.get(current, ()))
    behind = seen & plan.scans.keys() or plan.scans.keys()
    scans = [plan.scans[key] for key in behind]
    return sorted({uri for scan in scans for uri in (scan.uri, *scan.others)})


def _filled(value: Any, hub: str) -> Any:
    if isinstance(value, str):
        return fill(value, hub)
    if isinstance(value, dict) or hasattr(value, 'items'):
        return {fill(str(key), hub): _filled(item, hub) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_filled(item, hub) for item in value]
    return value
