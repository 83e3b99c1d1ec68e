"""The network's view of a scan, its weights, and what is done with its probabilities."""

import hashlib
import re

import nibabel as nib
import numpy as np
import pytest

from csvdprep.core.errors import MeasureError
from csvdprep.markers.wmh.learned import learned_probability
from csvdprep.markers.wmh.science import WmhOptions, engines_differ, segment_wmh
from csvdprep.markers.wmh.science.planes import CHANNELS, stack_channels
from csvdprep.resources import models
from csvdprep.science.planes import PlaneGrid, neighbours

RAS = np.diag([1.5, 1.2, 5.0, 1.0])


def head(shape=(60, 80, 12)):
    """Draw an ellipsoid that is different in each direction."""
    at = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing='ij')
    brain = sum(a**2 for a in at) < 0.7
    return brain, (brain * (100 + 30 * at[0] + 20 * at[1] + 10 * at[2])).astype(np.float32)


@pytest.mark.parametrize('axes', ['RAS', 'LPS', 'LAS', 'SRA', 'PSR', 'AIL'])
def test_planes_do_not_depend_on_the_order_of_storage(axes):
    brain, image = head()
    wanted = PlaneGrid.of(brain, RAS).take(image)
    order = nib.orientations.axcodes2ornt(axes)
    stored = nib.Nifti1Image(image, RAS).as_reoriented(order)
    mask = nib.Nifti1Image(brain.astype(np.uint8), RAS).as_reoriented(order)
    grid = PlaneGrid.of(np.asarray(mask.dataobj), stored.affine)
    there = np.asarray(stored.dataobj)
    assert np.allclose(grid.take(there), wanted, atol=1e-3)
    back = grid.give_back(grid.take(there))
    inside = np.asarray(mask.dataobj) > 0
    assert back.shape == there.shape
    assert abs(back - there)[inside].mean() < 3


def test_thick_slices_that_are_not_axial_have_no_planes():
    brain, _ = head()
    assert PlaneGrid.of(brain, np.diag([5.0, 1.2, 1.5, 1.0])) is None
    assert PlaneGrid.of(brain, np.diag([1.0, 5.0, 1.0, 1.0])) is None
    assert PlaneGrid.of(brain, np.diag([1.0, 1.0, 1.2, 1.0])) is not None
    sagittal = np.array([[0, 0, 1.0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    assert PlaneGrid.of(brain, sagittal).axes == (2, 0, 1)


def test_neighbours_are_some_millimetres_away():
    below, above = neighbours(9, 1.0)
    assert (above - np.arange(9)).max() == (np.arange(9) - below).max() == 3
    assert np.array_equal(neighbours(3, 5.0)[1], [1, 2, 2])


def test_channels():
    maps = np.zeros((5, 4, 16, 16), np.float32)
    out = stack_channels(np.ones((4, 16, 16), np.float32), maps, True, 5.0)
    assert out.shape == (4, len(CHANNELS), 16, 16)
    assert not out[:, :3].any()
    assert (out[:, 8] == 1).all()
    assert (out[:, 9] == 0.5).all()


def test_weights_are_those_of_the_page():
    folder = models() / 'wmh'
    text = (folder / 'README.md').read_text(encoding='utf-8')
    digest = re.search(r'network\.onnx \| ([0-9a-f]{64})', text)[1]
    data = (folder / 'network.onnx').read_bytes()
    assert hashlib.sha256(data).hexdigest() == digest
    assert len(data) < 10e6
    digest = re.search(r'calibration\.json \| ([0-9a-f]{64})', text)[1]
    assert hashlib.sha256((folder / 'calibration.json').read_bytes()).hexdigest() == digest


@pytest.fixture(scope='module')
def patient():
    """Draw a small patient with 12 mL in slices of 4 mm."""
    from csvdprep.phantom.head.anatomy import make_anatomy
    from csvdprep.phantom.patients import lesions
    from csvdprep.phantom.patients.atlas import warped
    from csvdprep.phantom.patients.heads import brain_only
    from csvdprep.phantom.patients.look import Look, flair
    from csvdprep.phantom.patients.scanner import Slices, record

    body = brain_only(make_anatomy(77, spacing=2, gyri=3))
    wmh = lesions.grown(body, 77, 12)
    rng = np.random.default_rng(1)
    slices = Slices(thick=2)
    atlas = warped(body, rng, error_mm=1)
    scan = record(flair(body, wmh, Look(), rng), slices, 2.0, rng, noise=0.03)
    seen = {name: slices.see(body.fractions[name]) for name in ('csf', 'gm', 'wm')}
    no = np.zeros(scan.shape, bool)
    takes = seen | {
        'flair': scan,
        'mask': sum(seen.values()) > 0.5,
        'voxel_mm': (2.0, 2.0, 4.0),
        'atlas': slices.see(atlas.tissue),
        'deep_grey': no,
        'infratentorial': no,
        'healthy': 0 * scan,
        'has_t1w': True,
    }
    return takes, slices.see(wmh.height) >= 0.5


def test_finds_what_is_there_and_gives_the_same_bytes(patient):
    takes, truth = patient
    affine = np.diag([2.0, 2.0, 4.0, 1.0])
    lesion, lining = learned_probability(takes, affine)
    found = lesion > 0.5
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.7
    assert not lesion[takes['mask'] == 0].any()
    again = learned_probability(takes, affine)
    assert lesion.tobytes() == again[0].tobytes()
    assert lining.tobytes() == again[1].tobytes()


def test_engine_that_counts(patient):
    takes, truth = patient
    learned = (truth.astype(np.float32) * 0.9, np.zeros(truth.shape, np.float32))
    few = {'runs': 3}
    network = segment_wmh(**takes, learned=learned, options=WmhOptions(engine='network', **few))
    assert network.engine == 'network'
    assert network.volume_ml == pytest.approx(truth.sum() * 0.016, abs=0.5)
    assert network.classical_ml > 0
    classical = segment_wmh(
        **takes, learned=learned, options=WmhOptions(engine='classical', **few)
    )
    assert classical.engine == 'classical'
    assert classical.volume_ml == network.classical_ml
    both = segment_wmh(**takes, learned=learned, options=WmhOptions(**few))
    assert both.engine == 'both'
    mean = 0.7 * network.probability + 0.3 * classical.probability
    assert np.allclose(both.probability, mean, atol=1e-6)
    alone = segment_wmh(**takes, options=WmhOptions(**few))
    assert alone.network_ml is None
    assert alone.mask.tobytes() == classical.mask.tobytes()


def test_engines_that_contradict_each_other_are_told(patient):
    takes, truth = patient
    nothing = (np.zeros(truth.shape, np.float32),) * 2
    found = segment_wmh(**takes, learned=nothing, options=WmhOptions(engine='network', runs=3))
    assert found.volume_ml == 0
    assert 'engines_differ' in found.flags
    assert not engines_differ({'classical': 0.3, 'network': 0.0})


def test_shapes_must_agree(patient):
    takes, truth = patient
    with pytest.raises(MeasureError, match='not on the same grid'):
        segment_wmh(**takes, learned=(truth[1:] * 1.0, truth * 1.0))


def test_the_lining_is_what_the_network_calls_so(patient):
    takes, truth = patient
    lesion = truth.astype(np.float32) * 0.9
    half = np.zeros(truth.shape, np.float32)
    half[:, : truth.shape[1] // 2] = 0.8
    told = segment_wmh(
        **takes, learned=(lesion, half), options=WmhOptions(engine='network', runs=3)
    )
    assert told.lining.any()
    assert np.array_equal(told.lining > 0, (told.mask > 0) & (half > 0.5))
    alone = segment_wmh(
        **takes, learned=(lesion, half), options=WmhOptions(engine='classical', runs=3)
    )
    assert not alone.lining.any()  # there is no ventricle to lie at
