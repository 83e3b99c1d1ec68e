"""Masks and maps in other spaces, a T1w without lesions, and where every file came from."""

import json

import nibabel as nib
import numpy as np
import pytest
from builders import write_dataset, write_image
from scipy import ndimage

from csvdprep.bids.behind import with_files
from csvdprep.bids.names import derivative_path
from csvdprep.bids.sidecar import sidecar
from csvdprep.core.plan import Scan, Visit, VisitInput, make_plan
from csvdprep.graph.discover import discover
from csvdprep.graph.visit import _sidecar
from csvdprep.imaging.transforms import write_linear
from csvdprep.preprocessing.lesion_filling.interfaces import FillFinal
from csvdprep.preprocessing.spaces.interfaces import IntoSpace
from csvdprep.resources import checksum, resource

SPACES = ('T1w', 'FLAIR', 'dwi', 'MNI152NLin2009aSym:res-2')
RAW = 'bids:raw:sub-01/'


def visit(*names):
    places = {'t1w': 'anat/sub-01_T1w', 'flair': 'anat/sub-01_FLAIR', 'dwi': 'dwi/sub-01_dwi'}
    scans = {
        n: Scan(name=n, path=f'/raw/{n}', uri=f'{RAW}{places[n]}.nii.gz', digest=n) for n in names
    }
    return VisitInput(visit=Visit('01'), scans=scans)


def planned(*names, spaces=SPACES, **more):
    return make_plan(visit(*names), discover(spaces), **more)


def files(plan):
    """Return where all products of the rooms of spaces go, by name."""
    return {
        name: derivative_path(
            name,
            made,
            visit=plan.visit,
            hub=plan.context.hub,
            scans=plan.scans,
            declared=plan.declared,
        )
        for step in plan.steps
        if step.room.name.startswith('space_')
        for name, made in step.room.makes.items()
    }


def test_names_of_masks_and_maps_elsewhere():
    found = {name.rsplit('/', 1)[-1] for name in files(planned('t1w', 'flair', 'dwi')).values()}
    assert {
        'sub-01_space-T1w_label-WMH_mask.nii.gz',
        'sub-01_space-T1w_desc-wmhzone_dseg.nii.gz',
        'sub-01_space-T1w_desc-preproc_FLAIR.nii.gz',
        'sub-01_space-T1w_model-tensor_param-fa_dwimap.nii.gz',
        'sub-01_space-T1w_model-tensor_param-md_dwimap.nii.gz',
        'sub-01_space-T1w_model-fwdti_param-fw_dwimap.nii.gz',
        'sub-01_space-FLAIR_model-tensor_param-fa_dwimap.nii.gz',
        'sub-01_space-FLAIR_desc-preproc_T1w.nii.gz',
        'sub-01_space-dwi_label-WMH_mask.nii.gz',
        'sub-01_space-MNI152NLin2009aSym_res-02_model-tensor_param-fa_dwimap.nii.gz',
        'sub-01_space-MNI152NLin2009aSym_res-02_label-WMH_probseg.nii.gz',
        'sub-01_space-MNI152NLin2009aSym_res-02_desc-wmhzone_dseg.nii.gz',
    } <= found
    # Nothing is brought to where it lies.
    assert not {name for name in found if 'space-FLAIR_label-WMH' in name}
    assert not {name for name in found if 'space-dwi_model' in name}


@pytest.mark.parametrize('names', [('t1w', 'flair', 'dwi'), ('flair', 'dwi'), ('t1w',), ('dwi',)])
def test_no_two_products_have_one_file(names):
    plan = planned(*names)
    paths = [
        derivative_path(
            name,
            made,
            visit=plan.visit,
            hub=plan.context.hub,
            scans=plan.scans,
            declared=plan.declared,
        )
        for step in plan.steps
        for name, made in step.room.outputs().items()
    ]
    assert len(paths) == len(set(paths))


def test_spaces_follow_the_markers_that_are_chosen():
    rooms = {step.room.name for step in planned('t1w', 'flair', 'dwi', markers=['wmh']).steps}
    assert {'space_T1w_wmh', 'space_T1w_flair'} <= rooms
    assert not rooms & {'space_T1w_tensors', 'space_T1w_zones', 'tensors'}


def test_grids_are_brought_together_both_ways(tmp_path):
    """A turned and shifted head: what goes there and back lies where it lay."""
    rng = np.random.default_rng(1)
    smooth = ndimage.gaussian_filter(rng.normal(size=(24, 26, 22)), 3)
    here = write_image(tmp_path / 'here.nii.gz', smooth.astype('float32'), zooms=(2, 2, 2))
    blank = np.zeros((30, 28, 20), 'float32')
    there = write_image(tmp_path / 'there.nii.gz', blank, zooms=(2, 2, 3))
    angle = np.deg2rad(10)
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    matrix[:3, 3] = (3, -2, 1)
    write_linear(matrix, tmp_path / 'way.txt')

    def carry(image, target, inverse):
        folder = tmp_path / str(inverse)
        folder.mkdir()
        made = IntoSpace(
            takes=['a', 'b', 'way'],
            a=str(image),
            b=str(target),
            way=str(tmp_path / 'way.txt'),
            spec='',
            target='b',
            images=[('a', 'out', 'linear')],
            ways=[('way', inverse)],
        ).run(cwd=str(folder))
        return made.outputs.out

    moved = carry(here, there, False)
    image = nib.load(moved)
    assert np.allclose(image.affine, nib.load(there).affine)
    # A point of the other grid is looked up where the transform takes it.
    point = np.array([15, 14, 10])
    world = matrix @ image.affine @ [*point, 1]
    voxel = np.linalg.inv(nib.load(here).affine) @ world
    known = ndimage.map_coordinates(smooth, voxel[:3, None], order=1)[0]
    assert np.asarray(image.dataobj)[tuple(point)] == pytest.approx(known, rel=1e-3)
    back = np.asarray(nib.load(carry(moved, here, True)).dataobj)
    inner = (slice(8, -8),) * 3
    assert np.corrcoef(back[inner].ravel(), smooth[inner].ravel())[0, 1] > 0.97


def test_lesions_are_filled_and_nothing_else_changes(tmp_path):
    shape = (30, 30, 20)
    white = np.zeros(shape, bool)
    white[5:25, 5:25, 4:16] = True
    lesion = np.zeros(shape, bool)
    lesion[12:16, 12:16, 8:12] = True
    fluid = np.zeros(shape, bool)
    fluid[16:18, 12:16, 8:12] = True
    t1w = np.where(fluid, 200.0, np.where(white, 900.0, 500.0))
    t1w += np.random.default_rng(0).normal(0, 10, shape)
    t1w[lesion] = 700

    def write(name, data):
        return str(
            write_image(tmp_path / f'{name}.nii.gz', data.astype('float32'), zooms=(1, 1, 1))
        )

    write_linear(np.eye(4), tmp_path / 'same.txt')
    given = {
        't1w': 'x',
        'anat_preproc': write('t1w', t1w),
        'brain_mask': write('brain', white),
        'csf_probseg': write('csf', fluid),
        'wm_probseg': write('wm', white & ~fluid),
        # The mask spills into the ventricle by two voxels.
        'wmh_mask': write('wmh', ndimage.binary_dilation(lesion, iterations=1)),
        'flair_to_anat': str(tmp_path / 'same.txt'),
        'share': 0.3,
    }
    made = FillFinal(**given).run(cwd=str(tmp_path))
    filled = np.asarray(nib.load(made.outputs.t1w_filled).dataobj)
    assert filled[lesion].mean() == pytest.approx(900, abs=5)
    assert np.array_equal(filled[fluid], t1w[fluid].astype('float32'))
    changed = filled != t1w.astype('float32')
    assert changed.sum() <= ndimage.binary_dilation(lesion, iterations=1).sum()


def test_sidecars_name_templates_and_weights_by_checksum():
    plan = planned('t1w', 'flair')
    steps = {step.room.name: step for step in plan.steps}
    facts = sidecar('wmh_mask', steps['wmh'].room.makes['wmh_mask'], plan)
    network = 'bids:csvdprep:data/models/wmh/network.onnx'
    assert network in facts['Sources']
    told = facts['SourceChecksums'][network]
    assert told == f'sha256:{checksum(resource("models/wmh/network.onnx"))}'
    assert {f'{RAW}anat/sub-01_T1w.nii.gz', f'{RAW}anat/sub-01_FLAIR.nii.gz'} < {*facts['Sources']}


def test_transforms_say_what_made_them_and_between_what():
    plan = planned('t1w', 'flair', 'dwi')
    steps = {step.room.name: step for step in plan.steps}

    def of(room, name):
        step = steps[room]
        return _sidecar(name, step.room.makes[name], plan=plan, step=step)

    rigid = of('dwi_anatomy', 'dwi_to_anat')
    assert rigid['MovingImage'] == f'{RAW}dwi/sub-01_dwi.nii.gz'
    assert rigid['SpatialReference'] == f'{RAW}anat/sub-01_T1w.nii.gz'
    warp = of('registration', 'anat_to_mni')
    assert warp['SpatialReference'].startswith('bids:csvdprep:data/templates/')
    assert 'SyN' in warp['Method']
    assert '@' not in warp['Method']
    template = of('space_MNI152NLin2009aSymres2_wmh', 'wmh_mask_in_MNI152NLin2009aSymres2')
    assert template['SpatialReference'].endswith('res-02_desc-brain_T1w.nii.gz')
    assert template['Type'] == 'Lesion'


def test_a_corrected_series_keeps_how_it_was_acquired():
    given = visit('t1w', 'dwi')
    told = {
        'EchoTime': 89,  # ms
        'RepetitionTime': 7.1,
        'TotalReadoutTime': '0.05',
        'PhaseEncodingDirection': 'j-',
        'PatientName': 'secret',
        'FlipAngle': None,
    }
    from dataclasses import replace

    given.scans['dwi'] = replace(given.scans['dwi'], metadata=told)
    plan = make_plan(given, discover(SPACES))
    made = {n: m for step in plan.steps for n, m in step.room.makes.items()}
    facts = sidecar('dwi_preproc', made['dwi_preproc'], plan)
    assert facts['EchoTime'] == pytest.approx(0.089)
    assert (facts['RepetitionTime'], facts['TotalReadoutTime']) == (7.1, 0.05)
    assert facts['PhaseEncodingDirection'] == 'j-'
    assert not {'PatientName', 'FlipAngle'} & facts.keys()


def test_every_file_behind_a_series_is_named(tmp_path):
    from csvdprep.bids.query import collect_visits
    from csvdprep.core.settings import Settings
    from csvdprep.graph.discover import declared
    from csvdprep.imaging.inspect import inspect_image

    raw = write_dataset(tmp_path / 'raw', ['sub-01/anat/sub-01_T1w'])
    (raw / 'T1w.json').write_text('{"MagneticFieldStrength": 3}')
    (raw / 'sub-01' / 'anat' / 'sub-01_T1w.json').write_text('{"EchoTime": 0.003}')
    asked = Settings(bids_dir=raw, output_dir=tmp_path / 'out')
    (found,) = collect_visits(asked, declared(), inspect=inspect_image)
    assert found.scans['t1w'].others == (
        'bids:raw:T1w.json',
        'bids:raw:sub-01/anat/sub-01_T1w.json',
    )
    # What a content names belongs to the scan: runs, field maps, given masks; not the grid alone.
    for name in ('dwi/sub-01_dir-AP_dwi', 'dwi/sub-01_dir-PA_dwi', 'fmap/sub-01_dir-PA_epi'):
        path = write_image(raw / 'sub-01' / f'{name}.nii.gz')
        path.with_name(path.name.replace('.nii.gz', '.json')).write_text(json.dumps({}))
    (raw / 'sub-01' / 'dwi' / 'sub-01_dir-AP_dwi.bval').write_text('0')
    place = raw / 'sub-01'
    content = {
        'runs': [
            {'path': str(place / 'dwi' / f'sub-01_dir-{d}_dwi.nii.gz')} for d in ('AP', 'PA')
        ],
        'field': {'kind': 'epi', 'maps': [{'path': str(place / 'fmap/sub-01_dir-PA_epi.nii.gz')}]},
        'image': str(place / 'anat' / 'sub-01_T1w.nii.gz'),
        'note': 'AP',
    }
    first = content['runs'][0]['path']
    scan = Scan(name='dwi', path=first, uri=f'{RAW}dwi/sub-01_dir-AP_dwi.nii.gz', content=content)
    assert [uri.removeprefix(RAW) for uri in with_files(scan, {'raw': raw}).others] == [
        'dwi/sub-01_dir-AP_dwi.bval',
        'dwi/sub-01_dir-AP_dwi.json',
        'dwi/sub-01_dir-PA_dwi.json',
        'dwi/sub-01_dir-PA_dwi.nii.gz',
        'fmap/sub-01_dir-PA_epi.json',
        'fmap/sub-01_dir-PA_epi.nii.gz',
    ]


def test_lesions_to_be_filled_are_taken_once(tmp_path):
    from csvdprep.phantom.into.visits import _own_lesions

    names = (
        'space-FLAIR_label-WMH_mask',
        'space-T1w_label-WMH_mask',
        'space-MNI152NLin2009aSym_res-02_label-WMH_mask',
        'label-lacune_mask',
    )
    (tmp_path / 'anat').mkdir()
    for name in names:
        (tmp_path / 'anat' / f'sub-01_{name}.nii.gz').touch()
    found = _own_lesions(tmp_path, 'sub-01_', 'T1w')
    assert [(space, path.name[7:-7]) for space, path in found] == [
        ('T1w', 'label-lacune_mask'),
        ('FLAIR', 'space-FLAIR_label-WMH_mask'),
    ]
