"""Norms without each site, read at that site."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from csvdprep.core.errors import MeasureError
from csvdprep.dataset.norms import ROOM
from csvdprep.dataset.norms.science import fit_norm, scores
from csvdprep.science.unseen_sites import ALL, calibration, left_out


def without_each_site(
    kinds: Mapping[str, Mapping[str, np.ndarray]],
    ages: np.ndarray,
    male: np.ndarray,
    controls: np.ndarray,
    sites: np.ndarray,
    least: int,
) -> tuple[list[dict[str, Any]], float | None]:
    """Leave out each site in turn.

    Parameters
    ----------
    kinds : mapping of str to mapping of str to (ndarray, shape (n,))
        Values by measure: 'as measured' and, if there are some, 'harmonised'.
    ages : ndarray, shape (n,)
        Years.
    male : ndarray of bool, shape (n,)
        Sex.
    controls : ndarray of bool, shape (n,)
        First visits of controls of known age and sex.
    sites : ndarray of str, shape (n,)
        Site of each visit, 'n/a' where it is not known.
    least : int
        Fewest controls of a norm.

    Returns
    -------
    rows : list of dict
        Rows of the table: those of all sites together first.
    within : float or None
        Percent of controls between the curves of 5 and 95 % of the other sites, median of the
        measures (harmonised, where they are); None if no site could be left out.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> ages, male = rng.uniform(50, 80, 300), rng.random(300) < 0.5
    >>> sites = np.repeat(['A', 'B', 'C'], 100)
    >>> values = {'as measured': {'bpf': rng.normal(0.8, 0.02, 300) + 0.04 * (sites == 'C')}}
    >>> rows, within = without_each_site(values, ages, male, np.ones(300, bool), sites, 40)
    >>> [(row['site'], round(row['mean'])) for row in rows]
    [('all sites', 0), ('A', -1), ('B', -1), ('C', 2)]
    """
    together, apart, held = [], [], {}
    for kind, table in kinds.items():
        for name, values in table.items():
            pooled = []
            for site, here, others, why in left_out(sites, controls & np.isfinite(values), least):
                z = np.zeros(0)
                if not why:
                    try:
                        norm = fit_norm(name, values[others], ages[others], male[others])
                        z = scores(norm, values[here], ages[here], male[here])[0]
                    except MeasureError as error:
                        why = str(error)
                apart.append(_row(name, kind, site, z, why))
                if not apart[-1]['reason']:
                    pooled.append(z)
            if pooled:
                row = _row(name, kind, ALL, np.concatenate(pooled), '')
                together.append(row)
                # Harmonised values come last, and count in place of those as measured.
                held[name] = row['within_90_pct']
    return [*together, *apart], float(np.median([*held.values()])) if held else None


def _row(name: str, kind: str, site: str, z: np.ndarray, why: str) -> dict[str, Any]:
    row = dict.fromkeys(column.name for column in ROOM.makes['norm_unseen'].columns)
    row |= {'measure': name, 'values': kind, 'site': site, 'reason': why or None}
    if not why:
        row |= calibration(z)
        if row['mean'] is None:
            row |= {'controls': None, 'reason': 'fewer than 10 controls of ages that norms have'}
    return row
