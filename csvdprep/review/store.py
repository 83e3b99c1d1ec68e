"""The table of ratings on disk: rows are only ever added, each of them whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import io
import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from csvdprep.bids.checkpoints import json_text
from csvdprep.bids.files import atomic_write, replacing
from csvdprep.bids.ratings import Row, latest, read_row, read_rows, rows_of
from csvdprep.bids.tsv import MISSING, join_line, parse_tsv, split_line, tsv_cell, tsv_text
from csvdprep.core.errors import InputError
from csvdprep.core.plan import Visit
from csvdprep.core.ratings import DECISION, DECISIONS, KINDS, LISTS, MARKERS, MASKS

__all__ = ['Store', 'dictionary']

#: Columns of a table that the desk begins.
HEAD = (
    'participant_id',
    'session_id',
    'rater',
    'marker',
    'value',
    'candidate',
    'comment',
    'time',
    'version',
)
#: Longest comment that is kept, in letters.
MOST_COMMENT = 500
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL}


class Store:
    """A table of ratings to which several raters may add at once.

    Parameters
    ----------
    path : Path
        TSV, which need not exist. Edited masks are put beside it, in a folder of the same name.

    Examples
    --------
    >>> import tempfile
    >>> store = Store(Path(tempfile.mkdtemp()) / 'ratings.tsv')
    >>> rated = store.add(Visit('01'), 'AB', 'css', 'focal', version='0.1.0+abc')
    >>> rated.value, store.current()[0].rater
    (1, 'AB')
    >>> _ = store.add(Visit('01'), 'AB', 'css', None)
    >>> store.current(), len(store.rows())
    ([], 2)
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        self._lock = threading.Lock()
        self._stamped: tuple = ()
        self._known = b''
        self._rows: list[Row] = []

    @property
    def folder(self) -> Path:
        """Where edited masks are put."""
        return self.path.with_suffix('')

    def add(
        self,
        visit: Visit,
        rater: str,
        marker: str,
        value: str | None,
        *,
        candidate: str = '',
        comment: str = '',
        version: str = '',
    ) -> Row:
        """Add a row; when this returns, it is on the disk.

        Parameters
        ----------
        visit : Visit
            Participant and session.
        rater, marker : str
            Who, and of what.
        value : str or None
            As in the table; None takes back what the rater said.
        candidate, comment, version : str, optional
            As in the table.

        Returns
        -------
        Row
            As it will be read.

        Raises
        ------
        InputError
            If the row cannot be meant, or the table has no room for it.
        OSError
            If it cannot be written.
        """
        cells = {
            'participant_id': f'sub-{visit.subject}',
            'session_id': f'ses-{visit.session}' if visit.session else MISSING,
            'rater': rater.strip(),
            'marker': marker,
            'value': MISSING if value is None else str(value),
            'candidate': candidate,
            'comment': comment[:MOST_COMMENT],
            'time': now(),
            'version': version,
        }
        # A cell must not be taken for a formula by a spreadsheet.
        cells = {name: re.sub(r'^(?=[=@])', ' ', tsv_cell(text)) for name, text in cells.items()}
        row = read_row(cells)
        if row is None:
            raise InputError('The row says nothing.', field='value', remedy='Write a value.')
        with self._lock:
            self._append(cells)
        return row

    def rows(self) -> list[Row]:
        """Return every row that can be meant, in the order in which they were added."""
        stamp = self._stamp()
        with self._lock:
            if stamp != self._stamped:
                self._rows = self._read() if stamp else []
                self._stamped = stamp
            return list(self._rows)

    def _read(self) -> list[Row]:
        """Read what was added since the last time; all of it if anything else was changed."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            self._known = b''
            return []
        known, self._known = self._known, data if data.endswith(b'\n') else b''
        if known and data.startswith(known):
            head = known[: known.index(b'\n') + 1]
            with contextlib.suppress(UnicodeDecodeError):
                table = parse_tsv((head + data[len(known) :]).decode('utf-8-sig'))
                return self._rows + rows_of(table, self.path, _unheard)[0]
        return read_rows(self.path, _unheard)[0]

    def current(self, visit: Visit | None = None) -> list[Row]:
        """Return what holds: the last row of each rater about each thing, unless taken back."""
        rows = self.rows()
        if visit is not None:
            rows = [row for row in rows if (row.subject, row.session or None) == _of(visit)]
        return [row for row in latest(rows) if row.value is not None]

    def save_mask(self, visit: Visit, name: str, data: bytes, facts: Mapping) -> str:
        """Keep an edited mask under the name of its content, with a sidecar.

        Parameters
        ----------
        visit : Visit
            Participant and session.
        name : str
            File name of the mask that was edited.
        data : bytes
            NIfTI, compressed.
        facts : mapping
            Sidecar.

        Returns
        -------
        str
            Path from the folder of the table, as the column ``value`` has it.
        """
        stem = re.sub(r'_desc-[A-Za-z0-9]+', '', name.removesuffix('.nii.gz'))
        head, _, suffix = stem.rpartition('_')
        made = f'{head}_desc-edited{hashlib.sha256(data).hexdigest()[:10]}_{suffix}'
        folder = self.folder / visit.folder / 'anat'
        atomic_write(folder / f'{made}.nii.gz', data)
        atomic_write(folder / f'{made}.json', json_text(dict(facts)))
        return (folder / f'{made}.nii.gz').relative_to(self.path.parent).as_posix()

    def _stamp(self) -> tuple:
        try:
            facts = self.path.stat()
        except FileNotFoundError:
            return ()
        return facts.st_ino, facts.st_size, facts.st_mtime_ns

    def _append(self, cells: Mapping[str, str]) -> None:
        """Write one line at the end of the file, which no other process writes to meanwhile."""
        while True:
            self._begin()
            with self._held() as stream:
                if stream is None:
                    continue
                head = _head(stream)
                names = [_plain(column) for column in head]
                if lacking := [name for name in HEAD if name not in names]:
                    self._widen(stream, lacking)
                    continue
                cut = _torn(stream, len(head))
                line = join_line(cells.get(name, MISSING) for name in names).encode() + b'\n'
                end = stream.seek(0, io.SEEK_END)
                if cut is not None and cut < end:
                    stream.truncate(cut)
                elif end and _last(stream) != b'\n':
                    line = b'\n' + line
                if os.write(stream.fileno(), line) < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
                os.fsync(stream.fileno())
                return

    def _begin(self) -> None:
        """Make the table with its head, and its dictionary, unless it is there."""
        if not self.path.exists():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            draft = self.path.with_name(f'.{self.path.name}.{os.getpid()}.{id(self)}.tmp')
            draft.write_text(tsv_text([HEAD]), encoding='utf-8')
            try:
                # A link fails where another process was first; a rename would lose its rows.
                os.link(draft, self.path)
            except FileExistsError:
                pass
            finally:
                draft.unlink()
        sidecar = self.path.with_suffix('.json')
        if not sidecar.exists():
            atomic_write(sidecar, json_text(dictionary()))

    @contextlib.contextmanager
    def _held(self) -> Iterator[BinaryIO | None]:
        """Open the table and lock it; None if it was replaced while waiting."""
        handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        with os.fdopen(handle, 'rb+', buffering=0) as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX)
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise
            same = os.path.exists(self.path) and os.path.samestat(
                os.fstat(handle), os.stat(self.path)
            )
            yield stream if same else None

    def _widen(self, stream: BinaryIO, lacking: Sequence[str]) -> None:
        """Give a table that a person began the columns that it lacks, whole at once."""
        stream.seek(0)
        lines = stream.readall().decode('utf-8-sig').replace('\r\n', '\n').split('\n')
        wide = [
            line + '\t' + join_line(lacking if at == 0 else [MISSING] * len(lacking))
            for at, line in enumerate(_filled(lines))
        ]
        with replacing(self.path) as draft:
            draft.write(('\n'.join(wide) + '\n').encode())


def _unheard(line: str) -> None:
    """Leave what is odd about the table to the participant level."""


def now() -> str:
    """Return the time in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec='milliseconds')


def dictionary() -> dict[str, dict]:
    """Describe the columns of the table, as BIDS has it."""
    kinds = {kind.name: kind.title for name in LISTS for kind in KINDS[name]}
    return {
        'participant_id': {'Description': 'Label of the participant.'},
        'session_id': {'Description': 'Label of the session.'},
        'rater': {'Description': 'Who rated; "consensus" settles what others disagree about.'},
        'marker': {
            'Description': 'What was rated.',
            'Levels': {
                **{name: f'{item.title}: {item.allowed}' for name, item in MARKERS.items()},
                **{name: f'one candidate of the list of {what}' for name, what in LISTS.items()},
                DECISION: 'use of the visit: ' + ', '.join(DECISIONS),
                **dict.fromkeys(MASKS, 'a mask that the rater edited'),
            },
        },
        'value': {
            'Description': 'What the rater says; n/a takes back what was said. Of a mask, its '
            'file, from the folder of this table.',
            'Levels': {
                'accept': 'a lesion, or a visit that may be used',
                'reject': 'no lesion',
                'add KIND': 'a lesion that the list does not have',
                **kinds,
                **{name: what for name, what in DECISIONS.items() if name != 'accept'},
            },
        },
        'candidate': {
            'Description': 'Candidate of the list: its index, or x, y and z in scanner '
            'coordinates (RAS+) of the image of the list.'
        },
        'comment': {'Description': 'What the rater notes. Of a decision it is the reason.'},
        'time': {
            'Description': 'When, UTC (ISO 8601). Of rows of one rater about one thing the last '
            'in the table counts.'
        },
        'version': {
            'Description': 'What was looked at: version of csvdprep, and the first digits of the '
            'SHA-256 of the list or mask, or of the key of the results of the visit.'
        },
    }


def _of(visit: Visit) -> tuple[str, str | None]:
    return visit.subject, visit.session


def _plain(column: str) -> str:
    return re.sub(r'[^a-z0-9]+', '_', column.lower()).strip('_')


def _head(stream: BinaryIO) -> list[str]:
    stream.seek(0)
    first = stream.read(1 << 16).split(b'\n', 1)[0]
    return [cell.strip() for cell in split_line(first.decode('utf-8-sig', 'replace'))]


def _last(stream: BinaryIO) -> bytes:
    stream.seek(-1, io.SEEK_END)
    return stream.read(1)


def _torn(stream: BinaryIO, columns: int) -> int | None:
    """Return where a last line begins that was not written to its end; None if there is none."""
    size = stream.seek(0, io.SEEK_END)
    if not size or _last(stream) == b'\n':
        return None
    stream.seek(max(0, size - (1 << 16)))
    tail = stream.read(1 << 16)
    line = tail.rsplit(b'\n', 1)[-1]
    # Whoever wrote the table by hand may have left out the last line end.
    return None if line.count(b'\t') + 1 >= columns else size - len(line)


def _filled(lines: Iterable[str]) -> list[str]:
    """Give each line as many cells as the head has."""
    lines = [line for line in lines if line.strip()]
    width = lines[0].count('\t')
    return [line + '\t' * max(0, width - line.count('\t')) for line in lines]
