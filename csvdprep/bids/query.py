"""What the dataset offers for each visit. The only module that imports pybids."""

from __future__ import annotations

import json
import logging
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from csvdprep.bids.diffusion import Run, as_scan, choose_series, find_preprocessed
from csvdprep.bids.external import KINDS, check_derivatives, find_external
from csvdprep.bids.fieldmaps import FIELD_SUFFIXES, MOST_BARE, describe_field
from csvdprep.bids.files import LockError, file_digest, lock
from csvdprep.bids.gradients import (
    Convention,
    NoDirections,
    find_table,
    is_inherited,
    read_table,
    volumes_without_gradient,
)
from csvdprep.bids.hints import near_misses
from csvdprep.bids.names import DERIVED, ENTITIES, INDICES, INHERITED, Name, parse
from csvdprep.bids.raw import (
    Ignored,
    check_dataset,
    choose_labels,
    metadata_of,
    read_json,
    sessions_of,
)
from csvdprep.core.errors import CsvdprepError, InputError, UsageError
from csvdprep.core.plan import Scan, Visit, VisitInput
from csvdprep.core.settings import Settings

_LOG = logging.getLogger(__name__)
#: What is looked for under each name of the lexicon; ``--bids-filter-file`` narrows it.
QUERIES = {'t1w': ('anat', 'T1w'), 'flair': ('anat', 'FLAIR'), 'dwi': ('dwi', 'dwi')}
#: Those of which one image is chosen.
SINGLE = ('t1w', 'flair')
#: How the names of images end.
IMAGES = ('.nii', '.nii.gz')
#: Queries of other applications: a filter file shared with them may hold these.
OTHER_QUERIES = frozenset({'t2w', 'pdw', 'bold', 'sbref', 'fmap', 'asl', 'm0scan', 'roi',
                           'pet', 'pepolar', 'swi', 't2starw', 'megre', 'angio', 'dce',
                           'vfa'})  # fmt: skip
#: Short names of entities, as in file names, with those of pybids.
LONG_NAMES = {
    'sub': 'subject', 'ses': 'session', 'acq': 'acquisition', 'nuc': 'nucleus', 'voi': 'volume',
    'ce': 'ceagent', 'trc': 'tracer', 'stain': 'staining', 'rec': 'reconstruction',
    'dir': 'direction', 'mod': 'modality', 'hemi': 'hemisphere', 'seg': 'segmentation',
    'res': 'resolution', 'den': 'density', 'desc': 'description',
}  # fmt: skip
#: What a filter can hold, by the names of pybids.
FILTERABLE = {LONG_NAMES.get(key, key) for key in ENTITIES} | {'suffix', 'datatype', 'extension'}
#: Values of ``part`` that are no magnitude.
NO_MAGNITUDE = frozenset({'phase', 'real', 'imag'})


def read_filters(path: str | os.PathLike) -> dict[str, dict[str, Any]]:
    """Read and check a ``--bids-filter-file``.

    Parameters
    ----------
    path : path-like
        JSON file ``{query: {entity: value}}``. A value is a text, a number or a list of them;
        null asks for files without the entity, ``"*"`` for files that have it.

    Returns
    -------
    dict
        Filters of each query, entities by the names of pybids.

    Raises
    ------
    UsageError
        If the file is no such JSON, or names a query or an entity that does not exist.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / 'filter.json'
    >>> _ = file.write_text('{"t1w": {"acq": "mprage", "run": null}}')
    >>> read_filters(file)
    {'t1w': {'acquisition': 'mprage', 'run': None}}

    """
    try:
        content = read_json(Path(path))
    except InputError as error:
        raise UsageError(error.message, file=path, field='--bids-filter-file',
                         remedy=error.remedy) from error  # fmt: skip
    return check_filters(content, path)


def check_filters(content: Mapping[str, Any], path: str | os.PathLike | None = None
                  ) -> dict[str, dict[str, Any]]:  # fmt: skip
    """Bring filters to one form, or raise UsageError that names what is wrong."""
    filters: dict[str, dict[str, Any]] = {}

    def refuse(message: str, remedy: str):
        raise UsageError(message, file=path, field='--bids-filter-file', remedy=remedy)

    for query, wanted in content.items():
        if query not in QUERIES.keys() | KINDS.keys() | OTHER_QUERIES:
            refuse(f'There is no query "{query}".',
                   f'Queries are: {", ".join((*QUERIES, *KINDS))}.')  # fmt: skip
        if not isinstance(wanted, Mapping):
            refuse(f'The query "{query}" holds no table of entities.',
                   f'Write {{"{query}": {{"acquisition": "mprage"}}}}.')  # fmt: skip
        filters[query] = {}
        for entity, value in wanted.items():
            name = LONG_NAMES.get(entity, entity)
            if query not in OTHER_QUERIES and name not in FILTERABLE:
                refuse(f'BIDS has no entity "{entity}" to filter {query} by.',
                       f'Entities are: {", ".join(sorted(FILTERABLE))}.')  # fmt: skip
            values = value if isinstance(value, list) else [value]
            if not all(item is None or isinstance(item, str | int) for item in values):
                refuse(f'The value of "{entity}" in the query "{query}" is no text.',
                       'Give a text, a number, null, "*", or a list of these.')  # fmt: skip
            filters[query][name] = value
    return filters


def collect_visits(settings: Settings, *, inspect: Callable[..., Any],
                   warn: Callable[[str], None] = _LOG.warning) -> list[VisitInput]:  # fmt: skip
    """Read which images each visit has, choosing one of each kind.

    Of several images of a kind, the one of highest resolution is taken: the one whose longest
    voxel edge is shortest (a 1 mm isotropic scan before one of 0.5 x 0.5 x 3 mm), then
    the one of smallest voxels, then the first by name. Images that were made (``space``,
    ``desc``, ...) or have contrast agent (``ce``) are taken only if there is nothing else.

    Parameters
    ----------
    settings : Settings
        What was asked.
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
    filters = check_filters(settings.bids_filters)
    check_derivatives(settings.derivatives)
    available = check_dataset(root, strict=not settings.skip_bids_validation, warn=warn)
    asked = settings.participant_label or [Visit.of(v).subject for v in settings.visit]
    subjects = choose_labels(asked, available, 'sub')
    visits = _visits(root, subjects, settings.session_label)
    if settings.visit:
        if missing := sorted(set(settings.visit) - {v.label for v in visits}):
            raise UsageError(f'The dataset has no visit {", ".join(missing)}.', field='--visit',
                             remedy='Look at the folders sub-*/ses-*.')  # fmt: skip
        visits = [v for v in visits if v.label in settings.visit]
        subjects = sorted({v.subject for v in visits})
    dataset = _Dataset(
        root=root, files=_list_files(root, subjects, settings.bids_database_dir, warn),
        ignored=Ignored.of(root), filters=filters, inspect=inspect,
        derivatives=settings.derivatives, threshold=settings.b0_threshold,
        left_out=frozenset(settings.ignore),
    )  # fmt: skip
    return [dataset.read(visit) for visit in visits]


@dataclass(frozen=True, kw_only=True)
class _Candidate:
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
        return (bool(DERIVED & entities.keys()), 'ce' in entities, 'echo' in entities,
                round(max(self.facts.zooms), 2), round(self.facts.voxel_volume, 2),
                numbered)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _Dataset:
    """An opened dataset, with what is to be taken from it."""

    root: Path
    files: Mapping[str, list[Path]]
    ignored: Ignored
    filters: Mapping[str, Mapping[str, Any]]
    inspect: Callable[..., Any]
    derivatives: Mapping[str, Path]
    threshold: float
    left_out: frozenset[str]

    def read(self, visit: Visit) -> VisitInput:
        """Choose the images of a visit."""
        scans: dict[str, Scan] = {}
        facts: dict[str, Any] = {}
        notes: list[str] = []
        refused: list[tuple[str, str]] = []
        for kind in SINGLE:
            candidates = self._candidates(visit, kind, notes, refused)
            if not candidates:
                continue
            best, *others = sorted(candidates, key=lambda candidate: candidate.rank)
            scans[kind] = self._scan(kind, best, notes)
            facts[kind] = best.facts
            notes += _explain(kind, best, others)
            notes += [f'{best.path.name}: {text}' for text in best.facts.warnings]
        anatomy = bool(scans)
        scans |= self._diffusion(visit, notes, refused)
        named = {shown for shown, _ in refused}
        files, folder = self.files[visit.subject], self.root / visit.folder
        maps = {suffix: ('fmap', suffix) for suffix in FIELD_SUFFIXES}
        nearly = near_misses(files, folder, QUERIES, scans)
        nearly += near_misses([file for file in files if file.parent == folder / 'fmap'], folder,
                              maps, ())  # fmt: skip
        for path, why in nearly:
            shown = path.relative_to(self.root).as_posix()
            if shown not in named and not self.ignored(shown):
                refused.append((shown, why))
        if not scans and not any(path.is_relative_to(folder) for path in files):
            notes.append(f'The folder {visit.folder} is empty. If it is a dataset of DataLad that '
                         'was not installed, fetch it (datalad get).')  # fmt: skip
        if not scans:
            notes.append(f'{visit.label} has no T1w, FLAIR or DWI that can be used.')
        elif anatomy and self.derivatives:
            there = {kind: (scan.path, facts[kind]) for kind, scan in scans.items()
                     if kind in SINGLE and kind not in self.left_out}  # fmt: skip
            found = find_external(visit, self.derivatives, there, self.inspect, self._asked)
            scans |= found.scans
            notes += found.notes
            refused += found.refused
        return VisitInput(visit=visit, scans=scans, notes=tuple(notes), refused=tuple(refused))

    def _asked(self, query: str, name: Name | None, datatype: str) -> bool:
        """Tell whether a file of a derivative is what a filter asks for."""
        wanted = self.filters.get(query)
        return not wanted or (name is not None and _fits(name, datatype, wanted))

    def _diffusion(self, visit: Visit, notes: list[str], refused: list[tuple[str, str]]
                   ) -> dict[str, Scan]:  # fmt: skip
        """Put the runs of the diffusion series together; nothing if it cannot be measured."""
        made = find_preprocessed(
            visit, self.derivatives, self.inspect, notes, refused,
            convention=Convention(self.threshold),
            fits=lambda name: self._asked('dwi', name, 'dwi'))  # fmt: skip
        if made:
            return {'dwi': made}
        runs, bare, faults = [], [], []
        items = self._candidates(visit, 'dwi', notes, refused)
        convention = Convention.of(self.root, [(item.path, item.facts.shape[3]) for item in items],
                                   self.threshold)  # fmt: skip
        for item in items:
            try:
                if self._is_bare(item):
                    bare.append((item, self._run(item, notes)))
                    continue
                table = read_table(self.root, item.path, item.facts.shape[3],
                                   convention=convention)  # fmt: skip
                runs.append(self._run(item, notes, table=table))
            except InputError as error:
                faults.append((item.shown, error))
        series = choose_series(runs)
        usable = series is not None and bool(series.runs)
        for shown, error in faults:
            if usable and isinstance(error, NoDirections):
                notes.append(f'{shown} is left out: {error.message}')
            else:
                refused.append((shown, str(error)))
        if series is None or not usable:
            notes += series.notes if series else ()
            for item, _ in bare:
                self._refuse_bare(item, refused)
            return {}
        notes += series.notes
        maps = self._maps(visit, convention, notes, refused)
        chosen = {run.path for run in series.runs}
        others = [run for run in runs if run.path not in chosen]
        others += self._references(visit, series.runs[0], notes, refused)
        known = {_stem(path) for path in self.files[visit.subject]}
        source, said = describe_field(series, maps, others + [run for _, run in bare], known)
        notes += said
        for run in series.runs:
            notes += [f'{run.file}: {text}' for text in run.facts.warnings]
        return {'dwi': as_scan(series, source)}

    def _is_bare(self, item: _Candidate) -> bool:
        """Tell whether a run came without table: scanners export reversed b = 0 so."""
        volumes = item.facts.shape[3]
        if volumes > MOST_BARE:
            return False
        none = all(find_table(self.root, item.path, ending) is None
                   for ending in ('.bval', '.bvec'))  # fmt: skip
        return none or is_inherited(self.root, item.path, volumes)

    def _refuse_bare(self, item: _Candidate, refused: list[tuple[str, str]]) -> None:
        try:
            read_table(self.root, item.path, item.facts.shape[3])
        except InputError as error:
            refused.append((item.shown, str(error)))

    def _references(self, visit: Visit, first: Run, notes: list[str],
                    refused: list[tuple[str, str]]) -> list[Run]:  # fmt: skip
        """Read single-band references of the other polarity: they have no gradient."""
        found = [self._run(item, notes) for item in self._candidates(
            visit, 'sbref', notes, refused, place=('dwi', ('sbref',)))]  # fmt: skip
        return [run for run in found if run.opposes(first)]

    def _maps(self, visit: Visit, convention: Convention, notes: list[str],
              refused: list[tuple[str, str]]) -> list[Run]:  # fmt: skip
        """Read the images that map the field."""
        maps = []
        for item in self._candidates(visit, 'fmap', notes, refused,
                                     place=('fmap', FIELD_SUFFIXES)):  # fmt: skip
            volumes = None
            try:
                if item.name.suffix == 'epi':
                    volumes = volumes_without_gradient(
                        self.root, item.path, item.facts.shape[3], convention=convention)
            except InputError as error:
                refused.append((item.shown, str(error)))
                continue
            maps.append(self._run(item, notes,
                                  volumes=None if volumes is None else tuple(volumes)))
        return maps

    def _run(self, chosen: _Candidate, notes: list[str], **more) -> Run:
        """Read what stands beside an image of a series."""
        told = len(notes)
        metadata = self._metadata(chosen, notes)
        return Run.read(path=str(chosen.path), uri=f'bids:raw:{chosen.shown}', name=chosen.name,
                        facts=chosen.facts, metadata=metadata, unread=len(notes) > told, **more)

    def _candidates(self, visit: Visit, kind: str, notes: list[str],
                    refused: list[tuple[str, str]],
                    place: tuple[str, tuple[str, ...]] | None = None,
                    ) -> list[_Candidate]:  # fmt: skip
        folder = self.root / visit.folder
        datatype, suffixes = place or (QUERIES[kind][0], QUERIES[kind][1:])
        endings = tuple(f'_{suffix}{ending}' for suffix in suffixes for ending in IMAGES)
        wanted = self.filters.get(kind, {})
        more = {} if kind in SINGLE else {'series': True}
        candidates = []
        others = False
        for path in self.files[visit.subject]:
            if path.parent != folder / datatype or not path.name.endswith(endings):
                continue
            shown = path.relative_to(self.root).as_posix()
            try:
                name = parse(path)
                _check_place(path, name, visit)
                if not _fits(name, datatype, wanted):
                    others = True
                elif name.entities.get('part') in NO_MAGNITUDE:
                    notes.append(f'{shown} is left out: it is no magnitude image.')
                elif self.ignored(shown):
                    notes.append(f'{shown} is left out, as .bidsignore asks.')
                else:
                    candidates.append(_Candidate(path=path, shown=shown, name=name,
                                                 facts=self.inspect(path, **more)))  # fmt: skip
            except CsvdprepError as error:
                refused.append((shown, str(error)))
        if others and not candidates:
            notes.append(f'{kind}: no file of {visit.label} fits the filter {json.dumps(wanted)}.')
        return candidates

    def _scan(self, kind: str, chosen: _Candidate, notes: list[str]) -> Scan:
        metadata = self._metadata(chosen, notes)
        entities = chosen.name.entities
        return Scan(
            name=kind, path=str(chosen.path), uri=f'bids:raw:{chosen.shown}',
            entities={key: entities[key] for key in INHERITED if key in entities},
            digest=file_digest(chosen.path), metadata=metadata,
        )  # fmt: skip

    def _metadata(self, chosen: _Candidate, notes: list[str]) -> dict[str, Any]:
        facts, faults = metadata_of(self.root, chosen.path)
        notes += [f'Some metadata of {chosen.shown} are not used: {error}' for error in faults]
        return facts


def _stem(path: Path) -> str:
    return path.name.removesuffix('.gz').removesuffix('.nii')


def _visits(root: Path, subjects: list[str], asked: tuple[str, ...]) -> list[Visit]:
    everything = {subject: sessions_of(root, subject) for subject in subjects}
    visits = [Visit(subject, session) for subject in subjects for session in everything[subject]]
    if not asked:
        return visits
    wanted = choose_labels(asked, {v.session for v in visits if v.session}, 'ses')
    return [visit for visit in visits if visit.session in wanted]


def _explain(kind: str, best: _Candidate, others: list[_Candidate]) -> Iterator[str]:
    if others:
        second = others[0]
        reasons = ('it is as acquired', 'it is without contrast agent',
                   'it is no single echo', 'thinnest slices',
                   'highest resolution', 'first by name at equal resolution')  # fmt: skip
        # run-1 and run-01 have one rank.
        why = next((r for r, a, b in zip(reasons, best.rank, second.rank, strict=True) if a != b),
                   reasons[-1])  # fmt: skip
        rest = ', '.join(f'{other.path.name} ({_size(other)})' for other in others)
        yield f'{kind}: {best.path.name} ({_size(best)}) is taken before {rest}: {why}.'
    if 'echo' in best.name.entities:
        yield (f'{kind}: {best.path.name} is one echo of several; what it shows depends on the '
               'echo time. Combine the echoes (root of the mean square), and give the result a '
               'name without "echo", or choose one by --bids-filter-file.')  # fmt: skip
    if 'ce' in best.name.entities:
        yield (f'{kind}: {best.path.name} was acquired with contrast agent; there is no other. '
               'Intensities of vessels and meninges differ.')  # fmt: skip
    if made := sorted(DERIVED & best.name.entities.keys()):
        yield (f'{kind}: {best.path.name} is no raw image (it has the entity {made[0]}); there is '
               'no other.')  # fmt: skip


def _size(candidate: _Candidate) -> str:
    return ' x '.join(f'{zoom:.3g}' for zoom in candidate.facts.zooms) + ' mm'


def _check_place(path: Path, name: Name, visit: Visit) -> None:
    """Refuse a file whose name and folder tell of two visits."""
    if (name.entities.get('sub'), name.entities.get('ses')) != (visit.subject, visit.session):
        raise InputError(
            f'The file lies in {visit.folder}, but its name tells of another visit.', file=path,
            remedy='Move or rename it.',
        )  # fmt: skip


def _fits(name: Name, datatype: str, wanted: Mapping[str, Any]) -> bool:
    """Tell whether a file is what a filter asks for.

    pybids could tell, too, but looks for entities in the whole path: a dataset below a folder
    that is called ``sub-09`` or ``run-1`` would have that participant, or run, in all files.
    """
    has = {LONG_NAMES.get(key, key): value for key, value in name.entities.items()}
    has |= {'suffix': name.suffix, 'extension': name.extension, 'datatype': datatype}

    def same(value: str | None, asked: Any, entity: str) -> bool:
        if asked in (None, 'Query.NONE') or value is None:
            return value is None and asked in (None, 'Query.NONE')
        if asked in ('*', 'Query.ANY'):
            return True
        if entity in INDICES and value.isdecimal() and str(asked).isdecimal():
            # As texts, since there is no end to the digits that somebody may write.
            return value.lstrip('0') == str(asked).lstrip('0')
        return value.lstrip('.') == str(asked).lstrip('.')

    return all(
        any(same(has.get(entity), item, entity) for item in
            (asked if isinstance(asked, list) else [asked]))
        for entity, asked in wanted.items()
    )  # fmt: skip


def _list_files(root: Path, subjects: list[str], database: Path | None,
                warn: Callable[[str], None]) -> dict[str, list[Path]]:  # fmt: skip
    """List the files of some participants, from their folders or from an index that was kept."""
    if database is None:
        return _in_folders(root, subjects)
    database = Path(os.path.abspath(database))
    stored = database / 'layout_index.sqlite'
    try:
        if stored.exists() and not os.access(database, os.W_OK):
            files = _of_subjects(_index(root, database), root, subjects)
            if not _is_current(files, root):
                raise OSError('it is out of date and may not be written')
            return files
        with lock(database / '.csvdprep.lock', timeout=600):
            # Another run may have made it while this one waited.
            if stored.exists():
                files = _of_subjects(_index(root, database), root, subjects)
                if _is_current(files, root):
                    return files
                warn(f'The database in {database} is out of date; it is made anew.')
            return _of_subjects(_index(root, database, reset=True), root, subjects)
    except LockError:
        raise
    except Exception as error:
        # A damaged database is a convenience lost, not a reason to stop.
        warn(f'The database in {database} cannot be used ({error}); the dataset is read instead.')
        return _in_folders(root, subjects)


def _in_folders(root: Path, subjects: list[str]) -> dict[str, list[Path]]:
    """List the files of some participants as deep as BIDS has images, and no deeper.

    So links in a circle do no harm, and no name or ``dataset_description.json`` is too odd.
    """
    files = {}
    for subject in subjects:
        level, found = [root / f'sub-{subject}'], []
        for _ in ('participant', 'session', 'datatype'):
            below = [folder / entry.name for folder in level for entry in os.scandir(folder)
                     if not entry.name.startswith('.')]  # fmt: skip
            level = [path for path in below if os.path.isdir(path)]
            # A folder that has the name of an image is refused where images are looked at.
            found += [path for path in below if path not in level or path.name.endswith(IMAGES)]
        files[subject] = sorted(found)
    return files


def _check_for_circles(root: Path) -> None:
    """Raise OSError if links lead back to where they are; pybids would follow them."""
    for start in root.glob('sub-*'):
        for folder, folders, _ in os.walk(start, followlinks=True):
            real = os.path.realpath(folder)
            for name in folders:
                if f'{real}/'.startswith(os.path.realpath(f'{folder}/{name}') + '/'):
                    raise OSError(f'links lead in a circle at {folder}/{name}')


def _index(root: Path, database: Path, reset: bool = False) -> Any:
    from bids.layout import BIDSLayout, BIDSLayoutIndexer

    # pybids opens it whatever it is, and would wait for ever at a pipe.
    if (description := root / 'dataset_description.json').exists():
        read_json(description)
    if reset or not (database / 'layout_index.sqlite').exists():
        _check_for_circles(root)
    indexer = BIDSLayoutIndexer(validate=False, index_metadata=False,
                                ignore=[re.compile(r'^/(?!sub-)'), re.compile(r'/\.')])
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        return BIDSLayout(root, validate=False, derivatives=False, indexer=indexer,
                          database_path=database, reset_database=reset)  # fmt: skip


def _of_subjects(layout: Any, root: Path, subjects: list[str]) -> dict[str, list[Path]]:
    from bids.layout.models import BIDSFile

    files = {}
    for subject in subjects:
        below = BIDSFile.path.startswith(f'{root}/sub-{subject}/', autoescape=True)
        rows = layout.session.query(BIDSFile.path).filter(below)
        files[subject] = sorted(Path(path) for (path,) in rows)
    return files


def _is_current(files: Mapping[str, list[Path]], root: Path) -> bool:
    """Compare a kept index with what is on disk, for the participants that are asked for."""
    return all(
        {path for path in kept if path.name.endswith(IMAGES)}
        == {path for path in (root / f'sub-{subject}').rglob('*.nii*')
            if path.name.endswith(IMAGES) and not any(
                part.startswith('.') for part in path.relative_to(root).parts)}
        for subject, kept in files.items()
    )  # fmt: skip
