"""Files in, files out; the numbers are in the science."""

from pathlib import Path

import nibabel as nib
import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec

from csvdprep.core.errors import MeasureError
from csvdprep.imaging.ants import n4
from csvdprep.imaging.dwi_series import Volumes, find_brain
from csvdprep.imaging.images import as_stored, load, save

#: Highest value of the stored series.
TOP = 30_000


class _MaskInputSpec(TraitedSpec):
    dwi_realigned = File(exists=True, mandatory=True, desc='series, the head at rest')
    dwi_volumes = File(exists=True, mandatory=True, desc='what its volumes are')
    dwi_coverage = File(exists=True, mandatory=True, desc='voxels that all volumes hold')


class _MaskOutputSpec(TraitedSpec):
    dwi_preproc = File(exists=True, desc='corrected series')
    dwi_b0 = File(exists=True, desc='mean without gradient')
    dwi_mask = File(exists=True, desc='brain')


class MaskAndUnbias(SimpleInterface):
    """Find the brain of a series, and take the bias field off all volumes alike."""

    input_spec = _MaskInputSpec
    output_spec = _MaskOutputSpec

    def _run_interface(self, runtime):
        given, folder = self.inputs, Path(runtime.cwd)
        grid, volumes = load(given.dwi_realigned), Volumes.read(given.dwi_volumes)
        # In this order sums over volumes run along memory, and give the same last digits.
        series = np.array(grid.dataobj, dtype=np.float32, order='C')
        plain = volumes.shell_of == 0
        mask = find_brain(series, volumes.bvals, grid.affine)
        _unbias(series, plain, mask, grid.affine)
        # Where a volume has no signal because it ends there, a fit would take it for diffusion.
        mask &= np.asanyarray(load(given.dwi_coverage).dataobj) > 0
        if not mask.any():
            raise MeasureError(
                'No part of the brain lies in all volumes of the series.',
                remedy='Leave out the volumes in which the head lies elsewhere.',
            )
        b0 = series[..., plain].mean(axis=3)
        self._results['dwi_b0'] = save(b0, grid, folder / 'b0.nii.gz')
        self._results['dwi_mask'] = save(mask, grid, folder / 'mask.nii.gz')
        self._results['dwi_preproc'] = _save_packed(series, grid, folder / 'dwi.nii.gz')
        return runtime


def _unbias(series, plain, mask, affine):
    """Take the drift of the coil off all volumes alike."""
    b0 = series[..., plain].mean(axis=3)
    even = np.asanyarray(n4(nib.Nifti1Image(b0, affine), mask).dataobj)
    ratio = np.where(b0 > 0, even / np.maximum(b0, 1e-6), 1).astype(np.float32)
    # Nothing is known of the drift outside the head.
    np.clip(ratio, 0.2, 5, out=ratio)
    for volume in range(series.shape[3]):
        series[..., volume] *= ratio


def _save_packed(data, grid, path):
    """Save a series as 16-bit integers with a scale."""
    slope = float(data.max()) / TOP or 1.0
    image = as_stored(np.round(data / slope).astype(np.int16), grid)
    image.header.set_slope_inter(slope, 0)
    image.header.set_xyzt_units('mm', 'sec')
    image.to_filename(path)
    return str(path)
