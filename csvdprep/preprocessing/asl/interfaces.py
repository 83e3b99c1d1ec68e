"""Files in, files out; the numbers are in the science."""

from pathlib import Path

import nibabel as nib
import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, traits

from csvdprep.bids.tsv import write_tsv
from csvdprep.core.errors import MeasureError
from csvdprep.imaging.ants import realign
from csvdprep.imaging.brain import extract_brain
from csvdprep.imaging.dwi_series import middle_of
from csvdprep.imaging.images import like, resample, save
from csvdprep.imaging.labelling import Plan, load_scaled
from csvdprep.interfaces.values import Value, write_values
from csvdprep.preprocessing.asl import ROOM
from csvdprep.preprocessing.asl.motion import align, moved
from csvdprep.preprocessing.asl.science import (
    SURE,
    Pair,
    difference_sign,
    pair_up,
    relaxed,
    whole_vertex,
)
from csvdprep.science.head_motion import displacement, rotation_angles
from csvdprep.science.morphology import close_mm, dilate, fill_holes, largest_component, open_mm
from csvdprep.science.slab_brain import brain_by_threshold, is_slab
from csvdprep.science.spin_labelling import PARTITION, blood_t1, tissue_t1

#: A difference of fewer standard errors is none.
SEEN = 3.0
#: Fewer repeats of a delay than this tell its scatter badly: what they say is flagged, no more.
FEW = 3
#: Width of gaps of the brain's edge that are closed, and of bridges that are cut, mm.
GAP_MM, BRIDGE_MM = 7.0, 4.0
#: Around the brain, as far as images are compared, mm.
AROUND_MM = 20.0
COLUMNS = tuple(column.name for column in ROOM.makes['asl_confounds'].columns)


class _InputSpec(TraitedSpec):
    asl = traits.Dict(mandatory=True, desc='series, what its volumes are, M0')
    motion = traits.Bool(mandatory=True, desc='whether volumes are aligned')


class _OutputSpec(TraitedSpec):
    asl_preproc = File(exists=True, desc='aligned series')
    asl_ref = File(exists=True, desc='mean control')
    asl_m0 = File(exists=True, desc='M0')
    asl_mask = File(exists=True, desc='brain')
    asl_confounds = File(exists=True, desc='motion')
    asl_plan = File(exists=True, desc='how flow is computed')
    asl_values = File(exists=True, desc='measures')


class PrepareSeries(SimpleInterface):
    """Align the volumes, find the brain, bring M0 along, tell control from label."""

    input_spec = _InputSpec
    output_spec = _OutputSpec

    def _run_interface(self, runtime):
        given, folder = self.inputs.asl, Path(runtime.cwd)
        image = load_scaled(given['path'])
        data, affine = np.asanyarray(image.dataobj), image.affine
        kinds = list(given['kinds'])
        controls = [n for n, kind in enumerate(kinds) if kind == 'control']
        m0, own_m0 = self._m0_as_acquired(image, kinds)
        # With background suppression the brain is dark: M0 shows it.
        shown = m0 if m0 is not None else data[..., controls].mean(axis=3) if controls else None
        brain = _brain(shown, affine) if shown is not None else _brain_of_flow(data, affine)
        centre = middle_of(brain, affine)
        motions = np.stack([np.eye(4)] * len(kinds))
        aligned = self.inputs.motion and {'control', 'label'} <= {*kinds}
        if aligned:
            motions = align(data, affine, brain, kinds, centre)
            data = np.stack(
                [moved(data[..., n], affine, motions[n]) for n in range(len(kinds))], axis=3
            )
        some = controls or range(len(kinds))
        reference = data[..., list(some)].mean(axis=3)
        if m0 is not None:
            m0, brain = self._m0_aligned(m0, own_m0, like(reference, image), brain)
        pairs = pair_up(kinds, given['delays'], given['durations'])
        doubts = list(given['doubts'])
        alone = _without_partner(kinds, pairs)
        doubts += [alone] if alone else []
        pairs, told = _with_sign(pairs, data, brain, doubts, kinds)
        m0, scale = self._scaled_m0(m0, reference, given)
        ratio = self._ratio(reference, m0, brain, scale, controls, given)
        plan = Plan(
            labelling=given['labelling'],
            pairs=[(p.control, p.label, p.delay, p.duration) for p in pairs],
            cbf=[] if pairs else [n for n, kind in enumerate(kinds) if kind == 'cbf'],
            slice_axis=given['slice_axis'],
            slice_times=given['slice_times'],
            efficiency=given['efficiency'],
            blood_t1=blood_t1(given['tesla']),
            m0_scale=scale,
            crushed=given['crushed'],
            doubts=doubts,
        )
        for name, array in {
            'asl_preproc': data,
            'asl_ref': reference,
            'asl_m0': m0,
            'asl_mask': brain,
        }.items():
            self._results[name] = save(array, image, folder / f'{name}.nii.gz')
        self._results['asl_plan'] = plan.write(folder / 'plan.json')
        moves = displacement(motions, centre=centre)
        self._results['asl_confounds'] = _confounds(
            folder / 'confounds.tsv', kinds, given['delays'], motions, moves, centre
        )
        latest = max((p.delay for p in pairs), default=None)
        self._results['asl_values'] = write_values(
            folder / 'values.json',
            {
                'asl_labelling': given['labelling'],
                'asl_delay_s': Value(None, reason='the scanner computed blood flow')
                if latest is None
                else float(np.median(plan.delay_map(brain.shape, latest)[brain])),
                'asl_delays_n': len(plan.settings) or 1,
                'asl_pairs_n': Value(
                    len(pairs) or len(plan.cbf), reason=alone, qc='warn' if alone else ''
                ),
                'asl_efficiency': Value(given['efficiency'], reason=given['efficiency_from']),
                'asl_m0': given['m0']['type'],
                'qc_asl_fd_mm': Value(float(moves.mean()), n=len(kinds))
                if aligned and len(moves)
                else Value(None, reason='volumes were not aligned'),
                'qc_asl_label_t': told,
                'qc_asl_control_m0': ratio,
            },
            ROOM,
        )
        return runtime

    def _m0_as_acquired(self, image, kinds):
        """Return the mean M0 on the grid of the series, and itself on its own grid."""
        given = self.inputs.asl
        kind = given['m0']['type']
        if kind == 'separate':
            found = load_scaled(given['m0_path'])
            mean = like(np.asanyarray(found.dataobj).mean(axis=3), found)
            return resample(mean, image), mean
        if kind == 'included':
            own = [n for n, name in enumerate(kinds) if name == 'm0scan']
            mean = np.asanyarray(image.dataobj)[..., own].mean(axis=3)
            return mean, like(mean, image)
        return None, None

    def _m0_aligned(self, m0, own, reference, brain):
        """Bring M0 and its brain to the aligned series (mutual information: contrasts differ)."""
        if not self.inputs.motion:
            return m0, brain
        size = nib.affines.voxel_sizes(reference.affine)
        # Wide enough that its edge is in air: the edge of a mask would hold the images in place.
        around = like(dilate(brain, size, AROUND_MM).astype(np.float32), reference)
        masked = like(np.asanyarray(reference.dataobj) * np.asanyarray(around.dataobj), reference)
        moving = like(np.asanyarray(own.dataobj) * (resample(around, own) > 0.5), own)
        matrix = realign(masked, moving, np.eye(4))
        there = resample(like(brain.astype(np.float32), reference), reference, matrix=matrix)
        return resample(own, reference, matrix=matrix), there > 0.5

    def _scaled_m0(self, m0, reference, given):
        """Return M0, and what recovery makes of it."""
        told = given['m0']
        t1 = tissue_t1(given['tesla'])
        if told['type'] == 'control':
            return reference, float(relaxed(np.array(1.0), told['repetition'], t1))
        if told['type'] == 'estimate':
            # The number is M0 of blood.
            return np.full(reference.shape, told['value'], np.float32), PARTITION
        if m0 is None:
            return np.zeros(reference.shape, np.float32), 1.0
        return m0, float(relaxed(np.array(1.0), told['repetition'], t1))

    def _ratio(self, reference, m0, brain, scale, controls, given) -> Value:
        if given['m0']['type'] not in ('separate', 'included') or not controls:
            return Value(None, reason='control and M0 are not measured apart')
        level = float(np.median(m0[brain]))
        if not level > 0:
            raise MeasureError(
                'M0 is empty in the brain.',
                remedy='Look at the M0 scan; convert it again, or give another.',
            )
        ratio = float(np.median(reference[brain])) / level / scale
        repetition = given.get('control_repetition')
        if repetition and given['suppressed'] is False:
            ratio *= float(relaxed(np.array(1.0), repetition, tissue_t1(given['tesla'])))
        if given['suppressed'] is False and ratio < 0.5:
            return Value(
                ratio,
                qc='warn',
                reason='control is much darker than M0, though there was no background '
                'suppression: are both stored with one scale?',
            )
        return Value(ratio, n=int(brain.sum()))


def _brain(image: np.ndarray, affine: np.ndarray) -> np.ndarray:
    size = nib.affines.voxel_sizes(affine)
    if is_slab(size * image.shape):
        mask = brain_by_threshold(image, size)
    else:
        mask = np.asarray(extract_brain(nib.Nifti1Image(image, affine))[0]) > 0
        mask = whole_vertex(image, mask, affine)
        # Thick slices leave its edge ragged.
        closed = fill_holes(close_mm(mask, size, GAP_MM))
        mask = largest_component(open_mm(closed, size, BRIDGE_MM))
    if not mask.any():
        raise MeasureError(
            'There is no brain in the ASL series.', remedy='Look at the series and at its M0.'
        )
    return mask


def _brain_of_flow(data: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Find the brain where there is nothing but differences or flow."""
    shown = np.abs(data).mean(axis=3)
    try:
        return _brain(shown, affine)
    except MeasureError:
        mask = brain_by_threshold(shown, nib.affines.voxel_sizes(affine))
        if not mask.any():
            raise
        return mask


def _without_partner(kinds, pairs) -> str:
    """Tell of control and label volumes that no pair holds; empty where there are none."""
    volumes = sum(kind in ('control', 'label') for kind in kinds)
    used = len({n for pair in pairs for n in (pair.control, pair.label)})
    if 'deltam' in kinds or not pairs or used >= volumes:
        return ''
    return f'{volumes - used} of {volumes} volumes of control and label have no partner'


def _with_sign(
    pairs: list[Pair], data: np.ndarray, brain: np.ndarray, doubts: list[str], kinds: list[str]
) -> tuple[list[Pair], Value]:
    """Exchange control and label where the data say that they are exchanged."""
    if not pairs:
        return pairs, Value(None, reason='the series holds no control and label')
    made = pairs[0].control == pairs[0].label
    level = data[brain].mean(axis=0)
    values = np.array([level[p.control] - (0 if made else level[p.label]) for p in pairs])
    settings = [(p.delay, p.duration) for p in pairs]
    mean, t = difference_sign(values, settings)
    if t is None:
        if mean <= 0:
            raise MeasureError(
                'Control and label do not differ as they should: the difference is '
                f'{mean:.3g} on average in the brain, and too few repeats tell how sure that is.',
                remedy='Exchange control and label in aslcontext.tsv if they are; else leave the '
                'series out.',
            )
        if (values <= 0).any():
            doubts.append('some of the few differences of control and label are negative')
        return pairs, Value(
            None, reason='fewer than three differences of a delay tell no standard error'
        )
    if 0 < t < SEEN and min(map(settings.count, settings)) < FEW:
        said = f'control and label differ by {t:.1f} standard errors only, of few repeats'
        doubts.append(said)
        return pairs, Value(t, n=len(pairs), qc='warn', reason=said)
    if abs(t) < SEEN:
        raise MeasureError(
            f'Control and label do not differ: by {mean:.3g} on average in the brain, '
            f'{abs(t):.1f} standard errors.',
            remedy='Labelling failed, or aslcontext.tsv names the wrong volumes.',
        )
    if t > 0:
        return pairs, Value(min(t, 999.0), n=len(pairs))
    if t > -SURE:
        raise MeasureError(
            f'Control is darker than label, by {-t:.1f} standard errors: which is which is not '
            'clear.',
            remedy='Check aslcontext.tsv.',
        )
    what = 'the differences are label minus control' if made else 'control and label are exchanged'
    doubts.append(f'by the data {what} in aslcontext.tsv; they were taken the other way round')
    if made:
        data[..., [p.control for p in pairs]] *= -1
        exchanged = pairs
    else:
        names = {'control': 'label', 'label': 'control'}
        kinds[:] = [names.get(kind, kind) for kind in kinds]
        exchanged = [Pair(p.label, p.control, p.delay, p.duration) for p in pairs]
    return exchanged, Value(
        min(-t, 999.0), n=len(pairs), qc='warn', reason='control and label were exchanged'
    )


def _confounds(path, kinds, delays, motions, moves, centre):
    rows = [COLUMNS]
    for n, motion in enumerate(motions):
        shift = motion[:3, :3] @ centre + motion[:3, 3] - centre
        cells = [f'{cell:.5f}' for cell in (*shift, *rotation_angles(motion))]
        step = None if n == 0 else f'{moves[n - 1]:.4f}'
        rows.append((n, kinds[n] or None, f'{delays[n]:g}', *cells, step))
    write_tsv(path, rows)
    return str(path)
