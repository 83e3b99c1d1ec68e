import json
import os
import socket
import subprocess
import sys

import pytest

from csvdprep.bids.own import MARKER, hold, is_own, make_own, mark
from csvdprep.bids.trust import PARTS, make_trusted
from csvdprep.core.errors import PreflightError
from csvdprep.graph.workspace import PREFIX, clean, workspace


def left(root, name, pid, host=None, own=True):
    folder = root / f'{PREFIX}{name}'
    folder.mkdir()
    if own:
        mark(folder)
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
    namesake = left(tmp_path, 'namesake', dead_pid(), own=False)
    other = tmp_path / 'precious'
    other.mkdir()
    link = tmp_path / f'{PREFIX}link'
    link.symlink_to(other)
    with workspace(tmp_path, 'b'):
        assert not gone.exists()
    for folder in (alive, elsewhere, kept, new, namesake, other, link):
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


def test_cleaning_removes_what_runs_made_and_nothing_else(tmp_path):
    work, elsewhere = tmp_path / 'work', tmp_path / 'elsewhere'
    make_trusted(work)
    with workspace(work, 'kept', keep=True) as kept:
        (kept / 'deep').mkdir()
        (kept / 'out').symlink_to(elsewhere)
    gone = [kept, left(work, 'killed', dead_pid()), work / PARTS[0]]
    (work / PARTS[0] / 'matplotlib').mkdir()
    (work / 'graph.dot').write_text('digraph csvdprep_wf{}')
    gone.append(work / 'graph.dot')
    elsewhere.mkdir()
    (elsewhere / 'precious').touch()
    mark(elsewhere)
    (work / f'{PREFIX}link').symlink_to(elsewhere)
    for name in ('precious', 'graph.svg', MARKER):
        (work / name).write_text('mine')
    mine = work / f'{PREFIX}namesake'
    mine.mkdir()
    (mine / 'precious').touch()
    assert clean(work) == 5
    assert not any(path.exists() for path in gone)
    for path in (
        elsewhere / 'precious',
        work / f'{PREFIX}link',
        work / 'precious',
        work / 'graph.svg',
        work / MARKER,
        mine / 'precious',
    ):
        assert path.exists()


def test_cleaning_leaves_what_a_run_uses_and_all_its_caches(tmp_path):
    make_trusted(tmp_path)
    with workspace(tmp_path, 'a') as folder:
        assert clean(tmp_path) == 2
        assert folder.exists()
    foreign = left(tmp_path, 'elsewhere', dead_pid(), host='another-node')
    assert clean(tmp_path) == 2
    assert foreign.exists()
    assert (tmp_path / PARTS[0]).exists()


def test_cleaning_leaves_caches_that_a_run_holds_before_it_has_a_folder(tmp_path):
    make_trusted(tmp_path)
    handle = hold(tmp_path / PARTS[0])
    assert clean(tmp_path) == 1
    os.close(handle)
    assert clean(tmp_path) == 0


def test_a_folder_that_was_there_is_never_marked(tmp_path):
    folder = tmp_path / PARTS[0]
    folder.mkdir()
    (folder / 'precious').touch()
    make_trusted(tmp_path)
    assert not is_own(folder)
    assert not make_own(folder)
    assert clean(tmp_path) == 1
    assert (folder / 'precious').exists()


def test_a_mark_that_is_a_link_is_none(tmp_path):
    other, folder = tmp_path / 'other', tmp_path / 'folder'
    other.mkdir()
    folder.mkdir()
    mark(other)
    (folder / MARKER).symlink_to(other / MARKER)
    assert not is_own(folder)
