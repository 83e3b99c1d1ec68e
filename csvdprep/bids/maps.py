"""Maps that the scanner made of a diffusion scan: trace image and ADC."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace

from csvdprep.bids.gradients import Convention, read_table
from csvdprep.bids.offer import Candidate, Dataset, Report
from csvdprep.core.declared import Input
from csvdprep.core.errors import InputError
from csvdprep.core.plan import Scan, Visit

#: How users call the two, and their suffixes.
KINDS = {'trace': ('trace', 'TRACEW'), 'adc': ('ADC',)}

#: Fields in which converters write the b-value of a trace image.
B_FIELDS = ('DiffusionBValue', 'bValue', 'B-value', 'BValue')
#: Below this a volume counts as b = 0, and from this on it weights enough, s/mm².
B0_BELOW, LEAST_B = 50.0, 450.0
#: Directions that a trace image takes, and that a tensor takes.
LEAST_DIRECTIONS, TENSOR_DIRECTIONS = 3, 6


def read_maps(dataset: Dataset, visit: Visit, declared: Input, report: Report) -> dict[str, Scan]:
    """Choose a trace image and the ADC map that belongs to it.

    The trace image is chosen as single images are (the finest, ...); its ADC map is the one of
    the same entities, or the only one. Without such maps a series of three to five directions,
    from which no tensor can be had, is taken.

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
        By the name of the input, with ``content`` ``trace`` and ``adc`` (paths) and
        ``b_fields`` (of the sidecar, about the b-value); or, of a short series, ``series`` (path)
        and ``bvals`` (s/mm²). Empty without either.
    """
    found = {
        kind: sorted(
            dataset.candidates(visit, replace(declared, suffixes=suffixes), report),
            key=lambda candidate: candidate.rank,
        )
        for kind, suffixes in KINDS.items()
    }
    traces, maps = found['trace'], found['adc']
    pairs = _pairs(traces, maps)
    if not pairs:
        if short := _short_series(dataset, visit, declared, report):
            return short
        if traces or maps:
            lone = (traces or maps)[0].shown
            lacking = 'ADC map' if traces else 'trace image'
            report.notes.append(
                f'{lone} is not used, because it has no matching {lacking}. Without both '
                'images, recent infarcts cannot be distinguished from old lesions.'
            )
        return {}
    trace, own = pairs[0]
    if len(traces) > 1:
        others = ', '.join(c.path.name for c in traces if c is not trace)
        report.notes.append(f'{trace.shown} is used, not {others}.')
    scan = dataset.scan(declared.name, trace, report)
    other = dataset.scan('adc', own, report)
    report.facts[declared.name] = trace.facts
    told = {field: scan.metadata[field] for field in B_FIELDS if field in scan.metadata}
    digest = _digest(scan.digest, other.digest, told)
    return {
        declared.name: replace(
            scan,
            digest=digest,
            others=(other.uri,),
            content={'trace': scan.path, 'adc': other.path, 'b_fields': told},
        )
    }


def _short_series(
    dataset: Dataset, visit: Visit, declared: Input, report: Report
) -> dict[str, Scan]:
    """Take a series of too few directions for a tensor, as clinics acquire it."""
    # What cannot be read of it is told where diffusion series are read.
    place = replace(declared, suffixes=('dwi',))
    for item in dataset.candidates(visit, place, Report(), series=True):
        try:
            table = read_table(
                dataset.root,
                item.path,
                item.facts.shape[3],
                convention=Convention(dataset.threshold),
            )
        except InputError:
            continue
        weighted = sum(b >= LEAST_B for b in table.bvals)
        if not LEAST_DIRECTIONS <= weighted < TENSOR_DIRECTIONS or min(table.bvals) >= B0_BELOW:
            continue
        scan = dataset.scan(declared.name, item, report)
        report.facts[declared.name] = item.facts
        report.notes.append(
            f'{item.shown}: {weighted} directions are too few for a tensor, but sufficient '
            'for a trace image and an ADC map.'
        )
        content = {'series': scan.path, 'bvals': [float(b) for b in table.bvals]}
        digest = _digest(scan.digest, content['bvals'])
        return {declared.name: replace(scan, content=content, digest=digest)}
    return {}


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()


def _pairs(
    traces: Sequence[Candidate], maps: Sequence[Candidate]
) -> list[tuple[Candidate, Candidate]]:
    """Put together what is of one scan; a single map may belong to a single trace image."""
    exact = [
        (trace, own)
        for trace in traces
        for own in maps
        if own.name.entities == trace.name.entities
    ]
    if not exact and len(traces) == len(maps) == 1:
        return [(traces[0], maps[0])]
    return exact
