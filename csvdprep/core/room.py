"""The vocabulary of declarations: what a room needs, what it makes, where its code lives."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from csvdprep.core.declared import External, Frame, Input


@dataclass(frozen=True)
class NoOptions:
    """A room without knobs."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a table that a room makes.

    Parameters
    ----------
    name : str
        As in the table.
    description : str
        What it is.
    units : str
        Unit, if it has one.
    levels : mapping, optional
        Meaning of each value of a categorical column.
    aside : bool
        Whether it is for computing: the report does not show it.
    """

    name: str
    description: str
    units: str = ''
    levels: Mapping[str, str] | None = None
    aside: bool = False

    def described(self) -> dict[str, Any]:
        """Return the column's entry in a sidecar."""
        facts = {'Description': self.description, 'Units': self.units, 'Levels': self.levels}
        return {
            key: dict(value) if isinstance(value, Mapping) else value
            for key, value in facts.items()
            if value
        }


@dataclass(frozen=True, kw_only=True)
class Derivative:
    """One file a room leaves behind: enough to name it, describe it, and find it again.

    ``{hub}`` in any text stands for the suffix of the visit's anatomical reference
    ('T1w' or 'FLAIR'). ``frame`` names the grid that an image lies on, or a table or transform is
    about: the folder, the ``space`` entity and the entities that are inherited (acq, run, ...)
    follow from it, unless ``datatype``, ``space`` or ``source`` here say otherwise.
    """

    suffix: str
    description: str
    frame: str = 'anat'
    datatype: str | None = None
    units: str = ''
    space: str | None = None
    res: str | None = None
    label: str | None = None
    desc: str | None = None
    atlas: str | None = None
    model: str | None = None
    param: str | None = None
    xfm: tuple[str, str] | None = None
    extension: str = '.nii.gz'
    source: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    table: tuple[Mapping[str, Any], ...] | str = ()
    """Look-up table of labels: rows of index, name, abbreviation and color, or the name of a
    shipped label image whose table it is."""
    columns: tuple[Column, ...] = ()
    """Columns of a table."""
    lists: str = ''
    """What the rows of a table are, where the report is to show it: 'WMH lesions'."""
    rows: str = ''
    """What to call these rows, where they are no lesions: 'items'."""
    percentiles: bool = False
    """Whether it is a table of the dataset with a row a visit, whose other columns are percentiles
    of measures: the report of a visit then shows them."""
    saved: bool = True
    """Whether BIDS users look for it; False keeps it among the visit's checkpoints."""
    kept: bool = True
    """Whether it outlives the run. What is large and soon made again is not kept: it stays in the
    working directory, and its room runs again when a room that takes it has to run."""
    resampled: str = ''
    """Interpolation ('linear' or 'nearest') with which it is resampled into the output spaces;
    empty where it is not."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Range in which a value is plausible (``ok``), odd (``warn``); beyond it is a ``fail``.

    Bounds are inclusive; None is open. ``warn=None`` means that nothing is ever a ``fail``:
    what is not ``ok`` is a ``warn``.

    Examples
    --------
    >>> volume = Limits(ok=(8, 120), warn=(5, 180))
    >>> [volume.judge(v) for v in (50, 6, 150, 300)]
    ['ok', 'warn', 'warn', 'fail']
    >>> Limits(ok=(None, 150)).judge(151)
    'warn'

    """

    ok: tuple[float | None, float | None]
    warn: tuple[float | None, float | None] | None = None

    def judge(self, value: float) -> str:
        """Return 'ok', 'warn' or 'fail'."""
        if _within(value, self.ok):
            return 'ok'
        return 'warn' if self.warn is None or _within(value, self.warn) else 'fail'

    def __str__(self) -> str:
        low, high = self.ok
        if low is None:
            return f'≤ {high:g}'
        return f'≥ {low:g}' if high is None else f'{low:g} to {high:g}'


def _within(value: float, bounds: tuple[float | None, float | None]) -> bool:
    low, high = bounds
    return (low is None or value >= low) and (high is None or value <= high)


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One column of the visit's table.

    Parameters
    ----------
    name : str
        Column, in snake case, ending in its unit where it has one.
    units : str
        Unit in the table ('1' for ratios and counts, '' for text).
    description : str
        What it is, with the definition a reader needs.
    method : str
        Identifier of the algorithm.
    limits : Limits, optional
        Plausible range; the QC flag derives from it.
    qc_id : str, optional
        Identifier in the QC registry (Q1, Q2, ...), for values that judge quality.
    reference : str, optional
        Citation key in the room's ``references.bib``.
    levels : mapping, optional
        Meaning of each value of a categorical measure.
    table : bool
        Shown in the report's first table.
    title : str
        What tables call it; the first clause of the description if empty, see `heading`.
    primary : bool
        Whether it stands for its marker: on the first screen of the report, and in the core
        table of the group.
    interval : bool
        Whether its value may have a 95 % interval: the tables of the group then have the columns
        ``<name>_low`` and ``<name>_high``.
    """

    name: str
    units: str
    description: str
    method: str
    limits: Limits | None = None
    qc_id: str | None = None
    reference: str | None = None
    levels: Mapping[str, str] | None = None
    table: bool = True
    title: str = ''
    primary: bool = False
    interval: bool = False

    @property
    def heading(self) -> str:
        """What tables and plots call it.

        Examples
        --------
        >>> evans = 'Evans index: largest width of the frontal horns. Above 0.3 ...'
        >>> Measure(name='evans', units='1', description=evans, method='').heading
        'Evans index'
        """
        clause = re.split(r'[:;(]|,\s|\.(?=\s|$)', self.description, maxsplit=1)[0].strip()
        return self.title or clause or self.name


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One picture of the report, and what to look for in it.

    ``build`` is a dotted path ``'package.module:function'``; the function takes the files of
    ``takes`` by keyword (those of ``wants`` may be None) and ``out_file``, and draws.
    ``disease`` says that it shows the disease, on the first screen of the report.
    """

    desc: str
    suffix: str
    title: str
    caption: str
    build: str
    takes: tuple[str, ...]
    wants: tuple[str, ...] = ()
    extension: str = '.svg'
    disease: bool = False


@dataclass(frozen=True)
class Decision:
    """Something that a room decides from the scans of a visit, before it runs.

    Parameters
    ----------
    name : str
        What is decided, in words: 'noise'.
    value : str
        What is done, in words.
    reason : str
        Why.
    """

    name: str
    value: str
    reason: str

    def __str__(self) -> str:
        return f'{self.name}: {self.value} ({self.reason})'


class NoPlace(Exception):  # noqa: N818
    """Raised by ``resolve`` where a room has nothing to do; its words are the reason."""


@dataclass(frozen=True, kw_only=True)
class Otherwise:
    """What stands for a room's products in a visit where the room has no place.

    ``names`` maps a product to the name that stands for it (or to ``'resource:<file>'``),
    provided that all of ``given`` are scans of the visit.
    """

    given: tuple[str, ...]
    names: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Room:
    """A self-contained step of the pipeline.

    ``build`` is a dotted path, ``'package.module:function'``; it is imported only when
    the graph is assembled, so that declaring rooms costs nothing.
    """

    name: str
    title: str
    needs: tuple[str, ...]
    makes: Mapping[str, Derivative]
    build: str
    either: tuple[tuple[str, ...], ...] = ()
    """Groups of which it needs one besides ``needs``: the first that a visit has. Who can do with
    any of several names, and takes all there are, has each as a group, and all in ``wants``."""
    wants: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    """Measures of other rooms that it reads, as ``room.measure``; it needs or wants the values
    of these rooms."""
    inputs: tuple[Input, ...] = ()
    externals: tuple[External, ...] = ()
    frames: tuple[Frame, ...] = ()
    figures: tuple[Figure, ...] = ()
    options: type = NoOptions
    resolve: str = ''
    """Dotted path of ``function(scans, options)``, which settles what options leave open from the
    scans of a visit (and names under which products are known), and returns the options to be
    used and a tuple of `Decision`. It raises `NoPlace` where the room has nothing to do."""
    measures: tuple[Measure, ...] = ()
    methods: str = ''
    references: tuple[str, ...] = ()
    otherwise: Otherwise | None = None
    version: int = 1
    """Raised whenever the room's results change; what was cached by an older one is stale.
    ``scripts/room_versions.py`` notes with which code."""
    context: tuple[str, ...] = ()
    """Fields of `Context` that ``build`` reads."""
    level: str = 'visit'
    """'visit', 'participant' (it takes what several visits of a participant left), or 'dataset'
    (it takes the tables of the group)."""
    marker: bool = False
    """Whether a user may choose it with ``--markers``."""
    resources: tuple[str, ...] = ()
    """Templates and weights that it uses, as `csvdprep.resources.resource` knows them."""
    follows: str = ''
    """Room whose products it only brings elsewhere: it is chosen, and left out, with that."""
    order: int = 50
    """Place among the markers of reports and tables, lowest first."""
    pooled_t: tuple[float, float] | None = None
    """Field strengths (T) within which its values may be pooled; those from elsewhere say so."""

    def beyond_field(self, strengths: Iterable[float]) -> str:
        """Say that values come from a field strength that is not to be pooled; else nothing.

        Examples
        --------
        >>> room = Room(name='a', title='', needs=(), makes={}, build='', pooled_t=(1.5, 3))
        >>> room.beyond_field([2.89, 7.0])
        'the images were acquired at 7 T: do not pool the value with those from 1.5 to 3 T'
        >>> room.beyond_field([2.89]), room.beyond_field([])
        ('', '')
        """
        if self.pooled_t is None:
            return ''
        low, high = self.pooled_t
        # Magnets differ from their nominal field by some percent (2.89 T are sold as 3 T).
        far = [t for t in strengths if not 0.9 * low <= t <= 1.1 * high]
        if not far:
            return ''
        return (
            f'the images were acquired at {max(far):g} T: do not pool the value with those '
            f'from {low:g} to {high:g} T'
        )

    @property
    def asks(self) -> tuple[str, ...]:
        """All names that it can take."""
        groups = (name for group in self.either for name in group)
        return tuple(dict.fromkeys((*self.needs, *groups, *self.wants)))

    def takes(self, known: Set[str]) -> tuple[str, ...]:
        """Return what it takes where these names are known.

        Examples
        --------
        >>> room = Room(name='a', title='', needs=('x',), makes={}, build='',
        ...             either=(('p', 'q'), ('r',)), wants=('w',))
        >>> room.takes({'x', 'p', 'r', 'w'}), room.takes({'x', 'p', 'q', 'r'})
        (('x', 'r', 'w'), ('x', 'p', 'q'))
        """
        group = next((g for g in self.either if known >= {*g}), ())
        wanted = (name for name in self.wants if name in known)
        return tuple(dict.fromkeys((*self.needs, *group, *wanted)))

    def able(self, known: Set[str]) -> bool:
        """Tell whether it can run where these names are known."""
        return known >= {*self.needs} and (
            not self.either or any(known >= {*group} for group in self.either)
        )

    def builder(self):
        """Import and return the function that assembles this room's workflow."""
        return load(self.build)

    def decide(self, scans: Mapping[str, Any], options: Any) -> tuple[Any, tuple[Decision, ...]]:
        """Settle what options leave open; see ``resolve``."""
        return load(self.resolve)(scans, options) if self.resolve else (options, ())

    def describe(self, options: Any) -> str:
        """Write the paragraph of Methods that corresponds to ``options``."""
        return self.methods.format(o=options)

    def outputs(self) -> dict[str, Derivative]:
        """Return everything the room makes: derivatives and, if it measures, its values."""
        values = {f'{self.name}_values': VALUES(self)} if self.measures else {}
        return {**self.makes, **values}

    def keeps(self) -> dict[str, Derivative]:
        """Return what it makes that outlives the run.

        Examples
        --------
        >>> made = {'x': Derivative(suffix='dwi', description='', kept=False)}
        >>> room = Room(name='a', title='', needs=(), makes=made, build='')
        >>> [*room.outputs()], [*room.keeps()]
        (['x'], [])
        """
        return {name: made for name, made in self.outputs().items() if made.kept}


def VALUES(room: Room) -> Derivative:  # noqa: N802
    """Declare the checkpoint in which a room leaves its measures."""
    return Derivative(
        suffix='values',
        desc=room.name.replace('_', ''),
        description=f'Measures of the room {room.name}.',
        extension='.json',
        saved=False,
    )


def load(path: str):
    """Import ``'package.module:function'``.

    Examples
    --------
    >>> load('math:floor')(2.5)
    2

    """
    module, _, function = path.partition(':')
    return getattr(import_module(module), function)


@dataclass(frozen=True, kw_only=True)
class Context:
    """What every builder may know about this run, and nothing more."""

    hub: str = 'T1w'
    random_seed: int = 42
    sloppy: bool = False
