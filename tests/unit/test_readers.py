"""The tables of the group in the hands of those who analyse them: pandas, and R where it is."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from builders import leave_visit

from csvdprep.core.plan import Visit
from csvdprep.core.settings import Settings
from csvdprep.group.run import _write_tables

SCRIPT = """
folder <- commandArgs(trailingOnly = TRUE)[1]
tables <- list.files(folder, pattern = '^group_.*[.]tsv$', full.names = TRUE)
for (file in tables) {
  found <- read.delim(file, na.strings = 'n/a', quote = '')
  cat(basename(file), nrow(found), ncol(found), '\\n')
}
core <- read.delim(file.path(folder, 'group_core.tsv'), na.strings = 'n/a', quote = '')
stopifnot(is.numeric(core$age), is.numeric(core$wmh_total_ml))
cat(sprintf('%.2f', sum(core$wmh_total_ml, na.rm = TRUE)), sum(is.na(core$wmh_total_ml)), '\\n')
cat(core$site, '\\n')
"""


def read(file):
    """Read a table as the page of columns says."""
    return pd.read_csv(file, sep='\t', na_values='n/a', keep_default_na=False, quoting=3)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Write the tables of three visits, one without the volume, at sites of odd names."""
    root = tmp_path_factory.mktemp('study')
    raw, out = root / 'raw', root / 'out'
    raw.mkdir()
    (raw / 'participants.tsv').write_text(
        'participant_id\tage\tsex\tsite\nsub-01\t71\tF\tA\nsub-02\t66.5\tM\t"#1" B\n'
        'sub-03\tn/a\tF\tC\n'
    )
    for label, value in (('01', 9.5), ('02', 20.25), ('03', None)):
        leave_visit(out, Visit(label), value={'wmh_total_ml': value, 'bpf': 0.8})
    _write_tables(Settings(bids_dir=raw, output_dir=out), out, lambda line: None)
    return out


def test_pandas_reads_them_and_clinical_data_can_be_joined(folder):
    core = read(folder / 'group_core.tsv')
    clinic = pd.DataFrame({'participant_id': ['sub-01', 'sub-02'], 'moca': [24, 27]})
    both = core.merge(clinic, on='participant_id', how='left', validate='many_to_one')
    assert both['age'].tolist()[:2] == [71, 66.5]
    assert both['wmh_total_ml'].tolist()[:2] == [9.5, 20.25]
    assert both['wmh_total_ml'].isna().tolist() == [False, False, True]
    assert both['moca'].tolist()[:2] == [24, 27]
    assert both['site'].tolist() == ['A', '"#1" B', 'C']
    long = read(folder / 'group_long.tsv')
    row = long.query('participant_id == "sub-02" and measure == "wmh_total_ml"')
    assert row['value'].astype(float).tolist() == [20.25]


def test_every_column_is_described(folder):
    told = json.loads((folder / 'group_dictionary.json').read_text())
    for table in sorted(folder.glob('group_*.tsv')):
        columns = read(table).columns
        beside = json.loads(table.with_suffix('.json').read_text())
        for name in columns:
            assert told[table.name][name]['Description'], (table.name, name)
            assert beside[name]['Description'] == told[table.name][name]['Description']


def test_r_reads_them(folder, tmp_path):
    program = shutil.which('Rscript')
    if program is None:
        pytest.skip('there is no Rscript on this machine')
    script = tmp_path / 'read.R'
    script.write_text(SCRIPT)
    done = subprocess.run(
        [program, '--vanilla', str(script), str(folder)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *tables, sums, sites = [line.strip() for line in done.stdout.splitlines()]
    read = {line.split()[0]: [int(n) for n in line.split()[1:]] for line in tables}
    for name, (rows, columns) in read.items():
        lines = (folder / name).read_text().splitlines()
        assert (rows, columns) == (len(lines) - 1, len(lines[0].split('\t'))), name
    assert sums == '29.75 1'
    assert sites == 'A "#1" B C'


def test_the_page_that_joins_tables_runs(folder, tmp_path, monkeypatch, capsys):
    page = Path(__file__).parents[2] / 'docs' / 'howto' / 'join.md'
    if not page.exists():
        pytest.skip('no pages beside an installed package')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('MPLBACKEND', 'Agg')
    (tmp_path / 'OUTPUT_DIR').symlink_to(folder)
    (tmp_path / 'clinic.tsv').write_text('participant_id\tmoca\nsub-01\t24\nsub-02\tn/a\n')
    code = re.findall(r'```python\n(.*?)```', page.read_text(encoding='utf-8'), re.DOTALL)
    assert len(code) == 3
    found: dict = {}
    for part in code:
        exec(part, found)
    assert len(found['both']) == 3
    assert found['both']['moca'].tolist()[0] == 24
    assert (tmp_path / 'wmh.png').stat().st_size > 1000
    assert 'sub-03' in capsys.readouterr().out
    program = shutil.which('Rscript')
    if program:
        (script,) = re.findall(r'```r\n(.*?)```', page.read_text(encoding='utf-8'), re.DOTALL)
        (tmp_path / 'join.R').write_text(script)
        subprocess.run([program, '--vanilla', 'join.R'], check=True, timeout=120)
