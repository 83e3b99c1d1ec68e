"""Files in, files out; the numbers are in the science."""

from pathlib import Path

import nibabel as nib
import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, traits

from csvdprep.core.errors import MeasureError
from csvdprep.imaging.echoes import load_magnitudes, load_phases
from csvdprep.imaging.frame import ImageFrame
from csvdprep.imaging.images import load, save
from csvdprep.interfaces.values import Value, write_values
from csvdprep.preprocessing.gre_field import ROOM
from csvdprep.preprocessing.gre_field.science import fit_frequency, phase_sign, slice_offset
from csvdprep.science.dipole import Space, main_field_axes, threshold_division
from csvdprep.science.local_field import resharp, v_sharp
from csvdprep.science.phase import alternating_axes
from csvdprep.science.quality import noise_by_differences

#: Protons, MHz/T.
GAMMA = 42.577
#: Field (T) that is assumed where no sidecar tells.
ASSUMED_TESLA = 3.0
#: Labels of the pallidum, left and right, in the atlas of structures.
PALLIDUM = (9, 10)
#: Noise counts as at least this share of its median: voids have none to speak of.
FAINT = 0.02


class _InputSpec(TraitedSpec):
    gre_phase = traits.Dict(mandatory=True, desc='echoes')
    gre_mag = File(exists=True, mandatory=True, desc='magnitude')
    gre_mask = File(exists=True, mandatory=True, desc='brain')
    gre_to_anat = File(exists=True, mandatory=True, desc='resamples it onto the reference')
    structures_dseg = File(exists=True, mandatory=True, desc='deep structures')
    background = traits.Enum('resharp', 'vsharp', mandatory=True, desc='what takes off the rest')


class _OutputSpec(TraitedSpec):
    gre_total = File(exists=True, desc='field')
    gre_local = File(exists=True, desc='its local part')
    gre_local_sd = File(exists=True, desc='its standard error')
    gre_field_values = File(exists=True, desc='measures')


class EstimateField(SimpleInterface):
    """Fit the frequency to the phases, and take off its background."""

    input_spec = _InputSpec
    output_spec = _OutputSpec

    def _run_interface(self, runtime):
        given, folder = self.inputs, Path(runtime.cwd)
        echoes = given.gre_phase['echoes']
        image, magnitude = load_magnitudes(echoes)
        phase, unit, known = load_phases(echoes)
        inside = np.asanyarray(load(given.gre_mask).dataobj) > 0
        voxel_mm = nib.affines.voxel_sizes(image.affine)
        turned = alternating_axes(magnitude[..., 0] * np.exp(1j * phase[..., 0]), inside & known)
        for along in turned:
            odd = np.arange(phase.shape[along]) % 2
            phase += np.float32(np.pi) * np.expand_dims(
                odd.astype(np.float32), [n for n in range(phase.ndim) if n != along]
            )
        axis = int(np.argmax(voxel_mm)) if np.ptp(voxel_mm) > 0.05 else 2
        if shift := slice_offset(magnitude[..., 0], phase[..., 0], axis, known=known):
            raise MeasureError(
                f'The phase is shifted by {abs(shift)} slices against its magnitude.',
                remedy='Export both from one reconstruction.',
            )
        tesla = given.gre_phase.get('tesla') or ASSUMED_TESLA
        mask = inside & known & (magnitude[..., 0] > 0)
        noise = _noise(magnitude, inside)
        times = [echo['time'] for echo in echoes]
        found = fit_frequency(magnitude, phase, times, mask, voxel_mm, noise)
        per_ppm = GAMMA * tesla
        total = found.hertz / np.float32(per_ppm)
        # All that follows is computed within the box of the brain.
        box = tuple(slice(i.min(), i.max() + 1) for i in np.nonzero(found.mask))
        space = Space(total[box].shape, voxel_mm, main_field_axes(image.affine))
        remove = resharp if given.background == 'resharp' else v_sharp
        part, part_kept = remove(total[box], found.mask[box], space)
        frame = ImageFrame.read(given.gre_mag, given.gre_to_anat)
        pallidum = frame.share(given.structures_dseg, labels=PALLIDUM) > 0.6
        data = np.asanyarray(load(given.gre_mag).dataobj)
        sign = phase_sign(
            threshold_division(part, part_kept, space),
            data[box],
            part_kept,
            pallidum[box],
            voxel_mm,
        )
        local, kept = np.zeros_like(total), np.zeros(total.shape, bool)
        local[box], kept[box] = sign.sign * part, part_kept
        sd = np.where(found.mask, found.sd_hertz / per_ppm, 0).astype(np.float32)
        for name, array in {
            'gre_total': np.where(found.mask, sign.sign * total, 0).astype(np.float32),
            'gre_local': local,
            'gre_local_sd': np.where(kept, sd, 0).astype(np.float32),
        }.items():
            self._results[name] = save(array, image, folder / f'{name}.nii.gz')
        several = len(echoes) > 1
        self._results['gre_field_values'] = write_values(
            folder / 'values.json',
            {
                'gre_phase_unit': _unit(unit, given.gre_phase.get('tesla'), turned),
                'gre_phase_sign': _said(sign),
                'gre_field_noise_ppb': Value(
                    1000 * float(np.median(sd[found.mask])), n=int(found.mask.sum())
                ),
                'qc_phase_misfit_rad': Value(float(np.median(found.misfit[found.mask])))
                if several
                else Value(None, reason='one echo: there is nothing to compare it with'),
                'qc_field_kept_pct': float(100 * kept.sum() / inside.sum()),
            },
            ROOM,
        )
        return runtime


def _noise(magnitude: np.ndarray, inside: np.ndarray) -> float:
    """Return the noise of real and imaginary part, from the first echo."""
    return max(noise_by_differences(magnitude[..., 0], inside), FAINT * 1e-3)


def _unit(unit, tesla, turned) -> Value:
    reasons, evidence = [], unit.evidence
    if turned:
        names = ', '.join('xyz'[axis] for axis in turned)
        evidence += f'; every other slice along {names} had the opposite sign, and was turned'
    if unit.doubtful:
        reasons.append('the sidecar says something else, or nothing, and the range is not whole')
    if not tesla:
        reasons.append(f'no MagneticFieldStrength in the sidecar: {ASSUMED_TESLA:g} T are assumed')
    return Value(evidence, reason='; '.join(reasons), qc='warn' if reasons else '')


def _said(sign) -> Value:
    if not sign.known:
        numbers = ', '.join(
            f'{name} {value:+.3f} ppm'
            for name, value in (('pallidum', sign.deep_ppm), ('dark voxels', sign.dark_ppm))
            if value is not None
        )
        return Value('unknown', reason=f'no clear evidence ({numbers or "no witness"})', qc='warn')
    return Value('right-handed' if sign.sign > 0 else 'left-handed')
