"""Output spaces are found offline, and their absence is said plainly."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest

from csvdprep.core.errors import PreflightError, UsageError
from csvdprep.graph.discover import discover
from csvdprep.imaging.spaces import find_space, parse_space, read_spaces


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Make a TemplateFlow home with one template that is present and one known by name only."""
    root = tmp_path / 'templateflow'
    for name, resolutions in {'Tiny': (1, 2), 'Empty': (1,)}.items():
        folder = root / f'tpl-{name}'
        folder.mkdir(parents=True)
        (folder / 'template_description.json').write_text(json.dumps({'Identifier': name}))
        for res in resolutions:
            for end in ('T1w', 'desc-brain_mask'):
                path = folder / f'tpl-{name}_res-{res:02d}_{end}.nii.gz'
                if name == 'Empty':
                    path.touch()
                else:
                    image = nib.Nifti1Image(np.ones((2, 3, 4), np.uint8), np.diag([res] * 3 + [1]))
                    nib.save(image, path)
    monkeypatch.setenv('TEMPLATEFLOW_HOME', str(root))
    return root


def test_shipped_space_needs_no_templateflow(tmp_path, monkeypatch):
    monkeypatch.setenv('TEMPLATEFLOW_HOME', str(tmp_path / 'nowhere'))
    space = find_space('MNI152NLin2009aSym')
    assert space.shipped
    assert space.resolution == 1
    assert nib.load(space.image).shape == nib.load(space.mask).shape == (197, 233, 189)
    assert nib.load(find_space('tpl-MNI152NLin2009aSym:res-02').image).shape == (99, 117, 95)
    assert not (tmp_path / 'nowhere').exists()


def test_space_in_templateflow_home(home):
    space = find_space('Tiny:res-2')
    assert not space.shipped
    assert space.image == home / 'tpl-Tiny' / 'tpl-Tiny_res-02_T1w.nii.gz'
    assert space.mask == home / 'tpl-Tiny' / 'tpl-Tiny_res-02_desc-brain_mask.nii.gz'
    assert find_space('Tiny').resolution == 1


def test_space_known_by_name_only_and_no_network(home, monkeypatch):
    import requests

    def offline(*args, **kwargs):
        raise requests.exceptions.ConnectionError('no route')

    monkeypatch.setattr(requests, 'get', offline)
    with pytest.raises(PreflightError, match='cannot be downloaded') as caught:
        find_space('Empty')
    assert 'MNI152NLin2009aSym' in caught.value.remedy
    assert (home / 'tpl-Empty' / 'tpl-Empty_res-01_T1w.nii.gz').stat().st_size == 0


def test_unknown_space_names_the_known_ones(home):
    with pytest.raises(PreflightError, match='NoSuchSpace') as caught:
        find_space('NoSuchSpace')
    assert 'Tiny' in caught.value.remedy
    assert 'MNI152NLin2009aSym' in caught.value.remedy


def test_unknown_resolution_names_those_there_are(home):
    with pytest.raises(PreflightError, match='it has: 1, 2'):
        find_space('Tiny:res-7')


def test_unusable_home_is_a_message_and_no_crash(tmp_path, monkeypatch):
    blocker = tmp_path / 'file'
    blocker.write_text('not a folder')
    monkeypatch.setenv('TEMPLATEFLOW_HOME', str(blocker / 'home'))
    with pytest.raises(PreflightError, match='TemplateFlow'):
        find_space('MNI152NLin2009cAsym')


@pytest.mark.parametrize(
    'spec',
    ['', 'MNI152:res-native', 'A B', 'MNI152:den-32k', 'X:res-', 'X:res-1:res-2', 'X:res-12345'],
)
def test_misspelt_space_is_a_usage_error(spec):
    with pytest.raises(UsageError, match='not an output space'):
        parse_space(spec)


def test_the_shipped_space_is_read_without_niworkflows(monkeypatch):
    monkeypatch.setitem(sys.modules, 'niworkflows.utils.spaces', None)
    specs = ['MNI152NLin2009aSym', 'tpl-MNI152NLin2009aSym:res-02', 'MNI152NLin2009aSym:res-2']
    assert read_spaces(specs) == ('MNI152NLin2009aSym', 'MNI152NLin2009aSym:res-2')


@pytest.mark.parametrize(
    ('spec', 'why'),
    [
        ('T1w:res-2', 'grid of a scan'),
        ('fsaverage5', 'surface'),
        ('fsnative', 'surface'),
        ('fsLR:den-32k', 'surface'),
        ('MNI152NLin2009cAsym:res-native', 'voxels as large as'),
        ('MNI152NLin2009cAsym:den-32k', 'modifiers are'),
        ('MNI152NLin2009cAsym:res-iso1.6mm', 'modifiers are'),
        ('../x', 'modifiers are'),
        ('', 'modifiers are'),
    ],
)
def test_what_is_refused_before_niworkflows_is_imported(spec, why, monkeypatch):
    monkeypatch.setitem(sys.modules, 'niworkflows.utils.spaces', None)
    with pytest.raises(UsageError, match=why) as caught:
        read_spaces([spec])
    assert caught.value.field == '--output-spaces'
    assert caught.value.remedy


def test_without_niworkflows_it_is_said(home, monkeypatch):
    monkeypatch.setitem(sys.modules, 'niworkflows.utils.spaces', None)
    with pytest.raises(PreflightError, match='niworkflows, which cannot be imported'):
        read_spaces(['Tiny'])


READ = """
import json, sys
from csvdprep.core.errors import CsvdprepError
from csvdprep.imaging.spaces import read_spaces
found = {}
for spec in sys.argv[1:]:
    try:
        found[spec] = read_spaces(spec.split())
    except CsvdprepError as error:
        found[spec] = f'{type(error).__name__}: {error}'
print(json.dumps(found))
"""


def read(root, *specs):
    """Read spaces in a process of their own: niworkflows looks at a home when it is imported."""
    said = subprocess.run(
        [sys.executable, '-c', READ, *specs],
        env={**os.environ, 'TEMPLATEFLOW_HOME': str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(said.stdout)


@pytest.fixture(scope='module')
def templates(tmp_path_factory):
    """Make a home of empty files, as TemplateFlow has before it fetches anything."""
    root = tmp_path_factory.mktemp('templateflow')
    for name in (
        'tpl-Volume_res-01_T1w.nii.gz',
        'tpl-Aged_cohort-1_res-1_T1w.nii.gz',
        'tpl-Aged_cohort-2_res-1_T1w.nii.gz',
        'tpl-Sphere_hemi-L_den-10k_sphere.surf.gii',
    ):
        folder = root / name.split('_')[0]
        if 'cohort' in name:
            folder /= name.split('_')[1]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return root


def test_spaces_are_read_as_for_fmriprep(templates):
    specs = {
        'Volume': ['Volume'],
        'Volume:res-02: tpl-Volume:res-2': ['Volume:res-2'],
        'Volume:resolution-1:resolution-2': ['Volume:res-1', 'Volume:res-2'],
        'anat FLAIR T1w Volume': ['T1w', 'FLAIR', 'Volume'],
        'Aged:res-1:cohort-2 Volume': ['Aged:cohort-2:res-1', 'Volume'],
        'Aged:cohort-1:cohort-2': ['Aged:cohort-1', 'Aged:cohort-2'],
    }
    refused = {
        'Aged': 'Set a valid cohort selector from: "cohort-1", "cohort-2"',
        'Aged:cohort-3': 'does not contain any cohort named "3"',
        'Volume:cohort-1': 'does not accept a cohort',
        'Volume:res-1:resolution-2': 'misspelt',
        'Sphere': 'surface',
        'func': 'is neither a template nor a scan',
    }
    found = read(templates, *specs, *refused, 'Nowhere')
    assert {spec: found[spec] for spec in specs} == specs
    for spec, why in refused.items():
        assert found[spec].startswith('UsageError')
        assert why in found[spec]
    assert found['Nowhere'].startswith('PreflightError')
    assert 'Volume' in found['Nowhere']


def test_a_home_that_is_not_there_is_not_made_for_reading(tmp_path):
    found = read(tmp_path / 'nowhere', 'MNI152NLin2009cAsym:res-2', 'MNIPediatricAsym:cohort-2')
    assert found == {name: [name] for name in found}
    assert not (tmp_path / 'nowhere').exists()


def test_a_space_with_a_cohort_is_found_by_its_rooms(templates, monkeypatch):
    monkeypatch.setenv('TEMPLATEFLOW_HOME', str(templates))
    image = templates / 'tpl-Aged' / 'cohort-2' / 'tpl-Aged_cohort-2_res-1_T1w.nii.gz'
    nib.save(nib.Nifti1Image(np.ones((2, 3, 4), np.uint8), np.eye(4)), image)
    rooms = [r for r in discover(('Aged:cohort-2:res-1',)) if r.name.startswith('space_')]
    assert {'space_Aged2res1', 'space_Aged2res1_wmh'} < {room.name for room in rooms}
    assert {find_space(room.spec).image for room in rooms} == {image}


@pytest.mark.parametrize(
    ('options', 'imported'),
    [
        ((), False),
        (('--output-spaces',), False),
        (('--output-spaces', 'MNI152NLin2009aSym:res-2'), False),
        (('--output-spaces', 'Volume:res-1'), True),
    ],
)
def test_niworkflows_is_imported_only_where_it_is_needed(options, imported, templates, tmp_path):
    (tmp_path / 'raw' / 'sub-01' / 'anat').mkdir(parents=True)
    image = tmp_path / 'raw' / 'sub-01' / 'anat' / 'sub-01_T1w.nii.gz'
    voxels = np.arange(60**3, dtype=np.int32)
    nib.save(nib.Nifti1Image(voxels.reshape(60, 60, 60), np.diag([3, 3, 3, 1])), image)
    (tmp_path / 'raw' / 'dataset_description.json').write_text(
        json.dumps({'Name': 'raw', 'BIDSVersion': '1.9.0'})
    )
    code = (
        'import sys\nfrom csvdprep.cli.run import run\ncode = run(sys.argv[1:])\n'
        "print(code, 'niworkflows' in sys.modules)"
    )
    raw, out, work = (str(tmp_path / name) for name in ('raw', 'out', 'work'))
    said = subprocess.check_output(
        [sys.executable, '-c', code, raw, out, 'participant', '--dry-run', '-w', work, *options],
        env={**os.environ, 'TEMPLATEFLOW_HOME': str(templates)},
        text=True,
    )
    assert said.split()[-2:] == ['0', str(imported)]
    assert ('space_' in said) is (options != ('--output-spaces',))
