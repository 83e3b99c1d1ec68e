"""Hyperintensities by a network that learned them from lesions inserted into real scans."""

from __future__ import annotations

import json
import os
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy import ndimage as ndi

from csvdprep.markers.wmh.science.planes import even_white, relative_t1w, stack_channels
from csvdprep.resources import models
from csvdprep.science.normalise import brain_mode
from csvdprep.science.planes import PlaneGrid

#: Planes that are computed at once.
AT_ONCE = 8
#: Thinner slices are averaged over about as much, mm: the network learned on thicker ones.
SLAB_MM = 3.0


def learned_probability(
    takes: dict, affine: np.ndarray, model: Path | None = None, *, t1w: np.ndarray | None = None
):
    """Let the network judge a FLAIR.

    Parameters
    ----------
    takes : dict
        Arguments of `segment_wmh`, of `segmentation_inputs`, and ``has_t1w``.
    affine : ndarray, shape (4, 4)
        From voxels to mm, RAS+.
    model : Path, optional
        ONNX file; the one that is shipped if not given. It takes the first so many of the
        channels as it was made for.
    t1w : ndarray, shape (I, J, K), optional
        The T1w where the FLAIR's voxels are; not looked at unless ``has_t1w``.

    Returns
    -------
    lesion, lining : ndarray of float32, shape (I, J, K), or None
        Probabilities, 0 to 1, mean of the image and its mirror image; None where slices are thick
        and not axial, which the network has not seen.
    """
    brain = np.asarray(takes['mask']) > 0
    grid = PlaneGrid.of(brain, affine)
    if grid is None:
        return None
    inside = grid.take(brain) > 0.5
    white = grid.take(takes['atlas'][2])
    flair = even_white(grid.take(takes['flair']) * inside, white, grid.take(takes['healthy']))
    level = brain_mode(flair[inside])
    thick = grid.thickness_mm
    atlas, has_t1w = takes['atlas'], bool(takes['has_t1w'])
    maps = [white, grid.take(atlas[1]), grid.take(takes['deep_grey'] | takes['infratentorial'])]
    maps += (
        [grid.take(takes[name]) for name in ('gm', 'csf')]
        if has_t1w
        else [np.zeros_like(flair)] * 2
    )
    slab = 2 * int(SLAB_MM / thick / 2 - 1e-6) + 1
    shown = np.zeros_like(flair)
    if has_t1w and t1w is not None:
        shown = relative_t1w(grid.take(t1w), grid.take(takes['wm']), inside)
    stack = np.stack([flair / level, *maps, shown])
    if slab > 1:
        stack = ndi.uniform_filter1d(stack, slab, axis=1, mode='nearest')
    planes = stack_channels(
        stack[0] * inside, np.clip(stack[1:6], 0, 1), has_t1w, thick * slab, stack[6] * inside
    )
    out = _run(model or models() / 'wmh' / 'network.onnx', planes) * inside[:, None]
    return tuple(np.clip(grid.give_back(out[:, k]), 0, 1) * brain for k in (0, 1))


@lru_cache(maxsize=1)
def calibration_curves() -> dict:
    """Return what the maps of the engines mean, for `science.calibration.calibrated`.

    Examples
    --------
    >>> sorted(calibration_curves()['both'])
    ['flair', 't1w']
    """
    return json.loads((models() / 'wmh' / 'calibration.json').read_text(encoding='utf-8'))


def _run(model: Path, planes: np.ndarray) -> np.ndarray:
    session = _session(str(model))
    planes = planes[:, : session.get_inputs()[0].shape[1]]
    out = np.zeros((len(planes), 2, *planes.shape[2:]), np.float32)
    busy = np.flatnonzero((planes[:, 1] > -1).any((1, 2)))
    for start in range(0, len(busy), AT_ONCE):
        some = busy[start : start + AT_ONCE]
        given = np.ascontiguousarray(planes[some])
        seen = session.run(None, {'planes': given})[0]
        mirrored = session.run(None, {'planes': np.ascontiguousarray(given[:, :, ::-1])})[0]
        out[some] = (seen + mirrored[:, :, ::-1]) / 2
    return out


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
