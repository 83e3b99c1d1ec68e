"""Look at the brain mask."""

from __future__ import annotations

from csvdprep.imaging.drawing import COLOURS, Layer, draw_mosaic
from csvdprep.imaging.slices import extent, load_volume, spread, window


def draw_brain_mask(*, out_file: str, anat_preproc: str, brain_mask: str) -> None:
    """Draw the outline of the brain mask on the anatomical reference, in three directions.

    Parameters
    ----------
    out_file : str
        SVG to write.
    anat_preproc, brain_mask : str
        Image and its mask.

    """
    image = load_volume(anat_preproc)
    mask = load_volume(brain_mask, image, order=0).data > 0
    cuts = [*spread(mask, 2, 14), *spread(mask, 1, 7), *spread(mask, 0, 5)]
    layer = Layer(image, window(image, mask), outlines=[(mask, COLOURS['orange'])])
    draw_mosaic(
        out_file,
        layer,
        cuts,
        box=extent(mask, image.zooms, 14.0),
        columns=7,
        legend={'Brain mask': COLOURS['orange']},
        note='' if mask.any() else 'The mask is empty.',
    )
