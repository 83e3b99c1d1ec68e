"""What the map of an engine means as a probability."""

import numpy as np
import pytest

from csvdprep.markers.wmh.learned import calibration_curves
from csvdprep.markers.wmh.science.calibration import calibrated


@pytest.mark.parametrize('engine', ['both', 'network', 'classical'])
@pytest.mark.parametrize('has_t1w', [True, False])
def test_curves_that_are_shipped_are_monotone_and_keep_the_order(engine, has_t1w):
    values = np.linspace(0, 1, 301)
    said = calibrated(values, engine, has_t1w, calibration_curves())
    assert (np.diff(said) >= 0).all()
    assert said[0] == 0
    assert said[-1] >= 0.9
    assert said.dtype == np.float32
    assert abs(said - values).max() > 0.01


def test_a_curve_makes_up_for_a_map_that_says_too_much():
    rng = np.random.default_rng(0)
    true = rng.random(200_000)
    lesion = rng.random(true.size) < true
    map_ = np.sqrt(true)  # too sure of itself
    knots = np.linspace(0, 1, 21)
    curves = {'network': {'t1w': [knots.tolist(), (knots**2).tolist()]}}
    said = calibrated(map_, 'network', True, curves)

    def error(shown):
        place = np.minimum((shown * 20).astype(int), 19)
        sums = [np.bincount(place, what, 20) for what in (shown, lesion)]
        return abs(sums[0] - sums[1]).sum() / lesion.size

    assert error(map_) > 0.1
    assert error(said) < 0.01
