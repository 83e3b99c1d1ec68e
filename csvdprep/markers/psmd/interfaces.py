"""Files in, files out; the numbers are in the science."""

from pathlib import Path

import nibabel as nib
import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, isdefined
from scipy import ndimage as ndi

from csvdprep.bids.gradients import shells
from csvdprep.core.errors import MeasureError
from csvdprep.imaging.ants import apply_transform
from csvdprep.imaging.frame import ImageFrame
from csvdprep.imaging.images import canonical_vectors, load
from csvdprep.imaging.points import map_points
from csvdprep.interfaces.values import Value, read_measure, write_values
from csvdprep.markers.psmd import ROOM
from csvdprep.markers.psmd.science import (
    measure_psmd,
    plausible,
    prepare_skeleton,
    project,
    project_native,
)
from csvdprep.markers.psmd.science.noise import noise_inflation
from csvdprep.resources import resource
from csvdprep.science.gradient_table import world_directions
from csvdprep.science.shell_choice import volumes_of


class _PsmdInputSpec(TraitedSpec):
    dwi_fa = File(exists=True, mandatory=True, desc='fractional anisotropy')
    dwi_md = File(exists=True, mandatory=True, desc='mean diffusivity')
    dwi_mask = File(exists=True, mandatory=True, desc='brain of the series')
    dwi_bval = File(exists=True, mandatory=True, desc='b-values')
    dwi_bvec = File(exists=True, mandatory=True, desc='gradients')
    dwi_to_fa = File(exists=True, mandatory=True, desc='resamples series into the template')
    dwi_denoise_values = File(exists=True, mandatory=True, desc='quality of the series')
    tensors_values = File(exists=True, mandatory=True, desc='what the tensor was fitted on')
    wmh_mask = File(exists=True, desc='hyperintensities, on the FLAIR')
    flair_to_anat = File(exists=True, desc='resamples FLAIR onto reference')
    dwi_to_anat = File(exists=True, desc='resamples series onto reference')


class _PsmdOutputSpec(TraitedSpec):
    psmd_values = File(exists=True, desc='measures')


class Psmd(SimpleInterface):
    """Measure PSMD."""

    input_spec = _PsmdInputSpec
    output_spec = _PsmdOutputSpec

    def _run_interface(self, runtime):
        given = self.inputs
        fa, md, mask = (load(path) for path in (given.dwi_fa, given.dwi_md, given.dwi_mask))
        # The edge of the brain has anisotropy that is none.
        inner = ndi.binary_erosion(np.asanyarray(mask.dataobj) > 0)
        brain = nib.Nifti1Image(inner.astype(np.uint8), fa.affine)
        lesion = self._lesion()
        grid = load(resource('psmd_skeleton'))
        counts = np.asanyarray(grid.dataobj) > 0
        directions = np.asanyarray(load(resource('skeleton_directions')).dataobj)
        skeleton = prepare_skeleton(directions, counts, grid.affine)

        def moved(image, kind='linear'):
            found = apply_transform(image, grid, [given.dwi_to_fa], interpolation=kind)
            return np.asanyarray(found.dataobj)

        found = project(moved(fa), moved(md), skeleton, brain=moved(brain, 'nearest') > 0)
        there = None
        if lesion is not None:
            there = moved(nib.Nifti1Image(lesion, fa.affine))
        path = Path(runtime.cwd) / 'values.json'
        try:
            values, reasons = measure_psmd(found, skeleton, lesion=there)
        except MeasureError as error:
            # A slab has no PSMD; that is nothing that failed.
            none = {m.name: Value(None, reason=error.message) for m in ROOM.measures}
            self._results['psmd_values'] = write_values(path, none, ROOM)
            return runtime
        native = self._native(fa, md, inner, skeleton)
        self._results['psmd_values'] = write_values(
            path, self._values(values, reasons, native, skeleton), ROOM
        )
        return runtime

    def _lesion(self):
        given = self.inputs
        if not all(map(isdefined, (given.wmh_mask, given.flair_to_anat, given.dwi_to_anat))):
            return None
        space = ImageFrame.read(given.dwi_fa, given.dwi_to_anat, {'flair': given.flair_to_anat})
        return space.share(given.wmh_mask, 'flair')

    def _native(self, fa, md, inner, skeleton):
        """Project in voxels as acquired."""
        back = np.linalg.inv(fa.affine)
        places = [
            nib.affines.apply_affine(
                back, map_points(skeleton.points(step), self.inputs.dwi_to_fa)
            )
            for step in (0, 1)
        ]
        return project_native(
            np.asanyarray(fa.dataobj), np.asanyarray(md.dataobj), *places, skeleton, brain=inner
        )

    def _values(self, values, reasons, native, skeleton):
        found = {}
        for column, name, factor in (
            ('psmd_1e4', 'psmd', 1e4),
            ('psmd_left_1e4', 'psmd_left', 1e4),
            ('psmd_right_1e4', 'psmd_right', 1e4),
            ('psmd_nonlesion_1e4', 'psmd_nonlesion', 1e4),
            ('msmd_1e3', 'msmd', 1e3),
            ('qc_psmd_coverage_pct', 'coverage_pct', 1),
            ('qc_psmd_fluid_pct', 'fluid_pct', 1),
            ('psmd_lesion_pct', 'lesion_pct', 1),
        ):
            value = values[name]
            found[column] = Value(
                None if value is None else factor * value, reason=reasons.get(name, '')
            )
        found['psmd_1e4'] = Value(found['psmd_1e4'].value, n=values['n_voxels'])
        try:
            narrow, _ = measure_psmd(native, skeleton)
            found['psmd_native_1e4'] = 1e4 * narrow['psmd']
        except MeasureError as error:
            found['psmd_native_1e4'] = Value(None, reason=error.message)
        found['psmd_noise_pct'] = self._noise(native)
        return found

    def _noise(self, native):
        given = self.inputs
        snr = read_measure(given.dwi_denoise_values, 'dwi_denoise.qc_dwi_snr_b0', ROOM)
        if snr.value is None:
            return Value(None, reason=f'the signal-to-noise ratio is unknown: {snr.reason}')
        image = load(given.dwi_fa)
        bvals = np.loadtxt(given.dwi_bval).ravel()
        vectors = canonical_vectors(np.loadtxt(given.dwi_bvec).T, image)
        directions = world_directions(vectors, image.affine)
        used = read_measure(given.tensors_values, 'tensors.dwi_tensor_shells', ROOM).value
        some = volumes_of(bvals, shells(bvals.tolist()), [float(b) for b in used.split()])
        try:
            share = noise_inflation(
                native.md[plausible(native.md)], snr.value, bvals[some], directions[some]
            )
        except MeasureError as error:
            return Value(None, reason=error.message)
        return 100 * share
