"""Files in, files out; the registration is ANTs'."""

from pathlib import Path

import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec

from csvdprep.imaging.ants import rigid
from csvdprep.imaging.images import load, load_mask_on
from csvdprep.imaging.transforms import read_linear, write_linear
from csvdprep.interfaces.values import Value, write_values
from csvdprep.preprocessing.dwi_anatomy import ROOM


class _AlignInputSpec(TraitedSpec):
    dwi_b0 = File(exists=True, mandatory=True, desc='mean without gradient')
    dwi_mask = File(exists=True, mandatory=True, desc='brain of the series')
    anat_preproc = File(exists=True, mandatory=True, desc='anatomical reference')
    brain_mask = File(exists=True, mandatory=True, desc='its brain')


class _AlignOutputSpec(TraitedSpec):
    dwi_to_anat = File(exists=True, desc='resamples the series onto the reference')
    dwi_anatomy_values = File(exists=True, desc='measures')


class Align(SimpleInterface):
    """Register the diffusion series to the anatomical reference."""

    input_spec = _AlignInputSpec
    output_spec = _AlignOutputSpec

    def _run_interface(self, runtime):
        given, folder = self.inputs, Path(runtime.cwd)
        b0, anat = load(given.dwi_b0), load(given.anat_preproc)
        mask, brain = load(given.dwi_mask), load(given.brain_mask)
        # The series covers less: what it holds is looked for in the whole head.
        inside, whole = (np.asanyarray(image.dataobj) > 0 for image in (mask, brain))
        way = rigid(b0, anat, folder / 'anat_to_dwi.txt', fixed_mask=inside, moving_mask=whole)
        matrix = np.linalg.inv(read_linear(way))
        self._results['dwi_to_anat'] = str(write_linear(matrix, folder / 'dwi_to_anat.txt'))
        there = load_mask_on(given.brain_mask, b0, matrix=np.linalg.inv(matrix)) > 0
        dice = 2 * (inside & there).sum() / (inside.sum() + there.sum())
        self._results['dwi_anatomy_values'] = write_values(
            folder / 'values.json',
            {'qc_dwi_anat_dice': Value(float(dice), n=int(inside.sum()))},
            ROOM,
        )
        return runtime
