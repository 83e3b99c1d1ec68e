"""What diffuses in a head: the water of every voxel, bound in tissue or free, and its signal.

Each voxel holds two compartments: water in tissue, whose diffusion a tensor describes, and free
water. Amounts are weighted by the signal they give without diffusion weighting, so that they
simply add up when voxels are averaged: a voxel is described by the sums over what it holds before
any exponential is taken.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage as ndi

from csvdprep.phantom.diffusion.fibres import PARTS, head_shape
from csvdprep.phantom.diffusion.together import read_together
from csvdprep.phantom.geometry.features import draw
from csvdprep.phantom.geometry.fields import resize, smooth_noise
from csvdprep.phantom.head.tissues import TISSUES
from csvdprep.phantom.scanner.scan import Scan
from csvdprep.phantom.scanner.scene import PAINT, Scene
from csvdprep.phantom.scanner.voxels import THICK_MM

#: Diffusivity of free water at body temperature, mm²/s.
FREE_MD = 3.0e-3
#: What the neighbourhood of a hyperintensity adds at its border and how far it reaches: share of
#: free water, mean diffusivity (mm²/s), relative loss of anisotropy, mm.
PENUMBRA_FREE, PENUMBRA_MD, PENUMBRA_SHAPE, PENUMBRA_MM = 0.08, 0.15e-3, 0.2, 4.0
#: Relative spread of the mean diffusivity within tissue, and its correlation length, mm.
MD_SPREAD, MD_SPREAD_MM = 0.07, 6.0
#: Share of the signal of fat that its suppression leaves.
FAT_LEFT = 0.04


@dataclass(frozen=True, kw_only=True, eq=False)
class Water:
    """The water of every voxel of a grid.

    Attributes
    ----------
    tissue, free : ndarray of float32, shape (nx, ny, nz)
        Signal at b = 0 of the water in tissue and of free water.
    mean : ndarray of float32, shape (nx, ny, nz)
        Signal of the water in tissue times its mean diffusivity, mm²/s.
    shape : tuple of five ndarray of float32
        ``mean`` times the tensor's shape N (see :mod:`csvdprep.phantom.diffusion.fibres`): its
        parts xx, yy, xy, xz and yz in the head's axes; zz makes the trace 0. They are given in
        the part ``inner`` of the grid and are 0 outside.
    affine : ndarray, shape (4, 4)
        Grid.
    inner : tuple of slice
        See ``shape``; everything by default.
    """

    tissue: np.ndarray
    free: np.ndarray
    mean: np.ndarray
    shape: tuple[np.ndarray, ...]
    affine: np.ndarray
    inner: tuple[slice, ...] = ()

    def at(self, where: np.ndarray) -> Water:
        """Return it for some voxels only, in a row; ``shape`` has to be everywhere."""
        return replace(
            self,
            tissue=self.tissue[where],
            free=self.free[where],
            mean=self.mean[where],
            shape=tuple(part[where] for part in self.shape),
        )

    def along(self, direction: np.ndarray) -> Water:
        """Return it with ``mean`` for one direction (a unit vector of the head), ``shape`` empty.

        Examples
        --------
        >>> one = np.ones((1, 1, 1), np.float32)
        >>> water = Water(tissue=one, free=0 * one, mean=one, affine=np.eye(4),
        ...               shape=(0.5 * one, 0 * one, 0 * one, 0 * one, 0 * one))
        >>> [float(water.along(np.eye(3)[axis]).mean[0, 0, 0]) for axis in range(3)]
        [1.5, 1.0, 0.5]
        """
        x, y, z = direction
        total = self.mean.copy()
        within = total[self.inner]
        factors = (x * x - z * z, y * y - z * z, 2 * x * y, 2 * x * z, 2 * y * z)
        for factor, part in zip(factors, self.shape, strict=True):
            within += np.float32(factor) * part
        return replace(self, mean=total, shape=())

    def signal(self, bval: float) -> np.ndarray:
        """Return the signal with diffusion weighting (s/mm²) of what :meth:`along` gives."""
        inside = self.mean / np.maximum(self.tissue, np.float32(1e-6))
        out = self.tissue * np.exp(np.float32(-bval) * inside)
        return out + self.free * np.float32(np.exp(-bval * FREE_MD))

    def read(self, scan: Scan, *more: np.ndarray) -> tuple[Water, *tuple[np.ndarray, ...]]:
        """See it in a scan, and more volumes of its grid; :meth:`blur` comes first."""
        first = [edge.start for edge in self.inner] or [0, 0, 0]
        shape = read_together(self.shape, scan, shifted(self.affine, first)) if self.shape else ()
        tissue, free, mean, *rest = read_together(
            [self.tissue, self.free, self.mean, *more], scan, self.affine
        )
        return Water(
            tissue=tissue, free=free, mean=mean, shape=tuple(shape), affine=scan.grid()[1]
        ), *rest

    def blur(self, scan: Scan) -> None:
        """Prepare it for :meth:`read`, in place."""
        for part in (self.tissue, self.free, self.mean, *self.shape):
            part[:] = scan.blur(part, self.affine)

    def tensors(self, where: np.ndarray) -> np.ndarray:
        """Return the tensors of the water in tissue.

        Parameters
        ----------
        where : ndarray of bool
            Voxels with n of them chosen.

        Returns
        -------
        ndarray, shape (6, n)
            Parts in the order of :data:`csvdprep.phantom.diffusion.fibres.PARTS`, mm²/s, axes
            of the head.
        """
        amount = np.maximum(self.tissue[where].astype(float), 1e-6)
        mean = self.mean[where] / amount
        xx, yy, xy, xz, yz = (part[where] / amount for part in self.shape)
        return np.stack([mean + xx, mean + yy, mean - xx - yy, xy, xz, yz])


def shifted(affine: np.ndarray, first) -> np.ndarray:
    """Return the affine of the part of a grid that starts at an index."""
    out = affine.copy()
    out[:3, 3] += affine[:3, :3] @ first
    return out


def size_of(fa: float) -> float:
    """Return the norm of the shape N of a tensor ``I + N``, by its FA.

    Examples
    --------
    >>> round(size_of(1.0) ** 2, 6)
    6.0
    """
    return fa * (3 / (1.5 - fa**2)) ** 0.5


def seen_part(scene: Scene, scan: Scan) -> tuple[tuple[slice, ...], np.ndarray]:
    """Return the part of the head's grid that lies in a scan's field of view, and its affine."""
    shape, stored = scan.grid()
    corners = np.stack(np.meshgrid(*[(-1.0, n) for n in shape], indexing='ij')).reshape(3, -1)
    back = np.linalg.inv(scan.pose @ scene.affine) @ stored
    at = back[:3, :3] @ corners + back[:3, 3:]
    low = np.clip(np.floor(at.min(axis=1)).astype(int) - 2, 0, None)
    high = np.minimum(np.ceil(at.max(axis=1)).astype(int) + 3, scene.wmh.shape)
    return tuple(map(slice, low.tolist(), high.tolist())), shifted(scene.affine, low)


def from_lesion(scene: Scene, box: tuple[slice, ...]) -> np.ndarray:
    """Return the distance from the nearest white matter hyperintensity, mm; 0 inside, 99 if none.

    A quarter of a voxel is taken off: the border lies between the voxels' centres.
    """
    lesion = scene.wmh[box] > 0.5
    if not lesion.any():
        return np.full(lesion.shape, 99, np.float32)
    steps = np.diag(scene.affine)[:3]
    away = ndi.distance_transform_edt(~lesion, sampling=steps).astype(np.float32)
    return np.maximum(away - np.float32(0.25 * steps.mean()), 0) * ~lesion


def make_water(
    scene: Scene,
    box: tuple[slice, ...],
    affine: np.ndarray,
    *,
    te: float,
    tr: float,
    free_water: bool = True,
    distance: np.ndarray | None = None,
) -> Water:
    """Fill every voxel of a head with its water.

    Parameters
    ----------
    scene : Scene
        The head. Of its factors, 'md', 'fa' and 'free_water' scale what tissues have,
        'penumbra' what hyperintensities do to their neighbourhood, 'alps' what medullary veins do.
    box, affine
        Part of the head's grid.
    te, tr : float
        Echo and repetition time, ms.
    free_water : bool
        Keep free water apart; else all water of a voxel has one tensor, the mean.
    distance : ndarray, optional
        As :func:`from_lesion` gives it, for the same part.

    Returns
    -------
    Water
    """
    distance = from_lesion(scene, box) if distance is None else distance
    close = np.float32(scene.factors.get('penumbra', 1.0)) * np.exp(distance / -PENUMBRA_MM)
    noise = smooth_noise(
        close.shape, MD_SPREAD_MM / affine[0, 0], np.random.default_rng([scene.seed, 17])
    )
    spread = np.exp(np.float32(MD_SPREAD) * noise)
    out = {name: np.zeros(close.shape, np.float32) for name in ('tissue', 'free', 'mean', 'shape')}
    for name, share in scene.shares():
        share = share[box] * np.float32(signal(name, scene.tesla, te, tr))
        free, md, size = _tissue(scene, name)
        if name == 'wm':
            free = np.minimum(free + np.float32(PENUMBRA_FREE) * close, 1)
            md = md + np.float32(PENUMBRA_MD) * close
            size = np.float32(size) * (1 - np.float32(PENUMBRA_SHAPE) * close)
        inside = share * (np.float32(1) - free)
        out['tissue'] += inside
        out['free'] += share - inside
        out['mean'] += inside * (md * spread)
        out['shape'] += inside * (md * spread) * size
    _darken(scene, box, out, te)
    _paint(scene, affine, out, te, tr)
    del close, noise, spread
    field = head_shape(scene.anatomy, scene.factors.get('alps', 1.0))
    kept = [field[PARTS.index(part)] for part in ((0, 0), (1, 1), (0, 1), (0, 2), (1, 2))]
    brain = tuple(
        slice(max(a.start, b.start), min(a.stop, b.stop))
        for a, b in zip(scene.anatomy.brain_box(), box, strict=True)
    )
    inner = tuple(
        slice(a.start - b.start, a.stop - b.start) for a, b in zip(brain, box, strict=True)
    )
    shape = tuple(resize(part, scene.wmh.shape, brain) for part in kept)
    for part in shape:
        part *= out['shape'][inner]
    if not free_water:
        out['mean'] += np.float32(FREE_MD) * out['free']
        out['tissue'] += out['free']
        out['free'] = np.zeros_like(out['free'])
    return Water(
        tissue=out['tissue'],
        free=out['free'],
        mean=out['mean'],
        shape=shape,
        affine=affine,
        inner=inner,
    )


def signal(name: str, tesla: float, te: float, tr: float) -> float:
    """Return the signal of a tissue in a spin echo: PD (1 - exp(-TR/T1)) exp(-TE/T2).

    Of fat, what its suppression leaves.

    Examples
    --------
    >>> signal('csf', 3, 80, 8000) > 2 * signal('wm', 3, 80, 8000)
    True
    """
    tissue = TISSUES[name]
    t1, t2, _ = tissue.relaxation(tesla)
    size = tissue.pd * (1 - np.exp(-tr / t1)) * np.exp(-te / t2)
    return float(size * (1 - tissue.fat * (1 - FAT_LEFT)))


def _tissue(scene: Scene, name: str) -> tuple[float, float, float]:
    """Return a tissue's share of free water, MD, and size of the shape relative to the field."""
    if TISSUES[name].fluid:
        return 1.0, FREE_MD, 0.0
    free = min(scene.value(name, 'free_water'), 1.0)
    fa = min(scene.value(name, 'fa'), 0.95)
    return free, scene.value(name, 'md'), size_of(fa) / size_of(TISSUES['wm'].fa)


def _darken(scene: Scene, box, out: dict[str, np.ndarray], te: float) -> None:
    """Let iron shorten T2 in the nuclei: the same extra rate for whatever lies there."""
    t2 = TISSUES['gm'].relaxation(scene.tesla)[1]
    for where, nucleus in scene.nuclei(box):
        for part in out.values():
            part[where] *= np.float32(np.exp(-te / t2 * (1 / nucleus.darker - 1)))


def _paint(scene: Scene, affine, out: dict[str, np.ndarray], te: float, tr: float) -> None:
    """Draw lacunes, wide perivascular spaces and infarcts; thin things vanish in large voxels."""
    for name in PAINT:
        chosen = [
            f
            for f in scene.features
            if f.tissue == name
            and name in ('gliosis', 'infarct', 'csf')
            and 2 * np.min(f.radii) >= THICK_MM
        ]
        if not chosen:
            continue
        share, _ = draw(chosen, out['tissue'].shape, affine)
        size = np.float32(signal(name, scene.tesla, te, tr))
        free, md, shape = _tissue(scene, name)
        own = {
            'tissue': (1 - free) * size,
            'free': free * size,
            'mean': (1 - free) * size * md,
            'shape': (1 - free) * size * md * shape,
        }
        for key, part in out.items():
            part += share * (np.float32(own[key]) - part)
