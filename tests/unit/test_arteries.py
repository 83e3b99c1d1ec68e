"""Arteries: tubes of known length and radius, forks, and what must not be found."""

import itertools
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage as ndi

from csvdprep.markers.arteries import ROOM
from csvdprep.markers.arteries.measures import (
    Anatomy,
    hidden_perforators,
    look_closer,
    measure,
    rows_of,
)
from csvdprep.markers.arteries.science import Limits, below_skin, find_arteries
from csvdprep.markers.arteries.science.find import work_grid
from csvdprep.markers.arteries.science.graph import prune, trace
from csvdprep.markers.arteries.science.regions import (
    SEGMENTS,
    covered,
    in_room,
    perforators,
    willis,
)
from csvdprep.markers.arteries.science.tubeness import find_tubes, symmetric_eigenvalues
from csvdprep.phantom.geometry.features import Tube
from csvdprep.phantom.head.vessels import helix
from csvdprep.phantom.scanner.scan import Scan
from csvdprep.preprocessing.tof.science import (
    across_slabs,
    equalise,
    head_of,
    slice_gains,
    unevenness_pct,
)

EDGE = 0.4


def tube(points, radius, name='a', parent='', kind='M1'):
    line = np.concatenate(
        [np.linspace(a, b, 60, endpoint=False) for a, b in itertools.pairwise(points)]
        + [np.array(points[-1:], float)]
    )
    facts = {'name': name, 'side': 'right', 'parent': parent}
    radii = np.full(len(line), radius)
    return Tube(kind=kind, tissue='artery', points=line, radii=radii, facts=facts)


def drawn(tubes, low, high, *, voxel=(EDGE,) * 3, contrast=1.8, noise=0.06, seed=0):
    scan = Scan(voxel=voxel, low=low, high=high, noise=0.05)
    share, _ = scan.draw(tubes)
    rng = np.random.default_rng(seed)
    image = 100 * (1 + contrast * share + noise * rng.standard_normal(share.shape))
    return image.astype(np.float32), scan.grid()[1]


def found_in(tubes, low, high, **more):
    image, affine = drawn(tubes, low, high, **more)
    return find_arteries(image, affine, np.ones(image.shape, bool))


@pytest.mark.parametrize('factor', [1.0, 1.2, 1.6])
def test_a_helix_has_its_length_tortuosity_and_radius(factor):
    height = 25 / factor
    radius = float(np.sqrt(25**2 - height**2)) / (2 * np.pi * 2)
    truth = helix(25, 2, radius, centre=(0.1, 0.05, 0), width_mm=1.0)
    half = radius + 4
    found = found_in([truth], (-half, -half, -16), (half, half, 16))
    (piece,) = found.pieces
    assert piece.length_mm == pytest.approx(25, rel=0.08)
    assert piece.distance_factor == pytest.approx(truth.facts['distance_factor'], abs=0.04)
    assert piece.radius_mm == pytest.approx(0.5, abs=EDGE / 3)


def test_slices_thicker_than_voxels_are_divided():
    truth = helix(25, 2, 1.5, centre=(0.1, 0.05, 0), width_mm=1.4)
    found = found_in([truth], (-7, -7, -16), (7, 7, 16), voxel=(0.4, 0.4, 0.7))
    (piece,) = found.pieces
    assert found.edge_mm == pytest.approx(0.4, abs=0.01)
    assert found.mask.shape[2] == round(32 / 0.7)
    assert piece.length_mm == pytest.approx(25, rel=0.08)
    assert piece.radius_mm == pytest.approx(0.7, abs=0.5 * EDGE)


def test_a_wide_artery_has_no_spurs():
    truth = tube([(-12, 0, 0), (0, 2, 1), (12, 0, 0)], 1.8)
    found = found_in([truth], (-10, -8, -8), (10, 8, 8))
    (piece,) = found.pieces
    assert piece.radius_mm == pytest.approx(1.8, abs=EDGE / 3)
    # It ends at the border of the image.
    assert piece.length_mm > 18


def test_forks_make_branches():
    trunk = tube([(-10, 0, 0), (10, 0, 0)], 0.8)
    branch = tube([(0, 0, 0), (0, 10, 4)], 0.5)
    found = found_in([trunk, branch], (-12, -5, -5), (12, 13, 8))
    assert len(found.pieces) == 3
    assert sorted(found.degrees()[np.flatnonzero(found.degrees())].tolist()) == [1, 1, 1, 3]
    assert set(found.trees()) == {0}
    assert sum(p.length_mm for p in found.pieces) == pytest.approx(20 + 10.8, rel=0.08)


def test_nothing_is_found_without_arteries():
    rng = np.random.default_rng(3)
    rough = ndi.gaussian_filter(rng.standard_normal((64, 64, 48)), 4)
    image = 100 * (1 + 0.1 * rough / rough.std() + 0.08 * rng.standard_normal(rough.shape))
    found = find_arteries(image, np.diag([0.5, 0.5, 0.5, 1]), np.ones(image.shape, bool))
    assert not found.pieces
    assert not found.mask.any()


def test_blobs_plates_and_short_tubes_are_none():
    x, y, z = np.mgrid[:60, :60, :60] * EDGE - 30 * EDGE
    blob = np.exp(-(x**2 + y**2 + z**2) / 2)
    plate = np.exp(-((x - 7) ** 2) / 0.5)
    noise = np.random.default_rng(1).standard_normal(x.shape)
    for bright in (blob, plate):
        image = 100 * (1 + 0.8 * bright + 0.05 * noise)
        found = find_arteries(image, np.diag([EDGE] * 3 + [1]), np.ones(image.shape, bool))
        assert not found.pieces
    short = tube([(-3, 0, 0), (3, 0, 0)], 0.6)
    assert not found_in([short], (-8, -8, -8), (8, 8, 8)).pieces


def test_wide_and_dim_is_fat_or_a_vein():
    wide = tube([(-12, 0, 0), (12, 0, 0)], 1.8)
    assert not found_in([wide], (-10, -8, -8), (10, 8, 8), contrast=0.5).pieces
    assert found_in([wide], (-10, -8, -8), (10, 8, 8), contrast=1.5).pieces


def test_the_lumen_is_that_of_the_tube():
    truth = tube([(-12, 0, 0), (12, 1, 0)], 1.2)
    found = found_in([truth], (-10, -6, -6), (10, 6, 6))
    share, _ = Scan(voxel=(EDGE,) * 3, low=(-10, -6, -6), high=(10, 6, 6), noise=0).draw([truth])
    inside = share > 0.5
    assert 2 * (inside & found.mask).sum() / (inside.sum() + found.mask.sum()) > 0.93


def test_eigenvalues_are_those_of_a_library():
    entries = np.random.default_rng(0).standard_normal((6, 500))
    xx, yy, zz, xy, xz, yz = entries
    full = np.stack([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]).transpose(2, 0, 1)
    mine = np.stack(symmetric_eigenvalues(*entries), axis=1)
    assert np.allclose(mine, np.linalg.eigvalsh(full), atol=1e-6)


def test_tubes_answer_more_than_plates():
    x, y, _ = np.mgrid[:40, :40, :40].astype(np.float32)
    where = np.ones(x.shape, bool)
    noise = 0.02 * np.random.default_rng(0).standard_normal(x.shape).astype(np.float32)
    line = 1 + np.exp(-((x - 20) ** 2 + (y - 20) ** 2) / 8)
    plate = 1 + np.exp(-((x - 20) ** 2) / 8)
    answers = [
        find_tubes(np.float32(image) + noise, (0.5,) * 3, where, where).strength[20, 20, 20]
        for image in (line, plate)
    ]
    assert answers[0] > 5 * answers[1]


def test_rings_and_corners_are_followed():
    ring = np.zeros((30, 30, 5), bool)
    angle = np.linspace(0, 2 * np.pi, 400)
    ring[(15 + 9 * np.cos(angle)).astype(int), (15 + 9 * np.sin(angle)).astype(int), 2] = True
    graph = prune(trace(ring), (1, 1, 1), spur_mm=2, radius=np.zeros(ring.shape))
    (branch,) = graph.branches
    assert branch.start == branch.end
    corner = np.zeros((20, 20, 5), bool)
    corner[3:12, 5, 2] = True
    corner[11, 5:16, 2] = True
    assert len(prune(trace(corner), (1, 1, 1), spur_mm=2, radius=corner * 0.0).branches) == 1


def test_the_grid_is_made_coarser_where_memory_asks_for_it():
    counts = work_grid((900, 900, 300), (0.25, 0.25, 0.5))
    assert np.prod(counts) <= 36_000_000
    assert counts[0] == counts[1]


# Slabs


def slabs(shape=(60, 60, 60)):
    rng = np.random.default_rng(0)
    tissue = 100 + 20 * ndi.gaussian_filter(rng.standard_normal(shape), 3) / 0.05
    return np.clip(tissue, 60, 140)


def test_steps_and_ramps_of_slabs_are_taken_out():
    tissue = slabs()
    gain = np.tile(np.linspace(0.8, 1.2, 20), 3) * np.repeat([1, 0.9, 1.05], 20)
    noise = 8 * np.random.default_rng(1).standard_normal(tissue.shape)
    image = np.rint(np.maximum(tissue * gain + noise, 0))
    found = slice_gains(image, np.ones(image.shape, bool), 2)
    assert np.abs(np.log(found / found.mean()) - np.log(gain / gain.mean())).max() < 0.07
    assert unevenness_pct(found) > 30
    even = equalise(image, found, 2)
    again = slice_gains(even, np.ones(image.shape, bool), 2)
    assert unevenness_pct(again) < 1


def test_blood_does_not_count_as_gain():
    image = slabs() + 5 * np.random.default_rng(1).standard_normal((60, 60, 60))
    clean = slice_gains(image, np.ones(image.shape, bool), 2)
    image[25:30, 20:40, 30:] = 400
    found = slice_gains(image, np.ones(image.shape, bool), 2)
    assert np.abs(found / clean - 1).max() < 0.02


def test_the_head_in_a_slab_and_in_a_crop():
    x, y, _ = np.mgrid[:80, :80, :20]
    head = (x - 40) ** 2 + (y - 40) ** 2 < 30**2
    rng = np.random.default_rng(0)
    image = 100 * head + 3 + np.abs(4 * rng.standard_normal(head.shape))
    found = head_of(image, (2, 2, 2))
    assert 2 * (found & head).sum() / (found.sum() + head.sum()) > 0.97
    assert head_of(image[30:50, 30:50], (2, 2, 2)).all()
    deep = below_skin(found, np.full(3, 2.0))
    assert deep[40, 40, 0]
    assert not deep[40, 12, 10]
    # The border of the image is no skin.
    assert deep[40, 40, 19]


def test_dark_fluid_in_a_crop_is_no_air():
    x, y, z = np.mgrid[:60, :60, :40]
    rng = np.random.default_rng(0)
    fluid = y < 25
    vessel = (y - 12) ** 2 + (z - 20) ** 2 < 6
    image = np.where(vessel, 300, np.where(fluid, 40, 100)) + 6 * rng.standard_normal(x.shape)
    assert head_of(image, (0.5,) * 3).all()
    found = find_arteries(image, np.diag([0.5] * 3 + [1]), np.ones(x.shape, bool))
    (piece,) = found.pieces
    assert piece.length_mm == pytest.approx(29.5, rel=0.05)


def test_an_oblique_slab_has_the_same_arteries():
    truth = tube([(-10, 0, 0), (0, 2, 1), (10, 0, 0)], 0.8)
    image, affine = drawn([truth], (-12, -6, -6), (12, 6, 6))
    angle = np.deg2rad(25)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    straight, oblique = (
        find_arteries(image, way @ affine, np.ones(image.shape, bool)) for way in (np.eye(4), turn)
    )
    assert oblique.pieces[0].length_mm == pytest.approx(straight.pieces[0].length_mm, rel=1e-6)
    moved = straight.pieces[0].points @ turn[:3, :3].T
    assert np.allclose(oblique.pieces[0].points, moved, atol=1e-6)


def test_the_axis_of_slices():
    assert across_slabs((200, 60, 200), (0.5, 0.8, 0.5)) == 1
    assert across_slabs((40, 200, 200), (0.5, 0.5, 0.5)) == 0


# Places


def middle_cerebral(count=3, side=1):
    """Make an M1 of the template with perforators, which rise."""
    m1 = tube([(9 * side, 4, -15), (33 * side, 4, -15)], 1.3)
    stems = [
        tube([(x * side, 4, -15), ((x - 1) * side, 3, -10), ((x + 1) * side, 2, -1)], 0.45)
        for x in np.linspace(15, 28, count)
    ]
    return [m1, *stems]


@pytest.mark.parametrize(('count', 'side'), [(2, 1), (4, -1)])
def test_perforators_are_counted(count, side):
    low, high = sorted((6 * side, 37 * side))
    found = found_in(middle_cerebral(count, side), (low, -2, -20), (high, 10, 3), voxel=(0.3,) * 3)
    template = [piece.points for piece in found.pieces]
    own = perforators(found, template, side)
    assert (own.stems, own.branches) == (count, count)
    assert np.mean(own.lengths_mm) == pytest.approx(14.4, rel=0.08)
    assert np.mean(own.factors) == pytest.approx(14.4 / 13.4, abs=0.04)
    assert perforators(found, template, -side) is None


def test_an_artery_that_runs_backwards_is_no_perforator():
    m1, stem = middle_cerebral(1)
    choroidal = tube([(18, 4, -15), (19, -6, -13), (21, -16, -9)], 0.45)
    found = found_in([m1, stem, choroidal], (6, -19, -20), (37, 10, 3), voxel=(0.4,) * 3)
    template = [piece.points for piece in found.pieces]
    assert any((points[:, 1] < -14).any() for points in template)
    own = perforators(found, template, 1)
    assert (own.stems, own.branches) == (1, 1)


def test_segments_of_the_circle_of_willis():
    m1, *_ = middle_cerebral(1)
    a1 = tube([(9, 4, -15), (2, 9, -13)], 1.0)
    found = found_in([m1, a1], (0, -4, -22), (36, 14, -8), voxel=(0.45,) * 3)
    template = [piece.points for piece in found.pieces]
    seen, names = willis(found, template)
    assert {'m1_right', 'a1_right'} <= {*seen}
    assert seen['m1_right'].radius_mm == pytest.approx(1.3, abs=0.15)
    assert 'm1_left' not in seen
    assert any((own == 'm1_right').any() for own in names)


def test_the_anterior_choroidal_artery_is_no_posterior_communicating_one():
    choroidal = tube([(12, 6, -16), (14, -4, -14), (17, -15, -11)], 0.5)
    communicating = tube([(12, 6, -16), (12, -2, -16), (10, -12, -14)], 0.5)
    for artery, there in ((choroidal, False), (communicating, True)):
        found = found_in([artery], (4, -18, -21), (22, 10, -6), voxel=(0.45,) * 3)
        seen, _ = willis(found, [piece.points for piece in found.pieces])
        assert ('pcom_right' in seen) == there


def anatomy(mask, *, placed=False, grid=None):
    points = grid
    return Anatomy(
        where=np.ones(mask.shape, bool),
        size=np.full(3, 0.3),
        reason='' if placed else 'there is no T1w',
        grid=points,
        brain_ml=12.0 if placed else None,
        to_template=(lambda p: p) if placed else None,
        region=(lambda p: np.full(len(p), 'right MCA')) if placed else None,
    )


def everywhere():
    axes = [np.arange(-60, 61, 3.0)] * 3
    return np.stack(np.meshgrid(*axes), -1).reshape(-1, 3)


def test_measures_and_lists_of_a_side():
    found = found_in(middle_cerebral(3), (6, -2, -20), (37, 10, 3), voxel=(0.3,) * 3)
    scan = {'tesla': 7.0, 'finest_mm': [0.3] * 3, 'doubts': []}
    result = measure(found, anatomy(found.mask, placed=True, grid=everywhere()), scan, 0.35)
    values = result.values
    assert values['lsa_n_stems_right'].value == 3
    assert values['lsa_n_stems_left'].value is None
    assert 'left M1' in values['lsa_n_stems'].reason
    assert values['cow_acom'] == 'not seen'
    assert values['artery_mca_right_length_mm'].value == pytest.approx(
        values['artery_length_mm'].value
    )
    assert values['artery_mca_left_branches_n'].value == 0
    pieces, points = rows_of(result)
    assert [row['length_mm'] for row in pieces] == sorted(
        (row['length_mm'] for row in pieces), reverse=True
    )
    assert {row['segment'] for row in pieces} >= {'LSA'}
    assert {row['index'] for row in points} == {row['index'] for row in pieces}


def test_without_a_reference_places_are_not_told():
    found = found_in(middle_cerebral(3), (6, -2, -20), (37, 10, 3), voxel=(0.3,) * 3)
    values = measure(
        found, anatomy(found.mask), {'tesla': 7.0, 'finest_mm': [0.3] * 3}, 0.35
    ).values
    assert values['artery_length_mm'].value > 50
    for name in ('lsa_n_stems', 'cow_acom', 'cow_m1_right_radius_mm', 'artery_density_m_per_l'):
        assert values[name].value is None
        assert values[name].reason == 'there is no T1w'


@pytest.mark.parametrize('somewhere', [True, False])
def test_nothing_found_is_no_length_of_zero(somewhere):
    where = np.full((20, 20, 20), somewhere)
    found = find_arteries(np.ones(where.shape), np.eye(4), where)
    own = replace(anatomy(found.mask, placed=True, grid=everywhere()), where=where)
    values = measure(found, own, {'tesla': 7.0, 'finest_mm': [0.3] * 3}, 0.35).values
    said = 'no artery was found' if somewhere else 'does not show the brain'
    for name, value in values.items():
        assert value != 'not seen', name
        assert value.value is None, name
        if name.startswith('artery_'):
            assert said in value.reason, name


def test_a_length_that_no_brain_has_is_told():
    limits = {item.name: item.limits for item in ROOM.measures}
    for name, least, most in (
        ('artery_length_mm', 60, 8000),
        ('artery_density_m_per_l', 1.0, 12.0),
    ):
        assert limits[name].judge(least) == limits[name].judge(most) == 'ok'
        assert limits[name].judge(0.1 * least) == limits[name].judge(20 * most) == 'warn'


def test_veins_where_sinuses_run_are_left_out():
    sinus = tube([(0, -99, 0), (0, -99, 22)], 1.5)
    artery = tube([(0, -80, 0), (0, -80, 22)], 1.0)
    found = found_in([sinus, artery], (-6, -105, -2), (6, -74, 24), voxel=(0.6,) * 3)
    assert len(found.pieces) == 2
    result = measure(
        found, anatomy(found.mask, placed=True, grid=everywhere()), {'tesla': 3.0}, 0.35
    )
    assert len(result.arteries.pieces) == 1
    assert result.values['qc_artery_veins_pct'].value == pytest.approx(50, abs=5)
    assert 0.2 < result.arteries.mask.sum() / found.mask.sum() < 0.45


@pytest.mark.parametrize(
    ('tesla', 'edges', 'said'),
    [
        (7.0, [0.3, 0.3, 0.4], ''),
        (3.0, [0.3, 0.3, 0.5], ''),
        (None, [0.3, 0.3, 0.4], ''),
        (3.0, [0.5, 0.5, 0.7], 'not counted'),
        (7.0, [0.2, 0.2, 1.0], 'not counted'),
        (3.0, [0.7, 0.7, 0.7], 'do not show'),
        (1.5, [0.3, 0.3, 0.3], 'not seen at 1.5 T'),
    ],
)
def test_where_perforators_are_given_out(tesla, edges, said):
    why = hidden_perforators({'tesla': tesla, 'finest_mm': edges}, np.array(edges), 0.35)
    assert (said in why) if said else why == ''


def test_perforators_are_counted_on_the_grid_that_is_judged(monkeypatch):
    where = ((6, -2, -20), (37, 10, 3))
    image, affine = drawn(middle_cerebral(3), *where, voxel=(0.3,) * 3)
    scan = {'tesla': 7.0, 'finest_mm': [0.3] * 3, 'doubts': []}
    own = anatomy(image > 0, placed=True, grid=everywhere())
    # A box around the M1 fits into memory, the image does not.
    room = np.zeros(image.shape, bool)
    room[:, 6:32] = True
    own = replace(own, room=room)
    monkeypatch.setattr('csvdprep.markers.arteries.science.find.MOST_VOXELS', 250_000)
    found = find_arteries(image, affine, own.where)
    assert found.edge_mm > 0.32
    value = measure(found, own, scan, 0.31).values['lsa_n_stems_right']
    assert value.value is None
    assert f'voxels of {found.edge_mm:.2f} mm' in value.reason
    closer = look_closer(found, image, own, Limits(), scan, 0.31)
    assert closer.edge_mm == pytest.approx(0.3, abs=0.001)
    values = measure(found, own, scan, 0.31, closer).values
    assert values['lsa_n_stems_right'].value == 3
    assert values['artery_length_mm'].value == sum(p.length_mm for p in found.pieces)
    # Nothing is sought again where the grid is fine enough, or perforators are not given out.
    assert look_closer(found, image, own, Limits(), scan, 0.35) is None
    assert look_closer(found, image, own, Limits(), scan | {'tesla': 1.5}, 0.31) is None


def test_files_beside_a_reference(tmp_path, monkeypatch):
    from csvdprep.imaging.transforms import write_linear
    from csvdprep.interfaces.values import read_values
    from csvdprep.markers.arteries.interfaces import MapArteries

    image, affine = drawn(middle_cerebral(3), (6, -8, -20), (37, 10, 12), voxel=(0.3,) * 3)
    monkeypatch.setattr('csvdprep.markers.arteries.science.find.MOST_VOXELS', 250_000)
    monkeypatch.setattr('csvdprep.markers.arteries.interfaces.in_room', in_small_room)
    files = {}
    for name, data in {
        'tof_preproc': image,
        'tof_mask': image > 0,
        'brain_mask': image > 0,
        'territories_dseg': image > 0,
    }.items():
        files[name] = str(tmp_path / f'{name}.nii.gz')
        nib.save(nib.Nifti1Image(np.asarray(data, np.float32), affine), files[name])
    same = str(write_linear(np.eye(4), tmp_path / 'identity.txt'))
    tof = {'tesla': 7.0, 'finest_mm': [0.3] * 3, 'doubts': []}
    work = MapArteries(tof=tof, tof_to_anat=same, mni_to_anat=same, lsa_coarsest_mm=0.34, **files)
    monkeypatch.chdir(tmp_path)
    values = read_values(work.run().outputs.arteries_values)
    assert values['lsa_n_stems_right'].value == 3
    assert values['artery_length_mm'].value > 50


def in_small_room(points):
    low, high = (6, -1, -18), (37, 6, 1)
    return in_room(points) & ((points >= low) & (points <= high)).all(axis=1)


def test_coverage_of_bounds():
    grid = everywhere()
    assert covered(SEGMENTS['m1'], 1, grid) > 0.7
    assert covered(SEGMENTS['m1'], -1, grid[grid[:, 0] > 0]) == 0


def test_limits_are_the_options():
    from dataclasses import asdict

    from csvdprep.markers.arteries import Options

    given = asdict(Options())
    assert {**asdict(Limits())}.items() - {('low', 0.4)} <= given.items()


def test_the_figure_shows_what_was_found(tmp_path):
    from csvdprep.interfaces.lists import write_rows
    from csvdprep.markers.arteries.figures import draw_arteries

    image, affine = drawn(middle_cerebral(2), (6, -2, -20), (37, 10, 3), voxel=(0.5,) * 3)
    found = find_arteries(image, affine, np.ones(image.shape, bool))
    result = measure(found, anatomy(found.mask), {'tesla': 7.0}, 0.35)
    files = {}
    for name, data in (
        ('tof_preproc', image),
        ('tof_mask', image > 0),
        ('artery_mask', found.mask),
    ):
        files[name] = str(tmp_path / f'{name}.nii.gz')
        nib.save(nib.Nifti1Image(np.asarray(data, np.float32), affine), files[name])
    for name, rows in zip(('artery_list', 'artery_lines'), rows_of(result), strict=True):
        files[name] = write_rows(rows, ROOM.makes[name].columns, tmp_path / f'{name}.tsv')
    draw_arteries(out_file=str(tmp_path / 'a.svg'), **files)
    text = (tmp_path / 'a.svg').read_text()
    assert text.count('<image') == 9
    assert 'Arteries' in text
