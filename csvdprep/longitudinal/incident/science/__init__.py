"""New, persisting and vanished lesions of two visits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from csvdprep.longitudinal.incident.science.contrast import LEAST_COVERED, Look, Scan, look
from csvdprep.longitudinal.incident.science.matching import distances, match

__all__ = ['Lesion', 'Rules', 'Scan', 'Track', 'compare']

#: What became of a lesion.
NEW, PERSISTING, VANISHED, UNTOLD = 'new', 'persisting', 'vanished', 'cannot be told'


@dataclass(frozen=True)
class Rules:
    """When a lesion is the same, and when it is new.

    Attributes
    ----------
    tolerance_mm : float
        Largest distance of the centres of one lesion at two visits.
    least_cnr : float
        Ratio of contrast to noise that a lesion must have in a scan to be seen.
    most_share : float
        Share of a lesion's contrast that its place may have at a visit that does not show it.
    most_error_mm : float
        Error of the registration up to which places can be compared.
    """

    tolerance_mm: float = 4.0
    least_cnr: float = 3.0
    most_share: float = 0.5
    most_error_mm: float = 2.0


@dataclass(frozen=True, eq=False)
class Lesion:
    """A lesion, or a candidate, of a visit.

    Attributes
    ----------
    index : int
        Its number in the list of the visit.
    definite : bool
        Whether it counts.
    points : ndarray, shape (n, 3)
        Its voxels, or parts of them, in the world that the visits share, mm.
    mm3 : float
        Volume that each stands for.
    said : str
        What the list says of a candidate that does not count.
    error_mm : float
        Error of the registration there.
    """

    index: int
    definite: bool
    points: np.ndarray
    mm3: float
    said: str = ''
    error_mm: float = 0.0


@dataclass(frozen=True)
class Track:
    """What became of a lesion between two visits.

    Attributes
    ----------
    change : {'new', 'persisting', 'vanished', 'cannot be told'}
        The verdict.
    first, last : Lesion or None
        What the lists of the visits have there; a candidate that does not count, too.
    distance_mm : float or None
        Between the two.
    cnr : tuple of float or None
        Contrast of the place at both visits, over the noise of its surroundings; lesions that are
        dark have negative ones.
    expected_cnr : float or None
        What the lesion would have at the visit at which it does not count.
    reason : str
        Why nothing can be told.
    """

    change: str
    first: Lesion | None
    last: Lesion | None
    distance_mm: float | None
    cnr: tuple[float | None, float | None]
    expected_cnr: float | None = None
    reason: str = ''


def compare(
    lesions: tuple[Sequence[Lesion], Sequence[Lesion]],
    scans: tuple[Scan, Scan],
    names: tuple[str, str],
    rules: Rules | None = None,
) -> list[Track]:
    """Compare the lesions of one kind of two visits.

    Parameters
    ----------
    lesions : two sequences of Lesion
        All candidates, the earlier visit first.
    scans : two Scan
        In which they were found.
    names : two str
        Of the visits, for reasons.
    rules : Rules, optional
        Thresholds.

    Returns
    -------
    list of Track
        One a lesion that counts at either visit. With the visits in reverse order new and vanished
        change places.

    Notes
    -----
    Lesions that count at both visits are assigned to one another by place, one to one. One that
    is left is new (or vanished) only if the other visit could have shown it and did not: if its
    place lies in the other scan, if there is no candidate, if the contrast that it has would
    exceed the noise there, and if the image of the other visit does not differ from the
    surroundings in the same way.
    """
    rules = rules or Rules()
    sure = [[one for one in given if one.definite] for given in lesions]
    away = _away(*sure, rules)
    pairs = match(away)
    tracks = [
        Track(
            PERSISTING,
            sure[0][i],
            sure[1][j],
            float(away[i, j]),
            (_own(scans[0], sure[0][i]), _own(scans[1], sure[1][j])),
        )
        for i, j in pairs
    ]
    for side in (0, 1):
        taken = {pair[side] for pair in pairs}
        left = [one for k, one in enumerate(sure[side]) if k not in taken]
        others = [one for one in lesions[1 - side] if not one.definite]
        near = _away(left, others, rules)
        beside = dict(match(near))
        for k, one in enumerate(left):
            other = others[beside[k]] if k in beside else None
            distance = float(near[k, beside[k]]) if other else None
            tracks.append(_judge(one, other, distance, side, scans, names, rules))
    return tracks


def _away(first, last, rules) -> np.ndarray:
    return distances(
        [one.points for one in first], [one.points for one in last], rules.tolerance_mm
    )


def _own(scan: Scan, lesion: Lesion) -> float | None:
    seen = look(scan, lesion.points, lesion.mm3)
    return seen.cnr(seen.contrast)


def _judge(lesion, candidate, distance, side, scans, names, rules) -> Track:
    """Judge a lesion that the other visit does not count."""
    own = look(scans[side], lesion.points, lesion.mm3)
    there = look(scans[1 - side], lesion.points, lesion.mm3)
    expected = None
    if own.contrast is not None and there.level is not None:
        dilution = there.filled / own.filled if own.filled else 1.0
        expected = there.cnr(own.contrast * min(dilution, 1.0))
    reason = _doubt(lesion, candidate, own, there, expected, names[1 - side], rules)
    seen = (own.cnr(own.contrast), there.cnr(there.contrast))
    change = UNTOLD if reason else (VANISHED, NEW)[side]
    pair = (lesion, candidate) if side == 0 else (candidate, lesion)
    return Track(change, *pair, distance, seen if side == 0 else seen[::-1], expected, reason)


def _doubt(lesion, candidate, own: Look, there: Look, expected, name: str, rules: Rules) -> str:
    """Say why it cannot be told whether the other visit has a lesion; empty if it can."""
    if candidate is not None:
        return f'{name} has a candidate there that does not count ({candidate.said})'
    if there.covered < LEAST_COVERED:
        return f'the place lies outside of the brain that the scan of {name} shows'
    if not lesion.error_mm <= rules.most_error_mm:
        return f'the visits are registered with an error of {lesion.error_mm:.1f} mm there'
    if expected is None:
        return 'too little brain around it, or no intensities, to measure its contrast'
    if abs(expected) < rules.least_cnr:
        return (
            f'poor contrast at {name}: it would have a contrast-to-noise ratio of '
            f'{abs(expected):.1f} there'
        )
    share = there.contrast / (own.contrast * min(there.filled / own.filled, 1.0))
    if share > rules.most_share:
        return (
            f'the image of {name} has {share:.0%} of its contrast there, although no lesion was '
            'found'
        )
    return ''
