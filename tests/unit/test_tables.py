"""Tables that people take home: described, numeric where they are numbers, with covariates."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from csvdprep.bids.tsv import read_tsv, write_tsv
from csvdprep.core.plan import Visit
from csvdprep.core.settings import Settings
from csvdprep.graph.discover import discover
from csvdprep.graph.tables import long_table
from csvdprep.group.run import _write_tables
from tests.builders import leave_visit

ROOT = Path(__file__).parents[2]
TABLES = ('core', 'measures', 'long', 'qc', 'status')


@pytest.fixture(scope='module')
def group(tmp_path_factory):
    """Two visits of one participant and one of another whose age is only a bound."""
    folder = tmp_path_factory.mktemp('study')
    raw, out = folder / 'raw', folder / 'out'
    (raw / 'sub-01').mkdir(parents=True)
    (raw / 'participants.tsv').write_text(
        'participant_id\tage\tsex\tsite\nsub-01\t71.5\tF\tA\nsub-02\t89+\tM\tB\n'
    )
    (raw / 'sub-01' / 'sub-01_sessions.tsv').write_text(
        'session_id\tacq_time\nses-1\t2020-01-01\nses-2\t2022-01-01\n'
    )
    for visit in (Visit('01', '1'), Visit('01', '2'), Visit('02')):
        leave_visit(out, visit, value={'wmh_total_ml': 5.25, 'cmb_pattern': 'mixed', 'bpf': 0.8})
    # What a measure's interval is, and a cell that somebody broke.
    path = long_table(out, Visit('01', '1'))
    table = read_tsv(path)
    rows = [dict(row) for row in table.rows]
    for row in rows:
        if row['measure'] == 'wmh_total_ml':
            row |= {'low': '4.5', 'high': '6'}
        if row['measure'] == 'lv_ml':
            row['value'] = 'broken'
    write_tsv(path, [table.columns, *([row[c] for c in table.columns] for row in rows)])
    _write_tables(Settings(bids_dir=raw, output_dir=out), out, lambda line: None)
    return out


def read(group, name):
    return pd.read_csv(group / f'group_{name}.tsv', sep='\t', na_values='n/a')


def test_each_column_is_described_and_numbers_are_numbers(group):
    for name in TABLES:
        frame = read(group, name)
        told = json.loads((group / f'group_{name}.json').read_text())
        assert list(told) == list(frame.columns), name
        for column, facts in told.items():
            assert facts['Description'], column
            if facts['Format'] == 'number':
                assert pd.api.types.is_numeric_dtype(frame[column]), (name, column)


def test_covariates_and_intervals_are_in_the_core_table(group):
    frame = read(group, 'core')
    assert len(frame.columns) <= 60
    first = frame.iloc[0]
    assert (first.age, first.sex, first.site, first.field_t) == (71.5, 'F', 'A', 3)
    assert list(frame.age) == [71.5, 71.5, 89]
    assert frame.interval_years[1] == pytest.approx(2, abs=0.01)
    assert pd.isna(frame.interval_years[2])
    assert (first.wmh_total_ml, first.wmh_total_ml_low, first.wmh_total_ml_high) == (5.25, 4.5, 6)
    primary = {m.name for room in discover() for m in room.measures if m.primary}
    assert primary <= set(frame.columns)
    assert set(frame.columns) < set(read(group, 'measures').columns)


def test_the_long_table_keeps_words_apart(group):
    frame = read(group, 'long')
    one = frame[(frame.participant_id == 'sub-01') & (frame.session_id == 'ses-1')]
    one = one.set_index('measure')
    assert one.loc['cmb_pattern', 'word'] == 'mixed'
    assert pd.isna(one.loc['cmb_pattern', 'value'])
    assert pd.isna(one.loc['lv_ml', 'value'])
    assert one.loc['wmh_total_ml', ['value', 'low', 'high', 'units']].tolist() == [
        5.25,
        4.5,
        6,
        'mL',
    ]
    assert set(one.age) == {71.5}
    assert len(one) == sum(len(room.measures) for room in discover())


def test_r_reads_them(group):
    if shutil.which('Rscript') is None:
        pytest.skip('R is not installed')
    code = (
        f"t <- read.delim('{group}/group_core.tsv', na.strings = 'n/a'); "
        'stopifnot(is.numeric(t$age), is.numeric(t$wmh_total_ml), is.character(t$site)); '
        'cat(nrow(t))'
    )
    done = subprocess.run(['Rscript', '-e', code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == '3'


@pytest.mark.parametrize('level', ['visit', 'participant', 'dataset'])
def test_every_table_of_a_room_is_described(level):
    for room in discover(level=level):
        for name, made in room.makes.items():
            if made.extension == '.tsv':
                assert made.columns, f'{room.name}: {name} has columns without a word'
                assert all(column.description for column in made.columns), name


def test_the_page_of_columns_is_current():
    page = ROOT / 'docs' / 'columns.md'
    if not page.exists():
        pytest.skip('no pages beside an installed package')
    spec = importlib.util.spec_from_file_location(
        'columns_page', ROOT / 'scripts' / 'columns_page.py'
    )
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.page() == page.read_text(encoding='utf-8'), 'run scripts/columns_page.py'
