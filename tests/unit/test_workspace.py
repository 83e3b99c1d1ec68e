import json
import os
import socket
import subprocess
import sys

import pytest

from csvdprep.core.errors import PreflightError
from csvdprep.graph.workspace import PREFIX, workspace


def left(root, name, pid, host=None):
    folder = root / f'{PREFIX}{name}'
    folder.mkdir()
    (folder / '.lock').write_text(json.dumps({'pid': pid, 'host': host or socket.gethostname()}))
    return folder


def dead_pid():
    done = subprocess.Popen([sys.executable, '-c', ''])
    done.wait()
    return done.pid


def test_only_the_owner_may_enter_and_nothing_stays(tmp_path):
    with workspace(tmp_path / 'new', 'a') as folder:
        assert folder.stat().st_mode & 0o077 == 0
        (folder / 'deep').mkdir()
        (folder / 'deep' / 'file').write_text('x')
    assert list((tmp_path / 'new').iterdir()) == []


def test_what_killed_runs_left_is_removed_and_nothing_else(tmp_path):
    gone = left(tmp_path, 'killed', dead_pid())
    alive = left(tmp_path, 'alive', os.getpid())
    elsewhere = left(tmp_path, 'elsewhere', dead_pid(), host='another-node')
    kept = left(tmp_path, 'kept', dead_pid())
    (kept / '.keep').touch()
    new = tmp_path / f'{PREFIX}without-lock'
    new.mkdir()
    other = tmp_path / 'precious'
    other.mkdir()
    link = tmp_path / f'{PREFIX}link'
    link.symlink_to(other)
    with workspace(tmp_path, 'b'):
        assert not gone.exists()
    for folder in (alive, elsewhere, kept, new, other, link):
        assert folder.exists()


def test_kept_when_asked(tmp_path):
    with workspace(tmp_path, 'c', keep=True) as folder:
        pass
    with workspace(tmp_path, 'd'):
        assert folder.exists()


def test_runs_do_not_meet(tmp_path):
    with workspace(tmp_path, 'e') as one, workspace(tmp_path, 'f') as two:
        assert one != two
        assert one.exists()


def test_a_file_in_its_place_is_told(tmp_path):
    (tmp_path / 'work').write_text('')
    room = workspace(tmp_path / 'work', 'g')
    with pytest.raises(PreflightError, match='working directory'), room:
        pass
