"""Look at the local field, on its own grid."""

from __future__ import annotations

from csvdprep.imaging.drawing import Layer, draw_mosaic
from csvdprep.imaging.slices import every, extent, load_volume, slice_axis, window

_MOST = 21
#: Grey from black to white, ppm.
RANGE_PPM = (-0.1, 0.1)


def draw_field(*, out_file: str, gre_mag: str, gre_local: str, gre_mask: str) -> None:
    """Flicker between magnitude and local field.

    Parameters
    ----------
    out_file : str
        SVG to write.
    gre_mag, gre_local, gre_mask : str
        Magnitude, local field (ppm) and brain.

    """
    image = load_volume(gre_mag)
    mask = load_volume(gre_mask, image, order=0).data > 0
    field = load_volume(gre_local, image)
    cuts, step = every(mask, slice_axis(image), _MOST)
    draw_mosaic(
        out_file,
        [
            Layer(field, RANGE_PPM, name='Local field'),
            Layer(image, window(image, mask), name='Magnitude'),
        ],
        cuts,
        box=extent(mask, image.zooms, 10.0),
        columns=7,
        note=f'Slices {step * image.zooms[slice_axis(image)]:.1f} mm apart; {RANGE_PPM[0]:g} to '
        f'{RANGE_PPM[1]:g} ppm.',
    )
