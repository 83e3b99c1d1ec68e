"""The diffusion series of a visit: which runs belong together, one or several."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from csvdprep.bids.files import file_digest
from csvdprep.bids.gradients import USUAL, Convention, Table, read_table, shells
from csvdprep.bids.metadata import Encoding, Facts, plain_number
from csvdprep.bids.names import INHERITED, Name, parse
from csvdprep.core.errors import InputError
from csvdprep.core.grids import axes_of, same_grid
from csvdprep.core.plan import Scan, Visit

#: Fewest directions for a tensor.
LEAST_DIRECTIONS = 6
#: Shells (s/mm²) from which a tensor is best fitted.
TENSOR_SHELL = (650.0, 1500.0)
#: Largest relative difference between echo times of runs that are taken together.
SAME_TE = 0.02
#: Largest distance (mm) between the grids of runs that are taken together.
SAME_GRID_MM = 0.05
#: Keys of a content whose values are paths of files.
FILES = frozenset({'path', 'phase', 'magnitude', 'map'})
#: How a filter file asks for another.
ASK = 'To choose another, use --bids-filter-file.'


@dataclass(frozen=True, kw_only=True)
class Run:
    """One image of the diffusion folder, or of the folder of field maps.

    Parameters
    ----------
    path, uri : str
        Where it is, and its BIDS URI.
    name : Name
        Its entities.
    facts : object
        ``shape`` (with volumes), ``affine``, ``zooms``, ``warnings``.
    metadata : mapping
        JSON sidecar, inheritance resolved.
    table : Table or None
        Gradients.
    encoding : Encoding or None
        Direction of phase encoding, in canonical (RAS+) order of the axes.
    readout, echo_time, partial_fourier : float or None
        Total readout time and echo time, s; measured share of k-space.
    slices : str
        Axis across the slices, in canonical order.
    unread : bool
        Whether a sidecar that applies could not be read.
    volumes : tuple of int or None
        Volumes without gradient of an image that has no table; None if all are, or nobody says.
    notes : tuple of str
        What was odd about the sidecar.
    """

    path: str
    uri: str
    name: Name
    facts: Any
    metadata: Mapping[str, Any] = field(default_factory=dict)
    table: Table | None = None
    encoding: Encoding | None = None
    readout: float | None = None
    echo_time: float | None = None
    partial_fourier: float | None = None
    slices: str = 'k'
    unread: bool = False
    volumes: tuple[int, ...] | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def read(
        cls, *, path: str, uri: str, name: Name, facts: Any, metadata: Mapping[str, Any], **more
    ) -> Run:
        """Read what the sidecar of an image says."""
        told = Facts(metadata)
        encoding = told.encoding(facts.affine, name.entities.get('dir', ''))
        axes = axes_of(facts.affine)
        lines = 0
        if encoding:
            stored = next(k for k in range(3) if 'ijk'[axes[k][0]] == encoding.axis)
            lines = facts.shape[stored]
        found = cls(
            path=path,
            uri=uri,
            name=name,
            facts=facts,
            metadata=metadata,
            encoding=encoding,
            readout=told.readout(lines) if lines > 1 else None,
            echo_time=told.number('EchoTime'),
            partial_fourier=told.number('PartialFourier'),
            slices=told.slices(facts.affine, facts.shape, facts.zooms),
            notes=tuple(f'{Path(path).name}: {note}' for note in told.notes),
            **more,
        )
        return found

    @property
    def file(self) -> str:
        """Name of the file."""
        return Path(self.path).name

    @property
    def direction(self) -> str | None:
        """Phase encoding with its polarity, e.g. 'j-', in canonical order."""
        return self.encoding.direction if self.encoding else None

    @property
    def directions(self) -> int:
        """Number of different directions."""
        seen = {
            max(tuple(round(sign * part, 2) for part in vector) for sign in (1, -1))
            for vector in self.table.bvecs
            if any(vector)
        }
        return len(seen)

    @property
    def plain(self) -> tuple[int, ...] | None:
        """Volumes without gradient; None if all are, or nobody says."""
        if self.table is None:
            return self.volumes
        kept = self.table.volumes or range(len(self.table.bvals))
        return tuple(k for k, value in zip(kept, self.table.bvals, strict=True) if value == 0)

    def opposes(self, other: Run) -> bool:
        """Tell whether a run has the other polarity along the same axis."""
        one, two = self.encoding, other.encoding
        return bool(
            one and two and one.axis == two.axis and one.sign and two.sign and one.sign != two.sign
        )


@dataclass(frozen=True)
class Series:
    """Runs that are one measurement.

    Parameters
    ----------
    runs : tuple of Run
        In the order in which they are put together.
    notes : tuple of str
        What was chosen, and why.
    """

    runs: tuple[Run, ...]
    notes: tuple[str, ...] = ()


def choose_series(runs: Iterable[Run]) -> Series | None:
    """Choose the runs to be measured, and put those together that are one measurement.

    Runs are one measurement if they differ in ``dir`` and ``run`` only, lie on one grid and have
    one echo time: repetitions, shells, polarities. Of several measurements that one is taken
    which has a shell for the tensor (b = 650 to 1500 s/mm²), then that of most directions, then
    the first by name. Others are other geometries or protocols; they are not mixed.

    Parameters
    ----------
    runs : iterable of Run
        With gradients.

    Returns
    -------
    Series or None
        None if no measurement has directions enough.
    """
    runs = sorted(runs, key=lambda run: run.path)
    groups: list[list[Run]] = []
    for run in runs:
        for group in groups:
            if _one_measurement(group[0], run):
                group.append(run)
                break
        else:
            groups.append([run])
    notes: list[str] = []
    able = []
    for group in groups:
        most = sum(run.directions for run in group)
        if most < LEAST_DIRECTIONS:
            notes.append(
                f'{names(group)}: {most} direction{"" if most == 1 else "s"}, but a tensor '
                f'needs {LEAST_DIRECTIONS}; only the volumes with b = 0 can be used.'
            )
        elif not any(value == 0 for run in group for value in run.table.bvals):
            notes.append(
                f'{names(group)}: the series is not used, because it has no volume with b '
                '= 0 (below 50 s/mm², or up to --b0-threshold if there is none below 50).'
            )
        else:
            able.append(group)
    if not able:
        return Series((), tuple(notes)) if notes else None
    able.sort(key=_rank)
    best, *others = able
    # Brain, gain and place of the head are those of the first run: it needs a b = 0 of its own.
    best = sorted(best, key=lambda run: 0 not in run.table.bvals)
    if len(best) > 1:
        notes.append(f'dwi: {names(best)} are concatenated ({_grid(best[0])}).')
    if any('echo' in run.name.entities for run in best):
        notes.append(
            f'dwi: {names(best)} is one of several echoes; combine the echoes first, or '
            'choose one with --bids-filter-file.'
        )
    for other in others:
        notes.append(
            f'dwi: {names(best)} is used instead of {names(other)}: {_why(best, other)}. {ASK}'
        )
    notes += [note for run in best for note in (*run.table.notes, *run.notes)]
    return Series(tuple(best), tuple(notes))


def as_scan(series: Series, source: Mapping[str, Any]) -> Scan:
    """Describe a series and its field as what a visit offers under the name ``dwi``.

    Parameters
    ----------
    series : Series
        Runs.
    source : mapping
        As :func:`csvdprep.bids.fieldmaps.describe_field` gives it.

    Returns
    -------
    Scan
        ``content`` holds ``runs`` (path, volumes, bvals, bvecs, extent_mm, encoding, readout,
        ...) and ``field``, and ``interpolation`` (lines stored for each measured) where the
        sidecar tells; axes are named in canonical (RAS+) order, b-vectors are those of the
        files. The digest covers all files behind it and what was read of their sidecars.
    """
    runs = [
        {
            **_table(run),
            'encoding': run.direction,
            'axis': run.encoding.axis if run.encoding else None,
            'readout': run.readout,
            'slices': run.slices,
            'partial_fourier': run.partial_fourier,
        }
        for run in series.runs
    ]
    several = {'run'} if len(runs) > 1 else set()
    content = {'runs': runs, 'field': dict(source)}
    if finer := interpolation(series.runs[0].metadata):
        content['interpolation'] = finer
    return _scan(series.runs[0], content, without=several)


def interpolation(metadata: Mapping[str, Any]) -> float | None:
    """Return how many lines a scanner stored for each that it measured, as dcm2niix tells.

    Examples
    --------
    >>> interpolation({'AcquisitionMatrixPE': 96, 'ReconMatrixPE': 192})
    2.0
    >>> interpolation({'AcquisitionMatrixPE': 96}), interpolation({'ReconMatrixPE': 'n/a'})
    (None, None)
    """
    measured, stored = (
        plain_number(metadata.get(key)) for key in ('AcquisitionMatrixPE', 'ReconMatrixPE')
    )
    # A rectangular field is no interpolation the other way round.
    return max(1.0, stored / measured) if measured and stored and measured > 0 else None


def find_preprocessed(
    visit: Visit,
    derivatives: Mapping[str, Path],
    inspect: Callable[..., Any],
    notes: list[str],
    refused: list[tuple[str, str]],
    *,
    fits: Callable[[Name], bool] = lambda name: True,
    convention: Convention = USUAL,
) -> Scan | None:
    """Look for a series that another tool has corrected, as QSIPrep does.

    Parameters
    ----------
    visit : Visit
        Participant and session.
    derivatives : mapping of str to Path
        Folders by name; an earlier one is preferred. Of several series in one folder that one is
        taken which :func:`choose_series` would take.
    inspect : callable
        ``inspect(path, series=True)`` returns facts, or raises InputError.
    notes, refused : list
        What there is to say is added.
    fits : callable, optional
        Tells whether a file is what a filter asks for.
    convention : Convention, optional
        How gradient tables are read.

    Returns
    -------
    Scan or None
        As :func:`as_scan` gives it, with ``corrected`` in its content.
    """
    found: list[tuple[str, Run]] = []
    for origin, folder in derivatives.items():
        root = Path(folder).absolute()
        for path in sorted((root / visit.folder / 'dwi').glob('*desc-preproc_dwi.nii*')):
            shown = path.relative_to(root).as_posix()
            try:
                name = parse(path)
                if not fits(name):
                    notes.append(
                        f'dwi: {origin}:{shown} is not used, because of --bids-filter-file.'
                    )
                    continue
                facts = inspect(path, series=True)
                table = read_table(root, path, facts.shape[3], convention=convention)
                found.append(
                    (
                        origin,
                        Run(
                            path=str(path),
                            uri=f'bids:{origin}:{shown}',
                            name=name,
                            facts=facts,
                            table=table,
                        ),
                    )
                )
            except InputError as error:
                refused.append((f'{origin}:{shown}', str(error)))
    if visit.session:
        for origin, folder in derivatives.items():
            loose = sorted(
                (Path(folder) / f'sub-{visit.subject}' / 'dwi').glob('*desc-preproc_dwi.nii*')
            )
            if loose and not any(of == origin for of, _ in found):
                notes.append(
                    f'dwi: {origin}:{loose[0].name} does not name a session and is not used.'
                )
    for origin in derivatives:
        # Each stands for itself: other tools have put together what belongs together.
        series = choose_alone(run for of, run in found if of == origin)
        if series is None:
            continue
        notes += series.notes
        if not series.runs:
            continue
        run = series.runs[0]
        notes.append(
            f'dwi: {run.uri.removeprefix("bids:")} is used as it is: motion, eddy currents '
            'and distortion are assumed to be corrected.'
        )
        if rest := [
            other.uri.removeprefix('bids:')
            for of, other in found
            if list(derivatives).index(of) > list(derivatives).index(origin)
        ]:
            notes.append(
                f'dwi: {", ".join(rest)} is not used, because {origin} comes first in '
                '--derivatives.'
            )
        return _scan(run, {'runs': [_table(run)], 'field': {'kind': 'none'}, 'corrected': True})
    return None


def choose_alone(runs: Iterable[Run]) -> Series | None:
    """Choose one run by the rule of :func:`choose_series`; none are put together."""
    runs = list(runs)
    series = [choose_series([run]) for run in runs]
    able = [found.runs[0] for found in series if found and found.runs]
    notes = [note for found in series if found and not found.runs for note in found.notes]
    if not able:
        return Series((), tuple(notes)) if notes else None
    best, *others = sorted(able, key=lambda run: _rank([run]))
    notes += [
        f'dwi: {best.file} is used instead of {other.file}: {_why([best], [other])}. {ASK}'
        for other in others
    ]
    return Series((best,), (*notes, *best.table.notes))


def names(runs: Iterable[Run]) -> str:
    """List the files of some runs."""
    return ', '.join(run.file for run in runs)


def _table(run: Run) -> dict[str, Any]:
    return {
        'path': run.path,
        'bvals': list(run.table.bvals),
        'volumes': list(run.table.volumes) if run.table.volumes is not None else None,
        'bvecs': [list(vector) for vector in run.table.bvecs],
        'extent_mm': _extent(run.facts),
    }


def _extent(facts: Any) -> list[float]:
    """Return the extent of an image (mm) to the right, to the front and up."""
    lengths = [float(count * edge) for count, edge in zip(facts.shape, facts.zooms, strict=False)]
    places = [int(place) for place, _ in axes_of(facts.affine)]
    return [round(lengths[places.index(axis)], 1) for axis in range(3)]


def _scan(first: Run, content: dict[str, Any], without=frozenset()) -> Scan:
    entities = _without(first.name.entities, set(without))
    return Scan(
        name='dwi',
        path=first.path,
        uri=first.uri,
        content=content,
        digest=_digest(content),
        entities={key: entities[key] for key in INHERITED if key in entities},
        metadata=first.metadata,
    )


def _digest(content: Mapping[str, Any]) -> str:
    """Cover all that a content says, with the bytes of files in place of their paths."""

    def known(value: Any, key: str = '') -> Any:
        if isinstance(value, Mapping):
            return {name: known(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [known(item, key) for item in value]
        return file_digest(Path(value)) if key in FILES else value

    text = json.dumps(known(content), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _one_measurement(first: Run, other: Run) -> bool:
    # Without a direction of encoding nothing may be assumed of two polarities.
    free = {'dir', 'run'} if first.direction and other.direction else {'run'}
    if _without(first.name.entities, free) != _without(other.name.entities, free):
        return False
    if not same_grid(first.facts, other.facts, SAME_GRID_MM):
        return False
    if (first.direction is None) != (other.direction is None):
        return False
    if first.encoding and other.encoding and first.encoding.axis != other.encoding.axis:
        return False
    one, two = first.echo_time, other.echo_time
    return one is None or two is None or abs(one - two) <= SAME_TE * max(one, two)


def _without(entities: Mapping[str, str], keys: set[str]) -> dict[str, str]:
    return {key: value for key, value in entities.items() if key not in keys}


def _rank(group: list[Run]) -> tuple:
    low, high = TENSOR_SHELL
    found = shells(value for run in group for value in run.table.bvals)
    good = any(low <= shell <= high for shell in found)
    return not good, -sum(run.directions for run in group), group[0].path


def _why(best: list[Run], other: list[Run]) -> str:
    one, two = _rank(best), _rank(other)
    if one[0] != two[0]:
        return 'it has a shell that suits the tensor'
    if one[1] != two[1]:
        return f'{-one[1]} directions, not {-two[1]}'
    return 'it comes first by name'


def _grid(run: Run) -> str:
    return ' x '.join(f'{zoom:.3g}' for zoom in run.facts.zooms[:3]) + ' mm'
