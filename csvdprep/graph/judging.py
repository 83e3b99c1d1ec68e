"""Judge the measures of a visit together: what stands on what, and what has to agree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from csvdprep.core.gates import GATES, Gate, matches
from csvdprep.core.plausibility import CHECKS, Apart, Contradiction, Share, contradictions
from csvdprep.core.room import Limits, Measure, Room

_ORDER = ('ok', 'warn', 'fail')
#: What may be said of a visit, and the flag of its row.
VERDICTS = {'ok': 'ok', 'check': 'warn', 'failed': 'fail', 'n/a': 'na'}


@dataclass(frozen=True)
class Footing:
    """A foundation that is not sound, and what it means for the measures on it.

    Parameters
    ----------
    name : str
        Foundation.
    flag : {'warn', 'fail'}
        How it is judged.
    words : str
        Why, e.g. 'lateral ventricles failed: 0.1 mL where 5 to 180 are plausible'.
    stopped, warned : tuple of str
        Measures that are n/a, or ask for a look, because of it.
    told : bool
        Whether a contradiction says the same.
    """

    name: str
    flag: str
    words: str
    stopped: tuple[str, ...] = ()
    warned: tuple[str, ...] = ()
    told: bool = False


@dataclass
class Judged:
    """The measures of a visit, and what is to be said of them.

    Parameters
    ----------
    rows : list of dict
        One per measure, as :func:`csvdprep.graph.tables.collect` returns them, with the value
        that was computed in ``ungated`` where a failed foundation took it.
    contradictions : list of Contradiction
        Measures that do not agree, failures first.
    footings : list of Footing
        Foundations that are not sound and carry something.
    verdict : {'ok', 'check', 'failed', 'n/a'}
        Of the visit, by the measures that count; n/a where there is none.
    """

    rows: list[dict[str, Any]]
    contradictions: list[Contradiction] = field(default_factory=list)
    footings: list[Footing] = field(default_factory=list)
    verdict: str = 'ok'

    @property
    def remarks(self) -> list[tuple[str, str]]:
        """Flag and sentence of what a reader has to know first, failures before the rest."""
        found = [(item.flag, item.words) for item in self.contradictions]
        found += [
            (item.flag, f'{item.words[:1].upper()}{item.words[1:]}.')
            for item in self.footings
            if not item.told
        ]
        return sorted(found, key=lambda item: item[0] != 'fail')


def judge_together(
    rows: Iterable[Mapping[str, Any]],
    rooms: Iterable[Room],
    *,
    gates: Iterable[Gate] = GATES,
    checks: Iterable[Share | Apart] = CHECKS,
) -> Judged:
    """Hold measures against each other, then take those whose foundation failed.

    Parameters
    ----------
    rows : iterable of mapping
        Measures with the flag of their own range, from :func:`csvdprep.graph.tables.collect`.
    rooms : iterable of Room
        Declarations of the measures.
    gates, checks : iterable
        The tables; other ones for tests.

    Returns
    -------
    Judged
        New rows; what was given is left as it is.

    Examples
    --------
    >>> from csvdprep.core.room import Limits
    >>> room = Room(name='r', title='', needs=(), makes={}, build='', measures=(
    ...     Measure(name='lv_ml', units='mL', description='', method='',
    ...             limits=Limits(ok=(8, 120), warn=(5, 180))),
    ...     Measure(name='fazekas_pv', units='1', description='', method='')))
    >>> found = [{'name': 'lv_ml', 'value': 0.1, 'qc': 'fail', 'reason': '', 'units': 'mL'},
    ...          {'name': 'fazekas_pv', 'value': 0, 'qc': 'ok', 'reason': '', 'units': '1'}]
    >>> judged = judge_together(found, [room])
    >>> judged.rows[1]['value'], judged.rows[1]['ungated'], judged.verdict
    (None, 0, 'failed')
    >>> judged.rows[1]['reason']
    'lateral ventricles failed: 0.1 mL where 5 to 180 is plausible'

    """
    rooms = tuple(rooms)
    measures = {m.name: m for room in rooms for m in room.measures}
    by_name = {row['name']: {**row, 'ungated': None} for row in rows}
    numbers = {name: row['value'] for name, row in by_name.items() if _is_number(row['value'])}
    failed = {name for name, row in by_name.items() if row['qc'] == 'fail'}
    found = contradictions(numbers, checks, failed=failed)
    against: dict[str, Contradiction] = {}
    for item in found:
        for name in item.concerns:
            if name in by_name:
                _flag(by_name[name], item.flag, item.words)
                against.setdefault(name, item)  # failures come first
    # A foundation is judged by what its measures say themselves, not by what others said of them.
    alone = {name: dict(row) for name, row in by_name.items()}
    footings = [
        footing for gate in gates if (footing := _apply(gate, by_name, alone, measures, against))
    ]
    for row in by_name.values():
        _inherit(row, by_name)
    _inherit_by_needs(rooms, by_name)
    # What is not given out needs no defence.
    found = [item for item in found if any(_is_given(by_name.get(name)) for name in item.concerns)]
    return Judged(list(by_name.values()), found, footings, _verdict(by_name, measures))


def counts(measure: Measure) -> bool:
    """Tell whether the verdict on a visit depends on a measure: a result, shown first."""
    return measure.table and bool(measure.units) and not measure.name.startswith('qc_')


def _apply(
    gate: Gate,
    rows: dict[str, dict],
    alone: Mapping[str, Mapping],
    measures: Mapping[str, Measure],
    against: Mapping[str, Contradiction],
) -> Footing | None:
    """Judge one foundation, and change the rows of what stands on it."""
    judges = [alone[name] for name in gate.judged_by if _is_given(rows.get(name))]
    worst = max(judges, key=lambda row: _ORDER.index(row['qc']), default=None)
    if worst is None or worst['qc'] == 'ok':
        return None
    flag = worst['qc']
    verb = 'failed' if flag == 'fail' else 'to be checked'
    told = against.get(worst['name'])
    measure = measures.get(worst['name'])
    told = told if told and told.flag == flag != _own(worst, measure) else None
    why = _in_line(told.words) if told else _why(worst, measure, alone=len(gate.judged_by) == 1)
    words = f'{gate.name} {verb}: {why}'
    stopped, warned = [], []
    for name, row in rows.items():
        if name in gate.judged_by or not _is_given(row):
            continue
        if flag == 'fail' and matches(name, gate.stops):
            _take(row, words)
            stopped.append(name)
        elif matches(name, gate.warns):
            _flag(row, 'warn', words)
            warned.append(name)
    if not stopped and not warned:
        return None
    return Footing(gate.name, flag, words, tuple(stopped), tuple(warned), told is not None)


def _inherit(row: dict[str, Any], rows: Mapping[str, Mapping]) -> None:
    """Let a value be worth no more than those that it was computed from."""
    for name in row.get('of', ()):
        source = rows.get(name)
        if source is None or not _is_given(row):
            continue
        if source['ungated'] is not None:
            _take(row, f'rests on {name}, which is not given out: {source["reason"]}')
        elif source['qc'] in ('warn', 'fail'):
            verb = 'must not be used' if source['qc'] == 'fail' else 'asks for a look'
            _flag(row, source['qc'], f'rests on {name}, which {verb}')


def _inherit_by_needs(rooms: Iterable[Room], rows: Mapping[str, dict]) -> None:
    """Let what a marker measures on the result of another be worth no more than that.

    Which marker stands on which follows from ``needs`` and ``reads``; what preprocessing means for
    the measures is said by the gates. The result of a marker is judged by its primary measures.
    A room whose values name what they were computed from has said all.
    """
    markers = [room for room in rooms if room.marker]
    makers = {name: room for room in markers for name in room.outputs()}
    known = {room.name: room for room in markers}
    worst: dict[str, tuple[str, str]] = {}

    def behind(room: Room) -> list[Room]:
        read = (known.get(name.partition('.')[0]) for name in room.reads)
        found = (*(makers.get(name) for name in room.needs), *read)
        named = {other.name: other for other in found if other and other is not room}
        return [*named.values()]

    def standing(room: Room) -> tuple[str, str]:
        """Return the worst flag of a room's result, and the measure that has it."""
        if room.name not in worst:
            worst[room.name] = ('ok', '')  # while it is sought
            own = [m.name for m in room.measures if m.primary and _is_given(rows.get(m.name))]
            found = [(rows[name]['qc'], name) for name in own]
            found += [standing(other) for other in behind(room)]
            worst[room.name] = max(
                found, key=lambda item: _ORDER.index(item[0]), default=('ok', '')
            )
        return worst[room.name]

    for room in markers:
        own = [rows[m.name] for m in room.measures if m.name in rows]
        if any(row.get('of') for row in own):
            continue
        found = [standing(other) for other in behind(room)]
        flag, name = max(found, key=lambda item: _ORDER.index(item[0]), default=('ok', ''))
        if flag == 'ok':
            continue
        verb = 'must not be used' if flag == 'fail' else 'asks for a look'
        for row in own:
            judges = row['name'].startswith('qc_') or row['name'] == name
            if _is_given(row) and not judges and _ORDER.index(row['qc']) < _ORDER.index(flag):
                _flag(row, flag, f'rests on {name}, which {verb}')


def _take(row: dict[str, Any], words: str) -> None:
    """Keep a value aside, and give none out."""
    row |= {
        'ungated': row['value'],
        'value': None,
        'low': None,
        'high': None,
        'n': None,
        'qc': 'na',
        'reason': words,
    }


def _own(row: Mapping[str, Any], measure: Measure | None) -> str:
    """Return the flag of a measure by its range alone."""
    limits = measure.limits if measure else None
    return limits.judge(row['value']) if limits and _is_number(row['value']) else 'ok'


def _in_line(sentence: str) -> str:
    return f'{sentence[:1].lower()}{sentence[1:].rstrip(".")}'


def _why(row: Mapping[str, Any], measure: Measure | None, *, alone: bool) -> str:
    """Say in words how a measure judges its foundation."""
    value, limits = row['value'], measure.limits if measure else None
    if limits is None or _own(row, measure) == 'ok':
        return f'{row["reason"] or value}'
    outer = limits.warn if row['qc'] == 'fail' and limits.warn else limits.ok
    unit = '' if row['units'] == '1' else f' {row["units"]}'
    what = '' if alone or row['units'] == 'mL' else f'{row["name"]} '
    usual = 'plausible' if row['qc'] == 'fail' else 'usual'
    return f'{what}{value:.4g}{unit} where {Limits(ok=outer)} is {usual}'


def _verdict(rows: Mapping[str, Mapping], measures: Mapping[str, Measure]) -> str:
    flags = {
        'fail' if row['ungated'] is not None else row['qc']
        for name, row in rows.items()
        if name in measures and counts(measures[name])
    }
    return next(
        (
            said
            for flag, said in (('fail', 'failed'), ('warn', 'check'), ('ok', 'ok'))
            if flag in flags
        ),
        'n/a',
    )


def _flag(row: dict[str, Any], flag: str, words: str) -> None:
    if row['value'] is None:
        return
    row['qc'] = max(row['qc'], flag, key=_ORDER.index)
    if words not in row['reason']:
        row['reason'] = f'{row["reason"]}; {words}' if row['reason'] else words


def _is_given(row: Mapping[str, Any] | None) -> bool:
    return row is not None and row['value'] is not None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
