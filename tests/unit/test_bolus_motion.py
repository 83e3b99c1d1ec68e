"""Motion during the first pass: the bolus is not taken for motion, and motion is found in it."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from csvdprep.phantom.bolus.passage import Protocol
from csvdprep.phantom.bolus.series import clean_volume, maps
from csvdprep.phantom.head.anatomy import make_anatomy
from csvdprep.phantom.scanner import motion
from csvdprep.phantom.scanner.scan import Scan
from csvdprep.phantom.scanner.scene import Scene
from csvdprep.preprocessing.dsc.interfaces import find_bolus_motions
from csvdprep.science.bolus import find_first_pass
from csvdprep.science.volume_alignment import Target

COARSE = Scan(voxel=(4, 4, 5), noise=0.0, bias=0.0, low=(-92, -122, -76), high=(92, 108, 90))
MOVED, SHIFT_MM = 13, 2.0


@pytest.fixture(scope='module')
def bolus():
    anatomy = make_anatomy(3, spacing=4.0, ventricles_mm=2.0)
    scene = Scene(anatomy=anatomy, wmh=0 * anatomy.fractions['wm'])
    scan = scene.place(COARSE, np.random.default_rng(0), 0, 0)
    protocol = Protocol(scan=scan, frames=22, tr=1.5, arrival_s=10.0)
    here = maps(scene, protocol)
    rng = np.random.default_rng(1)
    series = np.stack([clean_volume(here, protocol, n) for n in range(protocol.frames)], axis=-1)
    level = float(np.median(series[here.cbf > 15, 0]))
    pose = np.array([0.0, SHIFT_MM, 0, 0, 0, 0])
    affine = scan.grid()[1]
    series[..., MOVED] = motion.moved(
        series[..., MOVED], affine, pose, motion.reach(series[..., 0])
    )
    series += rng.normal(0, 0.01 * level, series.shape).astype(np.float32)
    return np.maximum(series, 0).astype(np.float32), here.cbf > 12, affine


def test_the_bolus_is_no_motion_and_motion_is_found_in_it(bolus):
    series, brain, affine = bolus
    found = find_first_pass(series[brain].mean(axis=0))
    assert found.reason == ''
    assert found.baseline.stop <= 7 < found.peak
    motions = find_bolus_motions(series, brain, affine, found)
    points = nib.affines.apply_affine(affine, np.argwhere(brain)[::200])

    def off(number, shift):
        there = nib.affines.apply_affine(motions[number], points)
        return np.linalg.norm(there - points - (0, shift, 0), axis=1).max()

    still = [off(n, 0.0) for n in range(series.shape[3]) if n != MOVED]
    assert max(still) < 0.35
    assert off(MOVED, SHIFT_MM) < 0.5
    # Least squares alone takes the bolus for motion.
    mean = series[..., found.baseline].mean(axis=-1)
    alone = Target(mean, brain, affine).find(series[..., found.peak], np.eye(4))
    taken = np.linalg.norm(nib.affines.apply_affine(alone, points) - points, axis=1).max()
    assert taken > off(found.peak, 0.0 if found.peak != MOVED else SHIFT_MM)
