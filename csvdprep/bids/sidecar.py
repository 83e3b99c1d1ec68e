"""JSON sidecars of products, from their declarations and the plan."""

from __future__ import annotations

from typing import Any

from csvdprep.bids.metadata import RANGES, Facts
from csvdprep.bids.names import fill, source_of, space_of
from csvdprep.core.plan import Plan
from csvdprep.core.room import Derivative
from csvdprep.resources import FA_SPACE, SPACE, checksum, resource, shipped_uri

#: Labels whose masks BIDS calls lesions.
LESIONS = frozenset({'WMH', 'CMB', 'lacune', 'PVS', 'RSSI', 'lesion'})
#: Suffixes of structural images, which keep the head unless their declaration says otherwise.
STRUCTURAL = frozenset({'T1w', 'T2w', 'FLAIR', 'PDw', 'T2starw'})

#: Shipped templates by the names of their spaces.
SHIPPED = {SPACE: 'template', FA_SPACE: 'fa_template'}
#: What a corrected image keeps of the sidecar of its scan.
ACQUIRED = (
    'Manufacturer',
    'ManufacturersModelName',
    'MagneticFieldStrength',
    'EchoTime',
    'RepetitionTime',
    'InversionTime',
    'FlipAngle',
    'PulseSequenceType',
    'MRAcquisitionType',
    'PartialFourier',
    'ParallelReductionFactorInPlane',
    'MultibandAccelerationFactor',
    'ContrastBolusIngredient',
)
#: The same, as long as the grid is that of the scan.
ENCODED = (
    'PhaseEncodingDirection',
    'PhaseEncodingAxis',
    'SliceEncodingDirection',
    'TotalReadoutTime',
    'EffectiveEchoSpacing',
    'SliceThickness',
)


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
        Description, Units, Sources (all files behind the product, as BIDS URIs: scans with what
        belongs to them, templates and weights, these with SourceChecksums), SpatialReference
        where the product lies in a ``space`` or leads to one, Type of masks, SkullStripped of
        images, the acquisition of corrected images, columns of tables; what the declaration says
        prevails.

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
    facts['Sources'], checksums = _sources(name, plan)
    if checksums:
        facts['SourceChecksums'] = checksums
    space = space_of(derivative, hub, plan.declared)
    if derivative.xfm:
        space = fill(derivative.xfm[1], hub)
        if moving := _image_of(fill(derivative.xfm[0], hub), plan):
            facts['MovingImage'] = moving.uri
    if space and (reference := _image_of(space, plan)):
        facts['SpatialReference'] = reference.uri
    elif space and (shipped := SHIPPED.get(space)):
        facts['SpatialReference'] = shipped_uri(resource(shipped))
    if suffix == 'mask':
        if derivative.desc == 'brain':
            facts['Type'] = 'Brain'
        elif derivative.label in LESIONS:
            facts['Type'] = 'Lesion'
    if suffix in STRUCTURAL or (derivative.desc == 'preproc' and extension == '.nii.gz'):
        facts['SkullStripped'] = False
    if derivative.desc == 'preproc' and extension == '.nii.gz':
        facts |= _acquired(derivative, space, plan)
    facts |= {column.name: column.described() for column in derivative.columns}
    return facts | _filled(derivative.metadata, hub)


def _image_of(space: str, plan: Plan):
    """Return the scan of a visit whose grid is called so, None if there is none."""
    inputs = [item.name for item in plan.declared.inputs if space in item.suffixes]
    frames = [f.source for f in plan.declared.frames if f.space == space]
    sources = [name for f in frames for name in ((f,) if isinstance(f, str) else f)]
    return next((plan.scans[name] for name in (*inputs, *sources) if name in plan.scans), None)


def _sources(name: str, plan: Plan) -> tuple[list[str], dict[str, str]]:
    """Trace a product back to the files that it was made from, and sum up those that are shipped.

    Returns
    -------
    uris : list of str
        Raw files and given results with all that belongs to them, templates and weights.
    checksums : dict of str to str
        SHA-256 of templates and weights, by URI.
    """
    makers = {product: step for step in plan.steps for product in step.room.outputs()}
    seen: set[str] = set()
    shipped: set[str] = set()
    todo = [name]
    while todo:
        taken = todo.pop()
        current = plan.aliases.get(taken, taken)
        if current in seen:
            continue
        seen.add(current)
        if current.startswith('resource:'):
            shipped.add(current.removeprefix('resource:'))
        if current in makers:
            shipped |= {*makers[current].room.resources}
            todo.extend(makers[current].takes)
    behind = seen & plan.scans.keys() or plan.scans.keys()
    scans = [plan.scans[key] for key in behind]
    files = [resource(item) for item in shipped]
    checksums = {shipped_uri(file): f'sha256:{checksum(file)}' for file in files}
    uris = {uri for scan in scans for uri in (scan.uri, *scan.others)}
    return sorted(uris | checksums.keys()), dict(sorted(checksums.items()))


def _acquired(derivative: Derivative, space: str | None, plan: Plan) -> dict[str, Any]:
    """Return what of an acquisition still holds of a corrected image: numbers in BIDS' units.

    What is told by the axes of the array is left out where an image lies on another grid.
    """
    scan = source_of(derivative, plan.declared.frame(derivative.frame), plan.scans)
    if scan is None:
        return {}
    given, facts = Facts(scan.metadata), {}
    for field in ACQUIRED + (() if space else ENCODED):
        value = scan.metadata.get(field)
        if field in RANGES:
            value = given.number(field)
        if isinstance(value, str | int | float) and not isinstance(value, bool) and value != '':
            facts[field] = value
    return facts


def _filled(value: Any, hub: str) -> Any:
    if isinstance(value, str):
        return fill(value, hub)
    if isinstance(value, dict) or hasattr(value, 'items'):
        return {fill(str(key), hub): _filled(item, hub) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_filled(item, hub) for item in value]
    return value
