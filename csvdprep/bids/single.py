"""Inputs that are one image: of several, the best is chosen, and the choice is told."""

from __future__ import annotations

from collections.abc import Iterator

from csvdprep.bids.names import DERIVED
from csvdprep.bids.offer import Candidate, Dataset, Report
from csvdprep.core.declared import Input
from csvdprep.core.plan import Scan, Visit


def read_single(
    dataset: Dataset, visit: Visit, declared: Input, report: Report
) -> dict[str, Scan]:
    """Choose one image.

    The one of highest resolution is taken: the one whose longest voxel edge is shortest (a 1 mm
    isotropic scan before one of 0.5 x 0.5 x 3 mm), then the one of smallest voxels, then the
    first by name. Images that were made (``space``, ``desc``, ...) or have contrast agent
    (``ce``) are taken only if there is nothing else.

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
        The image by the name of the input; empty without one.
    """
    candidates = dataset.candidates(visit, declared, report)
    if not candidates:
        return {}
    best, *others = sorted(candidates, key=lambda candidate: candidate.rank)
    scan = dataset.scan(declared.name, best, report)
    report.facts[declared.name] = best.facts
    report.notes += _explain(declared.name, best, others)
    report.notes += [f'{best.path.name}: {text}' for text in best.facts.warnings]
    return {declared.name: scan}


def _explain(kind: str, best: Candidate, others: list[Candidate]) -> Iterator[str]:
    if others:
        second = others[0]
        reasons = (
            'it is as acquired',
            'it was acquired without contrast agent',
            'it is not a single echo',
            'thinnest slices',
            'highest resolution',
            'it comes first by name at equal resolution',
        )
        # run-1 and run-01 have one rank.
        why = next(
            (r for r, a, b in zip(reasons, best.rank, second.rank, strict=True) if a != b),
            reasons[-1],
        )
        rest = ', '.join(f'{other.path.name} ({_size(other)})' for other in others)
        yield (
            f'{kind}: {best.path.name} ({_size(best)}) is used instead of {rest}: {why}. To '
            f'choose another, use --bids-filter-file ("{kind}") or .bidsignore.'
        )
    if 'echo' in best.name.entities:
        yield (
            f'{kind}: {best.path.name} is one of several echoes, and its contrast depends '
            'on the echo time. Combine the echoes (root mean square) and save the result '
            'under a name without "echo", or choose one echo with --bids-filter-file.'
        )
    if 'ce' in best.name.entities:
        yield (
            f'{kind}: {best.path.name} was acquired with contrast agent and is used '
            'because there is no other image. Intensities of vessels and meninges differ.'
        )
    if made := sorted(DERIVED & best.name.entities.keys()):
        yield (
            f'{kind}: {best.path.name} is not a raw image (it has the entity {made[0]}); '
            'it is used because there is no other image.'
        )


def _size(candidate: Candidate) -> str:
    return ' x '.join(f'{zoom:.3g}' for zoom in candidate.facts.zooms) + ' mm'
