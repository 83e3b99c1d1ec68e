"""Output spaces: the shipped template, or any template that TemplateFlow can provide."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from csvdprep.core.errors import PreflightError, UsageError
from csvdprep.resources import SPACE, template_file, templates

_SPEC = re.compile(r'(?P<name>[A-Za-z0-9]+)(?P<rest>(?::(?:res|resolution|cohort)-[0-9]+)*)')


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


def parse_space(spec: str) -> tuple[str, int | None, int | None]:
    """Split ``SPACE[:res-N][:cohort-N]`` into name, resolution and cohort.

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
    found = _SPEC.fullmatch(spec.removeprefix('tpl-'))
    if not found:
        raise UsageError(
            f'{spec!r} is not an output space.',
            field='--output-spaces',
            remedy='Write SPACE, SPACE:res-N or SPACE:cohort-N:res-N, '
            'as in MNI152NLin2009cAsym:res-2.',
        )
    given = dict(part.rsplit('-', 1) for part in found['rest'].split(':') if part)
    resolution = given.get('res', given.get('resolution'))
    cohort = given.get('cohort')
    return found['name'], resolution and int(resolution), cohort and int(cohort)


def find_space(spec: str) -> OutputSpace:
    """Find a template: first among the shipped ones, then in ``TEMPLATEFLOW_HOME``.

    Parameters
    ----------
    spec : str
        ``SPACE[:res-N][:cohort-N]``. Without a resolution the finest one is taken that exists.

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
    _fetch(image, spec, name)
    mask = masks[0] if masks else None
    if mask is not None:
        _fetch(mask, spec, name)
    return OutputSpace(name, fetched, cohort, image, mask, False)


def templateflow_home() -> Path:
    """Return the folder in which TemplateFlow keeps its templates."""
    default = Path(os.environ.get('XDG_CACHE_HOME') or '~/.cache').expanduser() / 'templateflow'
    return Path(os.environ.get('TEMPLATEFLOW_HOME') or default).absolute()


def _ask_templateflow(name: str, cohort: int | None, **entities) -> list[Path]:
    """List files of a template, present or only known by name; empty if it is unknown."""
    home = templateflow_home()
    # An empty home makes the client unpack 1,500 empty files at import; a home that cannot be
    # written makes the import itself fail. Both are told as one plain sentence.
    try:
        from templateflow.client import TemplateFlowClient

        client = TemplateFlowClient(root=home)
        found = client.ls(name, **entities, **({} if cohort is None else {'cohort': cohort}))
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
        from templateflow.client import TemplateFlowClient

        entities = dict(re.findall(r'_(cohort|desc)-([A-Za-z0-9]+)', path.name))
        suffix = path.name.split('.')[0].rsplit('_', 1)[1]
        TemplateFlowClient(root=home).get(
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
        remedy=f'Known spaces: {", ".join(here) or "none"}.',
    )
