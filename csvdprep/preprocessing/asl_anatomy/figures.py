"""Look at the ASL series on the anatomical reference."""

from __future__ import annotations

import numpy as np

from csvdprep.imaging.drawing import COLOURS, Layer, draw_mosaic
from csvdprep.imaging.slices import brought, extent, load_volume, spread, window
from csvdprep.imaging.transforms import read_linear


def draw_alignment(
    *,
    out_file: str,
    asl_ref: str,
    asl_m0: str,
    asl_mask: str,
    anat_preproc: str,
    brain_mask: str,
    asl_to_anat: str,
) -> None:
    """Flicker between the series and the anatomical reference, on the grid of the series.

    Parameters
    ----------
    out_file : str
        SVG to write.
    asl_ref, asl_m0, asl_mask : str
        Mean control, M0, and the brain.
    anat_preproc, brain_mask : str
        Anatomical reference, and its brain.
    asl_to_anat : str
        Transform (ITK) that resamples the series onto the reference.

    """
    own = load_volume(asl_m0)
    brain = load_volume(asl_mask, own, order=0).data > 0
    if not np.ptp(own.data[brain]) > 0:
        own = load_volume(asl_ref)
    back = np.linalg.inv(read_linear(asl_to_anat))
    anat = brought(load_volume(anat_preproc), back, own)
    there = brought(load_volume(brain_mask), back, own, order=0).data > 0
    outlines = [(there, COLOURS['sky'])]
    cuts = [*spread(brain, 2, 7), *spread(brain, 0, 4), *spread(brain, 1, 3)]
    layers = [
        Layer(own, window(own, brain), outlines=outlines, name='ASL', stroke=1.0),
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
