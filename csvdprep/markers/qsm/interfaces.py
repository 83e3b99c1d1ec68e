"""Files in, files out; the numbers are in the science."""

from pathlib import Path

import nibabel as nib
import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, isdefined, traits

from csvdprep.core.errors import MeasureError
from csvdprep.imaging.frame import ImageFrame
from csvdprep.imaging.images import load, load_mask_on, save
from csvdprep.interfaces.values import Value, read_measure, write_values
from csvdprep.markers.qsm import GIVEN, NUCLEI, ROOM
from csvdprep.markers.qsm.science import invert
from csvdprep.science.dipole import Space, main_field_axes

#: Share of a structure in a voxel from which it counts, and fewest voxels of a value.
INSIDE, LEAST_VOXELS = 0.8, 20
_NOT_GIVEN = (
    'the atlas has no {}: it is measured where a segmentation whose table names it, left and '
    'right, is given (--derivatives)'
)


class _InputSpec(TraitedSpec):
    gre_local = File(exists=True, mandatory=True, desc='local field')
    gre_local_sd = File(exists=True, mandatory=True, desc='its standard error')
    gre_mag = File(exists=True, mandatory=True, desc='magnitude')
    gre_mask = File(exists=True, mandatory=True, desc='brain')
    gre_to_anat = File(exists=True, mandatory=True, desc='resamples it onto the reference')
    gre_r2star = File(exists=True, mandatory=True, desc='R2*')
    structures_dseg = File(exists=True, mandatory=True, desc='deep structures')
    wm_probseg = File(exists=True, mandatory=True, desc='white matter')
    ventricles = File(exists=True, mandatory=True, desc='lateral ventricles')
    gre_field_values = File(exists=True, mandatory=True, desc='how the phase was read')
    wmh_mask = File(exists=True, desc='hyperintensities')
    flair_to_anat = File(exists=True, desc='resamples the FLAIR onto the reference')
    nigra_external = traits.Dict(desc='segmentation of the substantia nigra, and its image')
    ruber_external = traits.Dict(desc='segmentation of the red nucleus, and its image')
    dentate_external = traits.Dict(desc='segmentation of the dentate nucleus, and its image')
    method = traits.Enum('tv', 'tkd', mandatory=True, desc='inversion')
    strength = traits.Float(mandatory=True, desc='weight of the total variation')
    rounds = traits.Int(mandatory=True, desc='iterations')


class _OutputSpec(TraitedSpec):
    gre_chi = File(exists=True, desc='susceptibility')
    qsm_values = File(exists=True, desc='measures')


class MapSusceptibility(SimpleInterface):
    """Invert the local field, and measure deep grey matter."""

    input_spec = _InputSpec
    output_spec = _OutputSpec

    def _run_interface(self, runtime):
        given, folder = self.inputs, Path(runtime.cwd)
        image = load(given.gre_local)
        local = np.asanyarray(image.dataobj, dtype=np.float32)
        sd = np.asanyarray(load(given.gre_local_sd).dataobj, dtype=np.float32)
        kept = sd > 0
        if not kept.any():
            raise MeasureError('The local field is known nowhere.', remedy='Look at the phase.')
        box = tuple(slice(i.min(), i.max() + 1) for i in np.nonzero(kept))
        voxel_mm = nib.affines.voxel_sizes(image.affine)
        space = Space(local[box].shape, voxel_mm, main_field_axes(image.affine))
        chi = np.zeros(local.shape, np.float32)
        chi[box] = invert(
            local[box],
            sd[box],
            kept[box],
            space,
            method=given.method,
            strength=given.strength,
            rounds=given.rounds,
        )
        self._results['gre_chi'] = save(chi, image, folder / 'chi.nii.gz')
        self._results['qsm_values'] = write_values(
            folder / 'values.json', self._measures(chi, kept), ROOM
        )
        return runtime

    def _measures(self, chi, kept):
        given = self.inputs
        others = {}
        if isdefined(given.flair_to_anat):
            others['flair'] = given.flair_to_anat
        frame = ImageFrame.read(given.gre_mag, given.gre_to_anat, others)
        rate = np.asanyarray(load(given.gre_r2star).dataobj, dtype=np.float32)
        sign = read_measure(given.gre_field_values, 'gre_field.gre_phase_sign', ROOM).value
        misfit = read_measure(given.gre_field_values, 'gre_field.qc_phase_misfit_rad', ROOM).value
        doubts = ['the sign of the phase is not known'] if sign == 'unknown' else []
        # All values are proportional to the unit, and to 1 over the field strength.
        if (unit := read_measure(given.gre_field_values, 'gre_field.gre_phase_unit', ROOM)).reason:
            doubts.append(unit.reason)
        if misfit is None:
            doubts.append('one echo: the phase of the receiver is not told from the field')
        doubt = '; '.join(doubts)
        values = {}

        def measure(name, words, side, place) -> None:
            values[f'qsm_{name}_{side}_ppm'] = _median(chi, place & kept, f'{side} {words}', doubt)
            value = Value(None, reason='fewer than three echoes, or no echo times')
            if rate.any():
                value = _median(rate, place & (rate > 0), f'{side} {words}')
            values[f'r2star_{name}_{side}_per_s'] = value

        for name, (words, labels) in NUCLEI.items():
            for side, label in zip(('left', 'right'), labels, strict=True):
                place = frame.share(given.structures_dseg, labels=(label,)) > INSIDE
                measure(name, words, side, place)
        for name, (words, _) in GIVEN.items():
            item = getattr(given, f'{name}_external')
            for side in ('left', 'right'):
                if isdefined(item):
                    measure(name, words, side, _given_place(item, item['classes'][side], frame))
                    continue
                missing = Value(None, reason=_NOT_GIVEN.format(words))
                values |= dict.fromkeys(
                    (f'qsm_{name}_{side}_ppm', f'r2star_{name}_{side}_per_s'), missing
                )
        white = (frame.share(given.wm_probseg) > 0.95) & kept
        if 'flair' in others and isdefined(given.wmh_mask):
            white &= frame.share(given.wmh_mask, 'flair') < 0.05
        values['qsm_white_ppm'] = _median(chi, white, 'white matter', doubt)
        fluid = (frame.share(given.ventricles) > 0.95) & kept
        values['qsm_ventricles_ppm'] = _median(chi, fluid, 'lateral ventricles', doubt)
        spread = Value(None, reason='no white matter is covered')
        if white.sum() >= LEAST_VOXELS:
            inside = chi[white]
            off = np.abs(inside - np.median(inside))
            spread = Value(1.4826 * float(np.median(off)), n=int(white.sum()))
        values['qc_qsm_white_sd_ppm'] = spread
        return values


def _given_place(item, labels, frame: ImageFrame) -> np.ndarray:
    """Return where a segmentation that was given has some labels, on the gradient echo."""
    if item['on'] == 'gre':
        return np.asarray(load_mask_on(item['mask'], frame.image, labels=labels)) > 0
    other = 'flair' if item['on'] == 'flair' else 'anat'
    return frame.share(item['mask'], other, labels=labels) > INSIDE


def _median(data, place, words, doubt='') -> Value:
    """Return the median of a place; n/a where too little of it is covered."""
    count = int(place.sum())
    if count < LEAST_VOXELS:
        return Value(None, reason=f'{count} voxels of the {words} are covered')
    return Value(float(np.median(data[place])), n=count, reason=doubt, qc='warn' if doubt else '')
