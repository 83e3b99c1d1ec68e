"""File names: the grammar of BIDS, and where each product of a room goes. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath

from csvdprep.core.declared import Declared, Frame
from csvdprep.core.errors import InputError
from csvdprep.core.plan import Scan, Visit
from csvdprep.core.room import Derivative

#: Entities in the order of the BIDS schema 1.11, by their short names. ``from``, ``to`` and
#: ``mode`` (transforms, BEP014) and ``model`` and ``param`` (diffusion, BEP016) are not yet
#: part of it and stand where those proposals put them.
ENTITIES = (
    'sub',
    'tpl',
    'ses',
    'cohort',
    'sample',
    'task',
    'tracksys',
    'acq',
    'nuc',
    'voi',
    'ce',
    'trc',
    'stain',
    'rec',
    'dir',
    'run',
    'mod',
    'echo',
    'flip',
    'inv',
    'mt',
    'part',
    'proc',
    'hemi',
    'space',
    'split',
    'recording',
    'chunk',
    'atlas',
    'seg',
    'scale',
    'res',
    'den',
    'from',
    'to',
    'mode',
    'model',
    'param',
    'label',
    'desc',
)
#: Entities whose value is a number.
INDICES = frozenset({'run', 'echo', 'flip', 'inv', 'split', 'chunk'})
#: Entities that a derivative takes over from its source.
INHERITED = ('acq', 'ce', 'rec', 'run')
#: Entities that only derivatives carry.
DERIVED = frozenset(
    {
        'space',
        'atlas',
        'seg',
        'scale',
        'res',
        'den',
        'from',
        'to',
        'mode',
        'model',
        'param',
        'label',
        'desc',
    }
)
#: Suffixes of raw images; with them a derivative needs an entity that tells it from raw data.
RAW_SUFFIXES = frozenset(
    {
        'T1w',
        'T2w',
        'FLAIR',
        'PDw',
        'T2starw',
        'angio',
        'dwi',
        'asl',
        'MEGRE',
        'VFA',
        'm0scan',
        'bold',
        'T1map',
        'T2starmap',
        'UNIT1',
    }
)
#: Space in which files without ``space`` lie.
UNSAID = 'T1w'
#: Checkpoints of a visit, relative to its folder.
CHECKPOINTS = 'log/checkpoints'

_LABEL = re.compile(r'[A-Za-z0-9+]+')
_INDEX = re.compile(r'[0-9]+')
_SUFFIX = re.compile(r'[A-Za-z0-9]+')
_EXTENSION = re.compile(r'(\.[A-Za-z0-9]+)+')


@dataclass(frozen=True)
class Name:
    """Parts of a BIDS file name.

    Parameters
    ----------
    entities : mapping of str to str
        Values by short name, in the order of the file name.
    suffix : str
        'T1w', 'mask', ...
    extension : str
        With its dot: '.nii.gz'.
    """

    entities: Mapping[str, str]
    suffix: str
    extension: str


def parse(path: str | PurePath) -> Name:
    """Take a BIDS file name apart.

    Parameters
    ----------
    path : path-like
        File name, with or without folders; folders are not looked at.

    Returns
    -------
    Name
        Its parts.

    Raises
    ------
    InputError
        If it is no BIDS name.

    Examples
    --------
    >>> name = parse('sub-01/anat/sub-01_acq-3D_run-2_FLAIR.nii.gz')
    >>> dict(name.entities), name.suffix, name.extension
    ({'sub': '01', 'acq': '3D', 'run': '2'}, 'FLAIR', '.nii.gz')

    """
    file = PurePath(path).name
    stem, dot, extension = file.partition('.')
    *pairs, suffix = stem.split('_')
    entities: dict[str, str] = {}
    for pair in pairs:
        key, dash, value = pair.partition('-')
        if not dash or key in entities or not key.isalnum() or not _LABEL.fullmatch(value):
            raise _no_name(file, f'"{pair}" is not a pair of entity and label, or occurs twice')
        entities[key] = value
    if not entities or not _SUFFIX.fullmatch(suffix) or not dot:
        raise _no_name(file, 'it lacks entities, suffix or extension')
    return Name(entities, suffix, dot + extension)


def compose(entities: Mapping[str, str | None], suffix: str, extension: str) -> str:
    """Put a BIDS file name together, entities in the order of the schema.

    Parameters
    ----------
    entities : mapping of str to (str or None)
        Values by short name; those that are None or empty are left out.
    suffix, extension : str
        As in :class:`Name`.

    Returns
    -------
    str
        File name without folder.

    Raises
    ------
    InputError
        If an entity is unknown, or a label holds anything but letters and digits (as
        a path or a second entity would).

    Examples
    --------
    >>> compose({'desc': 'brain', 'sub': '01', 'space': 'FLAIR'}, 'mask', '.nii.gz')
    'sub-01_space-FLAIR_desc-brain_mask.nii.gz'

    """
    given = {key: str(value) for key, value in entities.items() if value not in (None, '')}
    if unknown := sorted(set(given) - set(ENTITIES)):
        raise InputError(
            f'BIDS has no entity "{unknown[0]}".',
            field=unknown[0],
            remedy=f'The entities are: {", ".join(ENTITIES)}.',
        )
    for key, value in given.items():
        check_label(key, value)
    _check(_SUFFIX, 'suffix', suffix)
    _check(_EXTENSION, 'extension', extension)
    pairs = [f'{key}-{given[key]}' for key in ENTITIES if key in given]
    return '_'.join([*pairs, suffix]) + extension


def check_label(entity: str, value: str) -> str:
    """Return a label if it can be part of a file name, else raise InputError.

    Examples
    --------
    >>> check_label('sub', '01')
    '01'

    """
    return _check(_INDEX if entity in INDICES else _LABEL, entity, value)


def is_label(value: str) -> bool:
    """Tell whether BIDS takes a text for a label.

    Examples
    --------
    >>> is_label('01'), is_label('../01'), is_label('é')
    (True, False, False)

    """
    return _LABEL.fullmatch(value) is not None


def fill(text: str, hub: str) -> str:
    """Replace ``{hub}`` by the suffix of the anatomical reference.

    Examples
    --------
    >>> fill('{hub} after N4', 'FLAIR')
    'FLAIR after N4'

    """
    return text.replace('{hub}', hub)


def space_of(derivative: Derivative, hub: str, declared: Declared) -> str | None:
    """Tell in which space a product lies, as its file name has to say it.

    Parameters
    ----------
    derivative : Derivative
        Its declaration.
    hub : {'T1w', 'FLAIR'}
        Suffix of the anatomical reference.
    declared : Declared
        Grids.

    Returns
    -------
    str or None
        None where the name says it otherwise: the T1w of the visit is where files without
        ``space`` lie, ``desc-preproc_FLAIR`` lies on the FLAIR, and transforms have from and to.

    Raises
    ------
    ValueError
        If it lies in a template, and its declaration does not say which.

    Examples
    --------
    >>> from csvdprep.core.declared import Frame
    >>> grids = Declared(frames=(Frame(name='anat', description='', space='{hub}'),))
    >>> mask = Derivative(suffix='mask', description='')
    >>> space_of(mask, 'T1w', grids), space_of(mask, 'FLAIR', grids)
    (None, 'FLAIR')
    >>> flair = Derivative(suffix='FLAIR', desc='preproc', description='')
    >>> space_of(flair, 'FLAIR', grids)

    """
    if derivative.space is not None:
        space = fill(derivative.space, hub)
    elif derivative.xfm or not derivative.extension.startswith('.nii'):
        space = ''
    else:
        space = declared.frame(derivative.frame).space
        if space is None:
            raise ValueError(
                f'{derivative.description} It lies in a template: its declaration '
                'has to say which.'
            )
        space = fill(space, hub).removeprefix(UNSAID)
    return space if space not in ('', fill(derivative.suffix, hub)) else None


def derivative_path(
    name: str,
    derivative: Derivative,
    *,
    visit: Visit,
    hub: str,
    scans: Mapping[str, Scan],
    declared: Declared,
) -> str:
    """Say where a product goes.

    Parameters
    ----------
    name : str
        Product: the name under which its room makes it.
    derivative : Derivative
        Its declaration.
    visit : Visit
        Participant and session.
    hub : {'T1w', 'FLAIR'}
        Suffix of the anatomical reference.
    scans : mapping of str to Scan
        Scans of the visit; the entities of ``derivative.source`` are taken over.
    declared : Declared
        Grids.

    Returns
    -------
    str
        Path relative to the root of the output dataset, with forward slashes.

    Raises
    ------
    InputError
        If a label cannot be part of a file name.
    ValueError
        If the declaration gives the name of a raw file.

    Examples
    --------
    >>> t1w = Scan(name='t1w', path='', uri='', entities={'run': '2'})
    >>> from csvdprep.core.declared import Frame
    >>> grids = Declared(frames=(Frame(name='anat', description='', space='{hub}'),))
    >>> given = dict(visit=Visit('01', '1'), hub='T1w', scans={'anat': t1w}, declared=grids)
    >>> mask = Derivative(suffix='mask', desc='brain', description='')
    >>> derivative_path('brain_mask', mask, **given)
    'sub-01/ses-1/anat/sub-01_ses-1_run-2_desc-brain_mask.nii.gz'
    >>> warp = Derivative(suffix='xfm', extension='.h5', xfm=('{hub}', 'MNI152'), description='')
    >>> derivative_path('anat_to_mni', warp, **given)
    'sub-01/ses-1/anat/sub-01_ses-1_run-2_from-T1w_to-MNI152_mode-image_xfm.h5'

    """
    if visit.level == 'dataset':
        below = '' if derivative.saved else f'{visit.log}/checkpoints/'
        return below + dataset_file(name, derivative)
    suffix = fill(derivative.suffix, hub)
    entities: dict[str, str | None] = {'sub': visit.subject, 'ses': visit.session}
    entities |= {'label': derivative.label, 'desc': derivative.desc}
    if derivative.saved:
        frame = declared.frame(derivative.frame)
        source = source_of(derivative, frame, scans)
        inherited = source.entities if source else {}
        entities |= {key: inherited[key] for key in INHERITED if key in inherited}
        entities |= {
            'space': space_of(derivative, hub, declared),
            'atlas': derivative.atlas,
            'res': derivative.res,
            'model': derivative.model,
            'param': derivative.param,
        }
        if derivative.xfm:
            begin, end = (fill(text, hub) for text in derivative.xfm)
            entities |= {'from': begin, 'to': end, 'mode': 'image'}
        if suffix in RAW_SUFFIXES and not any(entities.get(key) for key in DERIVED):
            raise ValueError(f'{name} would carry the name of a raw {suffix}: declare its desc')
        below = frame.datatype if derivative.datatype is None else derivative.datatype
    else:
        entities['desc'] = derivative.desc or name.replace('_', '')
        below = CHECKPOINTS
    if below != CHECKPOINTS and below:
        _check(_SUFFIX, 'datatype', below)
    file = compose(entities, suffix, derivative.extension)
    # Visit.folder is made of the labels that compose has just checked.
    return '/'.join(part for part in (visit.folder, below, file) if part)


def dataset_file(name: str, derivative: Derivative) -> str:
    """Name a product that is about all visits of the dataset.

    Parameters
    ----------
    name : str
        Product: the name under which its room makes it.
    derivative : Derivative
        Its declaration.

    Returns
    -------
    str
        ``group_<suffix>``, or ``group_<desc>_<suffix>``, and the extension.

    Examples
    --------
    >>> model = Derivative(suffix='model', desc='fit', extension='.json', description='')
    >>> dataset_file('fit_model', model)
    'group_fit_model.json'

    """
    desc = derivative.desc or ('' if derivative.saved else name.replace('_', ''))
    words = [*([_check(_LABEL, 'desc', desc)] if desc else []), derivative.suffix]
    _check(_SUFFIX, 'suffix', derivative.suffix)
    _check(_EXTENSION, 'extension', derivative.extension)
    return '_'.join(['group', *words]) + derivative.extension


def source_of(derivative: Derivative, frame: Frame, scans: Mapping[str, Scan]) -> Scan | None:
    """Return the scan whose entities a product inherits, None if the visit has none.

    Examples
    --------
    >>> from csvdprep.core.declared import Frame
    >>> grid = Frame(name='trace', description='', source=('trace', 'dwi'))
    >>> made = Derivative(suffix='mask', description='')
    >>> source_of(made, grid, {'dwi': Scan(name='dwi', path='', uri='')}).name
    'dwi'

    """
    names = derivative.source or frame.source
    names = (names,) if isinstance(names, str) else names
    return next((scans[name] for name in names if name in scans), None)


def _check(pattern: re.Pattern, field: str, value: str) -> str:
    if not pattern.fullmatch(value):
        kind = 'a number' if pattern is _INDEX else 'letters and digits only'
        raise InputError(
            f'"{value}" cannot be part of a BIDS file name.', field=field, remedy=f'Use {kind}.'
        )
    return value


def _no_name(file: str, reason: str) -> InputError:
    return InputError(
        f'This is not a BIDS file name: {reason}.',
        file=file,
        remedy='Rename it, e.g. sub-01_ses-1_FLAIR.nii.gz.',
    )
