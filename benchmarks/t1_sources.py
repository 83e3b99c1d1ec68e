"""T1 before contrast agent by source, on a phantom whose flip angles are not nominal.

python benchmarks/t1_sources.py
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from csvdprep.bids.query import collect_visits
from csvdprep.core.settings import Settings
from csvdprep.graph.discover import declared
from csvdprep.imaging.images import like, load
from csvdprep.imaging.inspect import inspect_image
from csvdprep.phantom.disease.hyperintensities import lesion_growth
from csvdprep.phantom.head.anatomy import make_anatomy
from csvdprep.phantom.permeability.series import PRESETS, record
from csvdprep.phantom.scanner.recorder import Recorder
from csvdprep.phantom.scanner.scene import Scene
from csvdprep.preprocessing.dce.mapping import map_t1

CASES = (
    ('vfa', True),
    ('vfa', False),
    ('hifi', False),
    ('hifi', True),
    ('mp2rage', False),
    ('mp2rage', True),
    ('mp2rage-complex', False),
)


def measure(scene, protocol) -> None:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        recorder = Recorder(out, '01', '1')
        record(scene, protocol, recorder, 5)
        recorder.close()
        (out / 'dataset_description.json').write_text('{"Name": "a", "BIDSVersion": "1.9.0"}')
        settings = Settings(bids_dir=out, output_dir=out / 'out')
        (visit,) = collect_visits(settings, declared(), inspect=inspect_image, warn=str)
        content = visit.scans['dce'].content
        series = load(content['series'])
        mean = like(np.asanyarray(series.dataobj, np.float32)[..., :3].mean(axis=-1), series)
        truth = out / 'derivatives/truth/sub-01/ses-1/perf'
        t1 = load(next(truth.glob('*T1map.nii.gz'))).get_fdata()
        true_b1 = load(next(truth.glob('*TB1map.nii.gz'))).get_fdata()
        b1 = None
        if content['b1map']:
            b1 = np.asanyarray(load(content['b1map']).dataobj, np.float32) / 100
        brain = (t1 > 0.5) & (t1 < 3)
        begun = time.process_time()
        found = map_t1(content, mean, brain, brain, b1, 'nonlinear')
        took = time.process_time() - begun
    cells = [content['t1'], 'yes' if b1 is not None else 'no']
    for tissue in (brain & (t1 < 1), brain & (t1 > 1.3) & (t1 < 1.7)):
        off = 100 * (found.t1[tissue] / t1[tissue] - 1)
        cells.append(f'{np.median(off):+.1f} % ({np.median(np.abs(off)):.1f})')
    told = (
        ''
        if found.b1 is None
        else f'{100 * np.median(np.abs(found.b1 / true_b1 - 1)[brain]):.1f} %'
    )
    print('|', ' | '.join([*cells, told, f'{took:.0f} s']), '|', flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--spread', type=float, default=0.1, help='SD of true over nominal angle')
    asked = parser.parse_args()
    anatomy = make_anatomy(3, spacing=2.0, ventricles_mm=2.0)
    wmh = lesion_growth(anatomy, 1).fraction(25)
    scene = Scene(anatomy=anatomy, wmh=wmh, features=(), rotation=(4, 0, 2))
    preset = PRESETS['demo']
    preset = replace(
        preset,
        scan=replace(preset.scan, voxel=(3, 3, 4)),
        frames=9,
        motion=0.0,
        b1_spread=asked.spread,
    )
    print('| source | map of B1 | white matter | grey matter | flip angle | CPU |')
    print('|---|---|---|---|---|---|')
    for mapping, has_map in CASES:
        measure(scene, replace(preset, mapping=mapping, b1_map=has_map))


if __name__ == '__main__':
    main()
