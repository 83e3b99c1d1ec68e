"""The tables of a group: one row a visit, written as they are read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from csvdprep.bids.checkpoints import json_text
from csvdprep.bids.covariates import age_of, number
from csvdprep.bids.files import atomic_write, replacing
from csvdprep.bids.tsv import MISSING, join_line, plain_columns, read_tsv, tsv_cell, tsv_text
from csvdprep.core.errors import InputError
from csvdprep.core.plan import Visit
from csvdprep.core.room import Room
from csvdprep.graph.judging import VERDICTS
from csvdprep.graph.tables import FLAGS, RANGE, long_table, wide_dictionary
from csvdprep.group.visits import STATES, Entry

WHO = ('participant_id', 'session_id')
_WHO = {
    'participant_id': {'Description': 'Label of the participant.'},
    'session_id': {'Description': 'Label of the session; n/a if there is none.'},
}
#: Columns of each table about the visit beside its images.
COVARIATES: dict[str, dict[str, str]] = {
    'age': {
        'Description': 'Age at the visit, from participants.tsv or sessions.tsv; of an age that '
        'is only a lower bound (89+), the bound.',
        'Units': 'year',
    },
    'sex': {'Description': 'Sex, as participants.tsv has it.'},
    'site': {'Description': 'Site, from participants.tsv.'},
    'manufacturer': {'Description': 'Manufacturer of the scanner.'},
    'model': {'Description': 'Model of the scanner.'},
    'field_t': {'Description': 'Field strength.', 'Units': 'T'},
    'interval_years': {
        'Description': 'Time since the first visit of the participant, from acq_time or other '
        'times of sessions.tsv and scans.tsv; n/a if they tell none.',
        'Units': 'year',
    },
}
#: Columns with which each table begins.
_ABOUT = [*WHO, *COVARIATES]
#: Columns of ``group_long.tsv`` after those.
LONG: dict[str, dict[str, Any]] = {
    'measure': {'Description': 'Name of the measure, a column of group_measures.tsv.'},
    'value': {'Description': 'Value; n/a if there is none, or if it is a word.'},
    'word': {'Description': 'Value of a measure that is a word; n/a of all others.'},
    'low': {'Description': f'Lower bound of the {RANGE}; n/a of measures without an interval.'},
    'high': {'Description': 'Upper bound of the interval.'},
    'units': {'Description': 'Unit of value, low and high.'},
    'n': {'Description': 'Number of voxels or lesions behind the value.'},
    'flag': {'Description': 'Quality flag.', 'Levels': FLAGS},
    'reason': {'Description': 'Why there is no value, or what to consider when using it.'},
}
#: Columns of ``group_status.tsv`` beside who it is.
STATUS: dict[str, str] = {
    'state': 'State of the processing of the visit.',
    'verdict': 'Whether the results may be used, judged by their flags: ok, check or failed.',
    'remarks': 'Contradictions between measures, and processing steps that failed their '
    'quality check.',
    'version': 'Version of csvdprep that computed the visit.',
    'key': 'Digest of inputs, options and version: visits with the same key had the same input.',
    'started': 'Start of the last run (UTC).',
    'finished': 'End of the last run (UTC).',
    'peak_mb': 'Peak memory of the last run, if it processed only this visit.',
    'failures': 'Steps that failed, each with the reason.',
    'not_run': 'Steps that did not apply to the visit, each with the reason.',
    'refused': 'Files that could not be used, each with the reason.',
    'unused': 'Images that no step takes, each with the reason.',
}
VERDICT_LEVELS = {
    'ok': 'all results are within their plausible ranges, and none contradicts another',
    'check': 'at least one result needs a visual check of the figures',
    'failed': 'at least one result must not be used, or is not reported',
    'n/a': 'there are no results',
}
#: Column of ``group_status.tsv`` with the image that was used under a name.
INPUT = 'input_{}'


class GroupWriter:
    """Write the group tables visit by visit, so that memory does not grow with their number.

    Parameters
    ----------
    output_dir : Path
        Root of the derivatives.
    rooms : sequence of Room
        All rooms: their measures are the columns.
    scans : sequence of str
        Names under which images are used.
    folder : Path, optional
        Where to write, if not there.

    Notes
    -----
    Readers see the old tables until all visits are written.
    """

    def __init__(
        self,
        output_dir: Path,
        rooms: Sequence[Room],
        scans: Sequence[str],
        folder: Path | None = None,
    ):
        ordered = sorted(rooms, key=lambda room: room.order)
        self.measures = [measure.name for room in rooms for measure in room.measures]
        self._dir, self._rooms, self._scans = Path(output_dir), rooms, scans
        self._into = Path(folder or output_dir)
        self._declared = {m.name: m for room in rooms for m in room.measures}
        self._step = {m.name: room.name for room in rooms for m in room.measures}
        self._core = [m.name for room in ordered for m in room.measures if m.primary]
        about = _ABOUT
        self.columns = {
            'core': [*about, 'qc', *self._with_bounds(self._core)],
            'measures': [*about, 'qc', *self._with_bounds(self.measures)],
            'long': [*about, *LONG],
            'qc': [*about, 'qc', *self.measures],
            'status': [*about, *STATUS, *(INPUT.format(name) for name in scans)],
        }

    def _with_bounds(self, names: Iterable[str]) -> Iterator[str]:
        for name in names:
            yield name
            if self._declared[name].interval:
                yield from (f'{name}_low', f'{name}_high')

    @contextmanager
    def open(self) -> Iterator[Callable[[Entry, Mapping[str, str]], dict[str, dict[str, str]]]]:
        """Begin the tables; yields a function that writes one visit and returns its rows."""
        with ExitStack() as stack:
            files = {
                name: stack.enter_context(replacing(self._into / f'group_{name}.tsv'))
                for name in self.columns
            }
            for name, file in files.items():
                file.write(_line(self.columns[name]))

            def write(entry: Entry, facts: Mapping[str, str]) -> dict[str, dict[str, Any]]:
                rows = self.rows(entry, facts)
                # What is known of the visit begins every row of every table.
                shared = _line(rows['status'][0].get(c) for c in _ABOUT).rstrip(b'\n') + b'\t'
                for name, file in files.items():
                    if name == 'long':
                        file.write(b''.join(shared + _joined(row) for row in rows[name]))
                        continue
                    own = self.columns[name][len(_ABOUT) :]
                    cells = map(rows[name][0].get, own)
                    file.write(shared + (_line if name == 'status' else _joined)(cells))
                first = {name: rows[name][0] for name in ('measures', 'qc', 'status')}
                return first | {name: rows[name] for name in ('bounds', 'numbers')}

            yield write
        dictionary = self.dictionary()
        atomic_write(self._into / 'group_dictionary.json', json_text(dictionary))
        for name in self.columns:
            described = dictionary[f'group_{name}.tsv']
            atomic_write(self._into / f'group_{name}.json', json_text(described))

    def rows(self, entry: Entry, facts: Mapping[str, str]) -> dict[str, Any]:
        """Return the rows of a visit in each table, values as text.

        ``facts`` are ``age``, ``sex``, ``site`` and ``interval_years``, as far as they are known;
        ``numbers`` are the values, and ``bounds`` those of intervals, as numbers. Rows of the
        long table are cells in the order of its own columns. It has no row for a measure of a
        step that did not run on the visit: why is told once, in the table of the states.
        """
        visit, status = entry.visit, entry.status
        who = {'participant_id': f'sub-{visit.subject}'}
        who |= {'session_id': f'ses-{visit.session}'} if visit.session else {}
        who |= {name: facts[name] for name in COVARIATES if facts.get(name)}
        years, _ = age_of(facts.get('age') or '')
        who['age'] = MISSING if years is None else f'{years:g}'
        if status:
            who |= {k: str(v) for k, v in status.scanner.items() if k in COVARIATES}
        values, flags = dict(who), dict(who)
        skipped = status.skipped if status else {}
        long, bounds, numbers = [], {}, {}
        for name, value, low, high, units, n, flag, reason in _read_cells(self._dir, visit):
            measure = self._declared.get(name)
            if measure is None:
                continue
            word = not measure.units
            if not word:
                found = number(value)
                if found is None:
                    # What is no number would make programs read the whole column as text.
                    value = MISSING
                else:
                    numbers[name] = found
            values[name] = value
            flags[name] = flag
            if low != MISSING or high != MISSING:
                values[f'{name}_low'], values[f'{name}_high'] = low, high
                with suppress(ValueError):
                    bounds[name] = [float(low), float(high)]
            if value != MISSING or self._step[name] not in skipped:
                own = (MISSING, value) if word else (value, MISSING)
                reason = public(reason) if '/' in reason and reason != MISSING else reason
                long.append((name, *own, low, high, units, n, flag, reason))
        verdict = status.verdict if status else 'n/a'
        values['qc'] = flags['qc'] = VERDICTS.get(verdict, 'na') if status else MISSING
        state: dict[str, Any] = {**who, 'state': entry.state}
        if status:
            state |= {
                'verdict': verdict,
                'remarks': public(' '.join(words for _, words in status.remarks)),
                'version': status.version,
                'key': status.key,
                'started': status.started,
                'finished': status.finished,
                'peak_mb': status.peak_mb,
                'failures': public('; '.join(f'{f.room}: {f}' for f in status.failures)),
                'not_run': public('; '.join(f'{k}: {v}' for k, v in status.skipped.items())),
                'refused': public('; '.join(': '.join(map(str, i)) for i in status.refused)),
                'unused': public('; '.join(': '.join(map(str, i)) for i in status.unused)),
                **{INPUT.format(name): uri for name, uri in status.inputs.items()},
            }
        return {
            'core': [values],
            'measures': [values],
            'long': long,
            'qc': [flags],
            'status': [state],
            'bounds': bounds,
            'numbers': numbers,
        }

    def dictionary(self) -> dict[str, Any]:
        """Describe every column of every table."""
        about = _WHO | COVARIATES
        measures = wide_dictionary(self._rooms, dict.fromkeys(WHO))
        for room in self._rooms:
            for measure in room.measures:
                measures[measure.name] |= {
                    'LongName': measure.heading,
                    'Format': 'number' if measure.units else 'string',
                    'Step': room.name,
                    'Primary': measure.primary,
                }
                for end, side in (('low', 'Lower'), ('high', 'Upper')):
                    measures[f'{measure.name}_{end}'] = {
                        'Description': f'{side} bound of {measure.name}: {RANGE}.',
                        'Units': measure.units,
                        'Format': 'number',
                    }
        wide = dict.fromkeys(('measures', 'core'), measures | about)
        tables = wide | {
            'long': about | LONG,
            'qc': about
            | {'qc': measures['qc']}
            | {
                name: {'Description': f'Quality flag of {name}.', 'Levels': FLAGS}
                for name in self.measures
            },
            'status': {
                **about,
                **{name: {'Description': text} for name, text in STATUS.items()},
                'state': {'Description': STATUS['state'], 'Levels': STATES},
                'verdict': {'Description': STATUS['verdict'], 'Levels': VERDICT_LEVELS},
                'peak_mb': {'Description': STATUS['peak_mb'], 'Units': 'MB'},
                **{
                    INPUT.format(name): {'Description': f'Image that was used as {name}.'}
                    for name in self._scans
                },
            },
        }
        return {
            f'group_{name}.tsv': {
                column: _formatted(tables[name][column], column) for column in columns
            }
            for name, columns in self.columns.items()
        }


#: Columns of numbers that are no measures.
_NUMBERS = frozenset({'age', 'field_t', 'interval_years', 'value', 'low', 'high', 'n', 'peak_mb'})


def _formatted(described: Mapping[str, Any], column: str) -> dict[str, Any]:
    kind = 'number' if column in _NUMBERS else 'string'
    return {'Format': kind} | dict(described)


#: Columns of the long table of a visit that are read.
_READ = ('measure', 'value', 'low', 'high', 'units', 'n', 'qc', 'reason')


def _read_cells(output_dir: Path, visit: Visit) -> Iterator[Sequence[str]]:
    """Yield the cells of :data:`_READ` of each row of a visit's long table."""
    rows = plain_columns(long_table(output_dir, visit), _READ)
    if rows is not None:
        yield from rows
        return
    for row in read_long(output_dir, visit):
        yield [tsv_cell(row.get(name)) for name in _READ]


def _joined(cells: Iterable[str | None]) -> bytes:
    """Write a row whose cells were read from a table: they hold nothing that ends a cell.

    Examples
    --------
    >>> _joined(['a', None, '1'])
    b'a\\tn/a\\t1\\n'
    """
    line = join_line([cell or MISSING for cell in cells])
    return (line + '\n').encode('utf-8', 'backslashreplace')


def read_long(output_dir: Path, visit: Visit) -> Iterator[dict[str, str]]:
    """Yield the rows of a visit's long table; nothing if there is none that can be read.

    Parameters
    ----------
    output_dir : Path
        Root of the derivatives.
    visit : Visit
        Participant and session.
    """
    try:
        rows = read_tsv(long_table(output_dir, visit)).rows
    except (OSError, InputError):
        return
    yield from (row for row in rows if row.get('measure'))


def public(text: str) -> str:
    """Leave folders of the machine out of a message: tables are sent to others.

    Examples
    --------
    >>> public('It is empty. [file: /home/ann/study/sub-01/anat/sub-01_T1w.nii.gz]')
    'It is empty. [file: sub-01_T1w.nii.gz]'

    """
    return re.sub(r'(?<![\w.:/])/(?:[^/\]\[;,"\']+/)+', '', text)


def _line(cells: Iterable[Any]) -> bytes:
    return tsv_text([cells]).encode('utf-8', 'backslashreplace')
