"""The anatomy of one visit, stored in two ways: all values have to be equal.

With diffusion, and on a real scan of thick slices, in ``tests/e2e/test_storage.py``.
"""

from storage import differing, misplaced, unlike, values


def test_no_measure_depends_on_how_images_are_stored(tiny, turned):
    assert len(values(tiny / 'out' / 'sub-01')) > 200
    assert differing(tiny / 'out' / 'sub-01', turned / 'out' / 'sub-02') == {}
    assert unlike(tiny / 'out' / 'sub-01', turned / 'out' / 'sub-02') == []


def test_results_lie_on_the_grid_that_came(turned):
    assert misplaced(turned / 'out' / 'sub-02', turned / 'raw' / 'sub-02') == []
