"""Output spaces: the shipped template, or any template that TemplateFlow can provide."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

from csvdprep.core.errors import PreflightError, UsageError, plain
from csvdprep.core.words import choices
from csvdprep.resources import SPACE, shipped_uri, template_file, templates

_SEVERAL = re.compile(r'[A-Za-z0-9]+(:(res|resolution|cohort)-[0-9]{1,4})*')
_SURFACE = 'it is a surface, and csvdprep makes volumes only'
_LEAVE_OUT = 'Leave it out.'
#: Grids of scans that results can be resampled onto, as they are typed, and what they are.
SCANS = {'T1w': 'T1w', 'anat': 'T1w'} | {
    word: word
    for word in ('FLAIR', 'T2w', 'T2starw', 'dwi', 'trace', 'dce', 'dsc', 'asl', 'angio')
}
#: Where templates that are not shipped can be had.
TEMPLATEFLOW = 'https://templateflow.s3.amazonaws.com'


@dataclass(frozen=True)
class OutputSpace:
    """A template that results can be resampled into.

    Parameters
    ----------
    name : str
        TemplateFlow identifier, without ``tpl-``.
    resolution : int, optional
        TemplateFlow's ``res`` entity; None if the template has none.
    cohort : int, optional
        TemplateFlow's ``cohort`` entity.
    image : Path
        Its T1w image: the bare brain if there is one, else the whole head.
    mask : Path, optional
        Its brain mask on the same grid.
    shipped : bool
        True if the files come with csvdprep.

    """

    name: str
    resolution: int | None
    cohort: int | None
    image: Path
    mask: Path | None
    shipped: bool

    @property
    def label(self) -> str:
        """The value of the ``space`` entity in file names."""
        return self.name + (f'{self.cohort}' if self.cohort is not None else '')


def read_spaces(specs: Iterable[str]) -> tuple[str, ...]:
    """Read output spaces as users of fMRIPrep type them, by niworkflows.

    Parameters
    ----------
    specs : iterable of str
        ``SPACE[:cohort-N][:res-N]``, where a modifier may stand several times:
        ``SPACE:res-1:res-2`` is two spaces. ``T1w`` (or ``anat``), ``FLAIR``, ``dwi``, ``T2w``,
        ``T2starw`` and ``trace`` are the grids of the scans. These and the shipped space need
        neither niworkflows, which takes seconds to import, nor TemplateFlow.

    Returns
    -------
    tuple of str
        Each space once, and in one spelling, which :func:`parse_space` takes apart.

    Raises
    ------
    UsageError
        If one is misspelt, or is no volume of a template.
    PreflightError
        If a template is unknown, or niworkflows cannot be used.

    Examples
    --------
    >>> read_spaces(['MNI152NLin2009aSym', 'tpl-MNI152NLin2009aSym:res-01:resolution-2'])
    ('MNI152NLin2009aSym', 'MNI152NLin2009aSym:res-1', 'MNI152NLin2009aSym:res-2')
    >>> read_spaces(['anat', 'dwi'])
    ('T1w', 'dwi')

    """
    return tuple(dict.fromkeys(space for spec in specs for space in _read(spec)))


def _read(spec: str) -> list[str]:
    """Read what may be several spaces in one word."""
    text = spec.removeprefix('tpl-').rstrip(':')
    name, *modifiers = text.split(':')
    if name in SCANS:
        if modifiers:
            raise _no_space(
                spec, 'it is the grid of a scan, which has one resolution', f'Write {name} alone.'
            )
        return [SCANS[name]]
    if name.startswith(('fsaverage', 'fsnative', 'fsLR')):
        raise _no_space(spec, _SURFACE, _LEAVE_OUT)
    if {'res-native', 'resolution-native'} & {*modifiers}:
        raise _no_space(
            spec,
            'voxels as large as those of the scan are not made, results lie on a grid of the '
            'template',
            f'Write {name}:res-N, or {name} alone for its finest grid.',
        )
    if not _SEVERAL.fullmatch(text):
        # niworkflows takes any modifier, and any value.
        raise _no_space(spec, 'modifiers are res-N and cohort-N, where N is a whole number')
    if name == SPACE and not modifiers:
        return [name]
    if name == SPACE and all(re.fullmatch('res[a-z]*-0*[12]', m) for m in modifiers):
        return [spell_space(name, int(m.rsplit('-', 1)[1])) for m in modifiers]
    niworkflows = _niworkflows_spaces(spec)
    try:
        references = niworkflows.Reference.from_string(text)
    except ValueError as error:
        if name not in niworkflows.SpatialReferences.standard_spaces:
            raise _missing(spec, name, []) from error
        raise _no_space(spec, ' '.join(str(error).split()).rstrip('.')) from error
    for found in references:
        if found.dim == 2:
            raise _no_space(spec, _SURFACE, _LEAVE_OUT)
        if not found.standard:
            raise _no_space(
                spec,
                'it is neither a template nor a scan that csvdprep reads',
                f'The grids of scans are {", ".join(dict.fromkeys(SCANS.values()))}.',
            )
    return [spell_space(*parse_space(str(found))) for found in references]


def _no_space(spec: str, why: str, remedy: str = '') -> UsageError:
    return UsageError(
        f'{spec!r} is not an output space: {why}.',
        field='--output-spaces',
        remedy=remedy
        or 'Write SPACE, SPACE:res-N or SPACE:cohort-N:res-N, as in MNI152NLin2009cAsym:res-2.',
    )


def _niworkflows_spaces(spec: str) -> ModuleType:
    """Import what reads spaces; it lists the templates of TemplateFlow as it is imported."""
    try:
        home = templateflow_home()
        if home.is_dir() and any(home.iterdir()):
            return import_module('niworkflows.utils.spaces')
        # TemplateFlow would fill it with empty files, and neither a dry run nor a home that
        # cannot be written suffers that: here the names of the templates are all that is needed.
        with TemporaryDirectory() as stub, _environment('TEMPLATEFLOW_HOME', stub):
            return import_module('niworkflows.utils.spaces')
    except Exception as error:
        raise PreflightError(
            f'The output space {spec} is read by niworkflows, which cannot be imported: '
            f'{plain(error)}.',
            field='--output-spaces',
            remedy='Install csvdprep again, and see that TEMPLATEFLOW_HOME can be read; or '
            f'use the shipped space {SPACE}.',
        ) from error


@contextmanager
def _environment(name: str, value: str):
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before


def parse_space(spec: str) -> tuple[str, int | None, int | None]:
    """Take one space apart into name, resolution and cohort.

    Parameters
    ----------
    spec : str
        ``SPACE[:res-N][:cohort-N]``, as :func:`read_spaces` returns it: no file is looked at,
        and nothing is imported.

    Raises
    ------
    UsageError
        If it is spelt otherwise.

    Examples
    --------
    >>> parse_space('MNI152NLin2009cAsym:res-2')
    ('MNI152NLin2009cAsym', 2, None)
    >>> parse_space('tpl-MNIInfant:cohort-1:res-01')
    ('MNIInfant', 1, 1)

    """
    text = spec.removeprefix('tpl-')
    if _SEVERAL.fullmatch(text):
        name, *modifiers = text.split(':')
        pairs = [part.split('-') for part in modifiers]
        given = {key.replace('resolution', 'res'): int(number) for key, number in pairs}
        if len(given) == len(pairs):
            return name, given.get('res'), given.get('cohort')
    raise _no_space(spec, 'it is misspelt')


def scan_space(spec: str) -> str:
    """Return what a space is called if it is the grid of a scan, else nothing.

    Examples
    --------
    >>> scan_space('anat'), scan_space('dwi'), scan_space('MNI152NLin2009aSym')
    ('T1w', 'dwi', '')

    """
    return SCANS.get(spec, '')


def reference_uri(spec: str) -> str:
    """Say which template a space is, as ``SpatialReference`` of a sidecar.

    Examples
    --------
    >>> reference_uri('MNI152NLin2009aSym:res-2')
    'bids:csvdprep:data/templates/tpl-MNI152NLin2009aSym/tpl-MNI152NLin2009aSym_res-02_desc-brain_T1w.nii.gz'
    >>> reference_uri('MNIInfant:cohort-2:res-1')
    'https://templateflow.s3.amazonaws.com/tpl-MNIInfant/cohort-2/tpl-MNIInfant_cohort-2_res-1_T1w.nii.gz'

    """
    name, resolution, cohort = parse_space(spec)
    if name == SPACE and cohort is None and resolution in (None, 1, 2):
        return shipped_uri(template_file('T1w', resolution or 1))
    parts = [f'tpl-{name}', *([f'cohort-{cohort}'] if cohort is not None else [])]
    stem = [*parts, *([f'res-{resolution}'] if resolution is not None else []), 'T1w.nii.gz']
    return '/'.join([TEMPLATEFLOW, *parts, '_'.join(stem)])


def spell_space(name: str, resolution: int | None = None, cohort: int | None = None) -> str:
    """Write a space in the one spelling that is used from there on.

    Examples
    --------
    >>> spell_space('MNIInfant', 1, 2)
    'MNIInfant:cohort-2:res-1'

    """
    parts = {'cohort': cohort, 'res': resolution}
    return ':'.join([name, *(f'{k}-{n}' for k, n in parts.items() if n is not None)])


def find_space(spec: str, *, fetch: bool = True) -> OutputSpace:
    """Find a template: first among the shipped ones, then in ``TEMPLATEFLOW_HOME``.

    Parameters
    ----------
    spec : str
        ``SPACE[:res-N][:cohort-N]``, as :func:`read_spaces` returns it. Without a resolution the
        finest one is taken that exists.
    fetch : bool, optional
        Download what is only known by its name.

    Raises
    ------
    UsageError
        If `spec` is misspelt.
    PreflightError
        If the template is not there and cannot be fetched.

    Examples
    --------
    >>> space = find_space('MNI152NLin2009aSym:res-2')
    >>> space.shipped, space.image.name
    (True, 'tpl-MNI152NLin2009aSym_res-02_desc-brain_T1w.nii.gz')

    """
    name, resolution, cohort = parse_space(spec)
    if name == SPACE and cohort is None and resolution in (None, 1, 2):
        wanted = resolution or 1
        return OutputSpace(
            name, wanted, None, template_file('T1w', wanted), template_file('mask', wanted), True
        )
    images = _ask_templateflow(name, cohort, suffix='T1w', extension='.nii.gz', desc=None)
    images += _ask_templateflow(name, cohort, suffix='T1w', extension='.nii.gz', desc='brain')
    image = _choose(images, resolution)
    if image is None:
        raise _missing(spec, name, images)
    fetched = _resolution(image)
    entities = {} if fetched is None else {'resolution': fetched}
    masks = _ask_templateflow(
        name, cohort, suffix='mask', extension='.nii.gz', desc='brain', **entities
    )
    mask = masks[0] if masks else None
    for file in (image, mask) if fetch else ():
        if file is not None:
            _fetch(file, spec, name)
    return OutputSpace(name, fetched, cohort, image, mask, False)


def templateflow_home() -> Path:
    """Return the folder in which TemplateFlow keeps its templates."""
    default = Path(os.environ.get('XDG_CACHE_HOME') or '~/.cache').expanduser() / 'templateflow'
    return Path(os.environ.get('TEMPLATEFLOW_HOME') or default).absolute()


@cache
def _client(home: Path, process: int):
    """Return the client of a home: its list of files takes seconds, and no fork may share it."""
    from templateflow.client import TemplateFlowClient

    return TemplateFlowClient(root=home)


def _ask_templateflow(name: str, cohort: int | None, **entities) -> list[Path]:
    """List files of a template, present or only known by name; empty if it is unknown."""
    home = templateflow_home()
    # An empty home makes the client unpack 1,500 empty files at import; a home that cannot be
    # written makes the import itself fail. Both are told as one plain sentence.
    try:
        found = _client(home, os.getpid()).ls(
            name, **entities, **({} if cohort is None else {'cohort': cohort})
        )
    except OSError as error:
        raise PreflightError(
            f'TemplateFlow cannot use its folder: {error.strerror or error}.',
            file=home,
            field='TEMPLATEFLOW_HOME',
            remedy='Set TEMPLATEFLOW_HOME to a folder that holds the template, or that can be '
            f'written; or use the shipped space {SPACE}.',
        ) from error
    except Exception as error:
        raise PreflightError(
            f'TemplateFlow does not answer: {error}',
            file=home,
            remedy=f'Check templateflow and TEMPLATEFLOW_HOME, or use {SPACE}.',
        ) from error
    return sorted(Path(path) for path in found)


def _resolution(path: Path) -> int | None:
    found = re.search(r'_res-(\d+)_', path.name)
    return int(found[1]) if found else None


def _choose(images: list[Path], resolution: int | None) -> Path | None:
    """Return the asked resolution, or the finest: present files first, then bare brains."""
    fit = [p for p in images if resolution in (None, _resolution(p))]
    return min(
        fit,
        key=lambda p: (not _is_here(p), _resolution(p) or 0, 'desc-brain' not in p.name, p.name),
        default=None,
    )


def _is_here(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def _fetch(path: Path, spec: str, name: str) -> None:
    """Download a file that TemplateFlow knows only by name, or say plainly that it cannot be."""
    if _is_here(path):
        return
    home = templateflow_home()
    try:
        entities = dict(re.findall(r'_(cohort|desc)-([A-Za-z0-9]+)', path.name))
        suffix = path.name.split('.')[0].rsplit('_', 1)[1]
        _client(home, os.getpid()).get(
            name,
            suffix=suffix,
            extension='.nii.gz',
            resolution=_resolution(path),
            **({'desc': None} | entities),
        )
    except Exception as error:
        raise PreflightError(
            f'The output space {spec} is not in TEMPLATEFLOW_HOME and cannot be downloaded '
            '(is there a network?).',
            file=path,
            field='--output-spaces',
            remedy=f'On a computer with a network run: python -c "import templateflow.api as t; '
            f"t.get('{name}')\"; then copy that folder to {home}. Or use the shipped space "
            f'{SPACE}.',
        ) from error


def _missing(spec: str, name: str, images: list[Path]) -> PreflightError:
    homes = (templates(), templateflow_home())
    here = sorted({path.name[4:] for home in homes for path in home.glob('tpl-*')})
    if images:
        known = sorted({_resolution(p) for p in images} - {None})
        said = f'{name} has no resolution as in {spec}; it has: {", ".join(map(str, known))}.'
    else:
        said = f'The output space {name} is neither shipped nor in TEMPLATEFLOW_HOME.'
    return PreflightError(
        said,
        file=templateflow_home(),
        field='--output-spaces',
        remedy=f'Write {name}:res-N with one of these.'
        if images
        else choices(name, here, 'The spaces are'),
    )
