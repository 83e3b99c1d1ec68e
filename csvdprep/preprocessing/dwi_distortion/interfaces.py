"""Files in, files out; the numbers are in the science."""

from pathlib import Path

import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, isdefined, traits

from csvdprep.imaging.dwi_series import DwiSeries
from csvdprep.imaging.images import load, save
from csvdprep.interfaces.values import Value, write_values
from csvdprep.preprocessing.dwi_distortion import ROOM
from csvdprep.preprocessing.dwi_distortion.field import find_field


class _DistortionInputSpec(TraitedSpec):
    dwi = traits.Dict(mandatory=True, desc='runs of the series, and what tells of the field')
    dwi_denoised = File(exists=True, mandatory=True, desc='all volumes')
    dwi_volumes = File(exists=True, mandatory=True, desc='gradients, runs, distortion')
    dwi_mask_raw = File(exists=True, mandatory=True, desc='brain as acquired')
    anat_preproc = File(exists=True, desc='anatomical reference')
    brain_mask = File(exists=True, desc='its brain')
    fieldmapless = traits.Bool(True, usedefault=True, desc='whether the anatomy may stand in')


class _DistortionOutputSpec(TraitedSpec):
    dwi_shift = File(exists=True, desc='distortion along the axis of encoding, voxels')
    dwi_distortion_values = File(exists=True, desc='measures')


class EstimateDistortion(SimpleInterface):
    """Estimate how the field distorts a series."""

    input_spec = _DistortionInputSpec
    output_spec = _DistortionOutputSpec

    def _run_interface(self, runtime):
        given, folder = self.inputs, Path(runtime.cwd)
        series = DwiSeries.read(given.dwi_denoised, given.dwi_volumes, given.dwi_mask_raw)
        anatomy = {}
        if given.fieldmapless and isdefined(given.anat_preproc) and isdefined(given.brain_mask):
            anatomy = {'anat': load(given.anat_preproc), 'anat_brain': load(given.brain_mask)}
        found = find_field(series, given.dwi, series.brain, **anatomy)
        shift = np.zeros(series.brain.shape, np.float32) if found.shift is None else found.shift
        self._results['dwi_shift'] = save(shift, series.image, folder / 'shift.nii.gz')
        why = '; '.join(found.reasons)
        self._results['dwi_distortion_values'] = write_values(
            folder / 'values.json',
            {'dwi_sdc': Value(found.method, reason=why, qc='warn' if why else '')},
            ROOM,
        )
        return runtime
