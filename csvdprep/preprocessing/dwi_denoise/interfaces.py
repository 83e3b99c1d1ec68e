"""Files in, files out; the numbers are in the science."""

from pathlib import Path

import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, traits
from scipy import ndimage as ndi

from csvdprep.bids.gradients import shells
from csvdprep.imaging.images import save
from csvdprep.imaging.inspect import load_series
from csvdprep.interfaces.values import Value, write_values
from csvdprep.preprocessing.dwi_denoise import ROOM
from csvdprep.preprocessing.dwi_denoise.assembly import assemble


class _DenoiseInputSpec(TraitedSpec):
    dwi = traits.Dict(mandatory=True, desc='runs of the series, and what tells of the field')
    method = traits.Str('auto', usedefault=True, desc='how noise is reduced')
    unring = traits.Str('auto', usedefault=True, desc='whether ringing is removed')


class _DenoiseOutputSpec(TraitedSpec):
    dwi_denoised = File(exists=True, desc='all volumes')
    dwi_volumes = File(exists=True, desc='gradients, runs, factors of distortion')
    dwi_b0_raw = File(exists=True, desc='first volume without gradient')
    dwi_mask_raw = File(exists=True, desc='brain as acquired')
    dwi_denoise_values = File(exists=True, desc='measures')


class Denoise(SimpleInterface):
    """Put the runs of a series together, without noise and ringing."""

    input_spec = _DenoiseInputSpec
    output_spec = _DenoiseOutputSpec

    def _run_interface(self, runtime):
        folder, content = Path(runtime.cwd), self.inputs.dwi
        found = assemble(content, method=self.inputs.method, unring=self.inputs.unring)
        series = found.series
        self._results['dwi_mask_raw'] = save(series.brain, series.image, folder / 'mask.nii.gz')
        self._results['dwi_volumes'] = series.volumes.write(folder / 'volumes.json')
        first = int(np.argmax(series.volumes.shell_of == 0))
        self._results['dwi_b0_raw'] = save(
            series.data[..., first], series.image, folder / 'b0_raw.nii.gz'
        )
        # Uncompressed: it is read again at once, and thrown away.
        self._results['dwi_denoised'] = save(series.data, series.image, folder / 'series.nii')
        self._results['dwi_denoise_values'] = write_values(
            folder / 'values.json', _values(found, content), ROOM
        )
        return runtime


def _values(found, content):
    """Give every declared measure its value."""
    volumes = found.series.volumes
    rounded = np.round(volumes.directions[volumes.shell_of > 0], 2)
    rounded = np.where(rounded[:, :1] < 0, -rounded, rounded)
    finer = content.get('interpolation')
    return {
        'dwi_n_directions': len(np.unique(rounded, axis=0)),
        'dwi_shells': ' '.join(f'{level:g}' for level in shells(volumes.bvals)),
        'dwi_gain_ratio': _gain(found),
        'dwi_interpolation': Value(
            finer, reason='' if finer else 'no sidecar tells how many lines were measured'
        ),
        'dwi_cleaned': 'given' if volumes.corrected else ' '.join(found.done) or 'none',
        'qc_dwi_snr_b0': _signal_to_noise(content, found.series.brain),
    }


def _gain(found):
    """Tell how bright later runs were, and which were left out."""
    told = '; '.join(found.notes)
    odd = any('left out' in note or 'cannot be compared' in note for note in found.notes)
    if not found.gains:
        return Value(None, reason=told or 'one run', qc='warn' if odd else '')
    farthest = max(found.gains.values(), key=lambda ratio: abs(np.log(ratio)))
    return Value(float(farthest), reason=told, qc='warn' if odd else '')


def _signal_to_noise(content, brain) -> Value:
    """Compare volumes without gradient of one run, as acquired."""
    if content.get('corrected'):
        return Value(None, reason='the series was corrected by another tool')
    found = None
    for run in content['runs']:
        plain = np.flatnonzero(np.array(run['bvals']) == 0)
        if len(plain) < 2:
            continue
        image = load_series(run['path'], volumes=run.get('volumes'))
        data = np.asanyarray(image.dataobj)[..., plain]
        inner = ndi.binary_erosion(brain, iterations=4)
        if inner.sum() < 500 or inner.shape != data.shape[:3]:
            break
        values = data[inner]
        # Neighbours in time moved least; differences have twice the variance.
        noise = 1.4826 * np.median(np.abs(np.diff(values, axis=1))) / np.sqrt(2)
        found = float(np.median(values.mean(axis=1)) / noise) if noise > 0 else None
        break
    if not found:
        return Value(None, reason='needs two volumes without gradient in one run, as acquired')
    return Value(found)
