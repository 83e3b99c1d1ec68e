"""What the dataset offers for each visit, of the kinds that rooms declare."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from csvdprep.bids.behind import with_files
from csvdprep.bids.external import check_derivatives, find_external
from csvdprep.bids.fieldmaps import FIELD_SUFFIXES
from csvdprep.bids.filters import check_filters
from csvdprep.bids.hints import near_misses
from csvdprep.bids.listing import list_files
from csvdprep.bids.masks import admit_mask
from csvdprep.bids.offer import Dataset, Report
from csvdprep.bids.ratings import DESK_TABLE, LINK, OPTION, masks_of, ratings_of, read_ratings
from csvdprep.bids.raw import Ignored, check_dataset, choose_labels, sessions_of
from csvdprep.bids.unused import unused_images
from csvdprep.core.declared import Declared
from csvdprep.core.errors import InputError, UsageError
from csvdprep.core.plan import Scan, Visit, VisitInput
from csvdprep.core.room import load
from csvdprep.core.settings import Settings

_LOG = logging.getLogger(__name__)


def collect_visits(
    settings: Settings,
    declared: Declared,
    *,
    inspect: Callable[..., Any],
    warn: Callable[[str], None] = _LOG.warning,
) -> list[VisitInput]:
    """Read which scans each visit has, of the kinds that rooms declare.

    Parameters
    ----------
    settings : Settings
        What was asked.
    declared : Declared
        Inputs and results from outside.
    inspect : callable
        ``inspect(path, mask=False)`` returns facts of an image (``shape``, ``zooms``, ``affine``,
        ``voxel_volume``, ``warnings``) or raises InputError.
    warn : callable, optional
        Takes sentences about the dataset as a whole.

    Returns
    -------
    list of VisitInput
        Visits in the order of participants and sessions, also those without images.

    Raises
    ------
    UsageError
        If a participant, session, filter or derivative that was asked for does not exist.
    PreflightError
        If there is no BIDS dataset.
    """
    root = Path(os.path.abspath(settings.bids_dir))
    filters = check_filters(settings.bids_filters, declared)
    check_derivatives(settings.derivatives)
    available = check_dataset(root, strict=not settings.skip_bids_validation, warn=warn)
    ratings, corrected = _ratings(settings, root, available, warn)
    asked = settings.participant_label or [Visit.of(v).subject for v in settings.visit]
    subjects = choose_labels(asked, available, 'sub')
    visits = _visits(root, subjects, settings.session_label)
    if settings.visit:
        if missing := sorted(set(settings.visit) - {v.label for v in visits}):
            raise UsageError(
                f'The dataset has no visit {", ".join(missing)}.',
                field='--visit',
                remedy='Check the folders sub-*/ses-*.',
            )
        visits = [v for v in visits if v.label in settings.visit]
        subjects = sorted({v.subject for v in visits})
    visits = _without_excluded(visits, root, available, settings)
    subjects = [s for s in subjects if any(v.subject == s for v in visits)]
    dataset = Dataset(
        root=root,
        files=list_files(root, subjects, settings.bids_database_dir, warn),
        ignored=Ignored.of(root),
        filters=filters,
        inspect=inspect,
        derivatives=settings.derivatives,
        threshold=settings.b0_threshold,
        output=Path(settings.output_dir),
    )
    left_out = frozenset(settings.ignore)
    table = Path(os.path.abspath(settings.manual_ratings or root))
    return [
        _read(
            dataset, visit, declared, left_out, ratings.get(visit), corrected.get(visit, {}), table
        )
        for visit in visits
    ]


def _without_excluded(
    visits: list[Visit], root: Path, available: list[str], settings: Settings
) -> list[Visit]:
    """Leave out visits by label; a label that the dataset does not have is a mistake."""
    if asked := settings.exclude_participant_label:
        choose_labels(asked, available, 'sub', '--exclude-participant-label')
    if asked := settings.exclude_session_label:
        every = [(s, x) for s in available for x in sessions_of(root, s) if x]
        whole = [label for label in asked if not label.startswith('sub-')]
        if whole:
            choose_labels(whole, {x for _, x in every}, 'ses', '--exclude-session-label')
        known = {f'sub-{s}_ses-{x}' for s, x in every}
        if missing := sorted(set(asked) - set(whole) - known):
            raise UsageError(
                f'The dataset has no visit {", ".join(missing)}.',
                field='--exclude-session-label',
                remedy='Check the folders sub-*/ses-*.',
            )
    kept = [v for v in visits if not settings.leaves_out(v.subject, v.session)]
    if visits and not kept:
        raise UsageError(
            'All selected visits are excluded.',
            field='--exclude-participant-label, --exclude-session-label',
            remedy='Exclude fewer.',
        )
    return kept


def _ratings(
    settings: Settings, root: Path, available: list[str], warn: Callable[[str], None]
) -> tuple[dict[Visit, Scan], dict[Visit, dict[str, Path]]]:
    """Read what persons rated of each visit, and which masks they corrected."""
    if settings.manual_ratings is None:
        there = Path(settings.output_dir) / DESK_TABLE
        if there.is_file():
            warn(
                f'The output folder has ratings ({DESK_TABLE}), which are not used: give '
                f'{OPTION} {there}.'
            )
        return {}, {}
    path = Path(os.path.abspath(settings.manual_ratings))
    rows = read_ratings(path, warn)
    rated = {row.subject for row in rows}
    sessions = {s: sessions_of(root, s) if s in rated else [] for s in available}
    return ratings_of(rows, sessions, path, warn), masks_of(rows, sessions, path, warn)


def _read(
    dataset: Dataset,
    visit: Visit,
    declared: Declared,
    left_out: frozenset[str],
    ratings: Scan | None,
    corrected: Mapping[str, Path],
    table: Path,
) -> VisitInput:
    """Choose the scans of a visit."""
    scans: dict[str, Scan] = {}
    report = Report()
    for item in declared.inputs:
        scans |= load(item.reader)(dataset, visit, item, report)
    _tell_near_misses(dataset, visit, declared, scans, report)
    folder = dataset.root / visit.folder
    if not scans:
        if not any(path.is_relative_to(folder) for path in dataset.files[visit.subject]):
            report.notes.append(
                f'The folder {visit.folder} is empty. If it is a DataLad subdataset that '
                'is not installed, fetch it (datalad get).'
            )
        report.notes.append(f'{visit.label} has no usable {either(declared)}.')
    used: set[str] = set()
    if scans and report.facts and dataset.derivatives:
        there = {
            kind: (scans[kind].path, facts)
            for kind, facts in report.facts.items()
            if kind not in left_out
        }
        found = find_external(
            visit,
            dataset.derivatives,
            there,
            dataset.inspect,
            declared,
            dataset.asked,
            dataset.output,
        )
        scans |= found.scans
        report.notes += found.notes
        report.refused += found.refused
        used |= found.used
    used |= {o for o in dataset.derivatives for s in scans.values() if _is_of(s, o)}
    roots = {**dataset.derivatives, 'raw': dataset.root}
    scans = {name: with_files(scan, roots) for name, scan in scans.items()}
    if corrected and report.facts:
        scans |= _corrected(corrected, table, dataset, declared, scans, report, left_out)
    if ratings and scans:
        scans[ratings.name] = ratings
    return VisitInput(
        visit=visit,
        scans=scans,
        notes=tuple(report.notes),
        refused=tuple(report.refused),
        derivatives=tuple(sorted(used)),
        unused=tuple(unused_images(dataset, visit, declared, scans, report.refused, report.notes)),
    )


def _is_of(scan: Scan, origin: str) -> bool:
    """Tell whether a scan, or a file that belongs to it, is of a dataset of --derivatives."""
    return any(uri.startswith(f'bids:{origin}:') for uri in (scan.uri, *scan.others))


def _corrected(
    corrected: Mapping[str, Path],
    table: Path,
    dataset: Dataset,
    declared: Declared,
    scans: Mapping[str, Scan],
    report: Report,
    left_out: frozenset[str],
) -> dict[str, Scan]:
    """Take in the masks that persons corrected, before those of other tools."""
    images = {
        kind: (scans[kind].path, facts)
        for kind, facts in report.facts.items()
        if kind in scans and kind not in left_out
    }
    found = {}
    for external in declared.externals:
        if external.name not in corrected:
            continue
        file, root = corrected[external.name], table.parent
        try:
            found[external.name] = admit_mask(
                file, external, LINK, root, images, dataset.inspect, report.notes, declared
            )
        except InputError as error:
            report.refused.append((file.relative_to(root).as_posix(), str(error)))
            continue
        report.notes.append(
            f'{external.title}: {file.name} is used, which a person corrected ({table.name}).'
        )
    return found


def either(declared: Declared) -> str:
    """Name the kinds of scans that are read: 'T1w, FLAIR or DWI'."""
    *titles, last = (item.title for item in declared.inputs)
    return f'{", ".join(titles)} or {last}' if titles else last


def _tell_near_misses(
    dataset: Dataset, visit: Visit, declared: Declared, scans, report: Report
) -> None:
    """Tell of files that are nearly what is looked for."""
    named = {shown for shown, _ in report.refused}
    files, folder = dataset.files[visit.subject], dataset.root / visit.folder
    queries = {
        item.name: (item.datatype, suffix)
        for item in declared.inputs
        for suffix in item.suffixes[:1]
    }
    maps = {suffix: ('fmap', suffix) for suffix in FIELD_SUFFIXES}
    nearly = near_misses(files, folder, queries, scans)
    nearly += near_misses(
        [file for file in files if file.parent == folder / 'fmap'], folder, maps, ()
    )
    for path, why in nearly:
        shown = path.relative_to(dataset.root).as_posix()
        if shown not in named and not dataset.ignored(shown):
            report.refused.append((shown, why))


def _visits(root: Path, subjects: list[str], asked: tuple[str, ...]) -> list[Visit]:
    everything = {subject: sessions_of(root, subject) for subject in subjects}
    visits = [Visit(subject, session) for subject in subjects for session in everything[subject]]
    if not asked:
        return visits
    wanted = choose_labels(asked, {v.session for v in visits if v.session}, 'ses')
    return [visit for visit in visits if visit.session in wanted]
