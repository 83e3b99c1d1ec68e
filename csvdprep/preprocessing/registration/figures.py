"""Look at the alignment of the anatomical reference with the template."""

from __future__ import annotations

import nibabel as nb
import numpy as np

from csvdprep.interfaces.drawing import COLOURS, Layer, draw_mosaic
from csvdprep.interfaces.slices import Volume, as_volume, extent, load_volume, spread, window
from csvdprep.resources import resource


def draw_registration(
    *, out_file: str, anat_filled: str, anat_to_mni: str, brain_mask: str
) -> None:
    """Flicker between the template and the anatomical reference warped onto it.

    Parameters
    ----------
    out_file : str
        SVG to write.
    anat_filled : str
        Anatomical reference.
    anat_to_mni : str
        Transform (ITK) that resamples it into the template.
    brain_mask : str
        Mask of the reference: only what lies inside is shown, as the template is a bare brain.

    """
    path = resource('template')
    template = load_volume(path)
    brain = load_volume(resource('template_mask'), template, order=0).data > 0
    warped = _warped(anat_filled, brain_mask, anat_to_mni, path)
    white = load_volume(resource('template_wm'), template).data > 0.5
    outlines = [(brain, COLOURS['orange']), (white, COLOURS['sky'])]
    layers = [
        Layer(template, window(template), outlines=outlines, name='Template', stroke=1.1),
        Layer(warped, window(warped), outlines=outlines, name='Participant, aligned', stroke=1.1),
    ]
    draw_mosaic(out_file, layers, [*spread(brain, 2, 12), *spread(brain, 1, 6)],
                box=extent(brain, template.zooms, 10.0), columns=6,
                legend={'Brain of the template': COLOURS['orange'],
                        'White matter of the template': COLOURS['sky']})  # fmt: skip


def _warped(image: str, mask: str, transform: str, template: str) -> Volume:
    """Resample what lies within the mask onto the template."""
    from csvdprep.interfaces.ants import apply_transform  # takes seconds

    moving = nb.load(image)
    inside = np.asanyarray(nb.load(mask).dataobj) > 0
    bare = np.where(inside, np.nan_to_num(moving.get_fdata(dtype=np.float32)), 0)
    warped = apply_transform(
        nb.Nifti1Image(bare.astype(np.float32), moving.affine), nb.load(template), transform
    )
    return as_volume(warped)
