"""Files in, files out; the rules are in the science."""

from pathlib import Path

import nibabel as nib
import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, isdefined, traits

from csvdprep.core.errors import InputError, MeasureError
from csvdprep.imaging.atlas import warped_template
from csvdprep.imaging.images import load, load_mask_on, save
from csvdprep.imaging.learned_tissue import GREY, WHITE, learned_shares
from csvdprep.interfaces.values import Value, write_values
from csvdprep.preprocessing.tissues import ROOM
from csvdprep.science.divided import divided
from csvdprep.science.tissues import GM, segment_tissues

#: The two estimates of the intracranial volume should agree to this share.
ICV_TOLERANCE = 0.07
#: Share of the grey and white matter of a given segmentation that may lie outside of the brain.
MOST_BEYOND = 0.1
#: Share of what a given segmentation labels in the brain that may be of no known tissue.
MOST_UNKNOWN = 0.05


class _TissuesInputSpec(TraitedSpec):
    anat_filled = File(exists=True, mandatory=True, desc='reference with its lesions filled')
    anat_preproc = File(exists=True, mandatory=True, desc='reference with its lesions')
    brain_mask = File(exists=True, mandatory=True, desc='its brain')
    mni_to_anat = File(exists=True, mandatory=True, desc='resamples the template onto it')
    lesion_guess = File(exists=True, desc='white matter by definition')
    tissue_external = traits.Dict(desc='segmentation that was given, and its image')
    hub = traits.Enum('T1w', 'FLAIR', mandatory=True, desc='contrast of the reference')
    engine = traits.Enum(
        'template',
        'network',
        'auto',
        usedefault=True,
        desc='divides grey and white matter of a FLAIR; auto: the network, where it can',
    )


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
        lesion = None
        if isdefined(given.lesion_guess):
            lesion = np.asanyarray(load(given.lesion_guess).dataobj) > 0
        agreement = Value(None, reason='only asked where a network divides the tissue of a FLAIR')
        given_on = given.tissue_external['on'] if isdefined(given.tissue_external) else ''
        if given_on == given.hub.lower():
            probability = _given_tissues(given.tissue_external, anat, mask, lesion)
            contrast = Value(None, reason='a tissue segmentation was given')
        else:
            atlas = np.stack(
                [
                    warped_template(f'template_{name}', anat, given.mni_to_anat)
                    for name in ('csf', 'gm', 'wm')
                ]
            )
            found = segment_tissues(
                np.asanyarray(anat.dataobj, dtype=np.float32),
                mask,
                atlas,
                voxel_mm,
                contrast=given.hub,
                lesion=lesion,
            )
            probability, contrast = found.probability, Value(found.cnr)
            if given.hub == 'FLAIR':
                contrast = Value(
                    None, reason='grey and white matter can only be distinguished on a T1w'
                )
                if given.engine != 'template':
                    probability, agreement = self._divided(probability, mask, atlas, lesion)
        hard = np.where(mask, probability.argmax(0) + 1, 0).astype(np.uint8)
        images = {
            **dict(zip(('csf_probseg', 'gm_probseg', 'wm_probseg'), probability, strict=True)),
            'tissue_dseg': hard,
        }
        for name, data in images.items():
            self._results[name] = save(data, anat, folder / f'{name}.nii.gz')
        warped = warped_template('template_mask', anat, given.mni_to_anat, 'nearest')
        self._results['tissues_values'] = write_values(
            folder / 'values.json',
            _values(contrast, agreement, mask, warped, float(np.prod(voxel_mm))),
            ROOM,
        )
        return runtime

    def _divided(self, probability, mask, atlas, lesion):
        """Let the network divide grey and white matter, and compare with the template's."""
        anat = load(self.inputs.anat_preproc)
        image = np.asanyarray(anat.dataobj, dtype=np.float32)
        shares = learned_shares(image, mask, atlas, anat.affine)
        if shares is None and self.inputs.engine == 'auto':
            return probability, Value(None, reason='slices are thick and not axial')
        if shares is None:
            raise MeasureError(
                'The slices of the FLAIR are thick and not axial; the network was not '
                'trained on such images. Use tissues.flair_engine = auto or template.'
            )
        out = divided(probability, shares[GREY], shares[WHITE], lesion)
        both = 2 * np.minimum(out[GM], probability[GM]).sum(dtype=float)
        return out, Value(both / max(float((out[GM] + probability[GM]).sum(dtype=float)), 1.0))


def _given_tissues(given, anat, mask, lesion) -> np.ndarray:
    """Give each voxel of the brain to the class that a segmentation has for it.

    The rest of the brain is fluid (many leave out that of the sulci); preliminary hyperintensities
    are white matter.
    """
    gm, wm = (
        load_mask_on(given['mask'], anat, labels=given['classes'][name]) > 0
        for name in ('gm', 'wm')
    )
    solid = gm | wm
    beyond = np.count_nonzero(solid & ~mask) / max(np.count_nonzero(solid), 1)
    if beyond > MOST_BEYOND:
        raise InputError(
            f'{100 * beyond:.0f} % of the grey and white matter of the segmentation is '
            'outside the brain mask.',
            file=given['mask'],
            field='voxel data',
            remedy='Give the brain mask of the same tool as well, or exclude the segmentation '
            '(--bids-filter-file, "tissue_external").',
        )
    labelled = (load_mask_on(given['mask'], anat) > 0) & mask
    known = [value for values in given['classes'].values() for value in values]
    unknown = labelled & (load_mask_on(given['mask'], anat, labels=known) == 0)
    if (part := np.count_nonzero(unknown) / max(np.count_nonzero(labelled), 1)) > MOST_UNKNOWN:
        raise InputError(
            f'{100 * part:.0f} % of what the segmentation labels in the brain has names that '
            'tell no tissue; it would be taken as fluid.',
            file=given['mask'],
            field='voxel data',
            remedy='Give a segmentation whose table names grey matter, white matter and CSF, or '
            'exclude it (--bids-filter-file, "tissue_external").',
        )
    if lesion is not None:
        wm = wm | (lesion & mask)
    gm = gm & ~wm
    return np.stack([mask & ~(gm | wm), gm & mask, wm & mask]).astype(np.float32)


def _values(contrast, agreement, mask, warped, voxel_mm3):
    icv, other = (float((m > 0).sum() * voxel_mm3 / 1000) for m in (mask, warped))
    odd = abs(icv - other) > ICV_TOLERANCE * icv
    return {
        'qc_cnr': contrast,
        'qc_grey_dice': agreement,
        'icv_ml': Value(
            icv,
            n=int(mask.sum()),
            qc='warn' if odd else '',
            reason=f'the template suggests {other:.0f} mL' if odd else '',
        ),
        'icv_template_ml': other,
    }
