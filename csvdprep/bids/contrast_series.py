"""DCE-MRI of a visit: the dynamic series, and what T1 before the contrast agent comes from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from csvdprep.bids.contrast import read_protocol
from csvdprep.bids.files import file_digest
from csvdprep.bids.names import DERIVED
from csvdprep.bids.offer import Candidate, Dataset, Report
from csvdprep.bids.relaxometry import after_contrast, find_sources, images_of, told
from csvdprep.core.declared import Input
from csvdprep.core.errors import InputError
from csvdprep.core.plan import Scan, Visit

#: Names in use, by folder, beside those of the declaration: BIDS has not settled one.
VARIANTS = {
    'perf': ('DCE', 'dcemri', 'DCEMRI', 'perf'),
    'anat': ('dce', 'DCE'),
    'dce': ('dce', 'DCE', 'dcemri', 'T1w'),
}
#: What a rule of .bidsignore has to match, too, for a series to be left out by it: a rule that
#: names the suffix only says that BIDS has none.
SETTLED = ('perf', 'asl')


def raw_series(
    dataset: Dataset,
    visit: Visit,
    declared: Input,
    variants: Mapping[str, tuple[str, ...]],
    report: Report,
) -> Iterator[Candidate]:
    """Yield the raw series of a visit by their declared name and by the names in use.

    Parameters
    ----------
    dataset : Dataset
        Where from.
    visit : Visit
        Participant and session.
    declared : Input
        What is looked for.
    variants : mapping of str to tuple of str
        Suffixes in use, by folder.
    report : Report
        Takes what there is to say.
    """
    for folder, suffixes in ((declared.datatype, declared.suffixes), *variants.items()):
        place = replace(declared, datatype=folder, suffixes=suffixes)
        for item in dataset.candidates(visit, place, report, series=True, settled=SETTLED):
            if DERIVED & item.name.entities.keys():
                report.notes.append(f'{item.shown} is left out: it is no raw image.')
            else:
                yield item


def read_dce(dataset: Dataset, visit: Visit, declared: Input, report: Report) -> dict[str, Scan]:
    """Put together a dynamic series, images for T1 mapping, or a T1 map, and a map of B1.

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
        By the name of the input, with ``content``: ``series`` (path), ``protocol`` (see
        :class:`csvdprep.bids.contrast.Protocol`), ``vfa`` (list of path, flip angle in degrees
        and TR in s), ``trains``, ``recovery``, ``mp2rage``, ``t1map`` (see
        :class:`csvdprep.bids.relaxometry.Sources`; of the source that is taken, ``t1``),
        ``b1map`` (path or None), ``notes``. Empty without a series that can be converted.
    """
    found = []
    for item in raw_series(dataset, visit, declared, VARIANTS, report):
        shape = item.facts.shape
        frames = shape[3] if len(shape) > 3 else 1
        if frames < 2 and item.name.suffix == 'T1w':
            continue
        if item.name.suffix == 'perf' and not _has_contrast(item):
            continue
        try:
            protocol, notes = read_protocol(
                dataset.metadata(item, report),
                frames,
                header_s=getattr(item.facts, 'step_s', 0.0),
                shown=item.shown,
            )
        except InputError as error:
            report.refused.append((item.shown, told(error)))
            continue
        found.append((item, protocol, notes))
    if not found:
        return {}
    # The longest series is the one that leakage can be seen in.
    found.sort(key=lambda entry: (-entry[1].times_s[-1], entry[0].rank))
    best, protocol, notes = found[0]
    if len(found) > 1:
        rest = ', '.join(item.path.name for item, *_ in found[1:])
        notes = [*notes, f'{best.path.name} is the longest series; {rest} is not used.']
    report.facts[declared.name] = best.facts
    notes += [f'{best.path.name}: {text}' for text in best.facts.warnings]
    t1map = _find_map(dataset, visit, 'anat', 'T1map', None, report)
    b1map = _find_map(dataset, visit, 'fmap', 'TB1map', best, report)
    sources = find_sources(dataset, visit, best, report, t1map)
    chosen = sources.choose(b1map is not None)
    notes += sources.notes
    if not chosen:
        notes.append(
            f'{best.shown}: there are neither images of two flip angles (flip-<n>_VFA), nor '
            'MP2RAGE, nor inversion recovery (IRT1), nor a T1map: without T1 there is no '
            'concentration, and no PS. Remedy: acquire T1 mapping before the injection, or give '
            'a T1map in anat.'
        )
    elif rest := sources.others(chosen)[1:]:
        taken = sources.others(chosen)[0]
        verb = 'are' if len(rest) > 1 else 'is'
        notes.append(f'T1 is mapped from {taken}; {", ".join(rest)} {verb} not used.')
    report.notes += notes
    scan = dataset.scan(declared.name, best, Report())
    content: dict[str, Any] = {
        'series': scan.path,
        'protocol': protocol.plain(),
        **sources.content(chosen),
        'b1map': str(b1map) if b1map else None,
    }
    paths = images_of(content) + ([b1map] if b1map else [])
    digests = [file_digest(path) for path in paths]
    digest = hashlib.sha256(
        json.dumps([scan.digest, digests, _without_paths(content)], default=str).encode()
    ).hexdigest()
    uris = tuple(f'bids:raw:{path.relative_to(dataset.root).as_posix()}' for path in paths)
    return {
        declared.name: replace(
            scan, digest=digest, others=uris, content={**content, 'notes': list(notes)}
        )
    }


def _has_contrast(item: Candidate) -> bool:
    entities = item.name.entities
    acquired = entities.get('acq', '').lower()
    return 'dce' in acquired or ('ce' in entities and 'dsc' not in acquired)


def _without_paths(content: Any) -> Any:
    """Return plain data without the places of files, whose content has digests."""
    if isinstance(content, Mapping):
        skipped = ('series', 'path', 'uniform', 'magnitudes', 'phases', 't1map', 'b1map')
        return {k: _without_paths(v) for k, v in content.items() if k not in skipped}
    return [_without_paths(v) for v in content] if isinstance(content, list) else content


def _find_map(
    dataset: Dataset,
    visit: Visit,
    datatype: str,
    suffix: str,
    series: Candidate | None,
    report: Report,
) -> Path | None:
    """Find a map that belongs to the series."""
    place = Input(
        name=suffix.lower(),
        title='',
        description='',
        datatype=datatype,
        suffixes=(suffix,),
        frame='dce',
    )
    found = []
    for item, metadata in _maps(dataset, visit, place, report):
        if suffix == 'T1map' and after_contrast(item):
            report.notes.append(f'{item.shown} is not used: it was acquired with contrast agent.')
            continue
        found.append((item, metadata))
    if not found:
        return None
    found.sort(key=lambda entry: entry[0].rank)
    meant = [item for item, meta in found if series is not None and _is_meant(meta, series)]
    chosen = meant[0] if meant else found[0][0]
    if len(found) > 1 and len(meant) != 1:
        report.notes.append(
            f'{chosen.path.name} is used of {len(found)} maps {suffix}: it comes first.'
        )
    return chosen.path


def _maps(
    dataset: Dataset, visit: Visit, place: Input, report: Report
) -> Iterator[tuple[Candidate, Mapping[str, Any]]]:
    for item in dataset.candidates(visit, place, report, maps=True):
        yield item, dataset.metadata(item, report)


def _is_meant(metadata: Mapping[str, Any], series: Candidate) -> bool:
    intended = metadata.get('IntendedFor')
    listed = intended if isinstance(intended, list) else [intended]
    return any(isinstance(item, str) and item.endswith(series.path.name) for item in listed)
