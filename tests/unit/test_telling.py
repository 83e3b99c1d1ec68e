"""What is told of a run, and of its failures, never changes what becomes of it."""

import io
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from csvdprep.cli.progress import Progress
from csvdprep.core.failure import Failure, said
from csvdprep.core.plan import Scan, Visit, VisitInput, make_plan
from csvdprep.core.settings import Settings
from csvdprep.graph import finish as finishing
from csvdprep.graph import run as running
from csvdprep.graph.discover import discover
from csvdprep.graph.status import Status, read_status
from csvdprep.graph.telling import keep, traceback_lines
from csvdprep.report import visit


class MuteError(Exception):
    def __str__(self):
        raise ValueError('I say nothing')


ODD = (
    ValueError('odd \udce9'),
    UnicodeEncodeError('ascii', 'é', 0, 1, 'not in range'),
    MuteError(),
    OSError(28, 'No space left on device'),
    KeyError('x'),
    RecursionError('deep'),
)


def names(error):
    return type(error).__name__


@pytest.mark.parametrize('error', ODD, ids=names)
def test_every_error_is_put_in_words_and_written(tmp_path, error):
    said(error).encode()
    path = keep(tmp_path / 'new', 'crash.txt', traceback_lines(error))
    assert Path(path).read_text(encoding='utf-8')


def test_what_cannot_be_kept_is_not_there(tmp_path):
    (tmp_path / 'file').touch()
    assert keep(tmp_path / 'file', 'crash.txt', ['text']) == ''


class Broken(io.StringIO):
    def write(self, text):
        raise BrokenPipeError(32, 'Broken pipe')


class Terminal(Broken):
    def isatty(self):
        return True


def ascii_only():
    return io.TextIOWrapper(io.BytesIO(), encoding='ascii', errors='strict')


@pytest.mark.parametrize('close', [False, True])
@pytest.mark.parametrize('stream', [ascii_only, Broken, Terminal, io.StringIO])
def test_progress_goes_on_whatever_becomes_of_the_stream(stream, close):
    stream = stream()
    progress = Progress(stream)
    if close:
        stream.close()
    progress.open('sub-01')
    progress.start('sub-01', 'node')
    progress.fail('sub-01', Failure('é', 'node', 'bug', 'été \udce9'))
    progress.end('sub-01', 'checkpoint')
    progress.close('sub-01', SimpleNamespace(state='failed', warnings=[], verdict='n/a'))


@pytest.mark.parametrize('closing', ['', '2>&-', '>&- 2>&-', '2>/dev/full', '<&- >&- 2>&-'])
def test_a_stream_that_was_closed_or_is_full(tmp_path, closing):
    code = (
        'from csvdprep.cli.run import main; from csvdprep.cli import run as r\n'
        'import os\n'
        'from csvdprep.cli.progress import Progress\n'
        'def run(argv):\n'
        '    Progress().say("é")\n'
        f'    file = open({str(tmp_path / "image")!r}, "w")\n'
        '    assert file.fileno() > 2\n'
        '    os.write(2, b"noise of a library") if not os.path.exists("/dev/full") else 0\n'
        f'    open({str(tmp_path / "end")!r}, "w").close(); return 7\n'
        'r.run = run; main([])'
    )
    done = subprocess.run(
        ['bash', '-c', f'"$0" -c "$1" {closing}', sys.executable, code], check=False
    )
    assert done.returncode == 7
    assert (tmp_path / 'end').exists()
    assert not (tmp_path / 'image').read_text()


ASCII = {
    'LC_ALL': 'C',
    'PYTHONUTF8': '0',
    'PYTHONCOERCECLOCALE': '0',
    'PATH': os.environ['PATH'],
    'PYTHONPATH': os.pathsep.join(filter(None, sys.path)),
}


@pytest.mark.parametrize('utf8', [[], ['-X', 'utf8=0']], ids=['again', 'as it is'])
@pytest.mark.parametrize('command', [[], ['status']])
def test_names_beyond_ascii_under_an_ascii_locale(tmp_path, utf8, command):
    folder = tmp_path / 'é \udce8'
    folder.mkdir()
    argv = [*command, str(folder), *([] if command else [str(folder / 'out'), 'participant'])]
    env = ASCII | ({'PYTHONUTF8': '1'} if utf8 else {})
    done = subprocess.run(
        [sys.executable, *utf8, '-m', 'csvdprep', *argv], capture_output=True, env=env, check=False
    )
    assert b'Traceback' not in done.stderr
    assert done.returncode in ((0, 1) if command else (3,))


def test_the_command_is_started_again_in_utf8_only_where_names_could_be_ascii_alone(tmp_path):
    code = (
        'import sys; from csvdprep.cli.run import main; import csvdprep.cli.run as r; '
        'r.run = lambda argv: print(sys.getfilesystemencoding(), argv) or 0; '
        'main(None)'
    )
    (tmp_path / 'go.py').write_text(code)
    for env, wanted in (
        (ASCII, 'utf-8'),
        ({**ASCII, 'PYTHONUTF8': '1'}, 'utf-8'),
        ({**ASCII, 'LC_ALL': 'C.UTF-8'}, 'utf-8'),
    ):
        done = subprocess.run(
            [sys.executable, str(tmp_path / 'go.py'), 'é'],
            env=env,
            check=True,
            capture_output=True,
            encoding='utf-8',
        )
        assert done.stdout.split() == [wanted, "['é']"]


@pytest.fixture
def plans(tmp_path):
    found = {}
    for label in ('01', '02', '03'):
        path = tmp_path / f'sub-{label}_T1w.nii.gz'
        path.touch()
        scan = Scan(name='t1w', path=str(path), uri='bids:raw:x', digest='d')
        plan = make_plan(VisitInput(visit=Visit(label), scans={'t1w': scan}), discover(()))
        found[f'sub-{label}'] = plan
    return found


class Told:
    """A progress that notes what it is told."""

    def __init__(self):
        self.closed, self.failed = {}, []

    def close(self, label, status):
        self.closed[label] = status.state

    def fail(self, label, failure):
        self.failed.append((label, failure.message))


def compute(plans, tmp_path, monkeypatch, *, execute, finish=None):
    from csvdprep.graph import execute as executing

    settings = Settings(bids_dir=tmp_path, output_dir=tmp_path / 'out', work_dir=tmp_path / 'work')
    outcome = running.Outcome(
        {label: Status.begun(plan, run_id='run', version='0') for label, plan in plans.items()}
    )
    for label, plan in plans.items():
        outcome.statuses[label].write(settings.output_dir, plan.visit)
    monkeypatch.setattr(executing, 'execute', execute)
    if finish:
        monkeypatch.setattr(running, 'finish', finish)
    told = Told()
    with running.Interrupt() as interrupt:
        running._compute(
            plans, settings, outcome=outcome, progress=told, folder=tmp_path, interrupt=interrupt
        )
    return told, outcome, settings


def states(plans, tmp_path):
    return {
        label: read_status(tmp_path / 'out', plan.visit).state for label, plan in plans.items()
    }


def _good(plan, status, settings, *, before, interrupted=False):
    status.state = 'interrupted' if interrupted else 'ok'
    status.write(settings.output_dir, plan.visit)


@pytest.mark.parametrize('error', ODD, ids=names)
def test_a_visit_that_cannot_be_closed_loses_no_other(plans, tmp_path, monkeypatch, error):
    def finish(plan, status, settings, **how):
        if plan.visit.label == 'sub-02':
            raise error
        _good(plan, status, settings, **how)

    def execute(plans, settings, *, on_visit_done, **more):
        on_visit_done('sub-02')

    told, outcome, _ = compute(plans, tmp_path, monkeypatch, execute=execute, finish=finish)
    wanted = {'sub-01': 'ok', 'sub-02': 'failed', 'sub-03': 'ok'}
    assert states(plans, tmp_path) == wanted
    assert told.closed == wanted
    assert outcome.statuses['sub-02'].failures[0].room == 'tables and report'
    (crash,) = (tmp_path / 'out').rglob('crash-finish.txt')
    assert outcome.statuses['sub-02'].failures[0].file == str(crash.relative_to(tmp_path / 'out'))


@pytest.mark.parametrize('error', ODD[:3], ids=names)
def test_whatever_ends_the_graph_every_visit_is_closed(plans, tmp_path, monkeypatch, error):
    def execute(*args, **more):
        raise error

    reported = []
    monkeypatch.setattr(
        visit, 'write_visit_report', lambda plan, **more: reported.append(plan.visit.label)
    )
    told, outcome, _ = compute(plans, tmp_path, monkeypatch, execute=execute)
    assert set(told.closed.values()) == {'failed'}
    assert set(states(plans, tmp_path).values()) == {'failed'}
    assert reported == list(plans)
    assert len(list((tmp_path / 'out').rglob('*desc-csvd_measures.tsv'))) == 3
    failure = outcome.statuses['sub-01'].failures[0]
    assert names(error) in failure.message
    assert names(error) in (tmp_path / 'out' / failure.file).read_text(encoding='utf-8')


def test_a_full_disk_closes_every_visit_and_is_told(plans, tmp_path, monkeypatch):
    def execute(*args, **more):
        raise OSError(28, 'No space left on device')

    with pytest.raises(OSError, match='No space'):
        compute(plans, tmp_path, monkeypatch, execute=execute, finish=_good)
    assert 'running' not in states(plans, tmp_path).values()


def test_impatience_while_visits_are_closed_loses_no_status(plans, tmp_path, monkeypatch):
    def execute(*args, **more):
        raise KeyboardInterrupt

    def finish(plan, status, settings, **how):
        if plan.visit.label != 'sub-03':
            os.kill(os.getpid(), signal.SIGTERM)
        _good(plan, status, settings, **how)

    with pytest.raises(KeyboardInterrupt):
        compute(plans, tmp_path, monkeypatch, execute=execute, finish=finish)
    assert set(states(plans, tmp_path).values()) == {'interrupted'}


def test_a_signal_while_the_last_visits_are_closed_loses_no_status(plans, tmp_path, monkeypatch):
    def finish(plan, status, settings, **how):
        if plan.visit.label == 'sub-01':
            raise KeyboardInterrupt
        _good(plan, status, settings, **how)

    with pytest.raises(KeyboardInterrupt):
        compute(plans, tmp_path, monkeypatch, execute=lambda *a, **k: None, finish=finish)
    assert set(states(plans, tmp_path).values()) == {'interrupted'}


@pytest.mark.parametrize('part', ['write_tables', '_write_log', 'versions'])
@pytest.mark.parametrize('error', ODD[:3], ids=names)
def test_a_part_that_cannot_be_written_loses_no_other(plans, tmp_path, monkeypatch, part, error):
    def fail(*args, **more):
        raise error

    reports = []
    monkeypatch.setattr(finishing, part, fail)
    # What the page takes of it are seconds.
    monkeypatch.setattr(visit, 'write_visit_report', lambda **more: reports.append(1))
    plan = plans['sub-01']
    status = Status.begun(plan, run_id='run', version='0')
    settings = Settings(bids_dir=tmp_path, output_dir=tmp_path / 'out', work_dir=tmp_path / 'work')
    (tmp_path / 'out' / 'sub-01' / 'log' / 'run').mkdir(parents=True)
    finishing.finish(plan, status, settings, before=set())
    found = read_status(tmp_path / 'out', plan.visit)
    assert found.state == 'failed'
    # Record and page both need the versions.
    rooms = [failure.room for failure in found.failures]
    assert {failure.kind for failure in found.failures} == {'bug'}
    assert len(rooms) == (2 if part == 'versions' else 1)
    assert reports or part == 'versions'
    assert (tmp_path / 'out' / 'logs' / 'CITATION.md').exists()
    if part != 'write_tables':
        assert list((tmp_path / 'out').rglob('*_measures.tsv'))


def test_a_visit_whose_folder_cannot_be_written_to_ends_no_run(tmp_path, monkeypatch):
    out = tmp_path / 'out'
    (out / 'sub-01').mkdir(parents=True)
    (out / 'sub-01' / 'log').touch()
    given = []
    for label in ('01', '02'):
        path = tmp_path / f'sub-{label}_T1w.nii.gz'
        path.touch()
        scan = Scan(name='t1w', path=str(path), uri='bids:raw:x', digest='d')
        given.append(VisitInput(visit=Visit(label), scans={'t1w': scan}))
    computed, lines = [], []
    monkeypatch.setattr(running, '_compute', lambda plans, *_, **__: computed.extend(plans))
    settings = Settings(bids_dir=tmp_path, output_dir=out, work_dir=tmp_path / 'work')
    outcome = running.run_participants(given, settings, say=lines.append, progress=Told())
    assert computed == ['sub-02']
    assert outcome.statuses['sub-01'].state == 'failed'
    assert 'cannot be started' in lines[0]


def test_a_visit_that_cannot_be_written_anew_loses_no_other(plans, tmp_path, monkeypatch):
    from csvdprep.graph import again

    settings = Settings(bids_dir=tmp_path, output_dir=tmp_path / 'out', work_dir=tmp_path / 'work')
    given, lines, done = [], [], []
    for plan in plans.values():
        Status.begun(plan, run_id='run', version='0').write(settings.output_dir, plan.visit)
        given.append(VisitInput(visit=plan.visit, scans=plan.scans))

    def finish(plan, status, settings, *, before):
        if plan.visit.label == 'sub-02':
            raise MuteError
        status.state = 'ok'
        done.append(plan.visit.label)

    monkeypatch.setattr(again, 'finish', finish)
    assert again.rewrite(given, settings, say=lines.append) == 1
    assert done == ['sub-01', 'sub-03']
    assert 'sub-02: report and tables FAILED: MuteError' in lines


def test_reasons_name_scans_as_the_report_does(plans, tmp_path, monkeypatch):
    monkeypatch.setattr(visit, 'write_visit_report', lambda **more: None)
    plan = plans['sub-01']
    status = Status.begun(plan, run_id='run', version='0')
    settings = Settings(bids_dir=tmp_path, output_dir=tmp_path / 'out', work_dir=tmp_path / 'work')
    (tmp_path / 'out' / 'sub-01' / 'log' / 'run').mkdir(parents=True)
    finishing.finish(plan, status, settings, before=set())
    (table,) = (tmp_path / 'out').rglob('*csvdlong_measures.tsv')
    text = table.read_text()
    assert 'needs FLAIR, which this visit does not have' in text
    assert 'needs flair' not in text
    # What decides whether a visit is done is as it was.
    assert status.skipped == dict(plan.skipped)
