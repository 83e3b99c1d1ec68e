"""Gradient tables: the ``.bval`` and ``.bvec`` files of a diffusion series."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from csvdprep.bids.files import content_missing, read_text, unreadable
from csvdprep.bids.names import parse
from csvdprep.core.errors import InputError

#: b-values (s/mm²) below this count as none: scanners write 5 for 0.
B0_BELOW = 50.0
#: Highest b-value (s/mm²) that counts as none where a series has no lower one.
B0_THRESHOLD = 100.0
#: b-value (s/mm²) from which on a shell weighs diffusion enough to be fitted.
WEIGHTED_FROM = 300.0
#: Length of a b-vector up to which it counts as none.
NO_DIRECTION = 0.1
#: Lengths of b-vectors that count as 1 without a word.
UNIT = (0.98, 1.02)
#: Highest b-values of series that are given in ms/µm².
MS_PER_UM2 = (0.3, 15.0)
#: Fewest volumes with a direction beside which one without is a map that was appended.
LEAST_WITH_DIRECTION = 6
_AGAIN = 'Convert the series from DICOM again, e.g. with dcm2niix.'


class NoDirections(InputError):  # noqa: N818
    """No volume with a gradient has a direction: a trace or ADC map."""


@dataclass(frozen=True)
class Table:
    """Gradients of a series.

    Parameters
    ----------
    bvals : tuple of float
        s/mm², one a volume that counts; 0 where there is no gradient.
    bvecs : tuple of (float, float, float)
        Unit vectors in FSL's convention: along the stored array's axes, x turned round where the
        affine is right-handed; zero where there is no gradient.
    notes : tuple of str
        What was odd, and what is done about it.
    volumes : tuple of int or None
        Volumes of the image that count; None if all do.
    """

    bvals: tuple[float, ...]
    bvecs: tuple[tuple[float, float, float], ...]
    notes: tuple[str, ...] = ()
    volumes: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Convention:
    """How the tables of a visit have to be read, which one of them alone may not tell.

    Parameters
    ----------
    threshold : float
        Highest b-value that counts as 0 in a measurement that has none below 50 s/mm².
    thousandths : bool
        Whether b-values are given in ms/µm².
    zeros : frozenset of str
        Measurements (see :func:`measurement`) that have b-values below 50 s/mm².
    """

    threshold: float = B0_THRESHOLD
    thousandths: bool = False
    zeros: frozenset[str] = frozenset()

    @classmethod
    def of(cls, root: Path, images: Iterable[tuple[Path, int]], threshold: float) -> Convention:
        """Look at the tables of all runs; those that cannot be read are passed over."""
        found = []
        for image, volumes in images:
            try:
                found.append((measurement(image), *_raw(root, image, volumes)))
            except InputError:
                continue
        thousandths = any(_is_thousandths(values, vectors) for _, values, vectors, _ in found)
        scale = 1000.0 if thousandths else 1.0
        zeros = {
            name
            for name, values, _, _ in found
            if min(values) * (scale if max(values) <= MS_PER_UM2[1] else 1) < B0_BELOW
        }
        return cls(threshold, thousandths, frozenset(zeros))


#: What a table is taken for by itself.
USUAL = Convention()


def measurement(image: Path) -> str:
    """Name what the runs of one measurement have in common.

    Examples
    --------
    >>> measurement(Path('sub-01_acq-b_dir-AP_run-1_dwi.nii.gz'))
    'acq-b sub-01'
    """
    entities = parse(image).entities
    return ' '.join(
        sorted(f'{key}-{value}' for key, value in entities.items() if key not in ('dir', 'run'))
    )


def read_table(root: Path, image: Path, volumes: int, *, convention: Convention = USUAL) -> Table:
    """Read the gradient table of a diffusion series.

    Parameters
    ----------
    root : Path
        Root of the dataset; a table that lies above the image is inherited.
    image : Path
        Series below it.
    volumes : int
        Number of its volumes.
    convention : Convention, optional
        How the tables of the visit are read.

    Returns
    -------
    Table
        Checked, with unit vectors. A trace or ADC map that the scanner appended (a b-value, but
        no direction) is left out. Vectors are not asked for where there is no gradient at all.

    Raises
    ------
    InputError
        If a file is missing or cannot be read, does not fit the number of volumes, or volumes
        have a b-value but no direction.
    """
    values, vectors, notes, bvec = _raw(root, image, volumes, missing=True)
    values, said = _in_unit(values, vectors, convention)
    known = measurement(image) in convention.zeros
    plain, more = without_gradient(values, 0.0 if known else convention.threshold)
    beside = image.name[: -len(parse(image).extension)]
    notes += [f'{beside}.bval: {text}' for text in (*said, *more)]
    if bvec is None:
        if not all(plain):
            raise _absent(image, '.bvec')
        return Table((0.0,) * volumes, ((0.0, 0.0, 0.0),) * volumes, tuple(notes))
    return _checked(values, plain, vectors, bvec, image, notes)


def _raw(root: Path, image: Path, volumes: int, *, missing: bool = False):
    """Read b-values and vectors as they are; what was odd; and the file of the vectors."""
    bval = find_table(root, image, '.bval')
    if bval is None:
        raise _absent(image, '.bval')
    values = _b_values(bval, volumes, image)
    bvec = find_table(root, image, '.bvec')
    notes: list[str] = []
    if bvec is None:
        return (values, [], notes, None) if missing else (values, [], notes)
    vectors = _vectors(_numbers(bvec, gaps=True), volumes, bvec, notes, values)
    return (values, vectors, notes, bvec) if missing else (values, vectors, notes)


def volumes_without_gradient(
    root: Path, image: Path, volumes: int, *, convention: Convention = USUAL
) -> list[int] | None:
    """Tell which volumes of an image that maps the field have no gradient.

    Parameters
    ----------
    root, image, volumes, convention
        As for :func:`read_table`.

    Returns
    -------
    list of int or None
        Their numbers; None if no ``.bval`` says so.

    Raises
    ------
    InputError
        If the ``.bval`` cannot be read or does not fit.
    """
    bval = find_table(root, image, '.bval')
    if bval is None:
        return None
    values, _ = _in_unit(_b_values(bval, volumes, image), [], convention)
    plain, _ = without_gradient(values, convention.threshold)
    return [number for number, none in enumerate(plain) if none]


def without_gradient(
    values: list[float], threshold: float = B0_THRESHOLD
) -> tuple[list[bool], list[str]]:
    """Tell which b-values count as 0.

    Those below 50 s/mm² do. Where there is none, the lowest do, up to the threshold: some
    protocols begin at 50 or 100.

    Parameters
    ----------
    values : list of float
        s/mm².
    threshold : float, optional
        Highest that may count.

    Returns
    -------
    plain : list of bool
        One a value.
    notes : list of str
        What has to be minded.

    Examples
    --------
    >>> without_gradient([5, 60, 1000])
    ([True, False, False], [])
    >>> plain, notes = without_gradient([60, 65, 1000])
    >>> print(plain, *notes)
    [True, True, False] the lowest b-value is 60 s/mm²; 2 volumes of up to 100 s/mm² \
(--b0-threshold) count as b = 0. Diffusivities are therefore too low by about 6 %.
    """
    low = min(values)
    if low < B0_BELOW:
        return [value < B0_BELOW for value in values], []
    plain = [value <= threshold for value in values]
    if not any(plain):
        return plain, []
    weighted = [value for value, none in zip(values, plain, strict=True) if not none]
    above = min((value for value in weighted if value >= WEIGHTED_FROM), default=0)
    cost = (
        f' Diffusivities are therefore too low by about {100 * low / above:.0f} %.'
        if above
        else ''
    )
    count = sum(plain)
    told = (
        f'the lowest b-value is {low:g} s/mm²; {count} volume{"s" if count > 1 else ""} of up '
        f'to {threshold:g} s/mm² (--b0-threshold) count{"" if count > 1 else "s"} as b = 0.'
    )
    return plain, [told + cost]


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


def find_table(root: Path, image: Path, ending: str) -> Path | None:
    """Return the table beside an image, or the nearest that is inherited; None without.

    Raises
    ------
    InputError
        If it is a link whose content is not here.
    """
    own = parse(image)
    beside = image.with_name(image.name[: -len(own.extension)] + ending)
    found = beside if os.path.lexists(beside) else None
    folders = [image.parent, *image.parent.parents]
    for folder in folders[: folders.index(root) + 1]:
        if found:
            break
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
        found = max(fitting)[2] if fitting else None
    if found and (missing := content_missing(found)):
        raise InputError(missing, file=found, remedy='Fetch its content, then run again.')
    return found


def is_inherited(root: Path, image: Path, volumes: int) -> bool:
    """Tell whether the only table of an image is one from above that does not fit it."""
    bval = find_table(root, image, '.bval')
    if bval is None or bval.name.removesuffix('.bval') == image.name.partition('.')[0]:
        return False
    try:
        return sum(map(len, _numbers(bval))) != volumes
    except InputError:
        return False


def _absent(image: Path, ending: str) -> InputError:
    stem = image.name[: -len(parse(image).extension)]
    beside = image.with_name(stem + ending)
    remedy = _AGAIN
    for file in image.parent.iterdir():
        if file.name.lower() in (beside.name.lower(), f'{beside.name}s'.lower()):
            remedy = f'Rename {file.name} to {beside.name}.'
    return InputError(f'The series has no {ending} file.', file=beside, remedy=remedy)


def _median(values: list[float]) -> float:
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2


def _b_values(bval: Path, volumes: int, image: Path) -> list[float]:
    values = [number for row in _numbers(bval) for number in row]
    if len(values) != volumes:
        many = f'{volumes} volume{"" if volumes == 1 else "s"}'
        raise InputError(
            f'There are {len(values)} b-values, but {many}.',
            file=bval,
            field='number of values',
            remedy=_AGAIN,
        )
    if min(values) < 0:
        raise InputError(
            f'A b-value is negative ({min(values):g}).', file=bval, field='b-value', remedy=_AGAIN
        )
    return values


def _in_unit(
    values: list[float], vectors, convention: Convention
) -> tuple[list[float], list[str]]:
    """Bring b-values to s/mm²: some programs write ms/µm², a thousandth of it."""
    top = max(values)
    if not MS_PER_UM2[0] < top <= MS_PER_UM2[1] or not (
        convention.thousandths or _is_thousandths(values, vectors)
    ):
        return values, []
    note = (
        f'the highest b-value is {top:g}; the values are assumed to be in ms/µm² and were '
        'multiplied by 1000.'
    )
    return [1000 * value for value in values], [note]


def _is_thousandths(values: list[float], vectors) -> bool:
    """Tell whether a table can only be meant in ms/µm²."""
    directed = sum(
        value > MS_PER_UM2[0] and math.hypot(*vector) > NO_DIRECTION
        for value, vector in zip(values, vectors, strict=False)
    )
    return MS_PER_UM2[0] < max(values) <= MS_PER_UM2[1] and directed >= LEAST_WITH_DIRECTION


def _checked(values, plain, vectors, bvec: Path, image: Path, notes: list[str]) -> Table:
    """Normalise directions, and leave out the volumes that have none."""
    directions: list[tuple[float, float, float]] = []
    odd = 0
    without = []
    for number, (value, none, vector) in enumerate(zip(values, plain, vectors, strict=True)):
        length = math.sqrt(sum(part * part for part in vector))
        if none:
            # What stands here means nothing, be it NaN or a direction.
            directions.append((0.0, 0.0, 0.0))
        elif math.isnan(length) and not all(map(math.isnan, vector)):
            raise InputError(
                f'The b-vector of volume {number} (b = {value:g} s/mm²) has a value that '
                'is not a number.',
                file=bvec,
                field=f'column {number}',
                remedy=_AGAIN,
            )
        elif not length >= NO_DIRECTION:
            without.append(number)
            directions.append((0.0, 0.0, 0.0))
        else:
            odd += not UNIT[0] <= length <= UNIT[1]
            directions.append(tuple(part / length for part in vector))
    left = len(values) - sum(plain) - len(without)
    if without and (left < LEAST_WITH_DIRECTION or len(without) > left):
        number = without[0]
        kind = InputError if left else NoDirections
        raise kind(
            f'Volume {number} has b = {values[number]:g} s/mm², but no direction. A trace '
            'or ADC image does not belong in the series.',
            file=bvec,
            field=f'column {number}',
            remedy=_AGAIN,
        )
    if odd:
        notes.append(
            f'{bvec.name}: {odd} b-vectors do not have length 1; they are normalised, and '
            'the b-values are not changed.'
        )
    keep = [number for number in range(len(values)) if number not in without]
    if without:
        listed = ', '.join(f'{number} (b = {values[number]:g} s/mm²)' for number in without)
        notes.append(
            f'{image.name}: volume {listed} has no direction, as in a trace or ADC map '
            'appended by the scanner; it is not used.'
        )
    return Table(
        tuple(0.0 if plain[k] else float(values[k]) for k in keep),
        tuple(directions[k] for k in keep),
        tuple(notes),
        tuple(keep) if without else None,
    )


def _numbers(path: Path, *, gaps: bool = False) -> list[list[float]]:
    """Read rows of finite numbers; with ``gaps``, NaN and n/a may stand among them."""
    try:
        rows = [
            [
                math.nan if gaps and word.lower() == 'n/a' else float(word)
                for word in line.replace(',', ' ').split()
            ]
            for line in read_text(path).splitlines()
            if line.strip()
        ]
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path, error) from error
    except ValueError as error:
        raise InputError(
            f'The table cannot be read: {error}.', file=path, remedy=_AGAIN
        ) from error
    for number, row in enumerate(rows, start=1):
        if not gaps and not all(map(math.isfinite, row)):
            raise InputError(
                'The table has a value that is not a number (NaN or infinite).',
                file=path,
                field=f'row {number}',
                remedy=_AGAIN,
            )
    if not rows:
        raise InputError('The table is empty.', file=path, remedy=_AGAIN)
    return rows


def _vectors(
    rows: list[list[float]], volumes: int, path: Path, notes: list[str], values: list[float]
):
    """Return one vector a volume, from three rows or three columns."""
    columns = len(rows) == 3 and all(len(row) == volumes for row in rows)
    # Of three volumes both may be meant: vectors with a gradient are of length 1.
    if columns and not (
        volumes == 3 and _odd(zip(*rows, strict=True), values) and not _odd(rows, values)
    ):
        return list(zip(*rows, strict=True))
    if len(rows) == volumes and all(len(row) == 3 for row in rows):
        notes.append(
            f'{path.name} has one row per volume, but BIDS requires three rows; it was transposed.'
        )
        return rows
    widths = sorted({len(row) for row in rows})
    raise InputError(
        f'The b-vectors have {len(rows)} rows of {", ".join(map(str, widths))} values for '
        f'{volumes} volumes; three rows of {volumes} are needed.',
        file=path,
        field='number of values',
        remedy=_AGAIN,
    )


def _odd(vectors, values: list[float]) -> bool:
    return any(
        value >= B0_BELOW and not UNIT[0] <= math.hypot(*vector) <= UNIT[1]
        for value, vector in zip(values, vectors, strict=True)
    )
