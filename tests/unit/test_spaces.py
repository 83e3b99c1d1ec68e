"""Output spaces are found offline, and their absence is said plainly."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest

from csvdprep.core.errors import PreflightError, UsageError
from csvdprep.interfaces.spaces import find_space, parse_space


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


@pytest.mark.parametrize('spec', ['', 'MNI152:res-native', 'A B', 'MNI152:den-32k', 'X:res-'])
def test_misspelt_space_is_a_usage_error(spec):
    with pytest.raises(UsageError, match='not an output space'):
        parse_space(spec)
