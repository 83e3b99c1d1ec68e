"""Microbleeds in gradient echoes: spheres whose field dephases the complex signal around them."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

from csvdprep.phantom.geometry.features import Ellipsoid
from csvdprep.phantom.into.grid import RealScan
from csvdprep.phantom.scanner.magnet import GAMMA, sphere_field

#: Phase, rad, below which the field of a sphere is not looked at, and the farthest that is, radii.
LEAST_PHASE, FARTHEST = 0.05, 14.0
#: Steps within a voxel, mm, and how many there are at most along an edge.
STEP_MM, MOST_STEPS = 0.25, 12
#: Signal of a sphere's inside over that of tissue: haemosiderin has hardly any.
INSIDE = 0.05
#: The main field runs along z of the scanner.
UPRIGHT = np.array([0.0, 0.0, 1.0])


def factor(scan: RealScan, bleeds: list[Ellipsoid], echo_ms: float, tesla: float) -> np.ndarray:
    """Compute by what the complex signal of each voxel is multiplied.

    Parameters
    ----------
    scan : RealScan
        Grid.
    bleeds : list of Ellipsoid
        Spheres in the head's frame, with their susceptibility (ppm) as ``facts['chi']``.
    echo_ms : float
        Echo time, ms.
    tesla : float
        Field strength.

    Returns
    -------
    ndarray of complex64, shape of the scan
        1 away from the bleeds; its phase grows with time where the field is higher.

    Examples
    --------
    >>> scan = RealScan((21, 21, 21), np.diag([1.0, 1, 1, 1]), np.eye(4))
    >>> ball = Ellipsoid(kind='CMB', tissue='haemosiderin', centre=np.full(3, 10.0),
    ...                  radii=np.full(3, 1.5), facts={'chi': 1.0})
    >>> seen = factor(scan, [ball], 20, 3.0)
    >>> bool(abs(seen[10, 10, 10]) < 0.1), bool(abs(seen[10, 10, 18]) > 0.9)
    (True, True)
    >>> bool(np.angle(seen[10, 10, 13]) > 0), bool(np.angle(seen[13, 10, 10]) < 0)
    (True, True)
    """
    out = np.ones(scan.shape, np.complex64)
    edges = scan.edges()
    counts = np.clip(np.ceil(edges / STEP_MM), 3, MOST_STEPS).astype(int)
    offsets = np.stack(
        np.meshgrid(*[(np.arange(n) + 0.5) / n - 0.5 for n in counts], indexing='ij'), axis=-1
    ).reshape(-1, 3) * (edges / scan.voxel_mm)
    turns = 2 * np.pi * GAMMA * tesla * echo_ms / 1000
    for bleed in bleeds:
        moved = bleed.moved(scan.pose)
        radius, chi = float(moved.radii.max()), float(bleed.facts['chi'])
        far = min((turns * abs(chi) * 2 / 3 / LEAST_PHASE) ** (1 / 3), FARTHEST) * radius
        voxels = _around(scan, moved.centre, max(far, 2 * radius))
        for some in np.array_split(voxels, max(1, len(voxels) * len(offsets) // 2**21)):
            points = (some[:, None] + offsets).reshape(-1, 3)
            points = points @ scan.affine[:3, :3].T + scan.affine[:3, 3]
            phase = turns * sphere_field(points, moved.centre, radius, chi, UPRIGHT)
            within = np.linalg.norm(points - moved.centre, axis=1) < radius
            signal = np.where(within, INSIDE, np.exp(1j * phase))
            mean = signal.reshape(len(some), -1).mean(axis=1)
            out[tuple(some.T)] *= mean.astype(np.complex64)
    return out


def into_echo(
    magnitude: np.ndarray,
    phase: np.ndarray | None,
    seen: np.ndarray,
    noise: np.ndarray | float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Multiply the complex signal; its noise, which is lost with the signal, is put back.

    Parameters
    ----------
    magnitude : ndarray, shape (I, J, K)
        Magnitude of an echo.
    phase : ndarray or None
        Its phase, rad; without, only the magnitude is made.
    seen : ndarray of complex64
        From :func:`factor`.
    noise : float
        Standard deviation of the noise in each channel.
    rng : numpy.random.Generator
        Source of the noise.

    Returns
    -------
    magnitude, phase : ndarray of float32
    """
    changed = np.abs(seen - 1) > 1e-3
    signal = magnitude[changed] * (1 if phase is None else np.exp(1j * phase[changed]))
    signal = signal * seen[changed]
    lost = noise * np.sqrt(np.clip(1 - np.abs(seen[changed]) ** 2, 0, 1))
    signal = signal + lost * (
        rng.standard_normal(signal.shape) + 1j * rng.standard_normal(signal.shape)
    )
    out = np.asarray(magnitude, np.float32).copy()
    out[changed] = np.abs(signal)
    if phase is None:
        return out, None
    turned = np.asarray(phase, np.float32).copy()
    turned[changed] = np.angle(signal)
    return out, turned


def radians(phase: np.ndarray, units: str | None) -> tuple[float, float]:
    """Return factor and offset that make radians of stored phase.

    Parameters
    ----------
    phase : ndarray
        Phase as stored.
    units : str or None
        Of the sidecar: 'rad', 'arbitrary'.

    Examples
    --------
    >>> radians(np.array([-3.1, 3.1]), None)
    (1.0, 0.0)
    >>> round(radians(np.array([0.0, 4095.0]), 'arbitrary')[0], 6)
    0.001534
    """
    low, high = float(phase.min()), float(phase.max())
    if units == 'rad' or (units is None and low > -3.3 and high < 3.3):
        return 1.0, 0.0
    if high <= low:
        return 1.0, 0.0
    # One step more than the range: the largest number is one step short of a full turn.
    scale = 2 * np.pi / (high - low + 1)
    return float(scale), float(-np.pi - scale * low)


def channel_noise(magnitude: np.ndarray, brain: np.ndarray) -> float:
    """Estimate the noise of a magnitude image from its finest differences within the brain."""
    if brain.sum() < 100:
        return 0.0
    fine = magnitude - ndi.median_filter(magnitude, (3, 3, 1))
    return float(1.4826 * np.median(np.abs(fine[brain])))


def _around(scan: RealScan, centre: np.ndarray, reach: float) -> np.ndarray:
    inverse = np.linalg.inv(scan.affine)
    middle = inverse[:3, :3] @ centre + inverse[:3, 3]
    extent = reach * np.linalg.norm(inverse[:3, :3], axis=1) + 1
    low = np.maximum(np.floor(middle - extent).astype(int), 0)
    high = np.minimum(np.ceil(middle + extent).astype(int) + 1, scan.shape)
    if (high <= low).any():
        return np.zeros((0, 3), int)
    axes = [np.arange(a, b) for a, b in zip(low, high, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing='ij'), axis=-1).reshape(-1, 3)
