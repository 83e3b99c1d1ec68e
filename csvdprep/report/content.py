"""What the report of a visit says, as plain data for its templates. Nothing here is HTML."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from csvdprep.bids.metadata import RANGES, Facts
from csvdprep.bids.names import fill
from csvdprep.bids.tsv import read_tsv
from csvdprep.core.declared import Declared
from csvdprep.core.errors import InputError
from csvdprep.core.plan import Plan, Scan, Step
from csvdprep.core.room import Derivative, Limits, Measure, Room
from csvdprep.graph.judging import counts

FLAGS = {'ok': '\u2713 ok', 'warn': '! check', 'fail': '\u2715 fail', 'na': 'n/a'}
_DASH = '\u2013'
_STATES = {
    'done': ('done', 'ok'),
    'cached': ('from an earlier run', 'ok'),
    'failed': ('failed', 'fail'),
    'not run': ('not run', 'warn'),
}
_ENDS = {
    'running': ('warn', 'Running', 'This visit is still being processed.'),
    'interrupted': ('fail', 'Interrupted', 'The run ended before it was complete.'),
    'failed': ('fail', 'Failed', 'Some of the requested steps could not be completed.'),
    'lost': ('fail', 'Lost', 'The run ended without a message.'),
}
#: Flag and badge of a finished visit, by what its results are worth.
_VERDICTS = {
    'ok': ('ok', 'Finished'),
    'check': ('warn', 'Finished, please check'),
    'failed': ('fail', 'Finished, quality failed'),
}
#: What a reader wants to know of the acquisition, and its unit.
_ACQUISITION = {
    'Manufacturer': '',
    'ManufacturersModelName': '',
    'MagneticFieldStrength': 'T',
    'MRAcquisitionType': '',
    'RepetitionTime': 's TR',
    'EchoTime': 's TE',
    'InversionTime': 's TI',
    'SliceThickness': 'mm slices',
    'SpacingBetweenSlices': 'mm apart',
}


def number(value: Any) -> str:
    """Write a value as a person reads it.

    Examples
    --------
    >>> [number(v) for v in (1346.24, 12.3456, 0.79212, 3, 0.0, -0.0004, None, 'left')]
    ['1346', '12.35', '0.7921', '3', '0', '−0.0004', 'n/a', 'left']

    """
    if value is None or value == '':
        return 'n/a'
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, int):
        text = str(value)
    else:
        text = f'{value:.0f}' if abs(value) >= 1000 else f'{value:.4g}'
    return text.replace('-', '\N{MINUS SIGN}')


def measure_rows(
    measures: Iterable[Measure], values: Mapping[str, Mapping[str, Any]], hub: str
) -> list[dict[str, Any]]:
    """Bring measures and what was found for them together.

    Parameters
    ----------
    measures : iterable of Measure
        Declarations.
    values : mapping of str to mapping
        ``value, low, high, reason, qc`` by name.
    hub : str
        Suffix of the anatomical reference.

    Returns
    -------
    list of dict
        Texts, one dict a measure.

    """
    rows = []
    for measure in measures:
        found = values.get(measure.name, {})
        value, low, high = (found.get(key) for key in ('value', 'low', 'high'))
        qc = found.get('qc') or 'na'
        level = (measure.levels or {}).get(str(value), '')
        limits = measure.limits
        meaning = fill(measure.description, hub)
        title = fill(measure.heading, hub)
        rows.append(
            {
                'name': measure.name,
                'label': title,
                'meaning': meaning if meaning.rstrip('.') != title else '',
                'value': number(value),
                'units': unit_text(measure.units),
                'interval': _DASH
                if low is None or high is None
                else f'{number(low)} to {number(high)}',
                'range': str(limits) if limits else _DASH,
                'beyond': _beyond(limits),
                'qc': qc if qc in FLAGS else 'na',
                'flag': FLAGS.get(qc, str(qc)),
                'level': level,
                'reason': '; '.join(
                    part for part in (level, _reason(found), _computed(found, measure)) if part
                )
                or ('not measured' if value is None else ''),
                'id': measure.qc_id or '',
            }
        )
    return rows


def _reason(found: Mapping[str, Any]) -> str:
    """Return the reason; that of a foundation without its why, which the header tells once."""
    reason = found.get('reason') or ''
    return reason if found.get('ungated') is None else reason.partition(': ')[0]


def _computed(found: Mapping[str, Any], measure: Measure) -> str:
    """Tell the value that a failed foundation took."""
    if found.get('ungated') is None:
        return ''
    unit = unit_text(measure.units, before=' ')
    return f'computed, not to be used: {number(found["ungated"])}{unit}'


def unit_text(units: str, *, before: str = '') -> str:
    """Write a unit as a person reads it; that of ratios and counts is nothing.

    Examples
    --------
    >>> unit_text('1e-3 mm2/s'), unit_text('1'), unit_text('mL', before=' ')
    ('10⁻³ mm²/s', '', ' mL')
    """
    if units in ('', '1'):
        return ''
    raised = str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹')
    text = re.sub(r'\b1e(-?\d+)', lambda found: f'10{found[1].translate(raised)}', units)
    return before + re.sub(r'(?<=m)([23])\b', lambda found: found[1].translate(raised), text)


def _beyond(limits: Limits | None) -> str:
    return str(Limits(ok=limits.warn)) if limits and limits.warn else _DASH


def measure_parts(
    step: Step, values: Mapping[str, Mapping[str, Any]], hub: str
) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of a step's measures: those shown first, and the others.

    What only judges quality (``qc_``) is among the others, and in the table of quality control.
    """
    first = [m for m in step.room.measures if m.table and not _judges(m)]
    rest = [m for m in step.room.measures if m not in first]
    return {'rows': measure_rows(first, values, hub), 'more': measure_rows(rest, values, hub)}


def quality_rows(plan: Plan, values: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the measures that judge quality: those of the registry in its order, then others."""
    checks = [m for step in plan.steps for m in step.room.measures if m.qc_id or _judges(m)]
    checks.sort(key=lambda m: (not m.qc_id, len(m.qc_id or ''), m.qc_id or ''))
    return measure_rows(checks, values, plan.context.hub)


def _judges(measure: Measure) -> bool:
    return measure.name.startswith('qc_')


def headline(
    plan: Plan, values: Sequence[Mapping[str, Any]], status: Mapping[str, Any]
) -> dict[str, Any]:
    """Say in one badge and one sentence how the visit came out.

    Parameters
    ----------
    plan : Plan
        What was decided.
    values : sequence of mapping
        Measures with their flags.
    status : mapping
        The visit's status, with its ``verdict``.

    Returns
    -------
    dict
        ``visit, flag, badge, sentence, facts``.

    """
    rooms = status.get('rooms') or {}
    declared = {m.name: m for step in plan.steps for m in step.room.measures}
    # Only what the verdict hangs on: numbers that are shown first.
    shown = [v for v in values if v.get('name') in declared and counts(declared[v['name']])]
    taken = sum(v.get('ungated') is not None for v in shown)
    flags = [v.get('qc') for v in shown]
    state, verdict = status.get('state', 'running'), status.get('verdict', 'n/a')
    flag, badge = standing(state, verdict, refused=bool(plan.refused))
    odd, bad = flags.count('warn'), flags.count('fail')
    start = _ENDS.get(state, ('', '', 'All requested steps were completed.'))[2]
    ended = sum(rooms.get(step.room.name) in ('done', 'cached') for step in plan.steps)
    said = [
        start,
        f'{ended} of {_count(len(plan.steps), "step")} {_are(len(plan.steps))} complete',
    ]
    if cached := sum(rooms.get(step.room.name) == 'cached' for step in plan.steps):
        said[-1] += f' ({cached} from an earlier run)'
    said[-1] += '.'
    if plan.refused:
        said.append(f'{_count(len(plan.refused), "file")} could not be used.')
    if taken:
        said.append(
            f'{_count(taken, "result")} {_are(taken)} not reported, because a step that '
            f'{"it depends" if taken == 1 else "they depend"} on failed its quality check.'
        )
    if bad:
        said.append(f'{_count(bad, "result")} must not be used without correction.')
    if odd:
        said.append(
            f'{_count(odd, "result")} {"needs" if odd == 1 else "need"} a visual check of '
            'the figures.'
        )
    if state == 'ok' and not (odd or bad or taken) and any(f == 'ok' for f in flags):
        said.append('All results are within their plausible ranges, and none contradicts another.')
    if plan.unused:
        said.append(
            f'{_count(len(plan.unused), "image")} of the visit {_are(len(plan.unused))} not used.'
        )
    if plan.skipped:
        said.append(
            f'{_count(len(plan.skipped), "step")} did not apply to this visit; the section '
            'Images and steps gives the reasons.'
        )
    facts = [
        'All visits of the participant' if plan.visit.level == 'participant' else '',
        f'Anatomical reference: {plan.context.hub}' if 'anat' in plan.scans else '',
        f'Run {status["run_id"]}' if status.get('run_id') else '',
        f'Finished {_time(status["finished"])}' if status.get('finished') else '',
    ]
    return {
        'visit': ' \u00b7 '.join(plan.visit.folder.split('/')),
        'flag': flag,
        'badge': badge,
        'sentence': ' '.join(said),
        'facts': [f for f in facts if f],
    }


def scan_titles(declared: Declared) -> dict[str, str]:
    """Return what users call the scans and the results of other tools, by name."""
    titles = {item.name: item.title for item in declared.inputs}
    titles |= {name: item.title for item in declared.inputs for name in item.also}
    return titles | {item.name: item.title for item in declared.externals}


def named(names: Iterable[str], titles: Mapping[str, str]) -> list[str]:
    """Name a scan as users do; that it is the reference, too, is told elsewhere."""
    return list(dict.fromkeys(titles.get(name, name) for name in names if name != 'anat'))


def worded(text: str, titles: Mapping[str, str]) -> str:
    """Put what users call scans for their names in a sentence, not within names of files.

    Examples
    --------
    >>> worded('needs t1w, which this visit does not have', {'t1w': 'T1w'})
    'needs T1w, which this visit does not have'
    >>> worded('sub-1_t1w.nii is broken', {'t1w': 'T1w'})
    'sub-1_t1w.nii is broken'
    """
    for name, title in titles.items():
        text = re.sub(rf'(?<![\w./-]){re.escape(name)}(?![\w./-])', title, text)
    return text


def standing(state: str, verdict: str, *, refused: bool = False) -> tuple[str, str]:
    """Say what a visit is worth: flag and words, the same on all pages.

    Parameters
    ----------
    state : str
        Of the processing.
    verdict : str
        On the results of a visit that is complete.
    refused : bool, optional
        Whether files of the visit could not be used.

    Examples
    --------
    >>> standing('ok', 'check'), standing('failed', 'ok'), standing('ok', 'ok', refused=True)
    (('warn', 'Finished, please check'), ('fail', 'Failed'), ('warn', 'Finished, please check'))
    """
    if state != 'ok':
        return _ENDS.get(state, ('na', state.capitalize()))[:2]
    flag, words = _VERDICTS.get(verdict, ('ok', 'Finished'))
    return _VERDICTS['check'] if flag == 'ok' and refused else (flag, words)


def _count(number_: int, noun: str) -> str:
    return f'{number_} {noun}' + ('' if number_ == 1 else 's')


def _are(number_: int) -> str:
    return 'is' if number_ == 1 else 'are'


def _time(text: str) -> str:
    return str(text).replace('T', ' ').replace('+00:00', ' UTC')


def failures(plan: Plan, status: Mapping[str, Any], output_dir: Path) -> list[dict[str, str]]:
    """Return what failed, with a link to the details if they lie in the output."""
    titles = {step.room.name: fill(step.room.title, plan.context.hub) for step in plan.steps}
    rows = []
    for failure in status.get('failures') or ():
        shown = relative(failure.file, output_dir) if failure.file else ''
        rows.append(
            {
                'title': titles.get(failure.room, failure.room) or 'Failure',
                'node': failure.node,
                'message': str(failure) or 'No error message was recorded.',
                'file': shown or failure.file,
                'href': href(shown),
            }
        )
    return rows


def relative(path: str | Path, output_dir: Path) -> str:
    """Return a path below the output folder relative to it, else an empty text."""
    path = Path(os.path.abspath(Path(output_dir) / path))
    root = Path(os.path.abspath(output_dir))
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else ''


def href(shown: str) -> str:
    """Write a relative path as a link that no name can turn into anything else.

    Examples
    --------
    >>> href('javascript:alert(1)'), href('')
    ('./javascript%3Aalert%281%29', '')

    """
    return f'./{quote(shown, errors="surrogatepass")}' if shown else ''


def link(path: Path, output_dir: Path, what: str = '') -> dict[str, str]:
    """Describe a link to a file of the output."""
    return {'href': href(relative(path, output_dir)), 'name': path.name, 'what': what}


def plan_content(plan: Plan, status: Mapping[str, Any], titles: Mapping[str, str]):
    """Tell what was used, chosen, refused, run and left out."""
    rooms = status.get('rooms') or {}
    scans, makers = scan_titles(plan.declared), {}
    for step in plan.steps:
        makers |= dict.fromkeys(step.room.outputs(), fill(step.room.title, plan.context.hub))
    steps = []
    for step in plan.steps:
        state, flag = _STATES.get(rooms.get(step.room.name, ''), ('planned', 'na'))
        steps.append(
            {
                'name': step.room.name,
                'title': fill(step.room.title, plan.context.hub),
                'takes': list(
                    dict.fromkeys(
                        makers.get(plan.aliases.get(name, name)) or scans.get(name, name)
                        for name in step.takes
                    )
                ),
                'options': _options(step.room, step.asked or step.options),
                'decisions': [str(item) for item in step.decisions],
                'state': state,
                'flag': flag,
            }
        )
    return {
        'scans': [
            {
                'name': ', '.join(_used_as(names, scans)),
                'uri': scan.uri or scan.path,
                'facts': _facts(scan),
            }
            for names, scan in distinct(plan.scans)
        ],
        'notes': plan.notes,
        'refused': plan.refused,
        'unused': plan.unused,
        'steps': steps,
        'skipped': [
            {'title': titles.get(name, name), 'why': worded(why, scans)}
            for name, why in plan.skipped.items()
        ],
    }


def _used_as(names: Sequence[str], titles: Mapping[str, str]) -> list[str]:
    reference = ['anatomical reference'] if 'anat' in names else []
    return named(names, titles) + reference


def distinct(scans: Mapping[str, Scan]) -> list[tuple[list[str], Scan]]:
    """Gather the names under which one file is used."""
    found: dict[str, tuple[list[str], Scan]] = {}
    for name, scan in scans.items():
        found.setdefault(scan.path, ([], scan))[0].append(name)
    return list(found.values())


def _facts(scan: Scan) -> str:
    """Name what the sidecar says about the acquisition."""
    told = Facts(scan.metadata)
    known = {
        key: told.number(key) if key in RANGES else scan.metadata.get(key) for key in _ACQUISITION
    }
    parts = [
        f'{number(value)} {_ACQUISITION[key]}'.strip()
        for key, value in known.items()
        if isinstance(value, (str, int, float)) and value != ''
    ]
    return ', '.join(parts) or _DASH


def _options(room: Room, chosen: Any) -> str:
    """Name the options that differ from their defaults."""
    if not is_dataclass(chosen):
        return ''
    default = room.options()
    return ', '.join(
        f'{item.name} = {getattr(chosen, item.name)}'
        for item in fields(chosen)
        if getattr(chosen, item.name) != getattr(default, item.name, None)
    )


def list_content(
    path: Path, output_dir: Path, derivative: Derivative, most: int = 30
) -> dict[str, Any] | None:
    """Read a table whose rows the report shows, None if it cannot be read."""
    try:
        table = read_tsv(path)
    except (OSError, InputError):
        return None
    names, rows = list(table.columns), table.rows
    shown = [{n: row.get(n) or 'n/a' for n in names} for row in rows[:most]]
    aside = {column.name for column in derivative.columns if column.aside}
    names = [
        name for name in names if name not in aside and any(row[name] != 'n/a' for row in shown)
    ]
    numbers = [name for name in names if all(_is_number(row[name]) for row in shown)]
    for name in numbers:
        cells = [row[name] for row in shown]
        # Rows of several measures have a scale each.
        rounded = [_short(cell) for cell in cells] if 'units' in names else _rounded(cells)
        for row, cell in zip(shown, rounded, strict=True):
            row[name] = cell
    return {
        'names': names,
        'about': {column.name: column.description for column in derivative.columns},
        'numbers': numbers,
        'rows': shown,
        'total': len(rows),
        'href': href(relative(path, output_dir)),
        'file': path.name,
    }


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text == 'n/a'
    return True


def _short(cell: str) -> str:
    """Give a number four digits.

    Examples
    --------
    >>> _short('0.824118'), _short('-12.3456'), _short('3'), _short('n/a')
    ('0.8241', '−12.35', '3', 'n/a')

    """
    if cell == 'n/a':
        return cell
    return f'{float(cell):.4g}'.replace('-', '\N{MINUS SIGN}')


def _rounded(cells: Sequence[str]) -> list[str]:
    """Give the numbers of a column one number of decimals, two if none is above 1.

    Examples
    --------
    >>> _rounded(['1', '2']), _rounded(['0.123', 'n/a']), _rounded(['-28.22', '5'])
    (['1', '2'], ['0.12', 'n/a'], ['−28.2', '5.0'])

    """
    if not any('.' in cell for cell in cells):
        return list(cells)
    largest = max(abs(float(cell)) for cell in cells if cell != 'n/a')
    places = 2 if largest <= 1 else 1
    return [
        cell if cell == 'n/a' else f'{float(cell):.{places}f}'.replace('-', '\N{MINUS SIGN}')
        for cell in cells
    ]


def provenance(
    plan: Plan, status: Mapping[str, Any], versions: Mapping[str, str], output_dir: Path
) -> dict[str, Any]:
    """Tell with what, when and from which bytes the results were made."""
    log = output_dir / plan.visit.log / str(status.get('run_id') or '')
    files = [
        (log / 'csvdprep.toml', 'Settings of this run'),
        (log / 'plan.txt', 'Plan as text'),
        (output_dir / 'logs' / 'CITATION.bib', 'References'),
    ]
    facts = {
        'Run': status.get('run_id'),
        'Started': _time(status.get('started') or ''),
        'Finished': _time(status.get('finished') or ''),
        'Plan': plan.key,
        'Random seed': str(plan.context.random_seed),
        'Accuracy': 'reduced for speed (--sloppy)' if plan.context.sloppy else 'full',
    }
    return {
        'facts': [(name, value) for name, value in facts.items() if value],
        'files': [link(path, output_dir, what) for path, what in files if os.path.isfile(path)],
        'versions': list(versions.items()),
        'inputs': [
            {'uri': scan.uri or scan.path, 'digest': scan.digest}
            for _, scan in distinct(plan.scans)
            if scan.digest
        ],
    }
