"""What the user is told: telling it never ends a command."""

from __future__ import annotations

import codecs
import contextlib
import os
import sys


def steady_streams() -> None:
    """Let standard output and error write any text, whatever the locale, and be there at all.

    A letter that the encoding lacks is written as its code. Where a caller has closed a stream,
    the next file that is opened would take its place, and get what libraries write to it.
    """
    while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(handle, True)
    os.close(handle)
    for name in ('stdout', 'stderr'):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, 'w', encoding='utf-8'))  # noqa: SIM115
        elif hasattr(stream, 'reconfigure'):
            stream.reconfigure(errors='backslashreplace')


def speak_utf8() -> None:
    """Start this command again in UTF-8 mode if names of files could only be ASCII.

    Under ``LC_ALL=C`` Python turns that mode on by itself, unless it is told not to. Without it, a
    file called in other letters cannot be opened by the name that a text file gives it, and
    libraries cannot write that name into theirs.
    """
    if (
        codecs.lookup(sys.getfilesystemencoding()).name != 'ascii'
        or not sys.executable
        or os.environ.get('PYTHONUTF8') == '1'
    ):
        return
    # If it cannot be, the command goes on as it is.
    with contextlib.suppress(OSError, ValueError):
        os.execve(
            sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, 'PYTHONUTF8': '1'}
        )


def tell(line: str, stream=None) -> None:
    """Write a line for the user, to standard error by default; nothing happens if that fails."""
    write(f'{line}\n', sys.stderr if stream is None else stream)


def write(text: str, stream) -> bool:
    r"""Write a text at once; tell whether somebody may have read it.

    Examples
    --------
    >>> import io
    >>> stream = io.TextIOWrapper(io.BytesIO(), encoding='ascii')
    >>> write('\xe9', stream), stream.buffer.getvalue()
    (True, b'\\xe9')
    >>> stream.close()
    >>> write('a', stream)
    False

    """
    try:
        try:
            stream.write(text)
        except UnicodeError:
            stream.write(text.encode('ascii', 'backslashreplace').decode('ascii'))
        stream.flush()
    except (OSError, ValueError, AttributeError):  # full, closed, broken, none
        return False
    return True
