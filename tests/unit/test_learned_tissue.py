"""Tissue of a FLAIR alone: the network, its weights, and what the room makes of it."""

import hashlib
import re
from types import SimpleNamespace

import numpy as np
import pytest

from csvdprep.imaging.learned_tissue import FLUID, GREY, VENTRICLE, WHITE, learned_shares
from csvdprep.preprocessing.tissues import ROOM, Options
from csvdprep.preprocessing.tissues.resolve import resolve
from csvdprep.resources import models, resource
from csvdprep.science.divided import divided

AFFINE = np.diag([2.0, 2.0, 4.0, 1.0])


def test_weights_are_those_of_the_page():
    folder = models() / 'tissue'
    text = (folder / 'README.md').read_text(encoding='utf-8')
    digest = re.search(r'network\.onnx \| ([0-9a-f]{64})', text)[1]
    data = (folder / 'network.onnx').read_bytes()
    assert hashlib.sha256(data).hexdigest() == digest
    assert len(data) < 2e6
    assert all(resource(name).is_file() for name in ROOM.resources)


@pytest.fixture(scope='module')
def patient():
    """Draw a small patient with ventricles of some 110 mL, in slices of 4 mm."""
    from csvdprep.phantom.head.anatomy import make_anatomy
    from csvdprep.phantom.patients import lesions
    from csvdprep.phantom.patients.atlas import warped
    from csvdprep.phantom.patients.heads import brain_only
    from csvdprep.phantom.patients.look import Look, flair
    from csvdprep.phantom.patients.scanner import Slices, record

    body = brain_only(make_anatomy(78, spacing=2, gyri=2, ventricles_mm=30, reach_mm=10))
    rng, slices = np.random.default_rng(1), Slices(thick=2)
    atlas = slices.see(warped(body, rng, error_mm=2).tissue)
    image = flair(body, lesions.grown(body, 78, 12), Look(), rng)
    scan = record(image, slices, 2.0, rng, noise=0.03)
    mask = slices.see(body.intracranial) > 0.5
    parts = [slices.see(body.fractions[name]) for name in ('csf', 'gm', 'wm')]
    return scan, mask, atlas, np.stack([*parts, slices.see(body.regions['ventricles'])])


def dice(found, truth):
    return 2 * np.minimum(found, truth).sum() / (found + truth).sum()


def test_finds_tissue_around_large_ventricles_and_gives_the_same_bytes(patient):
    scan, mask, atlas, truth = patient
    shares = learned_shares(scan, mask, atlas, AFFINE)
    assert np.allclose(shares.sum(0)[mask], 1, atol=1e-3)
    assert not shares[:, ~mask].any()
    fluid, grey, white, ventricle = truth * mask
    assert dice(shares[VENTRICLE], ventricle) > 0.85
    assert dice(shares[FLUID] + shares[VENTRICLE], fluid) > 0.7
    assert dice(shares[GREY], grey) > 0.75
    assert dice(shares[WHITE], white) > 0.7
    assert learned_shares(scan, mask, atlas, AFFINE).tobytes() == shares.tobytes()


def test_the_level_of_the_image_and_the_order_of_storage_do_not_matter(patient):
    scan, mask, atlas, _ = patient
    shares = learned_shares(scan, mask, atlas, AFFINE)
    turned = np.diag([-2.0, 2.0, 4.0, 1.0])
    other = learned_shares(3 * scan[::-1], mask[::-1], atlas[:, ::-1], turned)[:, ::-1]
    assert abs(other - shares).max() < 0.02


def test_thick_slices_that_are_not_axial_are_not_judged(patient):
    scan, mask, atlas, _ = patient
    assert learned_shares(scan, mask, atlas, np.diag([4.0, 2.0, 2.0, 1.0])) is None


def test_what_is_no_fluid_is_divided_as_the_network_has_it():
    first = np.array([[0.2, 0.6, 0.2], [1.0, 0.0, 0.0], [0.0, 0.3, 0.7], [0.0, 0.9, 0.1]]).T
    first = first.reshape(3, 4, 1, 1)
    grey = np.array([0.1, 0.5, 0.0, 0.4]).reshape(4, 1, 1)
    white = np.array([0.3, 0.5, 0.0, 0.6]).reshape(4, 1, 1)
    lesion = np.array([0, 0, 0, 1]).reshape(4, 1, 1)
    out = divided(first, grey, white, lesion)[..., 0, 0].T
    assert np.allclose(out, [[0.2, 0.2, 0.6], [1, 0, 0], [0, 0.3, 0.7], [0, 0, 1]], atol=1e-6)


@pytest.mark.parametrize(
    ('scans', 'asked', 'engine', 'why'),
    [
        ({'t1w'}, 'auto', 'template', 'no segmentation'),
        ({'t1w'}, 'network', 'template', 'no segmentation'),
        (set(), 'auto', 'network', 'there is no T1w'),
        (set(), 'template', 'template', 'set by tissues.flair_engine'),
    ],
)
def test_what_divides_grey_and_white_matter_is_decided_and_told(scans, asked, engine, why):
    options, decisions = resolve(dict.fromkeys(scans), Options(flair_engine=asked))
    assert options.flair_engine == engine
    assert why in decisions[-1].reason
    assert len(decisions) == 2 - len(scans)


def test_slices_that_the_network_has_not_seen_are_left_to_the_template():
    flair = SimpleNamespace(affine=np.diag([5.0, 1.0, 1.0, 1.0]).tolist())
    options, decisions = resolve({'flair': flair}, Options())
    assert options.flair_engine == 'template'
    assert 'not axial' in decisions[-1].reason
