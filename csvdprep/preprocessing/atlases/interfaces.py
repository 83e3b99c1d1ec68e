"""Files in, files out; the resampling is ANTs'."""

from pathlib import Path

import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec

from csvdprep.imaging.atlas import warped_template
from csvdprep.imaging.images import load, save


class _AtlasesInputSpec(TraitedSpec):
    anat_filled = File(exists=True, mandatory=True, desc='reference, for its grid')
    mni_to_anat = File(exists=True, mandatory=True, desc='resamples the template onto it')


class _AtlasesOutputSpec(TraitedSpec):
    structures_dseg = File(exists=True, desc='deep structures')
    lobes_dseg = File(exists=True, desc='lobes')
    territories_dseg = File(exists=True, desc='vascular territories')


class WarpAtlases(SimpleInterface):
    """Bring the regions of the template to the reference."""

    input_spec = _AtlasesInputSpec
    output_spec = _AtlasesOutputSpec

    def _run_interface(self, runtime):
        given, folder = self.inputs, Path(runtime.cwd)
        anat = load(given.anat_filled)
        for name in ('structures', 'lobes', 'territories'):
            labels = warped_template(f'template_{name}', anat, given.mni_to_anat, 'label')
            self._results[f'{name}_dseg'] = save(
                labels.astype(np.uint8), anat, folder / f'{name}_dseg.nii.gz'
            )
        return runtime
