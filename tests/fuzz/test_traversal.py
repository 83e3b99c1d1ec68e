"""No label, link or note leads out of the dataset or of the output."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from builders import write_dataset
from fuzz.mutations import DWI, EPI, TEXTS, pick, text, write_template

from csvdprep.bids.checkpoints import read_checkpoint, write_checkpoint
from csvdprep.bids.names import DERIVED, INHERITED, compose, derivative_path
from csvdprep.bids.query import collect_visits
from csvdprep.core.errors import InputError
from csvdprep.core.plan import Scan, Visit
from csvdprep.core.room import Derivative
from csvdprep.core.settings import Settings
from csvdprep.graph.discover import declared
from csvdprep.imaging.inspect import inspect_image

CASES = 400


def inside(path: str) -> bool:
    return not path.startswith('/') and '..' not in path.split('/') and '\0' not in path


def test_no_label_leads_out_of_the_output():
    for seed in range(CASES):
        rng = np.random.default_rng(seed)
        given = {key: text(rng) for key in INHERITED if rng.random() < 0.5}
        scan = Scan(name='t1w', path='', uri='', entities=given)
        visit = Visit(pick(rng, ('01', text(rng))), pick(rng, (None, '1', text(rng))))
        mask = Derivative(suffix='mask', desc='brain', description='')
        try:
            path = derivative_path(
                'brain_mask',
                mask,
                visit=visit,
                hub='T1w',
                scans={'anat': scan},
                declared=declared(),
            )
        except InputError:
            continue
        assert inside(path), seed
        assert re.fullmatch(r'[A-Za-z0-9+_./-]+', path), seed


@pytest.mark.parametrize('label', TEXTS)
def test_no_label_becomes_a_part_of_a_name_that_is_none(label):
    for key in ('sub', *sorted(DERIVED)):
        try:
            name = compose({'sub': '01', key: label}, 'mask', '.nii.gz')
        except InputError:
            assert label
            continue
        assert re.fullmatch(r'[A-Za-z0-9+_.-]+', name)
        assert os.sep not in name


@pytest.mark.parametrize('field', ['IntendedFor', 'B0FieldIdentifier', 'B0FieldSource'])
@pytest.mark.parametrize(
    'target',
    [
        '../secret.nii',
        '/secret.nii',
        'bids::../../secret.nii',
        'file:///etc/passwd',
        'http://127.0.0.1:9/x.nii',
    ],
)
def test_links_of_field_maps_are_compared_and_never_followed(tmp_path, monkeypatch, field, target):
    box = write_template(tmp_path / 'box')
    secret = tmp_path / 'secret.nii'
    secret.write_bytes(b'x')
    for name in (EPI, DWI):
        path = box / 'raw' / f'{name}.json'
        content = json.loads(path.read_text()) | {field: [target.replace('/secret', str(secret))]}
        path.write_text(json.dumps(content))
    opened = []
    real = os.open
    monkeypatch.setattr(os, 'open', lambda p, *a, **k: opened.append(str(p)) or real(p, *a, **k))
    settings = Settings(bids_dir=box / 'raw', output_dir=tmp_path / 'out')
    visits = collect_visits(settings, declared(), inspect=inspect_image, warn=lambda line: None)
    used = [scan.path for visit in visits for scan in visit.scans.values()]
    assert all(Path(path).is_relative_to(box / 'raw') for path in used)
    assert not [path for path in opened if 'secret' in path or 'passwd' in path]


def test_a_linked_image_is_read_but_its_folder_is_not_left_for_others(tmp_path):
    # Links are how DataLad keeps images; what they may not do is to be walked in circles.
    root = write_dataset(tmp_path / 'raw', ['sub-01/anat/sub-01_T1w'])
    anat = root / 'sub-01' / 'anat'
    for name in 'abcd':
        (anat / name).symlink_to('..')
    settings = Settings(bids_dir=root, output_dir=tmp_path / 'out')
    (visit,) = collect_visits(settings, declared(), inspect=inspect_image, warn=lambda line: None)
    assert visit.scans['t1w'].path == str(anat / 'sub-01_T1w.nii.gz')


@pytest.mark.timeout(60)
def test_links_in_a_circle_do_not_end_up_in_a_database(tmp_path):
    root = write_dataset(tmp_path / 'raw', ['sub-01/anat/sub-01_T1w'])
    for name in 'abcd':
        (root / 'sub-01' / 'anat' / name).symlink_to('..')
    said = []
    settings = Settings(
        bids_dir=root, output_dir=tmp_path / 'out', bids_database_dir=tmp_path / 'base'
    )
    (visit,) = collect_visits(settings, declared(), inspect=inspect_image, warn=said.append)
    assert visit.scans['t1w']
    assert 'there is a loop of links' in said[0]


@pytest.mark.parametrize('path', ['../secret', 'a/../../secret', '{root}/../secret', '{secret}'])
def test_a_checkpoint_reads_nothing_elsewhere(tmp_path, monkeypatch, path):
    root, secret = tmp_path / 'out', tmp_path / 'secret'
    (root / 'a').mkdir(parents=True)
    secret.write_bytes(b'x')
    digest = hashlib.sha256(b'x').hexdigest()
    shown = path.format(root=root, secret=secret)
    content = {'key': 'k', 'files': {'brain_mask': {'path': shown, 'sha256': digest}}}
    (root / 'brain.json').write_text(json.dumps(content))
    opened = []
    real = os.open
    monkeypatch.setattr(os, 'open', lambda p, *a, **k: opened.append(str(p)) or real(p, *a, **k))
    assert read_checkpoint(root, 'brain', root=root) is None
    assert not [name for name in opened if 'secret' in name]


def test_a_checkpoint_that_was_written_is_found(tmp_path):
    file = tmp_path / 'sub-01' / 'x.nii'
    file.parent.mkdir()
    file.write_bytes(b'x')
    write_checkpoint(tmp_path / 'log', 'brain', key='k', root=tmp_path, files={'x': str(file)})
    assert read_checkpoint(tmp_path / 'log', 'brain', root=tmp_path) == {'x': str(file)}


@pytest.mark.parametrize('content', ['[' * 100_000, '{"files": {"a": {"path": "\\u0000"}}}', '3'])
def test_a_checkpoint_that_is_none_counts_as_none(tmp_path, content):
    (tmp_path / 'brain.json').write_text(content)
    assert read_checkpoint(tmp_path, 'brain', root=tmp_path) is None
