"""The tables of a visit: what each room measured, judged by its declaration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from csvdprep.bids.checkpoints import json_text
from csvdprep.bids.files import atomic_write
from csvdprep.bids.tsv import MISSING, write_tsv
from csvdprep.core.plan import Visit
from csvdprep.core.room import Measure, Room
from csvdprep.graph.judging import VERDICTS, Judged
from csvdprep.interfaces.values import Value, read_values


def judge(measure: Measure, value: Value, mind: str = '') -> dict[str, Any]:
    """Put a value and its declaration together.

    Parameters
    ----------
    measure : Measure
        The declaration.
    value : Value
        What the room found.
    mind : str, optional
        What to mind about every value of the room: said of each, and a 'warn' to those of the
        report's first table; values that judge quality are left as they are.

    Returns
    -------
    dict
        ``name, value, low, high, n, reason, qc, units, method, of``; ``qc`` is one of 'ok',
        'warn', 'fail' and 'na'.

    Examples
    --------
    >>> from csvdprep.core.room import Limits
    >>> bpf = Measure(name='bpf', units='1', description='', method='em',
    ...               limits=Limits(ok=(0.6, 0.95)))
    >>> row = judge(bpf, Value(0.5))
    >>> row['qc'], row['reason']
    ('warn', 'outside the plausible range of 0.6 to 0.95')

    """
    order = ('ok', 'warn', 'fail')
    qc, reason = value.qc or 'ok', value.reason
    if value.value is None:
        qc = 'na'
    elif measure.limits and not isinstance(value.value, str):
        found = measure.limits.judge(value.value)
        if found != 'ok':
            said = f'outside the plausible range of {measure.limits}'
            reason = f'{reason}; {said}' if reason else said
        qc = max(qc, found, key=order.index)
    if mind and value.value is not None and not measure.name.startswith('qc_'):
        reason = f'{reason}; {mind}' if reason else mind
        qc = max(qc, 'warn' if measure.table else 'ok', key=order.index)
    return {
        'name': measure.name,
        'value': value.value,
        'low': value.low,
        'high': value.high,
        'n': value.n,
        'reason': reason,
        'qc': qc,
        'units': measure.units,
        'method': value.method or measure.method,
        'of': value.of,
    }


def collect(
    rooms: Iterable[Room],
    found: Mapping[str, str],
    missing: Mapping[str, str],
    fields_t: Mapping[str, Iterable[float]] | None = None,
) -> list[dict[str, Any]]:
    """Gather the values of all rooms, those that did not run as missing with their reason.

    Parameters
    ----------
    rooms : iterable of Room
        All rooms, so that every visit has the same columns.
    found : mapping of str to str
        Values file of each room that is done.
    missing : mapping of str to str
        Reason for each room that is not.
    fields_t : mapping of str to iterable of float, optional
        Field strengths (T) of the scans that each room's results come from.

    Returns
    -------
    list of dict
        One per measure, as :func:`judge` returns it, with the ``room``; each judged by itself
        alone. See :func:`csvdprep.graph.judging.judge_together`.

    """
    rows = []
    for room in rooms:
        values = read_values(Path(found[room.name])) if room.name in found else {}
        why = missing.get(room.name, 'not computed')
        mind = room.beyond_field((fields_t or {}).get(room.name, ()))
        for measure in room.measures:
            value = values.get(measure.name) or Value(None, reason=why)
            rows.append({**judge(measure, value, mind), 'room': room.name})
    return rows


def write_tables(
    visit: Visit, judged: Judged, rooms: Iterable[Room], output_dir: Path
) -> list[Path]:
    """Write the one-row table, its long form, and their dictionaries.

    Of the dataset there is only the long form, ``group_values.tsv``, and only if any of its rooms
    measures something.

    Parameters
    ----------
    visit : Visit
        Participant and session.
    judged : Judged
        From :func:`csvdprep.graph.judging.judge_together`.
    rooms : iterable of Room
        Declarations of the measures.
    output_dir : Path
        Root of the derivatives.

    Returns
    -------
    list of Path
        The tables.

    """
    folder = Path(output_dir) / visit.folder
    who = {} if visit.level == 'dataset' else {'participant_id': f'sub-{visit.subject}'}
    if visit.session:
        who['session_id'] = f'ses-{visit.session}'
    wide = {
        **who,
        **{row['name']: text(row['value']) for row in judged.rows},
        'qc': VERDICTS[judged.verdict],
    }
    long_columns = (
        'name',
        'value',
        'units',
        'low',
        'high',
        'n',
        'qc',
        'method',
        'reason',
        'ungated',
    )
    long = [[*who.values(), *(text(row[c]) for c in long_columns)] for row in judged.rows]
    tables = {
        'csvd': ([list(wide.values())], list(wide), wide_dictionary(rooms, who)),
        'csvdlong': (long, [*who, 'measure', *long_columns[1:]], _long_dictionary(who)),
    }
    names = {desc: f'{visit.label}_desc-{desc}_measures.tsv' for desc in tables}
    if visit.level == 'dataset':
        names = {'csvdlong': f'{visit.label}_values.tsv'} if long else {}
    paths = []
    for desc, name in names.items():
        lines, columns, dictionary = tables[desc]
        path = folder / name
        write_tsv(path, [columns, *lines])
        atomic_write(path.with_suffix('.json'), json_text(dictionary))
        paths.append(path)
    return paths


def long_table(output_dir: Path, visit: Visit) -> Path:
    """Return where the long table of a visit lies."""
    return Path(output_dir) / visit.folder / f'{visit.label}_desc-csvdlong_measures.tsv'


def text(value: Any) -> str:
    """Write a value as the tables have it.

    Examples
    --------
    >>> text(None), text(12), text(0.123456789), text(True)
    ('n/a', '12', '0.123457', 'true')

    """
    if value is None or value == '':
        return MISSING
    if isinstance(value, bool):
        return str(value).lower()
    return f'{value:.6g}' if isinstance(value, float) else str(value)


_WHO = {
    'participant_id': {'Description': 'Label of the participant.'},
    'session_id': {'Description': 'Label of the session.'},
}


def wide_dictionary(rooms: Iterable[Room], who: Mapping[str, Any]) -> dict[str, Any]:
    """Describe the columns of the one-row table; ``who`` has those that name the visit."""
    dictionary = {name: _WHO[name] for name in who}
    for room in rooms:
        for measure in room.measures:
            dictionary[measure.name] = {
                'Description': measure.description,
                **({'Units': measure.units} if measure.units else {}),
                **({'Levels': dict(measure.levels)} if measure.levels else {}),
                'Method': measure.method,
                **({'Reference': measure.reference} if measure.reference else {}),
                **({'PlausibleRange': str(measure.limits)} if measure.limits else {}),
                **({'QualityControl': measure.qc_id} if measure.qc_id else {}),
            }
    dictionary['qc'] = {
        'Description': 'Worst flag among the results of the visit (those in the first table '
        'of the report). A result that is not reported because a step it '
        'depends on failed counts as fail. Measures of quality count only '
        'through the results that depend on them.',
        'Levels': FLAGS,
    }
    return dictionary


#: What the bounds of a value are.
RANGE = (
    '95 % interval, calibrated on phantoms and on lesions inserted into real scans; for '
    'other kinds of scans the true value may lie outside more often'
)
#: Meaning of the flags.
FLAGS = {
    'ok': 'within the plausible range',
    'warn': 'check the figures before use',
    'fail': 'do not use without correction',
    'na': 'not available; the reason is given',
}


def _long_dictionary(who):
    return {
        **{name: _WHO[name] for name in who},
        'measure': {'Description': 'Name of the measure, as in the one-row table.'},
        'value': {'Description': 'Value; n/a if it could not be determined.'},
        'units': {'Description': 'Unit of the value.'},
        'low': {'Description': f'Lower bound of the {RANGE}.'},
        'high': {'Description': f'Upper bound of the {RANGE}.'},
        'n': {'Description': 'Number of voxels or lesions behind the value.'},
        'qc': {'Description': 'Quality flag.', 'Levels': FLAGS},
        'method': {'Description': 'Identifier of the algorithm.'},
        'reason': {'Description': 'Why there is no value, or what to consider when using it.'},
        'ungated': {
            'Description': 'Computed value of a measure that is not reported because a step '
            'it depends on failed its quality check; n/a for all others. Do '
            'not use it without correction.'
        },
    }
