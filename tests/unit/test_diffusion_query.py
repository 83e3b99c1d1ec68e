"""Which runs of a visit are one diffusion series, and what is refused."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest

from csvdprep.bids.gradients import read_table, shells
from csvdprep.bids.query import collect_visits
from csvdprep.core.errors import InputError
from csvdprep.core.settings import Settings
from csvdprep.interfaces.inspect import inspect_image
from csvdprep.phantom.diffusion.gradients import spread

SIDE = {'PhaseEncodingDirection': 'j-', 'TotalReadoutTime': 0.05, 'EchoTime': 0.08}


def write_run(folder, name, *, bvals=None, bvecs=None, side=SIDE, shape=(20, 20, 12), shift=0.0,
              suffix='dwi', datatype='dwi', volumes=None):  # fmt: skip
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
    return collect_visits(settings, inspect=inspect_image, warn=lambda text: None)[0]


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
    assert 'is taken before sub-01_acq-other' in said(visit)
    # Two runs make one file: it has the number of neither.
    assert visit.scans['dwi'].entities == {}


@pytest.mark.parametrize(('change', 'why'), [
    ({'shift': 3.0}, 'grid'), ({'side': SIDE | {'EchoTime': 0.12}}, 'echo time'),
    ({'shape': (20, 20, 14)}, 'shape'),
    ({'side': SIDE | {'PhaseEncodingDirection': 'i'}}, 'axis'),
])  # fmt: skip
def test_runs_of_another_grid_or_echo_time_are_not_mixed(dataset, change, why):
    write_run(dataset, 'run-1_')
    write_run(dataset, 'run-2_', **change)
    visit = read(dataset)
    assert len(visit.scans['dwi'].content['runs']) == 1, why
    assert 'is taken before' in said(visit)


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
    assert 'it has a shell for the tensor' in said(visit)
    asked = read(dataset, bids_filters={'dwi': {'acquisition': 'high'}})
    assert 'acq-high' in asked.scans['dwi'].path
    assert asked.scans['dwi'].digest != visit.scans['dwi'].digest


def test_field_maps_are_found_by_what_their_sidecars_say(dataset):
    write_run(dataset, 'dir-AP_')
    write_run(dataset, 'dir-PA_', suffix='epi', datatype='fmap', bvals=[0], side=SIDE | {
        'PhaseEncodingDirection': 'j', 'IntendedFor': 'bids::sub-01/dwi/sub-01_dir-AP_dwi.nii.gz'})
    found = read(dataset).scans['dwi'].content['field']
    assert found['kind'] == 'pepolar'
    assert [partner['encoding'] for partner in found['partners']] == ['j']
    write_run(dataset, 'dir-PA_', suffix='epi', datatype='fmap', bvals=[0], side=SIDE | {
        'PhaseEncodingDirection': 'j', 'IntendedFor': 'bids::sub-01/func/sub-01_bold.nii.gz'})
    assert read(dataset).scans['dwi'].content['field'] == {'kind': 'none'}
    for name in ('magnitude1', 'phasediff'):
        write_run(dataset, '', suffix=name, datatype='fmap', bvals=[0],
                  side={'EchoTime1': 0.005, 'EchoTime2': 0.0075})  # fmt: skip
    found = read(dataset).scans['dwi'].content['field']
    assert (found['kind'], found['echo_times']) == ('phasediff', [0.005, 0.0075])
    assert found['magnitude'].endswith('magnitude1.nii.gz')


def _edit(path, ending, text):
    path.with_name(path.name.replace('.nii.gz', ending)).write_text(text)


@pytest.mark.parametrize(('ending', 'text', 'words'), [
    ('.bval', '0 1000\n', 'There are 2 b-values for 13 volumes'),
    ('.bval', '0 nan ' + '1000 ' * 11, 'no number'),
    ('.bvec', '0 1\n0 0\n0 0\n', 'b-vectors in 3 rows of 2 values'),
    ('.bvec', ('0 ' * 13 + '\n') * 3, 'but no direction'),
    ('.bvec', 'hello', 'cannot be read'),
    ('.bval', '', 'empty'),
])  # fmt: skip
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
    assert '1 direction, of which a tensor needs 6' in said(visit)
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
    assert ['turned' in note or 'normalised' in note for note in table.notes] == [True, True]


def test_tables_are_inherited(tmp_path):
    path = write_run(tmp_path, 'run-1_')
    for ending in ('.bval', '.bvec'):
        own = path.with_name(path.name.replace('.nii.gz', ending))
        own.rename(tmp_path / f'dwi{ending}')
    assert len(read_table(tmp_path, path, 13).bvals) == 13
    with pytest.raises(InputError, match='There are 13 b-values for 12'):
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
    names = ('PhaseEncodingDirection', 'PhaseEncodingAxis', 'TotalReadoutTime', 'EchoTime',
             'EffectiveEchoSpacing', 'SliceEncodingDirection', 'PartialFourier',
             'B0FieldSource')  # fmt: skip
    write_run(dataset, '', side=dict.fromkeys(names, junk))
    write_run(dataset, '', suffix='epi', datatype='fmap', bvals=[0], side=dict.fromkeys(
        (*names, 'IntendedFor', 'B0FieldIdentifier'), junk))
    run = read(dataset).scans['dwi'].content['runs'][0]
    assert (run['encoding'], run['slices']) == (None, 'k')


def test_shells_of_scanners():
    assert shells([0, 5, 990, 995, 1000, 1005, 1990, 2000, 2010]) == [997.5, 2000]
    assert shells([0, 10]) == []
