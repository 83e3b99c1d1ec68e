"""No pickle is read where another user may have written it."""

from __future__ import annotations

import os
import stat

import pytest

from csvdprep.bids import trust
from csvdprep.bids.trust import check_trusted, make_trusted
from csvdprep.core.errors import PreflightError

OTHER = 4711
CACHE = trust.PARTS[0]


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A working directory as a run leaves it, of a user who is not root and in a shared group."""
    folder = tmp_path / 'work'
    node = folder / CACHE / 'node'
    node.mkdir(parents=True)
    (node / 'result_node.pklz').write_bytes(b'x')
    for path in (folder, folder / CACHE, node):
        path.chmod(0o755)
    (node / 'result_node.pklz').chmod(0o644)
    return folder


@pytest.fixture
def owned(monkeypatch):
    """Let files belong to whom a test says, which only root could arrange."""
    owners: dict[str, tuple[int, int]] = {}
    real = trust._check

    def check(path, facts, trusted, writers):
        user, group = owners.get(path.name, (os.geteuid(), OTHER))
        values = list(facts[:10])
        values[4], values[5] = user, group
        return real(path, os.stat_result(values), trusted, writers)

    monkeypatch.setattr(trust, '_check', check)
    return owners


def refused(folder, word, **more):
    with pytest.raises(PreflightError) as caught:
        check_trusted(folder, **more)
    assert word in str(caught.value)
    assert caught.value.field == '--work-dir'
    assert '-w' in caught.value.remedy
    return caught.value


def test_a_folder_of_ones_own(work, owned):
    check_trusted(work)
    assert not list(work.glob('.*'))


def test_a_folder_that_is_not_there_is_not_made(tmp_path):
    check_trusted(tmp_path / 'no')
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('name', ['work', CACHE, 'node', 'result_node.pklz'])
def test_what_belongs_to_another_user(work, owned, name):
    owned[name] = OTHER, OTHER
    found = refused(work, 'belongs to another user (uid 4711)')
    assert found.file.endswith(name)
    check_trusted(work, owners=[OTHER])


@pytest.mark.parametrize('name', ['work', CACHE, 'node', 'result_node.pklz'])
def test_what_belongs_to_root(work, owned, name):
    owned[name] = 0, 0
    check_trusted(work)


def test_other_things_may_belong_to_anybody(work, owned):
    # Several users may share a sticky folder; each run has a folder of its own there.
    (work / 'csvdprep_wf-1').mkdir()
    owned['csvdprep_wf-1'] = OTHER, OTHER
    check_trusted(work)
    with pytest.raises(PreflightError, match='another user'):
        check_trusted(work, parts=['csvdprep_wf-1'])


@pytest.mark.parametrize('mode', [0o777, 0o757, 0o722 | 0o011])
@pytest.mark.parametrize('name', ['.', CACHE, f'{CACHE}/node'])
def test_folders_that_others_may_write_to(work, owned, name, mode):
    (work / name).chmod(mode)
    refused(work, 'Every user can write')
    (work / name).chmod(mode | stat.S_ISVTX)
    check_trusted(work)


@pytest.mark.parametrize('mode', [0o666, 0o646])
def test_files_that_others_may_write_to(work, owned, mode):
    (work / CACHE / 'node' / 'result_node.pklz').chmod(mode)
    refused(work, 'Every user can write')


def test_a_group_shares_its_scratch(work, owned):
    for path in (work, work / CACHE):
        path.chmod(0o2775)
    check_trusted(work)


@pytest.mark.parametrize('closed', ['.', CACHE])
def test_what_nobody_else_can_reach_may_have_any_mode(work, owned, closed):
    (work / CACHE / 'node').chmod(0o777)
    (work / CACHE / 'node' / 'result_node.pklz').chmod(0o666)
    (work / closed).chmod(0o700)
    check_trusted(work)


def test_a_link_to_the_folder_of_another(work, owned, tmp_path):
    (tmp_path / 'link').symlink_to(work)
    check_trusted(tmp_path / 'link')
    owned['link'] = OTHER, OTHER
    refused(tmp_path / 'link', 'another user')


def test_a_link_below_is_not_followed(work, owned, tmp_path):
    (tmp_path / 'away').mkdir(mode=0o777)
    (work / CACHE / 'away').symlink_to(tmp_path / 'away')
    (work / CACHE / 'loop').symlink_to('.')
    check_trusted(work)
    owned['away'] = OTHER, OTHER
    refused(work, 'another user')


def test_a_file_system_that_makes_all_users_one(work, owned, monkeypatch):
    for name in ('work', CACHE, 'node', 'result_node.pklz'):
        owned[name] = 65534, 65534
    refused(work, 'another user')
    monkeypatch.setattr(trust, '_probe', lambda folder: ({65534}, True))
    check_trusted(work)


def test_a_file_system_without_permissions(work, owned, monkeypatch):
    work.chmod(0o777)
    refused(work, 'Every user')
    monkeypatch.setattr(trust, '_probe', lambda folder: (set(), False))
    check_trusted(work)


def test_a_folder_that_cannot_be_written_is_not_probed(work, owned, monkeypatch):
    def deny(*args):
        raise PermissionError

    monkeypatch.setattr(trust.os, 'open', deny)
    check_trusted(work)


def test_what_is_made_is_private(tmp_path, owned):
    before = os.umask(0)
    try:
        make_trusted(tmp_path / 'work')
    finally:
        os.umask(before)
    found = {p.name: stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / 'work').iterdir()}
    assert found == {CACHE: 0o700}
    make_trusted(tmp_path / 'work')


def test_what_was_there_is_checked(tmp_path, owned):
    (tmp_path / 'work' / CACHE).mkdir(parents=True)
    owned[CACHE] = OTHER, OTHER
    with pytest.raises(PreflightError, match='another user'):
        make_trusted(tmp_path / 'work')


@pytest.mark.skipif(os.geteuid() != 0, reason='only root can give files away')
def test_files_that_really_belong_to_another_user(work):
    os.chown(work / CACHE / 'node' / 'result_node.pklz', OTHER, OTHER)
    refused(work, 'uid 4711')
