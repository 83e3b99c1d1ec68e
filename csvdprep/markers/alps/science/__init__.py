"""DTI-ALPS: the ratio of diffusivities along the vessels of deep white matter to those across.

A diffusivity ratio of Taoka et al. 2017 (doi:10.1007/s11604-017-0617-z) beside the bodies of the
lateral ventricles, where medullary veins run along x, projection fibres along z and association
fibres along y. It is no measure of glymphatic flow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from csvdprep.core.errors import MeasureError
from csvdprep.markers.alps.science.regions import CENTRES, REACH, Region, choose_region
from csvdprep.markers.alps.science.rotation import affine_part, head_angles, matrices, reorient
from csvdprep.markers.alps.science.voxels import Nearby, gather

__all__ = ['SIDES', 'Alps', 'Found', 'alps_along_fibres', 'alps_index', 'measure_alps']

SIDES = ('left', 'right')
BUNDLES = ('proj', 'assoc')
#: Angles below which the index without reorientation is valid, degrees: pitch, roll, yaw.
LAB_LIMITS = {'pitch': 5.0, 'roll': 10.0, 'yaw': 10.0}
#: Least sine of the angle between the two bundles for their common perpendicular.
_APART = 0.5


@dataclass(frozen=True)
class Found:
    """A value, or None with the reason; ``qc`` is 'warn' where the value needs care."""

    value: float | None
    reason: str = ''
    qc: str = ''


@dataclass(frozen=True)
class Alps:
    """What was found.

    Attributes
    ----------
    values : dict of str to Found
        By column.
    regions : dict of tuple to Region
        By side, bundle and radius (mm): centre, shift, and shares of each region.
    spheres, kept : ndarray of float32, shape (nx, ny, nz, 4)
        Share of each voxel within each region of radius 2.5 mm, in the order of
        `science.regions.CENTRES`: before and after screening.
    unreoriented : dict of str to float
        Indices of the left and the right side and their mean (``left``, ``right``, ``both``) in
        the axes of the world whatever the angles of the head, and in those of the voxels
        (``grid_left``, ...), as programs find them that work without reorientation.
    """

    values: dict[str, Found]
    regions: dict[tuple[str, str, float], Region]
    spheres: np.ndarray
    kept: np.ndarray
    unreoriented: dict[str, float]


def alps_index(projection: np.ndarray, association: np.ndarray) -> float:
    """Compute the ALPS index of one side.

    ``(Dxx_proj + Dxx_assoc) / (Dyy_proj + Dzz_assoc)``

    Parameters
    ----------
    projection, association : ndarray, shape (6,)
        Mean tensors of the two regions: xx, xy, xz, yy, yz, zz.

    Returns
    -------
    float

    Raises
    ------
    MeasureError
        If the diffusivities below the line are not positive.

    References
    ----------
    Taoka et al. 2017, doi:10.1007/s11604-017-0617-z

    Examples
    --------
    >>> pair = np.array([[0.60, 0, 0, 0.42, 0, 1.10], [0.62, 0, 0, 1.10, 0, 0.44]])
    >>> round(alps_index(*(pair * 1e-3)), 4)
    1.4186
    """
    return _ratio(projection[0] + association[0], projection[3] + association[5])


def alps_along_fibres(projection: np.ndarray, association: np.ndarray) -> float:
    """Compute the ALPS index of one side in the frame of its fibres.

    With e the largest axis of each mean tensor: ``x = e_proj × e_assoc``, normalised,
    ``y = e_proj × x``, ``z = e_assoc × x``. No rotation of the head changes it, and no error of
    reorientation. Where the bundles are oblique to the axes of the template, x is farther from
    them than in `alps_index`.

    Parameters
    ----------
    projection, association : ndarray, shape (6,)
        Mean tensors of the two regions, in the same axes, whichever they are.

    Returns
    -------
    float

    Raises
    ------
    MeasureError
        If the two bundles are less than 30 degrees apart.

    Examples
    --------
    >>> pair = np.array([[0.60, 0, 0, 0.42, 0, 1.10], [0.62, 0, 0, 1.10, 0, 0.44]]) * 1e-3
    >>> turn = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]])
    >>> round(alps_along_fibres(*reorient(pair, turn)), 4)
    1.4186
    """
    proj, assoc = matrices(projection), matrices(association)
    p, a = (np.linalg.eigh(tensor)[1][:, 2] for tensor in (proj, assoc))
    x = np.cross(p, a)
    size = np.linalg.norm(x)
    if size < _APART:
        raise MeasureError('Projection and association fibres are less than 30 degrees apart.')
    x /= size
    y, z = np.cross(p, x), np.cross(a, x)
    return _ratio(x @ proj @ x + x @ assoc @ x, y @ proj @ y + z @ assoc @ z)


def _ratio(above: float, below: float) -> float:
    if not below > 0:
        raise MeasureError('The diffusivity across the vessels is not positive.')
    return float(above / below)


def measure_alps(
    tensor: np.ndarray,
    affine: np.ndarray,
    positions: np.ndarray,
    *,
    mask: np.ndarray | None = None,
    lesion: np.ndarray | None = None,
    reorientation: str = 'finite strain',
    centres: Mapping[tuple[str, str], tuple[float, float, float]] = CENTRES,
) -> Alps:
    """Measure DTI-ALPS in native voxels.

    Parameters
    ----------
    tensor : ndarray, shape (nx, ny, nz, 6)
        Diffusion tensors xx, xy, xz, yy, yz, zz in mm²/s, axes of the world.
    affine : ndarray, shape (4, 4)
        From voxel indices to mm of the world.
    positions : ndarray, shape (nx, ny, nz, 3)
        Where in the template (mm) the centre of each voxel lies; NaN where not known.
    mask : ndarray of bool, shape (nx, ny, nz), optional
        Brain that the images cover.
    lesion : ndarray, shape (nx, ny, nz), optional
        Share of each voxel that is white matter hyperintensity, 0 to 1 (not dilated).
    reorientation : {'finite strain', 'ppd'}
        How local rotations follow from the map to the template.
    centres : mapping
        Where the regions lie in that template, mm; by default in MNI space.

    Returns
    -------
    Alps
        Columns, each for both sides and with ``_left`` and ``_right``; the mean needs both:

        - ``alps_reo_r2p5``, ``alps_reo_r5``: index of reoriented tensors, radius 2.5 or 5 mm;
        - ``alps_reo_r2p5_withwmh``: the first one as if there were no lesions;
        - ``alps_pas_r2p5``: in the frame of the fibres, from native tensors;
        - ``alps_lab_r2p5``: of the same voxels in the axes of the world, if pitch is below 5
          and roll and yaw are below 10 degrees;
        - ``alps_dxx_proj`` to ``alps_dzz_assoc``: reoriented diffusivities, 1e-3 mm²/s, and
          ``alps_fa_*``, ``alps_md_*`` (1e-3 mm²/s) of the regions.

        Columns without sides: ``alps_pitch_deg``, ``alps_roll_deg``, ``alps_yaw_deg`` (signs as
        in `science.rotation.head_angles`); of the four regions the least ``alps_aligned_pct``
        and ``alps_covered_pct``, the largest ``alps_shift_mm``, the mean ``alps_wmh_pct`` (before
        any shift).

        ``alps_voxels_r2p5_left`` and so on: voxels of the series that the smaller of a side's two
        regions is worth (`science.regions.Region`).

    Raises
    ------
    ValueError
        If shapes do not fit.
    MeasureError
        If nothing can be measured: no positions, regions outside, head mirrored.
    """
    _check_shapes(tensor=(tensor, 6), positions=(positions, 3), mask=(mask, 0), lesion=(lesion, 0))
    whole = affine_part(positions, affine, mask)
    angles = dict(zip(LAB_LIMITS, head_angles(whole), strict=True))
    nearby = gather(
        tensor,
        affine,
        positions,
        np.array(list(centres.values())),
        REACH,
        mask=mask,
        lesion=lesion,
        reorientation=reorientation,
    )
    small, large = (
        {name: choose_region(nearby, name, radius, centres) for name in CENTRES}
        for radius in (2.5, 5.0)
    )
    values = _indices('alps_reo_r2p5', small, _reoriented)
    values |= _indices('alps_reo_r5', large, _reoriented)
    values |= _with_lesions(nearby, lesion, values, centres)
    values |= _indices('alps_pas_r2p5', small, lambda p, a: alps_along_fibres(p.native, a.native))
    world = _indices('both', small, lambda p, a: alps_index(p.native, a.native))
    axes = _voxel_axes(affine)
    voxels = _indices(
        'grid', small, lambda p, a: alps_index(reorient(p.native, axes), reorient(a.native, axes))
    )
    values |= _lab(world, angles)
    values |= _diffusivities(small)
    values |= {f'alps_{name}_deg': Found(angle) for name, angle in angles.items()}
    values |= _quality(small, lesion is not None)
    values |= _voxels('alps_voxels_r2p5', small) | _voxels('alps_voxels_r5', large)
    known = {
        name.removeprefix('both_'): found.value
        for name, found in (world | voxels).items()
        if found.value is not None
    }
    grid_shape = np.shape(positions)[:3]
    every = {
        (*name, radius): region
        for radius, found in ((2.5, small), (5.0, large))
        for name, region in found.items()
    }
    return Alps(
        values,
        every,
        _image(small, nearby, grid_shape, screened=False),
        _image(small, nearby, grid_shape, screened=True),
        known,
    )


def _reoriented(projection: Region, association: Region) -> float:
    return alps_index(projection.template, association.template)


def _check_shapes(**arrays) -> None:
    """Refuse arrays that do not share one grid, each with its number of components."""
    grid = np.shape(arrays['positions'][0])[:3]
    for name, (array, parts) in arrays.items():
        wanted = (*grid, parts) if parts else grid
        if array is not None and np.shape(array) != wanted:
            raise ValueError(f'The shape of {name} is {np.shape(array)}, not {wanted}.')


def _indices(name: str, regions: Mapping[tuple[str, str], Region], index) -> dict[str, Found]:
    """Compute an index of both sides and their mean."""
    sides = {}
    for side in SIDES:
        pair = [regions[side, bundle] for bundle in BUNDLES]
        said = _said(side, regions)
        if any(region.template is None for region in pair):
            sides[side] = Found(None, said)
            continue
        try:
            sides[side] = Found(index(*pair), said, 'warn' if said else '')
        except MeasureError as error:
            sides[side] = Found(None, f'{side}: {error.message}')
    return _with_mean(name, sides)


def _with_mean(name: str, sides: Mapping[str, Found]) -> dict[str, Found]:
    """Name what was found on both sides, and take the mean, which needs both."""
    found = list(sides.values())
    reason = '; '.join(dict.fromkeys(side.reason for side in found if side.reason))
    if any(side.value is None for side in found):
        reason = '; '.join(side.reason for side in found if side.value is None)
        mean = Found(None, reason)
    else:
        mean = Found(
            sum(side.value for side in found) / 2,
            reason,
            'warn' if any(side.qc for side in found) else '',
        )
    return {name: mean} | {f'{name}_{side}': found for side, found in sides.items()}


def _said(side: str, regions: Mapping[tuple[str, str], Region], bundles=BUNDLES) -> str:
    names = {'proj': 'projection', 'assoc': 'association'}
    return '; '.join(
        f'{side} {names[bundle]}: {regions[side, bundle].reason}'
        for bundle in bundles
        if regions[side, bundle].reason
    )


def _voxel_axes(affine: np.ndarray) -> np.ndarray:
    """Return the axes of the voxels as rows, in the order of the world's that they are nearest.

    Signs do not matter: only squares of directions enter diffusivities along axes.
    """
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    order = linear_sum_assignment(-np.abs(axes))[1]
    return axes[:, order].T


def _with_lesions(
    nearby: Nearby, lesion, values: Mapping[str, Found], centres
) -> dict[str, Found]:
    """Repeat the primary index as if there were no lesions."""
    name = 'alps_reo_r2p5_withwmh'
    if lesion is None or not nearby.lesion.any():
        return {name + end: values[f'alps_reo_r2p5{end}'] for end in ('', '_left', '_right')}
    free = replace(nearby, lesion=np.zeros_like(nearby.lesion))
    regions = {key: choose_region(free, key, 2.5, centres) for key in CENTRES}
    return _indices(name, regions, _reoriented)


def _lab(world: Mapping[str, Found], angles: Mapping[str, float]) -> dict[str, Found]:
    """Keep the index without reorientation if the head lies straight."""
    ends = {'both': '', 'both_left': '_left', 'both_right': '_right'}
    tilted = [
        f'{name} {angles[name]:.1f}°'
        for name, most in LAB_LIMITS.items()
        if abs(angles[name]) >= most
    ]
    if tilted:
        limits = ', '.join(f'{name} {most:g}°' for name, most in LAB_LIMITS.items())
        reason = f'the head is tilted ({", ".join(tilted)}; limits {limits})'
        return {f'alps_lab_r2p5{end}': Found(None, reason) for end in ends.values()}
    return {f'alps_lab_r2p5{ends[name]}': found for name, found in world.items()}


def _diffusivities(regions: Mapping[tuple[str, str], Region]) -> dict[str, Found]:
    """List diffusivities, FA and MD of the regions."""
    parts = {'dxx': 0, 'dyy': 3, 'dzz': 5}
    out = {}
    for bundle in BUNDLES:
        for name in (*parts, 'fa', 'md'):
            sides = {}
            for side in SIDES:
                region = regions[side, bundle]
                said = _said(side, regions, (bundle,))
                if region.template is None:
                    sides[side] = Found(None, said)
                    continue
                value = (
                    1e3 * region.template[parts[name]]
                    if name in parts
                    else region.fa
                    if name == 'fa'
                    else 1e3 * region.md
                )
                sides[side] = Found(float(value), said, 'warn' if said else '')
            out |= _with_mean(f'alps_{name}_{bundle}', sides)
    return out


def _quality(regions: Mapping[tuple[str, str], Region], lesions: bool) -> dict[str, Found]:
    """Say how well the regions sit."""
    every = list(regions.values())
    shares = [region.lesion for region in every]
    return {
        'alps_aligned_pct': Found(100 * min(region.aligned for region in every)),
        'alps_covered_pct': Found(100 * min(region.covered for region in every)),
        'alps_shift_mm': Found(max(region.shift_mm for region in every)),
        'alps_wmh_pct': Found(100 * sum(shares) / len(shares))
        if lesions
        else Found(None, 'there is no mask of white matter hyperintensities'),
    }


def _voxels(name: str, regions: Mapping[tuple[str, str], Region]) -> dict[str, Found]:
    """Say on how many voxels each side stands: the smaller of its two regions."""
    found = {}
    for side in SIDES:
        pair = [regions[side, bundle] for bundle in BUNDLES]
        if any(region.template is None for region in pair):
            found[f'{name}_{side}'] = Found(None, _said(side, regions))
        else:
            found[f'{name}_{side}'] = Found(min(region.voxels for region in pair))
    return found


def _image(regions: Mapping[tuple[str, str], Region], nearby: Nearby, shape, *, screened: bool):
    out = np.zeros((*shape, len(CENTRES)), np.float32)
    for number, name in enumerate(CENTRES):
        region = regions[name]
        out[(*nearby.index.T, number)] = region.share * (region.kept if screened else 1)
    return out
