"""Look at the angiogram before and after correction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from csvdprep.imaging.drawing import Layer, draw_mosaic
from csvdprep.imaging.inspect import load_clean
from csvdprep.imaging.slices import as_volume, extent, load_volume, spread
from csvdprep.science.still_tissue import tissue_level

#: Grey from black to white, in units of still tissue.
RANGE = (0.0, 2.5)


def draw_equalised(
    *, out_file: str, tof: Mapping[str, Any], tof_preproc: str, tof_mask: str
) -> None:
    """Flicker between the angiogram as acquired and corrected.

    Parameters
    ----------
    out_file : str
        SVG to write.
    tof : mapping
        The scan, with its path under ``image``.
    tof_preproc, tof_mask : str
        Corrected angiogram, and the head.

    """
    image = load_volume(tof_preproc)
    mask = load_volume(tof_mask, image, order=0).data > 0
    before = as_volume(load_clean(tof['image']))
    layers = []
    for volume, name in ((before, 'As acquired'), (image, 'Corrected')):
        tissue = tissue_level(volume.data[mask])
        limits = tuple(r * max(tissue, 1e-6) for r in RANGE)
        layers.append(Layer(volume, limits, name=name))
    draw_mosaic(
        out_file,
        layers,
        [*spread(mask, 1, 6), *spread(mask, 0, 6)],
        box=extent(mask, image.zooms, 4.0),
        columns=3,
    )
