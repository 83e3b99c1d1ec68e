"""Time-of-flight angiogram and its truth."""

import csv
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from csvdprep.phantom.angiography import tof
from csvdprep.phantom.angiography.truth import middle_voxels, paths_of
from csvdprep.phantom.geometry.features import Tube
from csvdprep.phantom.head.anatomy import make_anatomy
from csvdprep.phantom.head.arteries import arteries
from csvdprep.phantom.head.vessels import helices
from csvdprep.phantom.scanner.recorder import Recorder
from csvdprep.phantom.scanner.scan import Scan
from csvdprep.phantom.scanner.scene import Scene

QUIET = replace(tof.TINY, scan=replace(tof.TINY.scan, noise=0.0, bias=0.0))


@pytest.fixture(scope='module')
def scene():
    anatomy = make_anatomy(3, spacing=3)
    return Scene(
        anatomy=anatomy,
        wmh=np.zeros(anatomy.structures.shape, np.float32),
        features=arteries(anatomy, 1, lsa=(3, 4)),
        rotation=(4, 0, 2),
        seed=4,
    )


@pytest.fixture(scope='module')
def written(scene, tmp_path_factory):
    folder = tmp_path_factory.mktemp('tof')
    recorder = Recorder(folder, '01', '1')
    tof.record(scene, tof.TINY, recorder, 7)
    return folder, recorder


def straight(name, start, end, radius, parent=''):
    line = np.linspace(start, end, 200)
    return Tube(
        kind='M1',
        tissue='artery',
        points=line,
        radii=np.full(200, radius),
        facts={'name': name, 'parent': parent, 'side': 'left'},
    )


def test_blood_by_playing_the_pulses():
    angle, up, e1 = np.deg2rad(tof.TINY.flip), 1.0, np.exp(-22 / 1650)
    fresh = tof.blood(0, tof.TINY, 3)
    for pulses in range(1, 31):
        up = 1 + (up * np.cos(angle) - 1) * e1
        assert tof.blood(pulses, tof.TINY, 3) == pytest.approx(fresh * up, rel=1e-9)


def test_the_clock_runs_from_the_entry_into_the_slab():
    low, high = QUIET.scan.low[2], QUIET.scan.high[2]
    feeder = straight('a', (0, 0, low - 20), (0, 0, low + 30), 1.0)
    branch = straight('b', (0, 0, low + 20), (20, 0, low + 20), 0.5, 'a')
    above = straight('c', (0, 0, low + 30), (0, 0, high + 20), 1.0, 'a')
    first, second, third = tof.transit([feeder, branch, above], QUIET, np.eye(4))
    assert (first[feeder.points[:, 2] < low] == 0).all()
    assert first[-1] == pytest.approx(30 / tof.VELOCITY, rel=0.02)
    assert second[0] == pytest.approx(20 / tof.VELOCITY, rel=0.02)
    assert second[-1] - second[0] == pytest.approx(20 / (0.5 * tof.VELOCITY), rel=0.02)
    assert third[-1] == 0
    slabs = replace(QUIET, slabs=2)
    fresh = tof.transit([feeder, above], slabs, np.eye(4))[1]
    middle = np.argmin(np.abs(above.points[:, 2] - (low + high) / 2 - 0.5))
    assert fresh[middle] < 0.02


def test_arteries_are_bright_and_darken_along_their_way(scene):
    data, _, share, owner = tof.acquire(scene, QUIET, 1)
    kinds = np.array(['', *(f.kind for f in scene.features)])[owner]
    bright = {kind: np.median(data[(kinds == kind) & (share > 0.8)]) for kind in ('ICA', 'M1')}
    assert bright['ICA'] > bright['M1'] > 1.5 * tof.WHITE
    still = data[(share == 0) & (data > 0.5 * tof.WHITE)]
    assert np.median(still) == pytest.approx(tof.WHITE, rel=0.25)
    fluid = np.median(data[(share == 0) & (data > 10)])
    assert fluid < bright['M1']


def test_thin_arteries_fill_their_voxels_by_their_share():
    """The excess signal over all voxels is that of the volume, whatever the radius."""
    anatomy = make_anatomy(3, spacing=4)
    anatomy = replace(
        anatomy, fractions={name: np.zeros_like(part) for name, part in anatomy.fractions.items()}
    )
    dark = Scene(anatomy=anatomy, wmh=np.zeros(anatomy.structures.shape, np.float32))
    scan = Scan(voxel=(1, 1, 1), low=(-20,) * 3, high=(20,) * 3, noise=0, bias=0)
    protocol = replace(QUIET, scan=scan, ramp=0)
    for radius in (0.3, 0.6, 1.5):
        tube = straight('a', (-15, 0.3, 0.2), (15, 0.3, 0.2), radius)
        _, _, share, _ = tof.acquire(replace(dark, features=[tube]), protocol, 1)
        assert share.sum() == pytest.approx(np.pi * radius**2 * 30, rel=0.02)


def test_slab_borders_darken_by_option():
    scan = replace(QUIET.scan, tilt=(10, 0, 0))
    plain = tof._profile(replace(QUIET, scan=scan, ramp=0), scan)
    assert np.allclose(plain, 1)
    gain = tof._profile(replace(QUIET, scan=scan, slabs=3, blind=0.2, ramp=0), scan).ravel()
    assert gain.min() == pytest.approx(0.8, abs=0.05)
    dark = np.flatnonzero((gain[1:-1] < gain[:-2]) & (gain[1:-1] <= gain[2:])) + 1
    assert len(dark) == 2


def test_measures_and_table(written, scene):
    folder, recorder = written
    values = {name: value for name, (value, *_) in recorder.measures.items()}
    assert (values['lsa_n_stems'], values['lsa_n_stems_left'], values['lsa_n_stems_right']) == (
        7,
        3,
        4,
    )
    perforators = [t for t in scene.features if t.kind == 'LSA']
    assert values['lsa_n_branches'] == len(perforators)
    assert (
        values['lsa_n_branches'] == values['lsa_n_branches_left'] + values['lsa_n_branches_right']
    )
    assert 20 < values['lsa_len_mean_mm'] < values['lsa_len_max_mm'] < 60
    assert 1.1 < values['lsa_tortuosity'] < 1.4
    text = next(folder.rglob('*vessels.tsv')).read_text().splitlines()
    rows = list(csv.DictReader(text, delimiter='\t'))
    assert len(rows) == len(scene.features)
    stems = [
        float(row['length_mm'])
        for row in rows
        if row['segment'] == 'LSA' and row['parent'].endswith('M1')
    ]
    assert np.mean(stems) == pytest.approx(values['lsa_len_mean_mm'], rel=1e-4)


def test_masks_lie_on_bright_voxels(written):
    folder, _ = written
    image = nib.load(next(folder.rglob('*acq-tof_angio.nii.gz')))
    mask = nib.load(next(folder.rglob('*artery_mask.nii.gz')))
    labels = nib.load(next(folder.rglob('*desc-LSA_dseg.nii.gz')))
    assert np.allclose(image.affine, mask.affine)
    data = image.get_fdata()
    assert np.median(data[mask.get_fdata() > 0]) > 1.15 * np.median(data[data > 60])
    assert (mask.get_fdata()[labels.get_fdata() > 0] == 1).all()
    assert len(np.unique(labels.get_fdata())) > 7


def test_ways_to_ends_add_up():
    stem = straight('left LSA 1', (0, 0, 0), (0, 0, 30), 0.3, 'left M1')
    branch = straight('left LSA 1a', (0, 0, 15), (0, 20, 15), 0.2, 'left LSA 1')
    (first, _), (second, _) = paths_of([stem, branch])
    assert first == pytest.approx(30)
    assert second == pytest.approx(35, abs=0.2)


def test_the_middle_line_of_p13_has_its_length():
    scan = Scan(voxel=(0.5, 0.5, 0.5), low=(-25,) * 3, high=(25,) * 3)
    tube = helices()[3]
    x, y, z = middle_voxels(tube, scan)
    assert len(x) > 35 / 0.5 * 0.6
    assert np.ptp(z) * 0.5 == pytest.approx(35, abs=1)
    assert np.ptp(x) <= 1
    assert np.ptp(y) <= 1


def test_no_arteries_no_measures(scene, tmp_path):
    recorder = Recorder(tmp_path, '01')
    tof.record(replace(scene, features=[]), tof.TINY, recorder, 7)
    assert recorder.measures['lsa_n_stems'][0] == 0
    assert recorder.measures['lsa_len_mean_mm'][0] is None
    assert recorder.measures['lsa_len_max_mm'][0] is None


def test_same_bytes_twice(written, scene, tmp_path):
    tof.record(scene, tof.TINY, Recorder(tmp_path, '01', '1'), 7)
    for path in (p for p in tmp_path.rglob('*.*') if p.is_file()):
        other = written[0] / path.relative_to(tmp_path)
        assert path.read_bytes() == other.read_bytes()
