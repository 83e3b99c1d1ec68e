"""Look at the registration of visits."""

from __future__ import annotations

import nibabel as nib
import numpy as np

from csvdprep.imaging.drawing import Layer, draw_mosaic
from csvdprep.imaging.slices import Volume, as_volume, extent, load_volume, spread, window


def draw_halfway(*, out_file: str, **files: str) -> None:
    """Flicker between the first and the last visit.

    Parameters
    ----------
    out_file : str
        SVG to write.
    **files : str
        Images of all visits in one space, and the error of the registration there.

    """
    error = next(path for name, path in files.items() if name.endswith('_error'))
    series = nib.load(next(path for name, path in files.items() if not name.endswith('_error')))
    data = np.asanyarray(series.dataobj, dtype=np.float32)
    visits = [as_volume(nib.Nifti1Image(data[..., k], series.affine)) for k in (0, -1)]
    brain = load_volume(error).data > 0
    cuts = [*spread(brain, 2, 12), *spread(brain, 1, 6)]
    layers = [
        Layer(_scaled(visit, brain), window(_scaled(visit, brain), brain, high=99.9), name=name)
        for visit, name in zip(visits, ('First visit', 'Last visit'), strict=True)
    ]
    draw_mosaic(out_file, layers, cuts, box=extent(brain, visits[0].zooms, 10.0), columns=6)


def _scaled(visit: Volume, brain: np.ndarray) -> Volume:
    middle = float(np.median(visit.data[brain])) or 1.0
    return Volume(visit.data / middle, visit.affine)
