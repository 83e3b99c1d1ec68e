"""Parts of the brain over which the truth of a coarse scan is averaged, on that scan's grid."""

from __future__ import annotations

import numpy as np

from csvdprep.phantom.head.anatomy import structure_names
from csvdprep.phantom.head.tissues import NUCLEI
from csvdprep.phantom.scanner.scan import Scan
from csvdprep.phantom.scanner.scene import Scene
from csvdprep.phantom.scanner.voxels import brain_part

#: Nuclei that make up the deep grey matter.
DEEP_GREY = ('caudate nucleus', 'putamen', 'pallidum', 'thalamus')
#: What each region is, in words.
MEANING = {
    'gm': 'voxels with at least 70 % cerebral cortex, outside the nuclei',
    'cgm': 'voxels with at least 70 % cerebral cortex, outside the nuclei',
    'dgm': 'voxels with at least 70 % caudate, putamen, pallidum or thalamus',
    'wm': 'voxels with at least 90 % cerebral white matter, hyperintense or not',
    'nawm': 'voxels with at least 90 % normal-appearing cerebral white matter and less than 1 % '
    'hyperintensity',
    'wmh': 'voxels of which at least half is white matter hyperintensity',
}


def regions(scene: Scene, scan: Scan, free: np.ndarray) -> dict[str, np.ndarray]:
    """Find the regions of :data:`MEANING`; lacunes, infarcts and vessels belong to none.

    Parameters
    ----------
    scene : Scene
        The head.
    scan : Scan
        How it is seen, with pose.
    free : ndarray, shape of the scan's grid
        Share of each voxel that lacunes, infarcts and vessels leave:
        :func:`csvdprep.phantom.scanner.voxels.cover`.

    Returns
    -------
    dict of str to ndarray of bool, shape of the scan's grid
    """
    anatomy = scene.anatomy
    box, affine = brain_part(scene)
    structures = anatomy.structures[box]
    names = structure_names()

    def labelled(*wanted: str) -> np.ndarray:
        return np.isin(
            structures, [label for label, text in names.items() if text.endswith(wanted)]
        )

    def seen(volume: np.ndarray) -> np.ndarray:
        return scan.sample(volume, affine) * free

    cerebral = ~labelled('cerebellum', 'brainstem')
    nuclei = labelled(*NUCLEI, 'hippocampus')
    grey, white = anatomy.fractions['gm'][box], anatomy.fractions['wm'][box]
    wmh, white = seen(scene.wmh[box]), seen(white * (cerebral & ~nuclei))
    cortex = seen(grey * (cerebral & ~nuclei)) >= 0.7
    return {
        'gm': cortex,
        'cgm': cortex,
        'dgm': seen((grey + anatomy.fractions['wm'][box]) * labelled(*DEEP_GREY)) >= 0.7,
        'wm': white >= 0.9,
        'nawm': (white - wmh >= 0.9) & (wmh < 0.01),
        'wmh': wmh >= 0.5,
    }


def mean(values: np.ndarray, where: np.ndarray) -> float | None:
    """Return the mean over a region, None if the region is empty."""
    return float(values[where].mean(dtype=np.float64)) if where.any() else None


def spread(values: np.ndarray) -> tuple[float | None, float | None]:
    """Return the 10th to 90th percentile of values, and their skew by percentiles.

    Examples
    --------
    >>> [round(value, 6) for value in spread(np.array([0.0, 1, 2, 3, 10]))]
    [6.8, 0.529412]
    """
    if not len(values):
        return None, None
    low, middle, high = (float(np.percentile(values, share)) for share in (10, 50, 90))
    width = high - low
    return width, ((high - middle) - (middle - low)) / width if width > 0 else None
