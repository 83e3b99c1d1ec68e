"""Look at all white matter hyperintensities."""

from __future__ import annotations

from csvdprep.imaging.drawing import COLOURS, Layer, draw_mosaic
from csvdprep.imaging.slices import every, extent, head, load_volume, slice_axis, window

_MOST = 42


def draw_wmh(
    *, out_file: str, flair_preproc: str, wmh_mask: str, flair_mask: str | None = None
) -> None:
    """Draw the slices of the FLAIR as acquired, with the outline of the hyperintensities.

    Parameters
    ----------
    out_file : str
        SVG to write.
    flair_preproc, wmh_mask : str
        Image and lesion mask.
    flair_mask : str, optional
        Brain mask; decides which part of the image is shown.

    """
    image = load_volume(flair_preproc)
    lesions = load_volume(wmh_mask, image, order=0).data > 0
    brain = load_volume(flair_mask, image, order=0).data > 0 if flair_mask else head(image)
    axis = slice_axis(image)
    cuts, step = every(brain, axis, _MOST)
    layer = Layer(
        image, window(image, brain, high=99.9), outlines=[(lesions, COLOURS['orange'])], stroke=1.3
    )
    note = 'Every slice' if step == 1 else f'One slice in {step}'
    draw_mosaic(
        out_file,
        layer,
        cuts,
        box=extent(brain, image.zooms),
        columns=7,
        legend={'WMH': COLOURS['orange']} if lesions.any() else {},
        note=f'{note}, {step * image.zooms[axis]:.1f} mm apart.'
        + ('' if lesions.any() else ' No WMH were found.'),
    )
