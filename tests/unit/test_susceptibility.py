"""From stored phase to susceptibility, on fields of known truth."""

import re

import nibabel as nib
import numpy as np
import pytest

from csvdprep.core.errors import MeasureError
from csvdprep.imaging.transforms import write_linear
from csvdprep.interfaces.values import read_values
from csvdprep.markers.qsm.interfaces import MapSusceptibility
from csvdprep.markers.qsm.science import invert
from csvdprep.preprocessing.gre.science import combined, decay_rate
from csvdprep.preprocessing.gre_field.interfaces import EstimateField
from csvdprep.preprocessing.gre_field.science import fit_frequency, phase_sign, slice_offset
from csvdprep.preprocessing.swi.science import phase_mask
from csvdprep.science.dipole import Space, forward, main_field_axes, threshold_division
from csvdprep.science.local_field import resharp, v_sharp
from csvdprep.science.phase import alternating_axes, phase_unit, unwrap, wrapped

RNG = np.random.default_rng


def ball(shape, radius, centre=None, voxel=(1.0, 1.0, 1.0)):
    centre = [(n - 1) / 2 for n in shape] if centre is None else centre
    grid = np.indices(shape)
    square = sum(((g - c) * v) ** 2 for g, c, v in zip(grid, centre, voxel, strict=True))
    return square < radius**2


# ---- units


@pytest.mark.parametrize(
    ('scale', 'shift', 'evidence'),
    [
        (4096 / np.pi, 0, 'levels from -4096'),
        (2048 / np.pi, 2048, '4096 levels'),
        (2048 / np.pi, 0, '4096 levels'),
        (1000, 0, 'thousandths'),
        (1, 0, 'radians'),
        (180 / np.pi, 0, 'degrees'),
        (0.00117, 0, 'filled evenly'),
        (77.7, 500, 'filled evenly'),
    ],
)
def test_units_of_vendors(scale, shift, evidence):
    truth = RNG(0).uniform(-np.pi, np.pi, 20000)
    unit = phase_unit(truth * scale + shift)
    assert evidence in unit.evidence
    off = wrapped((truth * scale + shift - unit.middle) * unit.factor - truth)
    # A constant is the receiver's; the scale is what counts.
    assert np.abs(wrapped(off - np.median(off))).max() < 0.01


def test_the_sidecar_says_rad_and_the_values_do_not():
    levels = RNG(0).integers(-4096, 4096, 9999)
    unit = phase_unit(levels, 'rad')
    assert unit.doubtful
    assert unit.factor == pytest.approx(np.pi / 4096)
    assert not phase_unit(levels * np.pi / 4096, 'rad').doubtful


@pytest.mark.parametrize(
    'values',
    [
        RNG(0).normal(0, 3, 9999) * 2,  # unwrapped
        RNG(0).normal(0, 300, 9999),  # filtered, in levels
        np.zeros(100),
        np.full(100, 7.0),
        np.full(100, np.nan),
    ],
    ids=['unwrapped', 'filtered', 'zero', 'one value', 'nan'],
)
def test_what_is_no_phase_is_refused(values):
    with pytest.raises(MeasureError, match=r'one value|unknown unit'):
        phase_unit(values)


# ---- unwrapping and fit


def test_unwrapping_of_a_steep_field_with_noise_and_holes():
    shape = (40, 40, 20)
    x, y, z = (g / n for g, n in zip(np.indices(shape), shape, strict=True))
    truth = (30 * np.exp(-((x - 0.5) ** 2 + (y - 0.4) ** 2) * 8) + 6 * z).astype('f4')
    mask = ball(shape, 18)
    mask[20, 20, 10] = False
    noisy = truth + RNG(1).normal(0, 0.2, shape)
    out = unwrap(wrapped(noisy), mask, np.ones(shape, 'f4'))
    off = (out - truth)[mask]
    turns = np.round((off - np.median(off)) / (2 * np.pi))
    assert (turns != 0).mean() < 1e-3
    assert not out[~mask].any()


def test_unwrapping_does_not_depend_on_where_values_at_pi_fall():
    """At plus or minus pi, which of the two is stored is chance."""
    shape = (16, 16, 8)
    truth = np.linspace(-4, 4, 16)[:, None, None] * np.ones(shape)
    stored = wrapped(truth)
    flipped = stored + 2 * np.pi * RNG(2).integers(-1, 2, shape)
    mask = np.ones(shape, bool)
    first, second = (unwrap(p, mask, np.ones(shape)) for p in (stored, flipped))
    assert np.allclose(first - first.mean(), second - second.mean(), atol=1e-4)


TIMES = [0.005, 0.011, 0.017, 0.023]


def echoes(hertz, receiver, rate=30.0, noise=0.0, times=TIMES):
    signal = np.stack(
        [100 * np.exp(-t * rate) * np.exp(1j * (receiver + 2 * np.pi * hertz * t)) for t in times],
        axis=-1,
    )
    rng = RNG(3)
    signal = signal + noise * (rng.normal(size=signal.shape) + 1j * rng.normal(size=signal.shape))
    return np.abs(signal).astype('f4'), np.angle(signal).astype('f4')


@pytest.mark.parametrize('strongest', [40, 250])
def test_frequency_with_receiver_phase_and_wraps(strongest):
    """250 Hz wrap between echoes of 6 ms; the receiver's phase is no frequency."""
    shape = (32, 32, 24)
    x, y, z = (g / n - 0.5 for g, n in zip(np.indices(shape), shape, strict=True))
    hertz = strongest * (1.8 * x - x * y) + 5 * ball(shape, 4)
    receiver = 2.5 * x - 3 * y + 4 * z**2 + 1
    magnitude, phase = echoes(hertz, receiver, noise=1.0)
    mask = ball(shape, 13)
    found = fit_frequency(magnitude, phase, TIMES, mask, (1, 1, 1), 1.0)
    off = (found.hertz - hertz)[mask]
    # A frequency of all voxels may go by turns of the shortest step.
    off -= np.round(np.median(off) * 0.006) / 0.006
    # At the edge of this small head the receiver is known less well.
    core = np.abs(off - np.median(off))[ball(shape, 9)[mask]]
    assert np.quantile(core, 0.95) < 4 * np.median(found.sd_hertz[mask])
    assert np.abs(off - np.median(off)).max() < 2
    assert np.median(found.misfit[mask]) < 0.05


@pytest.mark.parametrize('axes', [(), (2,), (0, 1), (0, 1, 2)])
def test_slices_of_opposite_sign_are_found(axes):
    """A steep field, the receiver's phase and noise are none."""
    shape = (40, 40, 24)
    grid = np.indices(shape)
    hertz = 4.0 * grid[2] + 3.0 * grid[0] + 60 * np.exp(-((grid[2] - 20) ** 2) / 20)
    magnitude, phase = echoes(hertz, 0.05 * grid[1], noise=5.0, times=[0.025])
    signal = (magnitude * np.exp(1j * phase))[..., 0]
    for axis in axes:
        signal = signal * (-1.0) ** grid[axis]
    assert alternating_axes(signal, ball(shape, 14)) == axes
    assert alternating_axes(signal, np.zeros(shape, bool)) == ()


def test_one_echo():
    shape = (24, 24, 16)
    hertz = 60.0 * (np.indices(shape)[0] / 24 - 0.5)
    magnitude, phase = echoes(hertz, 0.3, times=[0.02])
    mask = ball(shape, 10)
    found = fit_frequency(magnitude, phase, [0.02], mask, (1, 1, 1), 1.0)
    off = (found.hertz - hertz)[mask]
    assert np.ptp(off) < 1e-3


@pytest.mark.parametrize('times', [[0.02], TIMES])
def test_parts_that_do_not_touch_have_no_common_turn(times):
    """Their phases differ by turns that nothing tells: the smaller part is not known."""
    shape = (24, 24, 16)
    hertz = 400.0 * (np.indices(shape)[0] / 24 - 0.5)
    magnitude, phase = echoes(hertz, 0.3, times=times)
    mask = np.ones(shape, bool)
    mask[9] = False
    found = fit_frequency(magnitude, phase, times, mask, (1, 1, 1), 1.0)
    off = (found.hertz - hertz)[found.mask]
    assert np.abs(off - np.median(off)).max() < 2
    assert not found.mask[:9].any()
    with pytest.raises(MeasureError, match='nowhere'):
        fit_frequency(magnitude, phase, times, np.zeros(shape, bool), (1, 1, 1), 1.0)


def test_decay_and_noise_floor():
    rates = np.array([10.0, 40.0, 90.0]).reshape(3, 1, 1, 1)
    clean = 100 * np.exp(-rates * np.array(TIMES))
    assert decay_rate(clean, TIMES, 0.0).ravel() == pytest.approx([10, 40, 90], rel=1e-4)
    floor = np.sqrt(clean**2 + 2 * 8.0**2)
    assert decay_rate(floor, TIMES, 8.0).ravel() == pytest.approx([10, 40, 90], rel=0.01)
    assert combined(clean).shape == (3, 1, 1)


# ---- dipoles


def test_main_field_of_oblique_scans():
    angle = np.deg2rad(20)
    turned = np.eye(4)
    turned[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    along = main_field_axes(turned @ np.diag([0.8, 0.8, 2.0, 1.0]))
    assert along == pytest.approx([0, np.sin(angle), np.cos(angle)])


def test_field_of_a_sphere_is_that_of_the_books():
    """Outside, chi/3 a³/r³ (3 cos² - 1); inside none."""
    shape, radius = (48, 48, 48), 6.0
    chi = ball(shape, radius).astype('f4')
    field = forward(chi, Space(shape, (1, 1, 1), (0, 0, 1), margin_mm=60))
    middle = 23.5
    radius = (chi.sum() * 3 / 4 / np.pi) ** (1 / 3)
    for away in (10, 14, 18):
        pole = field[23:25, 23:25, int(middle + away + 0.5)].mean()
        assert pole == pytest.approx(2 / 3 * (radius / (away + 0.5 - 0.5)) ** 3, rel=0.2, abs=4e-3)
        equator = field[int(middle + away + 0.5), 23:25, 23:25].mean()
        assert equator == pytest.approx(-1 / 3 * (radius / away) ** 3, rel=0.2, abs=4e-3)
    assert abs(field[22:26, 22:26, 22:26].mean()) < 0.03


@pytest.fixture(scope='module')
def scene():
    """A ball of tissue with nuclei, in a background field."""
    shape = (64, 64, 48)
    mask = ball(shape, 22)
    chi = np.zeros(shape, 'f4')
    for centre, radius, value in (
        ((26, 32, 24), 4, 0.12),
        ((38, 32, 24), 4, 0.12),
        ((32, 40, 26), 3, 0.06),
        ((32, 24, 22), 3, -0.05),
    ):
        chi[ball(shape, radius, centre)] = value
    space = Space(shape, (1, 1, 1), (0, 0.2, 0.98))
    outside = np.zeros(shape, 'f4')
    outside[ball(shape, 5, (32, 58, 4))] = 9.0
    outside[ball(shape, 4, (6, 20, 40))] = -6.0
    return mask, chi, forward(chi, space), forward(outside, space), space


def nrmse(found, truth, where):
    found, truth = found[where] - found[where].mean(), truth[where] - truth[where].mean()
    return np.linalg.norm(found - truth) / np.linalg.norm(truth)


def test_background_goes_and_the_local_field_stays(scene):
    mask, _, local, background, space = scene
    assert background[mask].std() > 4 * local[mask].std()
    found, kept = resharp(local + background, mask, space)
    assert kept.sum() > 0.6 * mask.sum()
    assert nrmse(found, local, ball(mask.shape, 14)) < 0.18
    other, where = v_sharp(local + background, mask, space)
    core = ball(mask.shape, 15)
    assert nrmse(other, local, core & where) < 0.5


def test_inversion(scene):
    mask, chi, local, _, space = scene
    noisy = local + RNG(4).normal(0, 0.002, local.shape).astype('f4')
    sd = np.where(mask, 0.002, 0).astype('f4')
    given = {'strength': 0.12, 'rounds': 40}
    tv = invert(noisy, sd, mask, space, method='tv', **given)
    tkd = invert(noisy, sd, mask, space, method='tkd', **given)
    # A piecewise constant phantom is what total variation asks for.
    assert nrmse(tv, chi, mask) < 0.25
    assert nrmse(tv, chi, mask) < 0.5 * nrmse(tkd, chi, mask)
    centre = ball(mask.shape, 3, (26, 32, 24))
    assert np.median(tv[centre]) - np.median(tv[mask]) == pytest.approx(0.12, abs=0.012)
    assert tv[mask].mean() == pytest.approx(0, abs=1e-5)
    assert not tv[~mask].any()


# ---- conventions


@pytest.mark.parametrize('convention', [1, -1])
def test_veins_are_dark_in_both_conventions(scene, convention):
    mask, chi, local, _, space = scene
    magnitude = np.where(mask, 100.0, 2.0) * (1 - 4 * np.maximum(chi, 0))
    rough = threshold_division(convention * local, mask, space)
    nuclei = ball(mask.shape, 4, (26, 32, 24)) | ball(mask.shape, 4, (38, 32, 24))
    sign = phase_sign(rough, magnitude, mask, nuclei, np.ones(3))
    assert (sign.sign, sign.known) == (convention, True)
    total = sign.sign * convention * local
    weight = phase_mask(total, mask, np.ones(3), tesla=3.0, time=0.02, highpass_mm=4.0, power=4)
    poles = (np.abs(local) > 0.02) & mask
    assert weight[poles & (local > 0)].mean() < 0.7
    assert weight[poles & (local < -0.02)].mean() > 0.95


def test_no_witness_is_said():
    shape = (30, 30, 30)
    mask = ball(shape, 13)
    nothing = RNG(5).normal(0, 1e-4, shape).astype('f4')
    sign = phase_sign(nothing, np.full(shape, 100.0), mask, np.zeros(shape, bool), np.ones(3))
    assert not sign.known
    assert sign.sign == 1


@pytest.mark.parametrize(('iron', 'known'), [(0.12, True), (0.04, False)])
def test_witnesses_that_contradict_each_other(iron, known):
    """Calcifications are dark, too: a clear pallidum is believed, a faint one is not."""
    shape = (40, 40, 40)
    mask = ball(shape, 18)
    pallidum = ball(shape, 4, (14, 20, 20)) | ball(shape, 4, (26, 20, 20))
    calcium = ball(shape, 3, (20, 28, 24)) | ball(shape, 3, (20, 10, 24))
    chi = np.where(pallidum, iron, np.where(calcium, -0.03, 0.0)).astype('f4')
    magnitude = np.where(calcium, 20.0, 100.0)
    sign = phase_sign(chi, magnitude, mask, pallidum, np.ones(3))
    assert sign.dark_ppm < -0.012
    assert (sign.sign, sign.known) == (1, known)


@pytest.mark.parametrize('shift', [-2, 0, 1])
def test_a_phase_that_is_shifted_against_its_magnitude(shift):
    shape = (28, 28, 24)
    head = ball(shape, 10, voxel=(1, 1, 1.2))
    rng = RNG(6)
    phase = np.where(head, 0.05 * np.indices(shape)[0], rng.uniform(-np.pi, np.pi, shape))
    magnitude = 100.0 * head + rng.uniform(0, 4, shape)
    assert slice_offset(magnitude, np.roll(phase, shift, 2), 2) == shift


@pytest.mark.parametrize('shift', [-2, 0])
def test_blanked_air_does_not_agree(shift):
    """In a phase that was set to 0 outside of the head, air looks coherent."""
    shape = (32, 32, 28)
    x, y, z = np.indices(shape)
    head = ball(shape, 12, voxel=(1, 1, 1.1))
    rng = RNG(6)
    hertz = 40 * np.exp(-((z - 22) ** 2 + (x - 16) ** 2) / 40)
    phase = wrapped(2 * np.pi * 0.02 * hertz + 0.1 * y + rng.normal(0, 0.1, shape))
    phase, known = np.where(head, phase, 0), np.roll(head, shift, 2)
    magnitude = 100.0 * head + rng.rayleigh(3, shape)
    assert slice_offset(magnitude, np.roll(phase, shift, 2), 2, known=known) == shift


def test_space_transforms_back_and_forth():
    space = Space((11, 13, 9), (1, 1, 2), (0, 0, 1))
    data = RNG(7).normal(size=(11, 13, 9)).astype('f4')
    assert np.allclose(space.back(space.forth(data)), data, atol=1e-5)


# ---- from files to values


def ellipsoid(centre, radii):
    grid = np.indices((48, 48, 40))
    return sum(((grid[i] - centre[i]) / radii[i]) ** 2 for i in range(3)) < 1


def value_of_pallidum(
    folder,
    *,
    opposite=False,
    blank=None,
    tesla=3.0,
    scanner=3.0,
    cut=None,
    silent=False,
    more=None,
):
    """Put files of a head with iron in the pallidum through both steps; value, and the unit."""
    rng, grid, affine = RNG(8), np.indices((48, 48, 40)), np.eye(4)
    brain = ellipsoid((24, 24, 20), (21, 21, 17))
    chi, labels = np.zeros(brain.shape, 'f4'), np.zeros(brain.shape, 'u1')
    for label, x in ((9, 17), (10, 31)):
        labels[ellipsoid((x, 24, 20), (4, 4, 4))] = label
    chi[labels > 0] = 0.12
    field = forward(chi, Space(brain.shape, (1, 1, 1), (0, 0, 1)))
    hertz = field * 42.577 * scanner + 2.0 * grid[2] + 1.5 * grid[0]
    folder.mkdir()

    def write(name, data):
        nib.save(
            nib.Nifti1Image(data[:, :, slice(*cut or (None,))], affine), folder / f'{name}.nii.gz'
        )
        return str(folder / f'{name}.nii.gz')

    given = []
    for number, time in enumerate(TIMES):
        signal = 100 * np.exp(-30 * time) * (1 - 3 * chi) * ellipsoid((24, 24, 20), (23, 23, 19))
        signal = signal * np.exp(2j * np.pi * hertz * time)
        signal = signal + rng.normal(size=brain.shape) + 1j * rng.normal(size=brain.shape)
        signal = signal * ((-1.0) ** grid[2] if opposite else 1)
        phase = np.round(np.angle(signal) / np.pi * 2048).astype('i2')
        if blank is not None:
            phase[blank] = 0
        if silent:
            phase[:] = 0
        echo = {'mag': write(f'm{number}', np.abs(signal).astype('f4')), 'time': time}
        given.append(echo | {'phase': write(f'p{number}', phase), 'units': 'arbitrary'})
    shared = {
        'gre_mag': given[0]['mag'],
        'gre_mask': write('mask', brain.astype('u1')),
        'gre_to_anat': str(write_linear(np.eye(4), folder / 'way.txt')),
        'structures_dseg': write('labels', labels),
    }
    scan = {'echoes': given, 'tesla': tesla}
    step = EstimateField(gre_phase=scan, background='resharp', **shared)
    made = step.run(cwd=str(folder)).outputs
    unit = read_values(made.gre_field_values)['gre_phase_unit']
    nothing = write('nothing', np.zeros(brain.shape, 'f4'))
    map_it = MapSusceptibility(
        gre_local=made.gre_local,
        gre_local_sd=made.gre_local_sd,
        gre_r2star=nothing,
        wm_probseg=write('white', (brain & (labels == 0)).astype('f4')),
        ventricles=nothing,
        gre_field_values=made.gre_field_values,
        method='tkd',
        strength=0.12,
        rounds=5,
        **shared,
        **(more(write, labels) if more else {}),
    )
    values = read_values(map_it.run(cwd=str(folder)).outputs.qsm_values)
    return (values, unit) if more else (values['qsm_pallidum_left_ppm'], unit)


def test_what_scanners_do_to_phases_does_not_change_susceptibility(tmp_path):
    plain, unit = value_of_pallidum(tmp_path / 'plain')
    assert plain.value == pytest.approx(0.12, abs=0.02)
    assert (plain.qc, unit.value) == ('', '4096 levels')
    turned, unit = value_of_pallidum(tmp_path / 'turned', opposite=True)
    assert turned.value == pytest.approx(plain.value, abs=0.004)
    assert 'every other slice along z' in unit.value
    small = ~ellipsoid((24, 24, 20), (18, 18, 14))
    masked, _ = value_of_pallidum(tmp_path / 'masked', blank=small, tesla=None)
    assert masked.value == pytest.approx(plain.value, abs=0.015)
    # It would be half as much at twice the field.
    assert (masked.qc, 'are assumed' in masked.reason) == ('warn', True)


@pytest.mark.parametrize('tesla', [1.5, 7.0])
def test_susceptibility_does_not_depend_on_the_field_of_the_scanner(tmp_path, tesla):
    value, _ = value_of_pallidum(tmp_path / 'one', tesla=tesla, scanner=tesla)
    assert value.value == pytest.approx(0.12, abs=0.03)
    assert value.qc == ''


def test_a_slab_is_measured_as_far_as_it_reaches(tmp_path):
    value, _ = value_of_pallidum(tmp_path / 'slab', cut=(7, 34))
    assert value.value == pytest.approx(0.12, abs=0.03)
    value, _ = value_of_pallidum(tmp_path / 'edge', cut=(22, 40))
    # What lies at the edge of a slab has no local field.
    assert value.value is None
    assert re.search(r'\d+ voxels of the left pallidum are covered', value.reason)


def test_a_phase_of_zeros_is_refused(tmp_path):
    with pytest.raises(MeasureError, match='has one value only'):
        value_of_pallidum(tmp_path / 'zero', silent=True)


@pytest.mark.parametrize('on', ['gre', 't1w'])
def test_nuclei_that_the_atlas_lacks_are_measured_where_they_are_given(tmp_path, on):
    def given(write, labels):
        path = write('nuclei', np.where(labels > 0, labels + 20, 0).astype('i2'))
        classes = {'left': [29], 'right': [30]}
        return {'nigra_external': {'mask': path, 'on': on, 'image': path, 'classes': classes}}

    values, _ = value_of_pallidum(tmp_path / on, more=given)
    for side in ('left', 'right'):
        found = values[f'qsm_nigra_{side}_ppm']
        assert found.value == pytest.approx(values[f'qsm_pallidum_{side}_ppm'].value, abs=1e-6)
    missing = values['qsm_dentate_left_ppm']
    assert missing.value is None
    assert 'the atlas has no dentate nucleus' in missing.reason


def test_tables_name_the_nuclei_of_either_side():
    from csvdprep.markers.qsm import ROOM

    by_name = {item.name: item.classes for item in ROOM.externals}
    for external, side, name in (
        ('nigra_external', 'left', 'Left Substantia Nigra'),
        ('nigra_external', 'right', 'SN_R'),
        ('nigra_external', 'left', 'l_sn'),
        ('ruber_external', 'right', 'right red nucleus'),
        ('ruber_external', 'left', 'RN L'),
        ('dentate_external', 'left', 'dentate_left'),
        ('dentate_external', '', 'left dentate gyrus'),
        ('nigra_external', '', 'left snake'),
        ('ruber_external', '', 'left caudate nucleus'),
    ):
        told = [k for k, words in by_name[external].items() if re.search(words, name.lower())]
        assert told == ([side] if side else []), name
