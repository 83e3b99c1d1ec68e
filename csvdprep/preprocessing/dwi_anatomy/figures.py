"""Look at the diffusion series on the anatomical reference."""

from __future__ import annotations

import numpy as np

from csvdprep.imaging.drawing import COLOURS, Layer, draw_mosaic
from csvdprep.imaging.slices import brought, extent, load_volume, spread, window
from csvdprep.imaging.transforms import read_linear


def draw_alignment(
    *,
    out_file: str,
    dwi_b0: str,
    dwi_mask: str,
    anat_preproc: str,
    brain_mask: str,
    dwi_to_anat: str,
) -> None:
    """Flicker between the series and the anatomical reference, on the grid of the series.

    Parameters
    ----------
    out_file : str
        SVG to write.
    dwi_b0, dwi_mask : str
        Mean without gradient, and its brain.
    anat_preproc, brain_mask : str
        Anatomical reference, and its brain.
    dwi_to_anat : str
        Transform (ITK) that resamples the series onto the reference.

    """
    own = load_volume(dwi_b0)
    brain = load_volume(dwi_mask, own, order=0).data > 0
    back = np.linalg.inv(read_linear(dwi_to_anat))
    anat = brought(load_volume(anat_preproc), back, own)
    there = brought(load_volume(brain_mask), back, own, order=0).data > 0
    outlines = [(there, COLOURS['sky'])]
    cuts = [*spread(brain, 2, 7), *spread(brain, 0, 4), *spread(brain, 1, 3)]
    layers = [
        Layer(own, window(own, brain), outlines=outlines, name='b = 0', stroke=1.0),
        Layer(anat, window(anat, there), outlines=outlines, name='Anatomy', stroke=1.0),
    ]
    draw_mosaic(
        out_file,
        layers,
        cuts,
        box=extent(brain, own.zooms, 12.0),
        columns=7,
        legend={'Brain of the anatomy': COLOURS['sky']},
    )
