"""Look at the alignment of the T2w with the anatomical reference."""

from __future__ import annotations

from csvdprep.imaging.drawing import COLOURS, Layer, draw_mosaic
from csvdprep.imaging.slices import brought, extent, load_volume, spread, window
from csvdprep.imaging.transforms import read_linear


def draw_coregistration(
    *, out_file: str, anat_preproc: str, t2w_preproc: str, t2w_to_anat: str, brain_mask: str
) -> None:
    """Flicker between the anatomical reference and the T2w brought onto it.

    Parameters
    ----------
    out_file : str
        SVG to write.
    anat_preproc, t2w_preproc : str
        The two images, each on its own grid.
    t2w_to_anat : str
        Rigid transform (ITK) that resamples the T2w onto the reference.
    brain_mask : str
        Mask of the reference.

    """
    image = load_volume(anat_preproc)
    mask = load_volume(brain_mask, image, order=0).data > 0
    moved = brought(load_volume(t2w_preproc), read_linear(t2w_to_anat), image)
    outlines = [(mask, COLOURS['orange'])]
    layers = [
        Layer(image, window(image, mask), outlines=outlines, name='Anatomical reference'),
        Layer(moved, window(moved, mask), outlines=outlines, name='T2w, aligned'),
    ]
    draw_mosaic(
        out_file,
        layers,
        [*spread(mask, 2, 12), *spread(mask, 1, 6)],
        box=extent(mask, image.zooms, 14.0),
        columns=6,
        legend={'Brain mask of the reference': COLOURS['orange']},
    )
