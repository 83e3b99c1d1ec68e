"""One tree of errors, each of which tells a person what to do."""

from __future__ import annotations

import os


def plain(text: object) -> str:
    """Write on one line, and without what would command a terminal, what files may be called.

    Examples
    --------
    >>> print(plain('a\\nb \\x1b[2J é \\udcff'))
    a\\nb \\x1b[2J é \\udcff

    """
    return ''.join(
        letter if letter.isprintable() else letter.encode('unicode_escape').decode()
        for letter in str(text)
    )


class CsvdprepError(Exception):
    """Any failure that the application foresees.

    Parameters
    ----------
    message : str
        What is wrong, in one plain sentence.
    file : path-like, optional
        The file that is at fault.
    field : str, optional
        The metadata field, header field or option that is at fault.
    remedy : str, optional
        What the user can do about it.

    Examples
    --------
    >>> print(InputError('The image is empty.', file='a.nii.gz', remedy='Convert it again.'))
    The image is empty. [file: a.nii.gz] Remedy: Convert it again.

    """

    exit_code = 1
    #: What kind of failure it is, see :data:`csvdprep.core.failure.KINDS`.
    kind = 'setup'

    def __init__(
        self,
        message: str,
        *,
        file: str | os.PathLike | None = None,
        field: str | None = None,
        remedy: str = '',
    ):
        super().__init__(message)
        self.message, self.remedy, self.field = message, remedy, field
        self.file = None if file is None else os.fspath(file)

    @property
    def sentence(self) -> str:
        """What is wrong, and where."""
        where = ', '.join(
            f'{kind}: {value}'
            for kind, value in (('file', self.file), ('field', self.field))
            if value
        )
        return plain(self.message + (f' [{where}]' if where else ''))

    def __str__(self) -> str:
        return self.sentence + (plain(f' Remedy: {self.remedy}') if self.remedy else '')

    def __reduce__(self):
        """Survive the way from a worker process."""
        return (_revive, (type(self), self.message, self.file, self.field, self.remedy))


def _revive(kind, message, file, field, remedy):
    return kind(message, file=file, field=field, remedy=remedy)


class UsageError(CsvdprepError):
    """The command line asks for something that does not exist."""

    exit_code = 2


class PreflightError(CsvdprepError):
    """The run cannot start: bad dataset, no space, no write access, missing template."""

    exit_code = 3


class InputError(PreflightError):
    """One input file cannot be used; other files and other visits can."""

    kind = 'input'


class NothingToDo(CsvdprepError):  # noqa: N818
    """Nothing of what was asked exists in the dataset."""

    exit_code = 70


class MeasureError(CsvdprepError):
    """An image was read, but the quantity cannot be had from it."""

    kind = 'measure'
