"""ASL of a visit: the series, what its volumes are, its M0."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from csvdprep.bids.labelling import M0, Said, read_protocol
from csvdprep.bids.names import DERIVED, parse
from csvdprep.bids.offer import Candidate, Dataset, Report
from csvdprep.bids.tsv import read_tsv
from csvdprep.core.declared import Input
from csvdprep.core.errors import InputError
from csvdprep.core.plan import Scan, Visit

#: Delay (s) from which on most of the label of an adult has arrived.
LATE_S = 1.5


@dataclass(frozen=True, kw_only=True)
class Series:
    """A series that can be measured.

    Attributes
    ----------
    item : Candidate
        Its image.
    m0 : Candidate or None
        M0 image that belongs to it.
    protocol : mapping
        From :func:`csvdprep.bids.labelling.read_protocol`.
    said : Said
        What was odd.
    """

    item: Candidate
    m0: Candidate | None
    protocol: Mapping[str, Any]
    said: Said

    @property
    def rank(self) -> tuple:
        """Sort first what tells most: late delays, several of them, PCASL, many volumes."""
        delays = {d for d in self.protocol['delays'] if d > 0}
        late = max(delays, default=0.0) >= LATE_S
        kinds = self.protocol['kinds']
        return (
            bool(DERIVED & self.item.name.entities.keys()),
            not late,
            not {'control', 'deltam'} & {*kinds},
            -min(len(delays), 2),
            ('PCASL', 'PASL', 'CASL').index(self.protocol['labelling']),
            -len(kinds),
            self.item.rank,
        )


def read_asl(dataset: Dataset, visit: Visit, declared: Input, report: Report) -> dict[str, Scan]:
    """Choose an ASL series, and read what is needed to compute blood flow from it.

    Of several, one that waits long enough for the label is taken before one that does not, one
    with several delays before one with a single delay, PCASL before PASL, then the longest.

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
        By the name of the input, with ``content``: ``path``, ``m0_path`` (or None), and what
        :func:`csvdprep.bids.labelling.read_protocol` returns. Empty without a series that can be
        measured.
    """
    wanted = replace(declared, suffixes=('asl',))
    candidates = dataset.candidates(visit, wanted, report, series=True)
    place = replace(declared, suffixes=('m0scan',), name=f'{declared.name}_m0')
    scans = dataset.candidates(visit, place, report, series=True) if candidates else []
    known = {_stem(item.path) for item in candidates}
    found = []
    for item in candidates:
        try:
            found.append(_series(dataset, item, scans, known, report))
        except InputError as error:
            report.refused.append((item.shown, str(error)))
    if not found:
        return {}
    best, *others = sorted(found, key=lambda series: series.rank)
    if others:
        rest = ', '.join(f'{s.item.path.name} ({_described(s)})' for s in others)
        report.notes.append(
            f'{declared.name}: {best.item.path.name} ({_described(best)}) is used instead of '
            f'{rest}. To choose another, use --bids-filter-file.'
        )
    report.notes += [f'{best.item.path.name}: {text}' for text in best.said.notes]
    report.notes += [f'{best.item.path.name}: {text}' for text in best.item.facts.warnings]
    report.facts[declared.name] = best.item.facts
    return {declared.name: _as_scan(dataset, declared, best, report)}


def _series(
    dataset: Dataset, item: Candidate, scans: Sequence[Candidate], known: set[str], report: Report
) -> Series:
    m0 = _m0_of(dataset, item, scans, known, report)
    shape = (*item.facts.shape, 1)[:4]
    protocol, said = read_protocol(
        dataset.metadata(item, report),
        read_context(dataset.root, item.path),
        file=item.path.name,
        volumes=int(shape[3]),
        shape=shape[:3],
        affine=item.facts.affine,
        zooms=item.facts.zooms,
        m0=None if m0 is None else M0(file=m0.path.name, metadata=dataset.metadata(m0, report)),
    )
    return Series(item=item, m0=m0, protocol=protocol, said=said)


def read_context(root: Path, image: Path) -> list[str] | None:
    """Read what the volumes of an ASL series are.

    Parameters
    ----------
    root : Path
        Root of the dataset.
    image : Path
        Series below it; the nearest table applies, as BIDS' inheritance asks.

    Returns
    -------
    list of str or None
        Column ``volume_type``; None if there is no table.

    Raises
    ------
    InputError
        If the table cannot be read, or has no such column.
    """
    own = parse(image).entities
    folders = [image.parent, *image.parent.parents]
    for folder in folders[: folders.index(root) + 1]:
        fitting = []
        for file in folder.glob('*aslcontext.tsv'):
            try:
                entities = parse(file).entities if '_' in file.name else {}
            except InputError:
                continue
            if entities.items() <= own.items():
                fitting.append((len(entities), file.name, file))
        if not fitting:
            continue
        file = max(fitting)[2]
        table = read_tsv(file)
        columns = table.named('volume_type')
        if not columns:
            raise InputError(
                'The table has no column volume_type.',
                file=file,
                field='volume_type',
                remedy='Write a column volume_type and a row for each volume.',
            )
        return [row[columns[0]] for row in table.rows]
    return None


def _m0_of(
    dataset: Dataset, item: Candidate, scans: Sequence[Candidate], known: set[str], report: Report
) -> Candidate | None:
    """Find the M0 that belongs to a series: by IntendedFor, by name, or the only one."""
    ranked = []
    for scan in scans:
        value = dataset.metadata(scan, Report()).get('IntendedFor')
        targets = {
            _stem(Path(target.rpartition(':')[2]))
            for target in (value if isinstance(value, list) else [value])
            if isinstance(target, str) and target
        }
        same = dict(scan.name.entities) == dict(item.name.entities)
        if _stem(item.path) in targets:
            ranked.append((0, not same, scan.path.name, scan))
        elif targets & known:
            continue
        elif same:
            ranked.append((1, False, scan.path.name, scan))
        elif len(scans) == 1:
            ranked.append((2, False, scan.path.name, scan))
        if targets and not targets & known:
            report.notes.append(
                f'{scan.shown}: IntendedFor names an image that the visit does not have '
                f'({", ".join(sorted(targets))[:80]}). Remedy: name the ASL series.'
            )
    if not ranked:
        return None
    rank, _, _, chosen = min(ranked, key=lambda entry: entry[:3])
    if rank:
        report.notes.append(
            f'{chosen.shown} is taken as M0 of {item.path.name}, by '
            f'{"its name" if rank == 1 else "being the only one"}: IntendedFor does not say so.'
        )
    return chosen


def _as_scan(dataset: Dataset, declared: Input, best: Series, report: Report) -> Scan:
    scan = dataset.scan(declared.name, best.item, Report())
    separate = best.protocol['m0']['type'] == 'separate'
    m0 = dataset.scan('m0scan', best.m0, Report()) if separate and best.m0 else None
    content = {'path': scan.path, 'm0_path': m0.path if m0 else None, **best.protocol}
    behind = [scan.digest, m0.digest if m0 else '', best.protocol]
    digest = hashlib.sha256(json.dumps(behind, default=str).encode()).hexdigest()
    return replace(scan, digest=digest, others=(m0.uri,) if m0 else (), content=content)


def _described(series: Series) -> str:
    delays = sorted({round(d, 2) for d in series.protocol['delays'] if d > 0})
    told = (
        f'{len(delays)} delays' if len(delays) > 1 else f'delay {delays[0]:g} s' if delays else ''
    )
    return ', '.join(
        part
        for part in (
            series.protocol['labelling'],
            told,
            f'{len(series.protocol["kinds"])} volumes',
        )
        if part
    )


def _stem(path: Path) -> str:
    return path.name.removesuffix('.gz').removesuffix('.nii')
