"""Files are written whole or not at all, and a lock keeps two runs apart."""

from __future__ import annotations

import hashlib
import os
import signal
import stat
import subprocess
import sys
import threading

import pytest

from csvdprep.bids import files
from csvdprep.bids.files import LockError, atomic_write, file_digest, lock

HOLD = """
import sys, time
from csvdprep.bids.files import lock
with lock(sys.argv[1]):
    print('held', flush=True)
    time.sleep(60)
"""


def test_write_only_what_differs(tmp_path):
    path = tmp_path / 'a' / 'é è.json'
    assert atomic_write(path, 'é')
    os.utime(path, (1, 1))
    assert not atomic_write(path, 'é')
    assert path.stat().st_mtime == 1
    assert atomic_write(path, b'\x00\x01')
    assert path.read_bytes() == b'\x00\x01'
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_failure_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / 'a.txt'
    atomic_write(path, 'old')

    def full(*_):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(files.os, 'fsync', full)
    with pytest.raises(OSError, match='No space left'):
        atomic_write(path, 'new')
    assert path.read_text() == 'old'
    assert [p.name for p in tmp_path.iterdir()] == ['a.txt']


def test_others_may_read(tmp_path):
    old = os.umask(0o022)
    try:
        atomic_write(tmp_path / 'a', 'x')
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / 'a').stat().st_mode) == 0o644


def test_readers_never_see_a_part(tmp_path):
    path = tmp_path / 'shared.json'
    texts = [letter * 200_000 for letter in 'ab']
    atomic_write(path, texts[0])
    writers = [threading.Thread(target=lambda t=t: [atomic_write(path, t) for _ in range(5)])
               for t in texts]  # fmt: skip
    for writer in writers:
        writer.start()
    seen = set()
    while any(writer.is_alive() for writer in writers):
        seen.add(path.read_text())
    for writer in writers:
        writer.join()
    assert seen <= set(texts)
    assert path.read_text() in texts


def test_digest(tmp_path):
    content = os.urandom(1 << 20)
    (tmp_path / 'a').write_bytes(content)
    assert file_digest(tmp_path / 'a') == hashlib.sha256(content).hexdigest()


@pytest.fixture
def other(tmp_path):
    """Let another process hold the lock."""
    path = tmp_path / 'deep' / 'lock'
    process = subprocess.Popen([sys.executable, '-c', HOLD, path], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b'held\n'
    yield path, process
    process.kill()
    process.wait()
    process.stdout.close()


def test_lock_names_its_holder(other):
    path, process = other
    with pytest.raises(LockError, match=f'process {process.pid} on ') as caught, \
            lock(path, blocking=False):  # fmt: skip
        pass
    assert str(path) in str(caught.value)
    assert caught.value.remedy
    with pytest.raises(LockError), lock(path, timeout=0.2):
        pass


def test_killed_holder_frees_the_lock(other):
    path, process = other
    process.send_signal(signal.SIGKILL)
    process.wait()
    with lock(path, timeout=10):
        pass
    assert path.read_bytes() == b''


def test_lock_is_freed_by_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), lock(tmp_path / 'lock'):
        raise ZeroDivisionError
    with lock(tmp_path / 'lock', blocking=False):
        pass


def test_no_locks_on_this_file_system(tmp_path, monkeypatch, caplog):
    def unknown(*_):
        raise OSError(38, 'Function not implemented')

    monkeypatch.setattr(files.fcntl, 'flock', unknown)
    with lock(tmp_path / 'lock', blocking=False):
        pass
    assert 'knows no locks' in caplog.text
