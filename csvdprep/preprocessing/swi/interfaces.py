"""Files in, files out; the numbers are in the science."""

from pathlib import Path

import nibabel as nib
import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, isdefined, traits

from csvdprep.imaging.echoes import load_magnitudes
from csvdprep.imaging.images import load, resample, save
from csvdprep.imaging.inspect import load_clean
from csvdprep.interfaces.values import Value, write_values
from csvdprep.preprocessing.swi import ROOM
from csvdprep.preprocessing.swi.science import effective_time, minimum_projection, phase_mask

#: Field (T) that is assumed where no sidecar tells.
ASSUMED_TESLA = 3.0


class _InputSpec(TraitedSpec):
    gre = traits.Dict(mandatory=True, desc='echoes, or the SWI of the scanner')
    gre_mag = File(exists=True, mandatory=True, desc='magnitude')
    gre_mask = File(exists=True, mandatory=True, desc='brain')
    gre_total = File(exists=True, desc='unwrapped field')
    highpass_mm = traits.Float(mandatory=True, desc='width of the filter')
    power = traits.Int(mandatory=True, desc='exponent of the mask')
    minip_mm = traits.Float(mandatory=True, desc='thickness of the projection')


class _OutputSpec(TraitedSpec):
    gre_swi = File(exists=True, desc='susceptibility-weighted image')
    gre_minip = File(exists=True, desc='minimum intensity projection')
    swi_values = File(exists=True, desc='measures')


class Weight(SimpleInterface):
    """Weight the magnitude by the phase, or take the scanner's image."""

    input_spec = _InputSpec
    output_spec = _OutputSpec

    def _run_interface(self, runtime):
        given, folder = self.inputs, Path(runtime.cwd)
        image = load(given.gre_mag)
        data = np.asanyarray(image.dataobj, dtype=np.float32)
        mask = np.asanyarray(load(given.gre_mask).dataobj) > 0
        voxel_mm = nib.affines.voxel_sizes(image.affine)
        source = Value('computed')
        if isdefined(given.gre_total):
            total = np.asanyarray(load(given.gre_total).dataobj, dtype=np.float32)
            _, magnitude = load_magnitudes(given.gre['echoes'])
            times = [echo['time'] for echo in given.gre['echoes']]
            time = effective_time(times, magnitude[mask].mean(axis=0))
            data = data * phase_mask(
                total,
                mask & (total != 0),
                voxel_mm,
                tesla=given.gre.get('tesla') or ASSUMED_TESLA,
                time=time,
                highpass_mm=given.highpass_mm,
                power=given.power,
            )
        elif given.gre['weighted']:
            own = load_clean(given.gre['weighted'])
            same = own.shape == image.shape and np.allclose(own.affine, image.affine, atol=1e-3)
            data = np.asanyarray(own.dataobj if same else resample(own, image), dtype=np.float32)
            source = Value('scanner')
        else:
            source = Value('magnitude', qc='warn', reason='veins are less dark than in an SWI')
        axis = int(np.argmax(voxel_mm)) if np.ptp(voxel_mm) > 0.05 else 2
        slices = round(given.minip_mm / voxel_mm[axis])
        self._results['gre_swi'] = save(data, image, folder / 'gre_swi.nii.gz')
        self._results['gre_minip'] = save(
            minimum_projection(data, slices, axis), image, folder / 'gre_minip.nii.gz'
        )
        self._results['swi_values'] = write_values(
            folder / 'values.json', {'swi_source': source}, ROOM
        )
        return runtime
