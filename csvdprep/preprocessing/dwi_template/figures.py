"""Look at the alignment of FA with its template."""

from __future__ import annotations

import nibabel as nib

from csvdprep.imaging.drawing import COLOURS, Layer, draw_mosaic
from csvdprep.imaging.slices import as_volume, extent, load_volume, spread
from csvdprep.resources import resource


def draw_registration(*, out_file: str, dwi_fa: str, dwi_mask: str, fa_to_dwi: str) -> None:
    """Flicker between FA and the template brought onto it.

    Parameters
    ----------
    out_file : str
        SVG to write.
    dwi_fa, dwi_mask : str
        Map and brain.
    fa_to_dwi : str
        Transform (ITK) that resamples the template onto the map.

    """
    from csvdprep.imaging.ants import apply_transform

    own = load_volume(dwi_fa)
    brain = load_volume(dwi_mask, own, order=0).data > 0
    moved = apply_transform(nib.load(resource('fa_template')), nib.load(dwi_fa), [fa_to_dwi])
    template = as_volume(moved)
    outlines = [(template.data > 0.35, COLOURS['sky'])]
    cuts = [*spread(brain, 2, 7), *spread(brain, 0, 4), *spread(brain, 1, 3)]
    layers = [
        Layer(own, (0.0, 0.8), outlines=outlines, name='FA', stroke=0.8),
        Layer(template, (0.0, 0.8), outlines=outlines, name='Template', stroke=0.8),
    ]
    draw_mosaic(
        out_file,
        layers,
        cuts,
        box=extent(brain, own.zooms, 8.0),
        columns=7,
        legend={'FA of the template above 0.35': COLOURS['sky']},
    )
