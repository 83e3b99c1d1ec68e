"""Gradient echoes of a visit: magnitude and phase of one echo or several, or the scanner's SWI."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from csvdprep.bids.metadata import Facts, plain_number
from csvdprep.bids.names import DERIVED
from csvdprep.bids.offer import Candidate, Dataset, Report
from csvdprep.core.declared import Input
from csvdprep.core.grids import same_grid
from csvdprep.core.plan import Scan, Visit

#: Folders and suffixes beside those that BIDS has: SWI is not settled.
LEGACY = {'swi': ('swi', 'SWI', 'GRE', 'MEGRE', 'T2starw'), 'anat': ('swi', 'SWI')}
#: Suffixes of what the scanner has weighted already.
WEIGHTED = ('swi', 'SWI')
#: Parts of a complex image.
PARTS = ('mag', 'phase', 'real', 'imag')
#: Echo times (s) that are plausible; a thousand times as much is in milliseconds.
LEAST_TE, MOST_TE = 0.0005, 0.2


@dataclass
class Group:
    """Images that were acquired together.

    Attributes
    ----------
    entities : mapping of str to str
        What they share.
    echoes : dict
        By the number of the echo: candidates by part.
    weighted : Candidate or None
        Scanner-made SWI among them.
    """

    entities: Mapping[str, str]
    echoes: dict[str, dict[str, Candidate]] = field(default_factory=dict)
    weighted: Candidate | None = None

    @property
    def complex(self) -> bool:
        """Whether every echo has its phase."""
        return bool(self.echoes) and all(
            'phase' in parts or {'real', 'imag'} <= parts.keys() for parts in self.echoes.values()
        )

    @property
    def rank(self) -> tuple:
        """Sort first what tells most: phase, echoes, resolution."""
        return (not self.echoes, not self.complex, -len(self.echoes), _lead(self).rank)


def read_gradient_echo(
    dataset: Dataset, visit: Visit, declared: Input, report: Report
) -> dict[str, Scan]:
    """Put the echoes and parts of a gradient-echo scan together.

    Of several scans, one with phase is taken before one without, then the one of more echoes,
    then the finest.

    Parameters
    ----------
    dataset : Dataset
        Where from.
    visit : Visit
        Participant and session.
    declared : Input
        What is looked for.
    report : Report
        Takes what there is to say.

    Returns
    -------
    dict of str to Scan
        By the name of the input, with ``content``: ``echoes``, a list of mappings with ``mag``
        (path), ``time`` (s, or None) and, where there is a phase, ``phase`` and ``units``, or
        ``real`` and ``imag``; ``weighted``, path of the scanner's SWI, or None; ``tesla``;
        ``vendor``. Under the names of ``declared.also``, too, if all echoes have phase and time.
        Empty without a magnitude or SWI.
    """
    candidates = dataset.candidates(visit, declared, report, series=True, parts=True)
    for datatype, suffixes in LEGACY.items():
        place = replace(declared, datatype=datatype, suffixes=suffixes)
        candidates += dataset.candidates(visit, place, report, series=True, parts=True)
    groups = [_checked(group, report) for group in _grouped(candidates, report)]
    groups = sorted((g for g in groups if g is not None), key=lambda group: group.rank)
    if not groups:
        return {}
    best, *others = groups
    lead = _lead(best)
    if others:
        rest = ', '.join(_lead(group).path.name for group in others)
        report.notes.append(
            f'{declared.name}: {lead.path.name} ({_described(best)}) is taken before {rest}.'
        )
    report.facts[declared.name] = lead.facts
    scan = _as_scan(dataset, declared, best, lead, report)
    found = {declared.name: scan}
    if _tell_phase(scan.content['echoes'], report):
        found |= {name: replace(scan, name=name) for name in declared.also}
    return found


def _tell_phase(echoes: Sequence[Mapping[str, Any]], report: Report) -> bool:
    """Tell whether all echoes have phase and time; if not, note why."""
    if not echoes:
        report.notes.append('The SWI of the scanner holds no phase: no susceptibility is mapped.')
        return False
    without = [e for e in echoes if 'phase' not in e and 'real' not in e]
    if without:
        number = len(echoes) - len(without)
        report.notes.append(
            f'{number or "none"} of {len(echoes)} gradient echoes has a phase that can be used: '
            'no susceptibility is mapped. Remedy: export the phase images (part-phase) of all '
            'echoes.'
        )
    return not without and all(e['time'] is not None for e in echoes)


def _grouped(candidates: Sequence[Candidate], report: Report) -> list[Group]:
    groups: dict[tuple, Group] = {}
    for item in candidates:
        entities = item.name.entities
        if len(item.facts.shape) > 3 and item.facts.shape[3] > 1:
            _refuse(
                report,
                item,
                f'The image has {item.facts.shape[3]} volumes: BIDS has a file for each echo. '
                'Remedy: split it into echo-1, echo-2, ...',
            )
            continue
        if DERIVED & entities.keys():
            report.notes.append(f'{item.shown} is left out: it is no raw image.')
            continue
        part = entities.get('part', 'mag')
        weighted = item.name.suffix in WEIGHTED or 'swi' in entities.get('acq', '').lower()
        shared = {k: v for k, v in entities.items() if k not in ('echo', 'part')}
        group = groups.setdefault(
            (item.path.parent, item.name.suffix, *sorted(shared.items())), Group(shared)
        )
        if weighted and part == 'mag' and item.name.suffix in WEIGHTED:
            group.weighted = item
        elif part in PARTS:
            parts = group.echoes.setdefault(entities.get('echo', ''), {})
            if part in parts:
                report.notes.append(
                    f'{item.shown} is used instead of {parts[part].path.name}, which is the same '
                    f'part ({part}) of the same echo.'
                )
            parts[part] = item
    # An acquisition called SWI that has no phase is the scanner's weighted image.
    for group in groups.values():
        named = 'swi' in group.entities.get('acq', '').lower()
        if named and not group.complex and len(group.echoes) == 1 and group.weighted is None:
            parts = next(iter(group.echoes.values()))
            if 'mag' in parts and len(parts) == 1:
                group.weighted, group.echoes = parts['mag'], {}
    return list(groups.values())


def _checked(group: Group, report: Report) -> Group | None:
    """Leave out of a group what cannot be used, and say why; None if nothing is left."""
    for number, parts in list(group.echoes.items()):
        magnitude = parts.get('mag')
        if magnitude is None and {'real', 'imag'} <= parts.keys():
            magnitude = parts['real']
        if magnitude is None:
            for item in parts.values():
                _refuse(
                    report,
                    item,
                    'There is no magnitude that belongs to it. Remedy: a file of the same '
                    'name with part-mag.',
                )
            del group.echoes[number]
            continue
        for part, item in list(parts.items()):
            if not same_grid(item.facts, magnitude.facts):
                _refuse(
                    report,
                    item,
                    f'It lies on another grid than {magnitude.path.name}, to which it '
                    'belongs. Remedy: export both from one reconstruction.',
                )
                del parts[part]
        if 'mag' not in parts and not {'real', 'imag'} <= parts.keys():
            del group.echoes[number]
    magnitudes = [_of(parts) for parts in group.echoes.values()]
    for number, parts in list(group.echoes.items()):
        if not same_grid(_of(parts).facts, magnitudes[0].facts):
            _refuse(
                report,
                _of(parts),
                f'It lies on another grid than the first echo ({magnitudes[0].path.name}), '
                'and is not used. Remedy: export all echoes from one reconstruction.',
            )
            del group.echoes[number]
    return group if group.echoes or group.weighted else None


def _refuse(report: Report, item: Candidate, why: str) -> None:
    report.refused.append((item.shown, why))


def _of(parts: Mapping[str, Candidate]) -> Candidate:
    return parts.get('mag') or parts['real']


def _lead(group: Group) -> Candidate:
    if group.echoes:
        return _of(group.echoes[min(group.echoes, key=_number)])
    assert group.weighted is not None
    return group.weighted


def _number(echo: str) -> int:
    return int(echo) if echo.isdecimal() else 0


def _described(group: Group) -> str:
    if not group.echoes:
        return 'SWI of the scanner'
    what = 'magnitude and phase' if group.complex else 'magnitude'
    count = len(group.echoes)
    return f'{count} echo{"es" if count > 1 else ""}, {what}'


def _as_scan(
    dataset: Dataset, declared: Input, group: Group, lead: Candidate, report: Report
) -> Scan:
    scan = dataset.scan(declared.name, lead, report)
    echoes: list[dict[str, Any]] = []
    parts_of: list[Scan] = []
    for number in sorted(group.echoes, key=_number):
        parts = group.echoes[number]
        scans = {part: dataset.scan(part, item, Report()) for part, item in parts.items()}
        parts_of += scans.values()
        metadata: dict[str, Any] = {}
        for item in reversed(list(scans.values())):
            metadata |= item.metadata
        entry: dict[str, Any] = {part: item.path for part, item in scans.items()}
        entry['time'] = echo_time(metadata, _of(parts).shown, report)
        if 'phase' in scans:
            entry['units'] = str(scans['phase'].metadata.get('Units', ''))
        echoes.append(entry)
    if all(entry['time'] is not None for entry in echoes):
        echoes.sort(key=lambda entry: entry['time'])
        times = [entry['time'] for entry in echoes]
        if len(set(times)) < len(times):
            report.notes.append(
                f'{lead.shown}: two echoes have one EchoTime; frequency and R2* are not computed. '
                'Remedy: correct the sidecars.'
            )
            echoes = [entry | {'time': None} for entry in echoes]
    weighted = None
    if group.weighted is not None:
        weighted = dataset.scan('weighted', group.weighted, Report())
        parts_of.append(weighted)
    # Converters have written it in mT and in G, too.
    facts = Facts(scan.metadata)
    tesla = facts.number('MagneticFieldStrength')
    report.notes += [f'{lead.shown}: {said}' for said in facts.notes]
    told = {'tesla': tesla, 'vendor': str(scan.metadata.get('Manufacturer', ''))}
    content = {'echoes': echoes, 'weighted': weighted.path if weighted else None, **told}
    behind = [(item.path == scan.path, item.digest) for item in parts_of]
    read = [[e['time'], e.get('units')] for e in echoes]
    digest = hashlib.sha256(
        json.dumps([scan.digest, behind, read, told], default=str).encode()
    ).hexdigest()
    others = tuple(sorted({item.uri for item in parts_of} - {scan.uri}))
    return replace(scan, digest=digest, others=others, content=content)


def echo_time(metadata: Mapping[str, Any], shown: str, report: Report) -> float | None:
    """Read an echo time in seconds; None, and why, where none can be believed.

    Examples
    --------
    >>> report = Report()
    >>> echo_time({'EchoTime': 0.02}, 'a', report), echo_time({'EchoTime': 20}, 'b', report)
    (0.02, 0.02)
    >>> report.notes
    ['b: EchoTime 20 is in milliseconds; BIDS asks for seconds. It is taken as 0.02 s.']
    """
    time = plain_number(metadata.get('EchoTime'))
    if time is not None and LEAST_TE <= time <= MOST_TE:
        return float(time)
    if time is not None and LEAST_TE <= time / 1000 <= MOST_TE:
        report.notes.append(
            f'{shown}: EchoTime {time:g} is in milliseconds; BIDS asks for seconds. '
            f'It is taken as {time / 1000:g} s.'
        )
        return float(time) / 1000
    said = 'no EchoTime' if time is None else f'an EchoTime of {time:g} s'
    report.notes.append(
        f'{shown}: the sidecar has {said}; without it there is no frequency, R2* or '
        'susceptibility. Remedy: EchoTime in seconds.'
    )
    return None
