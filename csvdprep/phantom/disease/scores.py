"""Scores that a head truly has, from the true numbers and grades of its lesions.

The tables are written down here once more: none of the application's code is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Names under which the truth may have a number.
NAMES = {
    'lacunes': ('lacune_n', 'lacune_n_definite'),
    'bleeds': ('cmb_n', 'cmb_n_definite'),
    'lobar': ('cmb_lobar_n', 'cmb_n_lobar'),
    'basal': ('pvs_bg_grade',),
    'centrum': ('pvs_cso_grade',),
    'pv': ('fazekas_pv',),
    'deep': ('fazekas_deep',),
}
_WORDS = 'of the true numbers and grades; there is no siderosis'


def true_scores(measures: Mapping[str, Any]) -> dict[str, tuple[int, str]]:
    """Score a head by what is true of it.

    Parameters
    ----------
    measures : mapping of str to number
        True measures.

    Returns
    -------
    dict of str to (int, str)
        Value and meaning of ``svd_staals`` (0 to 4), ``svd_lau`` (0 to 6) and ``caa_score`` (0 to
        6); nothing where a number is not noted, as that of microbleeds without gradient echo.

    References
    ----------
    .. [1] Staals J. et al. (2014) doi:10.1212/WNL.0000000000000837
    .. [2] Lau K. K. et al. (2017) doi:10.1212/WNL.0000000000004042
    .. [3] Charidimou A. et al. (2016) doi:10.1001/jamaneurol.2016.0832

    Examples
    --------
    >>> found = true_scores({'lacune_n': 2, 'cmb_n': 6, 'cmb_lobar_n': 5, 'pvs_bg_grade': 2,
    ...                      'pvs_cso_grade': 3, 'fazekas_pv': 3, 'fazekas_deep': 1})
    >>> {name: value for name, (value, _) in found.items()}
    {'svd_staals': 4, 'svd_lau': 4, 'caa_score': 4}
    """
    known = {
        key: next((measures[n] for n in names if measures.get(n) is not None), None)
        for key, names in NAMES.items()
    }
    if None in known.values():
        return {}
    pv, deep, bleeds, lobar = (known[key] for key in ('pv', 'deep', 'bleeds', 'lobar'))
    severe = 1 if pv == 3 or deep in (2, 3) else 0
    lacune = 1 if known['lacunes'] else 0
    staals = [lacune, 1 if bleeds else 0, 1 if known['basal'] in (2, 3, 4) else 0, severe]
    lau = [
        lacune,
        2 if bleeds > 4 else 1 if bleeds else 0,
        1 if known['basal'] in (3, 4) else 0,
        {0: 0, 1: 0, 2: 0, 3: 1, 4: 1, 5: 2, 6: 2}[pv + deep],
    ]
    amyloid = [
        2 if lobar > 4 else 1 if lobar > 1 else 0,
        1 if known['centrum'] in (3, 4) else 0,
        severe,
    ]
    return {
        'svd_staals': (sum(staals), f'Total score of small vessel disease {_WORDS}'),
        'svd_lau': (sum(lau), f'Modified total score {_WORDS}'),
        'caa_score': (sum(amyloid), f'Score of cerebral amyloid angiopathy {_WORDS}'),
    }
