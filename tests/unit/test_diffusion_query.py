"""Which runs of a visit are one diffusion series, and what is refused."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest
from storage import stored, stored_dataset

from csvdprep.bids.gradients import read_table, shells
from csvdprep.bids.query import collect_visits
from csvdprep.core.errors import InputError
from csvdprep.core.settings import Settings
from csvdprep.graph.discover import declared
from csvdprep.imaging.inspect import inspect_image
from csvdprep.phantom.diffusion.gradients import spread

SIDE = {'PhaseEncodingDirection': 'j-', 'TotalReadoutTime': 0.05, 'EchoTime': 0.08}


def write_run(
    folder,
    name,
    *,
    bvals=None,
    bvecs=None,
    side=SIDE,
    shape=(20, 20, 12),
    shift=0.0,
    suffix='dwi',
    datatype='dwi',
    volumes=None,
):
    directions = spread(12)
    bvals = np.r_[0, np.full(12, 1000)] if bvals is None else np.asarray(bvals)
    if bvecs is None:
        bvecs = np.vstack([np.zeros((1, 3)), directions])[: len(bvals)].T
    place = folder / 'sub-01' / datatype
    place.mkdir(parents=True, exist_ok=True)
    affine = np.diag([-5.0, 5, 8, 1])
    affine[0, 3] = shift
    data = np.random.default_rng(0).uniform(10, 100, (*shape, volumes or len(bvals)))
    path = place / f'sub-01_{name}{suffix}.nii.gz'
    nib.save(nib.Nifti1Image(data.astype(np.int16), affine), path)
    stem = path.name.removesuffix('.nii.gz')
    if datatype == 'dwi':
        np.savetxt(place / f'{stem}.bval', np.atleast_2d(bvals), fmt='%g')
        np.savetxt(place / f'{stem}.bvec', np.atleast_2d(bvecs), fmt='%.6f')
    if side is not None:
        (place / f'{stem}.json').write_text(json.dumps(side))
    return path


@pytest.fixture
def dataset(tmp_path):
    (tmp_path / 'dataset_description.json').write_text('{"Name": "x", "BIDSVersion": "1.10.0"}')
    (tmp_path / 'sub-01').mkdir()
    return tmp_path


def read(root, **more):
    settings = Settings(bids_dir=root, output_dir=root / 'out', **more)
    return collect_visits(settings, declared(), inspect=inspect_image, warn=lambda text: None)[0]


def said(visit):
    return ' '.join(visit.notes) + ' '.join(f'{a} {b}' for a, b in visit.refused)


def test_polarities_and_runs_are_put_together_but_other_protocols_are_not(dataset):
    write_run(dataset, 'dir-AP_run-1_')
    write_run(dataset, 'dir-AP_run-2_')
    write_run(dataset, 'dir-PA_run-1_', side=SIDE | {'PhaseEncodingDirection': 'j'})
    write_run(dataset, 'acq-other_dir-AP_')
    visit = read(dataset)
    content = visit.scans['dwi'].content
    assert [run['encoding'] for run in content['runs']] == ['j-', 'j-', 'j']
    assert content['field'] == {'kind': 'pepolar', 'partners': []}
    assert content['runs'][0]['extent_mm'] == [100, 100, 96]
    assert 'is used instead of sub-01_acq-other' in said(visit)
    # Two runs make one file: it has the number of neither.
    assert visit.scans['dwi'].entities == {}


@pytest.mark.parametrize(
    ('change', 'why'),
    [
        ({'shift': 3.0}, 'grid'),
        ({'side': SIDE | {'EchoTime': 0.12}}, 'echo time'),
        ({'shape': (20, 20, 14)}, 'shape'),
        ({'side': SIDE | {'PhaseEncodingDirection': 'i'}}, 'axis'),
    ],
)
def test_runs_of_another_grid_or_echo_time_are_not_mixed(dataset, change, why):
    write_run(dataset, 'run-1_')
    write_run(dataset, 'run-2_', **change)
    visit = read(dataset)
    assert len(visit.scans['dwi'].content['runs']) == 1, why
    assert 'is used instead of' in said(visit)


def test_without_metadata_polarities_are_not_mixed_and_the_series_is_used(dataset):
    write_run(dataset, 'dir-AP_', side=None)
    write_run(dataset, 'dir-PA_', side=None)
    visit = read(dataset)
    assert len(visit.scans['dwi'].content['runs']) == 1
    assert visit.scans['dwi'].content['field'] == {'kind': 'none'}
    assert 'PhaseEncodingDirection is not given' in said(visit)


def test_a_shell_for_the_tensor_is_preferred_then_directions(dataset):
    write_run(dataset, 'acq-high_', bvals=np.r_[0, np.full(12, 2500)])
    write_run(dataset, 'acq-low_', bvals=np.r_[0, np.full(8, 1000)])
    visit = read(dataset)
    assert 'acq-low' in visit.scans['dwi'].path
    assert 'it has a shell that suits the tensor' in said(visit)
    asked = read(dataset, bids_filters={'dwi': {'acquisition': 'high'}})
    assert 'acq-high' in asked.scans['dwi'].path
    assert asked.scans['dwi'].digest != visit.scans['dwi'].digest


def test_field_maps_are_found_by_what_their_sidecars_say(dataset):
    write_run(dataset, 'dir-AP_')
    write_run(
        dataset,
        'dir-PA_',
        suffix='epi',
        datatype='fmap',
        bvals=[0],
        side=SIDE
        | {
            'PhaseEncodingDirection': 'j',
            'IntendedFor': 'bids::sub-01/dwi/sub-01_dir-AP_dwi.nii.gz',
        },
    )
    found = read(dataset).scans['dwi'].content['field']
    assert found['kind'] == 'pepolar'
    assert [partner['encoding'] for partner in found['partners']] == ['j']
    write_run(
        dataset,
        'dir-PA_',
        suffix='epi',
        datatype='fmap',
        bvals=[0],
        side=SIDE
        | {'PhaseEncodingDirection': 'j', 'IntendedFor': 'bids::sub-01/func/sub-01_bold.nii.gz'},
    )
    assert read(dataset).scans['dwi'].content['field'] == {'kind': 'none'}
    for name in ('magnitude1', 'phasediff'):
        write_run(
            dataset,
            '',
            suffix=name,
            datatype='fmap',
            bvals=[0],
            side={'EchoTime1': 0.005, 'EchoTime2': 0.0075},
        )
    found = read(dataset).scans['dwi'].content['field']
    assert (found['kind'], found['echo_times']) == ('phasediff', [0.005, 0.0075])
    assert found['magnitude'].endswith('magnitude1.nii.gz')


def _edit(path, ending, text):
    path.with_name(path.name.replace('.nii.gz', ending)).write_text(text)


@pytest.mark.parametrize(
    ('ending', 'text', 'words'),
    [
        ('.bval', '0 1000\n', 'There are 2 b-values, but 13 volumes'),
        ('.bval', '0 nan ' + '1000 ' * 11, 'not a number'),
        ('.bvec', '0 1\n0 0\n0 0\n', 'b-vectors have 3 rows of 2 values'),
        ('.bvec', ('0 ' * 13 + '\n') * 3, 'but no direction'),
        ('.bvec', 'hello', 'cannot be read'),
        ('.bval', '', 'empty'),
    ],
)
def test_broken_tables_are_refused_by_name(dataset, ending, text, words):
    path = write_run(dataset, '')
    _edit(path, ending, text)
    visit = read(dataset)
    assert 'dwi' not in visit.scans
    assert words in said(visit)
    assert ending in said(visit)


def test_missing_tables_few_directions_and_no_b0_are_told(dataset):
    path = write_run(dataset, '')
    path.with_name(path.name.replace('.nii.gz', '.bvec')).unlink()
    assert 'no .bvec file' in said(read(dataset))
    write_run(dataset, '', bvals=[0, 1000], bvecs=[[0, 1], [0, 0], [0, 0]])
    visit = read(dataset)
    assert 'dwi' not in visit.scans
    assert '1 direction, but a tensor needs 6' in said(visit)
    write_run(dataset, '', bvals=np.full(12, 1000), bvecs=spread(12).T)
    visit = read(dataset)
    assert 'dwi' not in visit.scans
    assert 'no volume with b = 0' in said(visit)


def test_a_truncated_series_and_a_thin_one_are_refused(dataset):
    path = write_run(dataset, '')
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert 'truncated' in said(read(dataset))
    write_run(dataset, '', shape=(20, 20, 3))
    assert 'too thin' in said(read(dataset))


def test_tables_are_turned_normalised_and_rounded_to_b0(tmp_path):
    root = tmp_path
    path = write_run(root, '', bvals=[5, *[995] * 12])
    directions = np.vstack([[0.3, 0, 0], 1.5 * spread(12)])
    _edit(path, '.bvec', '\n'.join(' '.join(map(str, row)) for row in directions))
    table = read_table(root, path, 13)
    assert table.bvals[:2] == (0.0, 995.0)
    assert table.bvecs[0] == (0.0, 0.0, 0.0)
    assert np.allclose(table.bvecs[1:], spread(12))
    assert ['transposed' in note or 'normalised' in note for note in table.notes] == [True, True]


def test_tables_are_inherited(tmp_path):
    path = write_run(tmp_path, 'run-1_')
    for ending in ('.bval', '.bvec'):
        own = path.with_name(path.name.replace('.nii.gz', ending))
        own.rename(tmp_path / f'dwi{ending}')
    assert len(read_table(tmp_path, path, 13).bvals) == 13
    with pytest.raises(InputError, match='There are 13 b-values, but 12'):
        read_table(tmp_path, path, 12)


def test_series_of_qsiprep_are_taken_as_corrected(dataset, tmp_path):
    write_run(dataset, '')
    made = tmp_path / 'qsiprep'
    path = write_run(made, 'space-ACPC_desc-preproc_')
    visit = read(dataset, derivatives={'qsiprep': made})
    assert visit.scans['dwi'].path == str(path)
    assert visit.scans['dwi'].content['corrected']
    assert visit.scans['dwi'].uri.startswith('bids:qsiprep:')


@pytest.mark.parametrize('junk', [5, {'a': 1}, [1, None], True, float('nan'), 'k9'])
def test_odd_metadata_are_no_reason_to_stop(dataset, junk):
    names = (
        'PhaseEncodingDirection',
        'PhaseEncodingAxis',
        'TotalReadoutTime',
        'EchoTime',
        'EffectiveEchoSpacing',
        'SliceEncodingDirection',
        'PartialFourier',
        'B0FieldSource',
    )
    write_run(dataset, '', side=dict.fromkeys(names, junk))
    write_run(
        dataset,
        '',
        suffix='epi',
        datatype='fmap',
        bvals=[0],
        side=dict.fromkeys((*names, 'IntendedFor', 'B0FieldIdentifier'), junk),
    )
    run = read(dataset).scans['dwi'].content['runs'][0]
    assert (run['encoding'], run['slices']) == (None, 'k')


def test_shells_of_scanners():
    assert shells([0, 5, 990, 995, 1000, 1005, 1990, 2000, 2010]) == [997.5, 2000]
    assert shells([0, 10]) == []


# What people bring: field maps, tables and sidecars of the field.

PA = SIDE | {'PhaseEncodingDirection': 'j'}


def field_of(visit):
    return visit.scans['dwi'].content['field']


def test_of_a_field_map_with_gradients_only_b0_counts(dataset):
    write_run(dataset, 'dir-AP_')
    path = write_run(dataset, 'dir-PA_', suffix='epi', datatype='fmap', bvals=[0] * 8, side=PA)
    _edit(path, '.bval', '1000 0 1000 1000 5 1000 1000 1000')
    _edit(path, '.bvec', ('1 ' * 8 + '\n') * 3)
    (partner,) = field_of(read(dataset))['partners']
    assert partner['volumes'] == [1, 4]
    _edit(path, '.bval', '1000 ' * 8)
    visit = read(dataset)
    assert field_of(visit) == {'kind': 'none'}
    why = 'dir-PA_epi.nii.gz is not used to estimate the field: it has no volume with b = 0'
    assert why in said(visit)
    _edit(path, '.bval', '0 0')
    visit = read(dataset)
    assert field_of(visit) == {'kind': 'none'}
    assert 'There are 2 b-values, but 8 volumes' in said(visit)


def test_b0field_comes_first_and_extensions_do_not_count(dataset):
    write_run(dataset, 'dir-AP_', side=SIDE | {'B0FieldSource': ['pepolar0']})
    epi = {'suffix': 'epi', 'datatype': 'fmap', 'bvals': [0]}
    mark = {'B0FieldIdentifier': 'pepolar0'}
    stale = {'IntendedFor': 'ses-1/dwi/sub-01_ses-1_dir-AP_dwi.nii.gz'}
    write_run(dataset, 'dir-PA_', **epi, side=PA | mark | stale)
    assert len(field_of(read(dataset))['partners']) == 1
    # The link prevails over one that only a name without its ending would make.
    write_run(
        dataset,
        'dir-PA_',
        **epi,
        side=PA
        | {'B0FieldIdentifier': 'other'}
        | {'IntendedFor': 'bids::sub-01/dwi/sub-01_dir-AP_dwi.nii.gz'},
    )
    visit = read(dataset)
    assert field_of(visit) == {'kind': 'none'}
    assert 'its B0FieldIdentifier (other) is not the B0FieldSource' in said(visit)
    write_run(dataset, 'dir-AP_')
    for target in (
        'bids::sub-01/dwi/sub-01_dir-AP_dwi.nii',
        'dwi/sub-01_dir-AP_dwi.nii.gz',
        'dwi\\sub-01_dir-AP_dwi.nii.gz',
    ):
        write_run(dataset, 'dir-PA_', **epi, side=PA | {'IntendedFor': [target]})
        assert len(field_of(read(dataset))['partners']) == 1, target


def test_a_stale_link_does_not_cost_the_partner_and_is_told(dataset):
    write_run(dataset, 'dir-AP_')
    write_run(
        dataset,
        'dir-PA_',
        suffix='epi',
        datatype='fmap',
        bvals=[0],
        side=PA | {'IntendedFor': 'dwi/sub-01_acq-old_dwi.nii.gz'},
    )
    visit = read(dataset)
    assert len(field_of(visit)['partners']) == 1
    assert 'IntendedFor names a series that the dataset does not have' in said(visit)
    assert 'sub-01_acq-old_dwi' in said(visit)


def test_every_image_of_the_field_that_is_not_used_is_named(dataset):
    write_run(dataset, 'dir-AP_')
    epi = {'suffix': 'epi', 'datatype': 'fmap', 'bvals': [0]}
    write_run(dataset, 'dir-PA_run-1_', **epi, side=PA)
    write_run(dataset, 'dir-PA_run-2_', **epi, side=PA)
    write_run(dataset, 'dir-AP_', **epi, side=SIDE)
    write_run(dataset, 'dir-LR_', **epi, side=SIDE | {'PhaseEncodingDirection': 'i'})
    write_run(dataset, 'acq-dark_', **epi, side={})
    write_run(
        dataset, 'acq-bold_dir-PA_', **epi, side=PA | {'IntendedFor': 'func/sub-01_bold.nii.gz'}
    )
    for name in ('magnitude1', 'phasediff'):
        write_run(
            dataset,
            '',
            suffix=name,
            datatype='fmap',
            bvals=[0],
            side={'EchoTime1': 0.005, 'EchoTime2': 0.0075},
        )
    visit = read(dataset)
    assert [p['path'].rsplit('_', 3)[-2] for p in field_of(visit)['partners']] == ['run-1']
    told = said(visit)
    for name, why in {
        'dir-PA_run-2_epi': 'sub-01_dir-PA_run-1_epi.nii.gz is used instead',
        'dir-AP_epi': 'it has the same polarity',
        'dir-LR_epi': 'its phase encoding is along another axis',
        'acq-dark_epi': 'its direction of phase encoding is unknown',
        'acq-bold_dir-PA_epi': 'its IntendedFor names other images',
    }.items():
        assert f'sub-01_{name}.nii.gz is not used to estimate the field: {why}' in told, name
    assert 'sub-01_magnitude1.nii.gz, sub-01_phasediff.nii.gz are not used' in told


def test_a_magnitude_that_does_not_say_goes_with_its_phase(dataset):
    write_run(dataset, 'dir-AP_')
    write_run(
        dataset,
        '',
        suffix='phasediff',
        datatype='fmap',
        bvals=[0],
        side={
            'EchoTime1': 4.92,
            'EchoTime2': '0.00738',
            'IntendedFor': 'dwi/sub-01_dir-AP_dwi.nii.gz',
        },
    )
    write_run(dataset, '', suffix='magnitude1', datatype='fmap', bvals=[0], side={})
    visit = read(dataset)
    assert field_of(visit)['echo_times'] == pytest.approx([0.00492, 0.00738])
    assert 'EchoTime1 is 4.92, which is not a time in s; it is read as ms' in said(visit)


def test_reversed_images_without_tables_are_partners(dataset):
    write_run(dataset, 'dir-AP_')
    path = write_run(dataset, 'dir-PA_', bvals=[0, 0, 0], side=PA)
    for ending in ('.bval', '.bvec'):
        path.with_name(path.name.replace('.nii.gz', ending)).unlink()
    visit = read(dataset)
    assert [p['path'] for p in field_of(visit)['partners']] == [str(path)]
    assert visit.refused == ()
    assert 'has no .bval and .bvec, so all its volumes are assumed to have b = 0' in said(visit)
    # Of the same polarity it is of no use, and named.
    path.with_name('sub-01_dir-PA_dwi.json').write_text(json.dumps(SIDE))
    visit = read(dataset)
    assert field_of(visit) == {'kind': 'none'}
    assert 'sub-01_dir-PA_dwi.nii.gz is not used to estimate the field: it has the same' in said(
        visit
    )
    # With b-values of zero, no vectors are needed.
    path.with_name('sub-01_dir-PA_dwi.json').write_text(json.dumps(PA))
    _edit(path, '.bval', '0 5 0')
    content = read(dataset).scans['dwi'].content
    assert [run['encoding'] for run in content['runs']] == ['j-', 'j']
    assert content['field'] == {'kind': 'pepolar', 'partners': []}
    assert content['runs'][0]['extent_mm'] == [100, 100, 96]


def test_a_long_series_without_tables_is_no_partner(dataset):
    write_run(dataset, 'dir-AP_')
    path = write_run(dataset, 'dir-PA_', side=PA)
    for ending in ('.bval', '.bvec'):
        path.with_name(path.name.replace('.nii.gz', ending)).unlink()
    visit = read(dataset)
    assert field_of(visit) == {'kind': 'none'}
    assert 'The series has no .bval file' in said(visit)


def test_of_series_of_qsiprep_the_rule_and_the_filter_choose(dataset, tmp_path):
    write_run(dataset, '')
    made = tmp_path / 'qsiprep'
    write_run(made, 'acq-a_space-ACPC_desc-preproc_', bvals=np.r_[0, np.full(8, 1000)])
    write_run(made, 'acq-b_space-ACPC_desc-preproc_')
    visit = read(dataset, derivatives={'qsiprep': made})
    assert 'acq-b' in visit.scans['dwi'].path
    assert 'acq-b_space-ACPC_desc-preproc_dwi.nii.gz is used instead of sub-01_acq-a' in said(
        visit
    )
    assert '12 directions, not 8' in said(visit)
    asked = read(
        dataset, derivatives={'qsiprep': made}, bids_filters={'dwi': {'acquisition': 'a'}}
    )
    assert 'acq-a' in asked.scans['dwi'].path
    assert 'acq-b_space-ACPC_desc-preproc_dwi.nii.gz is not used' in said(asked)
    other = tmp_path / 'other'
    write_run(other, 'space-ACPC_desc-preproc_')
    both = read(dataset, derivatives={'qsiprep': made, 'other': other})
    assert 'other:sub-01/dwi/sub-01_space-ACPC_desc-preproc_dwi.nii.gz is not used' in said(both)


@pytest.mark.parametrize('word', ['nan', 'NaN', 'n/a'])
def test_no_number_is_needed_where_there_is_no_gradient(dataset, word):
    path = write_run(dataset, '')
    rows = path.with_name('sub-01_dwi.bvec').read_text().splitlines()
    _edit(path, '.bvec', '\n'.join(f'{word} {row.split(" ", 1)[1]}' for row in rows))
    run = read(dataset).scans['dwi'].content['runs'][0]
    assert run['bvecs'][0] == [0, 0, 0]
    assert np.allclose(run['bvecs'][1:], spread(12), atol=1e-5)


def test_maps_that_were_appended_are_left_out_by_name(dataset):
    vectors = np.vstack([np.zeros((1, 3)), spread(12), np.zeros((2, 3))])
    write_run(dataset, '', bvals=np.r_[0, np.full(14, 1000)], bvecs=vectors.T)
    visit = read(dataset)
    run = visit.scans['dwi'].content['runs'][0]
    assert run['volumes'] == list(range(13))
    assert len(run['bvals']) == len(run['bvecs']) == 13
    assert 'volume 13 (b = 1000 s/mm²), 14 (b = 1000 s/mm²) has no direction' in said(visit)


@pytest.mark.parametrize(
    ('low', 'threshold', 'plain'),
    [(50, 100, True), (100, 100, True), (101, 100, False), (60, 55, False), (200, 200, True)],
)
def test_the_lowest_b_value_counts_as_none_up_to_the_threshold(dataset, low, threshold, plain):
    bvecs = np.vstack([[1, 0, 0], spread(12)])
    write_run(dataset, '', bvals=np.r_[low, np.full(12, 1000)], bvecs=bvecs.T)
    visit = read(dataset, b0_threshold=threshold)
    assert ('dwi' in visit.scans) == plain
    if plain:
        run = visit.scans['dwi'].content['runs'][0]
        assert (run['bvals'][0], run['bvecs'][0]) == (0, [0, 0, 0])
        assert f'the lowest b-value is {low} s/mm²; 1 volume of up to' in said(visit)
        assert f'about {low / 10:.0f} %' in said(visit)
    else:
        assert 'no volume with b = 0' in said(visit)


def test_a_low_shell_beside_b0_keeps_its_b_value(dataset):
    bvecs = np.vstack([np.zeros((1, 3)), spread(3), spread(12)])
    write_run(dataset, '', bvals=np.r_[0, [80] * 3, np.full(12, 1000)], bvecs=bvecs.T)
    visit = read(dataset)
    assert visit.scans['dwi'].content['runs'][0]['bvals'][:4] == [0, 80, 80, 80]
    assert 'lowest b-value' not in said(visit)


def test_metadata_of_the_wrong_kind_are_read_or_named(dataset):
    write_run(
        dataset,
        '',
        side=SIDE | {'TotalReadoutTime': '0.05', 'EchoTime': [80], 'PartialFourier': '6/8'},
    )
    visit = read(dataset)
    run = visit.scans['dwi'].content['runs'][0]
    assert (run['readout'], run['partial_fourier']) == (0.05, 0.75)
    assert 'TotalReadoutTime is "0.05", which is text; it is read as 0.05 s' in said(visit)
    write_run(dataset, '', side=SIDE | {'PhaseEncodingDirection': 'j?'})
    visit = read(dataset)
    assert visit.scans['dwi'].content['runs'][0]['encoding'] is None
    assert 'PhaseEncodingDirection is "j?", which is not' in said(visit)
    assert 'is not given' not in said(visit)
    for given in ('J-', 'y-', ' j- ', ['j-'], '-j'):
        write_run(dataset, '', side=SIDE | {'PhaseEncodingDirection': given})
        visit = read(dataset)
        assert visit.scans['dwi'].content['runs'][0]['encoding'] == 'j-', given
        assert 'it is read as j-' in said(visit)


VENDORS = {
    'UIH': ({'PhaseEncodingAxis': 'j', 'PhaseEncodingDirectionDisplayed': 'A->P'},) * 2,
    'Philips': ({'PhaseEncodingAxis': 'j'},) * 2,
    'GE': (
        {'PhaseEncodingAxis': 'j', 'PhaseEncodingPolarityGE': 'Unflipped'},
        {'PhaseEncodingAxis': 'j', 'PhaseEncodingPolarityGE': 'Flipped'},
    ),
}


@pytest.mark.parametrize('vendor', VENDORS)
def test_polarity_as_vendors_write_it(dataset, vendor):
    ap, pa = VENDORS[vendor]
    write_run(dataset, 'dir-AP_', side={'TotalReadoutTime': 0.05, **ap})
    write_run(dataset, 'dir-PA_', side={'TotalReadoutTime': 0.05, **pa})
    visit = read(dataset)
    content = visit.scans['dwi'].content
    assert [run['encoding'] for run in content['runs']] == ['j-', 'j']
    assert content['field']['kind'] == 'pepolar'
    assert 'dir-AP' in content['field']['assumed']


def test_a_polarity_that_only_the_scanner_tells(dataset):
    side = {'PhaseEncodingAxis': 'j', 'TotalReadoutTime': 0.05}
    write_run(dataset, 'run-1_', side=side | {'PhaseEncodingDirectionDisplayed': 'A->P'})
    write_run(dataset, 'run-2_', side=side | {'PhaseEncodingDirectionDisplayed': 'P->A'})
    content = read(dataset).scans['dwi'].content
    assert [run['encoding'] for run in content['runs']] == ['j-', 'j']
    assert content['field']['assumed'] == 'PhaseEncodingDirectionDisplayed'
    # What is displayed may be the same for both: the name of the series comes first.
    shown = side | {'PhaseEncodingDirectionDisplayed': 'A->P'}
    for run, name in ((1, 'dti_dir16_AP'), (2, 'dti_dir16_PA')):
        write_run(dataset, f'run-{run}_', side=shown | {'SeriesDescription': name})
    content = read(dataset).scans['dwi'].content
    assert [run['encoding'] for run in content['runs']] == ['j-', 'j']
    assert content['field']['assumed'] == 'SeriesDescription'
    write_run(dataset, 'run-1_', side=side | {'PhaseEncodingDirectionDisplayed': 'A->P'})
    write_run(dataset, 'run-2_', side=side | {'PhaseEncodingDirectionDisplayed': 'R->L'})
    visit = read(dataset)
    assert 'PhaseEncodingDirectionDisplayed gives a different axis from PhaseEncodingAxis' in said(
        visit
    )


@pytest.mark.parametrize(
    ('side', 'seconds'),
    [
        ({'TotalReadoutTime': 50}, 0.05),
        ({'EffectiveEchoSpacing': 0.7e-3}, 0.7e-3 * 19),
        ({'EffectiveEchoSpacing': 0.7}, 0.7e-3 * 19),
        ({'EstimatedTotalReadoutTime': 0.0316}, 0.0316),
        ({'BandwidthPerPixelPhaseEncode': 25}, 19 / (25 * 20)),
        # What the converter itself makes of these numbers, for this scan of a Philips scanner.
        (
            {'WaterFatShift': 13.9626, 'ImagingFrequency': 127.774832, 'EchoTrainLength': 55},
            0.0315659,
        ),
        (
            {'WaterFatShift': '13.9626', 'ImagingFrequency': 127774832, 'EchoTrainLength': 55},
            0.0315659,
        ),
        ({}, None),
        ({'TotalReadoutTime': -1}, None),
    ],
)
def test_readout_times_as_vendors_write_them(dataset, side, seconds):
    write_run(dataset, '', side={'PhaseEncodingDirection': 'j-', **side})
    found = read(dataset).scans['dwi'].content['runs'][0]['readout']
    assert found == (None if seconds is None else pytest.approx(seconds, rel=1e-4))


@pytest.mark.parametrize('order', ['RAS', 'LPS', 'PSR', 'ASL', 'SRP'])
def test_encodings_and_links_do_not_depend_on_the_order_of_storage(dataset, tmp_path, order):
    write_run(dataset, 'dir-AP_', side=SIDE | {'SliceEncodingDirection': 'k'})
    write_run(dataset, 'dir-PA_', suffix='epi', datatype='fmap', bvals=[0], side=PA)
    wanted = read(dataset).scans['dwi'].content
    other = stored_dataset(dataset, tmp_path / 'other', {'dwi': order, 'epi': 'RPI'})
    found = read(other).scans['dwi'].content
    for name in ('encoding', 'axis', 'slices', 'readout'):
        assert found['runs'][0][name] == wanted['runs'][0][name], name
    (partner,), (first,) = found['field']['partners'], wanted['field']['partners']
    assert partner['encoding'] == first['encoding']


def test_runs_stored_in_two_orders_are_one_measurement(dataset):
    write_run(dataset, 'run-1_')
    path = write_run(dataset, 'run-2_')
    stored(path, 'PIL')
    content = read(dataset).scans['dwi'].content
    assert [run['encoding'] for run in content['runs']] == ['j-', 'j-']


def test_of_a_reversed_series_that_is_no_part_only_b0_counts(dataset):
    write_run(dataset, 'dir-AP_')
    # Another echo time: it is not put together with the first.
    path = write_run(
        dataset,
        'dir-PA_',
        side=PA | {'EchoTime': 0.12},
        bvals=np.r_[1000, 0, 1000],
        bvecs=np.vstack([spread(3)[0], [0, 0, 0], spread(3)[1]]).T,
    )
    (partner,) = field_of(read(dataset))['partners']
    assert (partner['path'], partner['volumes']) == (str(path), [1])


def test_a_single_band_reference_of_the_other_polarity_is_a_partner(dataset):
    write_run(dataset, 'dir-AP_')
    for name, side in (('dir-AP_', SIDE), ('dir-PA_', PA)):
        path = write_run(dataset, name, suffix='sbref', bvals=[0], bvecs=[[0]] * 3, side=side)
        for ending in ('.bval', '.bvec'):
            path.with_name(path.name.replace('.nii.gz', ending)).unlink()
    visit = read(dataset)
    assert [p['path'] for p in field_of(visit)['partners']] == [str(path)]
    assert 'dir-AP_sbref' not in said(visit)


def test_b_values_in_another_unit(dataset):
    write_run(dataset, '', bvals=np.r_[0, np.full(12, 1.0)])
    visit = read(dataset)
    assert visit.scans['dwi'].content['runs'][0]['bvals'][1] == 1000
    assert 'the values are assumed to be in ms/µm²' in said(visit)
    # Images without gradient whose scanner writes 1.25 for 0 are that.
    write_run(dataset, 'acq-b0_', bvals=[1.25] * 8, bvecs=np.zeros((3, 8)))
    path = dataset / 'sub-01' / 'dwi' / 'sub-01_acq-b0_dwi.nii.gz'
    assert read_table(dataset, path, 8).bvals == (0,) * 8


@pytest.mark.parametrize('ending', ['.bval', '.bvec', '.json'])
@pytest.mark.parametrize('kind', ['link', 'pointer'])
def test_tables_and_sidecars_that_were_not_fetched(dataset, ending, kind):
    path = write_run(dataset, '')
    (dataset / f'dwi{ending}').write_text('0 ' * 13 if ending != '.json' else '{}')
    own = path.with_name(path.name.replace('.nii.gz', ending))
    own.unlink()
    target = '.git/annex/objects/MD5E-s1--a'
    own.symlink_to(target) if kind == 'link' else own.write_text(f'/annex/objects/{target}\n')
    visit = read(dataset)
    assert f'The content of {own.name} is not here: fetch it' in said(visit)
    assert 'not valid JSON' not in said(visit)
    # An inherited table does not take the place of one that was not fetched.
    assert ('dwi' in visit.scans) == (ending == '.json')


# One table alone does not tell everything.


def test_what_counts_as_b0_is_decided_for_the_measurement(dataset):
    write_run(dataset, 'run-1_')
    write_run(
        dataset,
        'run-2_',
        bvals=np.r_[[60] * 3, [1000] * 9],
        bvecs=np.vstack([spread(12)[:3], spread(12)[:9]]).T,
    )
    visit = read(dataset)
    assert visit.scans['dwi'].content['runs'][1]['bvals'][:4] == [60, 60, 60, 1000]
    assert 'lowest b-value' not in said(visit)
    # Another protocol decides for itself.
    write_run(
        dataset,
        'acq-low_',
        bvals=np.r_[60, [1000] * 12],
        bvecs=np.vstack([[1, 0, 0], spread(12)]).T,
    )
    found = read(dataset, bids_filters={'dwi': {'acquisition': 'low'}})
    assert found.scans['dwi'].content['runs'][0]['bvals'][0] == 0


def test_the_unit_of_b_values_is_that_of_the_visit(dataset):
    write_run(dataset, 'dir-AP_', bvals=np.r_[0, np.full(12, 1.0)])
    write_run(dataset, 'dir-PA_', bvals=[0, 1, 1, 1], side=PA)
    path = write_run(dataset, 'dir-PA_', suffix='epi', datatype='fmap', bvals=[0] * 3, side=PA)
    _edit(path, '.bval', '0 1 1')
    content = read(dataset).scans['dwi'].content
    assert [run['bvals'][1] for run in content['runs']] == [1000, 1000]
    assert content['field']['partners'][0]['volumes'] == [0]


def test_a_threshold_only_extends_what_counts_as_b0(dataset):
    write_run(dataset, '', bvals=np.r_[30, np.full(12, 1000)])
    assert read(dataset, b0_threshold=20).scans['dwi'].content['runs'][0]['bvals'][0] == 0


def fieldmap(dataset, acq, *, te=(0.005, 0.0075), side=None, magnitude=True, **place):
    made = {'datatype': 'fmap', 'bvals': [0]}
    write_run(
        dataset,
        acq,
        suffix='phasediff',
        **made,
        **place,
        side={'EchoTime1': te[0], 'EchoTime2': te[1], **(side or {})},
    )
    if magnitude:
        write_run(dataset, acq, suffix='magnitude1', **made, side={})


def test_phase_and_magnitude_of_one_acquisition_go_together(dataset):
    write_run(dataset, 'dir-AP_', side=SIDE | {'B0FieldSource': 'b'})
    fieldmap(dataset, 'run-1_', side={'B0FieldIdentifier': 'a'})
    fieldmap(dataset, 'run-2_', te=(0.004, 0.009), side={'B0FieldIdentifier': 'b'})
    found = field_of(read(dataset))
    assert 'run-2_phasediff' in found['phase'][0]
    assert 'run-2_magnitude1' in found['magnitude']
    assert found['echo_times'] == [0.004, 0.009]


@pytest.mark.parametrize('place', [{'shift': 40.0}, {'shape': (24, 20, 12)}])
def test_phase_and_magnitude_have_to_lie_on_one_grid(dataset, place):
    write_run(dataset, 'dir-AP_')
    fieldmap(dataset, '', **place)
    visit = read(dataset)
    assert field_of(visit) == {'kind': 'none'}
    assert 'sub-01_magnitude1.nii.gz is on another grid' in said(visit)


def test_identifiers_as_people_write_them(dataset):
    epi = {'suffix': 'epi', 'datatype': 'fmap', 'bvals': [0]}
    for own, other in ((7, 7), ('pep ', 'pep'), (['a', 'pep'], 'pep')):
        write_run(dataset, 'dir-AP_', side=SIDE | {'B0FieldIdentifier': own})
        write_run(
            dataset,
            'dir-PA_',
            **epi,
            side=PA
            | {'B0FieldIdentifier': other, 'IntendedFor': 'bids::sub-01/func/sub-01_bold.nii.gz'},
        )
        assert len(field_of(read(dataset))['partners']) == 1, own


def test_reversed_b0_under_another_name(dataset):
    write_run(dataset, 'dir-AP_')
    path = write_run(dataset, 'acq-b0_dir-PA_', bvals=[0], bvecs=[[0]] * 3, side=PA)
    assert [p['path'] for p in field_of(read(dataset))['partners']] == [str(path)]
    write_run(dataset, 'acq-b0_dir-PA_', bvals=[0], bvecs=[[0]] * 3, side=PA, shape=(20, 24, 12))
    visit = read(dataset)
    assert field_of(visit) == {'kind': 'none'}
    assert (
        'acq-b0_dir-PA_dwi.nii.gz is not used to estimate the field: it has another geom'
        in said(visit)
    )


def test_a_sidecar_that_cannot_be_read_is_not_asked_for(dataset):
    path = write_run(dataset, '')
    path.with_name('sub-01_dwi.json').write_text('{"PhaseEncodingDirection": "j",}')
    told = said(read(dataset))
    assert 'because a sidecar cannot be read' in told
    assert 'is not given' not in told


def test_an_inherited_table_that_does_not_fit_is_not_that_of_a_short_image(dataset):
    path = write_run(dataset, 'dir-AP_')
    for ending in ('.bval', '.bvec'):
        path.with_name(path.name.replace('.nii.gz', ending)).rename(dataset / f'dwi{ending}')
    other = write_run(dataset, 'dir-PA_', bvals=[0], bvecs=[[0]] * 3, side=PA)
    for ending in ('.bval', '.bvec'):
        other.with_name(other.name.replace('.nii.gz', ending)).unlink()
    assert [p['path'] for p in field_of(read(dataset))['partners']] == [str(other)]


def test_names_of_tables_that_are_nearly_right(dataset):
    path = write_run(dataset, '')
    path.with_name('sub-01_dwi.bval').rename(path.with_name('sub-01_dwi.BVALS'))
    assert 'Rename sub-01_dwi.BVALS to sub-01_dwi.bval' in said(read(dataset))


def test_a_corrected_series_without_session_is_named(tmp_path):
    (tmp_path / 'dataset_description.json').write_text('{"Name": "x", "BIDSVersion": "1.10.0"}')
    (tmp_path / 'sub-01' / 'ses-1').mkdir(parents=True)
    write_run(tmp_path / 'q', 'space-ACPC_desc-preproc_')
    visit = read(tmp_path, derivatives={'q': tmp_path / 'q'})
    assert 'does not name a session' in said(visit)


def test_a_trace_map_of_its_own_is_left_out_by_name(dataset):
    write_run(dataset, '')
    write_run(dataset, 'rec-trace_', bvals=[0, 1000], bvecs=np.zeros((3, 2)))
    visit = read(dataset)
    assert visit.refused == ()
    assert 'sub-01_rec-trace_dwi.nii.gz is not used: Volume 1 has b = 1000' in said(visit)


@pytest.mark.parametrize(
    ('old', 'new', 'words'),
    [
        (
            'fmap/sub-01_dir-PA_epi.nii.gz',
            'fmap/sub-01_dir-PA_epi.NII.GZ',
            'sub-01_dir-PA_epi.nii.gz',
        ),
        ('dwi/sub-01_dir-AP_dwi.json', 'dwi/sub-01_dir-AP_dwi.JSON', 'sub-01_dir-AP_dwi.json'),
    ],
)
def test_names_in_capitals(dataset, old, new, words):
    write_run(dataset, 'dir-AP_')
    write_run(dataset, 'dir-PA_', suffix='epi', datatype='fmap', bvals=[0], side=PA)
    (dataset / 'sub-01' / old).rename(dataset / 'sub-01' / new)
    assert f'rename it to {words}' in said(read(dataset))


def test_an_empty_folder_may_be_one_that_was_not_fetched(dataset):
    assert 'sub-01 is empty. If it is a DataLad subdataset' in said(read(dataset))
