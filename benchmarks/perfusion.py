"""Blood flow and arrival time of phantoms against their truth, protocol by protocol.

    python benchmarks/perfusion.py WORK [--spacing 2] [--only NAME ...]

Without the anatomy: tissues are those of the truth, so that what is measured is reading, motion,
M0, subtraction and the kinetic model. Each protocol of the phantom (2D and 3D PCASL, PASL, PCASL
with six delays, and variants) images one head. With a folder of results, the measures of whole
visits are compared:

    csvdprep phantom P --preset tiny --modalities T1w FLAIR asl --wmh-ml 15 --seed 3
    csvdprep P OUT participant --markers perfusion
    python benchmarks/perfusion.py WORK --visits OUT P/derivatives/truth
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np

from csvdprep.bids.query import collect_visits
from csvdprep.bids.tsv import read_tsv
from csvdprep.core.settings import Settings
from csvdprep.graph.discover import declared
from csvdprep.imaging.images import canonical, load
from csvdprep.imaging.inspect import inspect_image
from csvdprep.phantom.disease.hyperintensities import lesion_growth
from csvdprep.phantom.head.anatomy import make_anatomy
from csvdprep.phantom.perfusion.series import PRESETS, maps, record
from csvdprep.phantom.scanner import rois
from csvdprep.phantom.scanner.recorder import Recorder
from csvdprep.phantom.scanner.scene import Scene
from csvdprep.preprocessing.asl.interfaces import PrepareSeries
from csvdprep.preprocessing.blood_flow.interfaces import MapFlow


def protocols() -> dict:
    """Return the protocols by name."""
    # Fluctuation of the whole head shifts a mean of 30 pairs by a tenth: it is noise, told by
    # the signal over noise of each region, and left out where the bias of the steps is asked for.
    full, multi = (replace(PRESETS[name], fluctuation=0.0) for name in ('full', 'multidelay'))
    return {
        'pcasl-2d': full,
        'pcasl-3d-suppressed': replace(PRESETS['demo'], fluctuation=0.0),
        'pasl-2d': replace(PRESETS['pasl'], fluctuation=0.0),
        'pcasl-2d-fluctuating': PRESETS['full'],
        'six-delays': multi,
        'six-delays-2d': replace(multi, slice_s=0.03, suppression=None, pulses=0, m0='Separate'),
        'short-tr-m0': replace(full, m0_tr=3.0),
    }


def settings(work: Path) -> Settings:
    """Return settings that read a dataset."""
    return Settings(bids_dir=work, output_dir=work / 'out')


def measure(name: str, protocol, scene: Scene, work: Path, options: dict) -> tuple:
    """Image the head, compute flow, and compare it with the truth."""
    recorder = Recorder(work / name, '01')
    record(scene, protocol, recorder, 11)
    recorder.close()
    (work / name / 'dataset_description.json').write_text('{"Name": "x", "BIDSVersion": "1.10.0"}')
    (visit,) = collect_visits(
        settings(work / name), declared(), inspect=inspect_image, warn=lambda _: None
    )
    here = os.getcwd()
    os.chdir(work / name)
    start = time.monotonic()
    series = PrepareSeries(asl=visit.scans['asl'].content, motion=True).run().outputs
    maps_made = MapFlow(
        asl_preproc=series.asl_preproc,
        asl_ref=series.asl_ref,
        asl_m0=series.asl_m0,
        asl_mask=series.asl_mask,
        asl_plan=series.asl_plan,
        **options,
    )
    flow = maps_made.run().outputs
    seconds = time.monotonic() - start
    os.chdir(here)
    rng = np.random.default_rng([11, 29])
    placed = replace(protocol, scan=scene.place(protocol.scan, rng))
    where = rois.regions(scene, placed.scan, maps(scene, placed).free)
    truth = {
        kind: np.asanyarray(load(next(work.glob(f'{name}/**/truth/**/*_{kind}.nii.gz'))).dataobj)
        for kind in ('cbf', 'att')
    }
    cbf, att = (np.asanyarray(load(file).dataobj, dtype=float) for file in (flow.cbf, flow.att))
    grid = load(flow.cbf)
    found = {}
    # Regions are made on the array as the scan has it; maps are brought to canonical order.
    for region in ('gm', 'wm', 'nawm', 'wmh'):
        image = nib.Nifti1Image(where[region].astype(np.uint8), placed.scan.grid()[1])
        inside = (np.asanyarray(canonical(image).dataobj) > 0) & (cbf != 0)
        found[region] = (cbf[inside].mean(), truth['cbf'][inside].mean())
        if region == 'gm':
            known = inside & (att > 0)
            if known.any():
                found['att'] = (
                    float(np.median(att[known])),
                    float(np.median(truth['att'][inside])),
                    float(att[known].mean()),
                    float(truth['att'][inside].mean()),
                )
    assert grid.shape == truth['cbf'].shape
    return found, seconds


def visits(output: Path, truth: Path) -> None:
    """Compare the measures of whole visits."""
    print('visit\tmeasure\tfound\ttruth\tdifference_pct')
    (rows,) = (read_tsv(truth / 'measures.tsv').rows,)
    for row in rows:
        parts = [row['participant_id'], row.get('session_id', '')]
        table = next(
            output.glob('/'.join([*filter(None, parts), '*desc-csvd_measures.tsv'])), None
        )
        if table is None:
            continue
        (measured,) = read_tsv(table).rows
        for name in ('cbf_gm', 'cbf_wm', 'cbf_nawm', 'cbf_wmh'):
            if name in measured and measured[name] != 'n/a' and row.get(name, 'n/a') != 'n/a':
                found, known = float(measured[name]), float(row[name])
                print(
                    f'{"_".join(filter(None, parts))}\t{name}\t{found:.2f}\t{known:.2f}\t'
                    f'{100 * (found / known - 1):+.1f}'
                )


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n', 1)[0])
    parser.add_argument('work', type=Path)
    parser.add_argument('--spacing', type=float, default=2.0, help='voxels of the head, mm')
    parser.add_argument('--only', nargs='+')
    parser.add_argument('--m0-smooth-mm', type=float, default=0.0)
    parser.add_argument('--att', default='least-squares')
    parser.add_argument('--visits', nargs=2, type=Path, metavar=('OUT', 'TRUTH'))
    args = parser.parse_args()
    if args.visits:
        visits(*args.visits)
        return
    anatomy = make_anatomy(3, spacing=args.spacing, ventricles_mm=1.0)
    scene = Scene(anatomy=anatomy, wmh=lesion_growth(anatomy, 1).fraction(25))
    options = {'outliers': True, 'm0_smooth_mm': args.m0_smooth_mm, 'att_method': args.att}
    print('protocol\tgm\ttrue\tpct\twm_pct\tnawm_pct\twmh_pct\tatt_s\ttrue\tmean_off_s\tseconds')
    for name, protocol in protocols().items():
        if args.only and name not in args.only:
            continue
        found, seconds = measure(name, protocol, scene, args.work, options)
        off = {k: 100 * (v[0] / v[1] - 1) for k, v in found.items() if k != 'att'}
        att = found.get('att')
        late = f'{att[0]:.3f}\t{att[1]:.3f}\t{att[2] - att[3]:+.3f}' if att else '\t\t'
        gm = found['gm']
        print(
            f'{name}\t{gm[0]:.2f}\t{gm[1]:.2f}\t{off["gm"]:+.2f}\t{off["wm"]:+.2f}\t'
            f'{off["nawm"]:+.2f}\t{off["wmh"]:+.2f}\t{late}\t{seconds:.0f}',
            flush=True,
        )


if __name__ == '__main__':
    main()
