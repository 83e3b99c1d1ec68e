"""The frozen part of an array job: which visits, in which order, with which options."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from csvdprep.bids.checkpoints import json_text
from csvdprep.bids.files import atomic_write, read_text
from csvdprep.bids.ratings import OPTION, latest, read_rows
from csvdprep.core.errors import InputError
from csvdprep.core.plan import Visit
from csvdprep.core.ratings import MASKS

#: Options whose files are copied beside the list, so that a later edit changes no task.
FILES = ('--bids-filter-file', '--config-file', '--manual-ratings', '--use-plugin')
FOLDER = Path('logs') / 'slurm'


@dataclass(frozen=True)
class Manifest:
    """One array job.

    Parameters
    ----------
    folder : Path
        Where its files lie.
    version : str
        Version of the application.
    created : str
        Time (UTC).
    bids_dir, output_dir : str
        Absolute paths.
    options : tuple of str
        Options of the app that every task gets.
    mem_gb : float
        Memory of a task.
    """

    folder: Path
    version: str
    created: str
    bids_dir: str
    output_dir: str
    options: tuple[str, ...]
    mem_gb: float

    @property
    def visits_file(self) -> Path:
        """List of visits, one a line."""
        return self.folder / 'visits.txt'

    def visits(self) -> list[Visit]:
        """Read the list; empty if it cannot be read, or holds what is no visit."""
        try:
            return [Visit.of(line) for line in read_text(self.visits_file).split()]
        except (OSError, ValueError):
            return []

    def write(self, visits: Iterable[Visit]) -> int:
        """Write list and description; returns the number of visits."""
        labels = [visit.label for visit in visits]
        atomic_write(self.visits_file, ''.join(f'{label}\n' for label in labels))
        facts = asdict(self) | {'folder': self.folder.name, 'visits': len(labels)}
        atomic_write(self.folder / 'manifest.json', json_text(facts))
        return len(labels)


def freeze_files(options: Sequence[str], folder: Path) -> tuple[str, ...]:
    """Copy the files that options name, and name the copies instead.

    Parameters
    ----------
    options : sequence of str
        Options of the app, as on the command line.
    folder : Path
        Where the copies go.

    Raises
    ------
    InputError
        If a file is not there.
    """
    out: list[str] = []
    pending = ''
    for option in options:
        name, equals, value = option.partition('=')
        if pending or (name in FILES and equals):
            name, value = pending or name, option if pending else value
            copy = folder / f'{name.strip("-")}{Path(value).suffix}'
            try:
                folder.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(value, copy)
            except OSError as error:
                raise InputError(
                    f'The file cannot be copied ({error.strerror}).', file=value, field=name
                ) from error
            if name == OPTION:
                _copy_masks(Path(value), folder)
            out += [name, str(copy)]
            pending = ''
        elif name in FILES:
            pending = name
        else:
            out.append(option)
    return tuple(out)


def _copy_masks(table: Path, folder: Path) -> None:
    """Copy the masks that a table of ratings names by their way from its folder."""
    rows, _ = read_rows(table, lambda line: None)
    for row in latest(rows):
        if row.marker in MASKS and row.value is not None:
            copy = folder / str(row.value)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(table.parent / str(row.value), copy)


def manifests(output_dir: Path) -> list[Manifest]:
    """Return the array jobs of an output folder that can be read, oldest first."""
    found = []
    for path in sorted((Path(output_dir) / FOLDER).glob('*/manifest.json')):
        try:
            facts = json.loads(read_text(path))
            facts.pop('visits', None)
            facts |= {'folder': path.parent, 'options': tuple(facts['options'])}
            found.append(Manifest(**facts))
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            continue
    return found
