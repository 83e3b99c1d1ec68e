"""Options of steps: declared once, checked at start, listed, set from the command line."""

from dataclasses import fields

import pytest

from csvdprep.cli.options import markdown, plain_table
from csvdprep.cli.parser import get_parser, to_settings
from csvdprep.cli.run import run
from csvdprep.core.errors import UsageError
from csvdprep.core.options import options_table, read_assignment, read_options
from csvdprep.graph.discover import discover

ROOMS = {room.name: room for room in discover(level='')}


def settings(*more):
    return to_settings(get_parser().parse_args(['bids', 'out', 'participant', *more]))


@pytest.mark.parametrize('room', ROOMS.values(), ids=lambda room: room.name)
def test_every_option_says_what_it_does(room):
    for item in fields(room.options):
        assert item.metadata['meaning'].endswith('.')
        assert len(item.metadata['meaning']) > 15
    assert read_options(room, {}) == room.options()


@pytest.mark.parametrize(
    ('table', 'said'),
    [
        ({'runs': 'many'}, 'wmh.runs must be a whole number'),
        ({'runs': 2.5}, 'wmh.runs must be a whole number'),
        ({'runs': True}, 'wmh.runs must be a whole number'),
        ({'runs': 0}, 'wmh.runs must be at least 1'),
        ({'seed_contrast': 0.01}, 'border_contrast must be positive and not above'),
        ({'seeds': 1}, 'wmh has no option "seeds"'),
    ],
)
def test_wrong_values_are_named(table, said):
    with pytest.raises(ValueError, match=said):
        read_options(ROOMS['wmh'], table)


def test_a_whole_number_will_do_for_a_number():
    assert read_options(ROOMS['nawm'], {'margin_mm': 3}).margin_mm == 3.0


@pytest.mark.parametrize(
    ('text', 'value'),
    [
        ('wmh.runs=40', 40),
        ('wmh.seed_contrast = 0.3', 0.3),
        ('dwi_distortion.fieldmapless=false', False),
        ('dwi_denoise.method=none', 'none'),
        ('alps.reorientation="ppd"', 'ppd'),
    ],
)
def test_assignments(text, value):
    assert read_assignment(text)[2] == value


@pytest.mark.parametrize('text', ['wmh.runs', 'runs=3', '.runs=3', 'wmh.=3', 'wmh.runs='])
def test_what_is_no_assignment(text):
    with pytest.raises(UsageError, match='does not set an option'):
        read_assignment(text)


def test_the_command_line_wins_over_the_file(tmp_path):
    file = tmp_path / 'a.toml'
    file.write_text('[wmh]\nruns = 3\nseed_noise = 6\n')
    asked = settings('--config-file', str(file), '--set', 'wmh.runs=5', 'zones.scheme=pv10')
    assert asked.options == {'wmh': {'runs': 5, 'seed_noise': 6}, 'zones': {'scheme': 'pv10'}}


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ('wmh.runs=0', 'must be at least 1'),
        ('psmd.x=1', 'it has no options'),
        ('whm.runs=3', 'no step named whm'),
        ('fazekas.rule=other', 'one of ladis, credos'),
    ],
)
def test_options_of_steps_that_will_not_run_are_checked_too(text, said):
    with pytest.raises(UsageError, match=said):
        settings('--markers', 'atrophy', '--set', text)


def test_all_are_listed(capsys):
    assert run(['options', 'tensors']) == 0
    assert 'tensors.b_wanted = 1000.0 s/mm2  [number, 500 to 10000]' in capsys.readouterr().out
    rows = options_table(ROOMS.values())
    assert {row.option for row in rows} == {
        f'{room.name}.{item.name}' for room in ROOMS.values() for item in fields(room.options)
    }
    assert all(row.option in plain_table(rows) for row in rows)
    with pytest.raises(UsageError, match='no step named nothing'):
        run(['options', 'nothing'])


def test_the_page_lists_them():
    from pathlib import Path

    page = Path(__file__).parents[2] / 'docs' / 'options.md'
    if not page.exists():
        pytest.skip('no pages beside an installed package')
    assert markdown(options_table(ROOMS.values())) in page.read_text(encoding='utf-8')
