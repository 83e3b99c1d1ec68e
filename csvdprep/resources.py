"""Where the templates and the network weights are, installed or not."""

from __future__ import annotations

import hashlib
import os
from functools import cache
from importlib.resources import files
from pathlib import Path

from csvdprep.core.errors import PreflightError

#: The space of the shipped template, as TemplateFlow calls it.
SPACE = 'MNI152NLin2009aSym'

#: The space of the FA template and of the skeleton of the white matter.
FA_SPACE = 'TractSegFA'

#: Names of shipped files that a room may ask for, and the entities of each.
RESOURCES = {
    'template': {'suffix': 'T1w'},
    'template_mask': {'suffix': 'mask'},
    'template_2mm': {'suffix': 'T1w', 'resolution': 2},
    'template_mask_2mm': {'suffix': 'mask', 'resolution': 2},
    'template_csf': {'suffix': 'probseg', 'label': 'CSF', 'desc': None},
    'template_gm': {'suffix': 'probseg', 'label': 'GM', 'desc': None},
    'template_wm': {'suffix': 'probseg', 'label': 'WM', 'desc': None},
    'template_flair': {'suffix': 'FLAIR', 'desc': 'normalwhite', 'resolution': 2},
    'template_structures': {'suffix': 'dseg', 'atlas': 'csvdprep', 'desc': 'structures'},
    'template_lobes': {'suffix': 'dseg', 'atlas': 'csvdprep', 'desc': 'lobes'},
    'template_territories': {'suffix': 'dseg', 'atlas': 'csvdprep', 'desc': 'territories'},
    'template_pvsregions': {'suffix': 'dseg', 'atlas': 'csvdprep', 'desc': 'pvsregions'},
    'fa_template': {
        'suffix': 'dwimap',
        'param': 'fa',
        'desc': None,
        'resolution': 125,
        'space': FA_SPACE,
    },
    'psmd_skeleton': {'suffix': 'mask', 'desc': 'psmd', 'space': FA_SPACE},
    'skeleton_directions': {'suffix': 'dseg', 'desc': 'skeletondirection', 'space': FA_SPACE},
}

#: What finds the brain in an image: networks, and the template that a brain has to resemble.
BRAIN = (
    'models/deepbet/locate.onnx',
    'models/deepbet/segment.onnx',
    'template_2mm',
    'template_mask_2mm',
)


def templates() -> Path:
    """Return the folder of templates: the user's, the wheel's, or the checkout's.

    Raises
    ------
    PreflightError
        If none of the three exists.

    Examples
    --------
    >>> (templates() / 'tpl-MNI152NLin2009aSym').is_dir()
    True

    """
    return _folder('CSVDPREP_TEMPLATES', 'templates')


def models() -> Path:
    """Return the folder of network weights: the user's, the wheel's, or the checkout's.

    Raises
    ------
    PreflightError
        If none of the three exists.

    Examples
    --------
    >>> models().name in ('_models', 'models') or 'CSVDPREP_MODELS' in os.environ
    True

    """
    return _folder('CSVDPREP_MODELS', 'models')


def template_file(
    suffix: str = 'T1w',
    resolution: int = 1,
    desc: str | None = 'brain',
    label: str | None = None,
    atlas: str | None = None,
    param: str | None = None,
    space: str = SPACE,
    extension: str = '.nii.gz',
) -> Path:
    """Return one file of the shipped template by its TemplateFlow entities.

    Parameters
    ----------
    suffix : str
        'T1w', 'mask', 'probseg' or 'dseg'; 'FLAIR' for the brightness of healthy white matter;
        'dwimap' for the FA template.
    resolution : int
        1 (1 mm) or 2 (2 mm); 125 (1.25 mm) for the FA template. Labels exist at 1 mm only,
        FLAIR at 2 mm.
    desc : str, optional
        'brain' for image and mask; 'normalwhite' for FLAIR; 'structures', 'lobes',
        'territories' or 'pvsregions' for the labels. Tissue
        probabilities have none: with `label` given, 'brain' is ignored.
    label : str, optional
        'GM', 'WM' or 'CSF'.
    atlas : str, optional
        'csvdprep' for the labels.
    param : str, optional
        'fa' for the FA template.
    space : str
        Template identifier.
    extension : str
        With its leading dot; '.tsv' and '.json' give the tables and sidecars of the labels.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    PreflightError
        If there is no such file; the message lists what there is.

    Examples
    --------
    >>> template_file().name
    'tpl-MNI152NLin2009aSym_res-01_desc-brain_T1w.nii.gz'
    >>> template_file('probseg', label='WM', resolution=2).name
    'tpl-MNI152NLin2009aSym_res-02_label-WM_probseg.nii.gz'
    >>> template_file('dseg', atlas='csvdprep', desc='lobes', extension='.tsv').name
    'tpl-MNI152NLin2009aSym_res-01_atlas-csvdprep_desc-lobes_dseg.tsv'

    """
    if label and desc == 'brain':
        desc = None
    entities = {'tpl': space, 'res': f'{resolution:02d}', 'atlas': atlas, 'label': label}
    entities |= {'param': param, 'desc': desc}
    stem = '_'.join(f'{key}-{value}' for key, value in entities.items() if value)
    folder = templates() / f'tpl-{space}'
    path = folder / f'{stem}_{suffix}{extension}'
    if not path.is_file():
        there = ', '.join(sorted(p.name for p in folder.glob('*_res-*'))) or 'nothing'
        raise PreflightError(
            f'The template has no file {path.name}.',
            file=folder,
            remedy=f'There is: {there}. Install csvdprep again, or set CSVDPREP_TEMPLATES.',
        )
    return path


def resource(name: str) -> Path:
    """Return a shipped file by the short name that rooms use for it, or by its file name.

    ``identity.txt`` is the ITK transform that moves nothing; ``models/...`` are weights.

    Raises
    ------
    PreflightError
        If the name is unknown or the file is not there.

    Examples
    --------
    >>> resource('template_mask').name
    'tpl-MNI152NLin2009aSym_res-01_desc-brain_mask.nii.gz'
    >>> resource('fa_template').name
    'tpl-TractSegFA_res-125_param-fa_dwimap.nii.gz'
    >>> resource('identity.txt').name
    'identity.txt'

    """
    if name in RESOURCES:
        return template_file(**RESOURCES[name])
    kind, _, rest = name.partition('/')
    path = models() / rest if kind == 'models' else templates() / name
    if not path.is_file():
        known = ', '.join([*RESOURCES, 'identity.txt'])
        raise PreflightError(f'No shipped file is called {name}.', remedy=f'Known are: {known}.')
    return path


@cache
def checksum(path: Path) -> str:
    """Return the SHA-256 of a shipped file, which does not change while a process runs.

    Examples
    --------
    >>> checksum(resource('identity.txt'))[:8]
    '5b2797e7'

    """
    with open(path, 'rb') as stream:
        return hashlib.file_digest(stream, 'sha256').hexdigest()


def shipped_uri(path: Path) -> str:
    """Name a shipped file as a BIDS URI; ``csvdprep`` is a link of the output dataset.

    Parameters
    ----------
    path : Path
        File below :func:`templates` or :func:`models`.

    Examples
    --------
    >>> shipped_uri(resource('identity.txt'))
    'bids:csvdprep:data/templates/identity.txt'

    """
    for name, root in (('templates', templates()), ('models', models())):
        if path.is_relative_to(root):
            return f'bids:csvdprep:data/{name}/{path.relative_to(root).as_posix()}'
    return path.as_uri()


def _folder(variable: str, what: str) -> Path:
    package = Path(str(files('csvdprep')))
    asked = os.environ.get(variable)
    places = [package / f'_{what}', package.parent / 'data' / what]
    if asked:
        places = [Path(asked)]  # what the user names is used or refused, never passed over
    for place in places:
        if place.is_dir():
            return place
    raise PreflightError(
        f'The folder of {what} is not there: {", ".join(map(str, places))}.',
        remedy=f'Install csvdprep again, or set {variable} to a folder that exists.',
    )
