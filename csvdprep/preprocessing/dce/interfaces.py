"""Files in, files out; the numbers are in the science."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, traits
from scipy import ndimage as ndi

from csvdprep.bids.tsv import write_tsv
from csvdprep.core.errors import MeasureError
from csvdprep.imaging.ants import n4, rigid
from csvdprep.imaging.brain import extract_brain
from csvdprep.imaging.images import like, load, load_mask_on, resample, save
from csvdprep.imaging.inspect import load_series
from csvdprep.imaging.transforms import read_linear, write_linear
from csvdprep.interfaces.contrast_series import coverage_of, motion_of
from csvdprep.interfaces.values import Value, write_values
from csvdprep.preprocessing.dce import ROOM
from csvdprep.preprocessing.dce.mapping import map_t1
from csvdprep.preprocessing.dce.science import (
    b1_factor,
    find_baseline,
    find_motions,
    pulled,
    temporal_noise,
)
from csvdprep.science.morphology import dilate

#: T1 is mapped this far around the brain, mm: the sagittal sinus lies outside of it.
AROUND_MM = 20.0
#: The bolus is looked for in the brain and so far around it, mm.
VESSELS_MM = 5.0
#: Share of the signal of the brain from which a voxel counts as head.
HEAD = 0.1
COLUMNS = tuple(column.name for column in ROOM.makes['dce_motion'].columns)


class _InputSpec(TraitedSpec):
    dce = traits.Dict(mandatory=True, desc='series, protocol, images for T1')
    anat_preproc = File(exists=True, mandatory=True, desc='anatomical reference')
    brain_mask = File(exists=True, mandatory=True, desc='its brain')
    t1_fit = traits.Enum('nonlinear', 'linear', mandatory=True, desc='fit of T1')
    motion = traits.Bool(mandatory=True, desc='whether motion is corrected')
    relaxivity = traits.Float(mandatory=True, desc='r1 if it is not told')
    haematocrit = traits.Float(mandatory=True, desc='haematocrit if it is not told')


class _OutputSpec(TraitedSpec):
    dce_preproc = File(exists=True, desc='series at rest')
    dce_baseline = File(exists=True, desc='mean before the contrast agent')
    dce_mask = File(exists=True, desc='brain')
    dce_to_anat = File(exists=True, desc='resamples it onto the reference')
    dce_t1 = File(exists=True, desc='T1')
    dce_b1 = File(exists=True, desc='B1')
    dce_motion = File(exists=True, desc='motion')
    dce_protocol = File(exists=True, desc='what is known of the sequence')
    dce_values = File(exists=True, desc='measures')


class DynamicSeries(SimpleInterface):
    """Correct motion, register, map T1."""

    input_spec = _InputSpec
    output_spec = _OutputSpec

    def _run_interface(self, runtime):
        given, folder = self.inputs, Path(runtime.cwd)
        protocol = given.dce['protocol']
        image = load_series(given.dce['series'])
        series = np.asanyarray(image.dataobj, dtype=np.float32)
        affine = image.affine
        whole = like(series[..., : max(3, 1)].mean(axis=-1), image)
        own = np.asarray(extract_brain(whole)[0]) > 0
        level = float(np.median(series[..., 0][own])) if own.any() else 0.0
        if not level > 0:
            raise MeasureError(
                'The dynamic series holds no brain.', remedy='Look at the series; export it again.'
            )
        head = series[..., 0] > HEAD * level
        times = protocol['times_s']
        voxel_mm = nib.affines.voxel_sizes(affine)
        near = dilate(own, voxel_mm, VESSELS_MM) & head
        baseline, notes = find_baseline(series, near, times, protocol['injection_s'], voxel_mm)
        if baseline.stop == baseline.start:
            raise MeasureError(
                'The dynamic series has no volume before the contrast agent: '
                + ('; '.join(notes) or 'the first shows it already')
                + '.',
                remedy='Check InjectionStart and the order of the volumes.',
            )
        # The coil stays where it is when the head moves: its field is taken off before.
        series = series / _coil(series[..., baseline].mean(axis=-1), own, image)[..., None]
        motions = np.tile(np.eye(4), (series.shape[3], 1, 1))
        if given.motion:
            motions = find_motions(series, own, affine, baseline)
            series = pulled(series, motions, affine)
        mean = like(series[..., baseline].mean(axis=-1), image)
        anat, brain = load(given.anat_preproc), load(given.brain_mask)
        inside = np.asanyarray(brain.dataobj) > 0
        way = rigid(mean, anat, folder / 'anat_to_dce.txt', fixed_mask=own, moving_mask=inside)
        matrix = np.linalg.inv(read_linear(way))
        there = load_mask_on(given.brain_mask, mean, matrix=np.linalg.inv(matrix)) > 0
        # What a volume does not hold (edges after motion) is not measured.
        held = (series > 0).all(axis=-1)
        mask = there & held
        if not mask.any():
            raise MeasureError(
                'The dynamic series and the anatomical reference have no brain in common: '
                'registration failed.',
                remedy='Look at both images; leave the series out by --ignore dce.',
            )
        around = dilate(mask, voxel_mm, AROUND_MM) & head
        b1, measured, told = self._b1(mean, mask)
        notes += told
        mapped = map_t1(
            given.dce, mean, around | mask, mask, b1 if measured else None, given.t1_fit
        )
        notes += mapped.notes
        if mapped.b1 is not None:
            b1 = mapped.b1
        for name, array in {
            'dce_preproc': series,
            'dce_baseline': np.asanyarray(mean.dataobj, dtype=np.float32),
            'dce_mask': mask.astype(np.uint8),
            'dce_t1': mapped.t1,
            'dce_b1': b1,
        }.items():
            self._results[name] = save(array, image, folder / f'{name}.nii.gz')
        self._results['dce_to_anat'] = str(write_linear(matrix, folder / 'dce_to_anat.txt'))
        rows = [
            (time, *moved)
            for time, moved in zip(times, motion_of(motions, mask, affine), strict=True)
        ]
        write_tsv(folder / 'motion.tsv', [COLUMNS, *rows], digits=4)
        self._results['dce_motion'] = str(folder / 'motion.tsv')
        known = self._protocol(protocol, baseline, notes)
        (folder / 'protocol.json').write_text(json.dumps(known), encoding='utf-8')
        self._results['dce_protocol'] = str(folder / 'protocol.json')
        start = known['injection_s']
        shown = own & held
        self._results['dce_values'] = write_values(
            folder / 'values.json',
            {
                'dce_frames_n': series.shape[3],
                'dce_step_s': float(np.median(np.diff(times))),
                'dce_duration_min': (times[-1] - start) / 60,
                'dce_baseline_n': Value(
                    baseline.stop - baseline.start,
                    reason='; '.join(notes),
                    qc='warn' if notes else '',
                ),
                'dce_t1_source': mapped.source,
                'qc_dce_motion_max_mm': max(row[-1] for row in rows)
                if given.motion
                else Value(None, reason='motion was not estimated'),
                'qc_dce_noise_pct': Value(100 * temporal_noise(series, mask), n=int(mask.sum())),
                'qc_dce_coverage_pct': coverage_of(inside, brain, matrix, mean, held),
                'qc_dce_anat_dice': Value(
                    float(2 * (shown & mask).sum() / max(shown.sum() + mask.sum(), 1)),
                    n=int(shown.sum()),
                ),
            },
            ROOM,
        )
        return runtime

    def _protocol(self, protocol, baseline, notes):
        """Settle what the sidecar left open."""
        given = self.inputs
        known = dict(protocol)
        step = float(np.median(np.diff(known['times_s'])))
        known['baseline'] = [baseline.start, baseline.stop]
        said = known['injection_s']
        end = known['times_s'][baseline.stop - 1] + step / 2
        known['injection_given'] = said is not None
        if said is None or abs(said - end) > step:
            known['injection_s'] = end
        for name in ('relaxivity', 'haematocrit'):
            known[f'{name}_given'] = known[name] is not None
            if known[name] is None:
                known[name] = getattr(given, name)
        known['notes'] = list(notes)
        return known

    def _b1(self, mean, mask):
        """Return the map of B1 on the grid of the series, smooth; ones without one."""
        path = self.inputs.dce.get('b1map')
        ones = np.ones(mean.shape, np.float32)
        if not path:
            return ones, False, []
        found = resample(load(path), mean)
        there = mask & np.isfinite(found) & (found > 0)
        factor = (
            b1_factor(float(np.median(found[there]))) if there.sum() > 0.5 * mask.sum() else None
        )
        if factor is None:
            why = 'it does not cover the brain, or its values are neither ratios nor percent'
            return ones, False, [f'the map of B1 is not used: {why}']
        share = found * factor
        return np.where((share > 0.3) & (share < 2.0), share, 1).astype(np.float32), True, []


def _coil(mean, own, image):
    """Return the field of the coil (N4), continued to where there is no signal."""
    corrected = np.asanyarray(n4(like(mean, image), own).dataobj, dtype=np.float32)
    known = (mean > 0) & (corrected > 0)
    field = np.where(known, mean / np.where(known, corrected, 1), 1).astype(np.float32)
    nearest = ndi.distance_transform_edt(~known, return_distances=False, return_indices=True)
    return field[tuple(nearest)]
