"""Zones of concentric phantoms have their analytic volumes, on any grid."""

from __future__ import annotations

import numpy as np
import pytest

from csvdprep.markers.zones import science as zones
from csvdprep.phantom.geometry.spheres import ConcentricPhantom, make_grid, positions
from csvdprep.science.distances import distance_map

# Ventricles in the middle and shifted; the first pair is the one on which the rule for the
# offset of distances was found, the others are not.
PHANTOMS = [
    ConcentricPhantom(ventricle_mm=12, cortex_mm=45),
    ConcentricPhantom(ventricle_mm=16, cortex_mm=40, shift=(0.5, 0.5, 0.5)),
    ConcentricPhantom(ventricle_mm=20, cortex_mm=50, shift=(-4, 3, 2)),
    ConcentricPhantom(ventricle_mm=14, cortex_mm=42, shift=(0, 4, -3)),
]
# At 1 mm, shells of 3 mm around surfaces this strongly curved come out a little too small.
SMALL = [
    ConcentricPhantom(ventricle_mm=6, cortex_mm=30, shift=(0.3, -0.2, 0.4)),
    ConcentricPhantom(ventricle_mm=8, cortex_mm=35, shift=(3, 2, -1)),
    ConcentricPhantom(ventricle_mm=10, cortex_mm=38, shift=(2, -3, 1.3)),
]
GRIDS = {
    'same': None,
    'iso': {'zooms': (1, 1, 1)},
    'thick': {'zooms': (0.94, 0.94, 3)},
    'oblique': {'zooms': (0.94, 0.94, 3), 'tilt_deg': (12, -8, 17)},
    'sagittal storage': {'zooms': (0.94, 0.94, 3), 'axes': (2, 0, 1)},
}


def measure(phantom, grid, *, scheme='kim'):
    extent = 2 * phantom.cortex_mm
    # The anatomy is on its own grid, which shares no voxel centre with the lesions' one.
    shape, affine = make_grid((1, 1, 1), extent + 12, centre=(0.17, 0.31, -0.23))
    ventricle, cortex, _ = phantom.masks(positions(shape, affine))
    target, target_affine = shape, affine
    if grid is not None:
        target, target_affine = make_grid(**grid, extent_mm=extent)
    lesion = phantom.masks(positions(target, target_affine))[2]
    d_v, d_j = (
        distance_map(mask, affine, target, target_affine, where=lesion)
        for mask in (ventricle, cortex)
    )
    labels = zones.label_zones(lesion, d_v, d_j, scheme=scheme)
    return lesion, labels, d_v, d_j, target_affine


def errors(phantom, labels, affine):
    voxel_ml = abs(np.linalg.det(affine)) / 1000
    truth = phantom.zone_volumes()
    return {z: (labels == z).sum() * voxel_ml / truth[z] - 1 for z in truth}


CASES = [(phantom, grid) for phantom in PHANTOMS for grid in ('same', 'thick', 'oblique')]
CASES += [(PHANTOMS[1], 'iso'), (PHANTOMS[1], 'sagittal storage')]


@pytest.mark.parametrize(('phantom', 'grid'), CASES, ids=str)
def test_each_zone_has_its_volume(phantom, grid):
    lesion, labels, *_, affine = measure(phantom, GRIDS[grid])
    assert ((labels > 0) == lesion).all()
    found = errors(phantom, labels, affine)
    assert max(map(abs, found.values())) <= 0.035, found


@pytest.mark.parametrize('grid', ['same', 'oblique'])
@pytest.mark.parametrize('phantom', SMALL, ids=str)
def test_small_ventricles_stay_within_7_percent(phantom, grid):
    *_, labels, _, _, affine = measure(phantom, GRIDS[grid])
    found = errors(phantom, labels, affine)
    assert abs(found.pop(1)) <= 0.07
    assert max(map(abs, found.values())) <= 0.035, found


@pytest.mark.parametrize('scheme', zones.SCHEMES)
def test_every_scheme_is_an_exact_partition(scheme):
    lesion, labels, d_v, d_j, affine = measure(PHANTOMS[2], GRIDS['thick'], scheme=scheme)
    assert ((labels > 0) == lesion).all()
    values = zones.measure_zones(labels, d_v, d_j, affine, scheme=scheme, icv_ml=1500)
    parts = [values.get(f'wmh_{name}_ml') for name in ('jv', 'pv', 'dw', 'jc', 'cf')]
    assert sum(part for part in parts if part is not None) == pytest.approx(
        values['wmh_total_ml'], abs=1e-9
    )
    assert values['wmh_total_pct_icv'] == pytest.approx(values['wmh_total_ml'] / 15)


def row(*values):
    return np.array(values, dtype=float).reshape(-1, 1, 1)


@pytest.mark.parametrize(
    ('scheme', 'expected'),
    [
        ('kim', [1, 2, 2, 4, 3]),
        ('cortex_first', [1, 4, 2, 4, 3]),
        ('pv10', [2, 2, 3, 3, 3]),
        ('shiva-like', [3, 3, 3, 3, 3]),
        ('bilateral', [3, 3, 2, 3, 2]),
    ],
)
def test_rules_at_their_limits(scheme, expected):
    d_v, d_j = row(3, 10, 13, 14, 13.01), row(2, 4, 20, 4, 14)
    found = zones.label_zones(np.ones(d_v.shape, bool), d_v, d_j, scheme=scheme)
    assert found.ravel().tolist() == expected


def test_whole_lesions():
    # Near; far; one that reaches from the wall outwards; one that straddles 10 mm.
    d_v = row(1, 5, 50, 20, 50, 2, 9, 16, 50, 9, 11)
    lesion = d_v < 50
    found = zones.label_zones(lesion, d_v, None, scheme='component3-10')
    assert found.ravel().tolist() == [2, 2, 0, 3, 0, 7, 7, 7, 0, 2, 2]


def test_lesions_outside_of_the_white_matter_are_apart():
    d_v = row(1, 1, 20, 20)
    deep_grey, below = row(0, 1, 0, 0) > 0, row(0, 0, 1, 0) > 0
    lesion = np.ones(d_v.shape, bool)
    found = zones.label_zones(lesion, d_v, d_v, deep_grey=deep_grey, infratentorial=below)
    assert found.ravel().tolist() == [1, 5, 6, 3]
    values = zones.measure_zones(found, d_v, d_v, np.diag([10, 10, 10, 1.0]))
    assert [values[f'wmh_{n}_ml'] for n in ('total', 'deepgrey', 'infratentorial')] == [2, 1, 1]
    assert values['wmh_total_pct_icv'] is None


def test_measures_by_hand():
    # A line of voxels of 1 mL: one lesion of four, one of a single voxel.
    d_v = row(1, 4, 12, 14, 99, 11)
    d_j = row(9, 3, 9, 9, 99, 2)
    lesion = d_v < 99
    affine = np.diag([10, 10, 10, 1.0])
    labels = zones.label_zones(lesion, d_v, d_j)
    side = row(1, 1, 1, 2, 0, 2).astype(int)
    found = zones.measure_zones(labels, d_v, d_j, affine, icv_ml=500, side=side)
    assert found == pytest.approx(
        {
            'wmh_total_ml': 5,
            'wmh_jv_ml': 1,
            'wmh_pv_ml': 3,
            'wmh_dw_ml': 1,
            'wmh_jc_ml': 0,
            'wmh_total_pct_icv': 1,
            'wmh_jv_pct_icv': 0.2,
            'wmh_pv_pct_icv': 0.6,
            'wmh_dw_pct_icv': 0.2,
            'wmh_jc_pct_icv': 0,
            'wmh_ln_pct_icv': np.log(1.01),
            'wmh_n_lesions': 2,
            'wmh_largest_ml': 4,
            'wmh_mean_d_v_mm': 8.4,
            'wmh_pv10_ml': 2,
            'wmh_confluent_ml': 4,
            'wmh_zone_ambiguous_ml': 2,
            'wmh_deepgrey_ml': 0,
            'wmh_infratentorial_ml': 0,
            'wmh_left_ml': 3,
            'wmh_right_ml': 2,
        }
    )


def test_no_lesion_is_zero_and_not_missing():
    nothing = np.zeros((5, 5, 5))
    labels = zones.label_zones(nothing > 0, nothing, nothing)
    values = zones.measure_zones(labels, nothing, nothing, np.eye(4), icv_ml=1500)
    assert values['wmh_total_ml'] == values['wmh_n_lesions'] == values['wmh_largest_ml'] == 0
    assert values['wmh_mean_d_v_mm'] is None
    assert values['wmh_ln_pct_icv'] == pytest.approx(np.log(0.01))


@pytest.mark.parametrize('lost', ['v', 'j'])
def test_unknown_distances_are_refused(lost):
    d_v, d_j = row(1, 2), row(1, 2)
    {'v': d_v, 'j': d_j}[lost][0] = np.inf
    with pytest.raises(ValueError, match='not known'):
        zones.label_zones(np.ones((2, 1, 1), bool), d_v, d_j)


def test_unknown_scheme_is_refused():
    with pytest.raises(ValueError, match='there are kim'):
        zones.label_zones(np.ones((1, 1, 1), bool), row(1), row(1), scheme='nobody')
    with pytest.raises(ValueError, match='needs the distance from the cortex'):
        zones.label_zones(np.ones((1, 1, 1), bool), row(1), None, scheme='bilateral')


def test_regions_add_up():
    regions = np.arange(24).reshape(2, 3, 4) % 4
    mask = regions >= 0
    names = {1: 'left', 2: 'right', 3: 'right'}
    found = zones.region_volumes(mask, regions, np.diag([10, 10, 10, 1.0]), names)
    assert found == {'left': 6, 'right': 12, 'elsewhere': 6}


def test_bullseye_adds_up():
    _, labels, d_v, d_j, affine = measure(PHANTOMS[0], GRIDS['thick'])
    lobes = 1 + (np.indices(labels.shape)[0] > labels.shape[0] // 2)
    rows = zones.bullseye(labels > 0, d_v, d_j, lobes, affine, {1: 'one', 2: 'two'})
    assert len(rows) == 8
    total = (labels > 0).sum() * abs(np.linalg.det(affine)) / 1000
    assert sum(row['volume_ml'] for row in rows) == pytest.approx(total)
    # Shells of a ball grow outwards.
    volumes = [row['volume_ml'] for row in rows if row['lobe'] == 'one']
    assert volumes == sorted(volumes)


def test_cortex_is_grey_matter_at_a_surface_and_no_deep_nucleus():
    points = positions(*make_grid((1, 1, 1), 80))
    radius = np.linalg.norm(points, axis=-1)
    gm = ((radius > 35) | (radius < 10)).astype(float)
    ribbon = zones.cortical_ribbon(gm, 0 * gm, radius <= 38, np.eye(4))
    assert ribbon[(radius > 35.5) & (radius < 37.5)].all()
    assert not ribbon[radius < 31].any()


def test_cortex_along_a_sulcus_but_not_along_the_ventricle():
    brain = np.ones((60, 60, 60), bool)
    csf = np.zeros(brain.shape)
    csf[30, :30, 30] = 1
    gm = 1 - csf
    kwargs = {'gm': gm, 'csf': csf, 'brain': brain, 'affine': np.eye(4)}
    assert zones.cortical_ribbon(**kwargs)[34, 20, 30]
    assert not zones.cortical_ribbon(**kwargs, exclude=csf > 0)[34, 20, 30]


def test_the_rim_of_the_ventricle_is_no_cortex_even_where_some_of_its_fluid_is_missed():
    brain = np.ones((60, 60, 60), bool)
    csf = np.zeros(brain.shape)
    csf[25:35, 25:35, 25:35] = 1
    ventricle = csf > 0
    ventricle[34] = False  # a layer of CSF that was not recognised
    gm = np.zeros(brain.shape)
    gm[35:37, 25:35, 25:35] = 1  # CSF and white matter mixed
    kwargs = {'gm': gm, 'csf': csf, 'brain': brain, 'affine': np.eye(4)}
    assert zones.cortical_ribbon(**kwargs, exclude=ventricle).any()
    assert not zones.cortical_ribbon(**kwargs, ventricles=ventricle).any()
    gm[55:] = 1
    assert zones.cortical_ribbon(**kwargs, ventricles=ventricle)[57, 30, 30]
