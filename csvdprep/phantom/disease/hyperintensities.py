"""White matter hyperintensities of exactly known extent.

Two processes make them, as in small vessel disease: a halo that grows from the walls of the
lateral ventricles, thicker at the horns, and foci in the deep white matter that appear one after
the other, grow and flow together. One number, the ``stage``, drives both, so lesions of an
earlier stage lie within those of a later one, and a wanted volume is met by bisection. For wanted
Fazekas grades each process has a stage of its own, and for visits with regression some lesions go
back to an earlier stage while the others grow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi
from scipy.spatial import cKDTree

from csvdprep.phantom.geometry.fields import smooth_noise
from csvdprep.phantom.head.anatomy import Anatomy
from csvdprep.phantom.head.placement import sites

#: Width of the border in which lesion and normal white matter mix, mm.
BORDER_MM = 1.0
#: Growth of a deep focus' radius per mm of growth of the halo.
FOCUS_RATE = 1.3
#: Reach of a focus, mm.
FOCUS_MM = 14.0
#: Regions of the template in which deep foci lie.
FOCI = ('centrum semiovale', 'frontal lobe', 'parietal lobe', 'temporal lobe', 'occipital lobe')


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
    yielding : ndarray of bool, shape (n,)
        Where lesions can shrink while they grow elsewhere.
    shape : tuple of int
        Shape of the head's grid.
    affine : ndarray, shape (4, 4)
        The head's grid.
    """

    where: tuple[np.ndarray, ...]
    site: np.ndarray
    halo: np.ndarray
    vigour: np.ndarray
    focus: np.ndarray
    yielding: np.ndarray
    shape: tuple[int, ...]
    affine: np.ndarray

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel, mL."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000

    def share(self, stage, focus_stage=None) -> np.ndarray:
        """Return the share of each voxel of ``where`` that is lesion at a stage, 0 to 1.

        Parameters
        ----------
        stage : float or ndarray, shape (n,)
            Stage of the halo.
        focus_stage : float, optional
            Stage of the deep foci, if another.
        """
        focus_stage = stage if focus_stage is None else focus_stage
        reach = np.maximum(self.vigour * stage - self.halo, FOCUS_RATE * focus_stage - self.focus)
        return self.site * np.clip(reach / BORDER_MM, 0, 1)

    def scatter(self, share: np.ndarray) -> np.ndarray:
        """Put shares of the voxels of ``where`` onto the head's grid, as float32."""
        out = np.zeros(self.shape, np.float32)
        out[self.where] = share
        return out

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
        if volume_ml <= 0:
            return np.zeros(self.shape, np.float32)
        return self.scatter(self.share(self.stage(volume_ml)))

    def stage(self, volume_ml: float, among: np.ndarray | None = None) -> float:
        """Return the stage at which lesions have a volume, mL, all or those among some voxels."""
        return _bisect(lambda stage: self._ml(self.share(stage), among), volume_ml)

    def changed(self, volume_ml: float, growth_ml: float, shrink_ml: float) -> np.ndarray:
        """Return the lesions after some have grown and others have shrunk.

        Parameters
        ----------
        volume_ml : float
            Volume before, mL.
        growth_ml, shrink_ml : float
            Volume that is gained in some places and lost in others, mL.

        Returns
        -------
        ndarray of float32, shape ``self.shape``
            Shares; their sum is ``volume_ml + growth_ml - shrink_ml``.

        Raises
        ------
        ValueError
            If more is to be lost than there is where lesions can shrink.
        """
        before = self.share(self.stage(volume_ml)) if volume_ml > 0 else 0 * self.site
        stages = np.zeros(len(self.site), np.float32)
        for among, change in ((~self.yielding, growth_ml), (self.yielding, -shrink_ml)):
            wanted = self._ml(before, among) + change
            if wanted < 0:
                raise ValueError(f'Only {wanted - change:.1f} mL of lesion can shrink.')
            stages[among] = self.stage(wanted, among) if wanted > 0 else 0
        return self.scatter(self.share(stages))

    def volume_ml(self, stage: float) -> float:
        """Return the volume of the lesions at a stage, mL."""
        return self._ml(self.share(stage))

    def _ml(self, share: np.ndarray, among: np.ndarray | None = None) -> float:
        chosen = share if among is None else share[among]
        return float(chosen.sum(dtype=np.float64)) * self.voxel_ml


def _bisect(volume, wanted: float, low: float = 0.0, high: float = 60.0) -> float:
    """Find where an increasing function reaches a value."""
    if volume(high) < wanted:
        raise ValueError(f'There is no room for {wanted:g} mL of lesion.')
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if volume(middle) < wanted else (low, middle)
    return high


def lesion_growth(
    anatomy: Anatomy,
    seed: int,
    *,
    foci: int = 48,
    irregularity: float = 0.45,
    apart_mm: float = 8.0,
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
    apart_mm : float
        Least distance of the foci's centres from the ventricles, mm.

    Returns
    -------
    LesionGrowth

    Examples
    --------
    >>> from csvdprep.phantom.head.anatomy import make_anatomy
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
    # Drawn over the whole head, so that atrophy between visits does not change the pattern.
    speed, yielding = (smooth_noise(site.shape, mm / steps[0], rng)[box][local] for mm in (5, 8))
    ragged = smooth_noise(site.shape, 1.5 / steps[0], rng)[box][local]
    start = np.array([edge.start for edge in box]).reshape(3, 1)
    index = np.stack(local) + start
    mm = index * steps.reshape(3, 1) + anatomy.affine[:3, 3].reshape(3, 1)

    vigour = np.exp(irregularity * speed) * _caps(mm, anatomy)
    # The cortex's own arterioles spare a rim of about 3 mm below it.
    vigour *= np.clip((cortex - 0.5) / 3.5, 0, 1)
    focus = _foci(anatomy, mm, halo, foci, rng, apart_mm) + 0.5 * ragged
    return LesionGrowth(
        where=tuple(index),
        site=inner,
        halo=halo - 0.6 * np.clip(ragged, -1, 2),
        vigour=vigour.astype(np.float32),
        focus=focus.astype(np.float32),
        yielding=yielding > 0.4,
        shape=site.shape,
        affine=anatomy.affine,
    )


def _caps(mm: np.ndarray, anatomy: Anatomy) -> np.ndarray:
    """Let the halo grow faster at the frontal and occipital horns than along the body."""
    ventricle = np.argwhere(anatomy.regions['ventricles'] > 0.5)
    y = ventricle[:, 1] * anatomy.affine[1, 1] + anatomy.affine[1, 3]
    front, back = np.quantile(y, [0.97, 0.03])
    near = np.exp(-(((mm[1] - front) / 9) ** 2)) + np.exp(-(((mm[1] - back) / 12) ** 2))
    return 0.5 + 1.0 * near


def _foci(anatomy: Anatomy, mm, from_ventricle, count, rng, apart_mm: float) -> np.ndarray:
    """Return the distance to the nearest focus, enlarged by the time at which it appears."""
    places = np.concatenate([sites().within(region, from_grey=4) for region in FOCI])
    # Enough are drawn in the template that the wanted number lies far enough from the ventricles.
    chosen = anatomy.to_head(places[rng.integers(len(places), size=6 * count)])
    births = 0.3 + 7 * rng.random(len(chosen))
    stretches = np.exp(0.25 * rng.standard_normal((len(chosen), 3)))
    tree = cKDTree(mm.T)
    nearest = np.full(mm.shape[1], 1e3, np.float32)
    placed = 0
    for centre, birth, stretch in zip(chosen, births, stretches, strict=True):
        gap, voxel = tree.query(centre)
        if placed == count or gap > 2 or from_ventricle[voxel] < apart_mm:
            continue
        placed += 1
        close = np.array(tree.query_ball_point(centre, FOCUS_MM))
        away = (mm[:, close] - centre[:, None]) / stretch[:, None]
        distance = np.sqrt((away**2).sum(axis=0)) + FOCUS_RATE * birth
        nearest[close] = np.minimum(nearest[close], distance)
    return nearest
