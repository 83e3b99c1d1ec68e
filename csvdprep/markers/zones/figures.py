"""Look at the zones of the white matter hyperintensities, and at the largest one by one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy import ndimage

from csvdprep.bids.tsv import read_tsv
from csvdprep.interfaces.drawing import COLOURS, Closeup, Layer, draw_gallery, draw_mosaic
from csvdprep.interfaces.slices import Cut, every, extent, head, load_volume, slice_axis, window
from csvdprep.markers.zones import ROOM

_MOST = 28
_LARGEST = 12
_FIELD = 44.0
_SAME = 3.0


def draw_zones(
    *, out_file: str, flair_preproc: str, zones_dseg: str, flair_mask: str | None = None
) -> None:
    """Colour the hyperintensities by their zone, in every slice that has any.

    Parameters
    ----------
    out_file : str
        SVG to write.
    flair_preproc, zones_dseg : str
        Image and its zones, numbered and coloured as in the table of the room.
    flair_mask : str, optional
        Brain mask; decides which part of the image is shown.

    """
    image = load_volume(flair_preproc)
    zones = np.rint(load_volume(zones_dseg, image, order=0).data).astype(np.uint8)
    brain = load_volume(flair_mask, image, order=0).data > 0 if flair_mask else head(image)
    axis = slice_axis(image)
    cuts, step = every(zones if zones.any() else brain, axis, _MOST)
    table = ROOM.makes['zones_dseg'].table
    colours = {row['index']: row['color'] for row in table}
    there = set(np.unique(zones)) | {1, 2, 3, 4}
    legend = {row['name'].capitalize(): row['color'] for row in table if row['index'] in there}
    # An outline of the same colour keeps a lesion of few voxels in sight.
    outlines = [(zones == value, colours[value]) for value in sorted(there & set(colours))]
    layer = Layer(image, window(image, brain, high=99.9), labels=zones, colours=colours,
                  opacity=0.6, outlines=outlines, stroke=1.1)  # fmt: skip
    apart = f'{step * image.zooms[axis]:.1f} mm apart'
    note = f'Slices with WMH, {apart}.' if zones.any() else f'No WMH found; slices {apart}.'
    draw_mosaic(out_file, layer, cuts, box=extent(brain, image.zooms), columns=7,
                legend=legend, note=note)  # fmt: skip


def draw_lesions(
    *, out_file: str, flair_preproc: str, wmh_mask: str, wmh_lesions: str | None = None
) -> None:
    """Draw the largest lesions, each in the slice where it is widest.

    Parameters
    ----------
    out_file : str
        SVG to write.
    flair_preproc, wmh_mask : str
        Image and lesion mask.
    wmh_lesions : str, optional
        Table of lesions, whose rows name what the pictures show.

    """
    image = load_volume(flair_preproc)
    mask = load_volume(wmh_mask, image, order=0).data > 0
    labels, count = ndimage.label(mask, np.ones((3, 3, 3)))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    boxes, rows, axis = ndimage.find_objects(labels), _rows(wmh_lesions), slice_axis(image)
    closeups = []
    for rank in np.argsort(-sizes, kind='stable')[:_LARGEST]:
        points = np.argwhere(labels[boxes[rank]] == rank + 1)
        points += [part.start for part in boxes[rank]]
        index = np.bincount(points[:, axis]).argmax()
        shown = points[points[:, axis] == index]
        wide = (np.ptp(shown, axis=0) + 1) * image.zooms
        row = _match(rows, image.affine @ [*points.mean(axis=0), 1])
        volume = sizes[rank] * float(np.prod(image.zooms)) / 1000
        closeups.append(Closeup(Cut(axis, int(index)), (shown.min(axis=0) + shown.max(axis=0)) / 2,
                                max(_FIELD, 1.3 * wide.max()), _lines(row, volume),
                                labels == rank + 1))  # fmt: skip
    layer = Layer(image, window(image, head(image), high=99.9),
                  outlines=[(mask, COLOURS['sky'])], stroke=1.4)  # fmt: skip
    note = f'The {len(closeups)} largest of {count} lesions.' if count > _LARGEST else ''
    draw_gallery(out_file, layer, closeups, note=note if count else 'No WMH found.',
                 legend={'This lesion': COLOURS['orange'], 'Other lesions': COLOURS['sky']}
                 if count else {})  # fmt: skip


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


def _lines(row: Mapping[str, str], volume: float) -> tuple[str, ...]:
    """Name a lesion: number and volume, zone, side and lobe, degree of membership."""
    given = {key: value for key, value in row.items() if value not in (None, '', 'n/a')}
    zones = {r['abbreviation'].lower(): r['name'] for r in ROOM.makes['zones_dseg'].table}
    number = f'#{given["index"]}  ' if 'index' in given else ''
    zone = given.get('zone', '')
    where = ' '.join(given[key] for key in ('side', 'lobe') if key in given)
    sure = given.get('mean_probability', '')
    lines = (f'{number}{volume:.2f} mL', zones.get(zone, zone), where,
             f'membership {float(sure):.2f}' if sure else '')  # fmt: skip
    return tuple(line for line in lines if line)
