"""Files in, files out; the rules are in the science."""

from pathlib import Path

import nibabel as nib
import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, isdefined, traits

from csvdprep.imaging.ants import apply_transform
from csvdprep.imaging.atlas import find_ventricles
from csvdprep.imaging.images import load, save
from csvdprep.interfaces.values import Value, write_values
from csvdprep.preprocessing.tissues import ROOM
from csvdprep.resources import resource
from csvdprep.science.tissues import segment_tissues

#: The two estimates of the intracranial volume should agree to this share.
ICV_TOLERANCE = 0.07
#: Without a T1w the volume of smaller ventricles was 25 % too small to 18 % too large on phantoms
#: (docs/wmh.md), mL.
UNSURE_VENTRICLE_ML = 15.0
UNSURE_VENTRICLE = 'small ventricles are uncertain by a quarter without a T1w'
#: Least number of lateral-ventricle voxels from which a distance means something.
LEAST_VENTRICLE_ML = 1.0


class _TissuesInputSpec(TraitedSpec):
    anat_filled = File(exists=True, mandatory=True, desc='reference with its lesions filled')
    brain_mask = File(exists=True, mandatory=True, desc='its brain')
    mni_to_anat = File(exists=True, mandatory=True, desc='resamples the template onto it')
    lesion_guess = File(exists=True, desc='white matter by definition')
    hub = traits.Enum('T1w', 'FLAIR', mandatory=True, desc='contrast of the reference')


class _TissuesOutputSpec(TraitedSpec):
    csf_probseg = File(exists=True, desc='probability of CSF')
    gm_probseg = File(exists=True, desc='probability of grey matter')
    wm_probseg = File(exists=True, desc='probability of white matter')
    tissue_dseg = File(exists=True, desc='most probable tissue')
    ventricles = File(exists=True, desc='lateral ventricles')
    structures_dseg = File(exists=True, desc='deep structures')
    lobes_dseg = File(exists=True, desc='lobes')
    territories_dseg = File(exists=True, desc='vascular territories')
    tissues_values = File(exists=True, desc='measures')


class SegmentTissues(SimpleInterface):
    """Tell the tissues apart and find the lateral ventricles."""

    input_spec = _TissuesInputSpec
    output_spec = _TissuesOutputSpec

    def _run_interface(self, runtime):
        given, folder = self.inputs, Path(runtime.cwd)
        anat, brain = load(given.anat_filled), load(given.brain_mask)
        mask = np.asanyarray(brain.dataobj) > 0
        voxel_mm = nib.affines.voxel_sizes(anat.affine)
        atlas = np.stack([self._warp(anat, f'template_{name}') for name in ('csf', 'gm', 'wm')])
        lesion = None
        if isdefined(given.lesion_guess):
            lesion = np.asanyarray(load(given.lesion_guess).dataobj) > 0
        found = segment_tissues(
            np.asanyarray(anat.dataobj, dtype=np.float32),
            mask,
            atlas,
            voxel_mm,
            contrast=given.hub,
            lesion=lesion,
        )
        labels = {
            name: self._warp(anat, f'template_{name}', 'label')
            for name in ('structures', 'lobes', 'territories')
        }
        ventricles = find_ventricles(
            found.probability[0], mask, labels['structures'], atlas[0], voxel_mm
        )
        hard = np.where(mask, found.probability.argmax(0) + 1, 0).astype(np.uint8)
        images = {
            **dict(
                zip(('csf_probseg', 'gm_probseg', 'wm_probseg'), found.probability, strict=True)
            ),
            'tissue_dseg': hard,
            'ventricles': ventricles,
            **{f'{name}_dseg': data.astype(np.uint8) for name, data in labels.items()},
        }
        for name, data in images.items():
            self._results[name] = save(data, anat, folder / f'{name}.nii.gz')
        warped = self._warp(anat, 'template_mask', 'nearest')
        self._results['tissues_values'] = write_values(
            folder / 'values.json',
            _values(found.cnr, ventricles, mask, warped, float(np.prod(voxel_mm)), given.hub),
            ROOM,
        )
        return runtime

    def _warp(self, anat, name, interpolation='linear'):
        image = load(resource(name))
        moved = apply_transform(image, anat, self.inputs.mni_to_anat, interpolation=interpolation)
        return np.asanyarray(moved.dataobj)


def _values(cnr, ventricles, mask, warped, voxel_mm3, hub):
    left, right = ((ventricles == side).sum() * voxel_mm3 / 1000 for side in (1, 2))
    icv, other = (float((m > 0).sum() * voxel_mm3 / 1000) for m in (mask, warped))
    odd = abs(icv - other) > ICV_TOLERANCE * icv
    both = left + right
    asymmetry = Value(None, reason='no lateral ventricle was found')
    if both > LEAST_VENTRICLE_ML:
        asymmetry = Value(float(abs(left - right) / both))
    contrast = Value(cnr)
    small = hub == 'FLAIR' and both < UNSURE_VENTRICLE_ML
    if hub == 'FLAIR':
        contrast = Value(None, reason='grey and white matter are told apart on T1w only')
    return {
        'qc_cnr': contrast,
        'lv_ml': Value(
            float(both), n=int((ventricles > 0).sum()), reason=UNSURE_VENTRICLE if small else ''
        ),
        'lv_left_ml': float(left),
        'lv_right_ml': float(right),
        'qc_lv_asymmetry': asymmetry,
        'icv_ml': Value(
            icv,
            n=int(mask.sum()),
            qc='warn' if odd else '',
            reason=f'the template suggests {other:.0f} mL' if odd else '',
        ),
        'icv_template_ml': other,
    }
