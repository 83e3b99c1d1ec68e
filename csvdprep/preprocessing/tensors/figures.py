"""Look at fibre directions, diffusivity and free water."""

from __future__ import annotations

import matplotlib
import nibabel as nib
import numpy as np
from matplotlib.figure import Figure

from csvdprep.imaging.drawing import Layer, draw_mosaic
from csvdprep.imaging.slices import extent, load_volume, plane, spread

#: FA that is drawn in full brightness.
BRIGHT = 0.7


def draw_directions(*, out_file: str, dwi_fa: str, dwi_direction: str, dwi_mask: str) -> None:
    """Draw the directions of fibres in colours.

    Parameters
    ----------
    out_file : str
        SVG to write.
    dwi_fa, dwi_direction, dwi_mask : str
        Anisotropy, main direction in world axes, brain.

    """
    fa = load_volume(dwi_fa)
    brain = load_volume(dwi_mask, fa, order=0).data > 0
    colour = np.abs(_vectors(dwi_direction))
    colour = np.clip(colour * (fa.data * brain / BRIGHT)[..., None], 0, 1)
    cuts = [*spread(brain, 2, 14), *spread(brain, 0, 3), *spread(brain, 1, 4)]
    box = extent(brain, fa.zooms, 6.0)
    figure = Figure((12, 6.2), facecolor='black')
    for number, cut in enumerate(cuts):
        axes = figure.add_axes([(number % 7) / 7, 1 - (number // 7 + 1) / 3, 1 / 7, 1 / 3])
        picture = np.stack([plane(colour[..., c], cut, box) for c in range(3)], axis=-1)
        sides = [a for a in range(3) if a != cut.axis]
        axes.imshow(
            picture, aspect=fa.zooms[sides[1]] / fa.zooms[sides[0]], interpolation='nearest'
        )
        axes.axis('off')
    with matplotlib.rc_context({'svg.hashsalt': 'csvdprep'}):
        figure.savefig(out_file, metadata={'Date': None}, facecolor='black', dpi=100)


def draw_diffusivity(*, out_file: str, dwi_md: str, dwi_fw: str, dwi_mask: str) -> None:
    """Flicker between mean diffusivity and free water.

    Parameters
    ----------
    out_file : str
        SVG to write.
    dwi_md, dwi_fw, dwi_mask : str
        Mean diffusivity (mm²/s), free water, brain.

    """
    md = load_volume(dwi_md)
    water = load_volume(dwi_fw, md)
    brain = load_volume(dwi_mask, md, order=0).data > 0
    cuts = [*spread(brain, 2, 7), *spread(brain, 0, 4), *spread(brain, 1, 3)]
    layers = [
        Layer(md, (0.0, 2e-3), name='Mean diffusivity'),
        Layer(water, (0.0, 1.0), name='Free water'),
    ]
    draw_mosaic(out_file, layers, cuts, box=extent(brain, md.zooms, 6.0), columns=7)


def _vectors(path: str) -> np.ndarray:
    """Return vectors with the axes of the array as those of :func:`load_volume`."""
    image = nib.as_closest_canonical(nib.load(path))
    return np.asanyarray(image.dataobj, dtype=np.float32)
