"""Files are written whole or not at all, and a lock keeps two runs apart."""

from __future__ import annotations

import hashlib
import os
import pickle
import signal
import stat
import subprocess
import sys
import threading

import pytest

from csvdprep.bids import files
from csvdprep.bids.files import (
    ContentMissing,
    LockError,
    atomic_write,
    content_missing,
    file_digest,
    lock,
    open_regular,
    read_text,
)

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
    writers = [
        threading.Thread(target=lambda t=t: [atomic_write(path, t) for _ in range(5)])
        for t in texts
    ]
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
    with (
        pytest.raises(LockError, match=f'process {process.pid} on ') as caught,
        lock(path, blocking=False),
    ):
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
    assert 'does not support locks' in caplog.text


LINKS = ['.git/annex/objects/Q1/2x/MD5E-s10--a.json/MD5E-s10--a.json', 'gone/elsewhere.json', 'it']
POINTERS = [
    '/annex/objects/MD5E-s10--a.json\n',
    '../../.git/annex/objects/Q1/2x/MD5E-s10--a/MD5E-s10--a',
    '../.git/modules/a/annex/objects/MD5E-s10--a',
    '..\\.git\\annex\\objects\\MD5E-s10--a',
    'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 10\n',
]


@pytest.mark.parametrize('target', LINKS)
def test_link_without_content_is_not_absence(tmp_path, target):
    path = tmp_path / 'it'
    path.symlink_to(target)
    with pytest.raises(ContentMissing) as caught:
        read_text(path)
    assert not isinstance(caught.value, FileNotFoundError)
    assert str(caught.value) == content_missing(path)
    assert content_missing(path).startswith('The content of it is not here: fetch it (datalad get')
    assert str(pickle.loads(pickle.dumps(caught.value))) == content_missing(path)


@pytest.mark.parametrize('text', POINTERS)
def test_pointer_without_content(tmp_path, text):
    path = tmp_path / 'T1w.json'
    path.write_text(text)
    for read in (read_text, file_digest, open_regular):
        with pytest.raises(ContentMissing, match=r'content of T1w.json is not here: fetch it'):
            read(path)


@pytest.mark.parametrize(
    'text',
    [
        '',
        '{"Sources": [".git/annex/objects/MD5E-s10--a"]}',
        'annex objects',
        'a\tannex/objects/\n',
        '*/annex/objects/*\n',
        '.git\n',
        'x' * (1 << 16),
    ],
)
def test_what_is_no_pointer_is_read(tmp_path, text):
    path = tmp_path / 'a'
    path.write_text(text)
    assert content_missing(path) == ''
    assert read_text(path) == text


def test_why_a_file_cannot_be_read(tmp_path):
    """Each reason is told with what helps, and none as a fault of the content."""
    os.mkfifo(tmp_path / 'pipe')
    (tmp_path / 'latin').write_bytes(b'caf\xe9')
    (tmp_path / 'link').symlink_to('gone')
    said = {}
    for name in ('.', 'pipe', 'latin', 'link', 'absent'):
        with pytest.raises((OSError, UnicodeError)) as caught:
            read_text(tmp_path / name)
        said[name] = str(files.unreadable(tmp_path / name, caught.value))
    for name, words in {
        '.': 'folder',
        'pipe': 'pipe',
        'latin': 'Save it as UTF-8',
        'link': 'fetch it',
        'absent': 'does not exist',
    }.items():
        assert words in said[name]
        assert 'Errno' not in said[name]
