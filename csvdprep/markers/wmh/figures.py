"""Look at all white matter hyperintensities."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from csvdprep.imaging.drawing import COLOURS, Layer, draw_mosaic
from csvdprep.imaging.slices import Cut, every, extent, head, load_volume, slice_axis, window

_MOST = 42
#: Distance below the top of the brain as a share of its height, cerebellum included. In the
#: template, these are the planes at z = 2, 20 and 37 mm.
LEVELS = {
    'basal ganglia': 0.52,
    'bodies of the lateral ventricles': 0.4,
    'centrum semiovale': 0.29,
}


def draw_wmh(
    *, out_file: str, flair_preproc: str, wmh_mask: str, flair_mask: str | None = None
) -> None:
    """Draw all slices of the FLAIR that have hyperintensities, with their outline.

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
    others = tuple(a for a in range(3) if a != axis)
    # All slices with lesions, and one on either side: what is missed at their ends shows there.
    there = np.flatnonzero(ndimage.binary_dilation(lesions.any(others)) & brain.any(others))
    cuts, step = [Cut(axis, int(k)) for k in there], 1
    if not lesions.any():
        cuts, step = every(brain, axis, _MOST)
    outlines = [(lesions, COLOURS['orange'])]
    layer = Layer(image, window(image, brain, high=99.9), outlines=outlines)
    apart = f'{step * image.zooms[axis]:.1f} mm apart'
    note = f'All {len(cuts)} slices with hyperintensities and one on either side, {apart}.'
    draw_mosaic(
        out_file,
        layer,
        cuts,
        box=extent(brain, image.zooms),
        columns=6,
        legend={'WMH': COLOURS['orange']} if lesions.any() else {},
        note=note if lesions.any() else f'No WMH were found; slices {apart}.',
    )


def draw_levels(
    *, out_file: str, flair_preproc: str, wmh_mask: str, flair_mask: str | None = None
) -> None:
    """Draw three axial slices at the levels at which hyperintensities are graded.

    Parameters
    ----------
    out_file : str
        SVG to write.
    flair_preproc, wmh_mask : str
        Image and lesion mask.
    flair_mask : str, optional
        Brain mask; the levels are shares of its height.

    """
    image = load_volume(flair_preproc)
    lesions = load_volume(wmh_mask, image, order=0).data > 0
    brain = load_volume(flair_mask, image, order=0).data > 0 if flair_mask else head(image)
    box = extent(brain, image.zooms, margin=3)
    inside = np.flatnonzero(brain.any((0, 1)))
    low, high = (inside[0], inside[-1]) if inside.size else (0, brain.shape[2] - 1)
    cuts = [Cut(2, round(high - share * (high - low))) for share in LEVELS.values()]
    outlines = [(lesions, COLOURS['orange'])]
    layer = Layer(image, window(image, brain, high=99.9), outlines=outlines, stroke=2.4)
    note = f'{", ".join(LEVELS)}.'.capitalize()
    draw_mosaic(out_file, layer, cuts, box=box, columns=len(cuts), note=note)
