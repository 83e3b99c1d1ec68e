"""Diffusion gradients: tables of real scanners, evenly spread directions, FSL's files."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

#: Below this b-value (s/mm²) a volume counts as b = 0: scanners write odd values there.
B0_LIMIT = 50.0
#: How far b-values of one shell lie apart at most, s/mm².
SHELL_WIDTH = 100.0
#: Steps of the descent that spreads directions.
SPREAD_STEPS = 400


@dataclass(frozen=True, kw_only=True, eq=False)
class GradientTable:
    """The diffusion weighting of each volume.

    Attributes
    ----------
    bvals : ndarray, shape (n,)
        s/mm².
    directions : ndarray, shape (n, 3)
        Unit vectors along the axes of the scanner (RAS+); what scanners write for b = 0 differs.

    Examples
    --------
    >>> table = shells([(1000, 6)], b0=1)
    >>> table.bvals.tolist()
    [0.0, 1000.0, 1000.0, 1000.0, 1000.0, 1000.0, 1000.0]
    """

    bvals: np.ndarray
    directions: np.ndarray

    @property
    def b0(self) -> np.ndarray:
        """Which volumes have no diffusion weighting, shape (n,)."""
        return self.bvals < B0_LIMIT

    def at_most(self, limit: float) -> np.ndarray:
        """Say which volumes a tensor is fitted to.

        Parameters
        ----------
        limit : float
            Largest b-value, s/mm². Without six volumes between b = 0 and it, the lowest shell
            takes its place.

        Returns
        -------
        ndarray of bool, shape (n,)
        """
        used = self.bvals <= limit
        if (used & ~self.b0).sum() < 6:
            used = self.bvals <= 1.1 * self.bvals[~self.b0].min()
        return used

    def nearest(self, wanted: float) -> np.ndarray:
        """Say which volumes belong to the shell nearest a b-value, or to none.

        Parameters
        ----------
        wanted : float
            s/mm².

        Returns
        -------
        ndarray of bool, shape (n,)

        Examples
        --------
        >>> shells([(700, 1), (995, 1), (2000, 1)], b0=1).nearest(1000).tolist()
        [True, False, True, False]
        """
        weighted = self.bvals[~self.b0]
        best = weighted[np.abs(weighted - wanted).argmin()]
        return self.b0 | (np.abs(self.bvals - best) <= SHELL_WIDTH)

    def files(self, affine: np.ndarray) -> dict[str, str]:
        """Return the text of the .bval and .bvec files of an image.

        FSL's vectors lie along the axes of the stored array, the first component negated where
        the affine has a positive determinant.

        Parameters
        ----------
        affine : ndarray, shape (4, 4)
            Of the image.

        Returns
        -------
        dict of str to str

        Examples
        --------
        >>> one = GradientTable(bvals=np.array([1000.0]), directions=np.array([[1.0, 0, 0]]))
        >>> one.files(np.eye(4))['.bvec'].split()
        ['-1', '0', '0']
        >>> one.files(np.diag([-2, 2, 2, 1]))['.bvec'].split()
        ['-1', '0', '0']
        """
        local = self.directions @ image_axes(affine)
        rows = [' '.join(f'{value + 0.0:.6g}' for value in np.round(row, 9)) for row in local.T]
        return {
            '.bval': ' '.join(f'{b:g}' for b in self.bvals) + '\n',
            '.bvec': '\n'.join(rows) + '\n',
        }


def image_axes(affine: np.ndarray) -> np.ndarray:
    """Return the matrix (3, 3) from vectors of FSL's files to the scanner's axes (RAS+).

    ``M diag(s, 1, 1)`` with M the orthogonal part of the affine and s = -1 where its determinant
    is positive, else 1.

    Examples
    --------
    >>> image_axes(np.eye(4)).diagonal().tolist()
    [-1.0, 1.0, 1.0]
    """
    left, _, right = np.linalg.svd(affine[:3, :3])
    flip = -1.0 if np.linalg.det(affine[:3, :3]) > 0 else 1.0
    return left @ right @ np.diag([flip, 1.0, 1.0])


@cache
def spread(count: int) -> np.ndarray:
    """Spread directions evenly over the half sphere by electrostatic repulsion.

    Pairs of charges at both ends of every axis repel each other (Jones 1999,
    doi:10.1002/(SICI)1522-2594(199909)42:3<515::AID-MRM14>3.0.CO;2-Q); the start is a spiral, so
    that the result is always the same.

    Parameters
    ----------
    count : int
        Number of directions.

    Returns
    -------
    ndarray, shape (count, 3)
        Unit vectors.

    Examples
    --------
    >>> axes = spread(6)  # the diagonals of an icosahedron, 63.4 degrees apart
    >>> angles = np.degrees(np.arccos(np.abs(axes @ axes.T)[np.triu_indices(6, 1)]))
    >>> bool(np.allclose(angles, 63.43, atol=0.1))
    True
    """
    turn = np.pi * (3 - 5**0.5) * np.arange(count)
    height = 1 - (np.arange(count) + 0.5) / count
    ring = np.sqrt(1 - height**2)
    axes = np.stack([ring * np.cos(turn), ring * np.sin(turn), height], axis=1)
    step = 0.3 / count
    for number in range(SPREAD_STEPS):
        # On the sphere |a - b|² is 2 - 2ab; of the force only what lies in the surface counts.
        cosine = np.einsum('ik,jk->ij', axes, axes)
        np.fill_diagonal(cosine, 0)
        force = (2 + 2 * cosine) ** -1.5 - (2 - 2 * cosine) ** -1.5
        push = np.einsum('ij,jk->ik', force, axes)
        push -= (push * axes).sum(axis=1, keepdims=True) * axes
        reach = step * (1 - number / SPREAD_STEPS) / max(np.abs(push).max() / count, 1e-12)
        axes = axes + reach * push / max(1.0, count**0.5)
        axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    return axes


def shells(
    shells_: list[tuple[float, int]],
    b0: int,
    *,
    interspersed: bool = False,
    odd: tuple[float, float] | None = None,
) -> GradientTable:
    """Make a table of shells.

    Parameters
    ----------
    shells_ : list of (float, int)
        b-value (s/mm²) and number of directions of each shell.
    b0 : int
        Number of volumes at b = 0.
    interspersed : bool
        Spread them over the scan; else they all come first. The shells then alternate.
    odd : (float, float), optional
        As some scanners write what they really played: the b-value for 0, and by how much the
        others are lower (every second) or higher: ``(5, 5)`` makes 5, 995 and 1005.

    Returns
    -------
    GradientTable

    Examples
    --------
    >>> shells([(1000, 4)], b0=2, interspersed=True, odd=(5, 5)).bvals.tolist()
    [5.0, 995.0, 1005.0, 5.0, 995.0, 1005.0]
    """
    weights = np.concatenate([[b] * n for b, n in shells_]).astype(float)
    axes = np.concatenate([spread(n) for _, n in shells_])
    if interspersed:
        place = np.concatenate([(np.arange(n) + 0.5) / n for _, n in shells_])
        order = np.argsort(place, kind='stable')
        weights, axes = weights[order], axes[order]
    total = len(weights) + b0
    at = np.arange(b0) * total // b0 if interspersed else np.arange(b0)
    bvals, directions = np.zeros(total), np.zeros((total, 3))
    rest = np.setdiff1d(np.arange(total), at)
    bvals[rest], directions[rest] = weights, axes
    if odd:
        bvals[at] = odd[0]
        directions[at] = spread(12)[0]
        bvals[rest] += odd[1] * np.where(np.arange(len(rest)) % 2, 1, -1)
    return GradientTable(bvals=bvals, directions=directions)


def philips() -> GradientTable:
    """Return 5 x b near 0 (0.001 to 0.004, with a direction) and 12 x b = 1000, as Philips writes.

    Examples
    --------
    >>> philips().bvals[[0, 4, 16]].tolist()
    [0.0, 0.001, 0.004]
    """
    plain = shells([(1000, 12)], b0=0 + 1)
    bvals, directions = [0.0], [np.full(3, 3**-0.5)]
    for number, axis in enumerate(plain.directions[1:], start=1):
        bvals.append(1000.0)
        directions.append(axis)
        if number % 3 == 0:
            bvals.append(number / 3000)
            directions.append(np.array([0.614207, -0.586216, 0.528299]))
    return GradientTable(bvals=np.array(bvals), directions=np.array(directions))


#: Tables by name: as on the scans of three vendors that we have, and of research protocols.
TABLES = {
    'siemens-b2500': lambda: shells([(2500, 20)], b0=1),
    'philips-b1000': philips,
    'canon-b1500': lambda: shells([(1500, 12)], b0=1),
    'clinical-b1000': lambda: shells([(1000, 12)], b0=1),
    'research-32': lambda: shells([(1000, 32)], b0=6, interspersed=True),
    'research-64': lambda: shells([(1000, 64)], b0=6, interspersed=True),
    'research-64-odd': lambda: shells([(1000, 64)], b0=6, interspersed=True, odd=(5, 5)),
    'multishell': lambda: shells([(1000, 30), (2000, 60)], b0=8, interspersed=True),
}
