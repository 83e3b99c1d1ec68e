"""Look at susceptibility, on its own grid."""

from __future__ import annotations

from csvdprep.imaging.drawing import Layer, draw_mosaic
from csvdprep.imaging.slices import every, extent, load_volume, slice_axis, window

_MOST = 21
#: Grey from black to white, ppm.
RANGE_PPM = (-0.15, 0.2)


def draw_susceptibility(*, out_file: str, gre_chi: str, gre_mag: str, gre_mask: str) -> None:
    """Flicker between susceptibility and magnitude.

    Parameters
    ----------
    out_file : str
        SVG to write.
    gre_chi, gre_mag, gre_mask : str
        Susceptibility (ppm), magnitude and brain.

    """
    image = load_volume(gre_mag)
    mask = load_volume(gre_mask, image, order=0).data > 0
    chi = load_volume(gre_chi, image)
    cuts, step = every(mask, slice_axis(image), _MOST)
    draw_mosaic(
        out_file,
        [
            Layer(chi, RANGE_PPM, name='Susceptibility'),
            Layer(image, window(image, mask), name='Magnitude'),
        ],
        cuts,
        box=extent(mask, image.zooms, 10.0),
        columns=7,
        note=f'Slices {step * image.zooms[slice_axis(image)]:.1f} mm apart; {RANGE_PPM[0]:g} to '
        f'{RANGE_PPM[1]:g} ppm.',
    )
