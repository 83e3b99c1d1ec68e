"""The shipped template and its labels: geometry, symmetry, coverage, volumes, checksums."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json

import nibabel as nib
import numpy as np
import pytest

from csvdprep.core.errors import PreflightError
from csvdprep.resources import RESOURCES, SPACE, models, resource, template_file, templates

KINDS = ('structures', 'lobes', 'territories', 'pvsregions')
FOLDER = templates() / f'tpl-{SPACE}'

# Volumes in mL of one label (one side, or the whole of a midline structure) in template space,
# whose brain is about 1.25 times as large as an average one.
PLAUSIBLE = {
    'lateral ventricle': (6, 14),
    'thalamus': (6, 11),
    'caudate nucleus': (3.5, 7),
    'putamen': (5, 9),
    'pallidum': (1.5, 3.5),
    'hippocampus': (3.5, 6.5),
    'cerebellum': (65, 105),
    'brainstem': (26, 45),
    'third ventricle': (0.7, 3),
    'fourth ventricle': (1, 4),
    'septum pellucidum and fornix': (0.5, 5),
    'frontal lobe': (250, 380),
    'parietal lobe': (130, 230),
    'temporal lobe': (120, 220),
    'occipital lobe': (60, 120),
    'insula': (7, 20),
    'deep grey and capsules': (22, 50),
    'anterior cerebral artery': (120, 230),
    'middle cerebral artery': (380, 580),
    'posterior cerebral artery': (100, 210),
    'infratentorial': (180, 280),
    'basal ganglia': (22, 50),
    'centrum semiovale': (40, 100),
    'midbrain': (6, 18),
}


def load(kind):
    image = nib.load(template_file('dseg', atlas='csvdprep', desc=kind))
    return np.asarray(image.dataobj), image.affine


def table(kind):
    path = template_file('dseg', atlas='csvdprep', desc=kind, extension='.tsv')
    with path.open(encoding='utf-8') as stream:
        return list(csv.DictReader(stream, delimiter='\t'))


def region(kind, name):
    index = next(int(row['index']) for row in table(kind) if row['name'] == name)
    return load(kind)[0] == index


@pytest.fixture(scope='module')
def mask():
    return np.asarray(nib.load(template_file('mask')).dataobj) > 0


def test_checksums_match():
    expected = json.loads((templates() / 'checksums.json').read_text('utf-8'))
    there = {p.relative_to(templates()).as_posix() for p in FOLDER.iterdir()}
    assert there <= set(expected)
    for name, wanted in expected.items():
        data = (templates() / name).read_bytes()
        data = gzip.decompress(data) if name.endswith('.gz') else data
        assert hashlib.sha256(data).hexdigest() == wanted, name


def test_small_enough_to_ship():
    assert sum(p.stat().st_size for p in templates().rglob('*') if p.is_file()) < 13e6


@pytest.mark.parametrize(('resolution', 'zoom'), [(1, 1.0), (2, 2.0)])
def test_images_share_one_ras_grid(resolution, zoom):
    reference = nib.load(template_file('T1w', resolution))
    assert nib.aff2axcodes(reference.affine) == ('R', 'A', 'S')
    assert reference.header.get_zooms() == (zoom,) * 3
    # The origin of world space is the centre of a voxel, in the middle of x.
    voxel = np.linalg.inv(reference.affine) @ [0, 0, 0, 1]
    assert np.allclose(voxel, np.rint(voxel))
    assert voxel[0] == (reference.shape[0] - 1) / 2
    for name in ('template_mask', 'template_gm', 'template_wm', 'template_csf'):
        image = nib.load(template_file(**RESOURCES[name] | {'resolution': resolution}))
        assert image.shape == reference.shape
        assert np.array_equal(image.affine, reference.affine)


@pytest.mark.parametrize('resolution', [1, 2])
def test_tissue_probabilities_sum_to_one_in_the_mask(resolution):
    total = sum(
        nib.load(template_file('probseg', resolution, label=label)).get_fdata()
        for label in ('GM', 'WM', 'CSF')
    )
    inside = np.asarray(nib.load(template_file('mask', resolution)).dataobj) > 0
    if resolution == 1:
        assert np.allclose(total[inside], 1, atol=1e-6)
        assert not total[~inside].any()
    else:  # averaged: below one where the voxel reaches out of the brain
        assert total.max() <= 1 + 2 / 255
        assert total[inside].min() >= 0.49


def test_two_millimetres_is_an_average_of_one():
    fine = nib.load(template_file('T1w', 1)).get_fdata()
    coarse = nib.load(template_file('T1w', 2)).get_fdata()
    assert coarse.sum() * 8 == pytest.approx(fine.sum(), rel=2e-3)
    x, y, z = 60, 58, 50  # a voxel well inside; weights 1/4 1/2 1/4 on each axis
    weight = np.array([0.25, 0.5, 0.25])
    block = fine[2 * x - 1 : 2 * x + 2, 2 * y - 1 : 2 * y + 2, 2 * z - 1 : 2 * z + 2]
    assert coarse[x, y, z] == pytest.approx(
        np.einsum('ijk,i,j,k', block, weight, weight, weight), abs=0.51
    )


@pytest.mark.parametrize('kind', KINDS)
def test_labels_are_those_of_the_table(kind):
    labels, affine = load(kind)
    rows = table(kind)
    assert list(rows[0]) == ['index', 'name', 'abbreviation', 'color']
    assert sorted({*np.unique(labels)} - {0}) == [int(row['index']) for row in rows]
    assert len({row['name'] for row in rows}) == len({row['color'] for row in rows}) == len(rows)
    assert len({row['abbreviation'] for row in rows}) == len(rows)
    assert np.array_equal(affine, nib.load(template_file()).affine)
    sidecar = json.loads(
        template_file('dseg', atlas='csvdprep', desc=kind, extension='.json').read_text('utf-8')
    )
    assert {'Description', 'Sources', 'License'} <= set(sidecar)


@pytest.mark.parametrize('kind', KINDS)
def test_left_and_right_are_mirror_images(kind):
    labels, affine = load(kind)
    names = {int(row['index']): row['name'] for row in table(kind)}
    numbers = {name: index for index, name in names.items()}
    swap = np.arange(256)
    for index, name in names.items():
        if name.startswith('left '):
            swap[index], swap[numbers['right' + name[4:]]] = numbers['right' + name[4:]], index
    middle = round(float(-affine[0, 3]))
    assert np.array_equal(labels[:middle], swap[labels[:middle:-1]])
    sides = {index: name.split()[0] for index, name in names.items()}
    left = [index for index, side in sides.items() if side == 'left']
    right = [index for index, side in sides.items() if side == 'right']
    assert not np.isin(labels[middle:], left).any()
    assert not np.isin(labels[:middle], right).any()


@pytest.mark.parametrize('kind', KINDS)
def test_volumes_are_plausible(kind):
    labels, _ = load(kind)
    for row in table(kind):
        name = row['name'].removeprefix('left ').removeprefix('right ')
        low, high = PLAUSIBLE[name]
        assert low <= (labels == int(row['index'])).sum() / 1000 <= high, row['name']


def test_territories_cover_the_brain_exactly(mask):
    assert np.array_equal(load('territories')[0] > 0, mask)


def test_lobes_cover_the_supratentorial_brain_exactly(mask):
    infratentorial = region('territories', 'infratentorial')
    assert np.array_equal(load('lobes')[0] > 0, mask & ~infratentorial)
    stem = region('structures', 'brainstem') | region('structures', 'left cerebellum')
    assert not (load('lobes')[0][stem] > 0).any()


def test_lateral_ventricles_are_clean():
    from scipy import ndimage

    affine = nib.load(template_file()).affine
    csf = nib.load(template_file('probseg', label='CSF')).get_fdata()
    both = np.zeros(csf.shape, bool)
    for side, sign in (('left', -1), ('right', 1)):
        ventricle = region('structures', f'{side} lateral ventricle')
        both |= ventricle
        assert ndimage.label(ventricle, np.ones((3, 3, 3)))[1] == 1
        x, y, z = affine[:3, :3] @ np.array(np.nonzero(ventricle)) + affine[:3, 3:]
        assert (sign * x > 0).all()  # the plane between belongs to neither
        # Frontal horn, body, atrium, occipital horn and temporal horn are all there.
        assert y.max() > 22
        assert z.max() > 25
        assert y.min() < -65
        assert ((y > -15) & (z < -15)).any()
        # Nothing of the third ventricle or the velum interpositum.
        assert not ((abs(x) < 5) & (y < -8) & (z < 18)).any()
    assert csf[both].mean() > 0.7
    assert 14 < both.sum() / 1000 < 24


@pytest.mark.parametrize(
    ('kind', 'name', 'point'),
    [
        ('structures', 'left thalamus', (-10, -18, 8)),
        ('structures', 'right putamen', (27, 4, 2)),
        ('structures', 'left caudate nucleus', (-12, 14, 6)),
        ('structures', 'right pallidum', (20, -3, -1)),
        ('structures', 'right hippocampus', (30, -22, -14)),
        ('structures', 'brainstem', (5, -28, -34)),
        ('structures', 'left cerebellum', (-25, -65, -38)),
        ('structures', 'third ventricle', (0, -6, -2)),
        ('structures', 'fourth ventricle', (0, -45, -34)),
        ('structures', 'septum pellucidum and fornix', (0, 10, 12)),
        ('lobes', 'right frontal lobe', (40, -16, 60)),  # hand area of the precentral gyrus
        ('lobes', 'left parietal lobe', (-44, -28, 52)),  # postcentral gyrus
        ('lobes', 'left temporal lobe', (-58, -30, -4)),
        ('lobes', 'right occipital lobe', (10, -85, 5)),
        ('lobes', 'left insula', (-38, 4, 2)),
        ('territories', 'right anterior cerebral artery', (6, 40, 25)),
        ('territories', 'left middle cerebral artery', (-50, -5, 20)),
        ('territories', 'left posterior cerebral artery', (-10, -80, 5)),
        ('pvsregions', 'right basal ganglia', (25, 2, 2)),
        ('pvsregions', 'left centrum semiovale', (-24, -15, 36)),
        ('pvsregions', 'midbrain', (6, -20, -12)),
    ],
)
def test_landmarks(kind, name, point):
    affine = nib.load(template_file()).affine
    voxel = np.rint(np.linalg.inv(affine) @ [*point, 1])[:3].astype(int)
    found = load(kind)[0][tuple(voxel)]
    assert {int(r['index']): r['name'] for r in table(kind)}.get(int(found)) == name


def test_templateflow_client_finds_the_files_offline():
    from templateflow.client import TemplateFlowClient

    client = TemplateFlowClient(root=templates())
    found = client.get(SPACE, resolution=1, suffix='T1w', desc='brain')
    assert found == template_file()
    assert client.get(SPACE, resolution=2, suffix='probseg', label='WM') == template_file(
        'probseg', 2, label='WM'
    )
    lobes = client.get(SPACE, atlas='csvdprep', desc='lobes', suffix='dseg', extension='.nii.gz')
    assert lobes == template_file('dseg', atlas='csvdprep', desc='lobes')


@pytest.mark.parametrize('name', [*RESOURCES, 'identity.txt'])
def test_every_resource_exists(name):
    assert resource(name).is_file()


def test_missing_files_are_said_plainly(tmp_path, monkeypatch):
    with pytest.raises(PreflightError, match='no file tpl-MNI152NLin2009aSym_res-05') as caught:
        template_file(resolution=5)
    assert 'res-01_desc-brain_T1w' in caught.value.remedy
    with pytest.raises(PreflightError, match='nothing-such'):
        resource('nothing-such')
    monkeypatch.setenv('CSVDPREP_TEMPLATES', str(tmp_path / 'absent'))
    with pytest.raises(PreflightError, match='absent'):
        templates()
    monkeypatch.setenv('CSVDPREP_MODELS', str(tmp_path))
    assert models() == tmp_path
