"""Files in, files out; the work is in the shared interfaces."""

from pathlib import Path

import nibabel as nib
import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, isdefined, traits

from csvdprep.imaging.ants import n4, rigid
from csvdprep.imaging.brain import extract_brain
from csvdprep.imaging.images import load_mask_on, save
from csvdprep.imaging.inspect import load_clean
from csvdprep.imaging.transforms import read_linear
from csvdprep.interfaces.values import Value, write_values
from csvdprep.preprocessing.brain import ROOM


class _BrainInputSpec(TraitedSpec):
    anat = File(exists=True, mandatory=True, desc='anatomical reference as acquired')
    brain_mask_external = traits.Dict(desc='mask to be used instead of our own, and its image')
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
            mask, found = self._take_over(image, folder)
        else:
            mask, found = extract_brain(image)
        volume = float(mask.sum() * np.prod(nib.affines.voxel_sizes(image.affine)) / 1000)
        corrected = n4(image, mask, spline_mm=self.inputs.spline_mm)
        odd = ', '.join(flag.replace('_', ' ') for flag in found['flags'])
        self._results['anat_preproc'] = save(
            corrected.get_fdata(dtype=np.float32), image, folder / 'anat_preproc.nii.gz'
        )
        self._results['brain_mask'] = save(mask, image, folder / 'brain_mask.nii.gz')
        self._results['brain_values'] = write_values(
            folder / 'values.json',
            {
                'qc_brain_ml': Value(
                    volume, n=int(mask.sum()), reason=odd, qc='warn' if odd else ''
                ),
                'qc_reference': Value(
                    self.inputs.hub,
                    qc='' if self.inputs.hub == 'T1w' else 'warn',
                    reason='' if self.inputs.hub == 'T1w' else 'there is no usable T1w',
                ),
                'qc_stripped': 'yes' if found['stripped'] else 'no',
            },
            ROOM,
        )
        return runtime

    def _take_over(self, image, folder):
        """Bring the mask of another tool to the reference, by way of the image it was made on."""
        given = self.inputs.brain_mask_external
        found = {'stripped': False, 'flags': ['the mask was made by another tool']}
        if given['on'] == self.inputs.hub.lower():
            return load_mask_on(given['mask'], image), found
        other = load_clean(given['image'])
        brain = load_mask_on(given['mask'], other)
        own, _ = extract_brain(image)
        knots = self.inputs.spline_mm
        way = rigid(
            n4(image, own, spline_mm=knots),
            n4(other, brain, spline_mm=knots),
            folder / 'mask_to_anat.txt',
            fixed_mask=own,
            moving_mask=brain,
        )
        mask = load_mask_on(given['mask'], image, matrix=read_linear(way))
        found['flags'] = [f'the mask was made by another tool on the {given["title"]}']
        return mask, found
