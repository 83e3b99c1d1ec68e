"""The tables of a group: one row a visit, written as they are read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from csvdprep.bids.checkpoints import json_text
from csvdprep.bids.files import atomic_write, replacing
from csvdprep.bids.tsv import MISSING, read_tsv, tsv_text
from csvdprep.core.errors import InputError
from csvdprep.core.plan import Visit
from csvdprep.core.room import Room
from csvdprep.graph.judging import VERDICTS
from csvdprep.graph.tables import FLAGS, long_table, wide_dictionary
from csvdprep.group.visits import STATES, Entry

WHO = ('participant_id', 'session_id')
#: Columns of ``group_status.tsv`` beside who it is.
STATUS: dict[str, str] = {
    'state': 'State of the processing of the visit.',
    'verdict': 'Whether the results may be used, judged by their flags: ok, check or failed.',
    'remarks': 'Contradictions between measures, and processing steps that failed their '
    'quality check.',
    'site': 'Site, from participants.tsv.',
    'manufacturer': 'Manufacturer of the scanner.',
    'model': 'Model of the scanner.',
    'field_t': 'Field strength.',
    'version': 'Version of csvdprep that computed the visit.',
    'key': 'Digest of inputs, options and version: visits with the same key had the same input.',
    'started': 'Start of the last run (UTC).',
    'finished': 'End of the last run (UTC).',
    'peak_mb': 'Peak memory of the last run, if it processed only this visit.',
    'failures': 'Steps that failed, each with the reason.',
    'not_run': 'Steps that did not apply to the visit, each with the reason.',
    'refused': 'Files that could not be used, each with the reason.',
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
        self.measures = [measure.name for room in rooms for measure in room.measures]
        self._dir, self._rooms, self._scans = Path(output_dir), rooms, scans
        self._into = Path(folder or output_dir)
        self.columns = {
            'measures': [*WHO, *self.measures, 'qc'],
            'qc': [*WHO, *self.measures, 'qc'],
            'status': [*WHO, *STATUS, *(INPUT.format(name) for name in scans)],
        }

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

            def write(entry: Entry, facts: Mapping[str, str]) -> dict[str, dict[str, str]]:
                rows = self.rows(entry, facts)
                for name, file in files.items():
                    file.write(_line(rows[name].get(c) for c in self.columns[name]))
                return rows

            yield write
        atomic_write(self._into / 'group_dictionary.json', json_text(self.dictionary()))

    def rows(self, entry: Entry, facts: Mapping[str, str]) -> dict[str, dict[str, Any]]:
        """Return the row of a visit in each table, values as text; and bounds of intervals."""
        visit, status = entry.visit, entry.status
        who = {'participant_id': f'sub-{visit.subject}'}
        who |= {'session_id': f'ses-{visit.session}'} if visit.session else {}
        values, flags = dict(who), dict(who)
        bounds = {}
        for row in read_long(self._dir, visit):
            values[row['measure']] = row.get('value') or MISSING
            flags[row['measure']] = row.get('qc') or MISSING
            try:
                bounds[row['measure']] = [float(row['low']), float(row['high'])]
            except (KeyError, ValueError):
                continue
        verdict = status.verdict if status else 'n/a'
        values['qc'] = flags['qc'] = VERDICTS.get(verdict, 'na') if status else MISSING
        state: dict[str, Any] = {**who, 'state': entry.state, 'site': facts.get('site')}
        if status:
            state |= {
                'verdict': verdict,
                'remarks': public(' '.join(words for _, words in status.remarks)),
                **status.scanner,
                'version': status.version,
                'key': status.key,
                'started': status.started,
                'finished': status.finished,
                'peak_mb': status.peak_mb,
                'failures': public('; '.join(f'{f.room}: {f}' for f in status.failures)),
                'not_run': public('; '.join(f'{k}: {v}' for k, v in status.skipped.items())),
                'refused': public('; '.join(': '.join(map(str, i)) for i in status.refused)),
                **{INPUT.format(name): uri for name, uri in status.inputs.items()},
            }
        return {'measures': values, 'qc': flags, 'status': state, 'bounds': bounds}

    def dictionary(self) -> dict[str, Any]:
        """Describe every column of every table."""
        who = {
            'participant_id': {'Description': 'Label of the participant.'},
            'session_id': {'Description': 'Label of the session; n/a if there is none.'},
        }
        measures = wide_dictionary(self._rooms, who)
        for room in self._rooms:
            for measure in room.measures:
                measures[measure.name]['Step'] = room.name
        return {
            'group_measures.tsv': measures,
            'group_qc.tsv': {
                **who,
                **{
                    name: {'Description': f'Quality flag of {name}.', 'Levels': FLAGS}
                    for name in self.measures
                },
                'qc': measures['qc'],
            },
            'group_status.tsv': {
                **who,
                **{name: {'Description': text} for name, text in STATUS.items()},
                'state': {'Description': STATUS['state'], 'Levels': STATES},
                'verdict': {'Description': STATUS['verdict'], 'Levels': VERDICT_LEVELS},
                'field_t': {'Description': STATUS['field_t'], 'Units': 'T'},
                'peak_mb': {'Description': STATUS['peak_mb'], 'Units': 'MB'},
                **{
                    INPUT.format(name): {'Description': f'Image that was used as {name}.'}
                    for name in self._scans
                },
            },
        }


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
