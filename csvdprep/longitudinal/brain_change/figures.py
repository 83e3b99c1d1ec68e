"""Look at where the borders of the brain moved."""

from __future__ import annotations

import nibabel as nib
import numpy as np
from scipy import ndimage as ndi

from csvdprep.imaging.drawing import COLOURS, Layer, draw_mosaic
from csvdprep.imaging.slices import Volume, as_volume, extent, spread, window

#: Share of a voxel, mean along the border, from which a shift is drawn, and drawn strongly.
LEAST, STRONG = 0.03, 0.1
#: Scale (SD, mm) of that mean.
SMOOTH_MM = 2.5
#: Name and colour of each kind.
KINDS = (
    ('Loss', COLOURS['orange']),
    ('Strong loss', COLOURS['red']),
    ('Gain', COLOURS['sky']),
    ('Strong gain', COLOURS['blue']),
)


def draw_brain_change(*, out_file: str, halfway_t1w: str, brain_change_shift: str) -> None:
    """Flicker between the last visit with marks and the first without.

    Parameters
    ----------
    out_file : str
        SVG to write.
    halfway_t1w : str
        T1w of all visits in one space.
    brain_change_shift : str
        Shift of the borders there.

    """
    series = nib.load(halfway_t1w)
    data = np.asanyarray(series.dataobj, dtype=np.float32)
    visits = [as_volume(nib.Nifti1Image(data[..., k], series.affine)) for k in (0, -1)]
    moved = as_volume(nib.load(brain_change_shift))
    border = moved.data != 0
    scale = SMOOTH_MM / moved.zooms
    near = ndi.gaussian_filter(moved.data, scale) / np.maximum(
        ndi.gaussian_filter(border.astype(np.float32), scale), 1e-3
    )
    labels = np.zeros(near.shape, np.uint8)
    for sign, first in ((-1, 1), (1, 3)):
        labels[border & (sign * near > LEAST)] = first
        labels[border & (sign * near > STRONG)] = first + 1
    brain = ndi.binary_fill_holes(ndi.binary_closing(border, iterations=2))
    scaled = []
    for visit in visits:
        level = float(np.median(visit.data[brain & (visit.data > 0)])) or 1.0
        scaled.append(Volume(visit.data / level, visit.affine))
    colours = {number: colour for number, (_, colour) in enumerate(KINDS, 1)}
    layers = [
        Layer(
            scaled[1],
            window(scaled[1], brain, high=99.9),
            labels=labels,
            colours=colours,
            opacity=0.75,
            name='Last visit, with the shift',
        ),
        Layer(scaled[0], window(scaled[0], brain, high=99.9), name='First visit'),
    ]
    cuts = [*spread(brain, 2, 12), *spread(brain, 1, 6)]
    draw_mosaic(
        out_file,
        layers,
        cuts,
        box=extent(brain, scaled[0].zooms, 8.0),
        columns=6,
        legend=dict(KINDS),
        note=f'Marks: {100 * LEAST:g} % ({100 * STRONG:g} % where strong) of a voxel or more, '
        f'mean along some {2.355 * SMOOTH_MM:.0f} mm of border.',
    )
