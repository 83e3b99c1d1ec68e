"""``csvdprep compare``: what it prints, and what it says when it cannot."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
from storage import turn

from csvdprep.cli import compare
from csvdprep.core.errors import UsageError


def main(*arguments):
    parser = argparse.ArgumentParser()
    compare.configure(parser)
    return compare.run(parser.parse_args([str(argument) for argument in arguments]))


def save(path, data, affine=None):
    affine = np.diag([1.0, 1, 3, 1]) if affine is None else affine
    nib.save(nib.Nifti1Image(data, affine), path)
    return path


@pytest.fixture
def masks(tmp_path):
    truth, found = np.zeros((2, 8, 8, 4), np.uint8)
    truth[1:3, 1:3, 1] = 1
    found[1:3, 1, 1] = found[6, 6, 3] = 1
    return (
        save(tmp_path / 'truth.nii.gz', truth),
        save(tmp_path / 'one.nii.gz', found),
        save(tmp_path / 'two.nii', truth.astype(np.float32) * 0.5),
    )


def test_table(masks, capsys):
    assert main(*masks) == 0
    head, first, second, note = capsys.readouterr().out.rstrip().split('\n')
    assert head.split()[:3] == ['Dice', 'HD95', 'mm']
    assert first.split()[:2] == ['one.nii.gz', '0.5714']
    assert first.endswith('1 of 1')
    assert second.split()[1:3] == ['1.0000', '0.00']
    assert 'lower is better' in note
    assert len(head) == len(first) == len(second)


def test_json_and_tsv(masks, tmp_path, capsys):
    assert main(*masks, '--json', tmp_path / 'out.json', '--tsv', tmp_path / 'out.tsv') == 0
    document = json.loads((tmp_path / 'out.json').read_text())
    assert document['reference'] == str(masks[0])
    assert document['results'][0]['avd'] == 25
    head, *rows = (tmp_path / 'out.tsv').read_text().splitlines()
    assert head.split('\t')[:2] == ['prediction', 'dice']
    assert [row.split('\t')[0] for row in rows] == [str(path) for path in masks[1:]]
    capsys.readouterr()
    assert main(*masks[:2], '--json', '-') == 0
    assert json.loads(capsys.readouterr().out)['results'][0]['n_hits'] == 1


def test_undefined_is_not_available(masks, tmp_path, capsys):
    nothing = save(tmp_path / 'nothing.nii.gz', np.zeros((8, 8, 4), np.uint8))
    assert main(masks[0], nothing, '--tsv', '-') == 0
    head, row = (line.split('\t') for line in capsys.readouterr().out.splitlines())
    assert row[head.index('hd95')] == 'n/a'
    assert main(masks[0], nothing, '--json', '-') == 0
    assert 'NaN' not in capsys.readouterr().out


def test_threshold(masks):
    assert main(*masks, '--threshold', '0.6') == 0
    for value in ('0', '1.1', 'half'):
        with pytest.raises(SystemExit) as error:
            main(*masks, '--threshold', value)
        assert error.value.code == 2


def test_missing_argument_is_a_usage_error(masks):
    with pytest.raises(SystemExit) as error:
        main(masks[0])
    assert error.value.code == 2


def bad(kind, path, good):
    data = np.asanyarray(nib.load(good).dataobj)
    if kind == 'missing':
        return path
    if kind == 'text':
        path.write_text('no image')
        return path
    if kind == 'truncated':
        path = path.with_name('bad.nii')
        save(path, data)
        path.write_bytes(path.read_bytes()[:-50])
        return path
    if kind == 'shape':
        return save(path, data[1:])
    if kind == 'moved':
        return save(path, data, np.diag([1.0, 1, 3.2, 1]))
    return save(path, np.stack([data, data], axis=-1))


@pytest.mark.parametrize('kind', ['missing', 'text', 'truncated', 'shape', 'moved', '4D'])
def test_bad_input_names_the_file(kind, masks, tmp_path, capsys):
    path = bad(kind, tmp_path / 'bad.nii.gz', masks[0])
    assert main(masks[0], masks[1], path) == 3
    captured = capsys.readouterr()
    assert str(path) in captured.err
    assert len(captured.err.splitlines()) == 1
    assert captured.out == ''


def test_unfetched_masks_are_told(masks, tmp_path, capsys):
    (tmp_path / 'link.nii.gz').symlink_to('.git/annex/objects/MD5E-s1--a')
    (tmp_path / 'pointer.nii.gz').write_text('version https://git-lfs.github.com/spec/v1\n')
    for name in ('link.nii.gz', 'pointer.nii.gz'):
        assert main(masks[0], tmp_path / name) == 3
        assert f'The content of {name} is not here: fetch it' in capsys.readouterr().err


def test_nowhere_to_write(masks, tmp_path, capsys):
    assert main(*masks, '--json', tmp_path / 'no' / 'out.json') == 3
    assert 'out.json' in capsys.readouterr().err


def test_rounded_header_is_the_same_grid(masks, tmp_path):
    affine = np.diag([1.0, 1, 3, 1]) + 1e-5
    affine[3] = 0, 0, 0, 1
    data = np.asanyarray(nib.load(masks[1]).dataobj)
    assert main(masks[0], save(tmp_path / 'near.nii.gz', data[..., None], affine)) == 0


def test_odd_reference_warns(masks, tmp_path, capsys):
    truth = np.asanyarray(nib.load(masks[0]).dataobj) * 255
    assert main(save(tmp_path / 'odd.nii.gz', truth), masks[1]) == 0
    assert 'other than 0, 1 and 2' in capsys.readouterr().err


def test_configuring_imports_nothing_heavy():
    code = (
        'import argparse, sys; from csvdprep.cli import compare; '
        'compare.configure(argparse.ArgumentParser()); '
        'print({"numpy", "nibabel", "scipy"} & set(sys.modules))'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == 'set()'


@pytest.mark.parametrize('option', ['--json', '--tsv'])
def test_no_mask_and_no_file_of_another_kind_is_written_over(masks, tmp_path, option, monkeypatch):
    notes = tmp_path / 'notes.txt'
    notes.write_text('mine')
    (tmp_path / 'link').symlink_to(masks[1])
    monkeypatch.chdir(tmp_path)
    for target in (*masks, notes, 'link', tmp_path / '.' / 'two.nii'):
        before = (tmp_path / target).read_bytes()
        with pytest.raises(UsageError) as found:
            main(*masks, option, target)
        assert (found.value.field, bool(found.value.remedy)) == (option, True)
        assert (tmp_path / target).read_bytes() == before
    with pytest.raises(UsageError, match='folder'):
        main(*masks, option, tmp_path)
    with pytest.raises(UsageError, match='same file'):
        main(*masks, '--json', 'new', '--tsv', tmp_path / 'new')


@pytest.mark.parametrize('option', ['--json', '--tsv'])
def test_an_earlier_table_is_written_anew(masks, tmp_path, option):
    target = tmp_path / 'table'
    target.touch()
    for _ in range(2):
        assert main(*masks, option, target) == 0
    assert 'prediction' in target.read_text()


@pytest.mark.parametrize('order', ['RAS', 'LPS', 'PSR', 'SAL'])
def test_the_order_of_storage_is_of_no_account(masks, tmp_path, capsys, order):
    assert main(*masks[:2], '--tsv', '-') == 0
    wanted = capsys.readouterr().out.splitlines()[1].split('\t')[1:]
    turned, _ = turn(nib.load(masks[1]), order)
    nib.save(turned, tmp_path / 'turned.nii.gz')
    assert main(masks[0], tmp_path / 'turned.nii.gz', '--tsv', '-') == 0
    assert capsys.readouterr().out.splitlines()[1].split('\t')[1:] == wanted
