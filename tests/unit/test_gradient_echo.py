"""Echoes and parts of a gradient echo are put together, or it is said why not."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from builders import ZOOMS, head, write_dataset, write_image

from csvdprep.bids.query import collect_visits
from csvdprep.core.errors import MeasureError
from csvdprep.core.settings import Settings
from csvdprep.graph.discover import declared
from csvdprep.imaging.echoes import load_magnitudes, load_phases
from csvdprep.imaging.inspect import inspect_image

ANAT = 'sub-01/anat/sub-01'


def write(root, name, *, time=None, data=None, zooms=ZOOMS, **fields):
    image = head() if data is None else data
    path = write_image(Path(root) / f'{name}.nii.gz', image, zooms=zooms)
    facts = dict(fields)
    if time is not None:
        facts['EchoTime'] = time
    path.with_name(path.name.replace('.nii.gz', '.json')).write_text(json.dumps(facts))


def phase_data(seed=0):
    return np.random.default_rng(seed).integers(-4096, 4096, head().shape).astype('i2')


def only(root, **more):
    settings = Settings(bids_dir=Path(root), output_dir=Path('out'), **more)
    (visit,) = collect_visits(settings, declared(), inspect=inspect_image, warn=lambda _: None)
    return visit


@pytest.fixture
def raw(tmp_path):
    return write_dataset(tmp_path / 'raw', [f'{ANAT}_T1w'])


def multi_echo(root, *, times=(0.005, 0.012, 0.02), phases=True, **more):
    for number, time in enumerate(times, 1):
        write(root, f'{ANAT}_echo-{number}_part-mag_MEGRE', time=time, MagneticFieldStrength=3)
        if phases:
            name = f'{ANAT}_echo-{number}_part-phase_MEGRE'
            write(root, name, time=time, data=phase_data(number), Units='arbitrary', **more)


def test_all_echoes_with_their_phases(raw):
    multi_echo(raw, times=(0.02, 0.005, 0.012))
    scans = only(raw).scans
    content = scans['gre'].content
    # In the order of time, whatever they are called.
    assert [echo['time'] for echo in content['echoes']] == [0.005, 0.012, 0.02]
    assert all('echo-2_part' in e for e in (content['echoes'][0]['mag'],))
    assert content['tesla'] == 3
    others = scans['gre'].others
    assert sum(uri.endswith('.nii.gz') for uri in others) == 5
    assert sum(uri.endswith('.json') for uri in others) == 6
    assert scans['gre_phase'].content == content
    phase, unit, known = load_phases(content['echoes'])
    image, magnitude = load_magnitudes(content['echoes'])
    assert phase.shape == magnitude.shape == (*image.shape, 3)
    assert known.all()
    assert unit.evidence == 'levels from -4096 to 4095'


def test_magnitudes_alone(raw):
    multi_echo(raw, phases=False)
    given = only(raw)
    assert 'gre_phase' not in given.scans
    assert any('no susceptibility is mapped' in note for note in given.notes)


def test_one_phase_is_missing(raw):
    multi_echo(raw)
    (raw / f'{ANAT}_echo-2_part-phase_MEGRE.nii.gz').unlink()
    given = only(raw)
    assert 'gre' in given.scans
    assert 'gre_phase' not in given.scans
    assert any(re.search(r'2 of 3 gradient echoes', note) for note in given.notes)


def test_phase_without_magnitude(raw):
    write(raw, f'{ANAT}_part-phase_T2starw', time=0.02, data=phase_data(), Units='rad')
    given = only(raw)
    assert 'gre' not in given.scans
    ((shown, why),) = given.refused
    assert shown.endswith('part-phase_T2starw.nii.gz')
    assert 'no magnitude' in why
    assert 'part-mag' in why


@pytest.mark.parametrize('parts', [('real', 'imag'), ('mag', 'phase')])
def test_a_single_echo_by_parts(raw, parts):
    for part in parts:
        data = phase_data() if part == 'phase' else head()
        write(raw, f'{ANAT}_part-{part}_T2starw', time=0.02, data=data, MagneticFieldStrength=3)
    scans = only(raw).scans
    (echo,) = scans['gre_phase'].content['echoes']
    assert {*parts} <= echo.keys()
    _, magnitude = load_magnitudes([echo])
    assert magnitude.min() >= 0
    phase, _, _ = load_phases([echo])
    assert np.abs(phase).max() <= np.pi + 0.01


@pytest.mark.parametrize(
    'name',
    ['sub-01/anat/sub-01_acq-swi_T2starw', 'sub-01/swi/sub-01_swi', 'sub-01/anat/sub-01_SWI'],
)
def test_the_swi_of_the_scanner_alone(raw, name):
    write(raw, name, time=0.02)
    given = only(raw)
    content = given.scans['gre'].content
    assert content['weighted'].endswith('.nii.gz')
    assert content['echoes'] == []
    assert 'gre_phase' not in given.scans


@pytest.mark.parametrize(
    ('time', 'taken', 'said'),
    [(20, 0.02, 'milliseconds'), (None, None, 'no EchoTime'), (-1, None, 'EchoTime of -1')],
)
def test_echo_times_that_cannot_be_right(raw, time, taken, said):
    write(raw, f'{ANAT}_part-mag_T2starw', time=time)
    write(raw, f'{ANAT}_part-phase_T2starw', time=time, data=phase_data(), Units='arbitrary')
    given = only(raw)
    assert given.scans['gre'].content['echoes'][0]['time'] == taken
    assert ('gre_phase' in given.scans) == (taken is not None)
    assert any(said in note for note in given.notes)


def test_echoes_on_different_grids(raw):
    multi_echo(raw)
    write(
        raw,
        f'{ANAT}_echo-3_part-mag_MEGRE',
        time=0.02,
        data=head((30, 48, 40)),
        MagneticFieldStrength=3,
    )
    given = only(raw)
    assert len(given.scans['gre'].content['echoes']) == 2
    ((shown, why),) = [item for item in given.refused if 'and is not used' in item[1]]
    assert 'echo-3' in shown
    assert 'Remedy: export all echoes from one reconstruction' in why
    # The others go on, but without the phases of all there is no field.
    assert {'t1w', 'gre'} <= set(given.scans)


def test_echoes_in_the_fourth_dimension(raw):
    data = np.stack([head(seed=n) for n in range(3)], axis=-1)
    write(raw, f'{ANAT}_MEGRE', time=0.005, data=data)
    given = only(raw)
    assert 'gre' not in given.scans
    assert any('3 volumes' in why and 'echo-1' in why for _, why in given.refused)


def test_phase_is_preferred_and_the_choice_told(raw):
    write(raw, f'{ANAT}_acq-fine_T2starw', time=0.02)
    multi_echo(raw)
    given = only(raw)
    assert 'MEGRE' in given.scans['gre'].path
    assert any('is taken before' in n and 'magnitude and phase' in n for n in given.notes)


def test_the_digest_knows_every_part(raw):
    multi_echo(raw)
    before = only(raw).scans['gre'].digest
    write(
        raw, f'{ANAT}_echo-3_part-phase_MEGRE', time=0.02, data=phase_data(77), Units='arbitrary'
    )
    assert only(raw).scans['gre'].digest != before


@pytest.mark.parametrize(('given', 'tesla'), [(3000, 3), (15000, 1.5), ('7', 7), (7, 7)])
def test_field_strength_in_other_units(raw, given, tesla):
    """All values of susceptibility are proportional to 1 over it."""
    write(raw, f'{ANAT}_part-mag_T2starw', time=0.02, MagneticFieldStrength=given)
    visit = only(raw)
    assert visit.scans['gre'].content['tesla'] == pytest.approx(tesla)
    assert any('MagneticFieldStrength' in n for n in visit.notes) == (given != 7)


@pytest.mark.parametrize(('lowest', 'blank'), [(-4096, 0), (0, 0), (-4096, -4096)])
@pytest.mark.parametrize('count', [1, 3])
def test_a_phase_that_was_masked_is_not_known_there(raw, lowest, blank, count):
    area = np.zeros(head().shape, bool)
    area[2:9, 3:9, 2:7] = True
    for number in range(1, count + 1):
        name, data = f'{ANAT}_echo-{number}', phase_data(number)
        write(raw, f'{name}_part-mag_MEGRE', time=0.006 * number, MagneticFieldStrength=3)
        data = np.where(area, blank, data if lowest else data // 2 + 2048).astype('i2')
        write(raw, f'{name}_part-phase_MEGRE', time=0.006 * number, data=data)
    phase, _, known = load_phases(only(raw).scans['gre_phase'].content['echoes'])
    assert np.array_equal(known, ~area)
    assert not phase[area].any()


def test_a_segmentation_of_nuclei_is_found_by_its_table(raw, tmp_path):
    multi_echo(raw)
    name = 'sub-01/anat/sub-01_desc-nuclei_dseg'
    values = (head() > 0).astype('u1')
    for step in (2, 3, 5):
        values[::step] = step
    write_image(tmp_path / 'seg' / f'{name}.nii.gz', values, zooms=ZOOMS)
    (tmp_path / 'seg' / f'{name}.tsv').write_text(
        'index\tname\n1\tleft red nucleus\n2\tSN_L\n3\tSN_R\n5\tright thalamus\n'
    )
    given = only(raw, derivatives={'seg': tmp_path / 'seg'})
    content = given.scans['nigra_external'].content
    assert content['classes'] == {'left': [2], 'right': [3]}
    # One side alone is none.
    assert 'ruber_external' not in given.scans
    assert 'dentate_external' not in given.scans


@pytest.mark.parametrize('value', [0, 7])
def test_one_echo_without_phase_is_refused(raw, value):
    """The others would hide it: their values tell the unit."""
    multi_echo(raw)
    nothing = np.full(head().shape, value, 'i2')
    name = f'{ANAT}_echo-2_part-phase_MEGRE'
    write(raw, name, time=0.012, data=nothing, Units='arbitrary')
    with pytest.raises(MeasureError, match=r'echo-2_part-phase_MEGRE.nii.gz has one value only'):
        load_phases(only(raw).scans['gre_phase'].content['echoes'])


def test_magnitudes_that_are_not_finite_are_nothing(raw):
    data = head().astype('f4')
    data[5, 5, 5], data[6, 6, 6] = np.inf, np.nan
    write(raw, f'{ANAT}_part-mag_T2starw', time=0.02, data=data)
    _, magnitude = load_magnitudes(only(raw).scans['gre'].content['echoes'])
    assert np.isfinite(magnitude).all()
    assert magnitude.max() <= np.nanmax(head())


def test_two_files_of_one_echo_are_told(raw):
    write(raw, f'{ANAT}_T2starw', time=0.02)
    write(raw, f'{ANAT}_part-mag_T2starw', time=0.02)
    given = only(raw)
    (echo,) = given.scans['gre'].content['echoes']
    assert echo['mag'].endswith('_part-mag_T2starw.nii.gz')
    assert any('same part (mag)' in note for note in given.notes)
