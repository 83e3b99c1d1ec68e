"""Look at the alignment of the angiogram with the anatomical reference."""

from __future__ import annotations

import numpy as np

from csvdprep.imaging.drawing import COLOURS, Layer, draw_mosaic
from csvdprep.imaging.slices import brought, extent, load_volume, spread, window
from csvdprep.imaging.transforms import read_linear
from csvdprep.science.still_tissue import tissue_level

#: Grey of the angiogram, in units of tissue.
RANGE = (0.2, 2.0)


def draw_coregistration(
    *,
    out_file: str,
    anat_preproc: str,
    tof_preproc: str,
    tof_mask: str,
    tof_to_anat: str,
    brain_mask: str,
) -> None:
    """Flicker between the angiogram and the reference brought onto it.

    Parameters
    ----------
    out_file : str
        SVG to write.
    anat_preproc, brain_mask : str
        The reference, and its brain.
    tof_preproc, tof_mask : str
        The angiogram, and the head.
    tof_to_anat : str
        Rigid transform (ITK) that resamples the angiogram onto the reference.

    """
    image = load_volume(tof_preproc)
    head = load_volume(tof_mask, image, order=0).data > 0
    way = np.linalg.inv(read_linear(tof_to_anat))
    brain = brought(load_volume(brain_mask), way, image, order=0).data > 0
    moved = brought(load_volume(anat_preproc), way, image)
    tissue = tissue_level(image.data[head])
    outlines = [(brain, COLOURS['orange'])]
    layers = [
        Layer(moved, window(moved, brain), outlines=outlines, name='Anatomical reference'),
        Layer(
            image, tuple(r * max(tissue, 1e-6) for r in RANGE), outlines=outlines, name='Angiogram'
        ),
    ]
    shown = brain if brain.any() else head
    draw_mosaic(
        out_file,
        layers,
        [*spread(shown, 2, 6), *spread(shown, 1, 3)],
        box=extent(shown, image.zooms, 8.0),
        columns=6,
        legend={'Brain mask of the reference': COLOURS['orange']},
    )
