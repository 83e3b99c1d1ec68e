"""Tissue and lateral ventricles of a FLAIR without a T1w, by a small network."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy import ndimage as ndi

from csvdprep.resources import models
from csvdprep.science.normalise import brain_mode
from csvdprep.science.planes import PlaneGrid, neighbours

#: Pixel of the planes, mm; thinner slices are averaged over about as much as the second, mm.
PIXEL_MM, SLAB_MM = 2.0, 2.0
#: Planes that are computed at once.
AT_ONCE = 16
#: What the shares are of, in order.
FLUID, GREY, WHITE, VENTRICLE = range(4)


def learned_shares(
    flair: np.ndarray,
    mask: np.ndarray,
    atlas: np.ndarray,
    affine: np.ndarray,
    model: Path | None = None,
) -> np.ndarray | None:
    """Let the network tell tissue and lateral ventricles on a FLAIR.

    Parameters
    ----------
    flair : ndarray, shape (I, J, K)
        Bias-corrected FLAIR, any unit; with its hyperintensities.
    mask : ndarray, shape (I, J, K)
        Brain.
    atlas : ndarray, shape (3, I, J, K)
        Share of fluid, grey and white matter of the warped template.
    affine : ndarray, shape (4, 4)
        From voxels to mm, RAS+.
    model : Path, optional
        ONNX file; the one that is shipped if not given.

    Returns
    -------
    ndarray of float32, shape (4, I, J, K), or None
        Expected share of fluid outside of the lateral ventricles, grey matter, white matter (with
        hyperintensities) and lateral ventricles: 1 in sum inside the mask, 0 outside; mean of the
        image and its mirror image. None where slices are thick and not axial, which the network
        has not seen.
    """
    brain = np.asarray(mask) > 0
    grid = PlaneGrid.of(brain, affine, pixel_mm=PIXEL_MM)
    if grid is None:
        return None
    inside = (grid.take(brain) > 0.5).astype(np.float32)
    image = grid.take(np.asarray(flair, np.float32) * brain)
    stack = np.stack([image / brain_mode(image[inside > 0]), *(grid.take(a) for a in atlas)])
    slab = 2 * int(SLAB_MM / grid.thickness_mm / 2 - 1e-6) + 1
    if slab > 1:
        stack = ndi.uniform_filter1d(stack, slab, axis=1, mode='nearest')
    out = _run(model or models() / 'tissue' / 'network.onnx', _planes(stack, inside, grid, slab))
    shares = np.stack([np.clip(grid.give_back(out[:, k]), 0, 1) for k in range(4)])
    total = shares.sum(0)
    # Voxels of the mask beyond the planes' own edge are as their neighbours: grey and fluid.
    shares[FLUID] += np.where(total < 0.05, 1, 0)
    return shares * (brain / np.maximum(shares.sum(0), 1e-3)).astype(np.float32)


def _planes(stack, inside, grid: PlaneGrid, slab: int) -> np.ndarray:
    """Return what the network takes: FLAIR below, here and above, template, mask, thickness."""
    thick = grid.thickness_mm * slab
    below, above = neighbours(len(inside), thick / slab)
    seen = np.clip(stack[0] * inside, 0, 3) - np.float32(1)
    planes = np.empty((len(inside), 8, *inside.shape[1:]), np.float32)
    planes[:, 0], planes[:, 1], planes[:, 2] = seen[below], seen, seen[above]
    planes[:, 3:6] = np.moveaxis(np.clip(stack[1:], 0, 1) * inside, 0, 1)
    planes[:, 6], planes[:, 7] = inside, min(thick, 10.0) / 10
    return planes


def _run(model: Path, planes: np.ndarray) -> np.ndarray:
    session = _session(str(model))
    out = np.zeros((len(planes), 4, *planes.shape[2:]), np.float32)
    busy = np.flatnonzero(planes[:, 6].any((1, 2)))
    for start in range(0, len(busy), AT_ONCE):
        some = busy[start : start + AT_ONCE]
        given = np.ascontiguousarray(planes[some])
        shown = session.run(None, {'planes': given})[0]
        mirrored = session.run(None, {'planes': np.ascontiguousarray(given[:, :, ::-1])})[0]
        out[some] = (shown + mirrored[:, :, ::-1]) / 2
    return out * planes[:, 6:7]


@lru_cache(maxsize=1)
def _session(model: str):
    # On Linux it sends what it calls telemetry, unless told before it is imported not to.
    os.environ.setdefault('ORT_DISABLE_TELEMETRY', '1')
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model, options, providers=['CPUExecutionProvider'])
