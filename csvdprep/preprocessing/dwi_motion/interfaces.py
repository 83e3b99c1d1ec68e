"""Files in, files out; the numbers are in the science."""

import json
from pathlib import Path

import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec

from csvdprep.imaging.dwi_series import DwiSeries
from csvdprep.imaging.images import load, save, stored_vectors
from csvdprep.preprocessing.dwi_motion.realignment import Series, find_motion
from csvdprep.preprocessing.dwi_motion.science.prediction import lost_slices
from csvdprep.science.echo_planar import Geometry
from csvdprep.science.gradient_table import fsl_vectors
from csvdprep.science.head_motion import rotate_gradients


class _MotionInputSpec(TraitedSpec):
    dwi_denoised = File(exists=True, mandatory=True, desc='all volumes')
    dwi_volumes = File(exists=True, mandatory=True, desc='gradients, runs, distortion')
    dwi_mask_raw = File(exists=True, mandatory=True, desc='brain as acquired')
    dwi_shift = File(exists=True, mandatory=True, desc='distortion, voxels')


class _MotionOutputSpec(TraitedSpec):
    dwi_realigned = File(exists=True, desc='series without motion, eddy currents, distortion')
    dwi_motions = File(exists=True, desc='transforms, gradients in the head, lost slices')
    dwi_coverage = File(exists=True, desc='voxels that all volumes hold')
    dwi_bval = File(exists=True, desc='b-values')
    dwi_bvec = File(exists=True, desc='gradients, turned with the head')


class CorrectMotion(SimpleInterface):
    """Find motion and eddy currents, and take them and the distortion off in one interpolation."""

    input_spec = _MotionInputSpec
    output_spec = _MotionOutputSpec

    def _run_interface(self, runtime):
        given, folder = self.inputs, Path(runtime.cwd)
        found = DwiSeries.read(given.dwi_denoised, given.dwi_volumes, given.dwi_mask_raw)
        volumes = found.volumes
        shift = np.asanyarray(load(given.dwi_shift).dataobj, dtype=np.float32)
        series = Series(
            found.data,
            Geometry(found.image.affine, volumes.axis, shift if shift.any() else None),
            volumes,
        )
        if volumes.corrected:
            motions = np.tile(np.eye(4), (len(volumes.bvals), 1, 1))
            lost = np.zeros((len(volumes.bvals), found.brain.shape[volumes.slice_axis]), bool)
            realigned = series.data
        else:
            motions, expected = find_motion(series, found.brain)
            lost = _lost(series, motions, expected, found.brain)
            realigned = series.pulled(motions, order=3)
            np.maximum(realigned, 0, out=realigned)
        directions = rotate_gradients(volumes.directions, motions)
        # Uncompressed: it is read again at once, and thrown away.
        self._results['dwi_realigned'] = save(realigned, found.image, folder / 'series.nii')
        self._results['dwi_coverage'] = save(
            series.covered(motions), found.image, folder / 'coverage.nii.gz'
        )
        told = {
            'transforms': motions.tolist(),
            'directions': directions.tolist(),
            'lost_slices': [np.flatnonzero(row).tolist() for row in lost],
        }
        (folder / 'motions.json').write_text(json.dumps(told), encoding='utf-8')
        self._results['dwi_motions'] = str(folder / 'motions.json')
        vectors = stored_vectors(fsl_vectors(directions, found.image.affine), found.image)
        for name, rows in (('bval', volumes.bvals[None]), ('bvec', vectors.T)):
            path = folder / f'dwi.{name}'
            np.savetxt(path, rows, fmt='%g' if name == 'bval' else '%.8f')
            self._results[f'dwi_{name}'] = str(path)
        return runtime


def _lost(series, motions, expected, brain):
    """Find lost slices, each volume in its own place."""
    still, volumes = np.eye(4), series.volumes
    found = []
    for v in range(len(volumes.bvals)):
        flat = Geometry(series.geometry.affine).pull(
            expected[..., v], np.linalg.inv(motions[v]) @ still, order=1
        )
        seen = series.geometry.pull(series.data[..., v], still, volumes.factors[v], order=1)
        found.append(lost_slices(seen, flat, brain, volumes.slice_axis))
    return np.array(found)
