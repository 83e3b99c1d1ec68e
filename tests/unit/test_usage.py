"""What users type, and what they are told: defaults, exclusion, early checks, near words."""

import argparse
import json
import os
from importlib import import_module
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from builders import leave_visit, write_dataset

from csvdprep.cli import subcommands
from csvdprep.cli.parser import DEFAULT_SPACES, get_parser, to_settings
from csvdprep.cli.run import run
from csvdprep.core.errors import CsvdprepError, PreflightError, UsageError
from csvdprep.core.plan import Visit
from csvdprep.graph.finish import settings_text
from csvdprep.resources import SPACE


def settings(*more):
    return to_settings(get_parser().parse_args(['bids', 'out', 'participant', *more]))


def subparser(name):
    parser = argparse.ArgumentParser(name)
    import_module(f'csvdprep.cli.{name}').configure(parser)
    subcommands.show_defaults(parser)
    return parser


@pytest.mark.parametrize('name', ['', *subcommands.NAMES])
def test_help_shows_every_default(name):
    todo = [subparser(name) if name else get_parser()]
    while todo:
        for action in todo.pop()._actions:
            if isinstance(action, argparse._SubParsersAction):
                todo += {id(part): part for part in action.choices.values()}.values()
            elif action.dest in ('help', 'version'):
                continue
            elif action.option_strings and not action.required:
                assert 'default' in (action.help or ''), action.option_strings
            elif not action.option_strings:
                assert action.help, action.dest


def test_the_defaults_that_are_told_are_those_that_are_used(tmp_path):
    asked = settings()
    assert asked.output_spaces == DEFAULT_SPACES == ('T1w', f'{SPACE}:res-2')
    assert settings('--output-spaces').output_spaces == ()
    file = tmp_path / 'kept.toml'
    file.write_text(settings_text(settings('--output-spaces')))
    assert settings('--config-file', str(file)).output_spaces == ()
    assert (asked.rerun, asked.random_seed, asked.b0_threshold) == ('stale', 42, 100)


@pytest.fixture(scope='module')
def study(tmp_path_factory):
    files = [f'sub-{s}/ses-{x}/anat/sub-{s}_ses-{x}_T1w' for s in ('01', '02') for x in ('1', '2')]
    return write_dataset(tmp_path_factory.mktemp('study') / 'raw', files)


def planned(raw, folder, capsys, *more):
    """Return the visits of a dry run."""
    asked = [str(raw), str(folder / 'out'), 'participant', '-w', str(folder / 'work')]
    code = run([*asked, '--dry-run', '--output-spaces', '--markers', 'atrophy', *more])
    said = capsys.readouterr().out
    return code, [line for line in said.splitlines() if line.startswith('sub-')]


@pytest.mark.parametrize(
    ('options', 'left'),
    [
        ((), ['sub-01_ses-1', 'sub-01_ses-2', 'sub-02_ses-1', 'sub-02_ses-2']),
        (('--exclude-session-label', '2'), ['sub-01_ses-1', 'sub-02_ses-1']),
        (
            ('--exclude-session-label', 'sub-02_ses-1'),
            ['sub-01_ses-1', 'sub-01_ses-2', 'sub-02_ses-2'],
        ),
        (('--exclude-participant-label', 'sub-01'), ['sub-02_ses-1', 'sub-02_ses-2']),
    ],
)
def test_visits_are_left_out(study, tmp_path, capsys, options, left):
    assert planned(study, tmp_path, capsys, *options) == (0, left)
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    ('options', 'field'),
    [
        (('--exclude-session-label', '7'), '--exclude-session-label'),
        (('--exclude-session-label', 'sub-01_ses-7'), '--exclude-session-label'),
        (('--exclude-session-label', 'sub-01_ses'), '--exclude-session-label'),
        (('--exclude-participant-label', '7'), '--exclude-participant-label'),
        (('--exclude-session-label', '1', '2'), '--exclude-participant-label, --exclude-session-'),
    ],
)
def test_what_cannot_be_left_out(study, tmp_path, capsys, options, field):
    with pytest.raises(UsageError) as found:
        planned(study, tmp_path, capsys, *options)
    assert found.value.field.startswith(field)


def test_tables_of_the_group_leave_visits_out(tmp_path):
    for label in ('sub-01_ses-1', 'sub-01_ses-2', 'sub-02_ses-1'):
        leave_visit(tmp_path / 'out', Visit.of(label))
    raw = write_dataset(tmp_path / 'raw')
    asked = [str(raw), str(tmp_path / 'out'), 'group', '-w', str(tmp_path / 'work')]
    assert run([*asked, '--exclude-session-label', 'sub-01_ses-2']) == 0
    rows = (tmp_path / 'out' / 'group_measures.tsv').read_text().splitlines()[1:]
    assert [row.split('\t')[:2] for row in rows] == [['sub-01', 'ses-1'], ['sub-02', 'ses-1']]


@pytest.mark.parametrize(
    ('more', 'error', 'field'),
    [
        (['{raw}', '{raw}', 'participant'], UsageError, 'output_dir'),
        (['{raw}', '{tmp}/file/out', 'participant'], PreflightError, None),
        (['{raw}', '{out}', 'participant', '-w', '{tmp}/file/work'], PreflightError, '--work-dir'),
        (['{raw}', '{out}', 'participant', '--output-spaces', 'Mars'], PreflightError, None),
        (['{raw}', '{out}', 'participant', '--use-plugin', '{tmp}/no'], CsvdprepError, None),
        (['slurm', '{raw}', '{raw}'], UsageError, 'output_dir'),
        (['slurm', '{raw}', '{out}', '--output-spaces', 'Mars'], PreflightError, None),
        (['slurm', '{raw}', '{out}', '--container', 'no/such.sif'], PreflightError, '--container'),
        (['slurm', '{raw}', '{tmp}/file/out'], PreflightError, None),
    ],
)
def test_a_dry_run_fails_where_the_run_would(study, tmp_path, monkeypatch, more, error, field):
    monkeypatch.setenv('TEMPLATEFLOW_HOME', str(tmp_path / 'templates'))
    (tmp_path / 'templates' / 'tpl-Venus').mkdir(parents=True)
    (tmp_path / 'templates' / 'tpl-Venus' / 'tpl-Venus_res-1_T1w.nii.gz').touch()
    (tmp_path / 'file').touch()
    words = {'raw': study, 'tmp': tmp_path, 'out': tmp_path / 'out'}
    before = sorted(tmp_path.rglob('*'))
    with pytest.raises(error) as found:
        run([word.format(**words) for word in more] + ['--dry-run'])
    if field:
        assert found.value.field == field
    assert sorted(tmp_path.rglob('*')) == before


def test_a_dry_run_of_an_array_job_writes_nothing(study, tmp_path, capsys):
    assert run(['slurm', str(study), str(tmp_path / 'out'), '--dry-run']) == 0
    assert '4 visits; a task asks for' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


@pytest.mark.skipif(os.geteuid() == 0, reason='root may write anywhere')
def test_a_folder_that_may_not_be_written_to(study, tmp_path):
    (tmp_path / 'out').mkdir(mode=0o500)
    with pytest.raises(PreflightError, match='Permission denied'):
        run([str(study), str(tmp_path / 'out'), 'participant', '--dry-run'])


def test_derivatives_that_yield_nothing_are_an_error(study, tmp_path, capsys):
    other = tmp_path / 'hand'
    (other / 'sub-09').mkdir(parents=True)
    with pytest.raises(UsageError, match='"hand" of --derivatives has no usable file') as found:
        planned(study, tmp_path, capsys, '-d', f'hand={other}')
    assert '--derivatives-optional' in found.value.remedy
    code, visits = planned(
        study, tmp_path, capsys, '-d', f'hand={other}', '--derivatives-optional'
    )
    assert (code, len(visits)) == (0, 4)
    # One visit of several is enough.
    image = nib.load(study / 'sub-01' / 'ses-1' / 'anat' / 'sub-01_ses-1_T1w.nii.gz')
    mask = nib.Nifti1Image(np.ones(image.shape, np.uint8), image.affine)
    place = other / 'sub-01' / 'ses-1' / 'anat' / 'sub-01_ses-1_desc-brain_mask.nii.gz'
    place.parent.mkdir(parents=True)
    nib.save(mask, place)
    assert planned(study, tmp_path, capsys, '-d', f'hand={other}')[0] == 0
    (tmp_path / 'empty').mkdir()
    with pytest.raises(UsageError, match='has no file of any selected visit'):
        run(['slurm', str(study), str(tmp_path / 'out'), '-d', f'e={tmp_path / "empty"}'])


@pytest.mark.parametrize(
    ('asked', 'told'),
    [
        (['--set', 'wmh.seedz=3'], 'did you mean seed_'),
        (['--set', 'whm.runs=3'], 'Did you mean wmh?'),
        (['--markers', 'WHM'], 'Did you mean wmh?'),
        (['--ignore', 'flare'], 'Did you mean flair'),
        (['--ignore', 'brian'], 'Did you mean brain'),
        (['--markers', 'xylophone'], 'The markers are'),
    ],
)
def test_a_mistyped_name_is_told_what_may_be_meant(asked, told):
    with pytest.raises(UsageError) as found:
        settings(*asked)
    assert told in str(found.value)
    assert len(str(found.value)) < 450


@pytest.mark.parametrize(
    'option', ['--bids-filter-file', '--config-file', '--use-plugin', '--manual-ratings']
)
def test_a_file_that_is_missing_is_told_so(study, tmp_path, option):
    file = tmp_path / 'missing.json'
    with pytest.raises(CsvdprepError) as found:
        run([str(study), str(tmp_path / 'out'), 'participant', '--dry-run', option, str(file)])
    assert 'valid' not in str(found.value)
    assert 'exist' in str(found.value) or 'No such file' in str(found.value)


def test_one_of_several_t1w_is_chosen_by_a_filter_or_by_an_ignored_file(tmp_path, capsys):
    files = [f'sub-01/anat/sub-01_run-{run}_T1w' for run in (1, 2)]
    raw = write_dataset(tmp_path / 'raw', files)

    def taken(*more):
        asked = [str(raw), str(tmp_path / 'out'), 'participant', '--dry-run', *more]
        assert run(asked) == 0
        lines = capsys.readouterr().out.splitlines()
        return next(line for line in lines if line.strip().startswith('t1w ')).rsplit('/', 1)[1]

    assert taken() == 'sub-01_run-1_T1w.nii.gz'
    choice = tmp_path / 'filter.json'
    choice.write_text(json.dumps({'t1w': {'run': 2}}))
    assert taken('--bids-filter-file', str(choice)) == 'sub-01_run-2_T1w.nii.gz'
    (raw / '.bidsignore').write_text('sub-01_run-1_T1w.nii.gz\n')
    assert taken() == 'sub-01_run-2_T1w.nii.gz'


def test_templates_are_kept_out_of_a_home_without_them(study, tmp_path, monkeypatch):
    from csvdprep.cli.run import _prepare_templateflow
    from csvdprep.imaging.spaces import templateflow_home

    for name in ('TEMPLATEFLOW_HOME', 'XDG_CACHE_HOME'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('HOME', str(tmp_path / 'home'))
    cache = tmp_path / 'work' / 'cache'
    _prepare_templateflow(settings(), cache)
    assert 'TEMPLATEFLOW_HOME' not in os.environ  # nothing has to be fetched
    asked = settings('--output-spaces', 'MNI152NLin6Asym')
    (tmp_path / 'home' / '.cache' / 'templateflow').mkdir(parents=True)
    _prepare_templateflow(asked, cache)
    assert templateflow_home() == Path(tmp_path, 'home', '.cache', 'templateflow')
    (tmp_path / 'home' / '.cache' / 'templateflow').rmdir()
    monkeypatch.setenv('TEMPLATEFLOW_HOME', '')
    _prepare_templateflow(asked, cache)
    assert templateflow_home() == cache / 'templateflow'


def test_the_demo_ends_in_words(tmp_path):
    from csvdprep.cli.demo import SHOWN, summary
    from csvdprep.graph.discover import discover
    from csvdprep.scoring import Scores

    first, second = (
        {'participant_id': 'sub-01', 'session_id': f'ses-{session}'} for session in '12'
    )
    scores = Scores(
        'an app',
        'a phantom',
        ('sub-01_ses-1', 'sub-01_ses-2'),
        (),
        masks=[
            {**first, 'label': 'WMH', 'space': 'FLAIR', 'dice': 0.713}
            | {'found_ml': 12.34, 'truth_ml': 13.1}
        ],
        detection=[
            {'label': 'CMB', 'size': 'all', 'tp': 5, 'n_true': 6, 'fp': 1, 'n_found': 6}
            | {'n_counted': 5, 'tp_counted': 5, 'fp_counted': 0}
        ],
        pairs=[
            {**first, 'measure': 'wmh_total_ml', 'truth': 14.0, 'found': 12.34},
            {**first, 'measure': 'fa_nawm', 'truth': 0.4, 'found': 0.39},
            {**second, 'measure': 'wmh_total_ml', 'truth': 20.0, 'found': None},
        ],
    )
    for name in ('sub-01', 'sub-01_ses-1', 'sub-01_ses-2', 'group', 'score'):
        (tmp_path / f'{name}.html').touch()
    said = summary(scores, 'tiny', tmp_path, tmp_path / 'score.html')
    lines = said.splitlines()
    row = next(line for line in lines if 'hyperintensities' in line)
    assert row.split()[-5:] == ['mL', '12.34', 'of', '14', '-']
    assert not any('Lacunes' in line for line in lines)
    assert '0.71' in said
    assert '  microbleeds: 5 of 6 (0); 1 possible, none of them a lesion' in lines
    seen = next(line for line in lines if 'half of a voxel' in line)
    assert seen.split()[-3:] == ['12.34', 'of', '13.1']
    assert 'Close to the truth: hyperintensities (within 12 %).' in lines
    scores.pairs[0]['found'] = 10.0
    again = summary(scores, 'tiny', tmp_path, tmp_path / 'score.html')
    assert 'Far from it: hyperintensities (off by up to 29 %).' in again.splitlines()
    for name in ('sub-01_ses-1', 'sub-01', 'group', 'score'):
        assert f'{tmp_path / name}.html' in said
    assert f'csvdprep review {tmp_path}' in said
    assert '2 mm' in said
    assert '2 mm' not in summary(scores, 'full', tmp_path, tmp_path / 'score.html')
    assert max(len(line) for line in lines if str(tmp_path) not in line) < 100
    measures = {m.name for room in discover(level='') for m in room.measures}
    assert {*SHOWN} <= measures
    # Pages that are named exist.
    root = Path(__file__).parents[2]
    if (root / 'docs').is_dir():
        assert (root / 'docs' / 'howto' / 'eyes.md').is_file()


def test_the_demo_runs_both_levels_and_compares(tmp_path, monkeypatch, capsys):
    import csvdprep.phantom.dataset.demo as phantom
    import csvdprep.scoring as scoring
    from csvdprep.cli import demo

    monkeypatch.setattr(phantom, 'make_demo', lambda folder, **more: None)
    monkeypatch.setattr(scoring, 'score', lambda *given: scoring.Scores('a', 'b', (), ()))
    monkeypatch.setattr(scoring, 'write', lambda scores, folder: folder / 'score.html')
    parser, codes, ran = argparse.ArgumentParser(), iter((0, 1)), []
    demo.configure(parser)
    args = parser.parse_args([str(tmp_path / 'demo')])
    args.app = lambda argv: ran.append(argv) or next(codes)
    assert demo.run(args) == 1  # what the group level said
    assert [argv[2] for argv in ran] == ['participant', 'group']
    # The options that it sets are there.
    assert to_settings(get_parser().parse_args(ran[0])).options.keys() == {
        'registration',
        'dwi_template',
    }
    ran.clear()
    args.app = lambda argv: ran.append(argv) or 3
    assert demo.run(args) == 3
    assert len(ran) == 1


def test_the_quick_demo_has_one_visit_with_all_scans():
    from csvdprep.phantom.dataset.demo import PERSONS, _quick

    made = [state.modalities for person in _quick() for state in person.states]
    assert made == [(), ('T1w', 'FLAIR'), ('T1w', 'FLAIR')]
    assert sum(len(person.states) for person in PERSONS) == 4
