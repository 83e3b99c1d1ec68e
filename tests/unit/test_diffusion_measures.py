"""Diffusion measures: on which shells and voxels they stand, and what is left out of them."""

from __future__ import annotations

from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest

from csvdprep.core.errors import MeasureError
from csvdprep.core.plan import Scan, Visit, VisitInput, make_plan
from csvdprep.core.room import Measure, Room
from csvdprep.graph.discover import declared
from csvdprep.graph.finish import field_strengths
from csvdprep.graph.tables import collect
from csvdprep.imaging.frame import ImageFrame
from csvdprep.imaging.transforms import write_linear
from csvdprep.interfaces.values import Value, read_values, store_values
from csvdprep.markers.alps import LEAST_VOXELS
from csvdprep.markers.alps.interfaces import as_measured
from csvdprep.markers.nawm.interfaces import WhiteMatterDiffusion
from csvdprep.markers.wmh.excluded import excluded_volume, load_excluded
from csvdprep.markers.wmh.science import segment_wmh
from csvdprep.phantom.diffusion.gradients import shells
from csvdprep.preprocessing.tensors.interfaces import FitTensors
from csvdprep.science.gradient_table import fsl_vectors
from csvdprep.science.shell_choice import choose_shells
from csvdprep.science.tensors import fit_tensor, measures, predict

TABLE = shells([(700, 8), (1000, 12), (2000, 12), (3000, 12)], b0=2)
LEVELS = [700, 1000, 2000, 3000]
TISSUE = np.array([1.1e-3, 0, 0, 4e-4, 0, 3e-4])


def chosen(levels, table=None, **more):
    table = table or shells([(b, n) for b, n in levels], b0=1)
    return choose_shells(table.bvals, table.directions, [b for b, *_ in levels], **more)


@pytest.mark.parametrize(
    ('levels', 'used'),
    [
        ([(700, 12), (1000, 12), (2000, 12), (3000, 12)], (1000,)),
        ([(800, 12), (1300, 30)], (800,)),
        ([(500, 30), (1400, 12)], (1400,)),  # 500 is as near, but out of the range
        ([(700, 12), (1300, 30)], (1300,)),  # equally near
        ([(1000, 3), (1300, 12)], (1300,)),  # three directions are no tensor
        ([(2500, 20)], (2500,)),
        ([(400, 12), (2500, 20)], (400,)),
    ],
)
def test_the_shell_nearest_1000_is_taken(levels, used):
    found = chosen(levels)
    assert found.used == used
    assert set(found.left) == {b for b, _ in levels} - set(used)
    assert found.volumes.sum() == 1 + sum(n for b, n in levels if b in used)


def test_another_b_value_or_all_can_be_asked_for():
    assert chosen([(b, 12) for b in LEVELS], wanted=700).used == (700,)
    assert chosen([(b, 12) for b in LEVELS], every_up_to=2000).used == (700, 1000, 2000)
    assert chosen([(2000, 12), (3000, 12)], every_up_to=1500).used == (2000,)


def test_shells_that_need_each_other_are_taken_together():
    table = shells([(700, 6), (1000, 6)], b0=1)
    half = [0, 1, 2, 3, 10, 11, 12]  # three directions of each
    found = choose_shells(table.bvals[half], table.directions[half], [700, 1000])
    assert found.used == (700, 1000)
    assert not found.left
    with pytest.raises(MeasureError):
        choose_shells(np.zeros(3), np.zeros((3, 3)), [])


@pytest.fixture(scope='module')
def two_compartments():
    """Give the signals of tissue with 30 % free water."""
    tissue = predict(TISSUE, 700.0, TABLE.bvals, TABLE.directions)
    return np.tile(tissue + 300 * np.exp(-3e-3 * TABLE.bvals), (5, 5, 5, 1))


def fitted(signal, folder, table=TABLE, **more):
    affine = np.diag([-2.0, 2, 2, 1])
    paths = {name: folder / name for name in ('dwi.nii', 'mask.nii', 'b.bval', 'b.bvec')}
    nib.Nifti1Image(signal.astype(np.float32), affine).to_filename(paths['dwi.nii'])
    nib.Nifti1Image(np.ones(signal.shape[:3], np.uint8), affine).to_filename(paths['mask.nii'])
    np.savetxt(paths['b.bval'], table.bvals[None])
    np.savetxt(paths['b.bvec'], fsl_vectors(table.directions, affine).T)
    made = (
        FitTensors(
            dwi_preproc=str(paths['dwi.nii']),
            dwi_mask=str(paths['mask.nii']),
            dwi_bval=str(paths['b.bval']),
            dwi_bvec=str(paths['b.bvec']),
            **more,
        )
        .run(cwd=str(folder))
        .outputs
    )
    middle = np.asanyarray(nib.load(made.dwi_md).dataobj)[2, 2, 2]
    water = np.asanyarray(nib.load(made.dwi_fw).dataobj)[2, 2, 2]
    return float(middle), float(water), read_values(made.tensors_values)


def test_mean_diffusivity_of_several_shells_is_that_of_the_one_near_1000(
    two_compartments, tmp_path
):
    md, water, told = fitted(two_compartments, tmp_path)
    one = TABLE.nearest(1000)
    alone = fit_tensor(
        two_compartments[0, 0, 0, one], TABLE.bvals[one], TABLE.directions[one], reweightings=2
    )
    assert md == pytest.approx(float(measures(alone.tensor).md), rel=1e-5)
    assert told['dwi_tensor_b'].value == 1000
    assert told['dwi_tensor_shells'].value == '1000'
    assert told['dwi_tensor_shells'].reason == 'shells not used: 700 2000 3000 s/mm²'
    # The shell is no matter of taste, and free water is fitted to all.
    more, _, said = fitted(two_compartments, tmp_path, shells='all')
    assert said['dwi_tensor_shells'].value == '700 1000'
    assert more > 1.01 * md
    assert told['fw_method'].value == 'two-compartment'
    assert water == pytest.approx(0.3, abs=1e-3)


def test_free_water_of_one_shell_is_called_what_it_is(two_compartments, tmp_path):
    some = TABLE.nearest(1000)
    table = SimpleNamespace(bvals=TABLE.bvals[some], directions=TABLE.directions[some])
    _, _, told = fitted(two_compartments[..., some], tmp_path, table)
    assert told['fw_method'].value == 'single-shell-assumed-md'
    found = mean_values(tmp_path, water='single-shell-assumed-md')
    assert found['fw_wm'].method == 'single-shell-assumed-md'
    assert 'assumed' in found['fw_wm'].reason
    assert not found['md_wm'].reason
    other = mean_values(tmp_path, water='two-compartment')
    assert other['fw_wm'].method == 'two-compartment'
    assert not other['fw_wm'].reason
    assert mean_values(tmp_path, water='none')['fw_wm'].value is None


def mean_values(folder, *, water='two-compartment', lesion_to=8, fluid=True):
    """Measure a block of white matter; a ventricle lies left of x = 4, the lesion right of it."""
    shape, affine = (20, 12, 12), np.diag([2.0, 2, 2, 1])
    x = np.arange(20)[:, None, None] + np.zeros(shape)
    csf = ((x < 4) & fluid).astype(np.float32)
    # The first layer beside the ventricle is a quarter fluid, as in thick voxels.
    csf[4] = 0.25 * fluid
    maps = {
        'wm_probseg': 1 - csf,
        'csf_probseg': csf,
        'structures_dseg': np.zeros(shape),
        'dwi_mask': np.ones(shape),
        'wmh_mask': (x >= 4) & (x < lesion_to),
        'dwi_fw': 0.2 + 0 * csf,
    }
    tissue = np.where((x >= 4) & (x < lesion_to), 1.2e-3, 0.8e-3)
    maps |= {f'dwi_{name}': csf * 3e-3 + (1 - csf) * tissue for name in ('md', 'ad', 'rd', 'fa')}
    takes = {}
    for name, values in maps.items():
        takes[name] = str(folder / f'{name}.nii')
        nib.Nifti1Image(np.asarray(values, np.float32), affine).to_filename(takes[name])
    still = write_linear(np.eye(4), folder / 'still.txt')
    takes['tensors_values'] = store_values(folder / 'how.json', {'fw_method': water})
    return read_values(
        WhiteMatterDiffusion(dwi_to_anat=still, flair_to_anat=still, **takes)
        .run(cwd=str(folder))
        .outputs.nawm_values
    )


def test_fluid_is_left_out_of_hyperintensities_as_of_normal_white_matter(tmp_path):
    found = mean_values(tmp_path)
    assert found['md_wmh'].value == pytest.approx(1.2, abs=1e-4)
    assert found['md_nawm'].value == pytest.approx(0.8, abs=1e-4)
    assert found['wmh_fluid_pct'].value == pytest.approx(25)
    assert mean_values(tmp_path, fluid=False)['wmh_fluid_pct'].value == 0


def test_a_rim_of_the_ventricle_alone_has_no_mean(tmp_path):
    found = mean_values(tmp_path, lesion_to=5)
    assert found['md_wmh'].value is None
    assert found['fa_wmh'].value is None
    assert found['md_wmh'].reason == (
        'the region has fewer than 20 voxels: of 144 voxels 0 are without fluid and deep '
        'grey matter'
    )
    assert found['wmh_fluid_pct'].value == 100
    none = mean_values(tmp_path, lesion_to=4)
    assert none['wmh_fluid_pct'].value is None
    assert none['wmh_fluid_pct'].reason


def test_values_of_another_field_strength_say_so():
    def measure(name, **more):
        return Measure(name=name, units='1', method='m', description='It.', **more)

    room = Room(
        name='a',
        title='',
        needs=('dwi',),
        makes={},
        build='',
        pooled_t=(1.5, 3.0),
        inputs=declared().inputs,
        measures=(measure('x'), measure('y', table=False), measure('qc_z')),
    )

    def rows(tesla, values):
        scan = Scan(name='dwi', path='', uri='', metadata={'MagneticFieldStrength': tesla})
        plan = make_plan(VisitInput(visit=Visit('01'), scans={'dwi': scan}), [room])
        return collect([room], values, {}, field_strengths(plan))

    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        path = store_values(f'{folder}/v.json', {'x': 1.0, 'y': 2.0, 'qc_z': Value(3.0)})
        far = rows(7, {'a': path})
        assert [row['qc'] for row in far] == ['warn', 'ok', 'ok']
        assert [bool(row['reason']) for row in far] == [True, True, False]
        assert (
            'acquired at 7 T: do not pool the value with those from 1.5 to 3 T' in far[0]['reason']
        )
        for tesla in (2.89, 1.5, None, 'n/a'):
            assert [row['qc'] for row in rows(tesla, {'a': path})] == ['ok'] * 3


def test_fewer_voxels_than_stated_are_a_warning():
    from csvdprep.markers.alps import ROOM

    limits = next(m.limits for m in ROOM.measures if m.name == 'qc_alps_voxels_r2p5_left')
    assert limits.judge(LEAST_VOXELS) == 'ok'
    assert limits.judge(LEAST_VOXELS - 0.1) == 'warn'


def test_masks_of_other_lesions_are_brought_to_the_flair(tmp_path):
    grids = {
        'flair': ((20, 20, 10), np.diag([1.0, 1, 2, 1])),
        't1w': ((20, 20, 20), np.diag([1.0, 1, 1, 1])),
    }
    given = {}
    for on, (shape, affine) in grids.items():
        mask = np.zeros(shape, np.uint8)
        mask[{'flair': slice(2, 6), 't1w': slice(12, 16)}[on], 4:8, 4:8] = 2
        given[on] = {'mask': str(tmp_path / f'{on}.nii'), 'on': on}
        nib.Nifti1Image(mask, affine).to_filename(given[on]['mask'])
    space = ImageFrame(
        nib.Nifti1Image(np.zeros(grids['flair'][0], np.float32), grids['flair'][1]),
        {'anat': np.eye(4)},
    )
    both = load_excluded(space, given['flair'], None, given['t1w'])
    # 4 x 4 x 4 voxels of 2 mm3, and of 1 mm3, which two thick slices hold.
    assert both[2:6].sum() == 64
    assert both[12:16].any()
    assert not both[6:12].any()
    assert load_excluded(space, {**given['flair'], 'labels': [1]}).sum() == 0
    assert load_excluded(space, None, None) is None
    assert excluded_volume(load_excluded(space, given['flair']), space.voxel_mm).value == 0.128


def test_recent_infarcts_are_brought_to_the_flair_with_a_margin(tmp_path):
    affine = np.diag([1.0, 1, 2, 1])
    space = ImageFrame(
        nib.Nifti1Image(np.zeros((20, 20, 10), np.float32), affine), {'anat': np.eye(4)}
    )
    grid = np.diag([2.0, 2, 2, 1])
    mask = np.zeros((12, 12, 12), np.uint8)
    mask[5, 5, 5] = 1
    nib.Nifti1Image(mask, grid).to_filename(tmp_path / 'infarct.nii')
    shift = np.eye(4)
    shift[0, 3] = 4.0  # the trace image lies 4 mm beside the reference
    way = write_linear(shift, tmp_path / 'way.txt')
    found = load_excluded(space, recent=(str(tmp_path / 'infarct.nii'), str(way)))
    centre = np.argwhere(found).mean(axis=0)
    np.testing.assert_allclose(centre, [6, 10, 5], atol=0.6)
    assert found[3, 10, 5]
    assert not found[1, 10, 5]
    nib.Nifti1Image(0 * mask, grid).to_filename(tmp_path / 'none.nii')
    assert load_excluded(space, recent=(str(tmp_path / 'none.nii'), str(way))) is None
    # What is given on the trace image comes with the infarcts that were found there.
    given = {'mask': str(tmp_path / 'infarct.nii'), 'on': 'trace'}
    assert load_excluded(space, given) is None


def test_no_hyperintensity_is_counted_in_an_infarct():

    rng = np.random.default_rng(0)
    white = np.zeros((40, 40, 40))
    white[5:35, 5:35, 5:35] = 1
    flair = 100 * white + rng.normal(0, 4, white.shape)
    for at in (10, 24):
        flair[at : at + 5, 18:23, 18:23] += 40
    other = np.zeros(white.shape, bool)
    other[9:16, 17:24, 17:24] = True
    takes = flair, white > 0, 0 * white, 0 * white, white, (1, 1, 1)
    without, plain = segment_wmh(*takes, exclude=other), segment_wmh(*takes)
    assert not without.mask[other].any()
    assert without.volume_ml == pytest.approx(plain.volume_ml / 2, rel=0.1)


def test_voxels_are_counted_as_they_were_measured():
    stored = {
        'qc_alps_voxels_r2p5_left': Value(6.0),
        'alps_reo_r2p5': Value(1.4),
        'qc_alps_voxels_r2p5_right': Value(None, reason='x'),
    }
    # 112 lines for 110 are a matter of rounding.
    assert as_measured(stored, 112 / 110) == stored
    found = as_measured(stored, 2.0)
    assert found['qc_alps_voxels_r2p5_left'].value == 1.5
    assert found['qc_alps_voxels_r2p5_right'].reason == 'x'
    assert found['alps_reo_r2p5'] == Value(1.4)
