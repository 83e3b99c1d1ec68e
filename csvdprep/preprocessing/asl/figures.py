"""Look at the ASL series, on its own grid."""

from __future__ import annotations

from csvdprep.imaging.drawing import COLOURS, Layer, draw_mosaic
from csvdprep.imaging.slices import every, extent, load_volume, slice_axis, window

_MOST = 21


def draw_series(*, out_file: str, asl_ref: str, asl_m0: str, asl_mask: str) -> None:
    """Flicker between the mean of the control volumes and M0, with the brain.

    Parameters
    ----------
    out_file : str
        SVG to write.
    asl_ref, asl_m0, asl_mask : str
        Mean control, M0 and brain.

    """
    image = load_volume(asl_ref)
    m0 = load_volume(asl_m0, image)
    mask = load_volume(asl_mask, image, order=0).data > 0
    cuts, step = every(mask, slice_axis(image), _MOST)
    outlines = [(mask, COLOURS['sky'])]
    layers = [Layer(image, window(image, mask), outlines=outlines, name='Control', stroke=1.0)]
    if m0.data.any():
        layers.append(Layer(m0, window(m0, mask), outlines=outlines, name='M0', stroke=1.0))
    draw_mosaic(
        out_file,
        layers,
        cuts,
        box=extent(mask, image.zooms, 10.0),
        columns=7,
        legend={'Brain': COLOURS['sky']},
        note=f'Slices {step * image.zooms[slice_axis(image)]:.1f} mm apart.',
    )
