"""Files in, files out; the registration is ANTs'."""

from pathlib import Path

import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, traits

from csvdprep.imaging.ants import register_fa
from csvdprep.imaging.images import load
from csvdprep.interfaces.values import write_values
from csvdprep.preprocessing.dwi_template import ROOM
from csvdprep.resources import resource


class _RegisterInputSpec(TraitedSpec):
    dwi_fa = File(exists=True, mandatory=True, desc='fractional anisotropy')
    dwi_mask = File(exists=True, mandatory=True, desc='brain')
    resolution_mm = traits.Float(2.0, usedefault=True, desc='finest resolution')


class _RegisterOutputSpec(TraitedSpec):
    dwi_to_fa = File(exists=True, desc='resamples the series into the template')
    fa_to_dwi = File(exists=True, desc='resamples the template onto the series')
    dwi_template_values = File(exists=True, desc='measures')


class Register(SimpleInterface):
    """Register FA to its template."""

    input_spec = _RegisterInputSpec
    output_spec = _RegisterOutputSpec

    def _run_interface(self, runtime):
        given, folder = self.inputs, Path(runtime.cwd)
        ways = {name: str(folder / f'{name}.h5') for name in ('dwi_to_fa', 'fa_to_dwi')}
        mask = np.asanyarray(load(given.dwi_mask).dataobj) > 0
        found = register_fa(
            load(given.dwi_fa),
            mask,
            load(resource('fa_template')),
            ways['dwi_to_fa'],
            ways['fa_to_dwi'],
            resolution_mm=given.resolution_mm,
        )
        self._results.update(ways)
        self._results['dwi_template_values'] = write_values(
            folder / 'values.json', {'qc_fa_template_r': found['agreement']}, ROOM
        )
        return runtime
