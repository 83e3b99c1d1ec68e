"""What T1 before the contrast agent comes from: the images for it, and how they were acquired.

Of the sources that a visit has, the one is taken that says most of T1 and of the flip angle:
images of several flip angles with one after an inversion (HIFI); flip angles with a map of B1;
MP2RAGE; several inversions; flip angles alone; a map of T1. What is missing of a better one is
told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from csvdprep.bids.contrast import Reading, read_flip, read_flip_image
from csvdprep.bids.metadata import plain_number
from csvdprep.bids.offer import Candidate, Dataset, Report
from csvdprep.core.declared import Input
from csvdprep.core.errors import InputError
from csvdprep.core.plan import Visit

#: How sources are called.
TITLES = {
    'hifi': '{flips} flip angles and {trains} inversions (HIFI)',
    'vfa': '{flips} flip angles',
    'mp2rage': 'MP2RAGE',
    'trains': '{trains} inversions',
    'recovery': '{recovery} inversions',
    't1map': 'the T1map',
}
#: Inversion times that are plausible, s.
TIMES_S = (0.01, 10.0)
#: Times from inversion to inversion that are plausible, s.
CYCLE_S = (0.3, 20.0)
#: Excitations after an inversion that are plausible.
SHOTS = (1.0, 2000.0)
#: Fewest inversion times without trains that are known.
LEAST_TIMES = 4


@dataclass
class Sources:
    """Images for T1, by what can be made of them.

    Attributes
    ----------
    vfa : list of dict
        ``path``, ``flip_deg``, ``tr_s``.
    trains : list of dict
        ``path``, ``train`` (inversion_s, flip_deg, tr_s, before, after), ``cycle_s``.
    recovery : list of dict
        ``path``, ``inversion_s``: of trains that are not known.
    mp2rage : dict or None
        ``uniform`` (path or None), ``magnitudes``, ``phases`` (two paths, or none), ``trains``,
        ``cycle_s``.
    t1map : str or None
    notes : list of str
        What is not used, and why.
    """

    vfa: list[dict[str, Any]] = field(default_factory=list)
    trains: list[dict[str, Any]] = field(default_factory=list)
    recovery: list[dict[str, Any]] = field(default_factory=list)
    mp2rage: dict[str, Any] | None = None
    t1map: str | None = None
    notes: list[str] = field(default_factory=list)

    def choose(self, has_b1: bool) -> str:
        """Return the name of the source that is taken; '' if there is none.

        Examples
        --------
        >>> Sources(vfa=[{}, {}], t1map='a').choose(False), Sources().choose(True)
        ('vfa', '')
        """
        order = (
            ('hifi', bool(self.vfa and self.trains)),
            ('vfa', bool(self.vfa) and has_b1),
            ('mp2rage', self.mp2rage is not None),
            ('trains', len(self.trains) >= 2),
            ('recovery', len(self.recovery) >= LEAST_TIMES),
            ('vfa', bool(self.vfa)),
            ('t1map', self.t1map is not None),
        )
        return next((name for name, there in order if there), '')

    def content(self, chosen: str) -> dict[str, Any]:
        """Return what the chosen source needs, as plain data.

        Beside MP2RAGE, whose values are seen only later, there is what replaces it.

        Examples
        --------
        >>> both = Sources(vfa=[{}, {}], mp2rage={'uniform': 'a'}).content('mp2rage')
        >>> both['t1'], len(both['vfa'])
        ('mp2rage', 2)
        """
        kept = {
            'vfa': self.vfa if chosen in ('vfa', 'hifi', 'mp2rage') else [],
            'trains': self.trains if chosen in ('trains', 'hifi') else [],
            'recovery': self.recovery if chosen == 'recovery' else [],
            'mp2rage': self.mp2rage if chosen == 'mp2rage' else None,
            't1map': self.t1map if chosen in ('t1map', 'mp2rage') else None,
        }
        return {'t1': chosen, **kept}

    def others(self, chosen: str) -> list[str]:
        """Name what is there beside the chosen source."""
        counts = {
            'flips': len(self.vfa),
            'trains': len(self.trains),
            'recovery': len(self.recovery),
        }
        unused = [
            name
            for name, there in (
                ('vfa', self.vfa and chosen not in ('vfa', 'hifi')),
                ('mp2rage', self.mp2rage and chosen != 'mp2rage'),
                ('trains', len(self.trains) > 1 and chosen not in ('trains', 'hifi')),
                ('recovery', len(self.recovery) >= LEAST_TIMES and chosen != 'recovery'),
                ('t1map', self.t1map and chosen != 't1map'),
            )
            if there
        ]
        names = [TITLES[name].format(**counts) for name in unused]
        if self.t1map and chosen != 't1map':
            names[-1] = Path(self.t1map).name
        return [TITLES[chosen].format(**counts), *names] if chosen else []


def images_of(content: Mapping[str, Any]) -> list[Path]:
    """Return the files of a source, as :meth:`Sources.content` lists them."""
    paths = [item['path'] for name in ('vfa', 'trains', 'recovery') for item in content[name]]
    if content['mp2rage']:
        two = content['mp2rage']
        paths += [two['uniform'], *two['magnitudes'], *two['phases']]
    paths.append(content['t1map'])
    return [Path(path) for path in paths if path]


def after_contrast(item: Candidate) -> bool:
    """Tell whether a file says that it was acquired with contrast agent."""
    return item.name.entities.get('ce', 'none').lower() not in ('none', 'pre')


def find_sources(
    dataset: Dataset, visit: Visit, series: Candidate, report: Report, t1map: Path | None
) -> Sources:
    """Find all images for T1 of a visit.

    Parameters
    ----------
    dataset : Dataset
        Where from.
    visit : Visit
        Participant and session.
    series : Candidate
        The dynamic series that they belong to.
    report : Report
        Takes what there is to say.
    t1map : Path or None
        A map of T1 that was found.

    Returns
    -------
    Sources
    """
    found = Sources(t1map=str(t1map) if t1map else None)
    found.vfa = _find_flips(dataset, visit, series, report)
    _find_inversions(dataset, visit, series, report, found)
    found.mp2rage = _find_mp2rage(dataset, visit, report)
    return found


def _native(dataset, visit, suffixes, report, **more) -> Iterator[Candidate]:
    """Yield images of a suffix that were acquired without contrast agent."""
    place = Input(
        name=suffixes[0].lower(),
        title='',
        description='',
        datatype='anat',
        suffixes=suffixes,
        frame='dce',
    )
    for item in dataset.candidates(visit, place, report, **more):
        if after_contrast(item):
            report.notes.append(f'{item.shown} is not used: it was acquired with contrast agent.')
        else:
            yield item


def _set_of(item: Candidate, *own: str) -> tuple:
    """Return the entities that images of one set share."""
    return tuple(sorted((k, v) for k, v in item.name.entities.items() if k not in own))


def _rank(item: Candidate, count: int, series: Candidate):
    """Rank sets: the most images first, then those named like the series."""
    own, wanted = item.name.entities, series.name.entities
    shared = sum(own.get(k) == wanted.get(k) for k in ('acq', 'run', 'rec'))
    return (-count, -shared, item.rank)


def _find_flips(dataset, visit, series, report) -> list[dict[str, Any]]:
    """Find images of several flip angles: those that differ in nothing but the angle."""
    groups: dict[tuple, list] = {}
    for item in _native(dataset, visit, ('VFA',), report):
        read, notes = read_flip_image(dataset.metadata(item, report), item.shown)
        report.notes += notes
        if read is not None:
            key = (*_set_of(item, 'flip'), round(read[0], 6))
            groups.setdefault(key, []).append((item, read[1], read[0]))
    usable = []
    for group in groups.values():
        group.sort(key=lambda entry: entry[1])
        angles = {round(flip, 2) for _, flip, _ in group}
        if len(angles) >= 2:
            usable.append((_rank(group[0][0], len(angles), series), group))
            continue
        names = ', '.join(item.path.name for item, *_ in group)
        report.notes.append(
            f'{names}: one flip angle (TR {group[0][2] * 1000:.3g} ms) gives no T1; it is not '
            'used. Remedy: images of two angles or more, with one TR.'
        )
    if not usable:
        return []
    _, best = min(usable, key=lambda entry: entry[0])
    return [{'path': str(item.path), 'flip_deg': flip, 'tr_s': tr} for item, flip, tr in best]


def read_inversion_time(read: Reading) -> float:
    """Read the inversion time, s."""
    found = read.number(('InversionTime',), *TIMES_S, 's', (('ms', 1e-3),))
    if found is not None:
        return found
    raise read.refuse(
        'The inversion time is not known.',
        'InversionTime',
        'Write the time from the inversion to the middle of k-space, in seconds.',
    )


def read_train(read: Reading, inversion_s: float) -> dict[str, float]:
    """Read the train of excitations that follows an inversion.

    Parameters
    ----------
    read : Reading
        Sidecar.
    inversion_s : float
        Inversion time, s.

    Returns
    -------
    dict of str to float
        Fields of :class:`csvdprep.science.prepared_gradient.Readout`.

    Raises
    ------
    InputError
        Names the field that is missing, or that contradicts the inversion time.

    Examples
    --------
    >>> fields = {'RepetitionTimeExcitation': 0.0054, 'FlipAngle': 5, 'NumberShots': 160}
    >>> sorted(read_train(Reading(fields, 'a'), 0.6).items())[:2]
    [('after', 80.0), ('before', 80.0)]
    """
    tr = read.number(('RepetitionTimeExcitation',), 1e-3, 0.1, 's', (('ms', 1e-3), ('us', 1e-6)))
    if tr is None:
        raise read.refuse(
            'The time between excitations is not known.',
            'RepetitionTimeExcitation',
            'Write it in seconds (typically 0.003 to 0.01); RepetitionTime of an inversion '
            'recovery is that from inversion to inversion.',
        )
    before, after = _shots(read)
    if inversion_s - before * tr < -1e-6:
        raise read.refuse(
            f'{before:g} excitations of {tr * 1000:.4g} ms do not fit into the inversion time of '
            f'{inversion_s:.4g} s.',
            'NumberShots',
            'Write the number of excitations after an inversion: one number, or those before the '
            'middle of k-space and from it on. Correct InversionTime if that is wrong.',
        )
    flip = read_flip(read, least=1.0)
    return {
        'inversion_s': inversion_s,
        'flip_deg': flip,
        'tr_s': tr,
        'before': before,
        'after': after,
    }


def _shots(read: Reading) -> tuple[float, float]:
    """Read the number of excitations before the middle of k-space, and from it on."""
    value = read.given.get('NumberShots')
    listed = value if isinstance(value, list) else [value]
    numbers = [plain_number(item) for item in listed]
    if value is None or len(numbers) > 2 or any(n is None or n < 0 for n in numbers):
        missing = 'is missing' if value in (None, '', 'n/a') else f'is {str(value)[:40]}'
        raise read.refuse(
            f'NumberShots {missing}: how many excitations follow an inversion is not known.',
            'NumberShots',
            'Write one number (slices of the slab times partial Fourier), or two: those before '
            'the middle of k-space, and from it on.',
        )
    two = [float(n) for n in numbers if n is not None]
    if len(two) == 1:
        two = [two[0] / 2, two[0] / 2]
    if not SHOTS[0] <= sum(two) <= SHOTS[1]:
        raise read.refuse(
            f'NumberShots is {sum(two):g}, which is no plausible number of excitations.',
            'NumberShots',
            'Write the number of excitations that follow one inversion.',
        )
    return two[0], two[1]


def read_cycle(read: Reading) -> float | None:
    """Read the time from inversion to inversion, s; None without."""
    return read.number(
        ('RepetitionTimePreparation', 'RepetitionTime'), *CYCLE_S, 's', (('ms', 1e-3),)
    )


def _find_inversions(dataset, visit, series, report, found: Sources) -> None:
    """Find images after an inversion, with trains that are known and without."""
    trains: dict[tuple, list] = {}
    times: dict[tuple, list] = {}
    for item in _native(dataset, visit, ('IRT1',), report):
        read = Reading(dataset.metadata(item, report), item.shown)
        try:
            time = read_inversion_time(read)
        except InputError as error:
            report.refused.append((item.shown, told(error)))
            continue
        finally:
            report.notes += read.notes
        read.notes = []
        key = _set_of(item, 'inv', 'flip')
        times.setdefault(key, []).append((item, {'path': str(item.path), 'inversion_s': time}))
        try:
            train = read_train(read, time)
            cycle = _cycle_after(read, train)
        except InputError as error:
            found.notes.append(
                f'{item.shown}: its signal after an inversion cannot be computed, so that it does '
                f'not correct flip angles. {told(error)}'
            )
        else:
            one = {'path': str(item.path), 'train': train, 'cycle_s': cycle}
            trains.setdefault(key, []).append((item, one))
        report.notes += read.notes
    for groups, name in ((trains, 'trains'), (times, 'recovery')):
        sets = [(_rank(group[0][0], len(group), series), group) for group in groups.values()]
        if sets:
            _, best = min(sets, key=lambda entry: entry[0])
            setattr(found, name, [one for _, one in best])
    different = {round(one['inversion_s'], 4) for one in found.recovery}
    if len(different) < LEAST_TIMES:
        if found.recovery and not found.trains:
            found.notes.append(
                f'{len(different)} inversion times without a train that is known give no T1: '
                f'{LEAST_TIMES} are needed.'
            )
        found.recovery = []


def _cycle_after(read: Reading, train: Mapping[str, float]) -> float | None:
    """Read the cycle of one train, which has to hold it."""
    cycle = read_cycle(read)
    end = train['inversion_s'] + train['after'] * train['tr_s']
    if cycle is None:
        read.note(
            'RepetitionTimePreparation is missing; the next inversion is taken to follow the '
            f'last excitation at once ({end:.4g} s).'
        )
    elif cycle < end - 0.005:
        raise read.refuse(
            f'The train ends {end:.4g} s after the inversion, the next inversion follows after '
            f'{cycle:.4g} s.',
            'RepetitionTimePreparation',
            'Write the time from inversion to inversion in seconds; correct InversionTime or '
            'NumberShots if these are wrong.',
        )
    return max(cycle, end) if cycle is not None else None


def _find_mp2rage(dataset, visit, report) -> dict[str, Any] | None:
    """Put together the two inversions of MP2RAGE, and the uniform image."""
    sets: dict[tuple, dict[str, Candidate]] = {}
    for item in _native(dataset, visit, ('MP2RAGE',), report, parts=True, maps=True):
        inversion = item.name.entities.get('inv', '').lstrip('0')
        part = item.name.entities.get('part', 'mag')
        own = sets.setdefault(_set_of(item, 'inv', 'part'), {})
        own.setdefault(f'{inversion} {part}', item)
    uniform = {
        _set_of(item): item for item in _native(dataset, visit, ('UNIT1',), report, maps=True)
    }
    for key in sorted({*sets, *uniform}, key=lambda k: (k not in uniform, k)):
        own, image = sets.get(key, {}), uniform.get(key)
        try:
            return _mp2rage(dataset, own, image, report)
        except InputError as error:
            shown = image.shown if image else next(iter(own.values())).shown
            report.notes.append(f'{shown}: T1 is not taken from MP2RAGE. {told(error)}')
    return None


def _mp2rage(dataset, own: Mapping[str, Candidate], image, report) -> dict[str, Any]:
    """Read one MP2RAGE; raises :class:`InputError` by the name of what is missing."""
    shown = image.shown if image else next(iter(own.values())).shown
    magnitudes = [own.get(f'{n} mag') for n in (1, 2)]
    phases = [own.get(f'{n} phase') for n in (1, 2)]
    if image is None and not all((*magnitudes, *phases)):
        raise InputError(
            'Neither the uniform image (UNIT1) nor magnitude and phase of both inversions are '
            'there.',
            file=shown,
            field='part',
            remedy='Give UNIT1, or inv-1 and inv-2 with part-mag and part-phase.',
        )
    # The uniform image may carry both inversions itself, as lists.
    lists = dict(dataset.metadata(image, report)) if image else {}
    reads = []
    for number in (0, 1):
        source = magnitudes[number] or phases[number]
        fields = {name: _one_of(value, number, name) for name, value in lists.items()}
        if source is not None:
            fields |= dataset.metadata(source, report)
        reads.append(Reading(fields, source.shown if source else shown))
    trains = [read_train(read, read_inversion_time(read)) for read in reads]
    if trains[0]['inversion_s'] > trains[1]['inversion_s']:
        raise reads[1].refuse(
            'The second inversion time is shorter than the first.',
            'InversionTime',
            'Write that of inv-1 (the shorter) and of inv-2 in their own sidecars.',
        )
    cycle = read_cycle(reads[0])
    if cycle is None:
        raise reads[0].refuse(
            'The time from inversion to inversion is not known.',
            'RepetitionTimePreparation',
            'Write it in seconds (typically 4 to 8).',
        )
    _check_order(reads, trains, cycle)
    for read in reads:
        report.notes += read.notes
    return {
        'uniform': str(image.path) if image else None,
        'magnitudes': [str(item.path) for item in magnitudes if item],
        'phases': [str(item.path) for item in phases if item],
        'trains': trains,
        'cycle_s': cycle,
    }


def _check_order(reads, trains, cycle: float) -> None:
    ends = [train['inversion_s'] + train['after'] * train['tr_s'] for train in trains]
    starts = [train['inversion_s'] - train['before'] * train['tr_s'] for train in trains]
    if ends[1] > cycle + 0.005:
        raise reads[1].refuse(
            f'The second train ends {ends[1]:.4g} s after the inversion, the next inversion '
            f'follows after {cycle:.4g} s.',
            'RepetitionTimePreparation',
            'Write the time from inversion to inversion; correct NumberShots.',
        )
    if ends[0] > starts[1] + 0.005:
        raise reads[1].refuse(
            f'The first train ends {ends[0]:.4g} s after the inversion, the second begins after '
            f'{starts[1]:.4g} s.',
            'NumberShots',
            'Write the number of excitations of one train; correct InversionTime.',
        )


def _one_of(value: Any, number: int, name: str) -> Any:
    """Return what a list of two says of one inversion."""
    if name in ('InversionTime', 'FlipAngle') and isinstance(value, list) and len(value) == 2:
        return value[number]
    return value


def told(error: InputError) -> str:
    """Write a refusal whose file is told beside it."""
    where = f' [field: {error.field}]' if error.field else ''
    return f'{error.message}{where} Remedy: {error.remedy}'
