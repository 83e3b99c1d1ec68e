"""Lesions of known truth in real scans: small heads stand for them here."""

import csv
import hashlib
import json
import shutil
from argparse import ArgumentParser
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage as ndi

from csvdprep.cli import phantom as command
from csvdprep.core.errors import InputError, PreflightError, UsageError
from csvdprep.imaging.transforms import write_linear
from csvdprep.phantom.geometry.features import Ellipsoid
from csvdprep.phantom.head.anatomy import make_anatomy
from csvdprep.phantom.into import atrophy, bleeds, diffusion, images
from csvdprep.phantom.into.fill import fill
from csvdprep.phantom.into.grid import RealScan
from csvdprep.phantom.into.head import read_head
from csvdprep.phantom.into.lesions import Case, draw_case
from csvdprep.phantom.into.make import make_inserted
from csvdprep.phantom.into.own import fill_echo
from csvdprep.phantom.into.paint import paint
from csvdprep.phantom.into.tissue import learn
from csvdprep.phantom.into.visits import read_given, read_visits

#: Signal of grey matter, white matter and fluid.
SIGNALS = {'T1w': (600, 900, 200), 'FLAIR': (420, 360, 80), 'T2w': (500, 400, 1200)}
NOISE = 12.0
#: The FLAIR lies elsewhere in the scanner than the T1w, turned a little.
TURN = np.deg2rad(4)
POSE = np.array(
    [
        [np.cos(TURN), -np.sin(TURN), 0, 3.0],
        [np.sin(TURN), np.cos(TURN), 0, -2.0],
        [0, 0, 1, 4.0],
        [0, 0, 0, 1],
    ]
)


def _save(path, data, affine):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data, affine), path)


def _rows(path):
    with path.open() as file:
        return list(csv.DictReader(file, delimiter='\t'))


def _pixels(path):
    return np.asanyarray(nib.load(path).dataobj)


@pytest.fixture(scope='module')
def anatomy():
    return make_anatomy(3, spacing=2.5, ventricles_mm=4)


def _scan(anatomy, suffix, pose, rng):
    """Return a scan of a head: thin T1w, FLAIR and T2w with slices of 5 mm."""
    shape = np.array(anatomy.fractions['gm'].shape)
    affine = anatomy.affine.copy()
    if suffix != 'T1w':
        affine[:3, :3] = np.diag([2.0, 2.0, 5.0])
        shape = np.ceil(shape * 2.5 / [2, 2, 5]).astype(int)
    scan = RealScan(tuple(int(n) for n in shape), affine, pose)
    parts = [scan.sample(anatomy.fractions[n], anatomy.affine) for n in ('gm', 'wm', 'csf')]
    image = sum(s * part for s, part in zip(SIGNALS[suffix], parts, strict=True))
    image += 0.02 * image * np.linspace(-1, 1, shape[0])[:, None, None]
    return np.abs(image + rng.normal(0, NOISE, image.shape)), scan


def _other_scans(raw, given, anatomy, rng):
    """Write magnitude and phase of a gradient echo, a diffusion series, trace image and ADC.

    There is a microbleed in the echo and an infarct in the diffusion scans, with masks of both.
    """
    folder, stem = raw / 'sub-01' / 'ses-a', 'sub-01_ses-a_'
    inside = anatomy.intracranial
    coarse = RealScan(
        tuple(n // 2 for n in inside.shape), anatomy.affine @ np.diag([2, 2, 2, 1.0]), np.eye(4)
    )
    brain = coarse.sample(inside, anatomy.affine)
    head = anatomy.fractions['gm'] + anatomy.fractions['wm']
    solid = coarse.sample(head, anatomy.affine)
    signal = 800 * solid + 200 * (brain - solid)
    b = np.array([0.0, 1000, 1000])
    decay = np.exp(-b * 0.8e-3) * signal[..., None]
    series = decay + rng.normal(0, 5, decay.shape)
    infarct = _spot(coarse.sample(anatomy.fractions['wm'], anatomy.affine), 3)
    series[infarct] += 150
    _save(folder / 'dwi' / f'{stem}dwi.nii.gz', series.astype(np.int16), coarse.affine)
    (folder / 'dwi' / f'{stem}dwi.bval').write_text('0 1000 1000\n')
    (folder / 'dwi' / f'{stem}dwi.bvec').write_text('0 1 0\n0 0 1\n0 0 0\n')
    trace = series[..., 1:].mean(axis=-1)
    _save(folder / 'dwi' / f'{stem}trace.nii.gz', trace.astype(np.float32), coarse.affine)
    adc = np.where(brain > 0.5, 800, 0).astype(np.int16)
    adc[infarct] = 400
    _save(folder / 'dwi' / f'{stem}ADC.nii.gz', adc, coarse.affine)
    magnitude = np.abs(500 * inside + rng.normal(0, 8, inside.shape)).astype(np.int16)
    bleed = _spot(anatomy.fractions['wm'], 3)
    magnitude[bleed] = 40
    _save(folder / 'anat' / f'{stem}part-mag_T2starw.nii.gz', magnitude, anatomy.affine)
    phase = rng.integers(0, 4096, inside.shape).astype(np.int16)
    _save(folder / 'anat' / f'{stem}part-phase_T2starw.nii.gz', phase, anatomy.affine)
    for part in ('mag', 'phase'):
        fields = {'EchoTime': 0.02, 'MagneticFieldStrength': 3, 'Units': 'arbitrary'}
        sidecar = folder / 'anat' / f'{stem}part-{part}_T2starw.json'
        sidecar.write_text(json.dumps(fields))
    masks = {
        f'dwi/{stem}space-trace_label-RSSI': (infarct, coarse.affine),
        f'anat/{stem}space-T2starw_label-CMB': (bleed, anatomy.affine),
    }
    for name, (mask, affine) in masks.items():
        path = given / 'sub-01' / 'ses-a' / f'{name}_mask.nii.gz'
        _save(path, mask.astype(np.uint8), affine)
    return infarct, bleed


def _spot(share, edge):
    """Return a cube in the depth of a tissue."""
    deep = ndi.distance_transform_edt(share > 0.95)
    at = np.unravel_index(deep.argmax(), deep.shape)
    out = np.zeros(share.shape, bool)
    out[tuple(slice(n - edge // 2, n + edge // 2 + 1) for n in at)] = True
    return out


@pytest.fixture(scope='module')
def data(tmp_path_factory, anatomy):
    """Write a raw dataset of one visit, with a lesion of its own, and derivatives of it."""
    root = tmp_path_factory.mktemp('into')
    raw, given = root / 'raw', root / 'given'
    rng = np.random.default_rng(1)
    visit = raw / 'sub-01' / 'ses-a' / 'anat'
    visit.mkdir(parents=True)
    (raw / 'dataset_description.json').write_text(
        json.dumps({'Name': 'real', 'BIDSVersion': '1.10.0', 'License': 'CC0', 'Authors': ['A']})
    )
    (raw / 'participants.tsv').write_text('participant_id\tage\nsub-01\t71\n')
    own = None
    for suffix, pose in (('T1w', np.eye(4)), ('FLAIR', POSE)):
        image, scan = _scan(anatomy, suffix, pose, rng)
        if suffix == 'FLAIR':
            white = scan.sample(anatomy.regions['lesion_site'], anatomy.affine)
            at = np.argwhere(white > 0.98)
            at = at[len(at) // 2]
            own = np.zeros(image.shape, np.uint8)
            own[(*tuple(slice(n - 1, n + 2) for n in at[:2]), at[2])] = 1
            image = np.where(own > 0, 700.0, image)
        _save(visit / f'sub-01_ses-a_{suffix}.nii.gz', image.astype(np.int16), scan.affine)
        (visit / f'sub-01_ses-a_{suffix}.json').write_text('{"EchoTime": 0.1}')
        own_affine = scan.affine
    infarct, bleed = _other_scans(raw, root / 'own', anatomy, rng)
    given.mkdir()
    (visit.parent / 'perf').mkdir()
    (visit.parent / 'perf' / 'sub-01_ses-a_aslcontext.tsv').write_text('volume_type\ncontrol\n')
    anat = given / 'sub-01' / 'ses-a' / 'anat'
    stem, affine = 'sub-01_ses-a_', anatomy.affine
    for name in ('gm', 'wm', 'csf'):
        _save(anat / f'{stem}label-{name.upper()}_probseg.nii.gz', anatomy.fractions[name], affine)
    brain = (anatomy.intracranial > 0.5).astype(np.uint8)
    _save(anat / f'{stem}desc-brain_mask.nii.gz', brain, affine)
    ventricles = (anatomy.regions['ventricles'] > 0.5).astype(np.uint8)
    _save(anat / f'{stem}desc-ventricles_dseg.nii.gz', ventricles, affine)
    structures = np.where(anatomy.structures > 18, 15, anatomy.structures).astype(np.uint8)
    name = f'{stem}atlas-csvdprep_desc-structures_dseg.nii.gz'
    _save(anat / name, structures, affine)
    _save(anat / f'{stem}space-FLAIR_label-WMH_mask.nii.gz', own, own_affine)
    write_linear(np.eye(4), anat / f'{stem}from-MNI152NLin2009aSym_to-T1w_mode-image_xfm.txt')
    write_linear(np.eye(4), anat / f'{stem}from-T1w_to-MNI152NLin2009aSym_mode-image_xfm.txt')
    write_linear(POSE, anat / f'{stem}from-FLAIR_to-T1w_mode-image_xfm.txt')
    for name in ('T2starw', 'dwi', 'trace'):
        write_linear(np.eye(4), anat / f'{stem}from-{name}_to-T1w_mode-image_xfm.txt')
    return SimpleNamespace(raw=raw, given=given, own=own, anat=visit, infarct=infarct, bleed=bleed)


@pytest.fixture(scope='module')
def made(data, tmp_path_factory):
    """Insert lesions twice: once with many, once with none."""
    out = tmp_path_factory.mktemp('made') / 'out'
    assert make_inserted(out, data.raw, data.given, cases=2, loads=(15, 0)) == 2
    return SimpleNamespace(out=out, truth=out / 'derivatives' / 'truth')


def _case(made, number, suffix, folder='anat'):
    label = f'sub-01case{number:02d}'
    return made.out / label / 'ses-a' / folder / f'{label}_ses-a_{suffix}'


def _truth(made, number, name):
    label = f'sub-01case{number:02d}'
    return made.truth / label / 'ses-a' / 'anat' / f'{label}_ses-a_{name}'


def test_the_truth_is_what_was_painted(made):
    mask = _pixels(_truth(made, 1, 'space-FLAIR_label-WMH_mask.nii.gz')) > 0
    change = _pixels(_case(made, 1, 'FLAIR.nii.gz')).astype(float)
    change -= _pixels(_case(made, 2, 'FLAIR.nii.gz'))
    # The second case has no hyperintensities, but lacunes of its own: look at brightness.
    assert mask.sum() > 50
    assert np.median(change[mask]) > 0.2 * SIGNALS['FLAIR'][1]
    bright = change > 0.25 * SIGNALS['FLAIR'][1]
    rims = 0.3
    assert (bright & ~mask).sum() < (1 + rims) * mask.sum()
    found = _rows(_truth(made, 1, 'space-FLAIR_label-WMH_lesions.tsv'))
    lesions = [row for row in found if row['kind'] == 'WMH']
    volume = sum(float(row['volume_mm3']) for row in lesions)
    assert volume == pytest.approx(mask.sum() * 20, rel=1e-3)
    contrasts = [float(row['contrast']) for row in lesions if float(row['volume_mm3']) > 200]
    assert contrasts
    assert min(contrasts) > 0.05
    measures = _rows(made.truth / 'measures.tsv')
    assert float(measures[0]['wmh_total_ml']) == pytest.approx(15, rel=0.1)
    assert float(measures[1]['wmh_total_ml']) == 0


def test_a_case_without_load_has_no_hyperintensity(made):
    assert not _pixels(_truth(made, 2, 'space-FLAIR_label-WMH_mask.nii.gz')).any()
    assert int(_rows(made.truth / 'measures.tsv')[1]['wmh_n_lesions']) == 0


def test_contrasts_are_consistent(made, data):
    """What is bright on the FLAIR is dark on the T1w at the same place of the head."""
    mask = nib.load(_truth(made, 1, 'space-FLAIR_label-WMH_mask.nii.gz'))
    t1w = nib.load(_case(made, 1, 'T1w.nii.gz'))
    before = _pixels(data.anat / 'sub-01_ses-a_T1w.nii.gz').astype(float)
    change = np.asanyarray(t1w.dataobj).astype(float) - before
    core = ndi.binary_erosion(np.asanyarray(mask.dataobj) > 0, np.ones((3, 3, 1)))
    matrix = np.linalg.inv(t1w.affine) @ np.linalg.inv(POSE) @ mask.affine
    at = matrix[:3, :3] @ np.argwhere(core).T + matrix[:3, 3:]
    there = ndi.map_coordinates(change, at, order=1)
    assert core.sum() > 10
    assert np.median(there) < -0.1 * (SIGNALS['T1w'][1] - SIGNALS['T1w'][0])


def test_lacunes_are_fluid_in_each_scan(made, data):
    rows = _rows(_truth(made, 1, 'space-T1w_label-lacune_lesions.tsv'))
    large = [row for row in rows if float(row['volume_mm3']) > 120]
    assert rows
    assert all(row['kind'] == 'lacune' for row in rows)
    image = nib.load(_case(made, 1, 'T1w.nii.gz'))
    inverse = np.linalg.inv(image.affine)
    for row in large:
        at = inverse @ [*(float(row[axis]) for axis in 'xyz'), 1]
        voxel = tuple(np.rint(at[:3]).astype(int))
        assert np.asanyarray(image.dataobj)[voxel] < 0.75 * SIGNALS['T1w'][1]


def test_noise_is_continued(made):
    """The standard deviation in a lesion is that of white matter beside it, within a fifth."""
    rng = np.random.default_rng(2)
    white = np.ones((60, 60, 12), np.float32)
    none = np.zeros_like(white)
    image = 360 + rng.normal(0, NOISE, white.shape)
    found = learn(image, {'wm': white, 'gm': none, 'csf': none}, none > 0, (1, 1, 1))
    affine = np.eye(4)
    height = none.copy()
    height[20:40, 20:40, 3:9] = 1
    drawn = SimpleNamespace(height=height, strength=height, cavity=none, features=(), deviate=0.0)
    scan = RealScan(white.shape, affine, np.eye(4))
    painted = paint(scan, image, found, drawn, affine, 0.5)
    inside = (slice(22, 38), slice(22, 38), slice(4, 8))
    outside = (slice(0, 16), slice(0, 16), slice(4, 8))
    ratio = painted.image[inside].std() / painted.image[outside].std()
    assert 0.8 < ratio < 1.2
    assert painted.image[inside].mean() == pytest.approx(360 * 1.5, rel=0.02)
    np.testing.assert_array_equal(painted.image[outside], image[outside].astype(np.float32))


def test_own_lesions_are_filled(made, data):
    own = data.own > 0
    after = _pixels(_case(made, 2, 'FLAIR.nii.gz')).astype(float)
    assert abs(np.median(after[own]) - SIGNALS['FLAIR'][1]) < 40
    assert float(_rows(made.truth / 'scans.tsv')[0]['filled_ml']) > 0.1


def test_own_microbleeds_and_infarcts_are_filled_where_they_are_seen(data, tmp_path):
    """An own one is gone, and what is around it stays."""
    own, out = data.given.parent / 'own', tmp_path / 'out'
    kinds = ('microbleed', 'infarct')
    make_inserted(out, data.raw, data.given, lesions=own, kinds=kinds, cases=1, nprocs=1)
    made = SimpleNamespace(out=out, truth=out / 'derivatives' / 'truth')
    magnitude = _pixels(_case(made, 1, 'part-mag_T2starw.nii.gz')).astype(float)
    assert magnitude[data.bleed].mean() == pytest.approx(500, abs=10)
    assert 3 < magnitude[data.bleed].std() < 20
    series = _pixels(_case(made, 1, 'dwi.nii.gz', 'dwi')).astype(float)[data.infarct]
    normal = 800 * np.exp(np.array([0, -0.8, -0.8]))
    np.testing.assert_allclose(series.mean(axis=0), normal, atol=25)
    assert 2 < series.std(axis=0).min() < series.std(axis=0).max() < 60
    trace = _pixels(_case(made, 1, 'trace.nii.gz', 'dwi'))[data.infarct]
    assert trace.mean() == pytest.approx(normal[1], abs=15)
    assert np.median(_pixels(_case(made, 1, 'ADC.nii.gz', 'dwi'))[data.infarct]) == 800
    rows = {row['scan']: row for row in _rows(made.truth / 'scans.tsv')}
    for suffix, mask, edge in (
        ('part-mag_T2starw', data.bleed, 2.5),
        ('dwi', data.infarct, 5.0),
        ('trace', data.infarct, 5.0),
    ):
        told = float(rows[f'sub-01_ses-a_{suffix}.nii.gz']['filled_ml'])
        assert told == pytest.approx(mask.sum() * edge**3 / 1000, rel=0.5)


def test_the_field_of_an_own_microbleed_is_taken_out_of_the_phase():
    scan = RealScan((60, 60, 24), np.diag([0.8, 0.8, 1.6, 1]), np.eye(4))
    centre = np.array([24.0, 24, 19.2])
    ball = Ellipsoid(
        kind='CMB', tissue='haemosiderin', centre=centre, radii=np.full(3, 1.4), facts={'chi': 1.2}
    )
    rng = np.random.default_rng(4)
    ramp = 0.05 * np.arange(60)[:, None, None] + 0.03 * np.arange(24) + np.zeros(scan.shape)
    noise = rng.normal(0, 6, (2, *scan.shape))
    noise = noise[0] + 1j * noise[1]
    before = 200 * np.exp(1j * ramp) + noise
    seen = bleeds.factor(scan, [ball], 20, 3.0)
    bled = 200 * np.exp(1j * ramp) * seen + noise
    own = (np.abs(seen) < 0.6).astype(np.float32)
    white = np.ones(scan.shape, np.float32)
    shares = {'wm': white, 'gm': 0 * white, 'csf': 0 * white}
    tissue = learn(np.abs(bled), shares, own > 0, scan.voxel_mm)
    magnitude, phase = fill_echo(np.abs(bled), np.angle(bled), tissue, own, scan, rng)
    core = own > 0
    assert core.sum() > 20
    assert magnitude[core].mean() == pytest.approx(200, abs=4)
    assert magnitude[core].std() == pytest.approx(6, rel=0.4)
    field = ~core & (np.abs(np.angle(seen)) > 0.1)

    def error(angle, where):
        return float(np.sqrt((np.angle(np.exp(1j * (angle - ramp)))[where] ** 2).mean()))

    noise_rad = error(np.angle(before), field)
    assert error(np.angle(bled), field) > 5 * noise_rad
    assert error(phase, field) < 2 * noise_rad
    assert error(phase, core) < 3 * noise_rad
    far = np.linalg.norm(np.argwhere(white > 0) * scan.voxel_mm - centre, axis=1) > 15
    far = far.reshape(scan.shape)
    np.testing.assert_array_equal(phase[far], np.angle(bled).astype(np.float32)[far])
    np.testing.assert_array_equal(magnitude[far], np.abs(bled).astype(np.float32)[far])


def test_what_is_not_changed_keeps_its_bytes(made, data):
    before = nib.load(data.anat / 'sub-01_ses-a_FLAIR.nii.gz')
    after = nib.load(_case(made, 2, 'FLAIR.nii.gz'))
    assert after.get_data_dtype() == before.get_data_dtype()
    np.testing.assert_array_equal(after.affine, before.affine)
    same = np.asanyarray(before.dataobj) == np.asanyarray(after.dataobj)
    assert same.mean() > 0.98
    scaled = nib.Nifti1Image(np.arange(8, dtype=np.int16).reshape(2, 2, 2), np.eye(4))
    scaled.header.set_slope_inter(0.5, 3)
    stored = images.Stored(np.asanyarray(scaled.dataobj), 0.5, 3.0, scaled.header, scaled.affine)
    changed = stored.volume.copy()
    changed[0, 0, 0] = 10.0
    path = made.out.parent / 'scaled.nii.gz'
    images.write(stored, changed, path)
    assert nib.load(path).get_fdata()[0, 0, 0] == 10.0
    assert nib.load(path).get_fdata()[1, 1, 1] == 6.5


def test_same_seed_same_bytes(data, made, tmp_path):
    out = tmp_path / 'again'
    make_inserted(out, data.raw, data.given, cases=1, loads=(15, 0), nprocs=1)

    def digests(root):
        return {
            path.relative_to(root): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in root.rglob('*')
            if path.is_file() and 'case01' in path.name
        }

    assert len(digests(out)) > 10
    assert digests(out) == digests(made.out)


def test_the_dataset_is_complete(made, data):
    assert _case(made, 1, 'aslcontext.tsv', 'perf').is_file()
    assert json.loads(_case(made, 1, 'FLAIR.json').read_text()) == {'EchoTime': 0.1}
    told = json.loads((made.out / 'dataset_description.json').read_text())
    assert told['License'] == 'CC0'
    assert told['DatasetType'] == 'raw'
    assert told['Authors'] == ['A']
    people = _rows(made.out / 'participants.tsv')
    assert [row['participant_id'] for row in people] == ['sub-01case01', 'sub-01case02']
    assert {row['age'] for row in people} == {'71'}
    inserted = _rows(made.truth / 'inserted.tsv')
    assert {row['label'] for row in inserted} == {'WMH', 'lacune', 'PVS', 'CMB', 'RSSI'}
    assert {row['source_participant_id'] for row in inserted} == {'sub-01'}


def _dark_at(image, row):
    inverse = np.linalg.inv(image.affine)
    at = inverse @ [*(float(row[axis]) for axis in 'xyz'), 1]
    return tuple(np.rint(at[:3]).astype(int))


def test_microbleeds_are_in_magnitude_and_phase(made, data):
    rows = _rows(_truth(made, 1, 'space-T2starw_label-CMB_lesions.tsv'))
    image = nib.load(_case(made, 1, 'part-mag_T2starw.nii.gz'))
    values = np.asanyarray(image.dataobj)
    large = [row for row in rows if float(row['diameter_mm']) > 2]
    assert large
    assert all(values[_dark_at(image, row)] < 350 for row in large)
    before = _pixels(data.anat / 'sub-01_ses-a_part-phase_T2starw.nii.gz')
    after = _pixels(_case(made, 1, 'part-phase_T2starw.nii.gz'))
    changed = before != after
    assert 0.0001 < changed.mean() < 0.3
    assert after.min() >= 0
    assert after.max() <= 4096


def test_gradient_echoes_without_an_echo_time_are_told(data, tmp_path):
    raw = tmp_path / 'raw'
    shutil.copytree(data.raw, raw)
    for sidecar in raw.rglob('*T2starw.json'):
        sidecar.write_text('{"MagneticFieldStrength": 3}')
    out = tmp_path / 'out'
    make_inserted(out, raw, data.given, cases=1, loads=(1,), nprocs=1)
    assert not list(out.glob('sub-*/**/*T2starw.nii.gz'))
    (case,) = _rows(out / 'derivatives' / 'truth' / 'cases.tsv')
    for part, why in (('mag', 'EchoTime is missing'), ('phase', 'a magnitude with an EchoTime')):
        assert f'part-{part}_T2starw.nii.gz is left out: ' in case['notes']
        assert why in case['notes']


def test_infarcts_are_in_series_trace_and_adc(made, data):
    label = 'sub-01case01'
    folder = made.truth / label / 'ses-a' / 'dwi'
    mask = _pixels(folder / f'{label}_ses-a_space-dwi_label-RSSI_mask.nii.gz') > 0
    assert mask.any()

    def change(suffix):
        before = _pixels(data.anat.parent / 'dwi' / f'sub-01_ses-a_{suffix}.nii.gz').astype(float)
        after = _pixels(_case(made, 1, f'{suffix}.nii.gz', 'dwi')).astype(float)
        np.testing.assert_array_equal(after[:3], before[:3])
        return (after - before)[mask].mean(axis=0)

    assert (change('dwi') > 20).all()
    assert change('trace') > 20
    assert change('ADC') < -50
    assert _case(made, 1, 'dwi.bval', 'dwi').is_file()


def test_a_second_session_has_larger_ventricles(data, tmp_path):
    out = tmp_path / 'out'
    count = make_inserted(
        out, data.raw, data.given, kinds=('wmh', 'atrophy'), cases=1, loads=(4,), nprocs=1
    )
    assert count == 2
    truth = out / 'derivatives' / 'truth'
    first, second = _rows(truth / 'measures.tsv')
    assert (first['session_id'], second['session_id']) == ('ses-a', 'ses-aatrophy')
    assert 1.02 < float(second['lv_ml']) / float(first['lv_ml']) < 1.26
    folder = out / 'sub-01case01' / 'ses-aatrophy' / 'anat'
    image = nib.load(folder / 'sub-01case01_ses-aatrophy_T1w.nii.gz')
    before = _pixels(out / 'sub-01case01' / 'ses-a' / 'anat' / 'sub-01case01_ses-a_T1w.nii.gz')
    dark = [(part < 450).sum() for part in (before, np.asanyarray(image.dataobj))]
    assert dark[1] > dark[0]


def test_score_takes_the_truth(made, tmp_path):
    """The truth against itself is perfect, and its detection limit below the smallest lesion."""
    from csvdprep.scoring import score

    scores = score(made.truth, made.truth)
    row = next(r for r in scores.limits if r['label'] == 'WMH' and r['group'] == 'all')
    assert row['sensitivity'] == 1
    assert row['fp_per_scan'] == 0
    assert row['volume_slope'] == pytest.approx(1)
    assert not scores.missing


@pytest.mark.parametrize(
    ('options', 'error', 'word'),
    [
        ({'derivatives': None}, UsageError, '--markers wmh'),
        ({'load': [151.0]}, UsageError, '150'),
        ({'wmh_ml': 3.0}, UsageError, '--kinds'),
        ({'into': 'nowhere'}, PreflightError, 'no such folder'),
        ({'folder': 'inside'}, UsageError, 'elsewhere'),
    ],
)
def test_what_makes_no_sense_is_refused(data, tmp_path, options, error, word):
    parser = ArgumentParser()
    command.configure(parser)
    args = parser.parse_args(
        [str(tmp_path / 'o'), '--into', str(data.raw), '--with', str(data.given)]
    )
    for name, value in options.items():
        if value == 'inside':
            value = data.raw / 'derivatives' / 'x'
        elif value == 'nowhere':
            value = tmp_path / value
        setattr(args, name, value)
    with pytest.raises(error, match=word):
        command.run(args)


def test_options_of_real_scans_need_one(tmp_path):
    parser = ArgumentParser()
    command.configure(parser)
    with pytest.raises(UsageError, match='needs --into'):
        command.run(parser.parse_args([str(tmp_path / 'o'), '--load', '3']))


def test_missing_derivatives_tell_how_to_get_them(data, tmp_path):
    (visit,) = read_visits(data.raw)
    with pytest.raises(PreflightError, match='--markers wmh'):
        read_given(tmp_path, visit)
    with pytest.raises(PreflightError, match='no participant 09'):
        read_visits(data.raw, ['sub-09'])
    folder = tmp_path / 'sub-01' / 'ses-a' / 'anat'
    folder.mkdir(parents=True)
    (folder / 'sub-01_ses-a_label-WM_probseg.nii.gz').touch()
    with pytest.raises(PreflightError, match=r'GM_probseg|xfm'):
        read_given(tmp_path, visit)


def test_derivatives_of_other_scans_are_refused(data, tmp_path):
    (visit,) = read_visits(data.raw)
    given = read_given(data.given, visit)
    empty = tmp_path / 'empty.nii.gz'
    _save(empty, np.zeros((4, 4, 4), np.uint8), np.eye(4))
    wrong = SimpleNamespace(**{**vars(given), 'brain': empty})
    with pytest.raises(InputError, match='brain is empty'):
        read_head(wrong, {})


def test_filling_continues_tissue_at_the_border():
    rng = np.random.default_rng(0)
    white = np.ones((80, 80, 6), np.float32)
    none = np.zeros_like(white)
    image = 300 + rng.normal(0, 9, white.shape)
    own = none.copy()
    own[30:44, 30:44, 2:4] = 1
    image += 150 * own
    found = learn(image, {'wm': white, 'gm': none, 'csf': none}, own > 0, (1, 1, 4))
    after = fill(image, found, own, (1, 1, 4), rng)
    assert abs(after[own > 0].mean() - 300) < 3
    assert after[own > 0].std() == pytest.approx(9, rel=0.2)
    np.testing.assert_array_equal(after[:, :, 0], image[:, :, 0].astype(np.float32))


@pytest.fixture(scope='module')
def head(data):
    (visit,) = read_visits(data.raw)
    given = read_given(data.given, visit)
    flair = nib.load(visit.images[0].path)
    scan = RealScan(flair.shape, flair.affine, POSE)
    return read_head(given, {'FLAIR': scan, 'T1w': scan})


def test_loads_are_met_and_foci_are_of_all_sizes(head):
    for load in (1.0, 30.0):
        drawn = draw_case(head, Case(wmh_ml=load), (1, 2))
        assert float(drawn.height.sum()) / 1000 == pytest.approx(load, rel=0.1)
    sizes = [2 * spot.radii[0] for spot in drawn.spots]
    assert len(sizes) >= 6
    assert min(sizes) < 4 < max(sizes)
    site = head.anatomy.fractions['wm']
    assert (drawn.height[site < 0.05] < 0.5).all()


def test_what_has_no_room_is_told(head):
    drawn = draw_case(head, Case(wmh_ml=900.0), (1, 2))
    assert drawn.notes
    assert 'room for' in drawn.notes[0]


def test_shapes_lie_in_solid_tissue(head):
    drawn = draw_case(head, Case(lacunes=4, pvs=(4, 6), microbleeds=(2, 1, 1)), (5,))
    counts = {kind: sum(f.kind == kind for f in drawn.features) for kind in ('lacune', 'PVS')}
    assert counts == {'lacune': 4, 'PVS': 10}
    assert all(head.fits(f) for f in drawn.features if f.kind in ('PVS', 'CMB'))
    outside = Ellipsoid(
        kind='lacune', tissue='csf', centre=np.array([0, 0, 200.0]), radii=np.ones(3)
    )
    assert not head.fits(outside)


def test_ventricles_grow_as_much_as_asked_and_noise_stays(head):
    warp = atrophy.enlarge(head, 15)
    assert warp.after_ml / warp.before_ml == pytest.approx(1.15, abs=0.01)
    later = atrophy.warped_head(head, warp)
    assert later.anatomy.volume_ml('ventricles') == pytest.approx(warp.after_ml, rel=0.01)
    points = np.array([[20.0, -20, 20], [-15, 10, 25]])
    back = warp.came_from(warp.goes_to(points))
    np.testing.assert_allclose(back, points, atol=0.3)
    rng = np.random.default_rng(0)
    anatomy = head.anatomy
    white = anatomy.fractions['wm']
    scan = RealScan(white.shape, anatomy.affine, np.eye(4))
    image = (400 * white + rng.normal(0, 10, white.shape)).astype(np.float32)
    tissue = SimpleNamespace(
        noise=10 / 400, white=np.full(white.shape, 400.0), brain=white > 0.5, blur_mm=0
    )
    after = atrophy.warped_scan(scan, image, tissue, warp, rng)
    pure = later.anatomy.fractions['wm'] > 0.999
    moved = pure & (np.abs(warp.back).sum(axis=0) > 0.4)
    still = pure & (np.abs(warp.back).sum(axis=0) < 0.01)
    assert moved.sum() > 500
    assert after[moved].std() / image[still].std() == pytest.approx(1, abs=0.25)
    np.testing.assert_array_equal(after[still], np.maximum(image[still], 0))


def test_infarcts_are_bright_and_slow():
    scan = RealScan((30, 30, 16), np.diag([2.0, 2, 2, 1]), np.eye(4))
    infarct = Ellipsoid(
        kind='RSSI', tissue='infarct', centre=np.full(3, 26.0), radii=np.full(3, 6.0)
    )
    diffusion.strengthen([infarct], np.random.default_rng(3))
    bvals = np.array([0.0, 1000, 1000])
    signal = np.array([500.0, 500 * np.exp(-0.8), 500 * np.exp(-0.8)])
    rng = np.random.default_rng(1)
    series = signal + rng.normal(0, 4, (*scan.shape, 3))
    after = diffusion.into_series(scan, series, bvals, [infarct])
    core = scan.draw([infarct])[0] > 0.99
    adc = np.log(after[core][:, 0].mean() / after[core][:, 1:].mean()) / 1000
    assert adc == pytest.approx(0.8e-3 * infarct.facts['adc_factor'], rel=0.05)
    assert after[core][:, 1].std() == pytest.approx(4, rel=0.4)
    np.testing.assert_array_equal(after[0], series[0].astype(np.float32))
    trace = np.full(scan.shape, signal[1])
    bright, slow = diffusion.into_trace(
        scan, trace, np.full(scan.shape, 0.8e-3), 1000.0, [infarct]
    )
    assert slow[core].mean() == pytest.approx(adc, rel=0.05)
    assert bright[core].mean() > 1.15 * signal[1]


def test_microbleeds_bloom_with_time_and_noise_is_put_back():
    scan = RealScan((41, 41, 21), np.diag([1.0, 1, 2, 1]), np.eye(4))
    ball = Ellipsoid(
        kind='CMB',
        tissue='haemosiderin',
        centre=np.array([20.0, 20, 20]),
        radii=np.full(3, 1.5),
        facts={'chi': 1.5},
    )
    early, late = (bleeds.factor(scan, [ball], ms, 3.0) for ms in (8, 24))
    dark = [(np.abs(seen) < 0.5).sum() for seen in (early, late)]
    assert 0 < dark[0] < dark[1]
    rng = np.random.default_rng(0)
    magnitude = np.full(scan.shape, 200.0)
    plain, nothing = bleeds.into_echo(magnitude, None, late, 5.0, rng)
    both, phase = bleeds.into_echo(magnitude, np.zeros(scan.shape), late, 5.0, rng)
    assert nothing is None
    assert plain[20, 20, 10] < 40
    assert both[20, 20, 10] < 40
    assert phase[20, 20, 13] > 0.05
    assert phase[26, 20, 10] < 0
    assert (plain[0] == 200).all()
