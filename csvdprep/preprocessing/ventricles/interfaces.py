"""Files in, files out; the rules are in the science."""

from pathlib import Path

import nibabel as nib
import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, traits

from csvdprep.imaging.atlas import find_ventricles, warped_template
from csvdprep.imaging.images import load, save
from csvdprep.interfaces.values import Value, write_values
from csvdprep.preprocessing.ventricles import ROOM

#: Without a T1w the volume of smaller ventricles was 25 % too small to 18 % too large on phantoms
#: (docs/wmh.md), mL.
UNSURE_VENTRICLE_ML = 15.0
UNSURE_VENTRICLE = 'without a T1w, the volume of small ventricles is uncertain by a quarter'
#: Least number of lateral-ventricle voxels from which a distance means something.
LEAST_VENTRICLE_ML = 1.0


class _VentriclesInputSpec(TraitedSpec):
    csf_probseg = File(exists=True, mandatory=True, desc='probability of CSF')
    brain_mask = File(exists=True, mandatory=True, desc='brain of the reference')
    structures_dseg = File(exists=True, mandatory=True, desc='structures of the template')
    mni_to_anat = File(exists=True, mandatory=True, desc='resamples the template onto it')
    hub = traits.Enum('T1w', 'FLAIR', mandatory=True, desc='contrast of the reference')


class _VentriclesOutputSpec(TraitedSpec):
    ventricles = File(exists=True, desc='lateral ventricles')
    ventricles_values = File(exists=True, desc='measures')


class FindVentricles(SimpleInterface):
    """Find the lateral ventricles."""

    input_spec = _VentriclesInputSpec
    output_spec = _VentriclesOutputSpec

    def _run_interface(self, runtime):
        given, folder = self.inputs, Path(runtime.cwd)
        fluid = load(given.csf_probseg)
        voxel_mm = nib.affines.voxel_sizes(fluid.affine)
        found = find_ventricles(
            np.asanyarray(fluid.dataobj, dtype=np.float32),
            np.asanyarray(load(given.brain_mask).dataobj) > 0,
            np.asanyarray(load(given.structures_dseg).dataobj),
            warped_template('template_csf', fluid, given.mni_to_anat),
            voxel_mm,
        )
        self._results['ventricles'] = save(found, fluid, folder / 'ventricles.nii.gz')
        self._results['ventricles_values'] = write_values(
            folder / 'values.json', _values(found, float(np.prod(voxel_mm)), given.hub), ROOM
        )
        return runtime


def _values(ventricles, voxel_mm3, hub):
    left, right = ((ventricles == side).sum() * voxel_mm3 / 1000 for side in (1, 2))
    both = left + right
    asymmetry = Value(None, reason='no lateral ventricle was found')
    if both > LEAST_VENTRICLE_ML:
        asymmetry = Value(float(abs(left - right) / both))
    small = hub == 'FLAIR' and both < UNSURE_VENTRICLE_ML
    return {
        'lv_ml': Value(
            float(both), n=int((ventricles > 0).sum()), reason=UNSURE_VENTRICLE if small else ''
        ),
        'lv_left_ml': float(left),
        'lv_right_ml': float(right),
        'qc_lv_asymmetry': asymmetry,
    }
