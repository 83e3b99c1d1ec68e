"""Gradient tables: the ``.bval`` and ``.bvec`` files of a diffusion series."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from csvdprep.bids.files import read_text
from csvdprep.bids.names import parse
from csvdprep.core.errors import InputError

#: b-values (s/mm²) below this count as none: scanners write 5 for 0.
B0_BELOW = 50.0
#: Length of a b-vector up to which it counts as none.
NO_DIRECTION = 0.1
#: Lengths of b-vectors that count as 1 without a word.
UNIT = (0.98, 1.02)
_AGAIN = 'Convert the series from DICOM again, e.g. with dcm2niix.'


@dataclass(frozen=True)
class Table:
    """Gradients of a series.

    Parameters
    ----------
    bvals : tuple of float
        s/mm², one a volume; below 50 written as 0.
    bvecs : tuple of (float, float, float)
        Unit vectors in FSL's convention: along the array's axes, x turned round where the
        affine is right-handed; zero where there is no gradient.
    notes : tuple of str
        What was odd, and what is done about it.
    """

    bvals: tuple[float, ...]
    bvecs: tuple[tuple[float, float, float], ...]
    notes: tuple[str, ...] = ()


def read_table(root: Path, image: Path, volumes: int) -> Table:
    """Read the gradient table of a diffusion series.

    Parameters
    ----------
    root : Path
        Root of the dataset; a table that lies above the image is inherited.
    image : Path
        Series below it.
    volumes : int
        Number of its volumes.

    Returns
    -------
    Table
        Checked, with unit vectors.

    Raises
    ------
    InputError
        If a file is missing or cannot be read, does not fit the number of volumes, or a volume
        has a b-value but no direction.
    """
    bval, bvec = (_find(root, image, ending) for ending in ('.bval', '.bvec'))
    rows = _numbers(bval)
    values = [number for row in rows for number in row]
    notes: list[str] = []
    if len(values) != volumes:
        raise InputError(f'There are {len(values)} b-values for {volumes} volumes.', file=bval,
                         field='number of values', remedy=_AGAIN)  # fmt: skip
    if min(values) < 0:
        raise InputError(f'A b-value is negative ({min(values):g}).', file=bval,
                         field='b-value', remedy=_AGAIN)  # fmt: skip
    vectors = _vectors(_numbers(bvec), volumes, bvec, notes)
    directions = []
    odd = 0
    for number, (value, vector) in enumerate(zip(values, vectors, strict=True)):
        length = math.sqrt(sum(part * part for part in vector))
        if value < B0_BELOW:
            directions.append((0.0, 0.0, 0.0))
        elif length < NO_DIRECTION:
            raise InputError(
                f'Volume {number} has b = {value:g} s/mm², but no direction. If it is a trace '
                'or ADC image, it is no part of the series.', file=bvec, field=f'column {number}',
                remedy=_AGAIN,
            )  # fmt: skip
        else:
            odd += not UNIT[0] <= length <= UNIT[1]
            directions.append(tuple(part / length for part in vector))
    if odd:
        notes.append(f'{bvec.name}: {odd} b-vectors are not of length 1; they are normalised and '
                     'b-values are taken as they are.')  # fmt: skip
    return Table(tuple(0.0 if value < B0_BELOW else float(value) for value in values),
                 tuple(directions), tuple(notes))  # fmt: skip


def shells(bvals, tolerance: float = 100.0) -> list[float]:
    """Group b-values: scanners write 995 and 1005 for 1000.

    Parameters
    ----------
    bvals : iterable of float
        s/mm².
    tolerance : float
        Largest step within a shell; a twentieth of the b-value if that is more.

    Returns
    -------
    list of float
        Median of each shell, in ascending order; that of b = 0 is not among them.

    Examples
    --------
    >>> shells([0, 5, 995, 1000, 1005, 2000, 2010])
    [1000, 2005.0]
    """
    found: list[list[float]] = []
    for value in sorted(value for value in bvals if value >= B0_BELOW):
        if found and value - found[-1][-1] <= max(tolerance, 0.05 * value):
            found[-1].append(value)
        else:
            found.append([value])
    return [_median(group) for group in found]


def _median(values: list[float]) -> float:
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2


def _find(root: Path, image: Path, ending: str) -> Path:
    """Return the table beside an image, or the nearest that is inherited."""
    own = parse(image)
    beside = image.with_name(image.name[: -len(own.extension)] + ending)
    if beside.exists():
        return beside
    folders = [image.parent, *image.parent.parents]
    for folder in folders[: folders.index(root) + 1]:
        fitting = []
        for file in folder.glob(f'*{own.suffix}{ending}'):
            entities = {}
            if '_' in file.name:
                try:
                    entities = parse(file).entities
                except InputError:
                    continue
            if entities.items() <= own.entities.items():
                fitting.append((len(entities), file.name, file))
        if fitting:
            return max(fitting)[2]
    raise InputError(f'The series has no {ending} file.', file=beside, remedy=_AGAIN)


def _numbers(path: Path) -> list[list[float]]:
    """Read rows of finite numbers."""
    try:
        text = read_text(path)
        rows = [[float(word) for word in line.replace(',', ' ').split()]
                for line in text.splitlines() if line.strip()]  # fmt: skip
    except (OSError, ValueError) as error:
        raise InputError(f'The table cannot be read: {error}.', file=path,
                         remedy=_AGAIN) from error  # fmt: skip
    for number, row in enumerate(rows, start=1):
        if not all(map(math.isfinite, row)):
            raise InputError('The table holds a value that is no number (NaN or infinite).',
                             file=path, field=f'row {number}', remedy=_AGAIN)  # fmt: skip
    if not rows:
        raise InputError('The table is empty.', file=path, remedy=_AGAIN)
    return rows


def _vectors(rows: list[list[float]], volumes: int, path: Path, notes: list[str]):
    """Return one vector a volume, from three rows or three columns."""
    if len(rows) == 3 and all(len(row) == volumes for row in rows):
        return list(zip(*rows, strict=True))
    if len(rows) == volumes and all(len(row) == 3 for row in rows):
        notes.append(f'{path.name} has a row for each volume; BIDS asks for three rows. It is '
                     'turned.')  # fmt: skip
        return rows
    widths = sorted({len(row) for row in rows})
    raise InputError(
        f'There are b-vectors in {len(rows)} rows of {", ".join(map(str, widths))} values for '
        f'{volumes} volumes; three rows of {volumes} are needed.', file=path,
        field='number of values', remedy=_AGAIN,
    )  # fmt: skip
