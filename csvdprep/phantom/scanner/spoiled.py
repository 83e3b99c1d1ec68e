"""Spoiled gradient echoes: the steady state, and maps of the signal of a head."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from csvdprep.phantom.head.tissues import OTHER_FIELDS, TISSUES, Nucleus, Tissue
from csvdprep.phantom.scanner.scene import Scene

#: Tissues of which grey nuclei consist in the template.
SOLID = ('wm', 'gm', 'wmh')
#: Frequency of fat relative to water, ppm.
FAT_PPM = -3.4


def steady_state(tissue: Tissue, tesla: float, tr: float, flip: float) -> float:
    """Return the transverse magnetisation right after the pulse, relative to free water's.

    ``PD sin α (1 - E1) / (1 - E1 cos α)``, ``E1 = exp(-TR/T1)``.

    Parameters
    ----------
    tissue : Tissue
        What is excited.
    tesla : float
        Field strength.
    tr, flip : float
        Repetition time, ms, and flip angle, degrees.

    References
    ----------
    .. [1] Ernst R.R., Anderson W.A. (1966) Application of Fourier transform spectroscopy to
       magnetic resonance. doi:10.1063/1.1719961

    Examples
    --------
    >>> round(steady_state(TISSUES['wm'], 3, 28, 15), 4)
    0.0887
    """
    e1 = np.exp(-tr / tissue.relaxation(tesla)[0])
    angle = np.deg2rad(flip)
    return float(tissue.pd * np.sin(angle) * (1 - e1) / (1 - e1 * np.cos(angle)))


def nuclei(scene: Scene) -> list[tuple[tuple[np.ndarray, ...], Nucleus]]:
    """Return the voxels of each grey nucleus of the head."""
    return list(scene.nuclei((slice(None),) * 3))


def water_map(
    scene: Scene,
    te: float,
    amplitude: Callable[[Tissue], float],
    grain: np.ndarray,
    grey: Sequence[tuple[tuple[np.ndarray, ...], Nucleus]],
) -> np.ndarray:
    """Give every voxel of the head the signal of its water at an echo; no small features.

    Parameters
    ----------
    scene : Scene
        The head.
    te : float
        Echo time, ms. Each tissue, and iron-rich nuclei, decay with their own T2*.
    amplitude : callable
        Signal of a tissue without that decay.
    grain : ndarray
        :func:`texture`.
    grey : sequence
        :func:`nuclei`.

    Returns
    -------
    ndarray of float32, shape of the head's grid
    """
    out = np.zeros(scene.wmh.shape, np.float32)
    solid = {}
    for name, share in scene.shares():
        tissue = TISSUES[name]
        decay = np.exp(-te / tissue.relaxation(scene.tesla)[2])
        size = amplitude(tissue) * (1 - tissue.fat)
        if name in SOLID:
            solid[name] = (share, size, decay)
        if tissue.texture:
            out += share * (np.float32(size * decay) * (1 + np.float32(tissue.texture) * grain))
        else:
            out += share * np.float32(size * decay)
    for where, nucleus in grey:
        own = np.exp(-te / (nucleus.t2s * OTHER_FIELDS[scene.tesla][2]))
        for share, size, decay in solid.values():
            out[where] += share[where] * np.float32(size * (own - decay))
    return out


def fat_map(scene: Scene, amplitude: Callable[[Tissue], float]) -> np.ndarray:
    """Give every voxel of the head the signal of its fat at the time of excitation."""
    out = np.zeros(scene.wmh.shape, np.float32)
    for name, share in scene.shares():
        if TISSUES[name].fat:
            out += share * np.float32(amplitude(TISSUES[name]) * TISSUES[name].fat)
    return out


def decay_map(scene: Scene) -> np.ndarray:
    """Give every voxel of the head the mean of R2* over what it holds, 1/s; air has 0."""
    out = np.zeros(scene.wmh.shape, np.float32)
    rate = {
        name: np.float32(1000 / TISSUES[name].relaxation(scene.tesla)[2])
        for name, _ in scene.shares()
    }
    shares = dict(scene.shares())
    for name, share in shares.items():
        out += share * rate[name]
    for where, nucleus in nuclei(scene):
        own = np.float32(1000 / (nucleus.t2s * OTHER_FIELDS[scene.tesla][2]))
        for name in SOLID:
            out[where] += shares[name][where] * (own - rate[name])
    return out
