"""Free-response ROC of found lesions over all visits (FROC).

Sensitivity against false positives per scan while the threshold on the confidence falls; see
Bunch et al. 1977, doi:10.1117/12.955926. A candidate hits one lesion at most, the surest first;
more candidates on a lesion that was hit count neither as hits nor as false positives.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from csvdprep.scoring.lesions import Candidate, Scan

__all__ = ['froc', 'operating_points', 'outcomes']

#: False positives per scan at which the sensitivity is read from the curve.
AT = (1, 2, 5, 10)
#: Diameter of the true lesion: name, from, below (mm).
SIZES = (
    ('< 3 mm', 0.0, 3.0),
    ('3 to 5 mm', 3.0, 5.0),
    ('5 to 10 mm', 5.0, 10.0),
    ('>= 10 mm', 10.0, math.inf),
)


def outcomes(scans: Sequence[Scan]) -> list[tuple[float, str, float | None]]:
    """Judge all candidates, the surest first.

    Parameters
    ----------
    scans : sequence of Scan
        Visits.

    Returns
    -------
    list of tuple
        Confidence; 'hit', 'repeat', 'distractor' or 'false'; diameter of the lesion hit.

    Examples
    --------
    >>> pair = Candidate(0.9, (0,)), Candidate(0.8, (0,)), Candidate(0.7)
    >>> [kind for _, kind, _ in outcomes([Scan('sub-01', (4.0,), pair, None, 'distance')])]
    ['hit', 'repeat', 'false']
    """
    return [judged for judged, _ in _outcomes(scans)]


def _outcomes(scans: Sequence[Scan]) -> list[tuple[tuple[float, str, float | None], Candidate]]:
    found = [(scan, candidate) for scan in scans for candidate in scan.candidates]
    found.sort(key=lambda pair: (-pair[1].confidence, pair[1].cost))
    taken: set[tuple[str, int]] = set()
    return [(_judge(scan, candidate, taken), candidate) for scan, candidate in found]


def froc(scans: Sequence[Scan]) -> list[dict]:
    """Compute the curve: a point for each confidence that occurs.

    Parameters
    ----------
    scans : sequence of Scan
        Visits, at least one.

    Returns
    -------
    list of dict
        ``threshold`` (a candidate with this confidence counts), ``fp_per_scan``,
        ``sensitivity`` (None without true lesions), ``tp``, ``fp``.

    Examples
    --------
    >>> candidates = Candidate(0.9, (0,)), Candidate(0.5), Candidate(0.5, (1,))
    >>> curve = froc([Scan('sub-01', (4.0, 9.0), candidates, None, 'distance')])
    >>> [(point['threshold'], point['fp_per_scan'], point['sensitivity']) for point in curve]
    [(0.9, 0.0, 0.5), (0.5, 1.0, 1.0)]
    """
    n_true = sum(len(scan.sizes) for scan in scans)
    points: dict[float, dict] = {}
    tp = fp = 0
    for confidence, kind, _ in outcomes(scans):
        tp += kind == 'hit'
        fp += kind in ('false', 'distractor')
        points[confidence] = {
            'threshold': confidence,
            'fp_per_scan': fp / len(scans),
            'sensitivity': tp / n_true if n_true else None,
            'tp': tp,
            'fp': fp,
        }
    return list(points.values())


def operating_points(label: str, scans: Sequence[Scan]) -> list[dict]:
    """Count at what the application reports, over all lesions and by their size.

    Parameters
    ----------
    label : str
        Kind of lesion.
    scans : sequence of Scan
        Visits, at least one.

    Returns
    -------
    list of dict
        Rows of ``detection.tsv``: the first is about all sizes, then one a class that occurs.
        A false positive has no true size, so that classes have hits only.
    """
    judged = outcomes(scans)
    sizes = [size for scan in scans for size in scan.sizes]
    hits = [size for _, kind, size in judged if kind == 'hit']
    count = {kind: sum(k == kind for _, k, _ in judged) for kind in ('repeat', 'distractor')}
    fp = sum(kind in ('false', 'distractor') for _, kind, _ in judged)
    listed = [scan.n_distractors for scan in scans]
    complete = None not in listed
    row = _sensitivity(label, 'all', len(scans), len(sizes), len(hits)) | {
        'n_found': len(judged),
        'fp': fp,
        **_counted(scans),
        'n_repeats': count['repeat'],
        'n_distractors': sum(listed) if complete else None,
        'fp_on_distractors': count['distractor'] if complete else None,
        'precision': len(hits) / (len(hits) + fp) if len(hits) + fp else None,
        'f1': 2 * len(hits) / (len(hits) + fp + len(sizes)) if fp + len(sizes) else None,
        'fp_per_scan': fp / len(scans),
        'matched_by': ' and '.join(sorted({scan.matched_by for scan in scans})),
    }
    reasons = [row['reason']] if row['reason'] else []
    for limit in AT:
        value, reason = _at(limit, froc(scans), row)
        row[f'sensitivity_at_{limit}_fp'] = value
        reasons += [reason] if reason else []
    if not complete:
        reasons.append('no list of distractors in the frame of the comparison')
    row['reason'] = '; '.join(dict.fromkeys(reasons)) or None
    return [row, *_by_size(label, len(scans), sizes, hits)]


def _counted(scans: Sequence[Scan]) -> dict[str, int]:
    """Count among those candidates that the application itself counts."""
    kinds = [kind for (_, kind, _), candidate in _outcomes(scans) if candidate.counted]
    return {
        'n_counted': len(kinds),
        'tp_counted': kinds.count('hit'),
        'fp_counted': kinds.count('false') + kinds.count('distractor'),
    }


def _judge(scan: Scan, candidate: Candidate, taken: set) -> tuple[float, str, float | None]:
    for lesion in candidate.lesions:
        if (scan.visit, lesion) not in taken:
            taken.add((scan.visit, lesion))
            return candidate.confidence, 'hit', scan.sizes[lesion]
    if candidate.lesions:
        return candidate.confidence, 'repeat', None
    return candidate.confidence, 'distractor' if candidate.on_distractor else 'false', None


def _at(limit: int, curve: list[dict], row: dict) -> tuple[float | None, str | None]:
    """Read the sensitivity at so many false positives per scan, or say why there is none."""
    if row['sensitivity'] is None:
        return None, None
    within = [point['sensitivity'] for point in curve if point['fp_per_scan'] <= limit]
    end = curve[-1]['fp_per_scan'] if curve else 0.0
    if within and (end >= limit or within[-1] == 1):
        return within[-1], None
    if not within and curve:
        fewest = curve[0]['fp_per_scan']
        return None, f'no threshold gives fewer than {fewest:.3g} false positives per scan'
    return None, f'the curve ends at {end:.3g} false positives per scan'


def _by_size(label: str, n_scans: int, sizes: list, hits: list) -> Iterator[dict]:
    for name, low, high in SIZES:
        n_true, tp = (sum(low <= size < high for size in group) for group in (sizes, hits))
        if n_true:
            yield _sensitivity(label, name, n_scans, n_true, tp)


def _sensitivity(label: str, size: str, n_scans: int, n_true: int, tp: int) -> dict:
    return {
        'label': label,
        'size': size,
        'n_scans': n_scans,
        'n_true': n_true,
        'tp': tp,
        'fn': n_true - tp,
        'sensitivity': tp / n_true if n_true else None,
        'reason': None if n_true else 'no true lesion',
    }
