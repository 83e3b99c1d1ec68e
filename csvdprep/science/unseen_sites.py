"""How deviates from controls are calibrated at sites that the model did not have.

Each site is left out in turn, the model is fitted to the controls of the others, and the controls
of the site are read with it. If the model holds there, their deviates are standard normal.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import stats

from csvdprep.science.proportions import shares
from csvdprep.science.small_groups import FEW

#: Name of the row of all sites together, each read by a model that did not have it.
ALL = 'all sites'
#: Deviates between which 90 % of normal ones lie.
_90 = float(stats.norm.ppf(0.95))


def left_out(
    sites: np.ndarray, controls: np.ndarray, least: int
) -> Iterator[tuple[str, np.ndarray, np.ndarray, str]]:
    """Part controls by site, one site at a time.

    Parameters
    ----------
    sites : ndarray of str, shape (n,)
        Site of each visit; 'n/a' where it is not known. Such visits are on neither side.
    controls : ndarray of bool, shape (n,)
        Controls with a value.
    least : int
        Fewest controls of a model.

    Yields
    ------
    site : str
        In the order of their names.
    here, others : ndarray of bool, shape (n,)
        Controls of the site, and of all other sites.
    why : str
        Why the site cannot be tested; empty where it can.

    Examples
    --------
    >>> sites = np.repeat(['A', 'B', 'C'], (50, 30, 5))
    >>> for site, here, others, why in left_out(sites, np.ones(85, bool), 40):
    ...     print(site, why or f'{here.sum()} by {others.sum()}')
    A 35 controls of other sites; 40 are needed
    B 30 by 55
    C fewer than 10 controls
    """
    known = controls & (sites != 'n/a')
    for site in sorted({str(name) for name in sites[known]}):
        here, others = known & (sites == site), known & (sites != site)
        why = ''
        if here.sum() < FEW:
            why = f'fewer than {FEW} controls'
        elif others.sum() < least:
            why = f'{int(others.sum())} controls of other sites; {least} are needed'
        yield site, here, others, why


def calibration(z: np.ndarray) -> dict[str, float | int | None]:
    """Tell how near deviates are to standard normal ones.

    Parameters
    ----------
    z : ndarray, shape (n,)
        Deviates of controls; what is NaN does not count.

    Returns
    -------
    dict
        ``controls``; ``mean`` with ``mean_low`` and ``mean_high`` (95 %, Student), ``sd``, and
        ``within_90_pct`` (between the curves of 5 and 95 %; Wilson's interval ``within_90_low``,
        ``within_90_high``). With fewer than ten deviates, ``controls`` is their number and
        everything else is None.

    Examples
    --------
    >>> found = calibration(np.linspace(-2, 2, 41) + 0.5)
    >>> found['controls'], round(found['mean'], 1), round(found['within_90_pct'])
    (41, 0.5, 78)
    """
    z = np.asarray(z, float)
    z = z[np.isfinite(z)]
    names = ('mean', 'mean_low', 'mean_high', 'sd')
    names = (*names, 'within_90_pct', 'within_90_low', 'within_90_high')
    if len(z) < FEW:
        return {'controls': len(z), **dict.fromkeys(names)}
    mean, sd = float(z.mean()), float(z.std(ddof=1))
    half = float(stats.t.ppf(0.975, len(z) - 1)) * sd / np.sqrt(len(z))
    inside = shares(int((np.abs(z) < _90).sum()), len(z))
    values = (mean, mean - half, mean + half, sd, *inside)
    return {'controls': len(z), **dict(zip(names, values, strict=True))}
