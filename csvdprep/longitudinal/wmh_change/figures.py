"""Look at change of hyperintensities on both visits."""

from __future__ import annotations

import nibabel as nib
import numpy as np

from csvdprep.imaging.drawing import COLOURS, Layer, draw_mosaic
from csvdprep.imaging.slices import Volume, as_volume, every, extent, slice_axis, window

_MOST = 28
#: Name and colour of each kind of change, in the order of their labels.
KINDS = (
    ('Stable', COLOURS['sky']),
    ('Growth', COLOURS['orange']),
    ('Shrinkage', COLOURS['green']),
    ('New', COLOURS['red']),
    ('Vanished', COLOURS['pink']),
)


def draw_change(*, out_file: str, halfway_flair: str, wmh_change_dseg: str) -> None:
    """Flicker between the first and the last visit, with outlines of change.

    Parameters
    ----------
    out_file : str
        SVG to write.
    halfway_flair : str
        FLAIR of all visits in one space.
    wmh_change_dseg : str
        Map of change there.

    """
    series = nib.load(halfway_flair)
    data = np.asanyarray(series.dataobj, dtype=np.float32)
    visits = [as_volume(nib.Nifti1Image(data[..., k], series.affine)) for k in (0, -1)]
    labels = as_volume(nib.load(wmh_change_dseg)).data
    known = (visits[0].data > 0) & (visits[1].data > 0)
    level = [float(np.median(v.data[known & (v.data > v.data[known].mean())])) for v in visits]
    scaled = [Volume(v.data / n, v.affine) for v, n in zip(visits, level, strict=True)]
    changed = labels > 0
    axis = slice_axis(scaled[0])
    cuts, step = every(changed if changed.any() else known, axis, _MOST)
    outlines = [
        (labels == number, colour)
        for number, (_, colour) in enumerate(KINDS, 1)
        if (labels == number).any()
    ]
    layers = [
        Layer(v, window(v, known, high=99.9), outlines=outlines, name=name, stroke=1.3)
        for v, name in zip(scaled, ('First visit', 'Last visit'), strict=True)
    ]
    draw_mosaic(
        out_file,
        layers,
        cuts,
        box=extent(known, scaled[0].zooms),
        columns=7,
        legend={
            name: colour
            for number, (name, colour) in enumerate(KINDS, 1)
            if (labels == number).any()
        },
        note=f'Slices {step * scaled[0].zooms[axis]:.1f} mm apart.'
        + ('' if changed.any() else ' No hyperintensities were found.'),
    )
