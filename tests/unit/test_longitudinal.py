"""Several visits of a participant: order, intervals, differences, and what is left out."""

import fcntl
import json

import pytest

from csvdprep.bids.visit_times import visit_times
from csvdprep.core.plan import Visit
from csvdprep.core.settings import Settings
from csvdprep.graph.participants import participant_inputs, with_several_visits
from csvdprep.graph.status import Status
from csvdprep.longitudinal.change.science import VisitRows, differences, pairs


def sessions(tmp_path, text):
    folder = tmp_path / 'sub-01'
    folder.mkdir(exist_ok=True)
    (folder / 'sub-01_sessions.tsv').write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ('column', 'values', 'years'),
    [
        ('acq_time', ('2020-03-01T10:00:00', '2018-03-01T10:00:00'), 2.0014),
        ('days_since_first_session', ('731', '0'), 2.0014),
        ('months', ('30', '6'), 2.0),
        ('age', ('72.5', '70.5'), 2.0),
        ('age', ('72,5', '70,5'), 2.0),
    ],
)
def test_time_orders_visits_whatever_their_labels(tmp_path, column, values, years):
    root = sessions(tmp_path, f'session_id\t{column}\nses-1\t{values[0]}\nses-2\t{values[1]}\n')
    times = visit_times(root, [Visit('01', '1'), Visit('01', '2')])
    assert [item.visit.session for item in times] == ['2', '1']
    assert [item.years for item in times] == [0.0, pytest.approx(years, abs=1e-3)]
    assert times[0].source == f'sessions.tsv: {column}'


def test_a_date_comes_before_an_age_and_scans_tsv_last(tmp_path):
    root = sessions(
        tmp_path, 'session_id\tage\tacq_time\nses-1\t70\t2020-01-01\nses-2\t71\t2020-07-01\n'
    )
    assert visit_times(root, [Visit('01', '1'), Visit('01', '2')])[1].years < 0.6
    (root / 'sub-01' / 'sub-01_sessions.tsv').unlink()
    for session, date in (('1', '2021-01-01T00:00:00'), ('2', '2020-01-01T00:00:00')):
        folder = root / 'sub-01' / f'ses-{session}'
        folder.mkdir()
        later = date.replace('00:00:00', '09:00:00')
        (folder / f'sub-01_ses-{session}_scans.tsv').write_text(
            f'filename\tacq_time\nanat/a.nii.gz\t{later}\nanat/b.nii.gz\t{date}\n'
        )
    times = visit_times(root, [Visit('01', '1'), Visit('01', '2')])
    assert [item.visit.session for item in times] == ['2', '1']
    assert times[1].years == pytest.approx(366 / 365.25, abs=1e-3)


@pytest.mark.parametrize(
    'text', ['', 'session_id\tpack_years\nses-2\t1\nses-10\t2\n', 'session_id\tage\nses-2\t70\n']
)
def test_without_a_time_of_all_visits_labels_decide_and_no_interval_is_made_up(tmp_path, text):
    root = sessions(tmp_path, text) if text else tmp_path
    times = visit_times(root, [Visit('01', '10'), Visit('01', '2')])
    assert [(item.visit.session, item.years) for item in times] == [('2', None), ('10', None)]


@pytest.mark.parametrize(
    'text',
    [
        # De-identified dates, ages in whole years and columns of a calendar tell nothing.
        'session_id\tacq_time\tage\nses-1\t1900-01-01\t70\nses-2\t1900-01-01\t70\n',
        'session_id\tday\tmonth\tyear\nses-1\t5\t3\t2019\nses-2\t20\t1\t2021\n',
    ],
)
def test_what_does_not_tell_visits_apart_is_not_believed(tmp_path, text):
    root = sessions(tmp_path, text)
    assert [t.years for t in visit_times(root, [Visit('01', '1'), Visit('01', '2')])] == [None] * 2


def test_dates_of_scans_come_before_ages_in_whole_years(tmp_path):
    root = sessions(tmp_path, 'session_id\tage\nses-1\t70\nses-2\t71\n')
    for session, date in (('1', '2020-12-01'), ('2', '2021-03-01')):
        folder = root / 'sub-01' / f'ses-{session}'
        folder.mkdir()
        (folder / f'sub-01_ses-{session}_scans.tsv').write_text(
            f'filename\tacq_time\nanat/a.nii.gz\t{date}T10:00:00\n'
        )
    times = visit_times(root, [Visit('01', '1'), Visit('01', '2')])
    assert times[1].years == pytest.approx(90 / 365.25, abs=1e-3)


def row(value, **more):
    given = {'value': str(value), 'units': 'mL', 'qc': 'ok', 'method': 'm', 'reason': 'n/a'}
    return {**given, 'low': 'n/a', 'high': 'n/a', **more}


def compare(one, two, years=2.0):
    visits = VisitRows('ses-1', 0.0, {'x_ml': one}), VisitRows('ses-2', years, {'x_ml': two})
    found = differences(*visits)
    return found[0] if found else None


def test_a_difference_over_the_years():
    found = compare(row(10), row(13))
    assert (found['difference'], found['per_year'], found['qc']) == (3.0, 1.5, 'ok')
    assert compare(row(10), row(13), years=None)['per_year'] is None
    assert compare(row(10), row(13), years=0.0)['per_year'] is None


def test_what_lies_within_the_intervals_says_so():
    wide = compare(row(10, low='6', high='14'), row(13, low='9', high='17'))
    assert wide['low'] == pytest.approx(3 - 4 * 2**0.5)
    assert wide['high'] == pytest.approx(3 + 4 * 2**0.5)
    assert (wide['qc'], wide['reason']) == (
        'warn',
        'the difference is within the intervals of the two values',
    )
    narrow = compare(row(10, low='9.5', high='10.5'), row(13, low='12.5', high='13.5'))
    assert narrow['qc'] == 'ok'
    assert narrow['low'] > 2


def test_other_methods_flags_and_missing_values_are_told():
    assert compare(row(1), row(2, method='other'))['reason'] == 'the methods differ: m, other'
    flagged = compare(row(1), row(2, qc='fail', reason='blurred'))
    assert (flagged['qc'], flagged['reason']) == ('fail', 'ses-2: blurred')
    missing = compare(row('n/a', reason='needs flair'), row(2))
    assert missing['difference'] is None
    assert (missing['qc'], missing['reason']) == ('na', 'there is no value at ses-1: needs flair')
    assert compare(row('both'), row('network')) is None


def test_other_units_are_not_subtracted():
    found = compare(row(1), row(1000, units='mm3'))
    assert found['difference'] is None
    assert found['reason'] == 'the units differ: mL, mm3'


def test_what_judges_quality_is_not_compared():
    visits = [VisitRows(n, 0.0, {'qc_snr': row(20)}) for n in ('ses-1', 'ses-2')]
    assert differences(*visits) == []


@pytest.mark.parametrize(('later', 'flag'), [('1015', 'ok'), ('1040', 'warn'), ('960', 'warn')])
def test_a_skull_that_grows_is_an_error(later, flag):
    one = {'icv_ml': row('1000'), 'bpf': row('0.8'), 'lv_pct_icv': row('2'), 'lv_ml': row('20')}
    two = one | {'icv_ml': row(later)}
    found = {
        item['measure']: item
        for item in differences(VisitRows('1', 0.0, one), VisitRows('2', 2.0, two))
    }
    assert found['lv_ml']['qc'] == 'ok'
    for name in ('icv_ml', 'bpf', 'lv_pct_icv'):
        assert found[name]['qc'] == flag
        assert ('intracranial volumes differ by' in (found[name]['reason'] or '')) == (
            flag != 'ok'
        )


def test_pairs_of_one_visit_and_of_many():
    names = [
        [(a.session, b.session) for a, b in pairs([VisitRows(n, None, {}) for n in text])]
        for text in ('a', 'ab', 'abc')
    ]
    assert names == [[], [('a', 'b')], [('a', 'b'), ('b', 'c'), ('a', 'c')]]


def visit_of(out, label, state='ok', table=True):
    visit = Visit.of(label)
    status = Status(label, 'run', state=state)
    (out / visit.log).mkdir(parents=True, exist_ok=True)
    status.write(out, visit)
    if table:
        path = out / visit.folder / f'{label}_desc-csvdlong_measures.tsv'
        path.write_text('participant_id\tsession_id\tmeasure\tvalue\n')


def test_participants_with_several_visits_and_nothing_left_out_silently(tmp_path):
    out = tmp_path / 'out'
    for label in ('sub-01_ses-1', 'sub-02', 'sub-03_ses-1', 'sub-03_ses-2', 'sub-04_ses-1'):
        visit_of(out, label)
    visit_of(out, 'sub-03_ses-3', table=False)
    visit_of(out, 'sub-03_ses-4', state='failed')
    visit_of(out, 'sub-04_ses-2', state='running')
    visit_of(out, 'sub-05_ses-1')
    visit_of(out, 'sub-05_ses-2', state='running')  # killed: nobody holds its lock
    visit_of(out, 'sub-06')
    visit_of(out, 'sub-06_ses-1')
    visit_of(out, 'sub-06_ses-2')
    lock = (out / 'sub-04' / 'ses-2' / 'log' / 'lock').open('w')
    lock.write('who')
    lock.flush()
    fcntl.flock(lock, fcntl.LOCK_EX)
    assert with_several_visits(out) == ['03', '04', '05', '06']
    assert with_several_visits(out, ['01', '04']) == ['04']
    said = []
    settings = Settings(bids_dir=tmp_path / 'raw', output_dir=out, work_dir=tmp_path / 'work')
    found, killed = participant_inputs(settings, ['03', '04', '05', '06'], say=said.append)
    assert 'sub-04: a visit is still being processed' in said[0]
    assert 'sub-06: the output folder also has a visit without a session' in said[1]
    assert 'sub-05_ses-2 is not complete (was killed)' in ' '.join(killed.notes)
    visits = found.scans['measures'].content['visits']
    assert [item['session'] for item in visits] == ['ses-1', 'ses-2', 'ses-4']
    notes = ' '.join(found.notes)
    assert 'sub-03_ses-3 has no table of measures' in notes
    assert 'sub-03_ses-4 is not complete (failed)' in notes
    assert 'No table of the dataset gives the times of the visits' in notes
    assert found.visit.log == 'sub-03/log/participant'


def test_the_key_of_a_participant_follows_its_visits(tmp_path):
    out = tmp_path / 'out'
    for label in ('sub-03_ses-1', 'sub-03_ses-2'):
        visit_of(out, label)
    settings = Settings(bids_dir=tmp_path / 'raw', output_dir=out, work_dir=tmp_path / 'work')

    def digest():
        (found,) = participant_inputs(settings, ['03'], say=print)
        return found.scans['measures'].digest

    before = digest()
    assert digest() == before
    table = out / 'sub-03' / 'ses-2' / 'sub-03_ses-2_desc-csvdlong_measures.tsv'
    table.write_text(table.read_text() + 'sub-03\tses-2\tlv_ml\t20\n')
    changed = digest()
    assert changed != before
    folder = tmp_path / 'raw' / 'sub-03'
    folder.mkdir(parents=True)
    (folder / 'sub-03_sessions.tsv').write_text('session_id\tage\nses-1\t70\nses-2\t71\n')
    assert digest() not in (before, changed)
    (found,) = participant_inputs(settings, ['03'], say=print)
    assert 'Ages are given in whole years' in found.notes[-1]
    assert json.dumps(before)
