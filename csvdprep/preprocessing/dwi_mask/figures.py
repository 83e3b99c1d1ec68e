"""Look at a diffusion series before and after correction."""

from __future__ import annotations

from csvdprep.imaging.drawing import COLOURS, Layer, draw_mosaic
from csvdprep.imaging.slices import extent, load_volume, spread, window


def draw_series(*, out_file: str, dwi_b0_raw: str, dwi_b0: str, dwi_mask: str) -> None:
    """Flicker between the volumes without gradient before and after correction.

    Parameters
    ----------
    out_file : str
        SVG to write.
    dwi_b0_raw, dwi_b0 : str
        First volume without gradient as acquired, and their mean after correction.
    dwi_mask : str
        Brain.

    """
    after = load_volume(dwi_b0)
    before = load_volume(dwi_b0_raw, after)
    brain = load_volume(dwi_mask, after, order=0).data > 0
    outlines = [(brain, COLOURS['orange'])]
    cuts = [*spread(brain, 2, 7), *spread(brain, 0, 4), *spread(brain, 1, 3)]
    layers = [
        Layer(
            before, window(before, brain), outlines=outlines, name='b = 0 as acquired', stroke=1.0
        ),
        Layer(
            after,
            window(after, brain),
            outlines=outlines,
            name='b = 0 after correction',
            stroke=1.0,
        ),
    ]
    draw_mosaic(
        out_file,
        layers,
        cuts,
        box=extent(brain, after.zooms, 12.0),
        columns=7,
        legend={'Brain mask': COLOURS['orange']},
    )
