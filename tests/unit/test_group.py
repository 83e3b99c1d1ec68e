import csv
import html
import json
import re
import subprocess
import sys
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from csvdprep.bids import covariates
from csvdprep.bids.covariates import Covariates, age_of
from csvdprep.bids.files import lock
from csvdprep.cli.run import run
from csvdprep.core.errors import NothingToDo, PreflightError, UsageError
from csvdprep.core.failure import Failure
from csvdprep.core.plan import Visit
from csvdprep.dataset.outliers.science import robust_z
from csvdprep.graph.status import Status
from csvdprep.group.overview import overview
from csvdprep.group.plots import draw
from csvdprep.group.visits import computed_visits, look_up
from tests.builders import leave_visit as leave

EVIL = '<script>alert(1)</script>'


@pytest.fixture
def study(tmp_path):
    """Thirty visits at two sites; one is far from the others, one failed, one was refused."""
    raw, out = tmp_path / 'raw', tmp_path / 'out'
    raw.mkdir()
    people = ['participant_id\tage\tsite']
    for number in range(1, 31):
        label = f'{number:02d}'
        people.append(f'sub-{label}\t{60 + number}\t{"AB"[number % 2]}')
        visit = Visit(label, '1' if number % 3 else None)
        if number == 7:
            said = f'{EVIL} [file: /home/ann/secret/a.nii]'
            leave(out, visit, 'failed', failures=[Failure('wmh', 'n', 'input', said)])
        else:
            leave(
                out,
                visit,
                value=900.0 if number == 5 else 10.0 + number / 10,
                refused=[('sub-08_T1w.nii', f'Broken {EVIL}')] if number == 8 else (),
                verdict='failed' if number == 11 else 'ok',
                remarks=[('fail', f'The mask has 0 mL. {EVIL}')] if number == 11 else (),
                skipped={'microbleeds': 'needs gre, which this visit does not have'},
            )
    (raw / 'participants.tsv').write_text('\n'.join(people) + '\n')
    return raw, out


@pytest.fixture
def undrawn(monkeypatch):
    """Leave the pictures out, which take most of the time."""
    monkeypatch.setattr('csvdprep.group.page.draw', lambda *given: '<svg></svg>')


@pytest.fixture
def few_drawn(monkeypatch):
    """Draw the pictures of primary measures of hyperintensities alone."""
    from csvdprep.group import page

    real = page.draw
    monkeypatch.setattr(
        page,
        'draw',
        lambda values, groups, ages, label: (
            real(values, groups, ages, label) if label.startswith('wmh_total') else '<svg></svg>'
        ),
    )


def table(out, name):
    with (out / f'group_{name}.tsv').open() as file:
        return list(csv.DictReader(file, delimiter='\t'))


def test_group_tables_and_page(study, tmp_path, few_drawn):
    raw, out = study
    assert run([str(raw), str(out), 'group', '-w', str(tmp_path / 'work')]) == 0
    measures, flags, states = (table(out, n) for n in ('measures', 'qc', 'status'))
    assert len(measures) == len(flags) == len(states) == 30
    assert measures[0]['participant_id'] == 'sub-01'
    assert measures[2]['session_id'] == 'n/a'
    assert measures[0]['bpf'] == '10.1'
    assert flags[0]['bpf'] == 'ok'
    known = {row['participant_id']: row for row in states}
    assert known['sub-07']['state'] == 'failed'
    assert 'a.nii' in known['sub-07']['failures']
    assert '/home' not in (out / 'group_status.tsv').read_text()
    assert known['sub-01']['input_t1w'].endswith('sub-01_ses-1_T1w.nii.gz')
    assert known['sub-01']['site'] == 'B'
    assert known['sub-01']['not_run'] == (
        'microbleeds: needs T2*w or SWI, which this visit does not have'
    )
    assert known['sub-11']['verdict'] == 'failed'
    assert known['sub-11']['remarks'].startswith('The mask has 0 mL.')
    assert [row['qc'] for row in measures][9:11] == ['ok', 'fail']
    dictionary = json.loads((out / 'group_dictionary.json').read_text())
    for name, rows in (('measures', measures), ('qc', flags), ('status', states)):
        assert dictionary[f'group_{name}.tsv'].keys() == rows[0].keys()
    page = (out / 'group.html').read_text()
    assert page.count('<script') == 1
    assert '/home' not in page
    assert '&lt;script&gt;' in page
    assert 'href="sub-05_ses-1.html"' in page
    rows = re.findall(r'<tr><td class="keep"><a href="(\S+)\.html">\1</a>(.*)</tr>', page)
    assert [visit for visit, _ in rows[:3]] == ['sub-07_ses-1', 'sub-11_ses-1', 'sub-08_ses-1']
    assert len(rows) == 30
    known = dict(rows)
    assert 'Finished, quality failed</span>' in known['sub-11_ses-1']
    assert 'The mask has 0 mL' in known['sub-11_ses-1']
    assert 'Finished, please check' in known['sub-08_ses-1']
    assert '27 finished<' in page
    assert '1 finished, please check' in page
    assert '1 failed' in page
    assert 'age, years' in page
    assert 'M X 3' in page
    identifiers = re.findall(r'\bid="([^"]+)"', page)
    assert len(identifiers) == len(set(identifiers))


def test_the_long_table_leaves_out_what_did_not_run(study, tmp_path, undrawn):
    raw, out = study
    away = {'microbleeds': 'needs gre, which this visit does not have'}
    leave(out, Visit('31', '1'), value={'bpf': 0.8}, skipped=away)
    leave(out, Visit('32', '1'), value={'bpf': 0.8, 'cmb_n': 2}, skipped=away)
    assert run([str(raw), str(out), 'group', '-w', str(tmp_path / 'work')]) == 0
    long = {(r['participant_id'], r['measure']): r for r in table(out, 'long')}
    assert ('sub-31', 'cmb_n') not in long
    assert long['sub-32', 'cmb_n']['value'] == '2'  # a value is never left out
    assert long['sub-31', 'wmh_total_ml']['value'] == 'n/a'
    states = {r['participant_id']: r for r in table(out, 'status')}
    assert states['sub-31']['not_run'].startswith('microbleeds: needs T2*w or SWI')
    measures = {r['participant_id']: r for r in table(out, 'measures')}
    assert measures['sub-31']['cmb_n'] == 'n/a'


@pytest.mark.parametrize(
    'change',
    [
        lambda text: text.replace('\n', '\r\n'),
        lambda text: text.replace('\tbpf\t', '\t bpf \t'),
        lambda text: text.replace('\tbpf\t', '\tbp\vf\tx\n\tbpf\t'),
        lambda text: text + '\n\n',
        lambda text: '\ufeff' + text,
        lambda text: text.rstrip('\n'),
    ],
)
def test_tables_of_visits_as_programs_leave_them(tmp_path, undrawn, change):
    raw, out = tmp_path / 'raw', tmp_path / 'out'
    raw.mkdir()
    leave(out, Visit('01', None), value={'bpf': 0.8})
    path = out / 'sub-01' / 'sub-01_desc-csvdlong_measures.tsv'
    path.write_bytes(change(path.read_text()).encode())
    assert run([str(raw), str(out), 'group', '-w', str(tmp_path / 'work')]) == 0
    (row,) = table(out, 'measures')
    assert row['bpf'] == '0.8'
    lines = (out / 'group_long.tsv').read_text().split('\n')
    assert {line.count('\t') for line in lines[:-1]} == {lines[0].count('\t')}


@pytest.mark.parametrize('count', [1, 30, 400])
def test_pictures_of_a_measure_are_small_and_hold_all(count):
    rng = np.random.default_rng(0)
    values, ages = rng.normal(10, 2, count), rng.uniform(50, 80, count)
    values[:1] = 30
    groups = {'site': np.array([f'<S{k % 12}>' for k in range(count)], dtype=object)}
    svg = draw(values, groups, ages, 'wmh_total_ml, mL')
    assert svg == draw(values, groups, ages, 'wmh_total_ml, mL')
    assert len(svg) < 12_000
    assert '<S' not in svg
    assert '&lt;S0&gt;' in svg
    root = ET.fromstring(svg)
    numbers = [
        float(n) for path in root.iter() for n in re.findall(r'[MVH](-?[\d.]+)', path.get('d', ''))
    ]
    assert 0 <= min(numbers) <= max(numbers) <= 2 * 245
    texts = [e.text for e in root.iter() if e.tag.endswith('text')]
    sizes = [int(t) for t in texts if t and t.isdigit() and 'S' not in t]
    assert 'age, years' in texts
    assert count == 1 or sum(sizes) >= count
    # The one far from the others is seen: a dot, or a cell, at the top.
    assert count == 1 or any(float(y) < 22 for y in re.findall(r'M[\d.]+ ([\d.]+)h', svg))


def test_a_measure_that_is_the_same_in_all_is_drawn():
    same = draw(np.full(9, 3.0), {'all': np.full(9, 'all', object)}, np.full(9, np.nan), 'x')
    assert 'nan' not in same
    assert 'age' not in same


def test_group_gives_the_same_bytes_twice(study, tmp_path, few_drawn):
    raw, out = study
    argv = [str(raw), str(out), 'group', '-w', str(tmp_path / 'work')]
    run(argv)
    first = {p.name: p.read_bytes() for p in out.glob('group*')}
    run(argv)
    assert {p.name: p.read_bytes() for p in out.glob('group*')} == first
    assert not list(out.glob('.*.tmp'))


def test_group_of_some(study, tmp_path, undrawn):
    raw, out = study
    run([str(raw), str(out), 'group', '--participant-label', '05', '-w', str(tmp_path / 'work')])
    assert [row['participant_id'] for row in table(out, 'measures')] == ['sub-05']


def test_group_of_nothing(tmp_path):
    (tmp_path / 'out').mkdir()
    with pytest.raises(NothingToDo):
        run([str(tmp_path), str(tmp_path / 'out'), 'group', '-w', str(tmp_path / 'work')])
    with pytest.raises(PreflightError):
        run([str(tmp_path), str(tmp_path / 'none'), 'group', '-w', str(tmp_path / 'work')])


def test_a_run_that_died_is_lost_and_one_at_work_is_not(tmp_path):
    visit = Visit('01')
    Status('sub-01', 'run').write(tmp_path, visit)
    path = tmp_path / visit.folder / 'log' / 'lock'
    path.write_text(json.dumps({'pid': 1, 'host': 'x', 'since': 'y'}))
    assert look_up(visit, tmp_path).state == 'lost'
    with lock(path):
        entry = look_up(visit, tmp_path)
        assert entry.state == 'running'
        assert 'process' in entry.by
    assert look_up(Visit('02'), tmp_path).state == 'waiting'


def test_a_status_that_cannot_be_read_is_not_begun(tmp_path):
    for text in ('', '[]', '{"visit": 1}', '\0', '{"state": {}}'):
        path = tmp_path / 'sub-01' / 'log' / 'status.json'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        assert look_up(Visit('01'), tmp_path).state == 'waiting'
    assert [v.label for v in computed_visits(tmp_path)] == ['sub-01']


def test_no_status_that_somebody_wrote_ends_a_command(study, tmp_path, undrawn, capsys):
    from csvdprep.cli.run import main

    raw, out = study
    path = out / 'sub-01' / 'ses-1' / 'log' / 'status.json'
    sound = json.loads(path.read_text())
    rubbish = (None, 7, 1e999, '', EVIL, [], [1], {}, {'a': {}}, [[]], '../../x', True)
    for number, name in enumerate(sound):
        path.write_text(json.dumps(sound | {name: rubbish[number % len(rubbish)]}))
        for argv in (
            ['status', str(out)],
            [
                str(raw),
                str(out),
                'group',
                '--participant-label',
                '01',
                '-w',
                str(tmp_path / 'work'),
            ],
        ):
            with pytest.raises(SystemExit) as ended:
                main(argv)
            assert ended.value.code in (0, 1)
        assert 'Traceback' not in capsys.readouterr().err
        assert EVIL not in (out / 'group.html').read_text()


def test_overview_names_what_needs_attention(study):
    _, out = study
    found = overview(out, [Visit('99')], {Visit('99'): 'Slurm: PENDING (Resources)'})
    assert found.counts == {'ok': 29, 'failed': 1, 'waiting': 1}
    assert not found.complete
    assert 'sub-07' in str(found)
    assert 'Slurm: PENDING' in str(found)


def test_status_command(study, capsys):
    _, out = study
    before = set(out.rglob('*'))
    assert run(['status', str(out)]) == 1
    assert '29 ok' in capsys.readouterr().out
    assert set(out.rglob('*')) == before
    assert run(['status', str(out), '--html']) == 1
    page = (out / 'logs' / 'status.html').read_text()
    assert EVIL not in page
    assert '&lt;script' in page


def test_outliers_are_judged_within_their_site():
    values = np.concatenate([np.linspace(1, 2, 20), np.linspace(101, 102, 20), [50.0]])
    sites = ['A'] * 20 + ['B'] * 20 + ['A']
    far = np.flatnonzero(np.abs(robust_z(values, sites)) > 4)
    assert far.tolist() == [40]
    assert np.isnan(robust_z(values[:5], sites[:5])).all()
    assert np.isnan(robust_z(np.full(20, np.nan), ['A'] * 20)).all()


def slurm(*argv):
    return run(['slurm', *map(str, argv)])


@pytest.fixture
def raw(tmp_path):
    root = tmp_path / 'a study'
    for folder in ('sub-01/ses-1/anat', 'sub-01/ses-2/anat', 'sub-02/anat', 'sub-02/ses-1/anat'):
        (root / folder).mkdir(parents=True)
    (root / 'dataset_description.json').write_text('{"Name": "x", "BIDSVersion": "1.10.0"}')
    return root


def test_array_job_is_frozen(raw, tmp_path, capsys):
    out = tmp_path / 'out'
    filters = tmp_path / 'f.json'
    filters.write_text('{"t1w": {"run": null}}')
    assert (
        slurm(
            raw,
            out,
            '--bids-filter-file',
            filters,
            '--markers',
            'wmh',
            '--array-limit',
            3,
            '--mem',
            '5G',
            '--time',
            30,
            '--sbatch',
            'partition=long',
        )
        == 0
    )
    folder = next((out / 'logs' / 'slurm').iterdir())
    assert capsys.readouterr().out.split()[0] == 'bash'
    labels = (folder / 'visits.txt').read_text().split()
    assert labels == ['sub-01_ses-1', 'sub-01_ses-2', 'sub-02', 'sub-02_ses-1']
    filters.unlink()
    task = (folder / 'task.sh').read_text()
    assert str(folder / 'bids-filter-file.json') in task
    assert (folder / 'bids-filter-file.json').exists()
    for line in (
        '--mem=5000M',
        '--time=30',
        '--partition=long',
        '--cpus-per-task=2',
        '--signal=B:USR1@300',
        '--requeue',
    ):
        assert f'#SBATCH {line}\n' in task
    assert '%3"' in (folder / 'submit.sh').read_text()
    # The group job waits for what a network disk shows late.
    after = (folder / 'group.sh').read_text()
    assert re.search(r'^sleep 65\ncode=0\n.* longitudinal -w', after, re.MULTILINE)
    assert re.search(r'longitudinal(.*\n){3}exit "\$code"', after)
    for script in folder.glob('*.sh'):
        subprocess.run(['bash', '-n', str(script)], check=True)


def test_a_task_computes_its_visit(raw, tmp_path):
    out = tmp_path / 'out'
    slurm(raw, out, '--participant-label', '02')
    folder = next((out / 'logs' / 'slurm').iterdir())
    task = (folder / 'task.sh').read_text()
    # In place of the app, something that tells what it was asked.
    task = task.replace(f'{sys.executable} -m csvdprep', 'echo asked:')
    for number, visit in ((1, 'sub-02'), (2, 'sub-02_ses-1')):
        done = subprocess.run(
            ['bash', '-c', task, 'task'],
            capture_output=True,
            text=True,
            check=True,
            env={
                'SLURM_ARRAY_TASK_ID': str(number),
                'PATH': '/usr/bin:/bin',
                'TMPDIR': str(tmp_path),
            },
        )
        assert f'asked: {raw} {out} participant --visit {visit} -w ' in done.stdout
    assert not list(tmp_path.glob('csvdprep-*'))


def test_long_lists_become_several_arrays():
    from csvdprep.cluster.script import submit_script

    text = submit_script(folder='/x', count=2500, most=1000)
    assert [line for line in text.splitlines() if re.match(r'submit \d', line)] == [
        'submit 0 1000',
        'submit 1000 1000',
        'submit 2000 500',
    ]


def test_resume_leaves_out_what_is_complete(raw, tmp_path):
    out = tmp_path / 'out'
    slurm(raw, out, '--mem', '4G')
    leave(out, Visit('01', '1'))
    leave(
        out,
        Visit('01', '2'),
        'failed',
        failures=[Failure('wmh', '', 'memory', 'There was not enough memory.')],
    )
    slurm(raw, out, '--resume')
    folder = max((out / 'logs' / 'slurm').iterdir())
    labels = (folder / 'visits.txt').read_text().split()
    assert labels == ['sub-01_ses-2', 'sub-02', 'sub-02_ses-1']
    assert json.loads((folder / 'manifest.json').read_text())['mem_gb'] == 6.0
    for visit in (Visit('01', '2'), Visit('02'), Visit('02', '1')):
        leave(out, visit)
    with pytest.raises(NothingToDo):
        slurm(raw, out, '--resume')


@pytest.mark.parametrize(
    'wrong', [('--markers', 'nonsense'), ('--visit', '../x'), ('--participant-label', '77')]
)
def test_what_every_task_would_refuse_is_refused_at_once(raw, tmp_path, wrong):
    with pytest.raises(UsageError):
        slurm(raw, tmp_path / 'out', *wrong)


def test_exactly_one_visit_is_taken(tmp_path):
    from builders import write_dataset

    from csvdprep.bids.query import collect_visits
    from csvdprep.core.settings import Settings
    from csvdprep.graph.discover import declared
    from csvdprep.imaging.inspect import inspect_image

    root = write_dataset(
        tmp_path / 'raw', ['sub-02/anat/sub-02_T1w', 'sub-02/ses-1/anat/sub-02_ses-1_T1w']
    )

    def found(*labels):
        settings = Settings(bids_dir=root, output_dir=tmp_path / 'out', visit=labels)
        return [v.visit.label for v in collect_visits(settings, declared(), inspect=inspect_image)]

    assert found('sub-02') == ['sub-02']
    assert found('sub-02_ses-1') == ['sub-02_ses-1']
    with pytest.raises(UsageError, match='sub-02_ses-9'):
        found('sub-02_ses-9')


@pytest.mark.parametrize(
    ('kind', 'gigabytes'), [('memory', 12.0), ('killed', 12.0), ('measure', 6.0), ('died', 6.0)]
)
def test_resume_asks_for_memory_by_the_kind_of_failure(raw, tmp_path, kind, gigabytes):
    out = tmp_path / 'out'
    slurm(raw, out, '--mem', '8G')
    failure = Failure('wmh', '', kind, 'The memory of the scanner.')
    leave(out, Visit('01', '2'), 'failed', failures=[failure])
    slurm(raw, out, '--resume')
    folder = max((out / 'logs' / 'slurm').iterdir())
    assert json.loads((folder / 'manifest.json').read_text())['mem_gb'] == gigabytes


def test_resume_asks_for_memory_only_where_that_may_help(raw, tmp_path, monkeypatch):
    from csvdprep.cluster import queue

    out = tmp_path / 'out'
    slurm(raw, out, '--mem', '4G')
    (next((out / 'logs' / 'slurm').iterdir()) / 'jobs.txt').write_text('7 0 4\n8 group\n')
    Status('sub-01_ses-1', 'run').write(out, Visit('01', '1'))

    def asked(state):
        answers = {'squeue': [f'7_1|{state}|x', '7_2|PENDING|Priority', '7_[3-4]|PENDING|x']}
        monkeypatch.setattr(queue, '_ask', lambda command: answers.get(command[0], []))
        slurm(raw, out, '--resume')
        folder = max((out / 'logs' / 'slurm').iterdir())
        assert 'sub-01_ses-2' not in (folder / 'visits.txt').read_text().split()
        gigabytes = json.loads((folder / 'manifest.json').read_text())['mem_gb']
        (folder / 'manifest.json').unlink()
        return gigabytes

    assert asked('CANCELLED by 0') == 6.0
    assert asked('NODE_FAIL') == 6.0
    slurm(raw, out, '--mem', '8G')
    assert asked('OUT_OF_MEMORY') == 12.0
    assert asked('FAILED') == 12.0
    assert asked('TIMEOUT') == 6.0


def test_derivatives_are_named_by_paths_that_hold_anywhere(raw, tmp_path, monkeypatch):
    (tmp_path / 'hand' / 'sub-01').mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    slurm(raw, tmp_path / 'out', '-d', 'hand=hand', '--markers', 'wmh')
    facts = json.loads(next((tmp_path / 'out').rglob('manifest.json')).read_text())
    named = ['-d', f'hand={tmp_path / "hand"}', '--derivatives-optional']
    assert facts['options'] == ['--markers', 'wmh', *named]


def test_a_list_or_table_that_somebody_wrote_ends_no_command(study, tmp_path, undrawn):
    raw, out = study
    folder = out / 'logs' / 'slurm' / 'x'
    folder.mkdir(parents=True)
    facts = {
        'folder': 'x',
        'version': '1',
        'created': '',
        'bids_dir': '',
        'output_dir': '',
        'options': [],
        'mem_gb': 1.0,
    }
    (folder / 'manifest.json').write_text(json.dumps(facts))
    (folder / 'visits.txt').write_text('sub-../x\n')
    table = out / 'sub-01' / 'ses-1' / 'sub-01_ses-1_desc-csvdlong_measures.tsv'
    table.write_text('measure\tvalue\n' + 'x' * 200_000 + '\n')
    (raw / 'participants.tsv').write_bytes(b'participant_id\tage\n"' + b'x' * 200_000)
    assert run(['status', str(out)]) == 1
    assert run([str(raw), str(out), 'group', '-w', str(tmp_path / 'work')]) == 0


# ---- what the tables of a study say of age and site


def facts(root, *visits, table='', sessions=None, encoding='utf-8'):
    """Return the facts of some visits, and what was told."""
    root.mkdir(exist_ok=True)
    (root / 'participants.tsv').write_bytes(table.encode(encoding))
    for label, text in (sessions or {}).items():
        (root / f'sub-{label}').mkdir(exist_ok=True)
        (root / f'sub-{label}' / f'sub-{label}_sessions.tsv').write_bytes(text.encode(encoding))
    told = []
    known = Covariates(root, warn=told.append)
    found = [known(visit) for visit in visits]
    known.finish()
    return found, told


def test_a_quotation_mark_costs_no_age(tmp_path):
    text = 'participant_id\tnote\tage\tsite\nsub-01\t"tall\t71\tA\nsub-02\tx\t72\tB\n'
    found, told = facts(tmp_path, Visit('01'), Visit('02'), table=text)
    assert [(f['age'], f['site']) for f in found] == [('71', 'A'), ('72', 'B')]
    assert told == []


@pytest.mark.parametrize('encoding', ['cp1252', 'utf-16'])
def test_sites_in_other_encodings(tmp_path, encoding):
    found, told = facts(
        tmp_path,
        Visit('01', '1'),
        table='participant_id\tage\tsite\nsub-01\t71\tKøln\n',
        sessions={'01': 'session_id\tage\tsite\nses-1\t72\tBesançon\n'},
        encoding=encoding,
    )
    assert found == [{'site': 'Besançon', 'age': '72', 'sex': 'n/a'}]
    assert [line.split()[0] for line in told] == ['participants.tsv', 'sub-01_sessions.tsv']
    assert all('in UTF-8' in line for line in told)


def test_names_of_columns_and_labels_as_people_write_them(tmp_path):
    found, told = facts(
        tmp_path,
        Visit('01', '1'),
        Visit('02'),
        Visit('ab'),
        table='\ufeff Participant ID\tAge (years)\tSITE_ID\tSex\n'
        '01\t71\t A  b \tF\n Sub-02\t72\tB\tM\nsub-AB\t73\tC\tnan\n',
        sessions={'01': 'Session_ID\tAge\r\n1\t75\r\n'},
    )
    assert found == [
        {'site': 'A b', 'age': '75', 'sex': 'F'},
        {'site': 'B', 'age': '72', 'sex': 'M'},
        {'site': 'C', 'age': '73', 'sex': 'n/a'},
    ]
    assert len(told) == 1
    assert 'AB is sub-ab' in told[0]


def test_zeros_that_a_spreadsheet_took_away(tmp_path):
    text = 'participant_id\tage\n1\t71\n2\t72\n10\t80\n'
    found, told = facts(tmp_path, Visit('01'), Visit('02'), Visit('10'), table=text)
    assert [f['age'] for f in found] == ['71', '72', '80']
    assert '1 is sub-01, 2 is sub-02' in told[0]
    # Whom two rows may mean, or another folder claims, gets nothing.
    (tmp_path / 'sub-2').mkdir()
    found, told = facts(tmp_path, Visit('01'), Visit('02'), table=text + '001\t99\n')
    assert [f['age'] for f in found] == ['n/a', 'n/a']
    assert 'no row for any of the 2 participants' in told[0]


def test_a_table_of_other_people_is_told(tmp_path):
    text = 'participant_id\tage\nsub-x\t71\n'
    found, told = facts(tmp_path, Visit('01'), Visit('02'), table=text)
    assert {f['age'] for f in found} == {'n/a'}
    assert 'no row for any of the 2 participants (sub-01, sub-02); it has x' in told[0]
    (told,) = facts(tmp_path, Visit('x'), Visit('02'), table=text)[1]
    assert 'no row for 1 of the 2 participants (sub-02)' in told


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('participant_id,age\nsub-01,71\n', 'separated by commas, not by tabs'),
        ('participant_id;age\nsub-01;71\n', 'separated by semicolons, not by tabs'),
        ('subject\tage\nsub-01\t71\n', 'no column participant_id'),
        ('participant_id\tage\n1\tsub-01\t71\n', 'more cells than columns in line 2'),
        ('version https://git-lfs.github.com/spec/v1\n', 'is not here: fetch it'),
    ],
)
def test_tables_that_are_not_used_are_told(tmp_path, text, words):
    found, told = facts(tmp_path, Visit('01'), table=text)
    assert found[0]['age'] == 'n/a'
    assert words in told[0]


def test_a_table_that_was_saved_with_quotation_marks(tmp_path):
    text = '"participant_id"\t"age"\t"site"\n"sub-01"\t71\t"A"\n'
    found, told = facts(tmp_path, Visit('01'), table=text)
    assert found == [{'site': 'A', 'age': '71', 'sex': 'n/a'}]
    assert 'Save the table without them' in told[0]


def test_columns_that_mean_the_same(tmp_path):
    text = 'participant_id\tsite_id\tsite\tage\tage_at_scan\n'
    rows = 'sub-01\tX\tn/a\tNaN\t70\nsub-02\tX\tX\t71\t71\n'
    found, told = facts(tmp_path, Visit('01'), Visit('02'), table=text + rows)
    assert [(f['site'], f['age']) for f in found] == [('X', '70'), ('X', '71')]
    assert told == []
    found, told = facts(tmp_path, Visit('02'), table=text + 'sub-02\tX\tY\t71\t71\n')
    assert found[0]['site'] == 'Y'
    (sentence,) = told
    assert 'gives the site in several columns (site, site_id), which differ' in sentence


def test_the_age_of_a_session_prevails_whatever_its_column(tmp_path):
    found, _ = facts(
        tmp_path,
        Visit('01', '2'),
        table='participant_id\tage\nsub-01\t70\n',
        sessions={'01': 'session_id\tage_at_scan\nses-1\t70\nses-2\t74\n'},
    )
    assert found[0]['age'] == '74'


def test_a_row_for_each_session(tmp_path):
    text = 'participant_id\tsession_id\tage\tsite\nsub-01\tses-1\t70\tA\nsub-01\tses-2\t74\tA\n'
    found, told = facts(tmp_path, Visit('01', '2'), Visit('01', '1'), table=text)
    assert [f['age'] for f in found] == ['74', '70']
    assert told == []
    found, told = facts(tmp_path, Visit('01', '3'), table=text)
    assert (found[0]['age'], found[0]['site']) == ('n/a', 'A')
    (sentence,) = told
    assert 'several values for the age of sub-01; none is used' in sentence


@pytest.mark.parametrize(
    ('text', 'years', 'kind'),
    [
        ('73', 73, 'exact'),
        ('73.5', 73.5, 'exact'),
        ('73,5', 73.5, 'exact'),
        ('73 y', 73, 'exact'),
        ('073Y', 73, 'exact'),
        ('73.5 years', 73.5, 'exact'),
        ('018M', 1.5, 'exact'),
        ('73 years old', 73, 'exact'),
        ('89+', 89, 'bound'),
        ('>89', 89, 'bound'),
        ('> 89', 89, 'bound'),
        ('>=90', 90, 'bound'),
        ('90 or older', 90, 'bound'),
        ('89+ years', 89, 'bound'),
        ('n/a', None, 'unknown'),
        ('', None, 'unknown'),
        ('NaN', None, 'unknown'),
        ('Unknown', None, 'unknown'),
        ('70-79', None, 'unclear'),
        ('<65', None, 'unclear'),
        ('999', None, 'unclear'),
        ('-9', None, 'unclear'),
        ('1950-03-01', None, 'unclear'),
        ('old', None, 'unclear'),
        ('inf', None, 'unclear'),
    ],
)
def test_ages_as_people_write_them(text, years, kind):
    assert age_of(text) == (years, kind)


def test_measures_are_no_ages():
    assert covariates.number('73,5') is None
    assert covariates.number('89+') is None


def test_ages_that_are_not_understood_are_counted_and_told(study, tmp_path, capsys, undrawn):
    raw, out = study
    people = (raw / 'participants.tsv').read_text().splitlines()
    for at, age in {1: '70-79', 2: '70-79', 3: 'about 80', 4: '89+', 5: 'n/a', 6: '73,5'}.items():
        label, _, site = people[at].split('\t')
        people[at] = f'{label}\t{age}\t{site}'
    (raw / 'participants.tsv').write_text('\n'.join(people) + '\n')
    assert run([str(raw), str(out), 'group', '-w', str(tmp_path / 'work')]) == 0
    said = capsys.readouterr().err
    page = html.unescape((out / 'group.html').read_text())
    for words in (
        '3 ages are not numbers of years and are not used ("70-79", "about 80")',
        '1 age is only a lower bound ("89+"); the bound is used as the age.',
    ):
        assert words in said
        assert words in page
    assert '73,5' not in said


def test_visits_whose_tables_were_not_fetched_are_told(study, tmp_path, capsys, undrawn):
    raw, out = study
    folder = out / 'sub-01' / 'ses-1'
    for path in (folder / 'log' / 'status.json', *folder.glob('*csvdlong_measures.tsv')):
        path.unlink()
        path.symlink_to('.git/annex/objects/MD5E-s1--a')
    assert run([str(raw), str(out), 'group', '-w', str(tmp_path / 'work')]) == 0
    assert len(table(out, 'measures')) == 30
    said = capsys.readouterr().err
    assert 'The content of status.json is not here: fetch it' in said
    assert 'the content of 2 tables or status files of visits is missing' in said


def test_the_page_of_states_replaces_no_other_page(study, tmp_path, capsys):
    _, out = study
    page = tmp_path / 'mine.html'
    page.write_text('<html>mine</html>')
    with pytest.raises(UsageError, match='another kind'):
        run(['status', str(out), '--html', str(page)])
    assert page.read_text() == '<html>mine</html>'
    for _ in range(2):
        run(['status', str(out), '--html', str(tmp_path / 'new.html')])
    assert '<title>csvdprep' in (tmp_path / 'new.html').read_text()
