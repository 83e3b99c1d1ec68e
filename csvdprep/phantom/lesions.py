"""White matter hyperintensities of exactly known extent.

Two processes make them, as in small vessel disease: a halo that grows from the walls of the
lateral ventricles, thicker at the horns, and foci in the deep white matter that appear one after
the other, grow and flow together. One number, the ``stage``, drives both, so lesions of an
earlier stage lie within those of a later one, and a wanted volume is met by bisection.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

from csvdprep.phantom.anatomy import Anatomy
from csvdprep.phantom.fields import smooth_noise

#: Width of the border in which lesion and normal white matter mix, mm.
BORDER_MM = 1.0
#: Growth of a deep focus' radius per mm of growth of the halo.
FOCUS_RATE = 0.9


@dataclass(frozen=True, kw_only=True)
class LesionGrowth:
    """How WMH spread in one head.

    Attributes
    ----------
    where : tuple of ndarray
        Voxels that can become lesion.
    site : ndarray of float32, shape (n,)
        Share of white matter in each.
    halo, vigour : ndarray of float32, shape (n,)
        The halo reaches a voxel when ``vigour * stage`` exceeds ``halo`` (mm).
    focus : ndarray of float32, shape (n,)
        A focus reaches a voxel when ``FOCUS_RATE * stage`` exceeds ``focus`` (mm).
    shape : tuple of int
        Shape of the head's grid.
    voxel_ml : float
        Volume of a voxel, mL.
    """

    where: tuple[np.ndarray, ...]
    site: np.ndarray
    halo: np.ndarray
    vigour: np.ndarray
    focus: np.ndarray
    shape: tuple[int, ...]
    voxel_ml: float

    def share(self, stage: float) -> np.ndarray:
        """Return the share of each voxel of ``where`` that is lesion at a stage, 0 to 1."""
        reach = np.maximum(
            self.vigour * stage - self.halo, FOCUS_RATE * stage - self.focus
        )
        return self.site * np.clip(reach / BORDER_MM, 0, 1)

    def fraction(self, volume_ml: float) -> np.ndarray:
        """Return the lesion share of every voxel when lesions have a given volume.

        Parameters
        ----------
        volume_ml : float
            Sum of the shares, mL. 0 for no lesion.

        Returns
        -------
        ndarray of float32, shape ``self.shape``

        Raises
        ------
        ValueError
            If the white matter is too small for the volume.
        """
        out = np.zeros(self.shape, np.float32)
        if volume_ml <= 0:
            return out
        low, high = 0.0, 60.0
        if self.volume_ml(high) < volume_ml:
            raise ValueError(f'There is no room for {volume_ml} mL of lesion.')
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (
                (middle, high) if self.volume_ml(middle) < volume_ml else (low, middle)
            )
        out[self.where] = self.share(high)
        return out

    def volume_ml(self, stage: float) -> float:
        """Return the volume of the lesions at a stage, mL."""
        return float(self.share(stage).sum(dtype=np.float64)) * self.voxel_ml


def lesion_growth(
    anatomy: Anatomy, seed: int, *, foci: int = 36, irregularity: float = 0.45
) -> LesionGrowth:
    """Decide where and in which order WMH appear in a head.

    Parameters
    ----------
    anatomy : Anatomy
        The head.
    seed : int
        Decides the pattern.
    foci : int
        Number of deep foci that will have appeared by the last stage.
    irregularity : float
        Standard deviation of the halo's local speed of growth, relative.

    Returns
    -------
    LesionGrowth

    Examples
    --------
    >>> from csvdprep.phantom.anatomy import make_anatomy
    >>> growth = lesion_growth(make_anatomy(1, spacing=3), seed=1)
    >>> early, late = growth.fraction(5), growth.fraction(8)
    >>> round(float(early.sum()) * growth.voxel_ml, 3), bool((late >= early).all())
    (5.0, True)

    """
    rng = np.random.default_rng([seed, 77])
    steps = np.diag(anatomy.affine)[:3]
    site = anatomy.regions['lesion_site']
    box = tuple(
        slice(max(edge.start - 1, 0), edge.stop + 1)
        for edge in ndi.find_objects((site > 0.05).astype(np.uint8))[0]
    )
    inner = site[box]
    ventricle = anatomy.regions['ventricles'][box] > 0.5
    halo = ndi.distance_transform_edt(~ventricle, sampling=steps).astype(np.float32)
    cortex = ndi.distance_transform_edt(
        (anatomy.fractions['wm'][box] > 0.5) | ventricle, sampling=steps
    )
    local = np.nonzero(inner > 0.05)
    halo, cortex, inner = halo[local], cortex[local], inner[local]
    speed = smooth_noise(site[box].shape, 5 / steps[0], rng)[local]
    start = np.array([edge.start for edge in box]).reshape(3, 1)
    index = np.stack(local) + start
    mm = index * steps.reshape(3, 1) + anatomy.affine[:3, 3].reshape(3, 1)

    vigour = np.exp(irregularity * speed) * _caps(mm, anatomy)
    # The cortex's own arterioles spare a rim of about 3 mm below it.
    vigour *= np.clip((cortex - 0.5) / 3.5, 0, 1)
    ragged = smooth_noise(site[box].shape, 1.5 / steps[0], rng)[local]
    focus = _foci(mm, halo, cortex, foci, rng) + 0.5 * ragged
    return LesionGrowth(
        where=tuple(index), site=inner, halo=halo - 0.6 * np.clip(ragged, -1, 2),
        vigour=vigour.astype(np.float32), focus=focus.astype(np.float32),
        shape=site.shape, voxel_ml=anatomy.voxel_ml,
    )  # fmt: skip


def _caps(mm: np.ndarray, anatomy: Anatomy) -> np.ndarray:
    """Let the halo grow faster at the frontal and occipital horns than along the body."""
    ventricle = np.argwhere(anatomy.regions['ventricles'] > 0.5)
    y = ventricle[:, 1] * anatomy.affine[1, 1] + anatomy.affine[1, 3]
    front, back = np.quantile(y, [0.97, 0.03])
    near = np.exp(-(((mm[1] - front) / 9) ** 2)) + np.exp(-(((mm[1] - back) / 12) ** 2))
    return 0.5 + 1.0 * near


def _foci(mm, from_ventricle, from_cortex, count, rng) -> np.ndarray:
    """Return the distance to the nearest focus, enlarged by the time at which it appears."""
    deep = np.flatnonzero((from_ventricle > 8) & (from_cortex > 3))
    nearest = np.full(mm.shape[1], 1e3, np.float32)
    for centre in rng.choice(deep, count):
        birth = 0.5 + 14 * np.sqrt(rng.random())
        stretch = np.exp(0.25 * rng.standard_normal(3)).reshape(3, 1)
        away = (mm - mm[:, centre : centre + 1]) / stretch
        close = np.abs(away).max(axis=0) < 12
        distance = np.sqrt((away[:, close] ** 2).sum(axis=0)) + FOCUS_RATE * birth
        nearest[close] = np.minimum(nearest[close], distance)
    return nearest
