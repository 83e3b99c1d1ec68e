"""Tables are read as they are written: literally, in any encoding, and never in silence."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest

import csvdprep
from csvdprep.bids.tsv import parse_tsv, read_tsv, tsv_cell, tsv_text, write_tsv
from csvdprep.core.errors import InputError

TEXT = 'participant_id\tage\tsite\nsub-01\t71\tBesançon\nsub-02\t72\tKøln\n'
ROWS = (
    {'participant_id': 'sub-01', 'age': '71', 'site': 'Besançon'},
    {'participant_id': 'sub-02', 'age': '72', 'site': 'Køln'},
)


def test_a_quotation_mark_swallows_no_row():
    text = 'participant_id\tnote\tage\nsub-01\t"tall\t71\nsub-02\tsaid "x"\t72\nsub-03\t"y"\t73\n'
    table = parse_tsv(text)
    assert [row['age'] for row in table.rows] == ['71', '72', '73']
    assert [row['note'] for row in table.rows] == ['"tall', 'said "x"', '"y"']
    assert table.notes == ()


@pytest.mark.parametrize(
    ('encoding', 'end', 'words'),
    [
        ('utf-8', '\n', ''),
        ('utf-8-sig', '\r\n', ''),
        ('utf-8', '\r', ''),
        ('utf-16', '\r\n', 'is in UTF-16'),
        ('utf-16-le', '\n', 'is in UTF-16'),
        ('utf-16-be', '\n', 'is in UTF-16'),
        ('cp1252', '\r\n', 'read as Windows-1252'),
    ],
)
def test_encodings_and_line_ends(tmp_path, encoding, end, words):
    path = tmp_path / 'participants.tsv'
    path.write_bytes(TEXT.replace('\n', end).encode(encoding))
    table = read_tsv(path)
    assert table.rows == ROWS
    assert len(table.notes) == bool(words)
    for note in table.notes:
        assert words in note
        assert note.startswith('participants.tsv ')
        assert note.endswith('save the table as tab-separated text in UTF-8.')


def test_line_ends_of_other_alphabets_end_no_row():
    table = parse_tsv('a\tb\nx\x85y\tz\u2028\x0b\x1c1\n')
    assert table.rows == ({'a': 'x\x85y', 'b': 'z\u2028\x0b\x1c1'},)


def test_rows_of_other_lengths():
    table = parse_tsv('a\tb\t\n\n1\n \t \n2\t3\t\t\n4\t5\t6\n\t7\n')
    assert table.columns == ('a', 'b')
    assert table.rows == ({'a': '1', 'b': 'n/a'}, {'a': '2', 'b': '3'}, {'a': '', 'b': '7'})
    assert len(table.notes) == 1
    assert 'line 6' in table.notes[0]


def test_columns_of_one_name():
    table = parse_tsv('a\tb\ta\n1\t2\t3\n')
    assert table.rows == ({'a': '1', 'b': '2'},)
    assert 'several columns a; the first is used' in table.notes[0]


def test_no_table_at_all():
    assert parse_tsv('').rows == parse_tsv('\n \n').columns == ()
    assert parse_tsv('participant_id\n').columns == ('participant_id',)


@pytest.mark.parametrize(
    ('separator', 'called'), [(',', 'commas'), (';', 'semicolons'), ('|', 'bars'), (' ', 'blanks')]
)
def test_another_separator_is_told(tmp_path, separator, called):
    path = tmp_path / 'participants.tsv'
    path.write_text(TEXT.replace('\t', separator))
    with pytest.raises(InputError, match=f'separated by {called}, not by tabs') as caught:
        read_tsv(path)
    assert str(path) in str(caught.value)
    assert 'tab-separated text' in caught.value.remedy


def test_blanks_in_the_name_of_the_only_column():
    assert parse_tsv('Participant ID\nsub-01\n').rows == ({'Participant ID': 'sub-01'},)


def test_quotation_marks_that_an_exporter_put_around_cells():
    table = parse_tsv('"a"\t"b"\n"1"\t2\n"\t"3\n')
    assert table.rows == ({'a': '1', 'b': '2'}, {'a': '"', 'b': '"3'})
    assert 'in quotation marks' in table.notes[0]
    table = parse_tsv('"a"\tb\n"1"\t2\n')
    assert table.rows == ({'"a"': '"1"', 'b': '2'},)


@pytest.mark.parametrize(
    'make',
    [
        lambda path: path.symlink_to('.git/annex/objects/x'),
        lambda path: path.write_text('version https://git-lfs.github.com/spec/v1\n'),
        lambda path: path.write_text('/annex/objects/MD5E-s1--a.tsv\n'),
    ],
)
def test_missing_content_is_not_absence(tmp_path, make):
    path = tmp_path / 'participants.tsv'
    with pytest.raises(FileNotFoundError):
        read_tsv(path)
    make(path)
    with pytest.raises(InputError, match=r'content of participants.tsv is not here: fetch it'):
        read_tsv(path)


def test_folders_and_pipes_are_told(tmp_path):
    os.mkfifo(tmp_path / 'pipe')
    for name, words in {'.': 'a folder', 'pipe': 'not an ordinary file'}.items():
        with pytest.raises(InputError, match=words):
            read_tsv(tmp_path / name)


def test_a_cell_stays_a_cell(tmp_path):
    rows = [('a', 'b', 'c'), ('x\ty', 'one\r\ntwo', None), ('', ' "z ', 'é  è')]
    write_tsv(tmp_path / 'new' / 'a.tsv', rows)
    assert (tmp_path / 'new' / 'a.tsv').read_bytes().decode() == (
        'a\tb\tc\nx y\tone two\tn/a\nn/a\t"z\té  è\n'
    )
    table = read_tsv(tmp_path / 'new' / 'a.tsv')
    assert [list(row.values()) for row in table.rows] == [
        ['x y', 'one two', 'n/a'],
        ['n/a', '"z', 'é  è'],
    ]


def test_any_text_comes_back_as_one_cell():
    for code in [*range(0x300), 0x2028, 0x2029, 0xFEFF, 0x1F600]:
        text = tsv_text([('a', 'b'), (f'x{chr(code)}y', '1')])
        table = parse_tsv(text.replace('\r\n', '\n').replace('\r', '\n'))
        assert len(text.splitlines()) == 2
        assert len(table.rows) == 1
        assert table.rows[0]['b'] == '1'


def test_numbers_as_tables_have_them():
    import numpy as np

    assert tsv_cell(np.float32(1 / 3), digits=3) == tsv_cell(1 / 3, digits=3) == '0.333'
    assert tsv_cell(np.int64(123456), digits=3) == '123456'
    assert tsv_cell(True, digits=3) == 'True'


def test_no_other_reader_or_writer():
    """Tables are taken apart and put together in one module only."""
    package = Path(csvdprep.__file__).parent
    own = {package / 'bids' / 'tsv.py'}
    found = []
    for path in sorted(package.rglob('*.py')):
        for node in ast.walk(ast.parse(path.read_text('utf-8'))):
            if path in own:
                continue
            if isinstance(node, ast.Import) and any(n.name == 'csv' for n in node.names):
                found.append(f'{path.name}: import csv')
            if (
                path not in own
                and isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ('split', 'join')
            ):
                texts = [node.func.value, *node.args]
                if any(isinstance(n, ast.Constant) and n.value == '\t' for n in texts):
                    found.append(f'{path.name}:{node.lineno}')
    assert found == []
