"""Find in two BIDS derivatives what can be compared: visits, masks on one grid, lists."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from csvdprep.bids.names import RAW_SUFFIXES, is_label, parse
from csvdprep.core import grids
from csvdprep.core.errors import InputError
from csvdprep.imaging.images import canonical

__all__ = [
    'File',
    'Visit',
    'choose',
    'description',
    'files_of',
    'pixels',
    'same_grid',
    'visits_of',
]

#: Largest distance (mm) between grids that count as one: each scan has a head pose of its own.
SAME_GRID_MM = 5e-3
#: Images that are computed from a series lie in its frame.
_SERIES = {'trace': 'dwi', 'ADC': 'dwi'}
#: What an application can call its segmentation, the best first.
_SEGMENTATIONS = ('mask', 'dseg', 'probseg')


@dataclass(frozen=True)
class Visit:
    """One visit of a participant.

    Attributes
    ----------
    subject, session : str
        With their prefixes; the session is '' in a dataset without sessions.

    Examples
    --------
    >>> Visit('sub-01', 'ses-2').label, Visit('sub-01').label
    ('sub-01_ses-2', 'sub-01')
    """

    subject: str
    session: str = ''

    @property
    def label(self) -> str:
        """Begin of the names of its files."""
        return '_'.join(filter(None, (self.subject, self.session)))

    @property
    def columns(self) -> dict[str, str | None]:
        """First columns of a row about the visit."""
        return {'participant_id': self.subject, 'session_id': self.session or None}


@dataclass(frozen=True)
class File:
    """A file and what its name says.

    Attributes
    ----------
    path : Path
        Where it is.
    entities : dict
        By short name.
    suffix, extension : str
        As in BIDS.
    """

    path: Path
    entities: dict[str, str]
    suffix: str
    extension: str

    @property
    def space(self) -> str | None:
        """Image in whose frame it lies, where the name tells."""
        space = self.entities.get('space')
        return _SERIES.get(space, space)

    def is_label(self, label: str) -> bool:
        """Tell whether it is about a kind of lesion, in small or capital letters."""
        return self.entities.get('label', '').casefold() == label.casefold()


def description(root: Path) -> dict:
    """Read ``dataset_description.json``.

    Raises
    ------
    InputError
        If the folder is no BIDS derivative.
    """
    file = root / 'dataset_description.json'
    remedy = 'Its dataset_description.json has to say "DatasetType": "derivative".'
    if not root.is_dir():
        raise InputError('There is no such folder.', file=root)
    if not file.is_file():
        raise InputError('This folder is no BIDS derivative.', file=file, remedy=remedy)
    try:
        content = json.loads(file.read_text(encoding='utf-8'))
    except ValueError as error:
        raise InputError('This is no JSON.', file=file) from error
    # Before BIDS 1.4 there was no DatasetType; derivatives told themselves by the other two.
    marks = ('GeneratedBy', 'PipelineDescription')
    if not isinstance(content, dict) or (
        content.get('DatasetType', 'derivative') != 'derivative'
        or ('DatasetType' not in content and not any(mark in content for mark in marks))
    ):
        raise InputError(
            'This folder is no BIDS derivative.', file=file, field='DatasetType', remedy=remedy
        )
    return content


def visits_of(root: Path) -> tuple[Visit, ...]:
    """List the visits of a dataset, sessions in the order of their numbers."""
    visits = []
    for subject in _folders(root, 'sub-'):
        sessions = _folders(subject, 'ses-')
        visits += [Visit(subject.name, session.name) for session in sessions]
        if not sessions:
            visits.append(Visit(subject.name))
    return tuple(visits)


def files_of(root: Path, visit: Visit) -> tuple[File, ...]:
    """List images and tables of a visit: in its folder, and in that of each datatype."""
    folder = root / visit.subject / visit.session
    paths = [*folder.glob(f'{visit.label}_*'), *folder.glob(f'*/{visit.label}_*')]
    found = []
    for path in sorted(paths):
        if not path.name.endswith(('.nii', '.nii.gz', '.tsv')):
            continue
        try:
            name = parse(path)
        except InputError:  # another tool's private file
            continue
        found.append(File(path, dict(name.entities), name.suffix, name.extension))
    return tuple(found)


def pixels(file: File) -> tuple[np.ndarray, np.ndarray, int]:
    """Read a mask or map.

    Returns
    -------
    data : ndarray, shape (nx, ny, nz)
        Its values in canonical (RAS+) order of the axes; NaNs as 0.
    affine : ndarray, shape (4, 4)
        From voxel indices to mm.
    slice_axis : int
        The axis with the largest voxel edge.

    Raises
    ------
    InputError
        If it cannot be read or is not three-dimensional.
    """
    image = _open(file)
    try:
        data = np.asanyarray(image.dataobj)
    except Exception as error:  # readers raise anything on a damaged file
        raise _unreadable(file, error) from error
    data = data.reshape(_shape(image))
    if data.ndim != 3:
        raise InputError(f'The image has {data.ndim} dimensions, needs three.', file=file.path)
    if data.dtype.kind == 'f':
        data = np.nan_to_num(data)
    # The truth and what was found may be stored in two orders.
    image = canonical(nib.Nifti1Image(data, image.affine, dtype=data.dtype))
    zooms = np.round(image.header.get_zooms()[:3], 3)
    return np.asanyarray(image.dataobj), image.affine, int(np.argmax(zooms))


def same_grid(one: File, other: File) -> bool:
    """Tell whether two images have the same voxels at the same places, however they are stored."""
    first, second = _open(one), _open(other)
    return len(_shape(first)) == len(_shape(second)) and grids.same_grid(
        first, second, SAME_GRID_MM
    )


def choose(truth: File, candidates: Iterable[File]) -> File | None:
    """Choose the file of the application that lies on the grid of the truth.

    Of several, that with the same ``space`` comes first, then masks before probabilities, then
    the one with the shortest name in terms of entities. A file that names another image as its
    space is not taken even if the grids agree: each scan has a head pose of its own.

    Parameters
    ----------
    truth : File
        A mask or segmentation.
    candidates : iterable of File
        What the application wrote of that kind.

    Returns
    -------
    File or None
        None if no file has the grid.
    """
    ranked = sorted(
        candidates,
        key=lambda file: (
            file.space != truth.space,
            _SEGMENTATIONS.index(file.suffix),
            len(file.entities),
            file.path.name,
        ),
    )
    for file in ranked:
        elsewhere = file.space in RAW_SUFFIXES and file.space != truth.space
        if not elsewhere and same_grid(truth, file):
            return file
    return None


def _folders(parent: Path, prefix: str) -> list[Path]:
    found = [
        path
        for path in parent.glob(f'{prefix}*')
        if path.is_dir() and is_label(path.name.removeprefix(prefix))
    ]
    return sorted(found, key=lambda path: _natural(path.name))


def _natural(name: str) -> list:
    """Give a key that sorts ses-2 before ses-10."""
    return [
        (part.isdigit(), int(part) if part.isdigit() else part)
        for part in re.split(r'([0-9]+)', name)
    ]


def _open(file: File):
    try:
        return nib.load(file.path)
    except Exception as error:  # readers raise anything on a damaged file
        raise _unreadable(file, error) from error


def _unreadable(file: File, error: Exception) -> InputError:
    reason = ' '.join(str(error).split())
    return InputError(f'This cannot be read as an image ({reason}).', file=file.path)


def _shape(image) -> tuple[int, ...]:
    """Give the shape without empty dimensions at the end."""
    shape = tuple(image.shape)
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    return shape
