"""Tables of diffusion gradients: into the world's frame and back, and whether they are right.

A table of FSL's format is given along the axes of the stored image, its first component negated
where the affine has a positive determinant. Converters get this wrong in ways that no fit notices:
mean diffusivity and anisotropy stay, only the fibres point elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations, product

import numpy as np

from csvdprep.core.errors import MeasureError
from csvdprep.science.distances import voxel_sizes

__all__ = [
    'VARIANTS',
    'TableCheck',
    'flipped_table',
    'fsl_axes',
    'fsl_vectors',
    'world_directions',
]

#: The 24 ways in which axes can be swapped and one of them reversed; the first changes nothing.
#: Reversing two axes is the same as reversing the third, as gradients have no sign.
VARIANTS = np.stack(
    [
        np.eye(3)[list(order)] * np.where(np.arange(3) == flip, -1.0, 1.0)[:, None]
        for order in permutations(range(3))
        for flip in (None, 0, 1, 2)
    ]
)

#: Voxels count as fibres from here on, as in tractography.
_FA = 0.2
# Two voxels are 45 degrees apart as seen from a third. The weight of a fibre that points half of
# that past its neighbour, as that one points past it, is cos(22.5)^(2 * 4), about one half.
_SHARPNESS = 4
# Edge, mm, of the cubes between which the index varies independently, about; fewest of them.
_CUBE_MM, _CUBES = 20.0, 8
# The best variant must differ from the next by so many standard errors.
_CERTAIN = 3.0


@dataclass(frozen=True, eq=False)
class TableCheck:
    """How well a gradient table fits the anatomy.

    Attributes
    ----------
    verdict : {'ok', 'flipped', 'permuted', 'undecided'}
        'undecided' where the best variant is not better than all others beyond doubt.
    meaning : str
        The same in words.
    transform : ndarray, shape (3, 3)
        The vectors ``transform @ g``, g of the file (FSL's format), agree best with the fibres.
    margin : float
        By what share of the best variant's index that of the next is less (that of the table as
        it is, if that is not the best).
    z : float
        The same difference in standard errors.
    index : ndarray, shape (24,)
        Fibre coherence of each of `VARIANTS`, 1 for the best.
    """

    verdict: str
    meaning: str
    transform: np.ndarray
    margin: float
    z: float
    index: np.ndarray


def fsl_axes(affine: np.ndarray) -> np.ndarray:
    """Return the matrix from vectors of FSL's format to the world's frame.

    ``M diag(s, 1, 1)`` with M the rotation (or reflection) of the affine, from its polar
    decomposition, and s = -1 where its determinant is positive, else 1.

    Parameters
    ----------
    affine : ndarray, shape (4, 4)
        Of the image.

    Returns
    -------
    ndarray, shape (3, 3)
        Orthogonal.

    Examples
    --------
    >>> fsl_axes(np.diag([2.0, 2, 3, 1])).diagonal().tolist()
    [-1.0, 1.0, 1.0]
    >>> fsl_axes(np.diag([-2.0, 2, 3, 1])).diagonal().tolist()
    [-1.0, 1.0, 1.0]
    """
    linear = np.asarray(affine, dtype=float)[:3, :3]
    left, _, right = np.linalg.svd(linear)
    sign = -1.0 if np.linalg.det(linear) > 0 else 1.0
    return left @ right @ np.diag([sign, 1.0, 1.0])


def world_directions(bvecs: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Turn the b-vectors of a file into unit vectors in the world's frame (RAS+).

    Parameters
    ----------
    bvecs : ndarray, shape (n, 3)
        FSL's format.
    affine : ndarray, shape (4, 4)
        Of the image.

    Returns
    -------
    ndarray, shape (n, 3)
        Unit vectors; 0 where the file has 0 or no number.

    Examples
    --------
    >>> world_directions(np.array([[0.5, 0, 0], [0, 0, 0]]), np.eye(4)).tolist()
    [[-1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    turned = np.asarray(bvecs, dtype=float) @ fsl_axes(affine).T
    length = np.linalg.norm(turned, axis=1, keepdims=True)
    usable = np.isfinite(length) & (length > 1e-6)
    return np.divide(turned, length, out=np.zeros_like(turned), where=usable) + 0.0


def fsl_vectors(directions: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Turn directions of the world's frame into b-vectors of FSL's format.

    Parameters
    ----------
    directions : ndarray, shape (n, 3)
        World's frame (RAS+).
    affine : ndarray, shape (4, 4)
        Of the image they are written for.

    Returns
    -------
    ndarray, shape (n, 3)

    Examples
    --------
    >>> axes = np.array([[0.6, 0.8, 0]])
    >>> grid = np.diag([2.0, 2, -2, 1])
    >>> bool(np.allclose(world_directions(fsl_vectors(axes, grid), grid), axes))
    True
    """
    return np.asarray(directions, dtype=float) @ fsl_axes(affine)


def flipped_table(
    fa: np.ndarray, v1: np.ndarray, affine: np.ndarray, mask: np.ndarray | None = None
) -> TableCheck:
    """Check whether axes of a gradient table are swapped or reversed.

    With the right table, fibres run into each other [1]_ [2]_. For all pairs of neighbours (26)
    with FA > 0.2 the index sums ``min(FA) (u v)^4 (u v')^4``: u points from one voxel to the
    other, v and v' are their main directions. As a tensor turns with the table it is fitted with,
    one fit serves all 24 variants.

    Parameters
    ----------
    fa : ndarray, shape (nx, ny, nz)
        Fractional anisotropy.
    v1 : ndarray, shape (nx, ny, nz, 3)
        Main direction in the world's frame, from the table that is checked.
    affine : ndarray, shape (4, 4)
        Grid, from voxel indices to mm.
    mask : ndarray of bool, optional
        Brain. What lies outside of it is noise.

    Returns
    -------
    TableCheck

    Raises
    ------
    MeasureError
        If there are too few fibres for a verdict.

    Notes
    -----
    Standard errors come from cubes of 20 mm: how the difference of two variants varies among
    them. A table that is turned by a small angle is not found.

    References
    ----------
    .. [1] Jeurissen B. et al. (2014) Automated correction of improperly rotated diffusion gradient
       orientations in diffusion weighted MRI. doi:10.1016/j.media.2014.05.012
    .. [2] Schilling K.G. et al. (2019) A fiber coherence index for quality control of B-table
       orientation in diffusion MRI scans. doi:10.1016/j.mri.2019.01.018

    Examples
    --------
    >>> i, j, k = np.indices((24, 24, 24))
    >>> fa = np.where(((i - j) % 4 == 0) & (k % 3 == 0), 0.7, 0.1)  # along (1, 1, 0)
    >>> v1 = np.broadcast_to(np.array([1, -1, 0]) / 2**0.5, (24, 24, 24, 3))
    >>> flipped_table(fa, v1, np.diag([2.0, 2, 2, 1])).meaning
    'flipped along x; wrong beyond doubt, but it may be another axis'
    """
    fibres = np.asarray(fa) > _FA
    if mask is not None:
        fibres &= np.asarray(mask) > 0
    sums = _coherence(fibres, np.asarray(fa, float), v1 @ fsl_axes(affine), affine)
    total = sums.sum(axis=0)
    if len(sums) < _CUBES or total.max() <= 0:
        raise MeasureError(
            'Too few fibres are seen to check the gradient table.',
            remedy='Check the brain mask and the maps of anisotropy.',
        )
    best = int(total.argmax())
    others = [variant for variant in range(24) if variant != best]
    gaps = sums[:, [best]] - sums[:, others]
    error = gaps.std(axis=0, ddof=1) * len(sums) ** 0.5
    certain = gaps.sum(axis=0) / np.maximum(error, 1e-12 * total[best])
    # The table is right if it is better than all others, wrong if another is better than it.
    z = float(certain[0] if best else certain.min())
    margin = float(1 - total[0 if best else others].max() / total[best])
    verdict, meaning = _words(VARIANTS[best])
    if z < _CERTAIN:
        verdict = 'undecided'
        meaning = f'undecided: best as {meaning}, but not beyond doubt'
    elif certain.min() < _CERTAIN:
        meaning = f'{meaning}; wrong beyond doubt, but it may be another axis'
    return TableCheck(verdict, meaning, VARIANTS[best], margin, z, total / total[best])


def _coherence(fibres: np.ndarray, fa, v: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Sum the index over each cube (rows) for each variant (columns). v in FSL's frame."""
    sizes = voxel_sizes(affine)
    sign = -1.0 if np.linalg.det(affine[:3, :3]) > 0 else 1.0
    coordinates = np.indices(fibres.shape, sparse=True)
    cells = [
        np.floor(i * size / _CUBE_MM).astype(int)
        for i, size in zip(coordinates, sizes, strict=True)
    ]
    counts = [int(cell.max()) + 1 for cell in cells]
    cube = (cells[0] * counts[1] + cells[1]) * counts[2] + cells[2]
    sums = np.zeros((int(np.prod(counts)), 24))
    for step in product((-1, 0, 1), repeat=3):
        if step <= (0, 0, 0):
            continue
        here, there = (
            tuple(
                slice(max(0, sign_ * k), min(n, n + sign_ * k))
                for k, n in zip(step, fibres.shape, strict=True)
            )
            for sign_ in (-1, 1)
        )
        pair = fibres[here] & fibres[there]
        u = np.array(step) * sizes * [sign, 1, 1]
        # u' P v for all variants P at once.
        along = np.einsum('i,pij->jp', u / np.linalg.norm(u), VARIANTS)
        weight = np.minimum(fa[here][pair], fa[there][pair])
        both = (v[here][pair] @ along) * (v[there][pair] @ along)
        both = weight[:, None] * both**_SHARPNESS
        place = cube[here][pair]
        for variant in range(24):
            sums[:, variant] += np.bincount(place, both[:, variant], len(sums))
    return sums[sums.any(axis=1)]


def _words(transform: np.ndarray) -> tuple[str, str]:
    """Say what is wrong with a table that this puts right."""
    order = np.abs(transform).argmax(axis=1)
    negative = transform.sum(axis=1) < 0
    if (order == np.arange(3)).all():
        if not negative.any():
            return 'ok', 'ok'
        return 'flipped', f'flipped along {"xyz"[int(negative.argmax())]}'
    rows = ', '.join(
        f'{"-" if minus else ""}{"xyz"[axis]}' for axis, minus in zip(order, negative, strict=True)
    )
    return 'permuted', f'permuted: x, y, z of the file should be its {rows}'
