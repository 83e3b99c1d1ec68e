"""Look at the tissues and the lateral ventricles."""

from __future__ import annotations

import numpy as np

from csvdprep.imaging.drawing import COLOURS, Layer, draw_mosaic
from csvdprep.imaging.slices import extent, load_volume, spread, window


def draw_tissues(
    *,
    out_file: str,
    anat_preproc: str,
    brain_mask: str,
    tissue_dseg: str,
    ventricles: str | None = None,
) -> None:
    """Draw the borders of white matter, brain and lateral ventricles.

    Parameters
    ----------
    out_file : str
        SVG to write.
    anat_preproc, brain_mask : str
        Image and its mask.
    tissue_dseg : str
        1 CSF, 2 grey matter, 3 white matter.
    ventricles : str, optional
        1 left, 2 right.

    """
    image = load_volume(anat_preproc)
    mask = load_volume(brain_mask, image, order=0).data > 0
    tissue = np.rint(load_volume(tissue_dseg, image, order=0).data)
    legend = {'Grey and white matter': COLOURS['sky'], 'White matter': COLOURS['orange']}
    outlines = [((tissue == 2) | (tissue == 3), COLOURS['sky']), (tissue == 3, COLOURS['orange'])]
    if ventricles:
        inside = np.rint(load_volume(ventricles, image, order=0).data)
        outlines += [(inside == 1, COLOURS['green']), (inside == 2, COLOURS['pink'])]
        legend |= {
            'Left lateral ventricle': COLOURS['green'],
            'Right lateral ventricle': COLOURS['pink'],
        }
    cuts = [*spread(mask, 2, 12), *spread(mask, 1, 6)]
    layer = Layer(image, window(image, mask), outlines=outlines, stroke=0.9)
    draw_mosaic(out_file, layer, cuts, box=extent(mask, image.zooms), columns=6, legend=legend)
