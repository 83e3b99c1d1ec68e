"""The diffusion series of a visit: its runs, their gradients, and what maps the field."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from csvdprep.bids.diffusion import Run, as_scan, choose_series, find_preprocessed
from csvdprep.bids.fieldmaps import FIELD_SUFFIXES, MOST_BARE, describe_field
from csvdprep.bids.gradients import (
    Convention,
    NoDirections,
    find_table,
    is_inherited,
    read_table,
    volumes_without_gradient,
)
from csvdprep.bids.offer import Candidate, Dataset, Report
from csvdprep.core.declared import Input
from csvdprep.core.errors import InputError
from csvdprep.core.plan import Scan, Visit


def read_series(
    dataset: Dataset, visit: Visit, declared: Input, report: Report
) -> dict[str, Scan]:
    """Put the runs of the diffusion series together.

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
        The series by the name of the input; empty if it cannot be measured.
    """
    return _Reader(dataset, visit, declared, report).read()


@dataclass(frozen=True)
class _Reader:
    dataset: Dataset
    visit: Visit
    declared: Input
    report: Report

    def read(self) -> dict[str, Scan]:
        """Put the runs of the diffusion series together; nothing if it cannot be measured."""
        dataset, visit, report = self.dataset, self.visit, self.report
        notes, refused, name = report.notes, report.refused, self.declared.name
        made = find_preprocessed(
            visit,
            dataset.derivatives,
            dataset.inspect,
            notes,
            refused,
            convention=Convention(dataset.threshold),
            fits=lambda file: dataset.asked(name, file, self.declared.datatype),
        )
        if made:
            return {name: made}
        runs, bare, faults = [], [], []
        items = dataset.candidates(visit, self.declared, report, series=True)
        convention = Convention.of(
            dataset.root, [(item.path, item.facts.shape[3]) for item in items], dataset.threshold
        )
        for item in items:
            try:
                if self._is_bare(item):
                    bare.append((item, self._run(item)))
                    continue
                table = read_table(
                    dataset.root, item.path, item.facts.shape[3], convention=convention
                )
                runs.append(self._run(item, table=table))
            except InputError as error:
                faults.append((item.shown, error))
        series = choose_series(runs)
        usable = series is not None and bool(series.runs)
        for shown, error in faults:
            if usable and isinstance(error, NoDirections):
                notes.append(f'{shown} is not used: {error.message}')
            else:
                refused.append((shown, str(error)))
        if series is None or not usable:
            notes += series.notes if series else ()
            for item, _ in bare:
                self._refuse_bare(item)
            return {}
        notes += series.notes
        maps = self._maps(convention)
        chosen = {run.path for run in series.runs}
        others = [run for run in runs if run.path not in chosen]
        others += self._references(series.runs[0])
        known = {_stem(path) for path in dataset.files[visit.subject]}
        source, said = describe_field(series, maps, others + [run for _, run in bare], known)
        notes += said
        for run in series.runs:
            notes += [f'{run.file}: {text}' for text in run.facts.warnings]
        return {name: as_scan(series, source)}

    def _is_bare(self, item: Candidate) -> bool:
        """Tell whether a run came without table: scanners export reversed b = 0 so."""
        volumes = item.facts.shape[3]
        if volumes > MOST_BARE:
            return False
        none = all(
            find_table(self.dataset.root, item.path, ending) is None
            for ending in ('.bval', '.bvec')
        )
        return none or is_inherited(self.dataset.root, item.path, volumes)

    def _refuse_bare(self, item: Candidate) -> None:
        try:
            read_table(self.dataset.root, item.path, item.facts.shape[3])
        except InputError as error:
            self.report.refused.append((item.shown, str(error)))

    def _beside(self, datatype: str, suffixes: tuple[str, ...], name: str) -> list[Candidate]:
        """Return images that belong to the series."""
        place = replace(self.declared, name=name, datatype=datatype, suffixes=suffixes)
        return self.dataset.candidates(self.visit, place, self.report, series=True)

    def _references(self, first: Run) -> list[Run]:
        """Read single-band references of the other polarity: they have no gradient."""
        found = [self._run(item) for item in self._beside('dwi', ('sbref',), 'sbref')]
        return [run for run in found if run.opposes(first)]

    def _maps(self, convention: Convention) -> list[Run]:
        """Read the images that map the field."""
        maps = []
        for item in self._beside('fmap', FIELD_SUFFIXES, 'fmap'):
            volumes = None
            try:
                if item.name.suffix == 'epi':
                    volumes = volumes_without_gradient(
                        self.dataset.root, item.path, item.facts.shape[3], convention=convention
                    )
            except InputError as error:
                self.report.refused.append((item.shown, str(error)))
                continue
            maps.append(self._run(item, volumes=None if volumes is None else tuple(volumes)))
        return maps

    def _run(self, chosen: Candidate, **more) -> Run:
        """Read what stands beside an image of a series."""
        told = len(self.report.notes)
        metadata = self.dataset.metadata(chosen, self.report)
        return Run.read(
            path=str(chosen.path),
            uri=f'bids:raw:{chosen.shown}',
            name=chosen.name,
            facts=chosen.facts,
            metadata=metadata,
            unread=len(self.report.notes) > told,
            **more,
        )


def _stem(path: Path) -> str:
    return path.name.removesuffix('.gz').removesuffix('.nii')
