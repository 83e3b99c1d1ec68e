"""DCE-MRI of a visit: the dynamic series, and what T1 before the contrast agent comes from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from csvdprep.bids.contrast import read_flip_image, read_protocol
from csvdprep.bids.files import file_digest
from csvdprep.bids.names import DERIVED
from csvdprep.bids.offer import Candidate, Dataset, Report
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


@dataclass(frozen=True)
class _Flips:
    """Images of several flip angles that belong together."""

    images: tuple[tuple[Candidate, float, float], ...]

    @property
    def angles(self) -> set[float]:
        return {round(flip, 2) for _, flip, _ in self.images}

    @property
    def tr_s(self) -> float:
        return self.images[0][2]


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
        and TR in s), ``t1map`` and ``b1map`` (path or None), ``notes``. Empty without a series
        that can be converted.
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
            report.refused.append((item.shown, without_file(error)))
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
    flips = _find_flips(dataset, visit, best, report)
    t1map = _find_map(dataset, visit, 'anat', 'T1map', None, report)
    b1map = _find_map(dataset, visit, 'fmap', 'TB1map', best, report)
    if flips is None and t1map is None:
        notes.append(
            f'{best.shown}: there are neither images of two flip angles (flip-<n>_VFA) nor a '
            'T1map: without T1 there is no concentration, and no PS. Remedy: acquire T1 mapping '
            'before the injection, or give a T1map in anat.'
        )
    if flips is not None and t1map is not None:
        notes.append(
            f'T1 is mapped from {len(flips.images)} flip angles; {t1map.name} is not used.'
        )
        t1map = None
    report.notes += notes
    scan = dataset.scan(declared.name, best, Report())
    paths = [item.path for item, *_ in flips.images] if flips else []
    paths += [path for path in (t1map, b1map) if path]
    content: dict[str, Any] = {
        'series': scan.path,
        'protocol': protocol.plain(),
        'vfa': [
            {'path': str(item.path), 'flip_deg': flip, 'tr_s': tr}
            for item, flip, tr in (flips.images if flips else ())
        ],
        't1map': str(t1map) if t1map else None,
        'b1map': str(b1map) if b1map else None,
    }
    told = {**content, 'series': None, 't1map': None, 'b1map': None, 'vfa': _angles(flips)}
    digests = [file_digest(path) for path in paths]
    digest = hashlib.sha256(
        json.dumps([scan.digest, digests, told], default=str).encode()
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


def _after_contrast(item: Candidate) -> bool:
    return item.name.entities.get('ce', 'none').lower() not in ('none', 'pre')


def _angles(flips: _Flips | None):
    return [[flip, tr] for _, flip, tr in flips.images] if flips else []


def without_file(error: InputError) -> str:
    """Write a refusal whose file is told beside it."""
    where = f' [field: {error.field}]' if error.field else ''
    return f'{error.message}{where} Remedy: {error.remedy}'


def _find_flips(
    dataset: Dataset, visit: Visit, series: Candidate, report: Report
) -> _Flips | None:
    """Find images of several flip angles: those that differ in nothing but the angle."""
    place = Input(
        name='vfa', title='', description='', datatype='anat', suffixes=('VFA',), frame='dce'
    )
    groups: dict[tuple, list] = {}
    for item in dataset.candidates(visit, place, report):
        read, notes = read_flip_image(dataset.metadata(item, report), item.shown)
        report.notes += notes
        if read is None:
            continue
        entities = item.name.entities
        if _after_contrast(item):
            report.notes.append(f'{item.shown} is not used: it was acquired with contrast agent.')
            continue
        key = tuple(sorted((k, v) for k, v in entities.items() if k != 'flip'))
        groups.setdefault((*key, round(read[0], 6)), []).append((item, read[1], read[0]))
    sets = [_Flips(tuple(sorted(group, key=lambda entry: entry[1]))) for group in groups.values()]
    usable = [group for group in sets if len(group.angles) >= 2]
    for group in sets:
        if group not in usable:
            names = ', '.join(item.path.name for item, *_ in group.images)
            report.notes.append(
                f'{names}: one flip angle (TR {group.tr_s * 1000:.3g} ms) gives no T1; it is not '
                'used. Remedy: images of two angles or more, with one TR.'
            )
    if not usable:
        return None
    wanted = series.name.entities

    def rank(group: _Flips):
        entities = group.images[0][0].name.entities
        shared = sum(entities.get(k) == wanted.get(k) for k in ('acq', 'run', 'rec'))
        return (-len(group.angles), -shared, group.images[0][0].rank)

    return min(usable, key=rank)


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
        if suffix == 'T1map' and _after_contrast(item):
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
