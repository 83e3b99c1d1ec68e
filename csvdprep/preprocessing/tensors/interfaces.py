"""Files in, files out; the fits are in the science."""

from pathlib import Path

import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, traits
from scipy import ndimage as ndi

from csvdprep.bids.gradients import shells
from csvdprep.core.errors import MeasureError
from csvdprep.imaging.images import canonical_vectors, load, save
from csvdprep.interfaces.values import Value, write_values
from csvdprep.preprocessing.tensors import ROOM
from csvdprep.science.free_water import fit_free_water, free_water_single_shell
from csvdprep.science.gradient_table import flipped_table, world_directions
from csvdprep.science.shell_choice import Choice, choose_shells
from csvdprep.science.tensors import fit_tensor, measures, residuals

#: Least signal, over that of the brain without gradient.
LEAST_SIGNAL = 2e-3
#: Least and greatest b-value (s/mm²) of a shell for free water.
FREE_WATER_B = (400.0, 3000.0)


class _TensorsInputSpec(TraitedSpec):
    dwi_preproc = File(exists=True, mandatory=True, desc='corrected series')
    dwi_bval = File(exists=True, mandatory=True, desc='b-values')
    dwi_bvec = File(exists=True, mandatory=True, desc='gradients')
    dwi_mask = File(exists=True, mandatory=True, desc='brain')
    fit = traits.Str('wls', usedefault=True, desc='kind of fit')
    shells = traits.Enum('nearest', 'all', usedefault=True, desc='which take part')
    b_wanted = traits.Float(1000.0, usedefault=True, desc='of the shell wanted, s/mm²')
    b_max = traits.Float(1500.0, usedefault=True, desc='highest b-value of all shells, s/mm²')


class _TensorsOutputSpec(TraitedSpec):
    dwi_tensor = File(exists=True, desc='tensor')
    dwi_fa = File(exists=True, desc='fractional anisotropy')
    dwi_md = File(exists=True, desc='mean diffusivity')
    dwi_ad = File(exists=True, desc='axial diffusivity')
    dwi_rd = File(exists=True, desc='radial diffusivity')
    dwi_mode = File(exists=True, desc='mode')
    dwi_direction = File(exists=True, desc='main direction')
    dwi_fw = File(exists=True, desc='free water')
    tensors_values = File(exists=True, desc='measures')


class FitTensors(SimpleInterface):
    """Fit tensor and free water."""

    input_spec = _TensorsInputSpec
    output_spec = _TensorsOutputSpec

    def _run_interface(self, runtime):
        given, folder = self.inputs, Path(runtime.cwd)
        image = load(given.dwi_preproc)
        data = np.asanyarray(image.dataobj, dtype=np.float32)
        bvals = np.loadtxt(given.dwi_bval).ravel()
        vectors = canonical_vectors(np.loadtxt(given.dwi_bvec).T, image)
        directions = world_directions(vectors, image.affine)
        mask = np.asanyarray(load(given.dwi_mask).dataobj) > 0
        choice = choose_shells(
            bvals,
            directions,
            shells(bvals.tolist()),
            wanted=given.b_wanted,
            every_up_to=given.b_max if given.shells == 'all' else None,
        )
        use = choice.volumes
        # Where noise was taken off nothing may be left, whose logarithm would outweigh the rest.
        level = np.median(data[..., bvals == 0].mean(axis=3)[mask])
        np.maximum(data, LEAST_SIGNAL * level, out=data)
        fit = fit_tensor(
            data[..., use], bvals[use], directions[use], mask, method=given.fit, reweightings=2
        )
        maps = measures(fit.tensor)
        found = {
            'dwi_tensor': fit.tensor,
            'dwi_fa': maps.fa,
            'dwi_md': maps.md,
            'dwi_ad': maps.ad,
            'dwi_rd': maps.rd,
            'dwi_mode': maps.mode,
            'dwi_direction': maps.v1,
        }
        method, water = _water(data, bvals, directions, mask)
        for name, values in found.items():
            inside = mask if values.ndim == 3 else mask[..., None]
            clean = np.where(inside, np.nan_to_num(values), 0).astype(np.float32)
            self._results[name] = save(clean, image, folder / f'{name}.nii.gz')
        # Where it cannot be had there is no number, which is not the same as no free water.
        share = np.full(mask.shape, np.nan) if water is None else np.where(mask, water, 0)
        self._results['dwi_fw'] = save(share, image, folder / 'dwi_fw.nii.gz')
        rest = residuals(data[..., use], fit, bvals[use], directions[use])
        self._results['tensors_values'] = write_values(
            folder / 'values.json',
            {
                **_chosen(choice),
                'fw_method': method,
                'qc_dwi_table': _table(maps, image.affine, mask),
                'qc_dwi_residual_pct': _misfit(rest, fit.s0, mask),
            },
            ROOM,
        )
        return runtime


def _chosen(choice: Choice) -> dict[str, Value]:
    """Say which shells the tensor stands on."""

    def listed(levels):
        return ' '.join(f'{b:.0f}' for b in levels)

    said = f'shells not used: {listed(choice.left)} s/mm²' if choice.left else ''
    return {
        'dwi_tensor_b': Value(float(max(choice.used)), reason=said),
        'dwi_tensor_shells': Value(listed(choice.used), reason=said),
    }


def _table(maps, affine, mask) -> Value:
    """Say whether the gradient table fits the data."""
    try:
        found = flipped_table(maps.fa, maps.v1, affine, ndi.binary_erosion(mask))
    except MeasureError as error:
        return Value('undecided', reason=error.message, qc='warn')
    if found.verdict == 'ok':
        return Value('ok')
    wrong = found.verdict in ('flipped', 'permuted')
    return Value(found.verdict, reason=found.meaning, qc='fail' if wrong else 'warn')


def _water(data, bvals, directions, mask):
    levels = [
        level for level in shells(bvals.tolist()) if FREE_WATER_B[0] <= level <= FREE_WATER_B[1]
    ]
    try:
        if len(levels) >= 2:
            use = (bvals == 0) | ((bvals > 0) & (bvals <= 1.03 * FREE_WATER_B[1]))
            found = fit_free_water(data[..., use], bvals[use], directions[use], mask)
            return 'two-compartment', found.f
        near = np.abs(bvals - 1000) < 250
        if near.sum() >= 6:
            use = (bvals == 0) | near
            found = free_water_single_shell(data[..., use], bvals[use], directions[use], mask)
            return 'single-shell-assumed-md', found.f
    except MeasureError:
        return 'none', None
    return 'none', None


def _misfit(rest, s0, mask):
    rms = np.sqrt(np.mean(np.square(rest), axis=-1))
    base = np.asarray(s0)
    inside = mask & (base > 0) if base.shape == mask.shape else mask
    share = 100 * rms[inside] / base[inside]
    return Value(float(np.median(share)), n=int(inside.sum()))
