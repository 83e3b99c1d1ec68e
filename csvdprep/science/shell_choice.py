"""Which shells the diffusion tensor is fitted on.

Signal does not fall as one exponential: the diffusivity found depends on the b-values it was
measured with, so that tensors of other shells are other measures (Melhem et al. 2000, AJNR
21:1813, PMC7974303). What is known of MD, PSMD and DTI-ALPS in small vessel disease was measured
near b = 1000 s/mm².
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from csvdprep.core.errors import MeasureError
from csvdprep.science.tensor_equations import can_be_solved, design_matrix

__all__ = ['Choice', 'choose_shells', 'shell_of', 'volumes_of']

#: Range of b-values (s/mm²) within which a shell stands for the one wanted.
RANGE = (650.0, 1500.0)


@dataclass(frozen=True, eq=False)
class Choice:
    """Shells of a tensor.

    Attributes
    ----------
    used, left : tuple of float
        b-values of the shells that take part and of those that do not, s/mm².
    volumes : ndarray of bool, shape (n,)
        Volumes that take part: those shells, and all without gradient.
    """

    used: tuple[float, ...]
    left: tuple[float, ...]
    volumes: np.ndarray


def choose_shells(
    bvals: np.ndarray,
    directions: np.ndarray,
    levels: Sequence[float],
    *,
    wanted: float = 1000.0,
    every_up_to: float | None = None,
) -> Choice:
    """Choose the volumes that the tensor is fitted on.

    Those without gradient, and one shell: of the shells from 650 to 1500 s/mm² whose directions
    determine a tensor the nearest to the one wanted, of two equally near that of more volumes.
    Where none lies in that range the nearest outside of it is taken, and where no single shell
    determines a tensor all of them are.

    Parameters
    ----------
    bvals, directions : ndarray, shapes (n,) and (n, 3)
        s/mm² (0 where there is no gradient) and unit vectors.
    levels : sequence of float
        b-values of the shells, s/mm².
    wanted : float
        s/mm².
    every_up_to : float, optional
        Take all shells up to this b-value (s/mm²) instead, the lowest if all are higher.

    Returns
    -------
    Choice

    Raises
    ------
    MeasureError
        If there is no shell.

    Examples
    --------
    >>> from csvdprep.phantom.diffusion.gradients import shells
    >>> table = shells([(700, 8), (1000, 20), (2000, 20)], b0=2)
    >>> found = choose_shells(table.bvals, table.directions, [700, 1000, 2000])
    >>> found.used, found.left, int(found.volumes.sum())
    ((1000,), (700, 2000), 22)
    >>> choose_shells(table.bvals, table.directions, [700, 1000, 2000], every_up_to=1500).used
    (700, 1000)
    """
    levels = sorted(levels)
    if not levels:
        raise MeasureError('The series has no shell.', remedy='Look at its b-values.')
    near = shell_of(bvals, levels)
    plain = near < 0
    if every_up_to is not None:
        used = [b for b in levels if b <= every_up_to * 1.03] or levels[:1]
    else:
        able = [
            b for k, b in enumerate(levels) if _determines(bvals, directions, plain | (near == k))
        ]
        within = [b for b in able if RANGE[0] <= b <= RANGE[1]] or able
        best = sorted(within, key=lambda b: (abs(b - wanted), -np.sum(near == levels.index(b))))
        used = best[:1] or levels
    left = tuple(b for b in levels if b not in used)
    return Choice(tuple(used), left, volumes_of(bvals, levels, used))


def shell_of(bvals: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """Tell to which shell each volume belongs.

    Parameters
    ----------
    bvals : ndarray, shape (n,)
        s/mm².
    levels : sequence of float
        b-values of the shells, s/mm².

    Returns
    -------
    ndarray of int, shape (n,)
        Place in ``levels``; -1 without gradient.

    Examples
    --------
    >>> shell_of(np.array([0, 995, 1005, 2000]), [1000, 2000]).tolist()
    [-1, 0, 0, 1]
    """
    bvals = np.asarray(bvals, float)
    nearest = np.abs(bvals[:, None] - np.asarray(levels, float)).argmin(axis=1)
    return np.where(bvals > 0, nearest, -1)


def volumes_of(bvals: np.ndarray, levels: Sequence[float], used: Sequence[float]) -> np.ndarray:
    """Find the volumes of some shells, and those without gradient.

    Parameters
    ----------
    bvals : ndarray, shape (n,)
        s/mm².
    levels, used : sequence of float
        b-values of all shells and of those wanted, s/mm².

    Returns
    -------
    ndarray of bool, shape (n,)

    Examples
    --------
    >>> volumes_of(np.array([0, 995, 1005, 2000]), [1000, 2000], [2000]).tolist()
    [True, False, False, True]
    """
    near = shell_of(bvals, levels)
    places = shell_of(np.asarray(used), levels)
    return (near < 0) | np.isin(near, places)


def _determines(bvals, directions, volumes) -> bool:
    """Tell whether some volumes determine a tensor."""
    try:
        design = design_matrix(np.asarray(bvals)[volumes], np.asarray(directions)[volumes])
    except MeasureError:
        return False
    return bool(can_be_solved(design))
