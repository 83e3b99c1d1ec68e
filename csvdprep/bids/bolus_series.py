"""DSC-MRI of a visit: which series is the passage of a bolus."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

from csvdprep.bids.bolus import read_bolus_protocol
from csvdprep.bids.contrast_series import raw_series
from csvdprep.bids.files import file_digest
from csvdprep.bids.metadata import plain_number
from csvdprep.bids.offer import Candidate, Dataset, Report
from csvdprep.bids.relaxometry import told as refusal
from csvdprep.core.declared import Input
from csvdprep.core.errors import InputError
from csvdprep.core.plan import Scan, Visit

#: Echoes have to be so far apart to be put together, s.
LEAST_APART_S = 0.004
#: Names in use, by folder, beside those of the declaration: BIDS has not settled one.
VARIANTS = {
    'perf': ('DSC', 'dscmri', 'DSCMRI', 'perf'),
    'anat': ('dsc', 'DSC'),
    'dsc': ('dsc', 'DSC', 'dscmri'),
}


def read_dsc(dataset: Dataset, visit: Visit, declared: Input, report: Report) -> dict[str, Scan]:
    """Find the bolus-tracking series of a visit.

    Of several the one of an echo time near 30 ms is taken, then the longest.

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
        :class:`csvdprep.bids.bolus.Protocol`), ``echoes`` (path and echo time in s of each echo,
        if there are several), ``notes``. Empty without a series that can be used.
    """
    found = []
    for item in raw_series(dataset, visit, declared, VARIANTS, report):
        metadata = dataset.metadata(item, report)
        if item.name.suffix == 'perf' and not _is_bolus(item, metadata):
            continue
        try:
            protocol, notes = read_bolus_protocol(
                metadata,
                item.facts.shape,
                item.facts.affine,
                item.facts.zooms,
                header_s=getattr(item.facts, 'step_s', 0.0),
                shown=item.shown,
            )
        except InputError as error:
            report.refused.append((item.shown, refusal(error)))
            continue
        found.append((item, protocol, notes))
    if not found:
        return {}
    found.sort(
        key=lambda entry: (
            round(abs(entry[1].te_s - 0.03), 3),
            -entry[1].step_s * entry[1].frames,
            entry[0].rank,
        )
    )
    best, protocol, notes = found[0]
    echoes = [entry for entry in found if _is_echo(entry, found[0])]
    others = [entry for entry in found if entry not in echoes]
    if len(echoes) > 1:
        times = ', '.join(f'{1000 * one.te_s:.3g}' for _, one, _ in echoes)
        text = (
            f'{best.path.name} is one of {len(echoes)} echoes ({times} ms): they are put '
            'together, unless dsc.echoes is nearest.'
        )
        notes = [*notes, text]
    if others:
        rest = ', '.join(item.path.name for item, *_ in others)
        text = 'its echo time is nearest to 30 ms, and it is the longest of these'
        notes = [*notes, f'{best.path.name} is used: {text}; {rest} is not used.']
    report.facts[declared.name] = best.facts
    notes += [f'{best.path.name}: {text}' for text in best.facts.warnings]
    report.notes += notes
    scan = dataset.scan(declared.name, best, Report())
    content: dict[str, Any] = {
        'series': scan.path,
        'protocol': protocol.plain(),
        'echoes': [
            {'path': str(item.path), 'te_s': one.te_s}
            for item, one, _ in sorted(echoes, key=lambda entry: entry[1].te_s)
        ]
        if len(echoes) > 1
        else [],
    }
    beside = [item for item, *_ in echoes if item is not best]
    digests = [file_digest(item.path) for item in beside]
    times = [one['te_s'] for one in content['echoes']]
    told = json.dumps([scan.digest, content['protocol'], digests, times], default=str)
    digest = hashlib.sha256(told.encode()).hexdigest()
    return {
        declared.name: replace(
            scan,
            digest=digest,
            others=tuple(f'bids:raw:{item.shown}' for item in beside),
            content={**content, 'notes': list(notes)},
        )
    }


def _is_echo(entry, best) -> bool:
    """Tell whether a series is another echo of the same excitations, or the series itself."""
    if entry is best:
        return True
    (item, one, _), (chosen, protocol, _) = entry, best
    same = [
        {k: v for k, v in image.name.entities.items() if k != 'echo'} for image in (item, chosen)
    ]
    return (
        same[0] == same[1]
        and {'echo'} <= item.name.entities.keys() & chosen.name.entities.keys()
        and tuple(item.facts.shape) == tuple(chosen.facts.shape)
        and one.te_given
        and protocol.te_given
        and abs(one.step_s - protocol.step_s) < 0.01 * protocol.step_s
        and abs(one.te_s - protocol.te_s) >= LEAST_APART_S
    )


def _is_bolus(item: Candidate, metadata) -> bool:
    """Tell whether a file named perf is weighted by T2*."""
    entities = item.name.entities
    if 'dsc' in entities.get('acq', '').lower():
        return True
    if 'ce' not in entities or 'dce' in entities.get('acq', '').lower():
        return False
    words = f'{metadata.get("PulseSequenceType", "")} {metadata.get("SequenceName", "")}'.lower()
    te = plain_number(metadata.get('EchoTime')) or 0.0
    return 'epi' in words or 0.015 <= te <= 0.15 or te >= 15
