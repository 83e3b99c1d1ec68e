"""The diffusion series of a visit: which runs belong together, and what tells of the field."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from csvdprep.bids.files import file_digest
from csvdprep.bids.gradients import Table, read_table, shells
from csvdprep.bids.names import INHERITED, Name, parse
from csvdprep.core.errors import InputError
from csvdprep.core.plan import Scan, Visit

#: Fewest directions for a tensor.
LEAST_DIRECTIONS = 6
#: Shells (s/mm²) from which a tensor is best fitted.
TENSOR_SHELL = (650.0, 1500.0)
#: Largest relative difference between echo times of runs that are taken together.
SAME_TE = 0.02
#: Largest difference (mm) between the affines of runs that are taken together.
SAME_GRID = 0.05
#: Keys of a content whose values are paths of files.
FILES = frozenset({'path', 'phase', 'magnitude', 'map'})
#: Ends of names of what maps the field.
FIELD_SUFFIXES = ('epi', 'phasediff', 'phase1', 'phase2', 'magnitude1', 'magnitude2', 'magnitude',
                  'fieldmap')  # fmt: skip


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
    """

    path: str
    uri: str
    name: Name
    facts: Any
    metadata: Mapping[str, Any] = field(default_factory=dict)
    table: Table | None = None

    @property
    def encoding(self) -> str | None:
        """``PhaseEncodingDirection``, if it is one."""
        return _direction(self.metadata.get('PhaseEncodingDirection'))

    @property
    def axis(self) -> str | None:
        """Array axis along which phase is encoded, which may be known without its polarity."""
        value = self.encoding or _direction(self.metadata.get('PhaseEncodingAxis'))
        return value[0] if value else None

    @property
    def readout(self) -> float | None:
        """Total readout time, s."""
        value = _number(self.metadata.get('TotalReadoutTime'))
        if value is None and self.encoding:
            spacing = _number(self.metadata.get('EffectiveEchoSpacing'))
            lines = self.facts.shape['ijk'.index(self.encoding[0])]
            value = None if spacing is None else spacing * (lines - 1)
        return value if value and 0 < value < 1 else None

    @property
    def directions(self) -> int:
        """Number of different directions."""
        seen = {
            max(tuple(round(sign * part, 2) for part in vector) for sign in (1, -1))
            for vector in self.table.bvecs if any(vector)
        }  # fmt: skip
        return len(seen)


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
            notes.append(f'{_names(group)}: {most} direction{"" if most == 1 else "s"}, of which '
                         f'a tensor needs {LEAST_DIRECTIONS}; only b = 0 is of use.')  # fmt: skip
        elif not any(value == 0 for run in group for value in run.table.bvals):
            notes.append(f'{_names(group)}: there is no volume with b = 0 (below 50 s/mm²), '
                         'without which nothing can be measured; it is left out.')  # fmt: skip
        else:
            able.append(group)
    if not able:
        return Series((), tuple(notes)) if notes else None
    able.sort(key=_rank)
    best, *others = able
    if len(best) > 1:
        notes.append(f'dwi: {_names(best)} are put together ({_grid(best[0])}).')
    for other in others:
        notes.append(f'dwi: {_names(best)} is taken before {_names(other)}: {_why(best, other)}. '
                     'Ask for another by --bids-filter-file.')  # fmt: skip
    notes += [note for run in best for note in run.table.notes]
    return Series(tuple(best), tuple(notes))


def describe_field(
    series: Series, maps: Iterable[Run], others: Iterable[Run],
) -> tuple[dict[str, Any], list[str]]:  # fmt: skip
    """Find what tells how the field distorts a series.

    Parameters
    ----------
    series : Series
        What is distorted.
    maps : iterable of Run
        Images of the folder ``fmap``.
    others : iterable of Run
        Other runs of the diffusion folder on the same kind of grid: their b = 0 may be of the
        opposite polarity.

    Returns
    -------
    source : dict
        ``kind``: 'pepolar' (opposite polarity, with ``partners``), 'phasediff' (``phase``,
        ``magnitude``, ``echo_times``), 'phases' (two phase images), 'fieldmap' (Hz, rad/s or T),
        or 'none'.
    notes : list of str
        What was found and what is missing.
    """
    first = series.runs[0]
    notes: list[str] = []
    if first.encoding is None:
        notes.append(f'{_names([first])}: PhaseEncodingDirection is not given, so that the '
                     'distortion by the field cannot be corrected.')  # fmt: skip
        return {'kind': 'none'}, notes
    linked, free = [], []
    for image in maps:
        meant = _meant_for(image, series)
        if meant is not False:
            (linked if meant else free).append(image)
    for found in (linked, free):
        partners = [run for run in found if run.name.suffix == 'epi' and _opposes(run, first)]
        if partners:
            return _pepolar(partners, notes), notes
    if len({run.encoding for run in series.runs}) > 1:
        return {'kind': 'pepolar', 'partners': []}, notes
    partners = [run for run in others if _opposes(run, first)
                and run.facts.shape[:3] == first.facts.shape[:3]
                and _links(run) == _links(first)]  # fmt: skip
    if partners:
        return _pepolar(partners, notes), notes
    for found in (linked, free):
        if source := _gradient_echo(found, notes):
            if first.readout is None:
                notes.append(f'{_names([first])}: TotalReadoutTime is not given, without which '
                             'the field map cannot be used.')  # fmt: skip
                return {'kind': 'none'}, notes
            return source, notes
    return {'kind': 'none'}, notes


def as_scan(series: Series, source: Mapping[str, Any]) -> Scan:
    """Describe a series and its field as what a visit offers under the name ``dwi``.

    Parameters
    ----------
    series : Series
        Runs.
    source : mapping
        As :func:`describe_field` gives it.

    Returns
    -------
    Scan
        ``content`` holds ``runs`` (path, bvals, bvecs, encoding, readout, ...) and ``field``;
        the digest covers all files behind it and what was read of their sidecars.
    """
    runs = [{
        'path': run.path, 'bvals': list(run.table.bvals),
        'bvecs': [list(vector) for vector in run.table.bvecs],
        'encoding': run.encoding, 'axis': run.axis, 'readout': run.readout,
        'slices': _direction(run.metadata.get('SliceEncodingDirection')) or 'k',
        'partial_fourier': _number(run.metadata.get('PartialFourier')),
    } for run in series.runs]  # fmt: skip
    several = {'run'} if len(runs) > 1 else set()
    return _scan(series.runs[0], {'runs': runs, 'field': dict(source)}, without=several)


def find_preprocessed(
    visit: Visit, derivatives: Mapping[str, Path], inspect: Callable[..., Any], notes: list[str],
    refused: list[tuple[str, str]],
) -> Scan | None:  # fmt: skip
    """Look for a series that another tool has corrected, as QSIPrep does.

    Parameters
    ----------
    visit : Visit
        Participant and session.
    derivatives : mapping of str to Path
        Folders by name; an earlier one is preferred.
    inspect : callable
        ``inspect(path, series=True)`` returns facts, or raises InputError.
    notes, refused : list
        What there is to say is added.

    Returns
    -------
    Scan or None
        As :func:`as_scan` gives it, with ``corrected`` in its content.
    """
    for origin, folder in derivatives.items():
        root = Path(folder).absolute()
        for path in sorted((root / visit.folder / 'dwi').glob('*desc-preproc_dwi.nii*')):
            shown = path.relative_to(root).as_posix()
            try:
                facts = inspect(path, series=True)
                run = Run(path=str(path), uri=f'bids:{origin}:{shown}', name=parse(path),
                          facts=facts, table=read_table(root, path, facts.shape[3]))
                series = choose_series([run])
            except InputError as error:
                refused.append((f'{origin}:{shown}', str(error)))
                continue
            notes += series.notes if series else ()
            if series and series.runs:
                notes.append(f'dwi: {origin}:{shown} is used as it is: motion, eddy currents and '
                             'distortion count as corrected.')  # fmt: skip
                content = {'runs': [{'path': run.path, 'bvals': list(run.table.bvals),
                                     'bvecs': [list(v) for v in run.table.bvecs]}],
                           'field': {'kind': 'none'}, 'corrected': True}  # fmt: skip
                return _scan(run, content)
    return None


def _scan(first: Run, content: dict[str, Any], without=frozenset()) -> Scan:
    entities = _without(first.name.entities, set(without))
    return Scan(
        name='dwi', path=first.path, uri=first.uri, content=content, digest=_digest(content),
        entities={key: entities[key] for key in INHERITED if key in entities},
        metadata=first.metadata,
    )  # fmt: skip


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
    free = {'dir', 'run'} if first.encoding and other.encoding else {'run'}
    if _without(first.name.entities, free) != _without(other.name.entities, free):
        return False
    if first.facts.shape[:3] != other.facts.shape[:3] or _apart(first, other) > SAME_GRID:
        return False
    if (first.encoding is None) != (other.encoding is None):
        return False
    if first.encoding and first.encoding[0] != other.encoding[0]:
        return False
    one, two = (_number(run.metadata.get('EchoTime')) for run in (first, other))
    return one is None or two is None or abs(one - two) <= SAME_TE * max(one, two)


def _without(entities: Mapping[str, str], keys: set[str]) -> dict[str, str]:
    return {key: value for key, value in entities.items() if key not in keys}


def _apart(first: Run, other: Run) -> float:
    return max(abs(a - b) for row, line in zip(first.facts.affine, other.facts.affine, strict=True)
               for a, b in zip(row, line, strict=True))  # fmt: skip


def _rank(group: list[Run]) -> tuple:
    low, high = TENSOR_SHELL
    found = shells(value for run in group for value in run.table.bvals)
    good = any(low <= shell <= high for shell in found)
    return not good, -sum(run.directions for run in group), group[0].path


def _why(best: list[Run], other: list[Run]) -> str:
    one, two = _rank(best), _rank(other)
    if one[0] != two[0]:
        return 'it has a shell for the tensor'
    if one[1] != two[1]:
        return f'{-one[1]} directions, not {-two[1]}'
    return 'first by name'


def _opposes(run: Run, first: Run) -> bool:
    """Tell whether a run has the other polarity along the same axis."""
    return bool(run.encoding and run.encoding != first.encoding
                and run.encoding[0] == first.encoding[0])  # fmt: skip


def _meant_for(image: Run, series: Series) -> bool | None:
    """Tell whether a field map is meant for a series; None if its sidecar does not say."""
    if targets := _list(image.metadata.get('IntendedFor')):
        ends = tuple(Path(run.path).name for run in series.runs)
        return any(target.endswith(ends) for target in targets)
    names = _list(image.metadata.get('B0FieldIdentifier'))
    if names:
        wanted = {name for run in series.runs for name in _list(run.metadata.get('B0FieldSource'))}
        return bool(wanted & set(names)) if wanted else None
    return None


def _links(run: Run) -> dict[str, str]:
    return _without(run.name.entities, {'dir', 'run'})


def _list(value: Any) -> list[str]:
    """Read what may be a text or a list of them; anything else counts as nothing."""
    if isinstance(value, str):
        return [value]
    return [str(item) for item in value] if isinstance(value, list) else []


def _pepolar(partners: list[Run], notes: list[str]) -> dict[str, Any]:
    notes.append(f'dwi: the field is estimated with {_names(partners)} of opposite polarity.')
    return {'kind': 'pepolar', 'partners': [
        {'path': run.path, 'encoding': run.encoding, 'readout': run.readout,
         'bvals': list(run.table.bvals) if run.table else None}
        for run in partners
    ]}  # fmt: skip


def _gradient_echo(found: list[Run], notes: list[str]) -> dict[str, Any] | None:
    """Describe a field map of gradient echoes."""
    by = {run.name.suffix: run for run in found}
    magnitude = by.get('magnitude1') or by.get('magnitude')
    if 'phasediff' in by:
        times = [_number(by['phasediff'].metadata.get(f'EchoTime{n}')) for n in (1, 2)]
        if None in times or times[0] == times[1] or magnitude is None:
            notes.append(f'{_names([by["phasediff"]])} cannot be used: EchoTime1, EchoTime2 or '
                         'the magnitude image is missing.')  # fmt: skip
            return None
        kind, phases = 'phasediff', [by['phasediff']]
    elif {'phase1', 'phase2'} <= by.keys():
        phases = [by['phase1'], by['phase2']]
        times = [_number(run.metadata.get('EchoTime')) for run in phases]
        if None in times or times[0] == times[1] or magnitude is None:
            notes.append(f'{_names(phases)} cannot be used: EchoTime or the magnitude is missing.')
            return None
        kind = 'phases'
    elif 'fieldmap' in by:
        units = str(by['fieldmap'].metadata.get('Units', ''))
        if units not in ('Hz', 'rad/s', 'T') or magnitude is None:
            notes.append(f'{_names([by["fieldmap"]])} cannot be used: Units have to be Hz, rad/s '
                         'or T, and a magnitude image has to be there.')  # fmt: skip
            return None
        return {'kind': 'fieldmap', 'map': by['fieldmap'].path, 'units': units,
                'magnitude': magnitude.path}  # fmt: skip
    else:
        return None
    notes.append(f'dwi: the field is taken from {_names(phases)}.')
    return {'kind': kind, 'phase': [run.path for run in phases], 'echo_times': times,
            'magnitude': magnitude.path}  # fmt: skip


def _direction(value: Any) -> str | None:
    """Return an axis of the array with its sign, if a value is one."""
    return value if value in ('i', 'i-', 'j', 'j-', 'k', 'k-') else None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:  # a whole number in JSON may have thousands of digits
        return None
    return number if math.isfinite(number) else None


def _names(runs: Iterable[Run]) -> str:
    return ', '.join(Path(run.path).name for run in runs)


def _grid(run: Run) -> str:
    return ' x '.join(f'{zoom:.3g}' for zoom in run.facts.zooms[:3]) + ' mm'
