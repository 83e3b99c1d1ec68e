"""Overlap of two lesion masks: the measures of the WMH Segmentation Challenge.

The definitions, including what happens at the borders of an image, follow the evaluation
program of the challenge (https://github.com/hjkuijf/wmhchallenge, described in
Kuijf et al. 2019, doi:10.1109/TMI.2019.2905770), so that figures made here can be put beside
published ones.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np
from scipy import ndimage as ndi
from scipy.spatial import cKDTree

__all__ = ['Overlap', 'binarise', 'boundary_points', 'evaluate', 'hausdorff95']

_FULL = np.ones((3, 3, 3), dtype=bool)
_LARGEST = 1000  # the evaluator takes larger values of a prediction for background


@dataclass(frozen=True, slots=True)
class Overlap:
    """Agreement of a predicted with a reference lesion mask.

    Attributes
    ----------
    dice : float
        ``2|A and B| / (|A| + |B|)``, 0 to 1. NaN if both masks are empty.
    hd95 : float
        95th percentile Hausdorff distance, mm. NaN if either mask is empty.
    avd : float
        Absolute volume difference, percent of the reference. NaN if the reference is empty.
    recall : float
        Fraction of the reference lesions that the prediction touches; 1 if there is none.
    f1 : float
        Harmonic mean of ``precision`` and ``recall``; 0 if both are 0.
    precision : float
        Fraction of the predicted lesions that touch the reference; 1 if there is none.
    voxel_precision, voxel_recall : float
        ``|A and B| / |B|`` and ``|A and B| / |A|`` on voxels. NaN where the denominator is 0.
    log_avd : float
        abs(ln(predicted / reference volume)), on which the challenge's paper ranks.
        NaN if either mask is empty.
    reference_ml, prediction_ml : float
        Volumes that were compared, mL.
    n_reference, n_prediction, n_detected, n_hits : int
        Number of reference lesions, of predicted lesions, of reference lesions touched by the
        prediction, and of predicted lesions touching the reference.
    """

    dice: float
    hd95: float
    avd: float
    recall: float
    f1: float
    precision: float
    voxel_precision: float
    voxel_recall: float
    log_avd: float
    reference_ml: float
    prediction_ml: float
    n_reference: int
    n_prediction: int
    n_detected: int
    n_hits: int

    def as_dict(self) -> dict[str, float | int | None]:
        """Give the values by name, with None where a measure is undefined (JSON has no NaN)."""
        values = asdict(self)
        return {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in values.items()
        }


def binarise(
    reference: np.ndarray, prediction: np.ndarray, threshold: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """Make the two masks that the challenge compares.

    The reference holds 1 for WMH and 2 for other pathology. Voxels of other pathology are
    background in the reference and are taken out of the prediction. A prediction of a floating
    type is cut at ``threshold`` (the threshold itself counts as lesion), one of an integer type
    at 1. Values above 1000 count as background, as do NaNs.

    Parameters
    ----------
    reference, prediction : ndarray
        Labels, and labels or probabilities, on one grid.
    threshold : float
        Cut for probabilities; the challenge uses 0.5.

    Returns
    -------
    reference_mask, prediction_mask : ndarray of bool

    Raises
    ------
    ValueError
        If the two grids differ in shape.

    Examples
    --------
    >>> import numpy as np
    >>> a, b = binarise(np.array([[[0, 1, 1, 2]]]), np.array([[[0.5, 0.49, 1.0, 1.0]]]))
    >>> a.astype(int).ravel().tolist(), b.astype(int).ravel().tolist()
    ([0, 1, 1, 0], [1, 0, 1, 0])
    """
    reference = np.asarray(reference)
    prediction = np.asarray(prediction)
    if reference.shape != prediction.shape:
        raise ValueError(
            f'The masks differ in shape: {reference.shape} in the reference, '
            f'{prediction.shape} in the prediction.'
        )
    lesion = (reference >= 0.5) & (reference <= 1.5)
    other = (reference >= 1.5) & (reference <= 2.5)
    # Integers start at 1, whatever the threshold: a label image is no probability map.
    cut = threshold if np.issubdtype(prediction.dtype, np.floating) else 1
    found = (prediction >= cut) & (prediction <= _LARGEST) & ~other
    return lesion, found


def boundary_points(mask: np.ndarray, affine: np.ndarray, slice_axis: int = 2) -> np.ndarray:
    """Give the positions of the voxels on the in-plane border of a mask.

    The border is the mask minus its erosion by a 3 x 3 square in each slice. What lies outside
    of the image counts as lesion: a mask that runs to the edge of the image has no border there.

    Parameters
    ----------
    mask : ndarray of bool, shape (nx, ny, nz)
        The mask.
    affine : ndarray, shape (4, 4)
        From voxel indices to mm.
    slice_axis : int
        Array axis across the slices.

    Returns
    -------
    ndarray, shape (n, 3)
        Positions in mm.

    Examples
    --------
    >>> import numpy as np
    >>> square = np.zeros((7, 7, 1), bool)
    >>> square[1:6, 1:6] = True
    >>> len(boundary_points(square, np.eye(4)))  # 25 voxels less the 3 x 3 in the middle
    16
    """
    box = _bounding_box(mask)
    if box is None:
        return np.empty((0, 3))
    size = [3, 3, 3]
    size[slice_axis] = 1
    part = mask[box]
    # Inside the box's margin of one voxel lies background, unless the image ends there.
    inner = ndi.binary_erosion(part, np.ones(size, dtype=bool), border_value=1)
    index = np.argwhere(part & ~inner) + [edge.start for edge in box]
    return index @ affine[:3, :3].T + affine[:3, 3]


def hausdorff95(
    reference: np.ndarray, prediction: np.ndarray, affine: np.ndarray, slice_axis: int = 2
) -> float:
    """Compute the 95th percentile Hausdorff distance of the challenge.

    ``max(P95 of d(b, A) over b, P95 of d(a, B) over a)`` with a, b the border positions (see
    `boundary_points`) of the two masks. Lower is better.

    Parameters
    ----------
    reference, prediction : ndarray of bool, shape (nx, ny, nz)
        The masks.
    affine : ndarray, shape (4, 4)
        From voxel indices to mm.
    slice_axis : int
        Array axis across the slices.

    Returns
    -------
    float
        Distance in mm; NaN if one of the masks has no border.

    Examples
    --------
    >>> import numpy as np
    >>> a, b = np.zeros((2, 9, 3, 3), bool)
    >>> a[1, 1, 1] = b[4, 1, 1] = True
    >>> hausdorff95(a, b, np.diag([2.0, 1.0, 1.0, 1.0]))
    6.0
    """
    first = boundary_points(reference, affine, slice_axis)
    second = boundary_points(prediction, affine, slice_axis)
    if not len(first) or not len(second):
        return math.nan
    to_first = cKDTree(first).query(second)[0]
    to_second = cKDTree(second).query(first)[0]
    return float(max(np.percentile(to_first, 95), np.percentile(to_second, 95)))


def evaluate(
    reference: np.ndarray,
    prediction: np.ndarray,
    affine_or_zooms: np.ndarray,
    *,
    threshold: float = 0.5,
    slice_axis: int = 2,
) -> Overlap:
    """Compare a predicted with a reference lesion mask as the WMH Challenge does.

    Parameters
    ----------
    reference : ndarray, shape (nx, ny, nz)
        Reference labels: 1 WMH, 2 other pathology (ignored), everything else background.
    prediction : ndarray, shape (nx, ny, nz)
        Mask (integer or boolean) or probability (floating) on the same grid.
    affine_or_zooms : ndarray, shape (4, 4) or (3,)
        From voxel indices to mm, or the voxel edge lengths in mm.
    threshold : float
        Cut for a prediction of a floating type.
    slice_axis : int
        Array axis across the slices. The challenge takes the third.

    Returns
    -------
    Overlap
        The measures; see there for what is undefined (NaN) when a mask is empty.

    Raises
    ------
    ValueError
        If the masks are not three-dimensional or differ in shape, or if
        ``affine_or_zooms`` has another shape than stated.

    Examples
    --------
    >>> import numpy as np
    >>> truth, found = np.zeros((2, 8, 8, 4), np.uint8)
    >>> truth[1:3, 1:3, 1] = 1
    >>> found[1:3, 1, 1] = found[6, 6, 3] = 1
    >>> result = evaluate(truth, found, (1.0, 1.0, 3.0))
    >>> round(result.dice, 4), result.recall, result.precision, result.avd
    (0.5714, 1.0, 0.5, 25.0)
    """
    affine = _as_affine(affine_or_zooms)
    lesion, found = binarise(reference, prediction, threshold)
    if lesion.ndim != 3:
        raise ValueError(f'A mask needs three dimensions, this one has {lesion.ndim}.')
    voxel_ml = abs(np.linalg.det(affine[:3, :3])) / 1000

    n_ref, n_pred = int(lesion.sum()), int(found.sum())
    both = lesion & found
    n_both = int(both.sum())
    n_reference, n_detected = _count(lesion, both)
    n_prediction, n_hits = _count(found, both)
    recall = n_detected / n_reference if n_reference else 1.0
    precision = n_hits / n_prediction if n_prediction else 1.0
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return Overlap(
        dice=_ratio(2 * n_both, n_ref + n_pred),
        hd95=hausdorff95(lesion, found, affine, slice_axis),
        avd=_ratio(100 * abs(n_ref - n_pred), n_ref),
        recall=recall,
        f1=f1,
        precision=precision,
        voxel_precision=_ratio(n_both, n_pred),
        voxel_recall=_ratio(n_both, n_ref),
        log_avd=abs(math.log(n_pred / n_ref)) if n_ref and n_pred else math.nan,
        reference_ml=n_ref * voxel_ml,
        prediction_ml=n_pred * voxel_ml,
        n_reference=n_reference,
        n_prediction=n_prediction,
        n_detected=n_detected,
        n_hits=n_hits,
    )


def _ratio(numerator: float, denominator: float) -> float:
    return float(numerator / denominator) if denominator else math.nan


def _as_affine(affine_or_zooms: np.ndarray) -> np.ndarray:
    given = np.asarray(affine_or_zooms, dtype=float)
    if given.shape == (3,):
        return np.diag([*given, 1.0])
    if given.shape == (4, 4):
        return given
    raise ValueError(f'Need a 4 x 4 affine or three voxel sizes, got shape {given.shape}.')


def _bounding_box(mask: np.ndarray) -> tuple[slice, ...] | None:
    """Give the box around a mask with one voxel of margin where the image has room for it."""
    found = ndi.find_objects(mask.view(np.uint8) if mask.dtype == bool else mask.astype(np.uint8))
    if not found:
        return None
    return tuple(
        slice(max(edge.start - 1, 0), min(edge.stop + 1, size))
        for edge, size in zip(found[0], mask.shape, strict=True)
    )


def _count(mask: np.ndarray, both: np.ndarray) -> tuple[int, int]:
    """Count the 26-connected lesions of a mask, and those with a voxel in ``both``."""
    box = _bounding_box(mask)
    if box is None:
        return 0, 0
    labels, n_lesions = ndi.label(mask[box], _FULL)
    return int(n_lesions), len(np.unique(labels[both[box]]))
