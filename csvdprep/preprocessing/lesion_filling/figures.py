"""Look at the T1w before and after its hyperintensities were filled."""

from __future__ import annotations

from csvdprep.imaging.drawing import COLOURS, Layer, draw_mosaic
from csvdprep.imaging.slices import brought, extent, load_volume, spread, window
from csvdprep.imaging.transforms import read_linear


def draw_filling(
    *,
    out_file: str,
    anat_preproc: str,
    t1w_filled: str,
    brain_mask: str,
    wmh_mask: str,
    flair_to_anat: str,
) -> None:
    """Flicker between the T1w and the filled T1w.

    Parameters
    ----------
    out_file : str
        SVG to write.
    anat_preproc, t1w_filled, brain_mask : str
        T1w, the same filled, its brain.
    wmh_mask, flair_to_anat : str
        Hyperintensities on the FLAIR grid, and the transform (ITK) that resamples the FLAIR onto
        the T1w.

    """
    image = load_volume(anat_preproc)
    mask = load_volume(brain_mask, image, order=0).data > 0
    filled = load_volume(t1w_filled, image)
    lesions = brought(load_volume(wmh_mask), read_linear(flair_to_anat), image).data >= 0.3
    outlines = [(lesions, COLOURS['sky'])]
    limits = window(image, mask)
    draw_mosaic(
        out_file,
        [
            Layer(image, limits, outlines=outlines, name='T1w'),
            Layer(filled, limits, outlines=outlines, name='Filled'),
        ],
        spread(lesions if lesions.any() else mask, 2, 12),
        box=extent(mask, image.zooms, 14.0),
        columns=6,
        legend={'Hyperintensities': COLOURS['sky']},
    )
