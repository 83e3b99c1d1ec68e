"""Files in, files out; the numbers are in the science."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, traits

from csvdprep.bids.tsv import write_tsv
from csvdprep.core.errors import MeasureError
from csvdprep.imaging.ants import n4, realign, rigid
from csvdprep.imaging.brain import extract_brain
from csvdprep.imaging.images import like, load, load_mask_on, save
from csvdprep.imaging.inspect import load_series
from csvdprep.imaging.transforms import read_linear, write_linear
from csvdprep.interfaces.contrast_series import coverage_of, motion_of
from csvdprep.interfaces.values import Value, write_values
from csvdprep.preprocessing.dsc import ROOM
from csvdprep.science.bolus import combine_echoes, find_first_pass
from csvdprep.science.bolus.relaxation import baseline_noise
from csvdprep.science.contrast_motion import pulled
from csvdprep.science.volume_alignment import Target

#: Volumes that the brain is found on.
FIRST = 5
#: Volumes whose mean signal has fallen by more than this share of the whole fall have another
#: contrast than those before: least squares would take it for motion.
OTHER_CONTRAST = 0.12
#: What is aligned by mutual information is cut to the brain and so many voxels around it.
AROUND = 3
COLUMNS = tuple(column.name for column in ROOM.makes['dsc_motion'].columns)


class _InputSpec(TraitedSpec):
    dsc = traits.Dict(mandatory=True, desc='series, protocol')
    anat_preproc = File(exists=True, mandatory=True, desc='anatomical reference')
    brain_mask = File(exists=True, mandatory=True, desc='its brain')
    motion = traits.Bool(mandatory=True, desc='whether motion is corrected')
    echoes = traits.Enum('combined', 'nearest', usedefault=True, desc='what is made of echoes')


class _OutputSpec(TraitedSpec):
    dsc_preproc = File(exists=True, desc='series at rest')
    dsc_baseline = File(exists=True, desc='mean before the contrast agent')
    dsc_mask = File(exists=True, desc='brain')
    dsc_to_anat = File(exists=True, desc='resamples it onto the reference')
    dsc_motion = File(exists=True, desc='motion')
    dsc_protocol = File(exists=True, desc='what is known of the series')
    dsc_values = File(exists=True, desc='measures')


class BolusSeries(SimpleInterface):
    """Find the first pass, correct motion, register."""

    input_spec = _InputSpec
    output_spec = _OutputSpec

    def _run_interface(self, runtime):
        given, folder = self.inputs, Path(runtime.cwd)
        protocol = given.dsc['protocol']
        image = load_series(given.dsc['series'])
        series = np.asanyarray(image.dataobj, dtype=np.float32)
        early = like(np.median(series[..., :FIRST], axis=-1), image)
        own = np.asarray(extract_brain(early)[0]) > 0
        if not own.any() or not float(np.median(series[own, :FIRST])) > 0:
            raise MeasureError(
                'The bolus-tracking series holds no brain.',
                remedy='Look at the series; export it again.',
            )
        found = _first_pass(series, own)
        motions = np.tile(np.eye(4), (series.shape[3], 1, 1))
        if given.motion:
            motions = find_bolus_motions(series, own, image.affine, found)
            series = pulled(series, motions, image.affine)
            found = _first_pass(series, own)
        if given.echoes == 'combined' and len(given.dsc.get('echoes', ())) > 1:
            series = join_echoes(given.dsc, image, motions if given.motion else None, found)
            found = _first_pass(series, own)
        mean = n4(like(series[..., found.baseline].mean(axis=-1), image), own)
        anat, brain = load(given.anat_preproc), load(given.brain_mask)
        inside = np.asanyarray(brain.dataobj) > 0
        way = rigid(mean, anat, folder / 'anat_to_dsc.txt', fixed_mask=own, moving_mask=inside)
        matrix = np.linalg.inv(read_linear(way))
        there = load_mask_on(given.brain_mask, mean, matrix=np.linalg.inv(matrix)) > 0
        # What a volume does not hold (edges after motion) is not measured.
        held = (series > 0).all(axis=-1)
        mask = there & held
        if not mask.any():
            raise MeasureError(
                'The bolus-tracking series and the anatomical reference have no brain in common: '
                'registration failed.',
                remedy='Look at both images; leave the series out by --ignore dsc.',
            )
        noise = baseline_noise(series[mask], found.baseline)
        for name, array in {
            'dsc_preproc': series,
            'dsc_baseline': np.asanyarray(mean.dataobj, dtype=np.float32),
            'dsc_mask': mask.astype(np.uint8),
        }.items():
            self._results[name] = save(array, image, folder / f'{name}.nii.gz')
        self._results['dsc_to_anat'] = str(write_linear(matrix, folder / 'dsc_to_anat.txt'))
        rows = _rows(motions, series, mask, image.affine, found, protocol['step_s'])
        write_tsv(folder / 'motion.tsv', [COLUMNS, *rows], digits=4)
        self._results['dsc_motion'] = str(folder / 'motion.tsv')
        known = dict(protocol) | {
            'baseline': [found.baseline.start, found.baseline.stop],
            'peak': found.peak,
            'noise': float(np.median(noise)) if np.isfinite(noise).all() else None,
            'notes': list(found.notes),
        }
        (folder / 'protocol.json').write_text(json.dumps(known), encoding='utf-8')
        self._results['dsc_protocol'] = str(folder / 'protocol.json')
        level = series[mask][:, found.baseline].mean(axis=1)
        shown = own & held
        self._results['dsc_values'] = write_values(
            folder / 'values.json',
            {
                'dsc_frames_n': series.shape[3],
                'dsc_step_s': protocol['step_s'],
                'dsc_baseline_n': Value(
                    found.baseline.stop - found.baseline.start,
                    reason='; '.join(filter(None, (*found.notes, found.doubt))),
                    qc='warn' if found.doubt else '',
                ),
                'dsc_tail_s': (series.shape[3] - 1 - found.peak) * protocol['step_s'],
                'qc_dsc_fall_pct': 100 * found.fall,
                'qc_dsc_motion_max_mm': max(row[-1] for row in rows)
                if given.motion
                else Value(None, reason='motion was not estimated'),
                'qc_dsc_noise_pct': Value(
                    100 * float(np.median(noise / np.maximum(level, 1e-9))), n=int(mask.sum())
                )
                if np.isfinite(noise).all()
                else Value(None, reason='there are fewer than three volumes before the bolus'),
                'qc_dsc_coverage_pct': coverage_of(inside, brain, matrix, mean, held),
                'qc_dsc_anat_dice': Value(
                    float(2 * (shown & mask).sum() / max(shown.sum() + mask.sum(), 1)),
                    n=int(shown.sum()),
                ),
            },
            ROOM,
        )
        return runtime


def _first_pass(series, own):
    """Find baseline and bolus, or tell why there is none."""
    found = find_first_pass(series[own].mean(axis=0, dtype=np.float64))
    if found.reason:
        raise MeasureError(
            f'No first pass can be measured: {found.reason}.',
            remedy='Check that the series shows the bolus, and the order of its volumes.',
        )
    return found


def join_echoes(dsc, image, motions, found) -> np.ndarray:
    """Put echoes together, each moved as the head was.

    Parameters
    ----------
    dsc : mapping
        Content of the input.
    image : nibabel image
        Series that motion was found in.
    motions : ndarray, shape (n, 4, 4), or None
        Takes world points of the head at rest to where they were, RAS+ mm.
    found : FirstPass
        Where the bolus lies.

    Returns
    -------
    ndarray of float32, shape (nx, ny, nz, n)
        Series of the echo time of the protocol.
    """
    series, times = [], []
    for one in dsc['echoes']:
        echo = load_series(one['path'])
        data = np.asanyarray(echo.dataobj, dtype=np.float32)
        if data.shape != image.shape:
            raise MeasureError(
                'The echoes of the bolus-tracking series are not on one grid.',
                remedy='Export them again, or set dsc.echoes to nearest.',
            )
        series.append(data if motions is None else pulled(data, motions, echo.affine))
        times.append(one['te_s'])
    joined = combine_echoes(series, times, found.baseline, dsc['protocol']['te_s'])
    # Where one echo holds nothing, there is no ratio.
    return np.where(
        np.min([echo.min(axis=-1) for echo in series], axis=0)[..., None] > 0, joined, 0
    )


def find_bolus_motions(series, brain, affine, found) -> np.ndarray:
    """Estimate where the head lay in each volume.

    Parameters
    ----------
    series : ndarray, shape (nx, ny, nz, n)
        Signal.
    brain : ndarray of bool, shape (nx, ny, nz)
        Brain.
    affine : ndarray, shape (4, 4)
        Voxel to world, mm.
    found : FirstPass
        Where the bolus lies.

    Returns
    -------
    ndarray, shape (n, 4, 4)
        Takes world points of the head at rest to where they were, RAS+ mm.
    """
    count = series.shape[3]
    motions = np.tile(np.eye(4), (count, 1, 1))
    chosen = list(range(count))[found.baseline]
    anchor = chosen[len(chosen) // 2]
    first = Target(series[..., anchor], brain, affine)
    for number in chosen:
        if number != anchor:
            motions[number] = first.find(series[..., number], np.eye(4))
    mean = pulled(series[..., chosen], motions[chosen], affine, order=1).mean(axis=-1)
    target = Target(mean, brain, affine)
    curve = series[brain].mean(axis=0, dtype=np.float64)
    fallen = (1 - curve / curve[chosen].mean()) / found.fall > OTHER_CONTRAST
    where = np.argwhere(brain)
    low = np.maximum(where.min(axis=0) - AROUND, 0)
    part = tuple(
        slice(start, stop) for start, stop in zip(low, where.max(axis=0) + AROUND + 1, strict=True)
    )
    there = affine.copy()
    there[:3, 3] = nib.affines.apply_affine(affine, low)
    cut = nib.Nifti1Image(mean[part], there)
    for number in range(count):
        start = motions[max(number - 1, 0)]
        if fallen[number]:
            moving = nib.Nifti1Image(series[(*part, number)], there)
            motions[number] = realign(cut, moving, start, fine=False)
        else:
            motions[number] = target.find(series[..., number], start)
    return motions


def _rows(motions, series, mask, affine, found, step_s):
    """Describe signal and motion of each volume."""
    curve = series[mask].mean(axis=0, dtype=np.float64)
    curve = 100 * curve / curve[found.baseline].mean()
    rows = []
    for number, moved in enumerate(motion_of(motions, mask, affine)):
        phase = 'bolus' if number >= found.baseline.stop else 'baseline'
        phase = 'unsteady' if number < found.baseline.start else phase
        rows.append((number * step_s, phase, float(curve[number]), *moved))
    return rows
