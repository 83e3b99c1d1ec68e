"""Files in, files out; the work is in the shared interfaces."""

from pathlib import Path

import nibabel as nib
import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, isdefined, traits

from csvdprep.interfaces.ants import n4
from csvdprep.interfaces.brain import extract_brain
from csvdprep.interfaces.images import load_mask_on, save
from csvdprep.interfaces.inspect import load_clean
from csvdprep.interfaces.values import Value, write_values


class _BrainInputSpec(TraitedSpec):
    anat = File(exists=True, mandatory=True, desc='anatomical reference as acquired')
    brain_mask_external = File(exists=True, desc='mask to be used instead of our own')
    hub = traits.Enum('T1w', 'FLAIR', mandatory=True, desc='contrast of the reference')
    spline_mm = traits.Float(mandatory=True, desc='distance of the knots of the bias field')


class _BrainOutputSpec(TraitedSpec):
    anat_preproc = File(exists=True, desc='intensity-corrected image')
    brain_mask = File(exists=True, desc='brain mask')
    brain_values = File(exists=True, desc='measures')


class Brain(SimpleInterface):
    """Find the brain and correct the intensity inside it."""

    input_spec = _BrainInputSpec
    output_spec = _BrainOutputSpec

    def _run_interface(self, runtime):
        folder = Path(runtime.cwd)
        image = load_clean(self.inputs.anat)
        if isdefined(self.inputs.brain_mask_external):
            mask = load_mask_on(self.inputs.brain_mask_external, image)
            found = {'stripped': False, 'flags': ['mask made by another tool']}
        else:
            mask, found = extract_brain(image)
        volume = float(mask.sum() * np.prod(nib.affines.voxel_sizes(image.affine)) / 1000)
        corrected = n4(image, mask, spline_mm=self.inputs.spline_mm)
        odd = ', '.join(flag.replace('_', ' ') for flag in found['flags'])
        self._results['anat_preproc'] = save(
            corrected.get_fdata(dtype=np.float32), image, folder / 'anat_preproc.nii.gz'
        )
        self._results['brain_mask'] = save(mask, image, folder / 'brain_mask.nii.gz')
        self._results['brain_values'] = write_values(folder / 'values.json', {
            'qc_brain_ml': Value(volume, n=int(mask.sum()), reason=odd, qc='warn' if odd else ''),
            'qc_reference': Value(self.inputs.hub, qc='' if self.inputs.hub == 'T1w' else 'warn',
                                  reason='' if self.inputs.hub == 'T1w'
                                  else 'the visit has no usable T1w'),
            'qc_stripped': 'yes' if found['stripped'] else 'no',
        })  # fmt: skip
        return runtime
