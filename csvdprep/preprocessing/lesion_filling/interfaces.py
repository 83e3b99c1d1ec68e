"""Files in, files out; the filling is that of the preliminary lesions."""

from pathlib import Path

import nibabel as nib
import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, traits

from csvdprep.imaging.images import load, resample, save
from csvdprep.imaging.transforms import read_linear
from csvdprep.science.tissues import fill_lesions


class _FillFinalInputSpec(TraitedSpec):
    t1w = traits.Any(mandatory=True, desc='T1w as acquired; not read')
    anat_preproc = File(exists=True, mandatory=True, desc='T1w')
    brain_mask = File(exists=True, mandatory=True, desc='its brain')
    csf_probseg = File(exists=True, mandatory=True, desc='fluid')
    wm_probseg = File(exists=True, mandatory=True, desc='white matter')
    wmh_mask = File(exists=True, mandatory=True, desc='hyperintensities, on the FLAIR grid')
    flair_to_anat = File(exists=True, mandatory=True, desc='resamples the FLAIR onto the T1w')
    share = traits.Float(mandatory=True, desc='of a voxel that is filled')
    seed = traits.Int(42, usedefault=True, desc='of the noise')


class _FillFinalOutputSpec(TraitedSpec):
    t1w_filled = File(exists=True, desc='T1w without hyperintensities')


class FillFinal(SimpleInterface):
    """Fill hyperintensities in the T1w."""

    input_spec = _FillFinalInputSpec
    output_spec = _FillFinalOutputSpec

    def _run_interface(self, runtime):
        given = self.inputs
        anat, mask = load(given.anat_preproc), load(given.wmh_mask)
        brain, fluid, white = (
            np.asanyarray(load(file).dataobj)
            for file in (given.brain_mask, given.csf_probseg, given.wm_probseg)
        )
        share = resample(
            nib.Nifti1Image(np.asanyarray(mask.dataobj, dtype=np.float32), mask.affine),
            anat,
            matrix=read_linear(given.flair_to_anat),
        )
        # The wall of a ventricle stays where it is.
        lesion = (share >= given.share) & (brain > 0) & (fluid < 0.5)
        filled = fill_lesions(
            np.asanyarray(anat.dataobj, dtype=np.float32),
            lesion,
            white,
            nib.affines.voxel_sizes(anat.affine),
            seed=given.seed,
        )
        self._results['t1w_filled'] = save(filled, anat, Path(runtime.cwd) / 't1w_filled.nii.gz')
        return runtime
