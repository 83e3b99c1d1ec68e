"""Tables of participants as people have them, at the group level and in the commands of sites.

Whatever is odd is refused or told in words; no visit is lost.
"""

import numpy as np
import pytest
from builders import leave_visit

from csvdprep.bids.spellings import about_sites, sex_levels, sexes_of
from csvdprep.bids.tsv import read_tsv
from csvdprep.cli.run import run
from csvdprep.core.errors import InputError
from csvdprep.core.plan import Visit

COUNT = 48


def people():
    """Return the rows of a good table: two sites, known ages and sexes."""
    rng = np.random.default_rng(0)
    return [
        {
            'participant_id': f'sub-{k:02d}',
            'age': f'{rng.uniform(55, 80):.1f}',
            'sex': 'FM'[k // 2 % 2],
            'site': 'AB'[k % 2],
            'group': 'HC',
        }
        for k in range(COUNT)
    ]


def text(rows, *, separator='\t', end='\n', columns=None):
    columns = columns or list(rows[0])
    lines = [columns, *([row.get(c, 'n/a') for c in columns] for row in rows)]
    return end.join(separator.join(cells) for cells in lines) + end


def written(column, *ways):
    """Return a table in which a column is written in several ways in turn."""
    return [
        row | {column: ways[k % len(ways)].format(row[column])} for k, row in enumerate(people())
    ]


@pytest.fixture(scope='module')
def output(tmp_path_factory):
    """Results of all participants, and a raw dataset without a table of them."""
    root = tmp_path_factory.mktemp('study')
    rng = np.random.default_rng(1)
    for k in range(COUNT):
        value = {
            'bpf': 0.8 + rng.normal(0, 0.02),
            'lv_ml': 30 + rng.normal(0, 5) + 4 * (k % 2),
            'wmh_total_ml': float(np.exp(rng.normal(2, 1))),
        }
        leave_visit(root / 'out', Visit(f'{k:02d}', '1'), value=value, verdict='ok')
    (root / 'raw').mkdir()
    return root


@pytest.fixture
def group(output, monkeypatch, capsys):
    """Carry out the group level with a table of participants; return what it says and leaves."""
    monkeypatch.setattr('csvdprep.group.page.draw', lambda *given: '<svg></svg>')

    def go(content, sidecar=None, *more):
        raw, out = output / 'raw', output / 'out'
        for path in raw.iterdir():
            path.unlink()
        if content is not None:
            data = content if isinstance(content, bytes) else content.encode()
            (raw / 'participants.tsv').write_bytes(data)
        if sidecar:
            (raw / 'participants.json').write_text(sidecar)
        asked = ['harmonisation.counts=false', *more]
        code = run([str(raw), str(out), 'group', '-w', str(output / 'work'), '--set', *asked])
        assert code == 0
        table = read_tsv(out / 'group_measures.tsv').rows
        # Nobody is lost, whatever the table is like, nor any value.
        assert [row['participant_id'] for row in table] == [f'sub-{k:02d}' for k in range(COUNT)]
        assert all(float(row['lv_ml']) > 0 for row in table)
        said = ' '.join(capsys.readouterr().err.split())
        return said, table, {path.name for path in out.glob('group_*')}

    return go


QUICK = 'harmonisation.method=none'
GOOD = {'group_harmonised.tsv', 'group_percentiles.tsv'}


@pytest.mark.parametrize(
    ('content', 'words'),
    [
        (None, 'fewer than two scanners are known'),
        (b'', 'participants.tsv is empty.'),
        (b'\r\n \r\n', 'participants.tsv is empty.'),
        ('participant_id\tage\tsex\tsite\n', 'has no row for any of the 48 participants'),
        (text(people(), separator=';'), 'separated by semicolons, not by tabs'),
        (text(people(), separator=';', end='\r\n').encode('utf-8-sig'), 'by semicolons'),
        (b'PK\x03\x04\x00\x00\xff' * 9, 'participants.tsv cannot be used: This is no table of'),
        (text(people(), columns=['participant_id']), 'fewer than two scanners are known'),
        (text(people(), columns=['participant_id', 'site', 'sex', 'group']), 'No visit has age.'),
        (text(written('site', 'A')), 'fewer than two scanners are known'),
    ],
)
def test_tables_that_tell_too_little(group, content, words):
    said, table, files = group(content)
    assert words in said
    assert 'group_harmonised.tsv' not in files
    assert len(table) == COUNT


@pytest.mark.parametrize('end', ['\r\n', '\r'])
def test_marks_and_line_ends_of_windows(group, end):
    said, table, files = group(text(people(), end=end).encode('utf-8-sig'))
    assert ' participants.tsv' not in said.replace('column of participants.tsv', '')
    assert [row['age'] for row in table] == [f'{float(row["age"]):g}' for row in people()]
    assert files >= GOOD


def test_one_participant_a_site(group):
    rows = [row | {'site': f'S{k}'} for k, row in enumerate(people())]
    said, _, files = group(text(rows))
    assert 'S0 has 1 participant; 20 are needed.' in said
    assert '43 more have fewer than 20.' in said
    assert 'S30' not in said
    assert 'group_harmonised.tsv' not in files
    assert 'group_percentiles.tsv' in files


def test_rows_that_contradict_each_other(group):
    rows = people()
    more = rows[0] | {'age': '40', 'site': 'B', 'sex': 'M', 'group': 'patient'}
    said, table, _ = group(text([*rows, more, rows[1]]), None, QUICK)
    for kind in ('site', 'age', 'sex', 'group'):
        assert f'several values for the {kind} of sub-00; none is used' in said
    assert [table[0][kind] for kind in ('site', 'age', 'sex')] == ['n/a'] * 3
    assert table[1]['age'] == f'{float(rows[1]["age"]):g}'


def test_dates_are_neither_ages_nor_shown(group, output):
    ways = ('1950-03-02', '02.03.1950', '3/2/1950', '19500302', '2 Mar 1950', '1950', '1950-03')
    said, table, _ = group(text(written('age', *ways)), None, QUICK)
    assert '48 ages are dates or years of birth, which are not used, and not shown here' in said
    assert {row['age'] for row in table} == {'n/a'}
    left = (output / 'out' / 'group.html').read_text()
    assert not any(way in left or way in said for way in ways)


def test_ages_in_words_and_with_commas(group):
    rows = written('age', '{} y', '67,5', '>90', 'NaN')
    said, table, _ = group(text(rows), None, QUICK)
    assert '12 ages are only lower bounds (">90"); the bound is used as the age.' in said
    assert table[0]['age'] == f'{float(people()[0]["age"]):g}'
    assert [row['age'] for row in table[1:4]] == ['67.5', '90', 'n/a']


def test_blanks_around_sites(group):
    said, table, files = group(text(written('site', '{}', '{} ', ' {}', '{}\u00a0')))
    assert {row['site'] for row in table} == {'A', 'B'}
    assert 'may be one site' not in said
    assert files >= GOOD


def test_words_for_no_site(group):
    rows = people()
    for row, word in zip(rows, ('NaN', 'n/a', '', 'None', 'unknown', '-'), strict=False):
        row['site'] = word
    said, table, _ = group(text(rows))
    assert {row['site'] for row in table[:6]} == {'n/a'}
    assert {row['site'] for row in table[6:]} == {'A', 'B'}
    assert 'the site of 3 rows is written as "-", "None", "unknown"' in said


def test_sites_that_are_spelt_in_several_ways(group):
    said, table, files = group(text(written('site', '{}', '{}', 'Site {}', 'site_{}')))
    assert 'A and Site A may be one site' in said
    assert 'B and site_B may be one site' in said
    assert 'harmonisation is not run: Fewer than two sites have 20 participants' in said
    assert {row['site'] for row in table} == {'A', 'B', 'Site A', 'site_B'}
    assert 'group_harmonised.tsv' not in files


def test_codes_for_the_sex(group):
    codes = '01'
    rows = [row | {'sex': codes['MF'.index(row['sex'])]} for row in people()]
    said, table, files = group(text(rows))
    assert 'writes the sex of 48 rows as a number' in said
    assert 'describe the numbers by Levels in participants.json' in said
    assert 'group_harmonised.tsv' in files
    assert 'group_percentiles.tsv' not in files
    assert {row['sex'] for row in table} == set(codes)
    levels = f'{{"sex": {{"Levels": {{"{codes[0]}": "male", "{codes[1]}": "female"}}}}}}'
    said, table, files = group(text(rows), levels)
    assert 'as a number' not in said
    assert [row['sex'] for row in table] == [row['sex'] for row in people()]
    assert files >= GOOD


def test_words_and_codes_for_the_sex_in_one_column(group):
    ways = {'F': ('F', 'female', 'Female', '2'), 'M': ('M', 'male', 'm', '1')}
    rows = [row | {'sex': ways[row['sex']][k // 4 % 4]} for k, row in enumerate(people())]
    said, table, _ = group(text(rows), None, QUICK)
    assert 'writes the sex of 12 rows as a number ("1", "2")' in said
    assert 'it is not used, as others are words' in said
    assert sum(row['sex'] == 'n/a' for row in table) == 12


def test_meanings_of_codes(tmp_path):
    path = tmp_path / 'participants.json'
    for content in (
        '',
        '[]',
        '{"sex": 3}',
        '{"sex": {"Levels": ["1"]}}',
        '{"sex": {"Levels": 1}}',
    ):
        path.write_text(content)
        assert sex_levels(path, ['sex']) == {}
    path.write_text(
        '\ufeff{"sex": {"Levels": {"1": {"Description": "Female at birth"}, "2": "x"}}}'
    )
    assert sex_levels(path, ['sex']) == {'1': 'F'}
    assert sexes_of(['1.0', '1', 'O'], {'1': 'F'}, 'x')[0] == {'1.0': 'F', '1': 'F', 'O': 'O'}
    assert about_sites(['A', 'B', 'n/a', 'S1', 'S10']) == []


# ---- the commands of sites


def study(change=None, **how):
    rng = np.random.default_rng(2)
    rows = [
        row | {'bpf': f'{0.8 + rng.normal(0, 0.02):.4f}', 'lv_ml': f'{30 + rng.normal(0, 5):.3f}'}
        for row in people()
    ]
    return text([row | (change(row) if change else {}) for row in rows], **how)


@pytest.fixture
def fit(tmp_path, capsys):
    """Fit a table by command; return the rows that are left, and what was said."""

    def go(content, name='table.tsv'):
        table, out = tmp_path / name, tmp_path / 'out.tsv'
        table.write_bytes(content if isinstance(content, bytes) else content.encode())
        assert run(['harmonise', 'fit', str(table), '-o', str(out)]) == 0
        rows = read_tsv(out).rows
        assert len(rows) == COUNT
        return rows, capsys.readouterr().err

    return go


@pytest.mark.parametrize(
    ('content', 'name'),
    [
        (study(end='\r\n').encode('utf-8-sig'), 'table.tsv'),
        (study(separator=';', end='\r\n').encode('utf-8-sig'), 'table.csv'),
        (study().encode('utf-16'), 'table.tsv'),
        (study(separator=',').encode('cp1252'), 'table.csv'),
    ],
)
def test_files_of_spreadsheets_give_what_plain_ones_give(fit, content, name):
    assert fit(content, name)[0] == fit(study())[0]


def test_columns_as_people_name_them(fit):
    head, rest = study().split('\n', 1)
    rows, said = fit(head.replace('site', 'Site').replace('age', 'Age_Years') + '\n' + rest)
    assert rows == fit(study())[0]
    assert 'Site for site' in said


def test_a_column_with_decimal_commas_is_told(fit):
    rows, said = fit(study(lambda row: {'bpf': row['bpf'].replace('.', ',')}))
    assert 'bpf is not taken: 48 of 48 entries have a decimal comma' in said
    assert 'bpf' not in rows[0]


@pytest.mark.parametrize(
    ('content', 'name', 'words'),
    [
        (b'', 'a.tsv', 'has no rows'),
        (b'', 'a.csv', 'has no rows'),
        (b'\n\n', 'a.tsv', 'has no rows'),
        (b'PK\x03\x04\x00\x00\xff' * 9, 'a.xlsx', 'no table of text'),
        (b'\x00\x01\xff' * 99, 'a.csv', 'no table of text'),
        (study(separator=';').encode(), 'a.tsv', 'separated by semicolons'),
        (
            study(lambda row: {c: row[c].replace('.', ',') for c in ('bpf', 'lv_ml')}).encode(),
            'a.tsv',
            'decimal comma',
        ),
        (
            study(lambda row: {'site': f'{row["site"]}{row["participant_id"]}'}).encode(),
            'a.tsv',
            '43 more have fewer than 20',
        ),
    ],
)
def test_tables_that_are_refused_by_command(fit, tmp_path, content, name, words):
    with pytest.raises(InputError, match=words) as found:
        fit(content, name)
    assert found.value.remedy
    assert not (tmp_path / 'out.tsv').exists()
    with pytest.raises(InputError, match='does not exist'):
        run(['harmonise', 'fit', str(tmp_path / 'no.csv'), '-o', str(tmp_path / 'out.tsv')])


def test_rows_of_other_sites_are_told_to_the_site(tmp_path, capsys):
    plan, table = tmp_path / 'plan.json', tmp_path / 'mine.tsv'
    run(['federate', 'plan', '-o', str(plan), '--measures', 'bpf,lv_ml'])
    table.write_text(study())
    asked = ['federate', 'export', str(plan), str(table), '--name', 'A', '-o', str(tmp_path / 'x')]
    assert run(asked) == 0
    assert '24 rows are of B by the column site; all are taken for rows of A' in (
        capsys.readouterr().err
    )
    assert ' of B ' not in (tmp_path / 'x' / 'site-A_sums.json').read_text()


def test_a_spreadsheet_table_for_norms(group, output, tmp_path, capsys):
    group(text(people()), None, QUICK)
    norms = output / 'out' / 'group_norms_model.json'
    for name, separator in (('a.tsv', '\t'), ('a.csv', ';')):
        (tmp_path / name).write_text(study(separator=separator))
        assert (
            run(['norms', str(norms), str(tmp_path / name), '-o', f'{tmp_path / name}.tsv']) == 0
        )
    assert (tmp_path / 'a.tsv.tsv').read_text() == (tmp_path / 'a.csv.tsv').read_text()
    capsys.readouterr()
