"""Peak width of skeletonised mean diffusivity (PSMD): projection onto the skeleton, and width.

PSMD = P95 - P5 of mean diffusivity on the skeleton of the white matter (Baykara 2016,
doi:10.1002/ana.24758). Each voxel of the skeleton takes the value from where the person's own
anisotropy is highest across the tract, as in tract-based spatial statistics (Smith 2006,
doi:10.1016/j.neuroimage.2006.02.024).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy import ndimage as ndi

from csvdprep.core.errors import MeasureError
from csvdprep.science.morphology import bounding_box

__all__ = [
    'DIRECTIONS',
    'Projection',
    'Skeleton',
    'measure_psmd',
    'peak_width',
    'plausible',
    'prepare_skeleton',
    'project',
    'project_native',
]

#: Steps across a tract, in voxels: one of each pair of opposite neighbours. The label image of
#: the skeleton holds 1 + the index into these.
DIRECTIONS = np.array([step for step in product((-1, 0, 1), repeat=3) if step > (0, 0, 0)])

#: Largest distance between the skeleton and the person's tract, mm.
SEARCH_MM = 10.0
#: Width of the Gaussian by which anisotropy counts less with distance, mm.
FWHM_MM = 20.0
#: Diffusivities above this, mm2/s, are those of free fluid; zero and below those of nothing.
FLUID_MD = 3e-3
#: Least share of the skeleton that must have values.
COVERED = 0.6
#: Share of hyperintensity in a voxel from which it counts as lesion.
LESION = 0.05


@dataclass(frozen=True, kw_only=True, eq=False)
class Skeleton:
    """The voxels that PSMD is measured on, and where the person's tract is looked for.

    Attributes
    ----------
    voxels : ndarray of int, shape (n, 3)
        Indices on the template's grid.
    steps : ndarray of int, shape (n, 3)
        One step across the tract, voxels.
    length : ndarray, shape (n,)
        Length of that step, mm.
    reach : ndarray of int, shape (n, 2)
        Steps that may be gone backward and forward.
    shape : tuple of int
        Of the template's grid.
    affine : ndarray, shape (4, 4)
        From indices to mm.
    """

    voxels: np.ndarray
    steps: np.ndarray
    length: np.ndarray
    reach: np.ndarray
    shape: tuple[int, int, int]
    affine: np.ndarray

    def points(self, step: int = 0) -> np.ndarray:
        """Return the voxels, or what lies some steps across the tract, mm, shape (n, 3)."""
        index = self.voxels + step * self.steps
        return index @ self.affine[:3, :3].T + self.affine[:3, 3]


@dataclass(frozen=True, kw_only=True, eq=False)
class Projection:
    """What was found for each voxel of the skeleton.

    Attributes
    ----------
    md : ndarray, shape (n,)
        Mean diffusivity where anisotropy is highest, mm2/s; 0 where nothing is covered.
    covered : ndarray of bool, shape (n,)
        Whether there are data, at the voxel of the skeleton and where the value is from.
    places : ndarray of int, shape (n, 3)
        Voxel that the value was taken from.
    """

    md: np.ndarray
    covered: np.ndarray
    places: np.ndarray


def prepare_skeleton(
    directions: np.ndarray, counts: np.ndarray, affine: np.ndarray, *, search_mm: float = SEARCH_MM
) -> Skeleton:
    """Find out how far from each voxel of the skeleton one may search.

    One may go on across the tract while the distance from the whole skeleton grows, so that no
    voxel takes values from another tract.

    Parameters
    ----------
    directions : ndarray of int, shape (nx, ny, nz)
        The whole skeleton: 1 + index into `DIRECTIONS` of the direction across; 0 elsewhere.
    counts : ndarray of bool, shape (nx, ny, nz)
        The part of it that counts.
    affine : ndarray, shape (4, 4)
        From indices to mm; voxels must be cubes, along the axes.
    search_mm : float
        Largest distance, mm.

    Returns
    -------
    Skeleton

    Raises
    ------
    ValueError
        If the grids differ, or something counts that is no skeleton.

    Examples
    --------
    >>> sheets = np.zeros((30, 3, 3), np.uint8)
    >>> sheets[[5, 13]] = 1 + np.flatnonzero((DIRECTIONS == [1, 0, 0]).all(axis=1))
    >>> prepare_skeleton(sheets, sheets > 0, np.eye(4)).reach[[0, -1]].tolist()
    [[5, 4], [4, 10]]
    """
    directions, counts = np.asarray(directions), np.asarray(counts, bool)
    if directions.shape != counts.shape or (counts & (directions == 0)).any():
        raise ValueError('What counts must be part of the skeleton.')
    spacing = float(np.linalg.norm(affine[:3, 0]))
    farthest = int(search_mm / spacing + 1e-6)
    box = bounding_box(directions > 0, farthest + 1)
    distance = ndi.distance_transform_edt(directions[box] == 0).astype(np.float32)

    voxels = np.argwhere(counts)
    steps = DIRECTIONS[directions[counts].astype(int) - 1]
    length = spacing * np.linalg.norm(steps, axis=1)
    local = voxels - [part.start for part in box]
    reach = np.zeros((len(voxels), 2), int)
    for side, sign in enumerate((-1, 1)):
        going, last = np.ones(len(voxels), bool), np.zeros(len(voxels), np.float32)
        for number in range(1, farthest + 1):
            at = local + sign * number * steps
            going &= (at >= 0).all(axis=1) & (at < distance.shape).all(axis=1)
            going &= number * length <= search_mm + 1e-6
            here = np.zeros(len(voxels), np.float32)
            here[going] = distance[tuple(at[going].T)]
            going &= here > last
            last = here
            reach[going, side] = number
    return Skeleton(
        voxels=voxels,
        steps=steps,
        length=length,
        reach=reach,
        shape=directions.shape,
        affine=np.asarray(affine, float),
    )


def project(
    fa: np.ndarray, md: np.ndarray, skeleton: Skeleton, *, brain: np.ndarray | None = None
) -> Projection:
    """Take mean diffusivity onto the skeleton from images on the template's grid.

    Of the voxels searched, the one with the largest ``FA exp(-d^2 / (2 s^2))`` is taken, with
    ``d`` the distance from the skeleton and ``s`` the standard deviation of a Gaussian of 20 mm
    FWHM.

    Parameters
    ----------
    fa, md : ndarray, shape (nx, ny, nz)
        Fractional anisotropy; mean diffusivity, mm2/s.
    skeleton : Skeleton
        From `prepare_skeleton`.
    brain : ndarray of bool, optional
        Where there are data: by default where ``md`` is finite and not 0.

    Returns
    -------
    Projection

    Raises
    ------
    ValueError
        If an image is not on the grid of the skeleton.

    References
    ----------
    Smith et al. 2006, doi:10.1016/j.neuroimage.2006.02.024

    Examples
    --------
    >>> sheet = np.zeros((30, 3, 3), np.uint8)
    >>> sheet[12] = 1 + np.flatnonzero((DIRECTIONS == [1, 0, 0]).all(axis=1))
    >>> fa = np.zeros(sheet.shape)
    >>> fa[15] = 0.6  # the person's tract is 3 mm aside
    >>> md = np.arange(1, 31)[:, None, None] * 1e-4 * np.ones(sheet.shape)
    >>> found = project(fa, md, prepare_skeleton(sheet, sheet > 0, np.eye(4)))
    >>> found.places[0].tolist(), round(float(found.md[0]), 6)
    ([15, 0, 0], 0.0016)
    """
    return _project(fa, md, brain, skeleton, skeleton.voxels, skeleton.steps, skeleton.shape)


def project_native(
    fa: np.ndarray,
    md: np.ndarray,
    positions: np.ndarray,
    next_positions: np.ndarray,
    skeleton: Skeleton,
    *,
    brain: np.ndarray | None = None,
) -> Projection:
    """Take mean diffusivity onto the skeleton from native images, without interpolation.

    As `project`, but the lines searched are brought into the person's own grid, and the voxels
    that they touch are read as they are.

    Parameters
    ----------
    fa, md : ndarray, shape (nx, ny, nz)
        Native images; mean diffusivity in mm2/s.
    positions, next_positions : ndarray, shape (n, 3)
        Where ``skeleton.points()`` and ``skeleton.points(1)`` lie in them, voxels (not rounded);
        NaN where unknown.
    skeleton : Skeleton
        From `prepare_skeleton`.
    brain : ndarray of bool, optional
        As in `project`.

    Returns
    -------
    Projection

    Examples
    --------
    >>> sheet = np.zeros((30, 3, 3), np.uint8)
    >>> sheet[12] = 1 + np.flatnonzero((DIRECTIONS == [1, 0, 0]).all(axis=1))
    >>> line = prepare_skeleton(sheet, sheet > 0, np.eye(4))
    >>> fa, md = np.zeros((15, 2, 2)), np.full((15, 2, 2), 7e-4)  # voxels of 2 mm
    >>> fa[7], md[7] = 0.6, 8e-4
    >>> found = project_native(fa, md, line.points() / 2, line.points(1) / 2, line)
    >>> found.places[0].tolist(), float(found.md[0])
    ([7, 0, 0], 0.0008)
    """
    positions = np.asarray(positions, float)
    steps = np.asarray(next_positions, float) - positions
    if positions.shape != skeleton.voxels.shape or steps.shape != positions.shape:
        raise ValueError('There must be one position for each voxel of the skeleton.')
    return _project(fa, md, brain, skeleton, positions, steps, np.shape(fa))


def _project(fa, md, brain, skeleton, start, steps, shape) -> Projection:
    fa, md = np.asarray(fa), np.asarray(md)
    if fa.shape != tuple(shape) or md.shape != fa.shape:
        raise ValueError(f'FA {fa.shape} and MD {md.shape} are not on the grid {tuple(shape)}.')
    there = np.isfinite(md) & (md != 0) & np.isfinite(fa)
    if brain is not None:
        there &= np.asarray(brain, bool)
    anisotropy = np.where(there, fa, 0)
    sigma = FWHM_MM / np.sqrt(8 * np.log(2))
    best, places = np.full(len(start), -np.inf), np.zeros(start.shape, int)
    known = np.isfinite(start).all(axis=1) & np.isfinite(steps).all(axis=1)
    covered = np.zeros(len(start), bool)
    # Nearest first and only if larger: of equal ones the nearest to the skeleton is taken.
    farthest = int(skeleton.reach.max(initial=0))
    for number in sorted(range(-farthest, farthest + 1), key=abs):
        allowed = known & (abs(number) <= skeleton.reach[:, int(number > 0)])
        some = np.flatnonzero(allowed)
        at = np.floor(start[some] + number * steps[some] + 0.5).astype(int)
        inside = (at >= 0).all(axis=1) & (at < fa.shape).all(axis=1)
        some, at = some[inside], at[inside]
        if number == 0:
            # Beyond the border of the data the search would find what lies at the border.
            covered[some] = there[tuple(at.T)]
        value = anisotropy[tuple(at.T)]
        value = value * np.exp(-0.5 * (number * skeleton.length[some] / sigma) ** 2)
        larger = value > best[some]
        best[some[larger]], places[some[larger]] = value[larger], at[larger]
    covered &= (best > 0) & there[tuple(places.T)]
    values = np.where(covered, md[tuple(places.T)], 0.0)
    return Projection(md=values, covered=covered, places=places)


def peak_width(md: np.ndarray) -> float:
    """Return P95 - P5 of mean diffusivities, without those of fluid and of nothing.

    Examples
    --------
    >>> from csvdprep.phantom.diffusion.tensors import skeleton_case
    >>> round(peak_width(np.append(skeleton_case(2.2e-4), [0, 0, 3.1e-3])), 7)
    0.00022
    """
    low, high = np.percentile(md[plausible(md)], [5, 95])
    return float(high - low)


def plausible(md: np.ndarray) -> np.ndarray:
    """Tell which diffusivities are neither those of free fluid nor of nothing."""
    return (md > 0) & (md <= FLUID_MD)


def measure_psmd(
    found: Projection, skeleton: Skeleton, *, lesion: np.ndarray | None = None
) -> tuple[dict[str, float | int | None], dict[str, str]]:
    """Measure PSMD and the mean (MSMD), whole, by side, and outside of lesions.

    Parameters
    ----------
    found : Projection
        From `project` or `project_native`.
    skeleton : Skeleton
        The same.
    lesion : ndarray, optional
        White matter hyperintensities, mask or share, on the grid that ``found.places`` refers to.

    Returns
    -------
    values : dict
        ``psmd``, ``msmd``, each with ``_left``, ``_right`` and ``_nonlesion``, mm2/s;
        ``n_voxels``; ``coverage_pct`` of the skeleton; ``fluid_pct`` and ``lesion_pct`` of what
        is covered: diffusivities that were dropped, voxels in lesions. None: cannot be had.
    reasons : dict of str to str
        Why, for each None.

    Raises
    ------
    MeasureError
        If less than 60 % of the skeleton has usable values.

    Examples
    --------
    >>> sheet = np.zeros((3, 40, 40), np.uint8)
    >>> sheet[1] = 1 + np.flatnonzero((DIRECTIONS == [1, 0, 0]).all(axis=1))
    >>> line = prepare_skeleton(sheet, sheet > 0, np.eye(4))
    >>> md = np.linspace(6e-4, 8e-4, sheet.size).reshape(sheet.shape)
    >>> found = project(np.where(sheet, 0.5, 0.1), md, line)
    >>> values, reasons = measure_psmd(found, line)
    >>> round(values['psmd'] * 1e4, 2), values['psmd_left'], reasons['psmd_left']
    (0.6, None, 'No part of the skeleton is on the left.')
    """
    usable = plausible(found.md)  # what is not covered has 0
    n_covered = int(found.covered.sum())
    if usable.mean() < COVERED:
        raise MeasureError(
            f'Only {100 * usable.mean():.0f} % of the white matter skeleton has usable values of '
            f'mean diffusivity; PSMD needs {100 * COVERED:.0f} %.',
            remedy='Check that the scan covers the brain, and check the registration of FA to '
            'the template.',
        )
    values: dict[str, float | int | None] = {
        'n_voxels': int(usable.sum()),
        'coverage_pct': float(100 * found.covered.mean()),
        'fluid_pct': float(100 * (n_covered - usable.sum()) / n_covered),
        'lesion_pct': None,
    }
    reasons: dict[str, str] = {}
    x = skeleton.points()[:, 0]
    ill = None
    if lesion is None:
        reasons['lesion_pct'] = 'There is no mask of hyperintensities.'
    else:
        ill = found.covered & (np.asarray(lesion)[tuple(found.places.T)] > LESION)
        values['lesion_pct'] = float(100 * ill.sum() / n_covered)
    everything = np.ones(x.shape, bool)
    parts = {'': (everything, everything), '_left': (x < 0,) * 2, '_right': (x > 0,) * 2}
    parts['_nonlesion'] = (everything, everything if ill is None else ~ill)
    for name, (part, kept) in parts.items():
        kept = kept & usable
        if name == '_nonlesion' and ill is None:
            why = reasons['lesion_pct']
        elif not part.any():
            why = f'No part of the skeleton is on the {name[1:]}.'
        elif kept.sum() < COVERED * part.sum():
            where = {'_nonlesion': 'outside lesions'}.get(name, f'on the {name[1:]}')
            why = (
                f'Only {100 * kept.sum() / part.sum():.0f} % of the skeleton has usable values '
                f'{where}; {100 * COVERED:.0f} % are needed.'
            )
        else:
            values[f'psmd{name}'] = peak_width(found.md[kept])
            values[f'msmd{name}'] = float(found.md[kept].mean(dtype=float))
            continue
        values |= {f'psmd{name}': None, f'msmd{name}': None}
        reasons |= {f'psmd{name}': why, f'msmd{name}': why}
    return values, reasons
