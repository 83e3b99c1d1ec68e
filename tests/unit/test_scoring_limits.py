"""Detection limits: whether lesions are found, as a function of their size."""

import math

import numpy as np
import pytest

from csvdprep.scoring.lesions import Candidate, Lesion, Scan
from csvdprep.scoring.limits import fit_detection, lesion_outcomes, limits


def _scans(d50, steep, *, seed=0, visits=12, each=25, region='deep', contrast=None, false=0):
    """Draw lesions whose probability of being found is logistic in the logarithm of the size."""
    rng = np.random.default_rng(seed)
    out = []
    for number in range(visits):
        sizes = np.exp(rng.uniform(np.log(1), np.log(15), each))
        p = 1 / (1 + np.exp(-steep * np.log(sizes / d50)))
        found = rng.random(each) < p
        lesions = tuple(
            Lesion(
                diameter_mm=float(size),
                found=bool(hit),
                region=region,
                contrast=contrast,
                true_mm3=float(size**3),
                found_mm3=0.8 * float(size**3) * bool(hit),
            )
            for size, hit in zip(sizes, found, strict=True)
        )
        candidates = tuple(Candidate(1.0) for _ in range(false))
        out.append(Scan(f'sub-{number:02d}', tuple(sizes), candidates, None, 'overlap', lesions))
    return out


def test_the_limit_is_that_of_the_truth():
    (row,) = limits('WMH', _scans(4.0, 5.0, false=3))
    assert row['d50_mm'] == pytest.approx(4, rel=0.12)
    assert row['d50_low'] < row['d50_mm'] < row['d50_high']
    assert row['d90_mm'] == pytest.approx(4 * 9 ** (1 / 5), rel=0.2)
    assert row['steepness'] == pytest.approx(5, rel=0.25)
    assert row['fp_per_scan'] == 3
    assert 0.7 < row['volume_slope'] <= 0.8
    assert row['n_true'] == 300


def test_places_have_limits_of_their_own():
    scans = _scans(3.0, 6.0, region='deep') + _scans(8.0, 6.0, seed=1, region='brainstem')
    rows = {row['level']: row for row in limits('lacune', scans)}
    assert set(rows) == {'all', 'deep', 'brainstem'}
    assert rows['deep']['d50_mm'] == pytest.approx(3, rel=0.15)
    assert rows['brainstem']['d50_mm'] == pytest.approx(8, rel=0.15)
    assert rows['deep']['fp_per_scan'] is None


def test_contrast_is_divided_into_thirds():
    scans = [
        scan
        for n, (d50, contrast) in enumerate(((9.0, 0.2), (5.0, 0.4), (2.5, -0.7)))
        for scan in _scans(d50, 6.0, seed=n, contrast=contrast, visits=4)
    ]
    rows = [row for row in limits('WMH', scans) if row['group'] == 'contrast']
    assert [row['level'].split()[0] for row in rows] == ['middle', 'high'] or len(rows) == 3
    found = [row['d50_mm'] for row in rows]
    assert found == sorted(found, reverse=True)


def test_separated_lesions_have_a_finite_limit():
    sizes = np.repeat([1.0, 2.0, 4.0, 8.0], 6)
    intercept, slope = fit_detection(sizes, sizes > 3)
    assert math.exp(-intercept / slope) == pytest.approx(2 * math.sqrt(2), rel=0.02)
    assert slope < 50


@pytest.mark.parametrize(
    ('sizes', 'found', 'reason'),
    [
        ([2.0] * 20, [True, False] * 10, 'one size'),
        ([1.0, 2.0], [False, True], 'fewer than 10'),
        (list(range(1, 21)), [True] * 20, 'all are found'),
        (list(range(1, 21)), [False] * 19 + [True], 'fewer than half are found up to'),
        (list(range(1, 21)), [False] * 20, 'none is found'),
        (list(range(5, 25)), [True, False] + [True] * 18, 'more than half are found from'),
        (list(range(1, 21)), [True] * 10 + [False] * 10, 'not found more often'),
    ],
)
def test_what_cannot_be_told_has_a_reason(sizes, found, reason):
    lesions = tuple(
        Lesion(diameter_mm=float(size), found=hit) for size, hit in zip(sizes, found, strict=True)
    )
    (row,) = limits('PVS', [Scan('sub-01', tuple(sizes), (), None, 'distance', lesions)])
    assert row['d50_mm'] is None
    assert reason in row['reason']
    assert 'no volumes' in row['reason']


def test_no_lesion_no_row():
    assert limits('CMB', [Scan('sub-01', (), (), None, 'distance', ())]) == []
    assert lesion_outcomes('CMB', [Scan('sub-01', (), (), None, 'distance', ())]) == []
