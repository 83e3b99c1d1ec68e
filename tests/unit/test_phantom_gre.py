"""Magnetic field, gradient echoes and their truth."""

import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage as ndi

from csvdprep.phantom.geometry.features import Ellipsoid, Tube, draw
from csvdprep.phantom.head.anatomy import make_anatomy
from csvdprep.phantom.head.tissues import TISSUES
from csvdprep.phantom.head.veins import veins
from csvdprep.phantom.scanner.magnet import GAMMA, dipole_field, sphere_field, tube_field
from csvdprep.phantom.scanner.recorder import Recorder
from csvdprep.phantom.scanner.scan import Scan
from csvdprep.phantom.scanner.scene import Scene
from csvdprep.phantom.scanner.spoiled import steady_state
from csvdprep.phantom.susceptibility import gre
from csvdprep.phantom.susceptibility.cases import microbleed_scene, susceptibility_case
from csvdprep.phantom.susceptibility.field import magnetism
from csvdprep.phantom.susceptibility.intravoxel import slopes
from csvdprep.phantom.susceptibility.truth import bleed_mask, lesions

#: P6 is seen at 1 mm.
CLOSE = gre.Protocol(
    scan=Scan(voxel=(1, 1, 1), low=(-44,) * 3, high=(44,) * 3, noise=0, bias=0),
    te=(6.0, 14.0, 22.0),
    receive_rad=0,
    chi_texture=0,
)


def _lie(scene, protocol):
    return scene.lay(protocol, np.random.default_rng(0))


def _acquire(scene, protocol, seed):
    return gre.acquire(scene, _lie(scene, protocol), seed)


def _record(scene, protocol, recorder, seed):
    return gre.record(scene, protocol, recorder, seed)


def _field_of(scene, protocol):
    return gre.field_of(scene, _lie(scene, protocol))


@pytest.fixture(scope='module')
def scene():
    anatomy = make_anatomy(3, spacing=3)
    place = anatomy.to_head([[22.0, -30.0, 28.0], [-24.0, 8.0, 2.0]])
    bleeds = [
        Ellipsoid(
            kind='CMB',
            tissue='haemosiderin',
            centre=place[0],
            radii=np.full(3, 1.5),
            facts={'chi': 1.2, 'region': 'lobar'},
        ),
        Ellipsoid(
            kind='CMB',
            tissue='haemosiderin',
            centre=place[1],
            radii=np.full(3, 2.6),
            facts={'chi': 0.7, 'region': 'deep'},
        ),
    ]
    return Scene(
        anatomy=anatomy,
        wmh=np.zeros(anatomy.structures.shape, np.float32),
        features=[*veins(anatomy, 1), *bleeds],
        rotation=(6, 1, 3),
        shift=(1, 2, -1),
        seed=4,
    )


@pytest.fixture(scope='module')
def coarse():
    return replace(gre.TINY, scan=replace(gre.TINY.scan, voxel=(3, 3, 3), noise=0.0))


@pytest.fixture(scope='module')
def bleeding():
    """P6 without noise: scene, protocol, signal, field."""
    scene = microbleed_scene(spacing=2.0)
    return scene, *_acquire(scene, CLOSE, 1)


def ball(size, centre, radius):
    thing = Ellipsoid(kind='x', tissue='vein', centre=np.full(3, centre), radii=np.full(3, radius))
    return draw([thing], (size,) * 3, np.eye(4))[0]


def grid(shape, affine=None):
    affine = np.eye(4) if affine is None else affine
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing='ij'), axis=-1)
    return index.reshape(-1, 3) @ affine[:3, :3].T + affine[:3, 3]


@pytest.mark.parametrize('direction', [(0, 0, 1), (0.2, 0.3, 0.93)])
@pytest.mark.parametrize('radius', [4.0, 8.0])
def test_the_field_of_a_sphere_is_that_of_the_formula(direction, radius):
    centre = 23.7
    field = dipole_field(ball(48, centre, radius), 1.0, direction, pad=2)
    points = grid((48,) * 3)
    exact = sphere_field(points, (centre,) * 3, radius, 1.0, direction).reshape(field.shape)
    away = np.linalg.norm(points - centre, axis=1).reshape(field.shape)
    # From a voxel beside the surface on, relative to the largest field outside, 2/3 ppm.
    assert np.abs(field - exact)[away > radius + 1].max() < 0.02 * 2 / 3
    assert np.abs(field)[away < radius - 1].max() < 0.02 * 2 / 3


def test_the_field_is_the_same_bytes_twice():
    chi = np.random.default_rng(0).random((20, 24, 18), np.float32)
    first = dipole_field(chi, 2.0, (0, 0.1, 1))
    assert (first == dipole_field(chi, 2.0, (0, 0.1, 1))).all()


def test_a_tube_takes_over_from_the_grid_without_a_step():
    far = tube_field(np.array([9.0]), np.array([1.0]), 0.3, 1.0, 0.3)
    assert far != 0
    assert tube_field(np.array([9.0]), np.array([1.0]), 0.3, 1.0, 0.3, blurred=2.0) == 0


def test_phase_differences_give_the_field(scene, coarse):
    protocol = replace(coarse, scan=replace(coarse.scan, bias=0.3))
    signal, magnet = _acquire(scene, protocol, 5)
    within = magnet.scan.sample(scene.anatomy.intracranial, scene.affine) > 0.999
    within.reshape(-1)[magnet.inside.voxels] = False
    # Beyond a turn over the edge of a voxel, what is left of the signal has changed its sign.
    steep = np.abs(slopes(magnet.total, np.arange(within.size))).max(axis=1)
    within &= (steep * GAMMA * 3 * protocol.te[1] / 1000 < 0.9).reshape(within.shape)
    turned = np.angle(signal[..., 1] * np.conj(signal[..., 0]))[within]
    seconds = (protocol.te[1] - protocol.te[0]) / 1000
    hertz = (GAMMA * 3 * magnet.total)[within]
    rest = np.angle(np.exp(1j * (turned - 2 * np.pi * seconds * hertz)))
    assert within.sum() > 5000
    assert np.abs(rest).max() / (2 * np.pi * seconds) < 1e-3 * np.abs(hertz).max()


def test_the_field_turns_with_the_head(scene, coarse):
    """The main field is along z of the scanner however the head lies."""
    lying = replace(scene, rotation=(0, 0, 0), shift=(0, 0, 0))
    tilted = replace(scene, rotation=(30, 0, 0), shift=(0, 0, 0))
    fields = [
        magnetism(s, s.place(coarse.scan, np.random.default_rng(0), 0, 0), (6.0,)).local
        for s in (lying, tilted)
    ]
    assert np.abs(fields[0]).max() > 0.05
    centre = scene.anatomy.to_head([[0.0, -42.0, 77.0]])
    # The top of the sagittal sinus runs along y: -χ/6 across, less when tilted to the field.
    values = []
    for one, field in zip((lying, tilted), fields, strict=True):
        scan = one.place(coarse.scan, np.random.default_rng(0), 0, 0)
        at = np.linalg.inv(scan.grid()[1]) @ scan.pose @ np.append(centre[0], 1)
        values.append(ndi.map_coordinates(field, at[:3, None], order=1)[0])
    assert abs(values[0] - values[1]) > 0.005


def test_microbleeds_bloom(bleeding):
    scene, signal, magnet = bleeding
    magnitude = np.abs(signal)
    points = grid(magnitude.shape[:3], magnet.scan.grid()[1]).reshape(*magnitude.shape[:3], 3)
    for bleed in scene.features:
        if bleed.kind != 'CMB' or bleed.radii[0] < 1.4:
            continue
        near = np.linalg.norm(points - bleed.centre, axis=-1) < 7
        sizes = [
            (magnitude[near, echo] < 0.7 * np.median(magnitude[..., echo][near])).sum()
            for echo in range(3)
        ]
        assert sizes[0] < sizes[1] < sizes[2]
        assert sizes[2] > 1.3 * bleed.volume_mm3


def test_phase_tells_microbleeds_from_calcifications(bleeding):
    scene, signal, magnet = bleeding
    affine = np.linalg.inv(magnet.scan.grid()[1])
    without = [thing for thing in scene.features if thing.tissue == 'vein']
    plain, _ = _acquire(replace(scene, features=without), replace(CLOSE, te=(6.0,)), 1)
    turned = signal[..., 0] * np.conj(plain[..., 0])
    for thing in scene.features:
        if thing.tissue == 'vein':
            continue
        for up in (-1, 1):
            # Away from where the phase has made more than half a turn.
            pole = thing.centre + np.array([0, 0, up * (1.5 * thing.radii[0] + 0.7)])
            at = (affine @ np.append(pole, 1))[:3, None]
            phase = np.angle(ndi.map_coordinates(turned, at, order=1)[0])
            assert np.sign(phase) == (1 if thing.kind == 'CMB' else -1), (thing.kind, phase)


def test_dephasing_agrees_with_a_much_finer_division(bleeding, monkeypatch):
    scene, _, _ = bleeding
    scene = replace(scene, features=scene.features[1:4])
    protocol = replace(CLOSE, te=(14.0,))
    usual, magnet = _acquire(scene, protocol, 1)
    monkeypatch.setattr('csvdprep.phantom.susceptibility.intravoxel.CUBES', (11, 16))
    fine, _ = _acquire(scene, protocol, 1)
    at = np.unravel_index(magnet.inside.voxels, magnet.chi.shape)
    assert np.abs(usual - fine)[at].max() < 0.12
    assert np.sqrt((np.abs(usual - fine)[at] ** 2).mean()) < 0.01


def test_steep_fields_lose_signal():
    """A linear field of one turn over the edge of a voxel leaves nothing."""
    field = np.zeros((8, 8, 8), np.float32)
    field += np.arange(8, dtype=np.float32)[:, None, None]
    for turns, left in ((0.5, 2 / np.pi), (1.0, 0.0)):
        signal = np.ones(512, np.complex64)
        gre._dephase(signal, field, turns)
        assert np.abs(signal.reshape(8, 8, 8)[4, 4, 4]) == pytest.approx(left, abs=1e-6)


def test_veins_along_the_field_are_paramagnetic_in_phase():
    base = microbleed_scene(spacing=2.0)
    line = np.linspace((0, 0, -25), (0, 0, 25), 200)
    for radius, share in ((0.3, 0.2), (0.9, 0.9)):
        vein = Tube(kind='x', tissue='vein', points=line, radii=np.full(200, radius))
        signal, magnet = _acquire(replace(base, features=[vein]), replace(CLOSE, te=(12.0,)), 1)
        at = tuple(np.rint(np.linalg.inv(magnet.scan.grid()[1])[:3, 3]).astype(int))
        around = np.angle(signal[at[0] - 6, at[1], at[2], 0])
        inside = np.angle(signal[(*at, 0)])
        # chi/3 in blood, reduced by what tissue shares the voxel.
        blood = 2 * np.pi * GAMMA * 3 * 0.012 * TISSUES['vein'].chi / 3
        assert 0.2 * share * blood < inside - around < 1.2 * blood


def test_a_simple_inversion_finds_the_susceptibility(scene, coarse):
    magnet = magnetism(replace(scene, features=[]), replace(coarse.scan, rotation=(0, 0, 0)), ())
    scan = magnet.scan
    k = np.meshgrid(*[np.fft.fftfreq(n) for n in magnet.local.shape], indexing='ij')
    square = sum(part**2 for part in k)
    square[0, 0, 0] = 1
    kernel = 1 / 3 - k[2] ** 2 / square
    safe = np.where(np.abs(kernel) > 0.15, kernel, 0.15 * np.where(kernel < 0, -1, 1))
    found = np.fft.ifftn(np.fft.fftn(magnet.local) / safe).real
    within = scan.sample(scene.anatomy.intracranial, scene.affine) > 0.95
    assert np.corrcoef(found[within], magnet.chi[within])[0, 1] > 0.9


def test_p11_is_its_own_field():
    case = susceptibility_case(48, 1.0, direction=(0.1, 0.2, 0.97))
    field = dipole_field(case.chi, 1.0, case.direction, pad=2)
    # Cylinders go on beyond the grid; calcium is small and steep.
    apart = case.mask & (ndi.binary_dilation(case.chi != 0, iterations=2) == 0)
    assert np.corrcoef(field[apart], case.field[apart])[0, 1] > 0.95
    for number, (_, value) in enumerate(case.values, start=1):
        if (case.labels == number).any():
            assert np.allclose(case.chi[case.labels == number], value, atol=1e-5)
    rough = susceptibility_case(48, 1.0, texture_ppm=0.015)
    assert rough.chi[rough.labels == 1].std() > 0.005


def test_p11_spheres_overlap_nowhere():
    case = susceptibility_case(64, 1.0)
    assert set(np.unique(case.labels)) == set(range(len(case.values) + 1))


def test_stored_phase_is_the_phase():
    angles = np.linspace(-np.pi, np.pi - 2e-3, 3001)
    signal = np.exp(1j * angles)
    stored = gre.stored_phase(signal, 'arbitrary')
    assert stored.dtype == np.int16
    assert stored.min() == -4096
    assert stored.max() <= 4094
    assert np.abs(stored / 4096 * np.pi - angles).max() < 1.01 * np.pi / 4096
    radians = gre.stored_phase(signal, 'rad')
    assert radians.dtype == np.float32
    assert np.abs(radians - angles).max() < 1.01 * np.pi / 4096
    with pytest.raises(ValueError, match='arbitrary or rad'):
        gre.Protocol(scan=gre.TINY.scan, phase='degrees')


def test_signal_decays_with_t2s(scene, coarse):
    still = replace(scene, features=[])
    protocol = replace(coarse, scan=replace(coarse.scan, bias=0), receive_rad=0)
    signal, magnet = _acquire(still, protocol, 1)
    white = magnet.scan.sample(scene.anatomy.fractions['wm'], scene.affine) > 0.999
    white &= magnet.scan.labels(scene.anatomy.structures, scene.affine) == 0
    ratio = np.median(np.abs(signal[white][:, 2]) / np.abs(signal[white][:, 0]))
    assert ratio == pytest.approx(np.exp(-16 / TISSUES['wm'].t2s), rel=0.01)
    first = np.median(np.abs(signal[white][:, 0]))
    assert first == pytest.approx(np.exp(-6 / TISSUES['wm'].t2s), rel=0.02)


def test_steady_state_by_playing_the_pulses():
    tissue, angle = TISSUES['gm'], np.deg2rad(15)
    up = 1.0
    for _ in range(2000):
        up = 1 + (up * np.cos(angle) - 1) * np.exp(-28 / tissue.t1)
    assert steady_state(tissue, 3, 28, 15) == pytest.approx(tissue.pd * up * np.sin(angle))


@pytest.fixture(scope='module')
def written(scene, coarse, tmp_path_factory):
    folder = tmp_path_factory.mktemp('megre')
    recorder = Recorder(folder, '01', '1')
    protocol = replace(coarse, scan=replace(coarse.scan, noise=0.01))
    _record(scene, protocol, recorder, 7)
    return folder, recorder


def test_files_and_sidecars(written):
    folder, _ = written
    raw = folder / 'sub-01/ses-1/anat'
    names = {path.name for path in raw.glob('*.nii.gz')}
    assert names == {
        f'sub-01_ses-1_echo-{echo}_part-{part}_MEGRE.nii.gz'
        for echo in (1, 2, 3)
        for part in ('mag', 'phase')
    }
    fields = json.loads((raw / 'sub-01_ses-1_echo-2_part-phase_MEGRE.json').read_text())
    assert fields['EchoTime'] == 0.014
    assert fields['Units'] == 'arbitrary'
    assert fields['MagneticFieldStrength'] == 3
    truth = {
        path.name.removeprefix('sub-01_ses-1_space-MEGRE_')
        for path in (folder / 'derivatives/truth').rglob('*.nii.gz')
    }
    assert truth == {
        'Chimap.nii.gz',
        'R2starmap.nii.gz',
        'label-CMB_mask.nii.gz',
        'label-vein_mask.nii.gz',
        'desc-local_fieldmap.nii.gz',
        'desc-total_fieldmap.nii.gz',
    }


def test_measures_are_those_of_the_tables(written):
    values = {name: value for name, (value, *_) in written[1].measures.items()}
    assert values['qsm_gp_ppm'] == pytest.approx(0.1305, abs=0.035)
    assert values['qsm_wm_ppm'] == pytest.approx(-0.03, abs=0.006)
    assert values['r2s_wm'] == pytest.approx(1000 / TISSUES['wm'].t2s, rel=0.02)
    assert values['r2s_gp'] > values['r2s_putamen'] > values['r2s_thalamus'] > values['r2s_wm']
    assert (values['cmb_n_definite'], values['cmb_n_lobar'], values['cmb_n_deep']) == (2, 1, 1)
    assert (values['cmb_n_lt5mm'], values['cmb_n_5to10mm']) == (1, 1)


def test_truth_lies_where_the_image_shows_it(written, scene):
    folder, _ = written
    path = next(folder.rglob('*CMB_mask.nii.gz'))
    mask = nib.load(path).get_fdata() > 0
    assert ndi.label(mask)[1] == 2
    magnitude = nib.load(next(folder.rglob('*echo-3_part-mag*.nii.gz'))).get_fdata()
    ring = ndi.binary_dilation(mask, iterations=3) & ~ndi.binary_dilation(mask, iterations=2)
    assert magnitude[mask].mean() < 0.5 * magnitude[ring].mean()
    chi = nib.load(next(folder.rglob('*Chimap.nii.gz'))).get_fdata()
    assert chi[mask].min() > 0.1
    # Bone and fat are no part of it.
    assert chi.min() > -0.07
    vein = nib.load(next(folder.rglob('*vein_mask.nii.gz'))).get_fdata() > 0
    assert chi[vein].mean() > 0.12


def test_the_list_names_kinds(scene, coarse):
    magnet = _field_of(scene, coarse)
    rows = lesions(scene, magnet)
    kinds = [row['kind'] for row in rows]
    assert kinds.count('CMB') == 2
    assert kinds.count('vein-mimic') == 40
    x, y, z = (rows[0][axis] for axis in 'xyz')
    expected = magnet.scan.pose @ np.append(scene.features[-2].centre, 1)
    assert np.allclose((x, y, z), expected[:3])
    assert bleed_mask(scene, magnet).sum() >= 2


def test_same_bytes_twice(scene, coarse, tmp_path):
    single = replace(coarse, te=(20.0,), phase='rad', scan=replace(coarse.scan, noise=0.02))
    for name in 'ab':
        _record(scene, single, Recorder(tmp_path / name, '01'), 3)
    files = sorted(path.relative_to(tmp_path / 'a') for path in (tmp_path / 'a').rglob('*.*'))
    assert 'sub-01_part-phase_T2starw.nii.gz' in {path.name for path in files}
    for path in files:
        assert (tmp_path / 'a' / path).read_bytes() == (tmp_path / 'b' / path).read_bytes()
