"""What rooms declare of the raw dataset and of other tools: inputs, grids, given results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from csvdprep.core.room import Room


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A grid of voxels that images lie on.

    Parameters
    ----------
    name : str
        'anat', 'flair', 'dwi', ...
    description : str
        What it is.
    space : str, optional
        Value of the entity ``space`` of files on it, ``{hub}`` standing for the suffix of the
        anatomical reference; empty where names need none; None where each declaration says which.
    datatype : str
        Folder of files on it, or about it.
    source : str or tuple of str
        Scan whose entities (acq, run, ...) these files inherit; of several, the first that a
        visit has.
    image : str
        Product that has this grid, where results may be resampled onto it.
    to_anat : str
        Product: the rigid transform that resamples images on it onto the anatomical reference.
        Without, what lies on it is not resampled into other spaces.
    """

    name: str
    description: str
    space: str | None = ''
    datatype: str = 'anat'
    source: str | tuple[str, ...] = 'anat'
    image: str = ''
    to_anat: str = ''

    @property
    def word(self) -> str:
        """What ``--output-spaces`` calls it."""
        return self.space or self.name


@dataclass(frozen=True, kw_only=True)
class Input:
    """A kind of raw scan.

    Parameters
    ----------
    name : str
        Name under which rooms take it and ``--bids-filter-file`` narrows it: 't1w'.
    title : str
        What users call it: 'T1w'.
    description : str
        What it is.
    datatype : str
        Folder of BIDS.
    suffixes : tuple of str
        Suffixes of its files, as BIDS writes them or as they are in use.
    frame : str
        Grid that it defines.
    reader : str
        Dotted path, ``'package.module:function'``, of what makes scans of its files:
        ``function(dataset, visit, declared, report) -> dict of Scan``.
    reference : int, optional
        Rank among the images that can be the anatomical reference; 1 is preferred.
    also : tuple of str
        Names of further scans that the reader may return, e.g. the same scan if it has phase.
    """

    name: str
    title: str
    description: str
    datatype: str
    suffixes: tuple[str, ...]
    frame: str
    reader: str = 'csvdprep.bids.single:read_single'
    reference: int | None = None
    also: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class External:
    """A file that another tool, or a person, may have made in place of a room or for it.

    It is a mask, unless ``classes``, ``transform`` or ``suffix`` say otherwise.

    Parameters
    ----------
    name : str
        Name under which rooms take it: 'wmh_external'.
    title : str
        What users call it: 'WMH mask'.
    description : str
        What it is.
    grids : tuple of str
        Inputs on whose grid it is looked for, the first before the second.
    words : str
        Regular expression, for lower case, of the words by which file names tell it.
    labels : tuple of str
        Values of ``label`` (or ``desc`` of what is no lesion) that tell it beyond doubt.
    lesion : bool
        Whether it is one: then it may be empty, and be one of the values of a segmentation.
    otherwise : bool
        Whether a lesion that is not said to be of another kind is of this one.
    rows : str
        Regular expression of the names that look-up tables give to its values.
    classes : mapping of str to str
        For a segmentation that replaces several maps at once: regular expression, for lower case,
        of the names that look-up tables give to the values of each class; the first that fits
        counts, and all classes have to be there.
    suffix : str
        For a map of values: suffix of its BIDS name ('cbf'). It lies on the grid of an image of
        ``grids``, or its name says in the space of which of them (``space-T1w``).
    transform : (str, str)
        For a transform: values of ``from`` and ``to``, ``{hub}`` standing for the suffix of the
        anatomical reference.
    """

    name: str
    title: str
    description: str
    grids: tuple[str, ...]
    words: str
    labels: tuple[str, ...] = ()
    lesion: bool = True
    otherwise: bool = False
    rows: str = ''
    classes: Mapping[str, str] = field(default_factory=dict)
    suffix: str = ''
    transform: tuple[str, str] | None = None


@dataclass(frozen=True)
class Declared:
    """Everything that the rooms of a run declare of what comes from outside.

    Parameters
    ----------
    inputs : tuple of Input
        In the order in which their rooms are found, references first.
    externals : tuple of External
        In the same order.
    frames : tuple of Frame
        Grids.
    """

    inputs: tuple[Input, ...] = ()
    externals: tuple[External, ...] = ()
    frames: tuple[Frame, ...] = ()

    @classmethod
    def of(cls, rooms: Iterable[Room]) -> Declared:
        """Gather what rooms declare.

        Raises
        ------
        ValueError
            If two rooms declare one name.
        """
        rooms = tuple(rooms)
        found = {
            kind: [item for room in rooms for item in getattr(room, kind)]
            for kind in ('inputs', 'externals', 'frames')
        }
        for kind, items in found.items():
            names = [item.name for item in items]
            if double := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f'{kind} {", ".join(double)}: declared by more than one room.')
        inputs = sorted(found['inputs'], key=lambda item: (item.reference or 99, item.datatype))
        return cls(tuple(inputs), tuple(found['externals']), tuple(found['frames']))

    @property
    def references(self) -> tuple[Input, ...]:
        """Inputs that can be the anatomical reference, the preferred first."""
        return tuple(item for item in self.inputs if item.reference)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of inputs, of what else their readers return, and of externals."""
        inputs = (name for item in self.inputs for name in (item.name, *item.also))
        return (*inputs, *(item.name for item in self.externals))

    def frame(self, name: str) -> Frame:
        """Return a grid by its name.

        Raises
        ------
        KeyError
            If there is none.
        """
        return {item.name: item for item in self.frames}[name]
