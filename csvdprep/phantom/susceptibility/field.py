"""The magnetic field of a head with its vessels and lesions, on the grid of a scan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from csvdprep.phantom.geometry.features import Ellipsoid, Feature, Tube, draw
from csvdprep.phantom.geometry.fields import smooth_noise
from csvdprep.phantom.head.tissues import TISSUES
from csvdprep.phantom.scanner.magnet import GAMMA, WATER_PPM, dipole_field, shim
from csvdprep.phantom.scanner.scan import Scan
from csvdprep.phantom.scanner.scene import PAINT, Scene
from csvdprep.phantom.susceptibility.intravoxel import (
    Inside,
    Sphere,
    Veins,
    add_spheres,
    divide,
    sphere_of,
)

#: Tissues within the skull.
BRAIN = ('gm', 'wm', 'csf', 'wmh')
#: What fills the features that are treated as spheres.
SPHERES = ('haemosiderin', 'calcium')
#: What fills other features, in the order in which they cover each other.
SMALL = tuple(tissue for tissue in PAINT if tissue not in SPHERES)
#: Correlation length of the texture of the susceptibility, mm.
TEXTURE_MM = 3.0
#: Growth of the square of a tube's radius on the grid of the head, in squared spacings: sharing
#: out to voxels and reading between them are linear, and the field is a mean over voxels.
BLUR = 4 * (1 / 6 + 1 / 6 + 1 / 12)


@dataclass(frozen=True, kw_only=True, eq=False)
class Magnetism:
    """Susceptibility and field on the grid of a scan.

    Attributes
    ----------
    scan : Scan
        Its grid and the head's pose.
    chi : ndarray of float32
        Susceptibility of brain, fluid and blood relative to water, ppm; 0 beyond the skull.
    local, total : ndarray of float32
        Field of that alone, and of the whole head after the shim, at the voxels' centres, ppm.
        Veins are in it as far as the head's grid resolves them.
    inside : Inside
        The voxels at veins and around spheres.
    spheres : list of Sphere
        Microbleeds and calcifications, in the scanner.
    small : dict of str to tuple of (ndarray of int, ndarray of float32)
        Voxels (flat indices) in which small things without a field of their own lie, and their
        share of these, by tissue.
    tesla : float
        Field strength.
    """

    scan: Scan
    chi: np.ndarray
    local: np.ndarray
    total: np.ndarray
    inside: Inside
    spheres: list[Sphere]
    small: dict[str, tuple[np.ndarray, np.ndarray]]
    tesla: float

    def mean_field(self, which: np.ndarray) -> np.ndarray:
        """Return :attr:`local` or :attr:`total` as means over voxels, veins in full, in Hz."""
        out = which.copy()
        out.reshape(-1)[self.inside.voxels] += self.inside.field
        return out * np.float32(GAMMA * self.tesla)


def magnetism(
    scene: Scene, scan: Scan, echo_times: Sequence[float], texture_ppm: float = 0.0
) -> Magnetism:
    """Compute the field of a head in a scan.

    Parameters
    ----------
    scene : Scene
        The head.
    scan : Scan
        With pose; the main field is along z of the scanner.
    echo_times : sequence of float
        ms.
    texture_ppm : float
        Standard deviation of the susceptibility within grey and white matter.

    Returns
    -------
    Magnetism
    """
    upright = scan.pose[:3, :3].T @ [0, 0, 1]
    spacing = np.diag(scene.affine)[:3]
    shape = scene.wmh.shape
    drawn = {tissue: share_of(scene, tissue, shape, scene.affine) for tissue in SMALL}
    chi = head_susceptibility(scene, drawn, texture_ppm)
    whole = dipole_field(_with_air(scene, chi), spacing, upright)
    whole = shim(whole, scene.anatomy.intracranial)
    total = scan.sample(whole, scene.affine)
    del whole
    chi -= _beyond_skull(scene, drawn['vein'])
    del drawn
    local = scan.sample(dipole_field(chi, spacing, upright), scene.affine)
    chi = scan.sample(chi, scene.affine)
    spheres = [
        sphere_of(f, TISSUES[f.tissue].chi, scan.pose)
        for f in scene.features
        if f.tissue in SPHERES
    ]
    veins = Veins(
        tubes=[f.moved(scan.pose) for f in _of(scene, 'vein', Tube)],
        chi=scene.value('vein', 'chi'),
        blur=BLUR * float(spacing.max()) ** 2,
    )
    turns = [GAMMA * scene.tesla * te / 1000 for te in echo_times]
    inside = divide(scan, total, veins, spheres, turns)
    for field in (local, total):
        add_spheres(field, scan, spheres)
    for sphere, feature in zip(
        spheres, [f for f in scene.features if f.tissue in SPHERES], strict=True
    ):
        share, _ = scan.draw([feature])
        at = np.nonzero(share)
        chi[at] += share[at] * (np.float32(sphere.chi) - chi[at])
    small = {
        tissue: _sparse(share_of(scene, tissue, *scan.grid(), scan.pose))
        for tissue in SMALL
        if tissue != 'vein' and _of(scene, tissue, (Ellipsoid, Tube))
    }
    return Magnetism(
        scan=scan,
        chi=chi,
        local=local,
        total=total,
        inside=inside,
        spheres=spheres,
        tesla=scene.tesla,
        small=small,
    )


def head_susceptibility(
    scene: Scene, drawn: Mapping[str, np.ndarray | None], texture_ppm: float = 0.0
) -> np.ndarray:
    """Give every voxel of the head its susceptibility relative to water, air 0, spheres left out.

    Parameters
    ----------
    scene : Scene
        The head.
    drawn : mapping of str to ndarray or None
        Share of its voxels that small things fill, by tissue.
    texture_ppm : float
        Standard deviation within grey and white matter.

    Returns
    -------
    ndarray of float32, shape of the head's grid
        ppm.
    """
    chi = scene.property_map('chi')
    if texture_ppm:
        rng = np.random.default_rng([scene.seed, 6])
        grain = smooth_noise(chi.shape, TEXTURE_MM / scene.affine[0, 0], rng)
        grain *= np.float32(texture_ppm)
        grain *= scene.anatomy.fractions['gm'] + scene.anatomy.fractions['wm']
        chi += grain
    for tissue, share in drawn.items():
        if share is not None:
            chi += share * (np.float32(scene.value(tissue, 'chi')) - chi)
    return chi


def share_of(
    scene: Scene, tissue: str, shape, affine: np.ndarray, pose: np.ndarray | None = None
) -> np.ndarray | None:
    """Return the share of voxels that small things of a tissue fill; None where there are none.

    Ellipsoids are drawn, tubes shared out by :func:`deposit`.

    Parameters
    ----------
    scene : Scene
        The head.
    tissue : str
        What fills the things.
    shape, affine
        The grid.
    pose : ndarray, shape (4, 4), optional
        From the head's frame to that of ``affine``.

    Returns
    -------
    ndarray of float32 or None
    """
    pose = np.eye(4) if pose is None else pose
    solid = [f.moved(pose) for f in _of(scene, tissue, Ellipsoid)]
    lines = [f.moved(pose) for f in _of(scene, tissue, Tube)]
    if not solid and not lines:
        return None
    share = draw(solid, shape, affine)[0] if solid else np.zeros(shape, np.float32)
    return np.minimum(share + deposit(lines, shape, affine), 1)


def _sparse(share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    at = np.flatnonzero(share)
    return at, share.reshape(-1)[at]


def _of(scene: Scene, tissue: str, shape: type | tuple[type, ...]) -> list[Feature]:
    return [f for f in scene.features if f.tissue == tissue and isinstance(f, shape)]


def _beyond_skull(scene: Scene, veins: np.ndarray | None) -> np.ndarray:
    """Return the part of the susceptibility that bone, fat and the like make."""
    out = sum(
        share * np.float32(scene.value(name, 'chi'))
        for name, share in scene.shares()
        if name not in BRAIN
    )
    out = np.zeros(scene.wmh.shape, np.float32) + out
    return out if veins is None else out * (1 - veins)


def _with_air(scene: Scene, chi: np.ndarray) -> np.ndarray:
    """Count from air: the head's border makes a field too."""
    filled = sum(scene.anatomy.fractions.values())
    filled *= np.float32(WATER_PPM)
    filled += chi
    return filled


def deposit(tubes: Sequence[Tube], shape, affine: np.ndarray) -> np.ndarray:
    """Share out the volume of tubes to a grid, each part linearly to the voxels around it.

    Quicker than drawing them; thin tubes are blurred, but volume and place are kept: what a
    magnetic moment needs.

    Parameters
    ----------
    tubes : sequence of Tube
        In mm of the frame of ``affine``.
    shape, affine
        The grid.

    Returns
    -------
    ndarray of float32, shape ``shape``
        Share of each voxel; above 1 where tubes overlap.

    Examples
    --------
    >>> line = Tube(kind='x', tissue='vein', radii=np.full(50, 0.4),
    ...             points=np.stack([np.linspace(3, 12, 50)] * 3, axis=1))
    >>> bool(abs(deposit([line], (16, 16, 16), np.eye(4)).sum() / line.volume_mm3 - 1) < 1e-4)
    True
    """
    if not tubes:
        return np.zeros(shape, np.float32)
    inverse = np.linalg.inv(affine)
    volume = abs(np.linalg.det(affine[:3, :3]))
    parts = [tube.particles(0.4 * volume ** (1 / 3)) for tube in tubes]
    points = np.concatenate([part[0] for part in parts])
    weights = np.concatenate([part[1] for part in parts]) / volume
    at = points @ inverse[:3, :3].T + inverse[:3, 3]
    low = np.floor(at).astype(int)
    seen = ((low >= 0) & (low < np.array(shape) - 1)).all(axis=1)
    low, weights, rest = low[seen], weights[seen], (at - np.floor(at))[seen]
    out = np.zeros(int(np.prod(shape)))
    for corner in np.ndindex(2, 2, 2):
        share = np.prod(np.where(corner, rest, 1 - rest), axis=1) * weights
        out += np.bincount(
            np.ravel_multi_index(tuple((low + corner).T), shape), share, minlength=out.size
        )
    return out.reshape(shape).astype(np.float32)
