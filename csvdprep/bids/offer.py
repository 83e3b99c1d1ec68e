"""What a dataset offers: images of a visit that passed inspection, and why others did not."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from csvdprep.bids.files import file_digest
from csvdprep.bids.filters import fits
from csvdprep.bids.listing import IMAGES
from csvdprep.bids.names import DERIVED, INHERITED, Name, parse
from csvdprep.bids.raw import Ignored, metadata_of
from csvdprep.core.declared import Input
from csvdprep.core.errors import CsvdprepError, InputError
from csvdprep.core.plan import Scan, Visit

#: Values of ``part`` that are no magnitude.
NO_MAGNITUDE = frozenset({'phase', 'real', 'imag'})


@dataclass
class Report:
    """What there is to say about the images of a visit.

    Attributes
    ----------
    notes : list of str
        Choices made, and why.
    refused : list of (str, str)
        Files that cannot be used, and why.
    facts : dict
        Facts of the image chosen for an input, as inspection gave them.
    """

    notes: list[str] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """An image that passed inspection."""

    path: Path
    shown: str
    name: Name
    facts: Any

    @property
    def rank(self) -> tuple:
        """Sort first what is to be preferred."""
        entities = self.name.entities
        numbered = [int(t) if t.isdecimal() else t for t in re.split(r'(\d+)', self.path.name)]
        # Rounded, so that the last digit of a header does not decide between two runs.
        return (
            bool(DERIVED & entities.keys()),
            'ce' in entities,
            'echo' in entities,
            round(max(self.facts.zooms), 2),
            round(self.facts.voxel_volume, 2),
            numbered,
        )


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """An opened dataset, with what is to be taken from it.

    Parameters
    ----------
    root : Path
        Folder of the dataset.
    files : mapping of str to list of Path
        Files of each participant.
    ignored : Ignored
        What ``.bidsignore`` leaves out.
    filters : mapping
        Filters by the names of inputs.
    inspect : callable
        Looks at an image; see :func:`csvdprep.bids.query.collect_visits`.
    derivatives : mapping of str to Path
        Folders of other tools.
    threshold : float
        Highest b-value that counts as 0 where none is below 50.
    output : Path, optional
        Where this application writes.
    """

    root: Path
    files: Mapping[str, list[Path]]
    ignored: Ignored
    filters: Mapping[str, Mapping[str, Any]]
    inspect: Callable[..., Any]
    derivatives: Mapping[str, Path]
    threshold: float
    output: Path | None = None

    def asked(self, query: str, name: Name | None, datatype: str) -> bool:
        """Tell whether a file of a derivative is what a filter asks for."""
        wanted = self.filters.get(query)
        return not wanted or (name is not None and fits(name, datatype, wanted))

    def candidates(
        self,
        visit: Visit,
        declared: Input,
        report: Report,
        *,
        series: bool = False,
        parts: bool = False,
        maps: bool = False,
        settled: tuple[str, str] | None = None,
    ) -> list[Candidate]:
        """Return the images of a visit that an input declares, and tell why others are none.

        Parameters
        ----------
        visit : Visit
            Participant and session.
        declared : Input
            Folder and suffixes.
        report : Report
            Takes what there is to say.
        series : bool, optional
            Whether images may have several volumes.
        parts : bool, optional
            Whether phase, real and imaginary images are taken, too.
        maps : bool, optional
            Whether the images are maps, which need not look like a head.
        settled : (str, str), optional
            For names that BIDS has not settled: folder and suffix of a name that it has. A rule
            of ``.bidsignore`` that would not leave out a file of that name, too, only says that
            BIDS has no such name, and leaves nothing out here.

        Returns
        -------
        list of Candidate
            In the order of their names.
        """
        folder = self.root / visit.folder
        endings = tuple(f'_{suffix}{ending}' for suffix in declared.suffixes for ending in IMAGES)
        wanted = self.filters.get(declared.name, {})
        more = {'series': True} if series else {}
        candidates = []
        others = False
        for path in self.files[visit.subject]:
            if path.parent != folder / declared.datatype or not path.name.endswith(endings):
                continue
            shown = path.relative_to(self.root).as_posix()
            try:
                name = parse(path)
                _check_place(path, name, visit)
                if not fits(name, declared.datatype, wanted):
                    others = True
                elif name.entities.get('part') in NO_MAGNITUDE and not parts:
                    report.notes.append(
                        f'{shown} is not used, because it is not a magnitude image.'
                    )
                elif self.ignored(shown) and (
                    settled is None or self.ignored(_renamed(shown, name, visit, *settled))
                ):
                    report.notes.append(f'{shown} is not used, because of .bidsignore.')
                else:
                    # A phase is no image of a head: it is looked at as a map.
                    no_head = maps or name.entities.get('part') in NO_MAGNITUDE
                    own = {'mask': True} if no_head else more
                    candidates.append(
                        Candidate(
                            path=path, shown=shown, name=name, facts=self.inspect(path, **own)
                        )
                    )
            except CsvdprepError as error:
                report.refused.append((shown, str(error)))
        if others and not candidates:
            report.notes.append(
                f'{declared.name}: no file of {visit.label} matches the filter '
                f'{json.dumps(wanted)}.'
            )
        return candidates

    def scan(self, name: str, chosen: Candidate, report: Report) -> Scan:
        """Return what rooms take of an image that was chosen."""
        metadata = self.metadata(chosen, report)
        entities = chosen.name.entities
        return Scan(
            name=name,
            path=str(chosen.path),
            uri=f'bids:raw:{chosen.shown}',
            entities={key: entities[key] for key in INHERITED if key in entities},
            digest=file_digest(chosen.path),
            metadata=metadata,
            affine=chosen.facts.affine,
        )

    def metadata(self, chosen: Candidate, report: Report) -> dict[str, Any]:
        """Read the sidecars of an image."""
        facts, faults = metadata_of(self.root, chosen.path)
        report.notes += [
            f'Some metadata of {chosen.shown} were not used: {error}' for error in faults
        ]
        return facts


def _renamed(shown: str, name: Name, visit: Visit, datatype: str, suffix: str) -> str:
    """Return the path that a file would have under another name."""
    file = shown.rpartition('/')[2].replace(f'_{name.suffix}.', f'_{suffix}.')
    return f'{visit.folder}/{datatype}/{file}'


def _check_place(path: Path, name: Name, visit: Visit) -> None:
    """Refuse a file whose name and folder tell of two visits."""
    if (name.entities.get('sub'), name.entities.get('ses')) != (visit.subject, visit.session):
        raise InputError(
            f'The file is in {visit.folder}, but its name belongs to another visit.',
            file=path,
            remedy='Move or rename it.',
        )
