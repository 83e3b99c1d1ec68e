"""Files in, files out; the work is in the shared interfaces."""

from pathlib import Path

import nibabel as nib
import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, traits

from csvdprep.core.errors import MeasureError
from csvdprep.imaging.ants import n4, rigid
from csvdprep.imaging.brain import extract_brain
from csvdprep.imaging.images import load, load_mask_on, resample, save
from csvdprep.imaging.inspect import load_clean
from csvdprep.imaging.transforms import read_linear
from csvdprep.interfaces.values import Value, write_values
from csvdprep.preprocessing.t2w import ROOM
from csvdprep.science.morphology import dilate
from csvdprep.science.quality import edge_overlap

#: How far beyond the brain of the reference the second registration looks, mm.
AROUND_MM = 4.0
#: Share of voxels that hold nothing, from which an image is taken for stripped.
STRIPPED = 0.5


class _InputSpec(TraitedSpec):
    t2w = File(exists=True, mandatory=True, desc='T2w as acquired')
    anat_preproc = File(exists=True, mandatory=True, desc='anatomical reference')
    brain_mask = File(exists=True, mandatory=True, desc='its brain')
    spline_mm = traits.Float(mandatory=True, desc='distance of the knots of the bias field')


class _OutputSpec(TraitedSpec):
    t2w_preproc = File(exists=True, desc='corrected T2w')
    t2w_mask = File(exists=True, desc='brain mask on the T2w grid')
    t2w_to_anat = File(exists=True, desc='rigid transform')
    t2w_values = File(exists=True, desc='measures')


class T2w(SimpleInterface):
    """Correct the T2w and register it to the anatomical reference.

    Its own brain is found roughly (the network of brains was not made for this contrast), which
    is enough to register it; then the brain of the reference counts, and it is registered again.
    """

    input_spec = _InputSpec
    output_spec = _OutputSpec

    def _run_interface(self, runtime):
        folder = Path(runtime.cwd)
        image = load_clean(self.inputs.t2w)
        anat, brain = load(self.inputs.anat_preproc), load(self.inputs.brain_mask)
        fixed_mask = np.asanyarray(brain.dataobj)
        path = folder / 't2w_to_anat.txt'
        moving, mask = image, _rough(image)
        for _ in range(2):
            if not mask.any():
                raise MeasureError('The T2w and the brain of the reference do not meet.')
            moving = n4(image, mask, spline_mm=self.inputs.spline_mm)
            rigid(anat, moving, path, moving_mask=mask, fixed_mask=fixed_mask)
            matrix = read_linear(path)
            there = load_mask_on(self.inputs.brain_mask, image, matrix=np.linalg.inv(matrix)) > 0
            mask = dilate(there, nib.affines.voxel_sizes(image.affine), AROUND_MM)
        covered = np.asanyarray(image.dataobj) > 0
        data = moving.get_fdata(dtype=np.float32)
        self._results['t2w_preproc'] = save(data, image, folder / 't2w_preproc.nii.gz')
        self._results['t2w_mask'] = save(there & covered, image, folder / 't2w_mask.nii.gz')
        self._results['t2w_to_anat'] = str(path)
        self._results['t2w_values'] = write_values(
            folder / 'values.json', _quality(anat, fixed_mask > 0, moving, matrix), ROOM
        )
        return runtime


def _rough(image) -> np.ndarray:
    """Find the brain in a T2w; of an image without skull, what it holds."""
    data = np.asanyarray(image.dataobj)
    if (data <= 0).mean() > STRIPPED:
        return data > 0
    return np.asarray(extract_brain(image)[0]) > 0


def _quality(anat, brain, moving, matrix):
    moved = resample(moving, anat, matrix=matrix)
    inside = brain & (moved > 0)
    edges = edge_overlap(
        np.asanyarray(anat.dataobj), moved, inside, nib.affines.voxel_sizes(anat.affine)
    )
    return {
        'qc_t2w_anat_edges': Value(edges, n=int(inside.sum())),
        'qc_t2w_coverage_pct': 100 * float(inside.sum() / brain.sum()),
    }
