"""Draw three-plane mosaics of the template's labels, to look at."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np

from csvdprep.bids.tsv import read_tsv

_WHOLE = (
    (2, (-24, -10, 2, 14, 26, 38, 50, 64)),
    (1, (-84, -66, -46, -28, -10, 6, 22, 44)),
    (0, (-60, -48, -40, -30, -20, -12, -4, 30)),
)

#: Planes of each picture: axis (0 sagittal, 1 coronal, 2 axial) and places in mm.
SLICES = {
    'structures': (
        (2, (-40, -24, -14, -6, 2, 8, 16, 24)),
        (1, (-60, -42, -34, -24, -14, 0, 8, 18)),
        (0, (-36, -28, -20, -12, -6, -2, 0, 10)),
    ),
    'lobes': _WHOLE,
    'territories': _WHOLE,
    'pvsregions': (
        (2, (-18, -12, -6, 2, 10, 18, 34, 46)),
        (1, (-60, -44, -30, -18, -8, 4, 14, 24)),
        (0, (-36, -30, -24, -18, -12, -8, -4, 8)),
    ),
}


def mosaic(t1: np.ndarray, labels: np.ndarray, colours: np.ndarray, origin, planes) -> np.ndarray:
    """Return one RGB picture: a row of slices for each plane, the patient's right on the right."""
    grey = np.repeat((t1 / max(t1.max(), 1))[..., None], 3, axis=-1)
    inside = (labels > 0)[..., None]
    blended = np.where(inside, 0.55 * grey + 0.45 * colours[labels], grey)
    box = np.nonzero(t1)
    low, high = np.min(box, axis=1), np.max(box, axis=1) + 1
    rows = []
    for axis, places in planes:
        tiles = []
        for place in places:
            window = [slice(a, b) for a, b in zip(low, high, strict=True)]
            window[axis] = int(place - origin[axis])
            tiles.append(np.flipud(blended[tuple(window)].swapaxes(0, 1)))
        rows.append(np.concatenate(tiles, axis=1))
    width = max(row.shape[1] for row in rows)
    rows = [np.pad(r, ((0, 4), (0, width - r.shape[1]), (0, 0))) for r in rows]
    return np.concatenate(rows)


def draw_all(folder: Path, target: Path) -> None:
    """Write ``templates_<kind>.png`` for each label image of `folder`."""
    from PIL import Image

    target.mkdir(parents=True, exist_ok=True)
    image = nib.load(next(folder.glob('*_res-01_desc-brain_T1w.nii.gz')))
    t1, origin = image.get_fdata(), image.affine[:3, 3]
    for kind, planes in SLICES.items():
        stem = next(folder.glob(f'*_desc-{kind}_dseg.nii.gz'))
        labels = np.asarray(nib.load(stem).dataobj)
        colours = np.zeros((256, 3))
        for row in read_tsv(str(stem).replace('.nii.gz', '.tsv')).rows:
            code = row['color']
            colours[int(row['index'])] = [int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        picture = mosaic(t1, labels, colours, origin, planes)
        rgb = Image.fromarray((255 * picture).astype(np.uint8))
        rgb.quantize(128).save(target / f'templates_{kind}.png', optimize=True)
