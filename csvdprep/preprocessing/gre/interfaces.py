"""Files in, files out; the registration is ANTs'."""

from pathlib import Path

import nibabel as nib
import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, traits

from csvdprep.core.errors import MeasureError
from csvdprep.imaging.ants import n4, rigid
from csvdprep.imaging.brain import extract_brain
from csvdprep.imaging.echoes import load_magnitudes
from csvdprep.imaging.images import like, load, load_mask_on, save
from csvdprep.imaging.inspect import LEVEL, load_clean
from csvdprep.imaging.transforms import read_linear, write_linear
from csvdprep.interfaces.values import Value, write_values
from csvdprep.preprocessing.gre import ROOM
from csvdprep.preprocessing.gre.science import combined, covered_pct, decay_rate
from csvdprep.science.morphology import dilate
from csvdprep.science.quality import noise_by_differences

#: Echoes from which on R2* is fitted.
FOR_DECAY = 3
#: The brain of the anatomy may lie this far (mm) from what has signal.
SLACK_MM = 3.0


class _InputSpec(TraitedSpec):
    gre = traits.Dict(mandatory=True, desc='echoes, or the SWI of the scanner')
    anat_preproc = File(exists=True, mandatory=True, desc='anatomical reference')
    brain_mask = File(exists=True, mandatory=True, desc='its brain')
    spline_mm = traits.Float(mandatory=True, desc='distance of the knots of the bias field')


class _OutputSpec(TraitedSpec):
    gre_mag = File(exists=True, desc='magnitude')
    gre_mask = File(exists=True, desc='brain')
    gre_to_anat = File(exists=True, desc='resamples it onto the reference')
    gre_r2star = File(exists=True, desc='R2*')
    gre_t2star = File(exists=True, desc='T2*')
    gre_values = File(exists=True, desc='measures')


class GradientEcho(SimpleInterface):
    """Combine the echoes, find the brain, register."""

    input_spec = _InputSpec
    output_spec = _OutputSpec

    def _run_interface(self, runtime):
        given, folder = self.inputs, Path(runtime.cwd)
        echoes = given.gre['echoes']
        times = [echo['time'] for echo in echoes]
        if echoes:
            image, magnitude = load_magnitudes(echoes)
            data = combined(magnitude)
        else:
            image = load_clean(given.gre['weighted'])
            data = np.asanyarray(image.dataobj, dtype=np.float32)
            magnitude = data[..., None]
        if not data.any():
            raise MeasureError('The magnitude is empty.', remedy='Export it again.')
        data = data * np.float32(LEVEL / np.quantile(data[data > 0], 0.99))
        whole = like(data, image)
        anat, brain = load(given.anat_preproc), load(given.brain_mask)
        own = np.asarray(extract_brain(whole)[0]) > 0
        inside = np.asanyarray(brain.dataobj) > 0
        corrected = n4(whole, own, spline_mm=given.spline_mm)
        way = rigid(
            corrected, anat, folder / 'anat_to_gre.txt', fixed_mask=own, moving_mask=inside
        )
        matrix = np.linalg.inv(read_linear(way))
        there = load_mask_on(given.brain_mask, whole, matrix=np.linalg.inv(matrix)) > 0
        signal = data > 0.05 * np.median(data[own])
        voxel_mm = nib.affines.voxel_sizes(whole.affine)
        mask = there & dilate(signal, voxel_mm, SLACK_MM)
        if not mask.any():
            raise MeasureError(
                'The gradient echo and the anatomical reference have no brain in common: '
                'registration failed.',
                remedy='Look at both images; leave the gradient echo out by --ignore gre.',
            )
        noise = noise_by_differences(data, mask)
        rate = np.zeros(data.shape, np.float32)
        if len(echoes) >= FOR_DECAY and None not in times:
            scale = float(np.quantile(magnitude[mask], 0.99))
            rate = decay_rate(
                magnitude / scale, times, noise_by_differences(magnitude[..., -1] / scale, mask)
            )
        rate = rate * mask
        decay = np.where(rate > 0, 1 / np.maximum(rate, 1e-3), 0).astype(np.float32)
        corrected = np.asanyarray(corrected.dataobj, dtype=np.float32)
        for name, array in {
            'gre_mag': corrected,
            'gre_mask': mask.astype(np.uint8),
            'gre_r2star': rate,
            'gre_t2star': np.minimum(decay, 1.0),
        }.items():
            self._results[name] = save(array, image, folder / f'{name}.nii.gz')
        self._results['gre_to_anat'] = str(write_linear(matrix, folder / 'gre_to_anat.txt'))
        kind = 'weighted' if not echoes else 'single echo' if len(echoes) == 1 else 'multi-echo'
        self._results['gre_values'] = write_values(
            folder / 'values.json',
            {
                'gre_sequence': kind,
                'gre_echoes_n': max(len(echoes), 1),
                'gre_slice_mm': float(voxel_mm.max()),
                'qc_gre_snr': Value(float(np.median(data[mask])) / noise, n=int(mask.sum())),
                'qc_gre_coverage_pct': covered_pct(
                    inside, np.linalg.inv(whole.affine) @ matrix @ brain.affine, whole.shape
                ),
                'qc_gre_anat_dice': Value(
                    float(2 * (own & there).sum() / (own.sum() + there.sum())), n=int(own.sum())
                ),
            },
            ROOM,
        )
        return runtime
