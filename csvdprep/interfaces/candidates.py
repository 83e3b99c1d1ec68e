"""Candidates of a list, as a room left them."""

from __future__ import annotations

from pathlib import Path

from csvdprep.bids.tsv import MISSING, read_tsv
from csvdprep.science.lesion_review import POSSIBLE, Candidate

__all__ = ['NO_LESION', 'read_candidates']

#: Status of what is listed though it is no lesion, and cannot be one.
NO_LESION = ('calcification',)


def read_candidates(path: Path, part: str = 'region') -> list[Candidate]:
    """Read a list of candidates.

    Parameters
    ----------
    path : Path
        Table with ``index`` and ``status``, and ``probability``, ``region`` and ``x``, ``y``,
        ``z`` as far as it has them.
    part : str
        Column that tells to which part of the count a lesion belongs; the region of the candidate.

    Returns
    -------
    list of Candidate
        One without a probability is certain, as those of a mask that was given are. What the
        list says to be no lesion is excluded.
    """
    found = []
    for row in read_tsv(path).rows:
        excluded = row['status'] in NO_LESION
        sure = row.get('probability', MISSING)
        place = [row.get(axis, MISSING) for axis in 'xyz']
        found.append(
            Candidate(
                int(row['index']),
                0.0 if excluded else 1.0 if sure == MISSING else float(sure),
                row['status'] != POSSIBLE and not excluded,
                row.get(part, ''),
                () if MISSING in place else tuple(map(float, place)),
                excluded=excluded,
            )
        )
    return found
