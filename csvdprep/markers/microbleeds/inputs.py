"""What the detection takes, gathered from files."""

from __future__ import annotations

import numpy as np

from csvdprep.imaging.atlas import label_names, labels_of
from csvdprep.imaging.frame import ImageFrame
from csvdprep.imaging.images import load

#: Structures that hold fluid, near whose walls veins and choroid plexus lie.
VENTRICLES = ('ventricle',)
#: Structures of deep grey matter, and below the tentorium.
DEEP = ('thalamus', 'caudate', 'putamen', 'pallidum')
INFRATENTORIAL = ('cerebellum', 'brainstem')


def nonzero_labels(mask: str) -> list[float]:
    """Return the values of a mask other than 0."""
    values = np.unique(np.nan_to_num(np.asanyarray(load(mask).dataobj)))
    return [value for value in values.tolist() if value]


def anatomy_on(frame: ImageFrame, gm: str, csf: str, structures: str) -> dict[str, np.ndarray]:
    """Bring the anatomy to the grid of the gradient echo.

    Parameters
    ----------
    frame : ImageFrame
        Where to.
    gm, csf, structures : str
        Probabilities and structures, on the reference.

    Returns
    -------
    dict of str to ndarray of float32
        Share of each voxel, for each of ``ANATOMY`` of the science. Cortex is grey matter
        outside of all structures.
    """

    def share(*words: str) -> np.ndarray:
        return frame.share(structures, labels=labels_of('structures', *words))

    inner = frame.share(structures, labels=list(label_names('structures')))
    return {
        'fluid': frame.share(csf),
        'cortex': np.clip(frame.share(gm) * (1 - inner), 0, 1).astype(np.float32),
        'pallidum': share('pallidum'),
        'ventricle': share(*VENTRICLES),
        'deep': share(*DEEP),
        'infratentorial': share(*INFRATENTORIAL),
    }
