"""The output dataset: refuse a bad place for it, and write what describes it."""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from csvdprep import __version__
from csvdprep.bids.checkpoints import json_text
from csvdprep.bids.files import FETCH, atomic_write, content_missing, open_regular, unreadable
from csvdprep.bids.ratings import LINK
from csvdprep.bids.raw import read_json
from csvdprep.core.errors import InputError, PreflightError, UsageError

#: Name of the application, as it signs its datasets.
NAME = 'csvdprep'
CODE_URL = 'https://github.com/csvdprep/csvdprep'
BIDS_VERSION = '1.11.1'
#: What BIDS has no name for yet. A trailing slash would keep bids-validator 3.0.2 from matching.
IGNORED = (
    '*.html',
    'logs',
    'log',
    'figures',
    '*_xfm.*',
    '*_measures.*',
    '*_lesions.*',
    '*_scores.*',
    '*_dwimap.*',
    '*_dwiref.*',
    '*_timeseries.*',
    '*_profile.*',
    '*_bullseye.*',
    '*_desc-preproc_dwi.bv*',
    '*_fieldmap.*',
    '*_swi.*',
    '*_minIP.*',
    '*_dce.*',
    '*_dsc.*',
    '**/perf/*map.*',
    '**/perf/*_mask.*',
    '**/perf/*_dseg.*',
    '**/perf/*_probseg.*',
    '*_aslref.*',
    '*_cbf.*',
    '*_att.*',
    '*_vessels.*',
    '*_space-halfway*',
    '*_poses.*',
    '*_changes.*',
    '*_tiles.*',
    '*_diffusion.*',
    'group_*',
    'ratings',
    'ratings.*',
    'prov',
)
#: Free space (megabytes) without which no run starts.
LEAST_FREE_MB = 100.0


def prepare_output(
    output_dir: Path,
    *,
    bids_dir: Path,
    derivatives: Mapping[str, Path] | None = None,
    ratings: Path | None = None,
    version: str = __version__,
    command: Sequence[str] = (),
    free_mb: float = LEAST_FREE_MB,
) -> None:
    """Make the output folder a BIDS derivative dataset, if that can be done without harm.

    Safe to call from several runs at once: files are replaced as a whole, and only if
    their content differs.

    Parameters
    ----------
    output_dir : Path
        Folder for the results; made if need be.
    bids_dir : Path
        Raw dataset.
    derivatives : mapping of str to Path, optional
        Further inputs by name.
    ratings : Path, optional
        Table of ratings, whose folder is linked.
    version : str, optional
        Version of the application.
    command : sequence of str, optional
        Command line of this run. It goes to ``logs/command.txt``, not to the description, which
        has to be the same for all runs that write to one folder.
    free_mb : float, optional
        Free space that is needed there, in megabytes (10^6 bytes).

    Raises
    ------
    UsageError
        If the folder is the raw dataset, lies in a harmful place, or belongs to somebody else.
    PreflightError
        If it cannot be written to, or has too little space.
    """
    output, raw = Path(os.path.abspath(output_dir)), Path(os.path.abspath(bids_dir))
    derivatives = derivatives or {}
    check_output(output, bids_dir=raw, derivatives=derivatives, free_mb=free_mb)
    check_writable(output)
    links = {'raw': raw, **derivatives}
    description: dict[str, Any] = {
        'Name': f'{NAME}: measures of cerebral small vessel disease',
        'BIDSVersion': BIDS_VERSION,
        'DatasetType': 'derivative',
        'GeneratedBy': [_generated_by(version)],
        'SourceDatasets': [_source(path, output) for path in links.values()],
        # Templates and weights that come with the application, and the datasets of this run.
        'DatasetLinks': {NAME: CODE_URL}
        | {
            name: _relative(path, output)
            for name, path in (links | ({LINK: ratings.parent} if ratings else {})).items()
        },
        'HowToAcknowledge': 'Cite the methods and references in logs/CITATION.md.',
    }
    try:
        atomic_write(output / 'dataset_description.json', json_text(description))
        atomic_write(output / '.bidsignore', _with_rules(output / '.bidsignore'))
        if command:
            atomic_write(output / 'logs' / 'command.txt', shlex.join(command) + '\n')
    except OSError as error:
        raise _unwritable(output, error) from error


def check_output(
    output_dir: Path,
    *,
    bids_dir: Path,
    derivatives: Mapping[str, Path] | None = None,
    free_mb: float = LEAST_FREE_MB,
) -> None:
    """Raise what :func:`prepare_output` would raise of a bad place, and write nothing.

    Parameters
    ----------
    output_dir, bids_dir, derivatives, free_mb
        As in :func:`prepare_output`.

    Raises
    ------
    UsageError
        If the folder is the raw dataset, lies in a harmful place, or belongs to somebody else.
    PreflightError
        If it cannot be written to, or has too little space.
    """
    output, raw = Path(os.path.abspath(output_dir)), Path(os.path.abspath(bids_dir))
    _check_place(output, raw, derivatives or {})
    check_space(output, free_mb)
    check_permission(output)


def check_permission(folder: Path, field: str = '') -> None:
    """Raise PreflightError if a folder cannot be written to, or not be made; write nothing.

    Parameters
    ----------
    folder : Path
        Folder, which need not exist.
    field : str, optional
        Option that names it.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> check_permission(folder / 'new' / 'newer')
    >>> (folder / 'file').touch()
    >>> check_permission(folder / 'file' / 'new')
    Traceback (most recent call last):
    csvdprep.core.errors.PreflightError: The folder cannot be written to (Not a directory). ...

    """
    place = Path(os.path.realpath(folder))
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    number = 0
    if not place.is_dir():
        number = errno.ENOTDIR
    elif not os.access(place, os.W_OK | os.X_OK):
        number = errno.EACCES
    if number:
        raise _unwritable(folder, OSError(number, os.strerror(number)), field)


def check_work_dir(
    work_dir: Path,
    *,
    bids_dir: Path,
    output_dir: Path,
    derivatives: Mapping[str, Path] | None = None,
    clean: bool = False,
) -> None:
    """Raise UsageError if a working directory is no place for intermediates.

    Links and ``..`` are resolved first.

    Parameters
    ----------
    work_dir : Path
        Working directory, which need not exist.
    bids_dir, output_dir : Path
        Raw dataset and output folder.
    derivatives : mapping of str to Path, optional
        Further inputs by name.
    clean : bool, optional
        Whether what earlier runs made there is to be removed. Then it may not be home either, nor
        a folder that contains home or any of the above.

    Examples
    --------
    >>> check_work_dir(Path('/a/work'), bids_dir=Path('/a/raw'), output_dir=Path('/a/out'))
    >>> check_work_dir(Path('/a/raw'), bids_dir=Path('/a/raw'), output_dir=Path('/a/out'))
    Traceback (most recent call last):
    csvdprep.core.errors.UsageError: The working directory is the raw dataset itself. ...

    """
    work = Path(os.path.realpath(work_dir))
    sources = {
        f'the input "{name}" of --derivatives': path for name, path in (derivatives or {}).items()
    }
    named = {'the raw dataset': bids_dir, 'the output folder': output_dir, **sources}
    places = {name: Path(os.path.realpath(path)) for name, path in named.items()}

    def refuse(message: str):
        raise UsageError(
            message,
            file=work_dir,
            field='--work-dir',
            remedy='Give a separate folder with -w, outside the dataset and the output folder.',
        )

    for name, place in places.items():
        if work == place:
            refuse(f'The working directory is {name} itself.')
    raw = places['the raw dataset']
    below = work.relative_to(raw).parts if work.is_relative_to(raw) else ('derivatives',)
    if below[0] not in ('derivatives', 'sourcedata', 'code'):
        refuse('The working directory is inside the raw dataset.')
    for name, place in places.items():
        if work.is_relative_to(place) and work.relative_to(place).parts[0].startswith('sub-'):
            refuse(f'The working directory is inside a participant folder of {name}.')
    homes = [('your home folder', home) for home in _homes()]
    for name, place in (*places.items(), *homes) if clean else ():
        if place.is_relative_to(work):
            what = 'is' if place == work else 'contains'
            refuse(f'With --clean-workdir: the working directory {what} {name}.')


def _homes() -> list[Path]:
    """Return the user's home folder: as the shell, and as the system knows it."""
    found = [os.environ.get('HOME', '')]
    with contextlib.suppress(KeyError):
        found.append(pwd.getpwuid(os.geteuid()).pw_dir)
    return [Path(os.path.realpath(home)) for home in found if home]


def check_writable(folder: Path) -> None:
    """Raise PreflightError unless files can be made and replaced in a folder, which is made.

    Examples
    --------
    >>> import tempfile
    >>> check_writable(Path(tempfile.mkdtemp()) / 'new')

    """
    probe = folder / f'.csvdprep-{os.getpid()}.probe'
    try:
        folder.mkdir(parents=True, exist_ok=True)
        atomic_write(probe, b'x' * 4096)
        probe.unlink()
    except OSError as error:
        raise _unwritable(folder, error) from error


def check_space(folder: Path, least_mb: float) -> None:
    """Raise PreflightError if the disk of a folder, which need not exist, has too little space.

    Parameters
    ----------
    folder : Path
        Folder that will be written to.
    least_mb : float
        Megabytes (10^6 bytes) needed.
    """
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        free = shutil.disk_usage(place).free / 1e6
    except OSError:
        return
    if free < least_mb:
        raise PreflightError(
            f'The disk has {free:,.0f} MB left; {least_mb:,.0f} MB are needed.',
            file=folder,
            remedy='Free some space, or choose another folder.',
        )


def _check_place(output: Path, raw: Path, derivatives: Mapping[str, Path]) -> None:
    real, source = Path(os.path.realpath(output)), Path(os.path.realpath(raw))
    remedy = f'Use another folder, e.g. {raw / "derivatives" / NAME}.'

    def refuse(message: str):
        raise UsageError(message, file=output, field='output_dir', remedy=remedy)

    if real == source:
        refuse('The output folder is the raw dataset itself.')
    if real.is_relative_to(source):
        inside = real.relative_to(source).parts
        if inside[0] not in ('derivatives', 'sourcedata') or len(inside) < 2:
            refuse(
                'The output folder is inside the raw dataset, but not in a folder in derivatives/.'
            )
    for name, folder in derivatives.items():
        if real == Path(os.path.realpath(folder)):
            refuse(f'The output folder is also the input "{name}" of --derivatives.')
    if output.exists() and not output.is_dir():
        refuse('The output folder is a file.')
    try:
        found = read_json(output / 'dataset_description.json')
    except InputError as error:
        if said := content_missing(output / 'dataset_description.json'):
            raise UsageError(said, file=output, field='output_dir', remedy=FETCH) from error
        if (output / 'dataset_description.json').exists():
            if not _looks_own(output):
                refuse(
                    'The output folder contains an unreadable dataset_description.json '
                    f'and no sign that {NAME} wrote the folder.'
                )
            return
        if any(output.glob('sub-*/*/*_*.nii*')):
            refuse(
                'The output folder contains images, but no dataset_description.json that '
                f'shows that {NAME} wrote them.'
            )
        return
    makers = found.get('GeneratedBy')
    makers = makers if isinstance(makers, list) else []
    makers = [m.get('Name') for m in makers if isinstance(m, dict)]
    if found.get('DatasetType', 'raw') != 'derivative' or NAME not in makers:
        made = ', '.join(map(str, makers)) or 'it is a raw dataset'
        refuse(f'The output folder belongs to another dataset ({made}).')


def _looks_own(output: Path) -> bool:
    """Tell by another file that this application made a dataset, its description being damaged."""
    try:
        rules = (output / '.bidsignore').read_bytes().split()
    except OSError:
        return False
    return all(rule.encode() in rules for rule in IGNORED)


def _generated_by(version: str) -> dict[str, Any]:
    maker: dict[str, Any] = {'Name': NAME, 'Version': version, 'CodeURL': CODE_URL}
    known = {
        'Type': 'CSVDPREP_CONTAINER_TYPE',
        'Tag': 'CSVDPREP_CONTAINER_TAG',
        'URI': 'CSVDPREP_CONTAINER_URI',
    }
    container = {key: os.environ[name] for key, name in known.items() if os.environ.get(name)}
    image = os.environ.get('APPTAINER_CONTAINER') or os.environ.get('SINGULARITY_CONTAINER')
    if image:
        # The file name says enough; where it lies is nobody's business.
        container |= {'Type': 'apptainer', 'Tag': Path(image).name}
    return maker | ({'Container': container} if container else {})


def _source(path: Path, output: Path) -> dict[str, str]:
    source = {'URL': _relative(path, output)}
    try:
        found = read_json(Path(path) / 'dataset_description.json')
    except InputError:
        return source
    doi = found.get('DatasetDOI')
    return source | ({'DOI': doi} if isinstance(doi, str) and doi else {})


def _relative(path: Path, output: Path) -> str:
    """Link by the way from the output, which survives when both are moved together."""
    way = Path(os.path.relpath(os.path.abspath(path), output)).as_posix()
    return quote(way, errors='surrogateescape')


def _with_rules(path: Path) -> bytes:
    """Return what a .bidsignore holds, in whatever encoding, and the rules that it lacks."""
    given = b''
    if os.path.lexists(path):
        try:
            with open_regular(path) as stream:
                given = stream.read()
        except OSError as error:
            # Rules of the user would be lost.
            raise unreadable(path, error) from error
    lines = [line.strip() for line in given.splitlines()]
    missing = [rule for rule in map(str.encode, IGNORED) if rule not in lines]
    end = b'' if not given or given.endswith(b'\n') else b'\n'
    return given + end + b''.join(rule + b'\n' for rule in missing)


def _unwritable(folder: Path, error: OSError, field: str = '') -> PreflightError:
    return PreflightError(
        f'The folder cannot be written to ({error.strerror or error}).',
        file=folder,
        field=field or None,
        remedy='Give a writable folder with -w.'
        if field == '--work-dir'
        else 'Ask for write permission and free space, or choose another folder.',
    )
