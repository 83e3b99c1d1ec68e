"""Names obey the schema, follow the grid of the product, and cannot leave the output folder."""

from __future__ import annotations

import itertools

import pytest

from csvdprep.bids.names import ENTITIES, compose, derivative_path, parse
from csvdprep.core.errors import InputError
from csvdprep.core.plan import Scan, Visit
from csvdprep.core.room import Derivative
from csvdprep.graph.discover import declared

VISIT = Visit('01', '1')
SCANS = {
    'anat': Scan(name='anat', path='', uri='', entities={'acq': 'mprage', 'run': '2'}),
    'flair': Scan(name='flair', path='', uri='', entities={'ce': 'gd', 'rec': 'norm'}),
}


def declare(suffix='mask', **kwargs):
    return Derivative(suffix=suffix, description='', **kwargs)


def path_of(name, derivative, hub='T1w', scans=SCANS, visit=VISIT):
    return derivative_path(
        name, derivative, visit=visit, hub=hub, scans=scans, declared=declared()
    )


def test_order_is_that_of_the_schema():
    schema = pytest.importorskip('bidsschematools.schema').load_schema()
    official = [schema.objects.entities[key].name for key in schema.rules.entities]
    proposed = {'from', 'to', 'mode', 'model', 'param'}
    assert [key for key in ENTITIES if key not in proposed] == official


@pytest.mark.parametrize(
    'name',
    [
        'sub-01_ses-1_acq-3D_ce-gd_rec-a_run-01_echo-1_part-mag_T1w.nii.gz',
        'sub-01_from-T1w_to-MNI152NLin2009aSym_mode-image_xfm.h5',
        'sub-01_space-FLAIR_label-WMH_desc-auto_mask.nii.gz',
        'sub-01_ses-1_desc-csvd_measures.tsv',
    ],
)
def test_round_trip(name):
    parts = parse(f'any/folder/{name}')
    assert compose(parts.entities, parts.suffix, parts.extension) == name


@pytest.mark.parametrize(
    'name',
    [
        'T1w.nii.gz',
        'sub-01',
        'sub-01_T1w',
        'sub-_T1w.nii.gz',
        'sub-01_sub-02_T1w.nii.gz',
        'sub-01_acq_T1w.nii.gz',
        'sub-01_acq-a-b_T1w.nii.gz',
        'sub-é_T1w.nii.gz',
        '',
    ],
)
def test_what_is_no_name(name):
    with pytest.raises(InputError, match='not a BIDS file name'):
        parse(name)


@pytest.mark.parametrize('value', ['../x', 'a/b', 'a_b', 'a-b', 'a b', 'a\n', 'é', '.', 'a\x00'])
def test_hostile_labels(value):
    with pytest.raises(InputError, match='cannot be part of a BIDS file name'):
        compose({'sub': '01', 'desc': value}, 'mask', '.nii.gz')
    with pytest.raises(InputError):
        compose({'sub': '01'}, value, '.nii.gz')
    with pytest.raises(InputError):
        compose({'sub': '01'}, 'mask', f'.{value}')
    for visit in (Visit(value), Visit('01', value)):
        with pytest.raises(InputError):
            path_of('brain_mask', declare(desc='brain'), visit=visit)
    with pytest.raises(InputError):
        path_of('brain_mask', declare(desc='brain', datatype=value))
    with pytest.raises(InputError):
        path_of('brain_mask', declare(desc='brain', space=value))


def test_unknown_entity_and_index():
    with pytest.raises(InputError, match='no entity "dsec"'):
        compose({'sub': '01', 'dsec': 'a'}, 'mask', '.nii.gz')
    with pytest.raises(InputError, match='a number'):
        compose({'sub': '01', 'run': 'a'}, 'bold', '.nii.gz')


@pytest.mark.parametrize(
    ('name', 'derivative', 'with_t1w', 'flair_only'),
    [
        ('brain_mask', declare(desc='brain'), 'desc-brain_mask', 'space-FLAIR_desc-brain_mask'),
        (
            'anat_preproc',
            declare('{hub}', desc='preproc'),
            'desc-preproc_T1w',
            'desc-preproc_FLAIR',
        ),
        (
            'flair_preproc',
            declare('FLAIR', desc='preproc', frame='flair'),
            'desc-preproc_FLAIR',
            'desc-preproc_FLAIR',
        ),
        (
            'wmh_mask',
            declare(label='WMH', frame='flair'),
            'space-FLAIR_label-WMH_mask',
            'space-FLAIR_label-WMH_mask',
        ),
        (
            'wmh_lesions',
            declare('lesions', label='WMH', extension='.tsv'),
            'label-WMH_lesions',
            'label-WMH_lesions',
        ),
        (
            'flair_preproc',
            declare('FLAIR', desc='preproc', space='T1w'),
            'space-T1w_desc-preproc_FLAIR',
            'space-T1w_desc-preproc_FLAIR',
        ),
        (
            'brain_mask',
            declare(desc='brain', space='{hub}'),
            'space-T1w_desc-brain_mask',
            'space-FLAIR_desc-brain_mask',
        ),
        ('brain_mask', declare(desc='brain', space=''), 'desc-brain_mask', 'desc-brain_mask'),
        (
            'lobes_dseg',
            declare('dseg', atlas='lobes'),
            'atlas-lobes_dseg',
            'space-FLAIR_atlas-lobes_dseg',
        ),
        (
            'anat_to_mni',
            declare('xfm', xfm=('{hub}', 'MNI152NLin2009aSym'), extension='.h5'),
            'from-T1w_to-MNI152NLin2009aSym_mode-image_xfm',
            'from-FLAIR_to-MNI152NLin2009aSym_mode-image_xfm',
        ),
    ],
)
def test_space_follows_the_grid(name, derivative, with_t1w, flair_only):
    for hub, expected in (('T1w', with_t1w), ('FLAIR', flair_only)):
        stem = f'sub-01/ses-1/anat/sub-01_ses-1_{expected}'
        assert path_of(name, derivative, hub, scans={}) == stem + derivative.extension


def test_entities_of_the_source():
    assert path_of('brain_mask', declare(desc='brain')) == (
        'sub-01/ses-1/anat/sub-01_ses-1_acq-mprage_run-2_desc-brain_mask.nii.gz'
    )
    assert path_of('wmh_mask', declare(label='WMH', frame='flair')) == (
        'sub-01/ses-1/anat/sub-01_ses-1_ce-gd_rec-norm_space-FLAIR_label-WMH_mask.nii.gz'
    )


def test_checkpoints():
    hidden = declare('mask', saved=False)
    assert path_of('lesion_guess', hidden) == (
        'sub-01/ses-1/log/checkpoints/sub-01_ses-1_desc-lesionguess_mask.nii.gz'
    )
    named = declare('values', desc='anatomy', saved=False, extension='.json')
    assert path_of('anatomy_values', named, visit=Visit('01')) == (
        'sub-01/log/checkpoints/sub-01_desc-anatomy_values.json'
    )


def test_files_of_the_visit_itself():
    table = declare('measures', desc='csvd', datatype='', extension='.tsv')
    assert path_of('anatomy_values', table, scans={}) == (
        'sub-01/ses-1/sub-01_ses-1_desc-csvd_measures.tsv'
    )


def test_no_raw_name():
    with pytest.raises(ValueError, match='name of a raw T1w'):
        path_of('anat_preproc', declare('{hub}'))


def test_distinct_products_get_distinct_names():
    products = [
        ('brain_mask', declare(desc='brain')),
        ('wmh_mask', declare(label='WMH', frame='flair')),
        ('flair_mask', declare(desc='brain', frame='flair')),
    ]
    paths = [path_of(name, derivative) for name, derivative in products]
    for one, other in itertools.combinations(paths, 2):
        assert one != other
