"""Change of brain volume between visits, on heads that lose a known volume."""

import json
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
from builders import write_image
from scipy import ndimage as ndi

from csvdprep.bids.tsv import read_tsv
from csvdprep.core.errors import MeasureError
from csvdprep.core.room import NoPlace
from csvdprep.interfaces.lists import write_rows
from csvdprep.longitudinal.brain_change import ROOM
from csvdprep.longitudinal.brain_change.decide import PRODUCTS, resolve
from csvdprep.longitudinal.brain_change.interfaces import BrainChange
from csvdprep.longitudinal.brain_change.science import Shares, compare
from csvdprep.longitudinal.brain_change.science.boundary import one_scale, windowed
from csvdprep.longitudinal.brain_change.science.size import head_scale
from csvdprep.longitudinal.halfway import rooms_for

N, MM = 68, 1.5
AT = (np.indices((N, N, N)) - (N - 1) / 2) * MM
AFFINE = np.diag([MM, MM, MM, 1.0])
TEXTURE = ndi.gaussian_filter(np.random.default_rng(3).normal(size=(80, 80, 80)), 1.5)
TEXTURE /= TEXTURE.std()


def head(shrink_mm=0.0, wider_mm=0.0, seed=0, noise=0.02, bias=0.01, level=300.0, contrast=1.0):
    """Return T1w, shares and ventricles of a head whose surface and ventricles moved."""
    rng = np.random.default_rng(seed)
    away = np.sqrt((AT**2).sum(axis=0)) + 1e-6
    inner = np.sqrt(((AT / np.array([10, 18, 10]).reshape(3, 1, 1, 1)) ** 2).sum(axis=0)) + 1e-6
    # Where tissue came from: the surface moves in, the ventricles' walls out, the skull stays.
    shift = shrink_mm * (away / 38) ** 2 * np.clip((46 - away) / 5, 0, 1)
    shift = shift - wider_mm * np.minimum(inner, 1) * np.exp(-0.8 * np.maximum(inner - 1, 0))
    x, y, z = came = AT * (1 + shift / away)
    folds = np.sin(x / 4 + 1) * np.sin(y / 4.5) * np.sin(z / 4.2 + 2)
    depth = 38 + 3.5 * folds - np.sqrt((came**2).sum(axis=0))
    from_wall = 12 * (
        np.sqrt(((came / np.array([10, 18, 10]).reshape(3, 1, 1, 1)) ** 2).sum(0)) - 1
    )
    full = np.clip(depth / MM + 0.5, 0, 1)
    hole = 1 - np.clip(from_wall / MM + 0.5, 0, 1)
    white = np.minimum(np.clip((depth - 4) / MM + 0.5, 0, 1), 1 - hole)
    brain = np.minimum(full, 1 - hole)
    inside = np.clip((45 - away) / MM + 0.5, 0, 1)
    shares = [part.astype(np.float32) for part in (white, brain - white, inside - brain, inside)]
    at = (came / MM + 40).reshape(3, -1)
    texture = 0.02 * ndi.map_coordinates(TEXTURE, at, order=1).reshape(away.shape)
    skull = np.clip((49 - away) / MM, 0, 1) * 0.1 + 0.9 * (away > 49)
    grey, fluid = 0.8 * contrast, 0.3
    image = white * (1 + texture) + (brain - white) * (grey + texture) + shares[2] * fluid
    image += (1 - inside) * skull
    slow = ndi.gaussian_filter(rng.normal(size=(N, N, N)), 18)
    image = image * np.exp(bias * slow / slow.std()) * level
    image = image + noise * level * rng.normal(size=image.shape)
    return np.maximum(image, 1).astype(np.float32), Shares(*shares), hole.astype(np.float32)


def changes(first, last):
    return compare([first[0], last[0]], [first[1], last[1]], [first[2], last[2]], [MM] * 3)


def truth(first, last):
    ml = [float(one[1].brain.sum(dtype=float)) * MM**3 / 1000 for one in (first, last)]
    wide = [float(one[2].sum(dtype=float)) * MM**3 / 1000 for one in (first, last)]
    return 200 * (ml[1] - ml[0]) / (ml[0] + ml[1]), wide[1] - wide[0]


@pytest.mark.parametrize(('shrink', 'wider'), [(0.0, 0.0), (0.12, 0.2), (0.3, 0.0), (-0.2, -0.3)])
def test_a_known_change_is_measured_and_time_reverses_its_sign(shrink, wider):
    first = head(seed=1, noise=0.012, level=250)
    last = head(shrink, wider, seed=2, noise=0.03, level=400)
    found, (true_pct, true_ml) = changes(first, last), truth(first, last)
    assert found.change_pct == pytest.approx(true_pct, abs=0.15)
    assert found.jacobian_pct == pytest.approx(true_pct, abs=0.3)
    assert found.ventricles_change_ml == pytest.approx(true_ml, abs=0.15)
    assert found.ventricles_jacobian_ml == pytest.approx(true_ml, abs=0.3)
    back = changes(last, first)
    for name in ('change_ml', 'change_pct', 'jacobian_pct', 'ventricles_change_ml', 'scale_pct'):
        assert getattr(back, name) == -getattr(found, name)
    assert back.error_ml == found.error_ml
    assert np.array_equal(back.shift, -found.shift)
    assert np.array_equal(back.jacobian, -found.jacobian)


def test_without_change_results_stay_within_their_error():
    within = 0
    for seed in range(6):
        rng = np.random.default_rng(seed)
        two = [head(seed=10 * seed + k, noise=rng.uniform(0.01, 0.03)) for k in (1, 2)]
        found = changes(*two)
        within += abs(found.change_pct) <= 1.96 * max(found.error_pct, 0.28)
        assert found.error_pct < 0.3
    assert within == 6


def test_what_one_image_does_not_show_is_no_change():
    (one, first, _), (two, last, _) = head(seed=1), head(seed=2)
    cut = AT[2] < 24
    first = Shares(*(part * cut for part in (first.white, first.grey, first.fluid, first.head)))
    found = compare([one * cut, two], [first, last], None, (MM,) * 3, covered=AT[2] < 22)
    assert abs(found.change_pct) < 0.2
    assert 80 < found.covered_pct < 95
    assert found.brain_ml < compare([one, two], [last, last], None, (MM,) * 3).brain_ml
    assert compare([one * cut, two], [first, last], None, (MM,) * 3).change_pct > 2
    with pytest.raises(ValueError, match='no brain in common'):
        compare([one, two], [last, last], None, (MM,) * 3, covered=AT[2] < -100)


def test_a_drift_between_the_visits_is_taken_away():
    first, last = head(seed=1), head(seed=2, bias=0.05)
    found = changes(first, last)
    assert abs(found.change_pct) < 0.15
    assert found.scaled.drift > 0.01


def test_more_noise_does_not_look_like_atrophy():
    """Clipping lowers the mean of noisy tissue that is close to the end of the window."""
    rng = np.random.default_rng(0)
    tissue = 0.8 + 0.02 * rng.normal(size=100_000)
    noisy = tissue + 0.2 * rng.normal(size=tissue.shape)
    plain = windowed(noisy, 0.25, 0.75).mean() - windowed(tissue, 0.25, 0.75).mean()
    equal = windowed(noisy, 0.25, 0.75).mean() - windowed(tissue, 0.25, 0.75, 0.2).mean()
    assert plain < -0.05
    assert abs(equal) < 0.003


def test_noise_that_one_visit_lacks_is_found():
    two = [head(seed=1, noise=0.01), head(seed=2, noise=0.04)]
    scaled = one_scale([one[0] for one in two], [one[1] for one in two], np.full(3, MM))
    # In units of the way from fluid to grey matter, which is half of white matter.
    assert scaled.noise[0] == pytest.approx(np.sqrt(0.04**2 - 0.01**2) / 0.5, rel=0.15)
    assert scaled.noise[1] == 0


def test_the_level_of_fluid_does_not_follow_brain_that_gives_way_to_it():
    """Voxels of nearly only fluid, called fluid at both visits, hold less brain at the later."""
    shape = (40, 30, 30)
    white, grey, fluid, head = (np.zeros(shape, np.float32) for _ in range(4))
    head[:] = 1
    white[:15], grey[15:25], fluid[25:] = 1, 1, 1
    fluid[26:39], grey[26:39] = 0.95, 0.05
    shares = Shares(white, grey, fluid, head)
    level = white + 0.8 * (grey > 0.5) + 0.3 * (fluid > 0.5)
    nearly = (fluid > 0.5) & (fluid < 1)
    two = [(300 * (level + 0.5 * more * nearly)).astype(np.float32) for more in (0.12, 0.04)]
    scaled = one_scale(two, [shares, shares], np.ones(3))
    for image, more in zip(scaled.images, (0.12, 0.04), strict=True):
        assert np.median(image[fluid == 1]) == pytest.approx(0, abs=1e-4)
        assert np.median(image[nearly]) == pytest.approx(more, abs=1e-3)


def test_without_voxels_of_fluid_alone_the_level_is_that_of_the_clearest():
    two = [head(seed=1), head(seed=2)]
    for _, one, _ in two:
        np.minimum(one.fluid, 0.95, out=one.fluid)
    found = changes(*two)
    assert abs(found.change_pct) < 0.15


def test_a_scanner_with_another_scale_is_told():
    first, last = head(seed=1), head(seed=2)
    middle = (N - 1) / 2
    large = ndi.affine_transform(
        last[0], np.eye(3) / 1.01, np.full(3, middle - middle / 1.01), order=3, mode='nearest'
    )
    same = head_scale([first[0], last[0]], [first[1].head, last[1].head], np.full(3, MM))
    other = head_scale([first[0], large], [first[1].head, last[1].head], np.full(3, MM))
    assert abs(same) < 0.1
    # Enough for a flag: shells without texture make it too large.
    assert 0.7 < other < 1.7


def test_images_without_skull_have_no_scale():
    first, last = ([image * (one.head > 0), one, hole] for image, one, hole in (head(), head()))
    assert changes(first, last).scale_pct is None


def test_a_contrast_that_is_no_t1w_is_refused():
    first, last = head(seed=1), head(seed=2, contrast=1.6)
    with pytest.raises(ValueError, match='grey matter is not between fluid and white matter'):
        changes(first, last)


def write_visits(folder, heads):
    """Leave what visits have, already half-way."""
    files = {}
    for number, (_, shares, hole) in enumerate(heads, 1):
        sets = {
            'brain_mask': (shares.head >= 0.5).astype('uint8'),
            'wm_probseg': shares.white,
            'gm_probseg': shares.grey,
            'csf_probseg': shares.fluid,
            'ventricles': (hole >= 0.5).astype('uint8'),
        }
        for name, data in sets.items():
            path = write_image(folder / f'ses-{number}' / f'{name}.nii.gz', data, affine=AFFINE)
            files.setdefault(f'each_{name}', {'visits': {}})['visits'][f'ses-{number}'] = str(path)
    return files


def run_room(folder, heads, files, order, years=2.0, retest=0.0):
    folder.mkdir()
    sessions = [f'ses-{number}' for number in order]
    series = np.stack([heads[number - 1][0] for number in order], axis=-1)
    path = write_image(folder / 'visits_T1w.nii.gz', series, affine=AFFINE)
    error = write_image(folder / 'error.nii.gz', np.zeros((N, N, N), 'float32'), affine=AFFINE)
    still = {f'm{r + 1}{c + 1}': float(r == c) for r in range(3) for c in range(4)}
    rows = [{'session': name, 'shift_mm': 0.0, 'turn_deg': 0.0, **still} for name in sessions]
    columns = rooms_for()[1].makes['halfway_t1w_poses'].columns
    poses = write_rows(rows, columns, folder / 'poses.tsv')
    visits = [
        {'session': name, 'years': None if years is None else years * number, 'table': ''}
        for number, name in enumerate(sessions)
    ]
    done = BrainChange(
        measures={'visits': visits},
        halfway_t1w=str(path),
        halfway_t1w_poses=str(poses),
        halfway_t1w_error=str(error),
        options={'low': 0.25, 'high': 0.75, 'retest_sd_pct': retest},
        **files,
    ).run(cwd=str(folder))
    values = json.loads(Path(done.outputs.brain_change_values).read_text())
    return values, read_tsv(done.outputs.brain_change_list).rows, done.outputs


def test_from_files_to_a_table_and_back_in_time(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    heads = [head(seed=1), head(0.15, 0.2, seed=2), head(0.3, 0.4, seed=3)]
    files = write_visits(tmp_path / 'visits', heads)
    values, rows, made = run_room(tmp_path / 'a', heads, files, (1, 2, 3))
    assert [(row['from_session'], row['to_session']) for row in rows] == [
        ('ses-1', 'ses-2'),
        ('ses-2', 'ses-3'),
        ('ses-1', 'ses-3'),
    ]
    true_pct, true_ml = truth(heads[0], heads[2])
    assert values['brain_change_pct']['value'] == pytest.approx(true_pct, abs=0.15)
    assert values['brain_change_pct']['low'] < true_pct < values['brain_change_pct']['high']
    assert values['brain_change_pct_per_year']['value'] == pytest.approx(
        values['brain_change_pct']['value'] / 4
    )
    assert values['brain_change_beyond_mdc']['value'] == 'loss'
    assert values['ventricle_change_ml']['value'] == pytest.approx(true_ml, rel=0.15)
    steps = sum(float(row['brain_ml']) for row in rows[:2])
    assert steps == pytest.approx(float(rows[2]['brain_ml']), abs=0.3)
    shift = np.asanyarray(nib.load(made.brain_change_shift).dataobj)
    assert shift.sum(dtype=float) * MM**3 / 1000 == pytest.approx(
        values['brain_change_ml']['value'], rel=1e-4
    )
    back, _, again = run_room(tmp_path / 'b', heads, files, (3, 2, 1))
    for name in ('brain_change_ml', 'ventricle_change_ml', 'brain_change_jacobian_pct'):
        assert back[name]['value'] == -values[name]['value']
    assert np.array_equal(np.asanyarray(nib.load(again.brain_change_shift).dataobj), -shift)


def test_what_is_unknown_is_na_with_a_reason(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    heads = [head(seed=1), head(seed=2)]
    files = write_visits(tmp_path / 'visits', heads)
    del files['each_ventricles']['visits']['ses-2']
    values, _, _ = run_room(tmp_path / 'a', heads, files, (1, 2), years=None, retest=0.5)
    assert values['brain_change_beyond_mdc']['value'] == 'none'
    assert values['brain_change_mdc_pct']['value'] == pytest.approx(1.96 * 0.5)
    for name, reason in (
        ('brain_change_pct_per_year', 'the time between ses-1 and ses-2 is unknown'),
        ('ventricle_change_ml', 'the lateral ventricles of a visit are unknown'),
        ('ventricle_change_ml_per_year', 'the lateral ventricles of a visit are unknown'),
    ):
        assert values[name]['value'] is None
        assert values[name]['reason'] == reason
    odd = [heads[0], head(seed=2, contrast=1.6)]
    with pytest.raises(MeasureError, match='ses-1 and ses-2 cannot be brought to one scale'):
        run_room(tmp_path / 'b', odd, files, (1, 2))


def test_thick_voxels_have_no_detectable_change(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr('csvdprep.longitudinal.brain_change.interfaces.THICK_MM', 1.4)
    heads = [head(seed=1), head(0.3, seed=2)]
    values, rows, _ = run_room(
        tmp_path / 'a', heads, write_visits(tmp_path / 'visits', heads), (1, 2)
    )
    for name in ('brain_change_mdc_pct', 'brain_change_beyond_mdc'):
        assert values[name]['value'] is None
        assert 'voxels of 1.5 mm' in values[name]['reason']
    assert values['brain_change_pct']['low'] is None
    assert values['brain_change_pct']['qc'] == 'warn'
    assert rows[0]['mdc_pct'] == 'n/a'
    # What was measured with such voxels counts.
    known, rows, _ = run_room(
        tmp_path / 'b', heads, write_visits(tmp_path / 'more', heads), (1, 2), retest=0.9
    )
    assert known['brain_change_mdc_pct']['value'] == pytest.approx(1.96 * 0.9)
    assert known['brain_change_beyond_mdc']['value'] in ('none', 'loss')
    assert known['brain_change_pct']['low'] < values['brain_change_pct']['value']
    assert known['brain_change_pct']['qc'] == 'warn'
    assert float(rows[0]['mdc_pct']) == pytest.approx(1.96 * 0.9, abs=1e-3)
    # The heads fill the grid but for its edges, which both images show.
    assert values['qc_brain_change_coverage_pct']['value'] == pytest.approx(100, abs=0.5)


def test_a_single_visit_with_tissues_is_told():
    def scan(**content):
        return SimpleNamespace(content=content)

    scans = {'measures': scan(visits=[{'session': 'ses-1'}, {'session': 'ses-2'}])}
    with pytest.raises(NoPlace, match='no visit has them'):
        resolve(scans, None)
    scans |= {f'each_{name}': scan(visits={'ses-2': '/x'}) for name in PRODUCTS}
    with pytest.raises(NoPlace, match='only ses-2 has them'):
        resolve(scans, None)
    assert set(PRODUCTS) < {name.removeprefix('each_') for name in ROOM.wants}
