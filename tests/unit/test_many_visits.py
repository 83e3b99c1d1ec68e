"""Participants of many visits: every visit is planned, and every pair has its rows."""

import json
from itertools import pairwise

import numpy as np
import pytest
from builders import write_image
from two_visits import affine, head, moved, points, run_rooms, write_visits

from csvdprep.bids.checkpoints import write_checkpoint
from csvdprep.bids.tsv import read_tsv, write_tsv
from csvdprep.core.plan import Visit, make_plan
from csvdprep.core.settings import Settings
from csvdprep.graph.discover import discover
from csvdprep.graph.participants import participant_inputs
from csvdprep.graph.status import Status
from csvdprep.longitudinal.change.interfaces import Change
from csvdprep.longitudinal.halfway.science import find_halfway

MANY = 20
SESSIONS = [f'ses-{k}' for k in range(1, MANY + 1)]
PAIRS = [*pairwise(SESSIONS), (SESSIONS[0], SESSIONS[-1])]
HEAD = ('measure', 'units', 'value', 'low', 'high', 'qc', 'method', 'reason')


def table(path, number):
    rows = [
        ('wmh_total_ml', 'mL', 10 + number, 'n/a', 'n/a', 'ok', 'm', 'n/a'),
        ('bpf', '1', 0.8 - number / 1000, 'n/a', 'n/a', 'ok', 'm', 'n/a'),
    ]
    write_tsv(path, [HEAD, *rows])


#: Room of each product that the visits left.
LEFT = {
    'flair': ('flair_preproc', 'flair_mask'),
    'brain': ('anat_preproc', 'brain_mask'),
    'wmh': ('wmh_mask',),
    'cavities': ('lacune_lesions', 'cavity_candidates'),
    'microbleeds': ('cmb_lesions', 'cmb_candidates'),
    'tensors': ('dwi_fa', 'dwi_md', 'dwi_fw'),
}


def test_twenty_visits_are_planned(tmp_path):
    out, raw = tmp_path / 'out', tmp_path / 'raw'
    for number, session in enumerate(SESSIONS):
        visit = Visit('01', session.removeprefix('ses-'))
        checkpoints = out / visit.log / 'checkpoints'
        checkpoints.mkdir(parents=True)
        for room, products in LEFT.items():
            files = {}
            for name in products:
                suffix = 'T1w' if name == 'anat_preproc' else 'FLAIR'
                path = out / visit.folder / 'anat' / f'{visit.label}_desc-{name}_{suffix}.nii.gz'
                files[name] = str(write_image(path, np.full((2, 2, 2), number, 'uint8')))
            write_checkpoint(checkpoints, room, key='k', root=out, files=files)
        states = dict.fromkeys(LEFT, 'done')
        Status(visit.label, 'r', 'ok', rooms=states).write(out, visit)
        table(out / visit.folder / f'{visit.label}_desc-csvdlong_measures.tsv', number)
    days = [['session_id', 'days'], *([s, 100 * k] for k, s in enumerate(SESSIONS))]
    (raw / 'sub-01').mkdir(parents=True)
    write_tsv(raw / 'sub-01' / 'sub-01_sessions.tsv', days)
    settings = Settings(bids_dir=raw, output_dir=out, work_dir=tmp_path / 'work')
    (found,) = participant_inputs(settings, ['01'], say=print)
    listed = found.scans['measures'].content['visits']
    assert [item['session'] for item in listed] == SESSIONS
    assert listed[-1]['years'] == pytest.approx(1900 / 365.25, abs=1e-3)
    plan = make_plan(found, discover(level='participant'))
    steps = {step.room.name: step for step in plan.steps}
    rooms = {'change', 'halfway_flair', 'halfway_t1w', 'wmh_change', 'incident'}
    assert rooms | {'diffusion_change'} <= {*steps}
    for name in ('halfway_flair', 'halfway_t1w', 'wmh_change'):
        assert steps[name].decisions[0].value == ', '.join(SESSIONS)
    told = {item.name: item.value for item in steps['incident'].decisions}
    assert told['microbleeds'] == told['lacunes'] == ', '.join(SESSIONS)
    assert told['recent infarcts'] == 'none'
    order = [step.room.name for step in plan.steps]
    assert order.index('halfway_t1w') < order.index('incident')
    assert order.index('wmh_change') < order.index('diffusion_change')


def test_twenty_visits_have_a_row_of_each_pair_and_measure(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    visits = []
    for number, session in enumerate(SESSIONS):
        table(tmp_path / f'{session}.tsv', number)
        visits.append(
            {'session': session, 'years': number / 2, 'table': str(tmp_path / f'{session}.tsv')}
        )
    done = Change(measures={'visits': visits}).run(cwd=str(tmp_path))
    rows = read_tsv(done.outputs.change_list).rows
    assert [(r['from_session'], r['to_session']) for r in rows if r['measure'] == 'bpf'] == PAIRS
    assert len(rows) == 2 * MANY
    growth = [float(r['difference']) for r in rows if r['measure'] == 'wmh_total_ml']
    assert growth == [1] * (MANY - 1) + [MANY - 1]
    values = json.loads((tmp_path / 'values.json').read_text())
    assert values['visits_n']['value'] == MANY
    assert values['wmh_change_ml_per_year']['value'] == pytest.approx(2.0)


def test_the_space_between_five_visits():
    rng = np.random.default_rng(4)
    poses = [moved(rng.normal(0, 4, 3), rng.normal(0, 3, 3)) for _ in range(5)]
    heads = [head(pose, seed=k) for k, pose in enumerate(poses)]
    found = find_halfway([h[0] for h in heads], [affine()] * 5, [h[1] for h in heads])
    for k in range(1, 5):
        off = found.poses[k] @ np.linalg.inv(found.poses[0])
        off = off - poses[k] @ np.linalg.inv(poses[0])
        error = np.linalg.norm(points()[heads[0][1]] @ off[:3, :3].T + off[:3, 3], axis=1)
        assert error.mean() < 0.5


def test_six_visits_grow_by_the_sum_of_their_steps(tmp_path, monkeypatch):
    radii = [8.0, 8.0, 10.0, 12.0, 14.0, 14.0]
    heads = [head(lesion_mm=radius, seed=k) for k, radius in enumerate(radii)]
    files = write_visits(tmp_path / 'in', heads, None)
    visits = [(f'ses-{k}', float(k)) for k in range(1, 7)]
    _, values, rows, _ = run_rooms(files, tmp_path / 'out', visits, monkeypatch)
    whole = [row for row in rows if row['region'] == 'whole']
    names = [name for name, _ in visits]
    assert [(r['from_session'], r['to_session']) for r in whole] == [
        *pairwise(names),
        (names[0], names[-1]),
    ]
    growth = [float(row['growth_ml']) for row in whole]
    true = 4 / 3 * np.pi * (14**3 - 8**3) / 1000
    assert growth[-1] == pytest.approx(true, rel=0.15)
    assert sum(growth[:-1]) == pytest.approx(true, rel=0.25)
    assert growth[0] + growth[4] < 0.1 * true
    assert values['wmh_growth_ml'] == pytest.approx(growth[-1], abs=1e-3)
