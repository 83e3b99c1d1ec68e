"""Files in, files out; the work is in the shared interfaces."""

from pathlib import Path

import nibabel as nib
import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, traits

from csvdprep.imaging.ants import n4, rigid
from csvdprep.imaging.brain import extract_brain
from csvdprep.imaging.images import load, resample, save
from csvdprep.imaging.inspect import load_clean
from csvdprep.imaging.transforms import read_linear
from csvdprep.interfaces.values import Value, write_values
from csvdprep.preprocessing.flair import ROOM
from csvdprep.science.morphology import dilate
from csvdprep.science.quality import edge_overlap

#: The two brains may differ by this much (mm): partial volume of thick slices.
SLACK_MM = 4.0


class _FlairInputSpec(TraitedSpec):
    flair = File(exists=True, mandatory=True, desc='FLAIR as acquired')
    t1w = File(exists=True, mandatory=True, desc='T1w as acquired')
    anat_preproc = File(exists=True, mandatory=True, desc='corrected T1w')
    brain_mask = File(exists=True, mandatory=True, desc='brain mask of the T1w')
    spline_mm = traits.Float(mandatory=True, desc='distance of the knots of the bias field')


class _FlairOutputSpec(TraitedSpec):
    flair_preproc = File(exists=True, desc='corrected FLAIR')
    flair_mask = File(exists=True, desc='brain mask on the FLAIR grid')
    flair_to_anat = File(exists=True, desc='rigid transform')
    flair_values = File(exists=True, desc='measures')


class Flair(SimpleInterface):
    """Find the brain in the FLAIR, correct its intensity and register it to the T1w."""

    input_spec = _FlairInputSpec
    output_spec = _FlairOutputSpec

    def _run_interface(self, runtime):
        folder = Path(runtime.cwd)
        image = load_clean(self.inputs.flair)
        anat = load(self.inputs.anat_preproc)
        brain = load(self.inputs.brain_mask)
        own, _ = extract_brain(image)
        flair = n4(image, own, spline_mm=self.inputs.spline_mm)
        xfm = rigid(
            anat,
            flair,
            folder / 'flair_to_anat.txt',
            moving_mask=own,
            fixed_mask=np.asanyarray(brain.dataobj),
        )
        matrix = read_linear(xfm)
        # What both images call brain: eyes or dura that one network run lets in are left out.
        other = resample(_as_float(brain), flair, matrix=np.linalg.inv(matrix)) >= 0.5
        mask = (own > 0) & dilate(other, nib.affines.voxel_sizes(flair.affine), SLACK_MM)
        self._results['flair_preproc'] = save(
            flair.get_fdata(dtype=np.float32), image, folder / 'flair_preproc.nii.gz'
        )
        self._results['flair_mask'] = save(mask, image, folder / 'flair_mask.nii.gz')
        self._results['flair_to_anat'] = str(xfm)
        self._results['flair_values'] = write_values(
            folder / 'values.json', _quality(anat, brain, flair, own, other, matrix), ROOM
        )
        return runtime


def _quality(anat, brain, flair, own, other, matrix):
    both = own.sum() + other.sum()
    moved = resample(flair, anat, matrix=matrix)
    covered = moved > 0
    inside = (np.asanyarray(brain.dataobj) > 0) & covered
    edges = edge_overlap(
        np.asanyarray(anat.dataobj), moved, inside, nib.affines.voxel_sizes(anat.affine)
    )
    return {
        'qc_flair_t1w_edges': Value(edges, n=int(inside.sum())),
        'qc_flair_mask_dice': Value(float(2 * (own.astype(bool) & other).sum() / both)),
    }


def _as_float(image):
    return nib.Nifti1Image(np.asanyarray(image.dataobj).astype(np.float32), image.affine)
