"""The phantom's DSC-MRI: its curves against closed forms, its truth against its signal."""

from __future__ import annotations

import json
from dataclasses import replace
from math import gamma

import nibabel as nib
import numpy as np
import pytest
from scipy.special import gammainc

from csvdprep.phantom.bolus.passage import FIRST, Passage, Protocol, arterial
from csvdprep.phantom.bolus.series import PRESETS, clean_volume, maps, record, times_to_peak
from csvdprep.phantom.dataset.modalities import MODALITIES, OPTIONAL
from csvdprep.phantom.dataset.presets import get_preset
from csvdprep.phantom.disease.hyperintensities import lesion_growth
from csvdprep.phantom.geometry.features import Tube
from csvdprep.phantom.head.anatomy import make_anatomy
from csvdprep.phantom.scanner.recorder import Recorder
from csvdprep.phantom.scanner.scan import Scan
from csvdprep.phantom.scanner.scene import Scene

STILL = Scan(voxel=(6, 6, 6), noise=0.0, bias=0.0, low=(-92, -122, -76), high=(92, 108, 90))


@pytest.fixture(scope='module')
def scene():
    anatomy = make_anatomy(3, spacing=4.0, ventricles_mm=2.0)
    angle = np.deg2rad(np.linspace(30, 200, 60))
    line = np.stack([0 * angle, -18 + 88 * np.cos(angle), 8 + 73 * np.sin(angle)], axis=1)
    sinus = Tube(kind='sinus', tissue='vein', points=anatomy.to_head(line), radii=np.full(60, 5.0))
    wmh = lesion_growth(anatomy, 1).fraction(25)
    return Scene(anatomy=anatomy, wmh=wmh, features=(sinus,), rotation=(4, 0, 2))


def first_pass(time, mtt):
    """Return the first pass convolved with exp(-t/mtt), in closed form."""
    area, order, scale = FIRST
    rate = 1 / scale - 1 / mtt
    t = np.maximum(time, 0)
    return area * np.exp(-t / mtt) * gammainc(order, rate * t) / (rate * scale) ** order


@pytest.mark.parametrize('mtt', [3.0, 5.0, 8.0])
def test_curves_are_those_of_the_closed_form(mtt):
    passage = Passage(length_s=60)
    early = passage.times < 9.0  # before recirculation, and with little that stays
    rest = arterial(passage.times) - _first(passage.times)
    small = np.convolve(rest, np.exp(-passage.times / mtt))[: len(rest)] * 0.05
    wanted = first_pass(passage.times, mtt) + small
    np.testing.assert_allclose(passage.washed(mtt)[early], wanted[early], atol=0.1)


def _first(time):
    area, order, scale = FIRST
    at = time / scale
    return area * at ** (order - 1) * np.exp(-at) / (gamma(order) * scale)


@pytest.mark.parametrize('residue', ['exponential', 'box'])
def test_area_over_area_is_the_transit_time(residue):
    passage = Passage(length_s=90, residue=residue)
    whole = np.trapezoid(passage.washed(6.0)) / np.trapezoid(passage.blood)
    late = passage.washed(6.0)[-1] / passage.blood[-1]
    assert late == pytest.approx(6.0, rel=0.05)
    assert whole == pytest.approx(6.0, rel=0.05)


def test_the_signal_is_that_of_the_maps(scene):
    protocol = Protocol(scan=scene.place(STILL, np.random.default_rng(0), 0, 0), leak=0.0)
    here = maps(scene, protocol)
    first, late = (clean_volume(here, protocol, n) for n in (0, 30))
    tissue = (here.cbf > 15) & (here.artery + here.vein < 1e-4) & (here.free > 0.999)
    assert tissue.sum() > 1000
    rates = -np.log(late[tissue] / first[tissue]) / (protocol.te / 1000)
    since = 30 * protocol.tr - protocol.arrival_s - here.delay[tissue]
    transit = here.transit[tissue]
    fine = Passage(length_s=80)
    wanted = [
        np.interp(t, fine.times, fine.washed(m)) * f / 6000 * protocol.tissue_r2s
        for t, m, f in zip(since[:60], transit[:60], here.cbf[tissue][:60], strict=True)
    ]
    np.testing.assert_allclose(rates[:60], wanted, rtol=5e-3)


def test_regions_differ_as_the_table_says(scene):
    protocol = Protocol(scan=scene.place(STILL, np.random.default_rng(0), 0, 0))
    here = maps(scene, protocol)
    brain = here.cbf > 10
    assert here.transit[brain].min() > 4.1
    assert here.transit[brain].max() < 9.1
    assert here.cbv[here.cbf > 45].mean() > 1.5 * here.cbv[brain & (here.cbf < 24)].mean()
    ttp = times_to_peak(here, protocol)[brain]
    assert 2 < np.quantile(ttp, 0.01) < np.quantile(ttp, 0.99) < 8
    slow = replace(scene, factors={'transit': 1.3})
    assert np.allclose(maps(slow, protocol).transit[brain], 1.3 * here.transit[brain], rtol=1e-4)


def test_leakage_raises_the_signal(scene):
    protocol = Protocol(scan=scene.place(STILL, np.random.default_rng(0), 0, 0), leak=100.0)
    here = maps(scene, protocol)
    tight = replace(protocol, leak=0.0)
    brain = here.cbf > 15
    with_leak, without = (clean_volume(here, p, 45)[brain] for p in (protocol, tight))
    assert (with_leak > without).all()
    assert with_leak.mean() / without.mean() > 1.02


def test_slices_are_read_one_after_the_other(scene):
    scan = scene.place(STILL, np.random.default_rng(0), 0, 0)
    late = Protocol(scan=scan, slice_s=0.05)
    once = Protocol(scan=scan)
    here = maps(scene, late)
    a, b = clean_volume(here, late, 15), clean_volume(here, once, 15)
    brain = here.cbf > 15
    low = brain & (np.arange(brain.shape[2]) == np.nonzero(brain)[2].min())
    assert np.allclose(a[..., 0], b[..., 0])
    assert (a[brain & ~low] < b[brain & ~low]).mean() > 0.95


def test_it_is_written_with_its_truth(scene, tmp_path):
    protocol = replace(
        PRESETS['tiny'], scan=replace(STILL, noise=0.01, bias=0.2), frames=40, motion=0.3
    )
    rows = []
    for name in ('one', 'two'):
        recorder = Recorder(tmp_path / name, '01', '1')
        record(scene, protocol, recorder, 5)
        rows.append(recorder.close())
    files = sorted(
        p.relative_to(tmp_path / 'one') for p in (tmp_path / 'one').rglob('*') if p.is_file()
    )
    assert all(
        (tmp_path / 'one' / f).read_bytes() == (tmp_path / 'two' / f).read_bytes() for f in files
    )
    side = json.loads(
        (tmp_path / 'one/sub-01/ses-1/perf/sub-01_ses-1_ce-gadolinium_dsc.json').read_text()
    )
    assert (side['EchoTime'], side['RepetitionTime']) == (0.03, 1.5)
    assert (
        len(side['SliceTiming'])
        == nib.load(
            tmp_path / 'one/sub-01/ses-1/perf/sub-01_ses-1_ce-gadolinium_dsc.nii.gz'
        ).shape[2]
    )
    row = rows[0]
    assert 0.6 < row['dsc_cbv_wmh_to_nawm'] < 1
    assert row['dsc_cbf_wmh_to_nawm'] < row['dsc_cbv_wmh_to_nawm']
    assert row['dsc_mtt_cgm_s'] < row['dsc_mtt_nawm_s'] < row['dsc_mtt_wmh_s']
    assert row['tdc_nawm_median_s'] < row['tdc_wmh_median_s']
    assert 3 < row['tdc_avtt_s'] < 6


def test_it_is_made_only_where_it_is_asked_for():
    assert OPTIONAL == ('dsc',)
    assert set(OPTIONAL) < set(MODALITIES)
    # The last one: seeds of the others do not depend on it.
    for size in ('tiny', 'demo', 'full'):
        assert list(get_preset(size).protocols)[-1] == 'dsc'
    assert 'dsc' not in get_preset('full', '7t').protocols
