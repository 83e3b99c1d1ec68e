"""Files in, files out; the rules are in the science."""

from pathlib import Path

import nibabel as nib
import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, isdefined, traits

from csvdprep.imaging.atlas import warped_template
from csvdprep.imaging.images import load, save
from csvdprep.interfaces.values import Value, write_values
from csvdprep.preprocessing.tissues import ROOM
from csvdprep.science.tissues import segment_tissues

#: The two estimates of the intracranial volume should agree to this share.
ICV_TOLERANCE = 0.07


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
    tissues_values = File(exists=True, desc='measures')


class SegmentTissues(SimpleInterface):
    """Tell the tissues apart."""

    input_spec = _TissuesInputSpec
    output_spec = _TissuesOutputSpec

    def _run_interface(self, runtime):
        given, folder = self.inputs, Path(runtime.cwd)
        anat, brain = load(given.anat_filled), load(given.brain_mask)
        mask = np.asanyarray(brain.dataobj) > 0
        voxel_mm = nib.affines.voxel_sizes(anat.affine)
        atlas = np.stack(
            [
                warped_template(f'template_{name}', anat, given.mni_to_anat)
                for name in ('csf', 'gm', 'wm')
            ]
        )
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
        hard = np.where(mask, found.probability.argmax(0) + 1, 0).astype(np.uint8)
        images = {
            **dict(
                zip(('csf_probseg', 'gm_probseg', 'wm_probseg'), found.probability, strict=True)
            ),
            'tissue_dseg': hard,
        }
        for name, data in images.items():
            self._results[name] = save(data, anat, folder / f'{name}.nii.gz')
        warped = warped_template('template_mask', anat, given.mni_to_anat, 'nearest')
        self._results['tissues_values'] = write_values(
            folder / 'values.json',
            _values(found.cnr, mask, warped, float(np.prod(voxel_mm)), given.hub),
            ROOM,
        )
        return runtime


def _values(cnr, mask, warped, voxel_mm3, hub):
    icv, other = (float((m > 0).sum() * voxel_mm3 / 1000) for m in (mask, warped))
    odd = abs(icv - other) > ICV_TOLERANCE * icv
    contrast = Value(cnr)
    if hub == 'FLAIR':
        contrast = Value(None, reason='grey and white matter are told apart on T1w only')
    return {
        'qc_cnr': contrast,
        'icv_ml': Value(
            icv,
            n=int(mask.sum()),
            qc='warn' if odd else '',
            reason=f'the template suggests {other:.0f} mL' if odd else '',
        ),
        'icv_template_ml': other,
    }
