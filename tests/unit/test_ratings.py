"""Ratings by persons: what is refused, what is told, whose keys change, and how raters agree."""

import json

import pytest
from builders import write_dataset

from csvdprep.bids.query import collect_visits
from csvdprep.bids.ratings import ratings_of, read_ratings
from csvdprep.bids.tsv import read_tsv
from csvdprep.cli.parser import get_parser, to_settings
from csvdprep.cli.run import run
from csvdprep.cluster.manifest import freeze_files
from csvdprep.core.errors import InputError
from csvdprep.core.plan import Scan, Visit, VisitInput, make_plan
from csvdprep.core.settings import Settings
from csvdprep.graph.discover import declared, discover
from csvdprep.graph.judging import Judged
from csvdprep.graph.tables import collect, write_tables
from csvdprep.group.agreement import GROUPS, agreement_rows, write_agreement
from csvdprep.imaging.inspect import inspect_image
from csvdprep.markers.scores import ROOM

HEAD = 'participant_id\tsession_id\trater\tmarker\tvalue\tcandidate\tcomment\n'


def table(folder, *rows, head=HEAD, name='ratings.tsv'):
    path = folder / name
    path.write_text(head + ''.join('\t'.join(row) + '\n' for row in rows))
    return path


def refused(path):
    with pytest.raises(InputError) as caught:
        read_ratings(path, print)
    assert caught.value.file == str(path)
    assert caught.value.remedy
    assert caught.value.exit_code == 3
    return caught.value


SOUND = ('sub-01', 'n/a', 'AB', 'fazekas_pv', '3')


@pytest.mark.parametrize(
    ('row', 'column', 'said', 'remedy'),
    [
        (
            ('sub-01', 'n/a', 'AB', 'fazekas_vp', '3'),
            'marker',
            'Row 2: there is no marker "fazekas_vp"',
            'Did you mean fazekas_pv',
        ),
        (
            ('sub-01', 'n/a', 'AB', 'fazekas_pv', '4'),
            'value',
            'Row 2: "4" cannot be: fazekas_pv has to be a whole number from 0 to 3',
            'n/a where it was not rated',
        ),
        (('sub-01', 'n/a', 'AB', 'cmb_n', '-1'), 'value', 'a whole number from 0', 'Correct it'),
        (('sub-01', 'n/a', 'AB', 'cmb_n', '1.5'), 'value', 'a whole number from 0', 'Correct it'),
        (('sub-01', 'n/a', 'AB', 'cmb_n', 'many'), 'value', '"many" cannot be', 'Correct it'),
        (('sub-01', 'n/a', 'AB', 'cmb_n', 'inf'), 'value', '"inf" cannot be', 'Correct it'),
        (('sub-01', 'n/a', 'AB', 'css', 'some'), 'value', 'none, focal, disseminated', 'Correct'),
        (('sub-01', 'n/a', 'n/a', 'cmb_n', '1'), 'rater', 'is no name of a rater', 'initials'),
        (('sub-01', 'n/a', 'A;B', 'cmb_n', '1'), 'rater', '"A;B" is no name', 'initials'),
        (('n/a', 'n/a', 'AB', 'cmb_n', '1'), 'participant_id', 'is not told', 'Write sub-01'),
        (
            ('sub-01', 'n/a', 'AB', 'cmb_lesions', 'maybe', '1'),
            'value',
            '"maybe" is nothing that can be said',
            'accept, reject',
        ),
        (
            ('sub-01', 'n/a', 'AB', 'cmb_lesions', 'accept', 'first'),
            'candidate',
            '"first" names no candidate',
            'its index',
        ),
        (
            ('sub-01', 'n/a', 'AB', 'cmb_n', '1', '4'),
            'candidate',
            'cmb_n is no list',
            'cmb_lesions',
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_with_row_column_and_remedy(
    tmp_path, row, column, said, remedy
):
    error = refused(table(tmp_path, SOUND, row))
    assert said in error.message
    assert column in error.field
    assert remedy in error.remedy


def test_all_faults_are_told_at_once_and_counted(tmp_path):
    rows = [('sub-01', 'n/a', 'AB', f'x{i}', '1') for i in range(8)]
    error = refused(table(tmp_path, *rows))
    assert error.message.count('there is no marker') == 5
    assert 'There are 3 more faults.' in error.message


def test_the_same_rater_rates_once(tmp_path):
    again = ('01', '', 'AB', 'fazekas_pv', '2')
    error = refused(table(tmp_path, SOUND, again))
    assert 'AB rates fazekas_pv of sub-01 twice' in error.message
    other = ('sub-01', 'n/a', 'CD', 'fazekas_pv', '2')
    assert len(read_ratings(table(tmp_path, SOUND, other), print)) == 2
    both = [('sub-01', 'n/a', 'AB', 'cmb_lesions', 'accept', n) for n in ('1', '2')]
    assert len(read_ratings(table(tmp_path, *both), print)) == 2


def test_parts_are_not_more_than_the_whole(tmp_path):
    rows = [('sub-01', '', 'AB', 'cmb_n', '1'), ('sub-01', '', 'AB', 'cmb_lobar_n', '2')]
    assert (
        'AB counts 2 in cmb_lobar_n of sub-01, and 1 in cmb_n'
        in refused(table(tmp_path, *rows)).message
    )
    names = ('cmb_lobar_n', 'cmb_deep_n', 'cmb_infratentorial_n')
    rows = [('sub-01', '', 'AB', name, '1') for name in names]
    assert (
        'and 4 in cmb_n'
        in refused(table(tmp_path, *rows, ('sub-01', '', 'AB', 'cmb_n', '4'))).message
    )
    # Lacunes may lie elsewhere.
    rows = [('sub-01', '', 'AB', 'lacune_deep_n', '1'), ('sub-01', '', 'AB', 'lacune_n', '4')]
    assert len(read_ratings(table(tmp_path, *rows), print)) == 2


def test_parts_of_a_visit_that_is_told_in_two_ways(tmp_path):
    """With and without its session, the only visit of a participant is one."""
    rows = [('sub-01', 'n/a', 'AB', 'cmb_n', '1'), ('sub-01', 'ses-1', 'AB', 'cmb_lobar_n', '3')]
    path = table(tmp_path, *rows)
    with pytest.raises(InputError, match='counts 3 in cmb_lobar_n'):
        ratings_of(read_ratings(path, print), {'01': ['1']}, path, print)


def test_a_table_without_its_columns_or_that_is_not_there(tmp_path):
    error = refused(table(tmp_path, head='participant\trater\tmarker\tvalue\n'))
    assert 'no column participant_id. "participant" may be meant.' in error.message
    assert 'does not exist' in refused(tmp_path / 'nowhere.tsv').message
    assert 'separated by commas' in refused(table(tmp_path, head='a,b\n')).message


def test_what_spreadsheets_make_of_it_is_read(tmp_path):
    rows = [
        ('SUB-01', 'ses-1', 'AB', 'CSS'.lower(), ' Focal '),
        ('01', '1', 'AB', 'cmb_n', '3.0'),
        ('01', '1', 'AB', 'lacune_n', 'n/a'),
        ('', '', '', '', ''),
    ]
    head = HEAD.replace('session_id', 'Session ID').replace('rater', 'Rater')
    found = read_ratings(table(tmp_path, *rows, head=head), print)
    assert [(r.subject, r.session, r.marker, r.value) for r in found] == [
        ('01', '1', 'css', 1),
        ('01', '1', 'cmb_n', 3),
    ]


# ---- visits


def given(root, path, *, said=None):
    settings = Settings(bids_dir=root, output_dir=root / 'out', manual_ratings=path)
    said = [] if said is None else said
    visits = collect_visits(settings, declared(), inspect=inspect_image, warn=said.append)
    return {v.visit.label: v for v in visits}


@pytest.fixture(scope='module')
def raw(tmp_path_factory):
    return write_dataset(
        tmp_path_factory.mktemp('raw'),
        [
            'sub-01/anat/sub-01_FLAIR',
            'sub-02/ses-1/anat/sub-02_ses-1_FLAIR',
            'sub-02/ses-2/anat/sub-02_ses-2_FLAIR',
            'sub-03/ses-1/anat/sub-03_ses-1_FLAIR',
        ],
    )


def test_each_visit_gets_its_ratings_and_the_rest_is_told(raw, tmp_path):
    path = table(
        tmp_path,
        SOUND,
        ('sub-02', 'ses-2', 'AB', 'css', 'none'),
        ('sub-02', 'n/a', 'AB', 'css', 'focal'),
        ('sub-03', 'n/a', 'AB', 'css', 'focal'),
        ('sub-3', 'n/a', 'AB', 'css', 'focal'),
        ('sub-01', 'ses-9', 'AB', 'css', 'focal'),
    )
    said = []
    found = given(raw, path, said=said)
    rated = {
        k: v.scans['ratings'].content['ratings'] for k, v in found.items() if 'ratings' in v.scans
    }
    assert set(rated) == {'sub-01', 'sub-02_ses-2', 'sub-03_ses-1'}
    assert rated['sub-01'] == [
        {'rater': 'AB', 'marker': 'fazekas_pv', 'value': 3, 'candidate': ''}
    ]
    stranger, wrong, vague = said
    assert 'the dataset does not have; they are left out: sub-3. Did you mean sub-03?' in stranger
    assert 'sessions that the dataset does not have; they are left out: sub-01_ses-9.' in wrong
    assert 'are left out: sub-02. Fill in session_id.' in vague
    twice = table(
        tmp_path, ('sub-03', 'n/a', 'AB', 'css', 'focal'), ('sub-03', 'ses-1', 'AB', 'css', 'none')
    )
    with pytest.raises(InputError, match='AB rates css of sub-03 twice'):
        given(raw, twice)


def keys(visit):
    plan = make_plan(visit, discover())
    return {step.room.name: step.key for step in plan.steps}


def test_only_the_scores_of_a_visit_are_computed_anew_when_its_ratings_change(raw, tmp_path):
    other = ('sub-02', 'ses-2', 'AB', 'css', 'none')
    first = given(raw, table(tmp_path, SOUND, other))
    before = {label: keys(visit) for label, visit in first.items()}
    # Order, comments, ratings of others, the name and the place of the table change nothing.
    moved = tmp_path / 'elsewhere'
    moved.mkdir()
    path = table(moved, other, (*SOUND[:4], '3', 'n/a', 'a look at it'), name='b.tsv')
    assert {label: keys(visit) for label, visit in given(raw, path).items()} == before
    changed = given(raw, table(tmp_path, (*SOUND[:4], '2'), other))
    after = {label: keys(visit) for label, visit in changed.items()}
    assert after['sub-02_ses-2'] == before['sub-02_ses-2']
    differ = {room for room, key in after['sub-01'].items() if key != before['sub-01'][room]}
    assert differ == {'review', 'scores'}
    without = {label: keys(visit) for label, visit in given(raw, None).items()}
    assert without['sub-02_ses-1'] == before['sub-02_ses-1']
    kept = without['sub-01']
    assert {r for r in before['sub-01'] if kept.get(r) != before['sub-01'][r]} == {
        'review',
        'scores',
    }


def test_a_visit_without_what_grades_need_is_scored_by_its_ratings_alone():
    dwi = Scan(name='dwi', path='dwi.nii', uri='bids:raw:dwi.nii')
    rated = Scan(name='ratings', path='r.tsv', uri='', digest='x', content={'ratings': []})

    def plan(**scans):
        return make_plan(VisitInput(visit=Visit('01'), scans={'dwi': dwi, **scans}), discover())

    assert 'scores' in plan().skipped
    assert 'scores' in {step.room.name for step in plan(ratings=rated).steps}


def test_the_option_is_checked_before_anything_runs(raw, tmp_path, capsys):
    path = table(tmp_path, ('sub-01', 'n/a', 'AB', 'fazekas', '3'))
    out = tmp_path / 'out'
    with pytest.raises(InputError, match='there is no marker "fazekas"'):
        run([str(raw), str(out), 'participant', '--manual-ratings', str(path)])
    assert not out.exists()
    good = table(tmp_path, SOUND)
    args = [str(raw), str(out), 'participant', '--manual-ratings', str(good), '--dry-run']
    assert run(args) == 0
    assert 'takes ratings, ' in capsys.readouterr().out
    settings = to_settings(get_parser().parse_args(args))
    assert settings.manual_ratings == good


def test_tasks_of_a_cluster_have_a_copy_of_the_table(tmp_path):
    path = table(tmp_path, SOUND)
    frozen = freeze_files(['--manual-ratings', str(path)], tmp_path / 'job')
    assert frozen[1] == str(tmp_path / 'job' / 'manual-ratings.tsv')
    assert read_ratings(frozen[1], print) == read_ratings(path, print)


# ---- agreement


def leave(out, label, ratings, **measured):
    """Write what a visit leaves: its ratings, and its long table."""
    visit = Visit.of(label)
    folder = out / visit.folder / 'anat'
    folder.mkdir(parents=True)
    names = [column.name for column in ROOM.makes['svd_ratings'].columns]
    lines = ['\t'.join(names)]
    lines += [f'{marker}\t{rater}\t{value}\tn/a\tn/a' for rater, marker, value in ratings]
    (folder / f'{visit.label}_desc-ratings_scores.tsv').write_text('\n'.join(lines) + '\n')
    rows = collect(discover(), {}, {})
    for row in rows:
        row |= {'value': measured.get(row['name']), 'ungated': None}
    write_tables(visit, Judged(rows), discover(), out)
    return visit


def test_agreement_is_read_from_what_visits_left(tmp_path):
    grades = [(0, 0, 0), (1, 1, 1), (2, 3, 2), (3, 3, 2), (3, 2, 3), (0, 1, 0)]
    visits = [
        leave(
            tmp_path,
            f'sub-{i:02d}',
            [
                ('AB', 'fazekas_pv', a),
                ('CD', 'fazekas_pv', c),
                ('AB', 'css', 'none' if i else 'focal'),
                ('AB', 'cmb_lesions', 'accept'),
            ],
            fazekas_pv=m,
            css='focal',
        )
        for i, (a, c, m) in enumerate(grades)
    ]
    visits.append(leave(tmp_path, 'sub-99', [('AB', 'fazekas_pv', 3)]))  # not given out
    path = write_agreement(tmp_path, visits)
    rows = {(r['marker'], r['rater'], r['against']): r for r in read_tsv(path).rows}
    assert set(rows) == {
        ('fazekas_pv', 'AB', 'measured'),
        ('fazekas_pv', 'CD', 'measured'),
        ('fazekas_pv', 'all raters', 'measured'),
        ('fazekas_pv', 'AB', 'CD'),
    }
    row = rows['fazekas_pv', 'AB', 'measured']
    # By hand: one pair differs, by 1, of six; all combinations differ by 61 / 36 squared.
    chance = sum((a - m) ** 2 for a, _, _ in grades for _, _, m in grades) / 36
    assert float(row['kappa']) == pytest.approx(1 - (1 / 6) / chance, abs=1e-3)
    assert float(row['bias']) == pytest.approx(-1 / 6, abs=1e-3)
    assert (row['n'], row['exact_pct']) == ('6', '83.33')
    sd = (5 / 36 * 6 / 5) ** 0.5
    assert float(row['loa_high']) == pytest.approx(-1 / 6 + 1.96 * sd, abs=1e-3)
    assert rows['fazekas_pv', 'all raters', 'measured']['n'] == '12'
    described = json.loads(path.with_suffix('.json').read_text())
    assert set(described) == set(read_tsv(path).columns)


def test_errors_against_ratings_by_site_and_sex(tmp_path):
    visits, facts = [], []
    for i in range(24):
        rated, off = i % 3, i % 2  # measured one grade too high at site B
        ratings = [('AB', 'fazekas_pv', rated), ('consensus', 'fazekas_pv', rated)]
        visits.append(leave(tmp_path, f'sub-{i:02d}', ratings, fazekas_pv=rated + off))
        who = {'participant_id': f'sub-{i:02d}', 'site': 'AB'[i % 2], 'scanner': 'X'}
        facts.append(who | {'age': 50.0 + i, 'sex': 'F' if i < 20 else 'M'})
    write_agreement(tmp_path, visits, facts)
    rows = {(r['by'], r['group']): r for r in read_tsv(tmp_path / GROUPS).rows}
    # Four men are not told apart, nor are the women then: they follow from the sum.
    assert {by for by, _ in rows} == {'site', 'age'}
    assert (rows['site', 'B']['mean'], rows['site', 'A']['mean']) == ('1', '0')
    assert float(rows['site', 'B']['p']) < 0.01 < float(next(iter(rows.values()))['visits'])
    described = json.loads((tmp_path / GROUPS).with_suffix('.json').read_text())
    assert set(described) == set(read_tsv(tmp_path / GROUPS).columns)


def test_few_pairs_say_so_and_nobody_rated_is_no_table(tmp_path):
    visits = [leave(tmp_path, 'sub-01', [('AB', 'fazekas_pv', 1)], fazekas_pv=1)]
    path = write_agreement(tmp_path, visits)
    (row,) = read_tsv(path).rows
    assert (row['n'], row['kappa'], row['reason']) == ('1', 'n/a', 'only 1 pair, needs 3')
    assert write_agreement(tmp_path / 'none', visits) is None


def test_consensus_is_compared_with_what_is_measured_alone():
    visits = [
        (f'sub-{n}', {'cmb_n': {'AB': n, 'consensus': n + 1}}, {'cmb_n': n + 1}) for n in range(5)
    ]
    rows = {(r['rater'], r['against']): r for r in agreement_rows(visits)}
    assert set(rows) == {('AB', 'measured'), ('consensus', 'measured')}
    assert rows['AB', 'measured']['bias'] == 1.0
    assert rows['consensus', 'measured']['icc'] == 1.0
