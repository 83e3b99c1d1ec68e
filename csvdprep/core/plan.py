"""Decide, before any graph exists, which rooms run for a visit and why others do not."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from graphlib import TopologicalSorter
from typing import Any, NamedTuple

from csvdprep.core.declared import Declared
from csvdprep.core.options import read_options
from csvdprep.core.room import Context, Decision, Figure, NoPlace, Room


@dataclass(frozen=True, order=True)
class Visit:
    """The unit of work: one participant at one session or with all sessions, or the dataset.

    Parameters
    ----------
    subject : str
        Label of the participant; empty where the dataset is meant.
    session : str, optional
        Label of the session.
    level : {'visit', 'participant', 'dataset'}
        Whether all visits of the participant are meant, or all of the dataset.

    Examples
    --------
    >>> Visit('01', '2').label, Visit('01').label, Visit('01', '2').folder
    ('sub-01_ses-2', 'sub-01', 'sub-01/ses-2')
    >>> Visit('01').log, Visit('01', level='participant').log
    ('sub-01/log', 'sub-01/log/participant')
    >>> whole = Visit('', level='dataset')
    >>> whole.label, whole.folder, whole.log
    ('group', '', 'logs/group')

    """

    subject: str
    session: str | None = None
    level: str = 'visit'

    @property
    def label(self) -> str:
        """Prefix of the visit's files."""
        if self.level == 'dataset':
            return 'group'
        return '_'.join(self._parts)

    @property
    def folder(self) -> str:
        """Folder of the visit, relative to the root of a dataset."""
        if self.level == 'dataset':
            return ''
        return '/'.join(self._parts)

    @property
    def log(self) -> str:
        """Folder of its status, locks and checkpoints, relative to the root of the output."""
        if self.level == 'dataset':
            return 'logs/group'
        return f'{self.folder}/log' + ('' if self.level == 'visit' else f'/{self.level}')

    @classmethod
    def of(cls, label: str) -> Visit:
        """Read a label.

        Raises
        ------
        ValueError
            If it is none.

        Examples
        --------
        >>> Visit.of('sub-01_ses-2') == Visit('01', '2'), Visit.of('sub-01') == Visit('01')
        (True, True)

        """
        found = re.fullmatch(r'sub-([A-Za-z0-9+]+)(?:_ses-([A-Za-z0-9+]+))?', label)
        if not found:
            raise ValueError(f'"{label}" is not the label of a visit.')
        return cls(*found.groups())

    @property
    def _parts(self) -> list[str]:
        return [f'sub-{self.subject}'] + ([f'ses-{self.session}'] if self.session else [])


@dataclass(frozen=True, kw_only=True)
class Scan:
    """One image that the visit offers under a name.

    Parameters
    ----------
    name : str
        'flair', 't1w', ...
    path : str
        Absolute path.
    uri : str
        BIDS URI for sidecars, e.g. ``bids:raw:sub-01/anat/sub-01_FLAIR.nii.gz``.
    entities : mapping
        BIDS entities beyond subject and session (acq, ce, rec, run), short names.
    digest : str
        SHA-256 of the file's bytes.
    metadata : mapping
        JSON sidecar, inheritance resolved.
    content : mapping, optional
        What rooms get in place of the path where one file is not all: plain data.
    affine : tuple of tuple of float
        Voxel to world of an image, RAS+ mm; empty if it is not known.
    others : tuple of str
        BIDS URIs of further files that belong to it.
    """

    name: str
    path: str
    uri: str
    entities: Mapping[str, str] = field(default_factory=dict)
    digest: str = ''
    metadata: Mapping[str, Any] = field(default_factory=dict)
    content: Mapping[str, Any] | None = None
    affine: tuple[tuple[float, ...], ...] = ()
    others: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class VisitInput:
    """What the dataset holds for a visit after selection and inspection.

    Parameters
    ----------
    visit : Visit
        Participant and session.
    scans : mapping of str to Scan
        The chosen image of each kind.
    notes : tuple of str
        Choices made, e.g. which of two FLAIR was taken, and why.
    refused : tuple of (str, str)
        Files that cannot be used, each with what is wrong and what to do.
    derivatives : tuple of str
        Names of the given datasets that have a usable file.
    unused : tuple of (str, str)
        Images that no step takes, and why.
    """

    visit: Visit
    scans: Mapping[str, Scan]
    notes: tuple[str, ...] = ()
    refused: tuple[tuple[str, str], ...] = ()
    derivatives: tuple[str, ...] = ()
    unused: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Step:
    """A room with its options, what it takes, and the key under which its results are kept.

    ``options`` are those that are used, ``asked`` those that were asked for; ``decisions`` say
    what was settled between the two.
    """

    room: Room
    options: Any
    takes: tuple[str, ...]
    key: str
    cached: Mapping[str, str] = field(default_factory=dict)
    drawn: frozenset[str] = frozenset()
    decisions: tuple[Decision, ...] = ()
    asked: Any = None

    @property
    def done(self) -> bool:
        """Whether an earlier run left all products of the room that are kept."""
        return self.cached.keys() >= self.room.keeps().keys()

    @property
    def to_draw(self) -> tuple[Figure, ...]:
        """Figures that are not there yet."""
        return tuple(f for f in self.room.figures if not (self.done and f.desc in self.drawn))


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything decided about one visit.

    Parameters
    ----------
    visit : Visit
        Participant and session.
    context : Context
        What builders may know.
    scans : mapping of str to Scan
        Inputs by name; ``anat`` is the anatomical reference.
    steps : tuple of Step
        Rooms in the order of what they take.
    skipped : mapping of str to str
        Rooms that will not run, with the reason.
    declared : Declared
        Inputs, results from outside and grids that rooms declare.
    aliases : mapping of str to str
        Products that stand for others, or ``resource:<file>``.
    notes, refused, unused
        As in :class:`VisitInput`.
    """

    visit: Visit
    context: Context
    scans: Mapping[str, Scan]
    steps: tuple[Step, ...]
    skipped: Mapping[str, str]
    declared: Declared = field(default_factory=Declared)
    aliases: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    refused: tuple[tuple[str, str], ...] = ()
    unused: tuple[tuple[str, str], ...] = ()

    @property
    def key(self) -> str:
        """Identify what the whole plan computes, wherever the files lie."""
        return _digest([step.key for step in self.steps])

    @property
    def origins(self) -> dict[str, tuple[str, ...]]:
        """Scans that each room's results come from, through all rooms before it."""
        behind: dict[str, set[str]] = {name: {name} for name in self.scans}
        # The reference is one of the scans by another name.
        behind['anat'] = {self.reference} if 'anat' in behind else set()
        found = {}
        for step in self.steps:
            takes = (self.aliases.get(name, name) for name in step.takes)
            scans = set().union(*(behind.get(name, set()) for name in takes))
            behind |= dict.fromkeys(step.room.outputs(), scans)
            found[step.room.name] = tuple(sorted(scans))
        return found

    @property
    def reference(self) -> str:
        """Name of the scan that is the anatomical reference; empty without one."""
        return next(
            (item.name for item in self.declared.references if item.name in self.scans), ''
        )

    @property
    def running(self) -> dict[str, tuple[str, ...]]:
        """Rooms that have to run, each with those of its products for which alone it does.

        A room that is done runs again where a room that has to run, or a figure that has to be
        drawn, takes what it made and what was not kept.
        """
        passing = {
            name: step.room.name
            for step in self.steps
            for name, made in step.room.outputs().items()
            if not made.kept
        }
        wanted: dict[str, set[str]] = {}
        found: dict[str, tuple[str, ...]] = {}
        for step in reversed(self.steps):
            again = wanted.get(step.room.name, set()) if step.done else set()
            takes = [n for figure in step.to_draw for n in (*figure.takes, *figure.wants)]
            if again or not step.done:
                found[step.room.name] = tuple(sorted(again))
                takes += step.takes
            for name in (self.aliases.get(n, n) for n in takes):
                if name in passing:
                    wanted.setdefault(passing[name], set()).add(name)
        return dict(reversed(found.items()))

    @property
    def complete(self) -> bool:
        """Whether nothing is left to compute or to draw."""
        return all(step.done and not step.to_draw for step in self.steps)

    def with_cached(
        self,
        cached: Mapping[str, Mapping[str, str]],
        drawn: Iterable[str] = (),
        stale: Iterable[str] = (),
    ) -> Plan:
        """Return the plan with the files of earlier runs in the places of their rooms.

        What rests on rooms whose files are of other inputs, options or versions (``stale``) has a
        key of its own, so that no later run takes it for what the options say.
        """
        drawn, stale = frozenset(drawn), frozenset(stale)
        steps, earlier = [], set()
        for step in self.steps:
            key = step.key
            rests = not earlier.isdisjoint(self.aliases.get(name, name) for name in step.takes)
            if rests:
                key = _digest([key, 'of earlier results'])
            if rests or step.room.name in stale:
                earlier |= step.room.outputs().keys()
            files = cached.get(step.room.name, {})
            steps.append(replace(step, key=key, cached=files, drawn=drawn))
        return replace(self, steps=tuple(steps))


def make_plan(
    given: VisitInput,
    rooms: Iterable[Room],
    *,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    markers: Iterable[str] = (),
    ignore: Iterable[str] = (),
    context: Context | None = None,
    failed: Iterable[str] = (),
) -> Plan:
    """Order the rooms by what they take, leaving out those whose needs cannot be met.

    Parameters
    ----------
    given : VisitInput
        Scans of the visit.
    rooms : iterable of Room
        All rooms.
    options : mapping, optional
        Table of options of each room.
    markers : iterable of str, optional
        Marker rooms wanted; all if empty.
    ignore : iterable of str, optional
        Scans or rooms to be left out.
    context : Context, optional
        The run's context; its ``hub`` is decided here.
    failed : iterable of str, optional
        Rooms whose results cannot be had: who only wants them goes without, and a note says so.

    Returns
    -------
    Plan
        Without cached results; see :meth:`Plan.with_cached`.

    Examples
    --------
    >>> from csvdprep.core.declared import Input
    >>> from csvdprep.core.room import Derivative
    >>> mask = Derivative(suffix='mask', description='')
    >>> image = Input(name='t1w', title='T1w', description='', datatype='anat', reference=1,
    ...               suffixes=('T1w',), frame='anat')
    >>> a = Room(name='a', title='', needs=('anat',), makes={'brain_mask': mask}, build='',
    ...          inputs=(image,))
    >>> b = Room(name='b', title='', needs=('brain_mask',), makes={}, build='')
    >>> c = Room(name='c', title='', needs=('flair',), makes={}, build='')
    >>> t1w = Scan(name='t1w', path='t1w.nii', uri='bids:raw:t1w.nii')
    >>> plan = make_plan(VisitInput(visit=Visit('01'), scans={'t1w': t1w}), [b, c, a])
    >>> [step.room.name for step in plan.steps], dict(plan.skipped), plan.context.hub
    (['a', 'b'], {'c': 'needs flair, which this visit does not have'}, 'T1w')

    """
    options, ignore = options or {}, set(ignore)
    rooms = {room.name: room for room in rooms}
    declared = Declared.of(rooms.values())
    scans = {name: scan for name, scan in given.scans.items() if name not in ignore}
    context = context or Context()
    reference = next((item for item in declared.references if item.name in scans), None)
    if reference:
        scans['anat'] = replace(scans[reference.name], name='anat')
        context = replace(context, hub=reference.suffixes[0])

    skipped = {name: 'skipped because of --ignore' for name in rooms if name in ignore}
    wanted = set(rooms)
    if markers:
        wanted = _upstream(rooms, set(markers), set(scans))
        with_them = {name for name, room in rooms.items() if room.follows in wanted}
        wanted = _upstream(rooms, {*markers, *with_them}, set(scans))
    skipped |= {n: 'not selected by --markers' for n in rooms if n not in wanted | skipped.keys()}
    open_rooms = {n: r for n, r in rooms.items() if n not in skipped}

    offered = {name: scan for name, scan in scans.items() if name not in ignore}
    settled: dict[str, _Settled] = {}
    while True:
        able, aliases = _settle(open_rooms, set(scans))
        idle = _decide(able, settled, offered, options)
        if not idle:
            break
        skipped |= idle
        open_rooms = {n: r for n, r in open_rooms.items() if n not in idle}
    known = set(scans) | set(aliases) | {n for r in able.values() for n in r.outputs()}
    # Where a room has no place, nothing has to be said of those that bring its products elsewhere.
    able = {n: room for n, room in able.items() if not room.follows or room.follows in able}
    left = {n for n, room in rooms.items() if room.follows and room.follows not in able}
    skipped = {name: why for name, why in skipped.items() if name not in left}
    skipped |= {
        name: _why(room, rooms, known, ignore, given)
        for name, room in open_rooms.items()
        if name not in able and name not in left
    }

    maker = {name: room.name for room in able.values() for name in room.outputs()}
    lost = _lost(able, aliases, known, set(failed))
    takes = {k: r.takes(known) for k, r in able.items()}
    given = replace(given, notes=(*given.notes, *_told(able, takes, lost, aliases)))
    takes = {k: _without(able[k], names, lost, aliases) for k, names in takes.items()}
    behind = {k: {aliases.get(n, n) for n in names} for k, names in takes.items()}
    order = TopologicalSorter(
        {k: sorted(maker[n] for n in behind[k] if n in maker) for k in sorted(able)}
    ).static_order()

    keys: dict[str, str] = {name: scan.digest or scan.path for name, scan in scans.items()}
    steps = []
    for name in order:
        room = able[name]
        asked, chosen, decisions = settled[name]
        sources = {n: keys.get(aliases.get(n, n), aliases.get(n, n)) for n in takes[name]}
        decided = [[item.name, item.value] for item in decisions]
        key = _digest(
            [
                name,
                room.version,
                asdict(chosen),
                {name: getattr(context, name) for name in room.context},
                sources,
                *([decided] if decided else []),
            ]
        )
        keys |= {product: _digest([key, product]) for product in room.outputs()}
        steps.append(Step(room, chosen, takes[name], key, decisions=decisions, asked=asked))
    return Plan(
        visit=given.visit,
        context=context,
        scans=scans,
        steps=tuple(steps),
        skipped=skipped,
        declared=declared,
        aliases=aliases,
        notes=given.notes,
        refused=given.refused,
        unused=given.unused,
    )


class _Settled(NamedTuple):
    """Options that were asked for, those that are used, and what was decided between the two."""

    asked: Any
    chosen: Any
    decisions: tuple[Decision, ...]


def _decide(
    able: Mapping[str, Room],
    settled: dict[str, _Settled],
    scans: Mapping[str, Scan],
    options: Mapping[str, Mapping[str, Any]],
) -> dict[str, str]:
    """Settle the options of rooms; return those that have nothing to do, with the reason."""
    idle = {}
    for name in sorted(able.keys() - settled.keys()):
        asked = read_options(able[name], options.get(name, {}))
        try:
            settled[name] = _Settled(asked, *able[name].decide(scans, asked))
        except NoPlace as reason:
            idle[name] = str(reason)
    return idle


def _settle(rooms: Mapping[str, Room], scans: set[str]) -> tuple[dict[str, Room], dict[str, str]]:
    """Find the rooms that can run, letting substitutes stand where a room has no place."""
    able: dict[str, Room] = {}
    aliases: dict[str, str] = {}
    known = set(scans)
    while True:
        more = {k: r for k, r in rooms.items() if k not in able and r.able(known)}
        if more:
            able |= more
            known.update(n for room in more.values() for n in room.outputs())
            continue
        stand_ins = {
            product: other
            for k, room in rooms.items()
            if k not in able and room.otherwise and scans.issuperset(room.otherwise.given)
            for product, other in room.otherwise.names.items()
            if product not in known and (other in known or other.startswith('resource:'))
        }
        if not stand_ins:
            return able, aliases
        aliases |= stand_ins
        known.update(stand_ins)


def _lost(
    able: Mapping[str, Room], aliases: Mapping[str, str], known: set[str], failed: set[str]
) -> set[str]:
    """Return products that cannot be had: of rooms that failed, and of those that need them."""
    gone, lost = set(), set()
    while more := {
        name
        for name, room in able.items()
        if name not in gone
        and (
            name in failed
            or any(aliases.get(n, n) in lost for n in room.takes(known) if n not in room.wants)
        )
    }:
        gone |= more
        lost |= {product for name in more for product in able[name].outputs()}
    return lost


def _without(
    room: Room, names: tuple[str, ...], lost: set[str], aliases: Mapping[str, str]
) -> tuple[str, ...]:
    return tuple(n for n in names if n not in room.wants or aliases.get(n, n) not in lost)


def _told(
    able: Mapping[str, Room],
    takes: Mapping[str, tuple[str, ...]],
    lost: set[str],
    aliases: Mapping[str, str],
) -> list[str]:
    """Say which rooms go without what they want."""
    makers = {name: room.title for room in able.values() for name in room.outputs()}
    said = []
    for name, names in sorted(takes.items()):
        room = able[name]
        if lost & {*room.outputs()}:
            continue
        for wanted in names:
            source = aliases.get(wanted, wanted)
            if wanted in room.wants and source in lost:
                why = f'{makers[source]} failed, or a step that it needs'
                said.append(f'{room.title} runs without {wanted}: {why}.')
    return said


def _upstream(rooms: Mapping[str, Room], chosen: set[str], scans: set[str]) -> set[str]:
    """Return the chosen rooms and all that they may take from."""
    maker = {name: room.name for room in rooms.values() for name in room.outputs()}
    found, todo = set(), set(chosen)
    while todo:
        room = rooms[todo.pop()]
        found.add(room.name)
        raw = next((group for group in room.either if scans >= {*group}), None)
        asked = room.asks if raw is None else (*room.needs, *raw, *room.wants)
        todo |= {maker[n] for n in asked if n in maker} - found
    return found


def _why(
    room: Room, rooms: Mapping[str, Room], known: set[str], ignore: set[str], given: VisitInput
) -> str:
    """Trace what a room lacks back to the scans that the visit does not have."""
    maker = {name: other for other in rooms.values() for name in other.outputs()}

    def lacking(room: Room, seen: frozenset[str]) -> set[str]:
        """Return the scans that a room lacks; of alternatives, those of the last."""
        last = () if not room.either or room.able(known | {*room.needs}) else room.either[-1]
        return set().union(*(roots(n, seen) for n in (*room.needs, *last)))

    def roots(name: str, seen: frozenset[str]) -> set[str]:
        if name in known or name in seen:
            return set()
        if name not in maker:
            return {name}
        return lacking(maker[name], seen | {name})

    missing = sorted(lacking(room, frozenset()))
    said = ', '.join(f'{n} (skipped because of --ignore)' if n in ignore else n for n in missing)
    ends = tuple(f'_{n}.' for n in missing)
    spoilt = [
        file.rsplit('/', 1)[-1]
        for file, _ in given.refused
        if any(end in file.lower() for end in ends)
    ]
    if spoilt:
        return f'needs {said}, but {", ".join(spoilt)} cannot be used'
    left = [note for note in given.notes if any(end in note.lower() for end in ends)]
    if left:
        return f'needs {said}; {" ".join(left)}'
    return f'needs {said or ", ".join(room.needs)}, which this visit does not have'


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
