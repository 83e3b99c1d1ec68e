"""Diffusion in tissue that became hyperintense: classes, means, and what is not there."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from builders import write_image
from scipy import ndimage as ndi
from two_visits import MM, SHAPE, affine, head, moved, points, run_rooms, write_visits

from csvdprep.bids.tsv import read_tsv, write_tsv
from csvdprep.core.room import NoPlace
from csvdprep.imaging.transforms import write_linear
from csvdprep.longitudinal.diffusion_change import CLASSES, ROOM
from csvdprep.longitudinal.diffusion_change.decide import resolve
from csvdprep.longitudinal.diffusion_change.figures import draw_course
from csvdprep.longitudinal.diffusion_change.interfaces import DiffusionChange, _InputSpec
from csvdprep.longitudinal.diffusion_change.science import tissue_classes

#: Mean diffusivity (1e-3 mm2/s) of white matter, of tissue that is to become lesion, of lesions.
NORMAL, FUTURE, LESION = 0.75, 0.85, 1.1
LESION_MM = ((20, 10, 5), (-22, -12, 2))


def md(matrix, first, last, now, seed):
    """Return a map in which tissue that is to become lesion is already affected."""
    back = np.linalg.inv(matrix)
    at = points() @ back[:3, :3].T + back[:3, 3]

    def lesion(radii):
        out = np.zeros(SHAPE, bool)
        for middle, radius in zip(LESION_MM, radii, strict=True):
            out |= np.linalg.norm(at - middle, axis=-1) < radius
        return out

    brain = ((at / [52, 64, 46]) ** 2).sum(axis=-1) < 1
    out = np.where(lesion(last), FUTURE, NORMAL)
    out = np.where(lesion(now), LESION, out)
    out = ndi.gaussian_filter(out, 0.3) + 0.01 * np.random.default_rng(seed).normal(size=SHAPE)
    return (np.where(brain, out, 0) / 1000).astype(np.float32), brain


@pytest.fixture(scope='module')
def visits(tmp_path_factory):
    """Write two visits: lesions of 9 mm and none, then of 18 and 15 mm; run the rooms before."""
    folder = tmp_path_factory.mktemp('visits')
    matrices = [np.eye(4), moved((3, -2, 2), (2, -3, 1))]
    first, last = (9.0, 0.0), (18.0, 15.0)
    heads = [head(None, *first, seed=1), head(matrices[1], *last, seed=2)]
    files = write_visits(folder / 'in', heads, matrices[1])
    patch = pytest.MonkeyPatch()
    _, _, _, register = run_rooms(files, folder / 'rooms', [('ses-1', 0.0), ('ses-2', 2.0)], patch)
    patch.undo()
    beside = moved((0, 0, 4), (2, 1, 0))
    for number, (matrix, now) in enumerate(zip(matrices, (first, last), strict=True), 1):
        own, name = folder / 'in' / f'ses-{number}', f'ses-{number}'
        value, brain = md(beside @ matrix, first, last, now, number)
        sets = {
            'dwi_md': value,
            'dwi_fa': (0.9 - 0.5 * value * 1000).astype('float32'),
            'dwi_fw': np.full(SHAPE, 0.1, 'float32'),
            'dwi_mask': brain.astype('uint8'),
            'structures_dseg': np.zeros(SHAPE, 'uint8'),
        }
        for product, data in sets.items():
            path = write_image(own / f'{product}.nii.gz', data, affine=affine())
            files.setdefault(product, {})[name] = str(path)
        way = write_linear(beside, own / 'dwi.txt')
        files.setdefault('dwi_to_anat', {})[name] = str(way)
        table = [['measure', 'value'], ['fw_method', 'two-compartment']]
        write_tsv(own / 'measures.tsv', table)
    change = folder / 'rooms' / 'wmh_change_dseg.nii.gz'
    return folder / 'in', files, register.halfway_flair_poses, str(change)


def run(visits, folder, monkeypatch, *, without=(), protocols=None, water=None, least=20):
    source, files, poses, change = visits
    folder.mkdir(exist_ok=True)
    monkeypatch.chdir(folder)
    asked = {name.removeprefix('each_') for name in ROOM.asks if name.startswith('each_')}
    each = {}
    for name in asked:
        kept = {s: p for s, p in files[name].items() if (name, s) not in without}
        each[f'each_{name}'] = {'visits': kept}
    tables = {f'ses-{k}': str(source / f'ses-{k}' / 'measures.tsv') for k in (1, 2)} | (
        water or {}
    )
    listed = [
        {'session': f'ses-{k}', 'years': y, 'table': tables[f'ses-{k}']}
        for k, y in ((1, 0.0), (2, 2.0))
    ]
    options = vars(ROOM.options()) | {'least_voxels': least, 'penumbra_mm': 8.0}
    out = DiffusionChange(
        measures={'visits': listed},
        protocols={'visits': protocols or {}},
        halfway_flair_poses=poses,
        wmh_change_dseg=change,
        options=options,
        **each,
    ).run(cwd=str(folder))
    values = json.loads(Path(out.outputs.diffusion_change_values).read_text())
    return out.outputs, read_tsv(out.outputs.diffusion_change_list).rows, values


def test_tissue_that_became_hyperintense_was_affected_before(visits, tmp_path, monkeypatch):
    outputs, rows, values = run(visits, tmp_path / 'out', monkeypatch)
    value = {name: item['value'] for name, item in values.items()}
    assert value['md_before_future_wmh'] == pytest.approx(FUTURE, abs=0.02)
    assert value['md_change_future_wmh'] == pytest.approx(LESION - FUTURE, abs=0.03)
    assert value['md_change_new_wmh'] == pytest.approx(LESION - FUTURE, abs=0.03)
    assert value['md_change_stable_wmh'] == pytest.approx(0, abs=0.02)
    assert value['md_change_nawm'] == pytest.approx(0, abs=0.01)
    assert value['md_change_stable_penumbra'] is None  # all around the first lesion became one
    assert 'fewer than 20 voxels' in values['md_change_stable_penumbra']['reason']
    assert value['fa_change_future_wmh'] == pytest.approx(-0.5 * (LESION - FUTURE), abs=0.02)
    assert value['fw_change_nawm'] == pytest.approx(0, abs=1e-6)
    assert values['fw_change_nawm']['method'] == 'two-compartment'
    assert len(rows) == 2 * 3 * len(CLASSES)
    row = next(
        r for r in rows if (r['session'], r['tissue'], r['map']) == ('ses-2', 'future_wmh', 'md')
    )
    assert float(row['difference']) == pytest.approx(value['md_change_future_wmh'], abs=1e-4)
    assert float(row['per_year']) == pytest.approx(float(row['difference']) / 2, rel=1e-3)
    out_file = tmp_path / 'course.svg'
    draw_course(out_file=str(out_file), diffusion_change_list=outputs.diffusion_change_list)
    assert out_file.stat().st_size > 5000


def test_what_became_lesion_is_compared_with_penumbra_as_far_from_lesions():
    change = np.zeros((40, 40, 9), np.uint8)
    index = np.indices(change.shape)
    away = np.hypot(index[0] - 20, index[1] - 20)
    change[away < 5] = 1
    change[(away >= 5) & (away < 8) & (index[0] > 20)] = 2
    change[2:5, 2:5] = 4
    white, other = np.ones(change.shape), np.zeros(change.shape)
    other[:, :, 0] = 1
    found = tissue_classes(change, white, other, np.ones(3), 5.0)
    assert set(np.unique(found)) == {0, 1, 2, 3, 5, 7, 8}
    distance = ndi.distance_transform_edt(change != 1)
    for label in (2, 7):
        assert distance[found == label].min() > 1
        assert distance[found == label].max() <= 5
    assert distance[found == 3].max() <= 1
    assert not np.isin(found[:, :, 0], (7, 8)).any()
    assert (found[2:5, 2:5] == 5).all()


def test_missing_diffusion_is_told(visits, tmp_path, monkeypatch):
    gone = [(name, 'ses-2') for name in ('dwi_fa', 'dwi_md')]
    _, rows, values = run(visits, tmp_path / 'a', monkeypatch, without=gone)
    assert values['md_before_future_wmh']['value'] == pytest.approx(FUTURE, abs=0.02)
    assert values['md_change_nawm']['reason'] == 'ses-2 has no diffusion'
    assert {row['session'] for row in rows} == {'ses-1'}
    gone = [(name, 'ses-1') for name in ('dwi_fa', 'dwi_md')]
    _, rows, values = run(visits, tmp_path / 'b', monkeypatch, without=gone)
    assert values['md_before_future_wmh']['reason'] == 'ses-1 has no diffusion'
    assert {row['difference'] for row in rows} == {'n/a'}
    scans = {'measures': SimpleNamespace(content={'visits': [{'session': 'ses-1'}]})}
    with pytest.raises(NoPlace, match='no visit has maps of diffusion'):
        resolve(scans, None)


def test_free_water_of_other_methods_and_other_protocols(visits, tmp_path, monkeypatch):
    other = tmp_path / 'other.tsv'
    write_tsv(other, [['measure', 'value'], ['fw_method', 'single-shell-assumed-md']])
    told = {f'ses-{k}': {'dwi': {'MagneticFieldStrength': t}} for k, t in ((1, 1.5), (2, 3.0))}
    _, _, values = run(
        visits, tmp_path / 'c', monkeypatch, water={'ses-2': str(other)}, protocols=told
    )
    assert values['fw_change_nawm']['value'] is None
    assert values['fw_change_nawm']['reason'].startswith('methods differ: two-compartment')
    assert values['md_change_nawm']['qc'] == 'warn'
    assert 'field strength (T): 1.5 (ses-1), 3 (ses-2)' in values['md_change_nawm']['reason']
    _, rows, values = run(visits, tmp_path / 'd', monkeypatch, water={'ses-2': ''})
    assert values['fw_change_nawm']['reason'] == 'ses-2 has no free water'
    assert 'fw' not in {row['map'] for row in rows if row['session'] == 'ses-2'}


def test_the_interface_takes_what_the_room_declares():
    assert {*_InputSpec().copyable_trait_names()} - {'options'} == {*ROOM.asks}
    assert MM == 3.0
