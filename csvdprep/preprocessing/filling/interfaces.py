"""Files in, files out; the rules are in the science."""

from pathlib import Path

import nibabel as nib
import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, isdefined, traits

from csvdprep.imaging.images import load, resample, save
from csvdprep.imaging.transforms import read_linear
from csvdprep.interfaces.values import Value, write_values
from csvdprep.preprocessing.filling import ROOM
from csvdprep.preprocessing.filling.science import guess_lesions
from csvdprep.preprocessing.filling.science.histogram import suggested_volumes
from csvdprep.science.normalise import histogram_peak
from csvdprep.science.tissues import fill_lesions

#: White matter and most grey matter of a FLAIR lie within this many widths of the peak.
NORMAL_Z = 1.0


class _FillInputSpec(TraitedSpec):
    anat_preproc = File(exists=True, mandatory=True, desc='anatomical reference')
    brain_mask = File(exists=True, mandatory=True, desc='its brain')
    flair_preproc = File(exists=True, desc='FLAIR')
    flair_mask = File(exists=True, desc='its brain')
    flair_to_anat = File(exists=True, desc='resamples the FLAIR onto the reference')
    seed_from = traits.Float(mandatory=True, desc='brightness of a seed')
    grow_from = traits.Float(mandatory=True, desc='brightness of all voxels')
    depth_mm = traits.Float(mandatory=True, desc='least depth')
    seed = traits.Int(42, usedefault=True, desc='of the noise')


class _FillOutputSpec(TraitedSpec):
    lesion_guess = File(exists=True, desc='preliminary lesions')
    anat_filled = File(exists=True, desc='reference with lesions filled')
    filling_values = File(exists=True, desc='measures')


class Fill(SimpleInterface):
    """Fill what looks like lesions."""

    input_spec = _FillInputSpec
    output_spec = _FillOutputSpec

    def _run_interface(self, runtime):
        folder = Path(runtime.cwd)
        anat = load(self.inputs.anat_preproc)
        data = np.asanyarray(anat.dataobj, dtype=np.float32)
        lesion, normal = np.zeros(data.shape, bool), np.zeros(data.shape, bool)
        found = bright = dark = Value(None, reason='there is no FLAIR')
        voxel_mm = nib.affines.voxel_sizes(anat.affine)
        if isdefined(self.inputs.flair_preproc):
            lesion, normal, (bright, dark) = self._look(anat)
            volume = float(lesion.sum() * np.prod(voxel_mm) / 1000)
            found = Value(volume, n=int(lesion.sum()))
        filled = fill_lesions(data, lesion, normal, voxel_mm, seed=self.inputs.seed)
        self._results['lesion_guess'] = save(lesion, anat, folder / 'lesion_guess.nii.gz')
        self._results['anat_filled'] = save(filled, anat, folder / 'anat_filled.nii.gz')
        self._results['filling_values'] = write_values(
            folder / 'values.json',
            {'qc_filled_ml': found, 'qc_flair_bright_ml': bright, 'qc_flair_dark_ml': dark},
            ROOM,
        )
        return runtime

    def _look(self, anat):
        """Find lesions and normal tissue, on the reference's grid, and suggested volumes."""
        given = self.inputs
        flair = load(given.flair_preproc)
        data = np.asanyarray(flair.dataobj, dtype=np.float32)
        mask = np.asanyarray(load(given.flair_mask).dataobj) > 0
        lesion = guess_lesions(
            data,
            mask,
            nib.affines.voxel_sizes(flair.affine),
            seed=given.seed_from,
            grow=given.grow_from,
            depth_mm=given.depth_mm,
        )
        mode, width = histogram_peak(data[mask])
        normal = mask & (abs(data - mode) < NORMAL_Z * width)
        matrix = read_linear(given.flair_to_anat)
        brain = np.asanyarray(load(given.brain_mask).dataobj) > 0
        moved = [
            resample(nib.Nifti1Image(a.astype(np.float32), flair.affine), anat, matrix=matrix)
            for a in (lesion, normal)
        ]
        suggested = suggested_volumes(data, mask, nib.affines.voxel_sizes(flair.affine))
        return (moved[0] >= 0.5) & brain, (moved[1] >= 0.9) & brain, suggested
