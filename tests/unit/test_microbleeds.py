"""Microbleeds: round dark spots, what is taken for them, their sign, size and region."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from csvdprep.bids.tsv import read_tsv
from csvdprep.imaging.transforms import write_linear
from csvdprep.interfaces.candidates import read_candidates
from csvdprep.interfaces.values import read_values
from csvdprep.markers.microbleeds import ROOM, Options
from csvdprep.markers.microbleeds.interfaces import Microbleeds, _by_distance, _values
from csvdprep.markers.microbleeds.learned import load_model
from csvdprep.markers.microbleeds.science import ANATOMY, find_microbleeds, region_of
from csvdprep.markers.microbleeds.science.candidates import FEATURES
from csvdprep.markers.microbleeds.science.evidence import evidence
from csvdprep.markers.microbleeds.science.probability import Model
from csvdprep.markers.microbleeds.science.regions import WHITE, pattern
from csvdprep.phantom.scanner.magnet import GAMMA, sphere_field, tube_field
from csvdprep.science.lesion_review import review

VOXEL = np.array([0.8, 0.8, 1.6])
SHAPE = (56, 56, 26)


def scan(spheres=(), veins=(), *, voxel=VOXEL, shape=SHAPE, noise=0.03, te=20.0, seed=0):
    """Scan white matter with spheres (centre, radius, ppm) and veins (point, direction, radius).

    Voxels are divided; each part turns with the field at 3 T.
    """
    parts = np.stack(np.meshgrid(*[(np.arange(3) + 0.5) / 3 - 0.5] * 3), axis=-1).reshape(-1, 3)
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing='ij'), axis=-1).reshape(-1, 3)
    turns = 2 * np.pi * GAMMA * 3 * te / 1000
    image = np.full(len(index), len(parts), complex)
    near = np.zeros(len(index), bool)
    for centre, radius, _ in spheres:
        near |= np.linalg.norm(index * voxel - centre, axis=1) < 4 * radius + 3
    for start, way, _ in veins:
        away = index * voxel - start
        near |= np.linalg.norm(away - (away @ way)[:, None] * way, axis=1) < 4
    image[near] = 0
    index = index[near]
    for part in parts:
        points = (index + part) * voxel
        field, own = np.zeros(len(points)), np.ones(len(points))
        for centre, radius, chi in spheres:
            field += sphere_field(points, centre, radius, chi, (0, 0, 1))
            own[np.linalg.norm(points - centre, axis=1) < radius] = 0.1
        for start, way, radius in veins:
            away = points - start
            along = away @ way
            square = np.maximum((away**2).sum(axis=1) - along**2, 1e-3)
            field += tube_field(square, away[:, 2] - along * way[2], way[2], radius, 0.3)
            own[square < radius**2] = 0.6
        image[near] += own * np.exp(1j * turns * field)
    rng = np.random.default_rng(seed)
    image = image.reshape(shape) / len(parts)
    image += noise * (rng.standard_normal(shape) + 1j * rng.standard_normal(shape))
    return 300 * np.abs(image)


def find(image, voxel=VOXEL, **more):
    nothing = dict.fromkeys(ANATOMY, np.zeros(image.shape, np.float32))
    affine = np.diag([*voxel, 1.0])
    return find_microbleeds(
        image, np.ones(image.shape, bool), affine, model=load_model(), anatomy=nothing, **more
    )


def definite(found):
    return [b for b in found.bleeds if b.probability >= Options().definite and b.sign >= 0]


def test_nothing_is_definite_where_nothing_is():
    assert not find(scan(noise=0.06)).bleeds


@pytest.mark.parametrize('radius', [0.8, 1.2, 2.0])
def test_a_microbleed_is_found_where_it_is(radius):
    centre = np.array([20.3, 24.1, 18.9])
    found = find(scan([(centre, radius, 1.0)]))
    (only,) = definite(found)
    assert np.linalg.norm(found.centres[0] * VOXEL - centre) < 1 + radius / 2
    assert 1.3 * radius < only.diameter_mm < 5 * radius  # it blooms
    assert found.labels[tuple(found.centres[0])] == 1
    assert only.contrast > 0.3
    assert 'lost' in only.reasons


def test_size_grows_with_the_microbleed():
    sizes = [
        definite(find(scan([(np.array([22.0, 22, 20]), r, 1.0)])))[0].diameter_mm
        for r in (0.8, 1.5, 3.2)
    ]
    assert sizes == sorted(sizes)
    assert sizes[0] < 5 < sizes[-1]


@pytest.mark.parametrize('way', [(1, 0, 0), (0, 0.6, 0.8), (0, 0, 1), (0.8, 0, 0.6)])
def test_a_vein_does_not_count(way):
    image = scan(veins=[(np.array([22.0, 21, 20]), np.array(way, float), 0.5)])
    assert not definite(find(image))


def test_calcium_does_not_count_and_is_told():
    centre = np.array([22.0, 22, 20])
    image = scan([(centre, 1.2, -2.0)])
    assert definite(find(image))  # the magnitude alone does not tell
    index = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing='ij'), axis=-1)
    inside = np.linalg.norm(index * VOXEL - centre, axis=-1) < 1.6
    noise = 0.01 * np.random.default_rng(1).standard_normal(SHAPE)
    (calcium,) = find(image, chi=noise - 1.2 * inside).bleeds
    assert calcium.sign == -1
    assert calcium.chi_ppm == pytest.approx(-1.2, abs=0.05)
    assert 'calcium' in calcium.reasons
    (bleed,) = find(image, chi=noise + 1.2 * inside).bleeds
    assert bleed.sign == 1
    assert bleed in definite(find(image, chi=noise + 1.2 * inside))
    # Where the map tells nothing the sign is not known.
    assert find(image, chi=noise).bleeds[0].sign == 0


def test_thick_slices_are_looked_at_one_by_one():
    voxel = np.array([0.9, 0.9, 4.0])
    centre = np.array([20.0, 20, 28])
    image = scan([(centre, 1.5, 1.0)], voxel=voxel, shape=(48, 48, 14), te=30.0)
    signs = evidence(image, np.ones(image.shape, bool), voxel)
    assert signs.flat == 2
    assert np.unravel_index(signs.round.argmax(), image.shape)[2] == 7
    assert definite(find(image, voxel))
    # Sagittal ones too.
    turned = evidence(np.moveaxis(image, 2, 0), np.ones((14, 48, 48), bool), voxel[[2, 0, 1]])
    assert turned.flat == 0
    assert evidence(scan(), np.ones(SHAPE, bool), VOXEL).flat == -1


def test_the_level_follows_shading_and_noise_is_that_of_the_scan():
    image = scan(noise=0.02)
    shaded = image * (1 + 0.5 * np.linspace(-1, 1, SHAPE[0])[:, None, None])
    found = evidence(shaded, np.ones(SHAPE, bool), VOXEL)
    assert abs(float(found.dark.mean())) < 0.02
    assert found.noise == pytest.approx(0.02, rel=0.5)


def test_a_model_of_other_features_is_refused():
    content = {'features': ['a'], 'start': 0, 'trees': []}
    with pytest.raises(ValueError, match='other features'):
        Model.read(content, FEATURES)


REGIONS = [
    ('left thalamus', 'left deep grey and capsules', 0, 3, 'thalamus', 'deep'),
    ('right putamen', 'right deep grey and capsules', 0, 12, 'basal ganglia', 'deep'),
    ('left caudate nucleus', None, 0, 1, 'basal ganglia', 'deep'),
    ('brainstem', None, 0, 30, 'brainstem', 'infratentorial'),
    ('left cerebellum', 'left occipital lobe', 0.9, 40, 'cerebellum', 'infratentorial'),
    (None, 'left deep grey and capsules', 0, 20, 'internal or external capsule', 'deep'),
    (None, 'left frontal lobe', 0, 9, 'deep or periventricular white matter', 'deep'),
    (None, 'left frontal lobe', 0, 11, 'frontal', 'lobar'),
    (None, 'right occipital lobe', 0.5, 6, 'occipital', 'lobar'),
    (None, 'right insula', 0.5, 20, 'insula', 'lobar'),
    ('left hippocampus', 'left temporal lobe', 0, 2, 'temporal', 'lobar'),
    (None, None, 0, 50, 'not named', 'lobar'),
]


@pytest.mark.parametrize(('structure', 'lobe', 'cortex', 'away', 'region', 'kind'), REGIONS)
def test_regions(structure, lobe, cortex, away, region, kind):
    found = region_of(structure, lobe, cortex=cortex, ventricle_mm=away)
    assert (found.region, found.category) == (region, kind)


def test_patterns():
    told = {
        (0, 0, 0): 'none',
        (1, 0, 0): 'strictly lobar',
        (0, 1, 0): 'strictly deep',
        (0, 0, 1): 'strictly deep',
        (1, 1, 0): 'mixed',
        (1, 0, 1): 'mixed',
        (0, 1, 1): 'strictly deep',
        (1, 1, 1): 'mixed',
    }
    names = ('lobar', 'deep', 'infratentorial')
    for numbers, word in told.items():
        assert pattern(dict(zip(names, numbers, strict=True))) == word


def test_thresholds_are_in_order():
    with pytest.raises(ValueError, match='possible'):
        Options(definite=0.2, possible=0.5)


# ---- files


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """A scan with two microbleeds and a calcification, and its anatomy."""
    folder = tmp_path_factory.mktemp('microbleeds')
    places = [np.array(p, float) for p in ((14, 16, 14), (33, 30, 28), (15, 34, 27))]
    image = scan([(places[0], 1.2, 1.2), (places[1], 2.6, 1.5), (places[2], 1.2, -2.0)])
    affine = np.diag([*VOXEL, 1.0])
    index = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing='ij'), axis=-1) * VOXEL
    chi = 0.01 * np.random.default_rng(2).standard_normal(SHAPE)
    for place, value in zip(places, (0.8, 1.0, -1.5), strict=True):
        chi[np.linalg.norm(index - place, axis=-1) < 1.6] = value
    none = np.zeros(SHAPE, np.float32)
    thalamus = none.copy()
    thalamus[np.linalg.norm(index - places[0], axis=-1) < 5] = 3
    lobes = np.where(np.arange(SHAPE[0])[:, None, None] < 28, 1, 2) + none
    images = {
        'gre_mag': image,
        'gre_mask': none + 1,
        'gre_chi': chi,
        'gm_probseg': none,
        'csf_probseg': none,
        'structures_dseg': thalamus,
        'lobes_dseg': lobes,
        'territories_dseg': none,
        'given': (np.linalg.norm(index - places[1], axis=-1) < 3) + none,
    }
    found = {}
    for name, data in images.items():
        found[name] = str(folder / f'{name}.nii.gz')
        kind = np.int16 if name.endswith(('dseg', 'mask', 'given')) else np.float32
        nib.save(nib.Nifti1Image(np.asarray(data, kind), affine), found[name])
    for name in ('gre_to_anat', 'mni_to_anat'):
        found[name] = str(write_linear(np.eye(4), folder / f'{name}.txt'))
    return found


def run(files, folder, *without, gre=None, **more):
    folder = Path(folder)
    given = {k: v for k, v in files.items() if k != 'given' and k not in without}
    gre = gre or {'echoes': [{'time': 0.020}], 'tesla': 3.0, 'weighted': None}
    result = Microbleeds(gre=gre, **given, **more).run(cwd=str(folder)).outputs
    values = {k: v.value for k, v in read_values(Path(result.microbleeds_values)).items()}
    return read_tsv(result.cmb_lesions).rows, values, result


def test_a_scan_is_counted_and_listed(files, tmp_path):
    rows, values, result = run(files, tmp_path)
    by = {row['status']: row for row in rows}
    kinds = {(row['kind'], row['region'], row['size']) for row in rows[:2]}
    assert kinds == {('deep', 'thalamus', 'under 5 mm'), ('lobar', 'frontal', '5 to 10 mm')}
    assert [row['status'] for row in rows] == ['definite', 'definite', 'calcification']
    assert by['calcification']['sign'] == 'diamagnetic'
    assert values['cmb_n'] == 2
    assert values['cmb_deep_n'] == values['cmb_lobar_n'] == 1
    assert values['cmb_lt5mm_n'] == values['cmb_5to10mm_n'] == 1
    assert values['cmb_calcification_n'] == 1
    assert values['cmb_pattern'] == 'mixed'
    assert values['cmb_sequence'] == '3D T2*'
    mask = np.asanyarray(nib.load(result.cmb_mask).dataobj)
    labels = np.asanyarray(nib.load(result.cmb_candidates).dataobj)
    assert set(np.unique(labels)) == {0, 1, 2, 3}
    assert ((labels == 1) | (labels == 2)).sum() == mask.sum() > 0


def test_calcifications_do_not_enter_scores(files, tmp_path):
    _, _, result = run(files, tmp_path)
    listed = read_candidates(Path(result.cmb_lesions))
    left = review(listed, [], 'cmb_lesions').candidates
    assert [(c.index, c.counts) for c in left] == [(1, True), (2, True)]
    # Unless a person says that one is a microbleed.
    left = review(listed, [('AB', '3', 'accept')], 'cmb_lesions').candidates
    assert [(c.index, c.counts) for c in left] == [(1, True), (2, True), (3, True)]


def test_without_phase_the_sign_is_not_known(files, tmp_path):
    rows, values, result = run(files, tmp_path, 'gre_chi')
    assert {row['sign'] for row in rows} == {'not known'}
    assert values['cmb_n'] == 3
    assert values['cmb_calcification_n'] == 0
    count = read_values(Path(result.microbleeds_values))['cmb_n']
    assert 'without phase, calcifications' in count.reason
    assert count.qc == ''


def test_a_mask_that_was_given_is_taken_over(files, tmp_path):
    mask = {'mask': files['given'], 'on': 'gre', 'image': files['gre_mag']}
    rows, values, _ = run(files, tmp_path, cmb_external=mask)
    (only,) = rows
    assert only['status'] == 'external'
    assert only['probability'] == 'n/a'
    assert only['kind'] == 'lobar'
    assert values['cmb_n'] == 1
    assert values['cmb_origin'] == 'external'


def test_the_swi_of_a_scanner_has_a_threshold_of_its_own(files, tmp_path):
    weighted = {'echoes': [], 'tesla': 3.0, 'weighted': files['gre_mag']}
    _, values, _ = run(files, tmp_path, gre=weighted, definite_swi=0.9999)
    assert values['cmb_n'] == 0
    assert values['cmb_possible_n'] == 2
    assert values['cmb_sequence'] == '3D SWI'


@pytest.mark.parametrize('tesla', [3.0, 7.0])
def test_of_several_echoes_the_late_ones_are_searched(files, tmp_path, tesla):
    """Early echoes show signal where late ones have none."""
    late = np.asanyarray(nib.load(files['gre_mag']).dataobj)
    early = np.full(late.shape, 3 * np.median(late), np.float32)
    affine = nib.load(files['gre_mag']).affine
    shade = np.linspace(0.8, 1.2, late.shape[0], dtype=np.float32)[:, None, None]
    paths = {}
    for name, data in {
        'early': early / shade,
        'late': late / shade,
        'both': np.sqrt((early**2 + late**2) / 2),
    }.items():
        paths[name] = str(tmp_path / f'{name}.nii.gz')
        nib.save(nib.Nifti1Image(data.astype(np.float32), affine), paths[name])
    echoes = [{'time': t, 'mag': paths[n]} for t, n in ((0.003, 'early'), (0.02, 'late'))]
    given = {**files, 'gre_mag': paths['both']}
    folders = [tmp_path / name for name in ('several', 'one')]
    for folder in folders:
        folder.mkdir()
    several, values, _ = run(given, folders[0], gre={'echoes': echoes, 'tesla': tesla})
    one, expected, _ = run(files, folders[1])
    assert values['cmb_n'] == expected['cmb_n'] == 2
    for row, other in zip(several, one, strict=True):
        assert float(row['contrast_pct']) == pytest.approx(float(other['contrast_pct']), abs=1)
        assert float(row['probability']) == pytest.approx(float(other['probability']), abs=0.02)


@pytest.mark.parametrize(
    ('time', 'tesla', 'said'),
    [
        (0.005, 3.0, 'echo time of 5 ms at 3 T'),
        (0.009, 3.0, 'echo time of 9 ms at 3 T'),
        (0.010, 3.0, ''),
        (0.015, 1.5, 'echo time of 15 ms at 1.5 T'),
        (0.040, 1.5, ''),
        (0.004, 7.0, 'echo time of 4 ms at 7 T'),
        (0.014, 7.0, ''),
        (None, 3.0, 'no EchoTime in the sidecar'),
        (0.015, None, 'echo time of 15 ms at a field that the sidecar does not tell'),
        (0.020, None, ''),
    ],
)
def test_an_early_echo_is_said_to_miss_small_ones(time, tesla, said):
    gre = {'echoes': [{'time': time}], 'tesla': tesla, 'weighted': None}
    found = _values([], [], 'csvdprep', VOXEL, gre, signed=True)
    for name in ('cmb_n', 'cmb_lobar_n', 'cmb_pattern'):
        assert found[name].qc == ('warn' if said else '')
        assert found[name].reason.startswith(said)
    # What a person marked does not depend on what the scan shows a machine.
    assert _values([], [], 'external', VOXEL, gre, signed=True)['cmb_n'].reason == ''


def test_the_latest_of_several_echoes_decides():
    gre = {'echoes': [{'time': 0.004}, {'time': 0.03}], 'tesla': 3.0, 'weighted': None}
    assert _values([], [], 'csvdprep', VOXEL, gre, signed=True)['cmb_n'].reason == ''


def test_every_declared_measure_has_a_gate():
    from csvdprep.core.gates import GATES, matches

    gate = next(gate for gate in GATES if gate.name == 'gradient echo')
    counts = [m.name for m in ROOM.measures if m.units == '1']
    assert all(matches(name, gate.stops) for name in counts)


def test_the_shipped_model_is_what_its_card_says():
    import hashlib

    from csvdprep.resources import models

    folder = models() / 'microbleeds'
    content = (folder / 'model.json').read_bytes()
    assert hashlib.sha256(content).hexdigest() in (folder / 'README.md').read_text()
    assert len(content) < 400_000
    assert json.loads(content)['features'] == list(FEATURES)


@pytest.mark.parametrize(
    ('kinds', 'said', 'other'),
    [
        ({'lobar': 0, 'deep': [WHITE], 'infratentorial': 0}, '1 deep', 'strictly lobar'),
        ({'lobar': 2, 'deep': [WHITE] * 2, 'infratentorial': 0}, '2 deep', 'strictly lobar'),
        ({'lobar': 2, 'deep': [WHITE, 'thalamus'], 'infratentorial': 0}, '1 deep', None),
        ({'lobar': 2, 'deep': ['thalamus'], 'infratentorial': 0}, None, None),
    ],
)
def test_what_is_deep_by_distance_alone_is_told(kinds, said, other):
    rows = {
        kind: [{'region': 'x'}] * n if isinstance(n, int) else [{'region': r} for r in n]
        for kind, n in kinds.items()
    }
    told = _by_distance(rows, given_mm=10.0)
    assert bool(told) == (said is not None)
    if told:
        assert told[0].startswith(f'{said} by lying up to 10 mm from a lateral ventricle')
        assert (f'the pattern would be {other}' in told[0]) == (other is not None)
