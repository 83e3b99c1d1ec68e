"""Look at the gradient echo, on its own grid."""

from __future__ import annotations

from csvdprep.imaging.drawing import COLOURS, Layer, draw_mosaic
from csvdprep.imaging.slices import every, extent, load_volume, slice_axis, window

_MOST = 21


def draw_magnitude(*, out_file: str, gre_mag: str, gre_mask: str) -> None:
    """Draw the magnitude with the outline of the brain.

    Parameters
    ----------
    out_file : str
        SVG to write.
    gre_mag, gre_mask : str
        Magnitude and brain.

    """
    image = load_volume(gre_mag)
    mask = load_volume(gre_mask, image, order=0).data > 0
    cuts, step = every(mask, slice_axis(image), _MOST)
    outlines = [(mask, COLOURS['sky'])]
    draw_mosaic(
        out_file,
        [Layer(image, window(image, mask), outlines=outlines, name='Magnitude', stroke=1.0)],
        cuts,
        box=extent(mask, image.zooms, 10.0),
        columns=7,
        legend={'Brain of the anatomy': COLOURS['sky']},
        note=f'Slices {step * image.zooms[slice_axis(image)]:.1f} mm apart.',
    )
