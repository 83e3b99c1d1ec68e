"""Draw how well an image lies on the anatomical reference."""

from __future__ import annotations

from csvdprep.imaging.drawing import COLOURS, Layer, draw_mosaic
from csvdprep.imaging.slices import brought, extent, load_volume, spread, window
from csvdprep.imaging.transforms import read_linear


def draw_on_reference(
    out_file: str, *, reference: str, brain_mask: str, moving: str, transform: str, name: str
) -> None:
    """Flicker between the anatomical reference and an image brought onto it.

    Parameters
    ----------
    out_file : str
        SVG to write.
    reference, brain_mask : str
        Anatomical reference, and the mask of its brain on the same grid.
    moving : str
        The image, on its own grid.
    transform : str
        Rigid transform (ITK) that resamples the image onto the reference.
    name : str
        What the image is called: 'FLAIR'.

    """
    image = load_volume(reference)
    mask = load_volume(brain_mask, image, order=0).data > 0
    moved = brought(load_volume(moving), read_linear(transform), image)
    outlines = [(mask, COLOURS['orange'])]
    layers = [
        Layer(image, window(image, mask), outlines=outlines, name='Anatomical reference'),
        Layer(moved, window(moved, mask), outlines=outlines, name=f'{name}, aligned'),
    ]
    draw_mosaic(
        out_file,
        layers,
        [*spread(mask, 2, 12), *spread(mask, 1, 6)],
        box=extent(mask, image.zooms, 14.0),
        columns=6,
        legend={'Brain mask of the reference': COLOURS['orange']},
    )
