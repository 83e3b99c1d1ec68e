"""Names that were mistyped: what may have been meant, and what there is."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

#: Names that a message lists.
LISTED = 20


def choices(
    wrong: str, listed: Iterable[str], head: str, known: Iterable[str] | None = None
) -> str:
    """Say what may have been meant, or else what there is to choose from.

    Parameters
    ----------
    wrong : str
        Name that does not exist.
    listed : iterable of str
        Names to list if none is similar; of many, the first.
    head : str
        How the list begins.
    known : iterable of str, optional
        Names that may be meant, if more than those listed.

    Returns
    -------
    str
        One sentence.

    Examples
    --------
    >>> choices('seedz', ['seed_contrast', 'seed', 'runs'], 'The options are')
    'Did you mean seed or seed_contrast?'
    >>> choices('wmh.seedz', ['runs', 'engine'], 'The options are')
    'The options are runs, engine.'

    """
    listed = list(listed)
    by_small = {name.lower(): name for name in (listed if known is None else known)}
    near = difflib.get_close_matches(wrong.lower(), by_small, n=3, cutoff=0.65)
    # The beginning may be right, and the end forgotten: seedz, seed_contrast.
    start = wrong.lower()[: max(4, len(wrong) - 1)]
    near += [name for name in by_small if name.startswith(start) and name not in near]
    if near:
        return f'Did you mean {" or ".join(by_small[name] for name in near[:3])}?'
    rest = f' and {len(listed) - LISTED} more' if len(listed) > LISTED else ''
    return f'{head} {", ".join(listed[:LISTED])}{rest}.'
