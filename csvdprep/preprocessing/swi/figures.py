"""Look at the susceptibility-weighted image, on its own grid."""

from __future__ import annotations

from csvdprep.imaging.drawing import Layer, draw_mosaic
from csvdprep.imaging.slices import every, extent, load_volume, slice_axis, window

_MOST = 21


def draw_swi(*, out_file: str, gre_swi: str, gre_minip: str, gre_mask: str) -> None:
    """Flicker between projection and slices.

    Parameters
    ----------
    out_file : str
        SVG to write.
    gre_swi, gre_minip, gre_mask : str
        Susceptibility-weighted image, its minimum intensity projection, brain.

    """
    image = load_volume(gre_swi)
    mask = load_volume(gre_mask, image, order=0).data > 0
    projection = load_volume(gre_minip, image)
    cuts, step = every(mask, slice_axis(image), _MOST)
    shown = window(image, mask)
    draw_mosaic(
        out_file,
        [
            Layer(projection, shown, name='Minimum intensity projection'),
            Layer(image, shown, name='Slices'),
        ],
        cuts,
        box=extent(mask, image.zooms, 10.0),
        columns=7,
        note=f'Slices {step * image.zooms[slice_axis(image)]:.1f} mm apart.',
    )
