"""What tells how the field distorts a diffusion series, and why the rest of it is not used."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from csvdprep.bids.diffusion import Run, Series, names
from csvdprep.bids.metadata import Facts
from csvdprep.core.grids import same_grid

#: Ends of names of what maps the field.
FIELD_SUFFIXES = (
    'epi',
    'phasediff',
    'phase1',
    'phase2',
    'magnitude1',
    'magnitude2',
    'magnitude',
    'fieldmap',
)
#: Most volumes of an image without gradient table that is taken to have no gradient.
MOST_BARE = 10


@dataclass
class _Maps:
    """Images of the field that are left, and what was said of those that are not."""

    linked: list[Run] = field(default_factory=list)
    free: list[Run] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def drop(self, runs: Iterable[Run], why: str) -> None:
        """Say why images are not used."""
        if runs := list(runs):
            are = 'is' if len(runs) == 1 else 'are'
            self.notes.append(f'dwi: {names(runs)} {are} not used to estimate the field: {why}.')

    @property
    def groups(self) -> tuple[list[Run], list[Run]]:
        """Images that are meant for the series, then with those that do not say."""
        return self.linked, [*self.linked, *self.free]


def describe_field(
    series: Series, maps: Iterable[Run], others: Iterable[Run], known: Collection[str] = ()
) -> tuple[dict[str, Any], list[str]]:
    """Find what tells how the field distorts a series.

    Which image is meant for a series follows from ``B0FieldIdentifier`` and ``B0FieldSource``;
    only where these say nothing, from ``IntendedFor``, whose file names are compared without
    their extensions, and which does not count where all that it names are diffusion series that
    do not exist.

    Parameters
    ----------
    series : Series
        What is distorted.
    maps : iterable of Run
        Images of the folder ``fmap``.
    others : iterable of Run
        Other runs of the diffusion folder: their b = 0 may be of the opposite polarity.
    known : collection of str, optional
        Names of the participant's files, without extensions.

    Returns
    -------
    source : dict
        ``kind``: 'pepolar' (opposite polarity, with ``partners``), 'phasediff' (``phase``,
        ``magnitude``, ``echo_times``), 'phases' (two phase images), 'fieldmap' (Hz, rad/s or T),
        or 'none'. ``assumed`` names the field that tells the polarity, if it is not
        ``PhaseEncodingDirection``.
    notes : list of str
        What was found, what is missing, and why each other image is not used.
    """
    first = series.runs[0]
    maps, others = list(maps), list(others)
    left = _Maps(notes=[note for run in (*maps, *others) for note in run.notes])
    if first.direction is None:
        what, remedy = _unknown(first)
        left.notes.append(
            f'{first.file}: {what}, so susceptibility distortion cannot be corrected from '
            f'images. Remedy: {remedy}'
        )
        left.drop(maps, f'{first.file}: {what}')
        return {'kind': 'none'}, left.notes
    _sort(series, maps, known, left)
    source = _polarities(series, others, left) or _gradient_echo(first, left) or {'kind': 'none'}
    if origin := source.get('assumed'):
        left.notes.append(
            'dwi: PhaseEncodingDirection does not give the polarity. It is taken from '
            f'{origin} and used if the images agree with it.'
        )
    return source, left.notes


def _unknown(first: Run) -> tuple[str, str]:
    """Say what of the phase encoding is not known, and what helps."""
    if first.encoding:
        what = (
            'only the axis of phase encoding is given, not PhaseEncodingDirection, so the '
            'polarity is unknown'
        )
        return what, (
            'add PhaseEncodingDirection, or put the polarity in the file name (dir-AP, dir-PA).'
        )
    if first.unread:
        return (
            'the direction of phase encoding is unknown, because a sidecar cannot be read '
            '(see above)'
        ), 'correct the sidecar.'
    given = first.metadata.get('PhaseEncodingDirection')
    what = 'is not given' if given in (None, '', 'n/a') else 'cannot be used'
    return f'PhaseEncodingDirection {what}', 'add it to the sidecar.'


def _sort(series: Series, maps: list[Run], known: Collection[str], left: _Maps) -> None:
    """Tell which images are meant for the series, for another, or do not say."""
    # A series that only bears the name of a field is corrected by it, too.
    wanted = _words(series.runs, 'B0FieldSource') or _words(series.runs, 'B0FieldIdentifier')
    ends = {_stem(run.path) for run in series.runs}
    for image in maps:
        told = Facts(image.metadata)
        marks = set(told.texts('B0FieldIdentifier'))
        targets = {_stem(target) for target in told.texts('IntendedFor')}
        if marks and wanted:
            if marks & wanted:
                left.linked.append(image)
            else:
                left.drop(
                    [image],
                    f'its B0FieldIdentifier ({_listed(marks)}) is not the '
                    f'B0FieldSource of the series ({_listed(wanted)})',
                )
        elif targets & ends:
            left.linked.append(image)
        elif targets and not _stale(targets, known):
            left.drop([image], f'its IntendedFor names other images ({_listed(targets)})')
        else:
            if targets:
                left.notes.append(
                    f'{image.file}: IntendedFor names a series that the dataset does not '
                    f'have ({_listed(targets)}); the field is ignored.'
                )
            left.free.append(image)


def _words(runs: Iterable[Run], field: str) -> set[str]:
    return {word for run in runs for word in Facts(run.metadata).texts(field)}


def _stale(targets: Collection[str], known: Collection[str]) -> bool:
    """Tell whether the files that an image is meant for are series that were renamed or moved."""
    return not set(targets) & set(known) and any(name.endswith('_dwi') for name in targets)


def _polarities(series: Series, others: list[Run], left: _Maps) -> dict[str, Any] | None:
    """Find an image of the opposite polarity: of the folder fmap, of the series, or beside it."""
    first = series.runs[0]
    taken = None
    for group in left.groups:
        able = [
            run
            for run in group
            if run.name.suffix == 'epi' and run.opposes(first) and run.plain != ()
        ]
        if able and taken is None:
            taken, *rest = sorted(able, key=lambda run: _rank(run, first))
            left.drop(rest, f'{taken.file} is used instead')
    within = any(run.opposes(first) for run in series.runs)
    beside = [
        run for run in others if run.opposes(first) and _akin(run, first) and run.plain != ()
    ]
    if taken is None and not within and beside:
        taken, *rest = sorted(beside, key=lambda run: _rank(run, first))
        left.drop(rest, f'{taken.file} is used instead')
    for run in left.groups[1]:
        if (
            run is not taken
            and run.name.suffix == 'epi'
            and not (run.opposes(first) and run.plain != ())
        ):
            left.drop([run], _why_not(run, first))
    for run in others:
        if run is not taken and run not in beside and (run.table is None or run.opposes(first)):
            left.drop([run], _why_not(run, first))
    if taken is None and not within:
        return None
    maps = [run for run in left.groups[1] if run.name.suffix != 'epi']
    partners = [taken] if taken else []
    if taken:
        some = ''
        if taken.plain is not None and len(taken.plain) < taken.facts.shape[3]:
            count = f'{len(taken.plain)} of {taken.facts.shape[3]} volumes'
            some = f' (the {count} with b = 0)'
        left.notes.append(
            f'dwi: the field is estimated with {names([taken])}{some} of opposite polarity.'
        )
        if taken.table is None and taken.volumes is None and taken.name.suffix == 'dwi':
            left.notes.append(
                f'{taken.file} has no .bval and .bvec, so all its volumes are assumed to '
                'have b = 0.'
            )
        if within:
            left.notes.append(
                f'dwi: {names([taken])} is used instead of the runs of the series with '
                'opposite polarity.'
            )
    left.drop(maps, 'images of opposite polarity are used instead of a field map')
    return {
        'kind': 'pepolar',
        **_assumed((*series.runs, *partners)),
        'partners': [
            {
                'path': run.path,
                'encoding': run.direction,
                'readout': run.readout,
                'volumes': list(run.plain) if run.plain is not None else None,
            }
            for run in partners
        ],
    }


def _gradient_echo(first: Run, left: _Maps) -> dict[str, Any] | None:
    """Describe a field map of gradient echoes."""
    found = _one_map(left)
    if found is None:
        return None
    source, used = found
    if first.readout is None:
        left.drop(
            used,
            f'the TotalReadoutTime of {first.file} is unknown and cannot be estimated from '
            'other fields',
        )
        return None
    rest = [run for run in left.groups[1] if run not in used and run.name.suffix != 'epi']
    left.drop(
        [run for run in rest if not run.name.suffix.startswith('magnitude')],
        f'{names(used[:1])} is used instead',
    )
    left.notes.append(f'dwi: the field is taken from {names(used)}.')
    return {**source, **_assumed([first])}


def _one_map(left: _Maps) -> tuple[dict[str, Any], list[Run]] | None:
    """Choose one acquisition of a field map: linked ones first, then the first by name."""
    groups: dict[tuple, dict[str, Run]] = {}
    for number, runs in enumerate((left.linked, left.free)):
        for run in sorted(runs, key=lambda run: run.path):
            if run.name.suffix != 'epi':
                key = tuple(sorted((k, v) for k, v in run.name.entities.items() if k != 'echo'))
                groups.setdefault(key, {}).setdefault(run.name.suffix, run)
                groups[key].setdefault('', number)
    magnitudes = [
        group[name] for group in groups.values() for name in _MAGNITUDES if name in group
    ]
    for group in sorted(groups.values(), key=lambda group: group.pop('')):
        if found := _of_group(group, magnitudes, left):
            return found
    return None


_MAGNITUDES = ('magnitude1', 'magnitude')


def _of_group(by: dict[str, Run], magnitudes: list[Run], left: _Maps):
    """Describe the field map of one acquisition, or say what it lacks."""
    own = next((by[name] for name in _MAGNITUDES if name in by), None)
    if 'phasediff' in by:
        phases = [by['phasediff']]
        told = Facts(phases[0].metadata)
        times = [told.number(f'EchoTime{n}') for n in (1, 2)]
        left.notes += [f'{phases[0].file}: {note}' for note in told.notes]
        kind, lacks = 'phasediff', 'EchoTime1 or EchoTime2'
    elif {'phase1', 'phase2'} <= by.keys():
        phases = [by['phase1'], by['phase2']]
        times = [run.echo_time for run in phases]
        kind, lacks = 'phases', 'EchoTime'
    elif 'fieldmap' in by:
        phases = [by['fieldmap']]
        told = Facts(phases[0].metadata)
        units = told.field_units()
        left.notes += [f'{phases[0].file}: {note}' for note in told.notes]
        kind, times = 'fieldmap', [0.0, 1.0]
        if units is None:
            left.drop(phases, 'its Units must be Hz, rad/s or T')
            return None
    else:
        return None
    if None in times or times[0] == times[1]:
        left.drop(phases, f'{lacks} cannot be used')
        return None
    grid = phases[0].facts
    if not all(same_grid(run.facts, grid) for run in phases):
        left.drop(phases, 'the images are on different grids')
        return None
    fitting = [run for run in ([own] if own else magnitudes) if same_grid(run.facts, grid)]
    if not fitting:
        left.drop(
            phases,
            f'{own.file} is on another grid' if own else 'there is no magnitude image with it',
        )
        return None
    if own is None:
        left.notes.append(
            f'dwi: {names(fitting[:1])} is used as the magnitude of {names(phases)}, which '
            'have no magnitude image of their own.'
        )
    source: dict[str, Any] = {'kind': kind, 'magnitude': fitting[0].path}
    if kind == 'fieldmap':
        source |= {'map': phases[0].path, 'units': units}
    else:
        source |= {'phase': [run.path for run in phases], 'echo_times': times}
    return source, [*phases, fitting[0]]


def _why_not(run: Run, first: Run) -> str:
    """Say why an image cannot be the partner of opposite polarity."""
    if run.plain == ():
        return 'it has no volume with b = 0'
    if run.encoding is None:
        return 'its direction of phase encoding is unknown'
    if run.direction is None:
        return 'its polarity of phase encoding is unknown'
    if run.encoding.axis != first.encoding.axis:
        return 'its phase encoding is along another axis'
    if not run.opposes(first):
        return 'it has the same polarity'
    if not _same_extent(run, first):
        return 'it has another geometry'
    apart = sorted(_links(run).items() ^ _links(first).items())
    return f'its name belongs to another acquisition ({", ".join(map("-".join, apart))})'


def _akin(run: Run, first: Run) -> bool:
    """Tell whether a run of the diffusion folder belongs to the series.

    By its name and extent; without any gradient, on the same grid, by those alone.
    """
    plain = run.table is None or not any(run.table.bvals)
    alone = plain and same_grid(run.facts, first.facts)
    return _same_extent(run, first) and (alone or _links(run) == _links(first))


def _same_extent(run: Run, first: Run) -> bool:
    return sorted(run.facts.shape[:3]) == sorted(first.facts.shape[:3])


def _links(run: Run) -> dict[str, str]:
    return {key: value for key, value in run.name.entities.items() if key not in ('dir', 'run')}


def _rank(run: Run, first: Run) -> tuple:
    """Sort first what resembles the series most."""
    alike = (
        run.readout is not None
        and first.readout is not None
        and (abs(run.readout - first.readout) <= 0.02 * first.readout)
    )
    return not same_grid(run.facts, first.facts), not alike, run.path


def _assumed(runs: Iterable[Run]) -> dict[str, str]:
    origins = dict.fromkeys(run.encoding.origin for run in runs if run.encoding.origin)
    return {'assumed': ' and '.join(origins)} if origins else {}


def _stem(path: str) -> str:
    return re.sub(r'\.nii(\.gz)?$', '', PurePosixPath(path.replace('\\', '/')).name)


def _listed(words: Iterable[str]) -> str:
    found = sorted(words)
    return ', '.join(found[:3]) + (f' and {len(found) - 3} more' if len(found) > 3 else '')
