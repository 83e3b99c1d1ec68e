"""Lists of lesions: the table, and a picture of each of the largest."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from csvdprep.bids.tsv import read_tsv, write_tsv
from csvdprep.core.room import Column
from csvdprep.imaging.drawing import COLOURS, Closeup, Layer, draw_gallery
from csvdprep.imaging.slices import Cut, head, load_volume, slice_axis, window

_LARGEST = 12
_FIELD = 44.0
_SAME = 3.0


def write_rows(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[Column], path: Path, *, digits: int = 4
) -> str:
    """Write a table with the columns that its declaration has.

    Parameters
    ----------
    rows : sequence of mapping
        Values by column; what is None is n/a.
    columns : sequence of Column
        Declared columns, in their order.
    path : Path
        TSV to write.
    digits : int, optional
        Significant digits of numbers.

    Returns
    -------
    str
        The path.

    Raises
    ------
    KeyError
        If a row lacks a column.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / 'a.tsv'
    >>> columns = (Column(name='index', description='Number.'),)
    >>> Path(write_rows([{'index': 1, 'more': 2}], columns, file)).read_text()
    'index\\n1\\n'
    """
    names = [column.name for column in columns]
    write_tsv(path, [names, *([row[name] for name in names] for row in rows)], digits=digits)
    return str(path)


def draw_list(
    out_file: str,
    image_file: str,
    mask_file: str,
    table: str | None = None,
    *,
    label: str,
    what: str = 'lesion',
    kinds: Mapping[str, str] | None = None,
) -> None:
    """Draw the largest lesions of a list, each in the slice where it is widest.

    Parameters
    ----------
    out_file : str
        SVG to write.
    image_file, mask_file : str
        Image and lesion mask.
    table : str, optional
        List of lesions, whose rows name what the pictures show.
    label : str
        Label of the list: ``file.svg#lesion-<label>-<index>`` shows one lesion.
    what : str, optional
        What is said not to be there where the mask is empty.
    kinds : mapping of str to str, optional
        Names of the values of the column ``zone``.

    """
    image = load_volume(image_file)
    mask = load_volume(mask_file, image, order=0).data > 0
    labels, count = ndimage.label(mask, np.ones((3, 3, 3)))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    rows = _rows(table)
    closeups = []
    for rank in np.argsort(-sizes, kind='stable')[:_LARGEST]:
        cut, middle, wide, centre = _widest(image, labels, int(rank) + 1)
        row = _match(rows, image.affine @ [*centre, 1])
        volume = sizes[rank] * float(np.prod(image.zooms)) / 1000
        lines = _lines(row, volume, kinds or {})
        name = f'lesion-{label}-{row["index"]}' if row.get('index', '').isdecimal() else ''
        closeups.append(Closeup(cut, middle, wide, lines, labels == rank + 1, name))
    note = f'The {len(closeups)} largest of {count} lesions.' if count > _LARGEST else ''
    _draw(out_file, image, mask, closeups, note, what)


def draw_numbered(
    out_file: str,
    image_file: str,
    labels_file: str,
    table: str,
    *,
    label: str,
    what: str = 'lesion',
    kinds: Mapping[str, str] | None = None,
) -> None:
    """Draw the first lesions of a list, each in the slice where it is widest.

    Parameters
    ----------
    out_file : str
        SVG to write.
    image_file, labels_file : str
        Image, and on its grid the ``index`` of each lesion of the list.
    table : str
        List: ``index``, ``volume_mm3``, ``kind``, ``status``, ``probability``, ``side``, ``lobe``.
    label : str
        Label of the list: ``file.svg#lesion-<label>-<index>`` shows one lesion.
    what : str, optional
        What is said not to be there where the list is empty.
    kinds : mapping of str to str, optional
        Names of the values of the column ``kind``.

    """
    image = load_volume(image_file)
    labels = np.rint(load_volume(labels_file, image, order=0).data).astype(int)
    rows = _rows(table)
    closeups = []
    for row in rows[:_LARGEST]:
        number = int(row['index'])
        cut, middle, wide, _ = _widest(image, labels, number)
        sure = row.get('probability', 'n/a')
        lines = (
            f'#{number}  {float(row["volume_mm3"]) / 1000:.2f} mL',
            f'{(kinds or {}).get(row["kind"], row["kind"])}, {row["status"]}',
            next((row[key] for key in ('lobe', 'side') if row[key] != 'n/a'), ''),
            f'probability {float(sure):.2f}' if sure != 'n/a' else '',
        )
        shown = tuple(line for line in lines if line)
        name = f'lesion-{label}-{number}'
        closeups.append(Closeup(cut, middle, wide, shown, labels == number, name))
    note = f'The first {len(closeups)} of {len(rows)}.' if len(rows) > _LARGEST else ''
    _draw(out_file, image, labels > 0, closeups, note, what)


def _widest(image, labels: np.ndarray, number: int):
    """Find the slice in which a lesion is widest: cut, its middle, field (mm), centre."""
    box = ndimage.find_objects((labels == number).astype(np.uint8))[0]
    points = np.argwhere(labels[box] == number) + [part.start for part in box]
    axis = slice_axis(image)
    index = int(np.bincount(points[:, axis]).argmax())
    shown = points[points[:, axis] == index]
    wide = (np.ptp(shown, axis=0) + 1) * image.zooms
    middle = (shown.min(axis=0) + shown.max(axis=0)) / 2
    return Cut(axis, index), middle, max(_FIELD, 1.3 * float(wide.max())), points.mean(axis=0)


def _draw(out_file, image, mask, closeups, note: str, what: str) -> None:
    layer = Layer(
        image, window(image, head(image), high=99.9), outlines=[(mask, COLOURS['sky'])], stroke=2.0
    )
    legend = {'This lesion': COLOURS['orange'], 'Other lesions': COLOURS['sky']}
    draw_gallery(
        out_file,
        layer,
        closeups,
        note=note if closeups else f'No {what} found.',
        legend=legend if closeups else {},
    )


def _rows(table: str | None) -> list[dict[str, str]]:
    if not table or not Path(table).exists():
        return []
    return list(read_tsv(table).rows)


def _match(rows: Sequence[Mapping[str, str]], point: np.ndarray) -> Mapping[str, str]:
    """Find the row whose native position (mm) is that of a lesion's centre."""
    best: Mapping[str, str] = {}
    near = _SAME
    for row in rows:
        try:
            there = [float(row[name]) for name in _position(row)]
        except (KeyError, ValueError):
            continue
        if len(there) == 3 and (away := float(np.linalg.norm(point[:3] - there))) < near:
            best, near = row, away
    return best


def _position(row: Mapping[str, str]) -> list[str]:
    """Name the columns of the native position: x, y, z with or without a unit."""
    names = [n for n in row if re.fullmatch(r'(native_)?[xyz](_native)?(_mm)?', n)]
    return sorted(names, key=lambda n: n.removeprefix('native_'))


def _lines(row: Mapping[str, str], volume: float, kinds: Mapping[str, str]) -> tuple[str, ...]:
    """Name a lesion: number and volume, zone, side and lobe, degree of membership."""
    given = {key: value for key, value in row.items() if value not in (None, '', 'n/a')}
    number = f'#{given["index"]}  ' if 'index' in given else ''
    zone = given.get('zone', '')
    side, lobe = given.get('side', ''), given.get('lobe', '')
    where = lobe if side in lobe else f'{side} {lobe}'.strip()
    sure = given.get('mean_probability', '')
    lines = (
        f'{number}{volume:.2f} mL',
        kinds.get(zone, zone),
        where,
        f'membership {float(sure):.2f}' if sure else '',
    )
    return tuple(line for line in lines if line)
