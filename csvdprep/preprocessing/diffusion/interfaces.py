"""Files in, files out; the numbers are in the science."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, isdefined, traits
from scipy import ndimage as ndi

from csvdprep.bids.gradients import shells
from csvdprep.bids.tsv import write_tsv
from csvdprep.core.errors import MeasureError
from csvdprep.imaging.ants import n4
from csvdprep.imaging.images import as_stored, like, load, save, storage_of, stored_vectors
from csvdprep.imaging.inspect import load_series
from csvdprep.interfaces.values import Value, write_values
from csvdprep.preprocessing.diffusion import ROOM
from csvdprep.preprocessing.diffusion.assembly import Assembled, assemble, find_brain
from csvdprep.preprocessing.diffusion.field import find_field
from csvdprep.preprocessing.diffusion.realignment import Series, find_motion
from csvdprep.preprocessing.diffusion.science.prediction import lost_slices
from csvdprep.preprocessing.diffusion.science.sampling import (
    Geometry,
    displacement,
    rotate_gradients,
    rotation_angles,
)
from csvdprep.science.gradient_table import fsl_vectors

#: Highest value of the stored series.
TOP = 30_000


class _AssembleInputSpec(TraitedSpec):
    dwi = traits.Dict(mandatory=True, desc='runs of the series, and what tells of the field')
    denoise = traits.Str('auto', usedefault=True, desc='how noise is reduced')
    degibbs = traits.Str('auto', usedefault=True, desc='whether ringing is removed')


class _AssembleOutputSpec(TraitedSpec):
    series = File(exists=True, desc='all volumes')
    table = File(exists=True, desc='gradients, runs, factors of distortion')
    rough = File(exists=True, desc='brain as acquired')


class Assemble(SimpleInterface):
    """Put the runs of a series together, without noise and ringing."""

    input_spec = _AssembleInputSpec
    output_spec = _AssembleOutputSpec

    def _run_interface(self, runtime):
        folder, content = Path(runtime.cwd), self.inputs.dwi
        found = assemble(content, denoise=self.inputs.denoise, degibbs=self.inputs.degibbs)
        facts = found.table() | {
            'snr': _signal_to_noise(content, found.brain),
            'interpolation': content.get('interpolation'),
        }
        self._results['rough'] = save(found.brain, found.image, folder / 'rough.nii.gz')
        (folder / 'table.json').write_text(json.dumps(facts), encoding='utf-8')
        self._results['table'] = str(folder / 'table.json')
        # Uncompressed: it is read again at once, and thrown away.
        self._results['series'] = save(
            np.asanyarray(found.image.dataobj), found.image, folder / 'series.nii'
        )
        return runtime


class _FieldInputSpec(TraitedSpec):
    dwi = traits.Dict(mandatory=True, desc='runs of the series, and what tells of the field')
    series = File(exists=True, mandatory=True, desc='all volumes')
    table = File(exists=True, mandatory=True, desc='gradients, runs, factors of distortion')
    rough = File(exists=True, mandatory=True, desc='brain as acquired')
    anat_preproc = File(exists=True, desc='anatomical reference')
    brain_mask = File(exists=True, desc='its brain')
    fieldmapless = traits.Bool(True, usedefault=True, desc='whether the anatomy may stand in')


class _FieldOutputSpec(TraitedSpec):
    shift = File(exists=True, desc='distortion along the axis of encoding, voxels')
    method = traits.Str(desc='what it was estimated from')
    reasons = traits.List(traits.Str, desc='what has to be minded')


class EstimateField(SimpleInterface):
    """Estimate how the field distorts a series."""

    input_spec = _FieldInputSpec
    output_spec = _FieldOutputSpec

    def _run_interface(self, runtime):
        given = self.inputs
        series = read_assembled(given.series, given.table, given.rough)
        brain = series.brain
        anatomy = {}
        if given.fieldmapless and isdefined(given.anat_preproc) and isdefined(given.brain_mask):
            anatomy = {'anat': load(given.anat_preproc), 'anat_brain': load(given.brain_mask)}
        found = find_field(series, given.dwi, brain, **anatomy)
        self._results['method'], self._results['reasons'] = found.method, list(found.reasons)
        shift = np.zeros(brain.shape, np.float32) if found.shift is None else found.shift
        self._results['shift'] = save(shift, series.image, Path(runtime.cwd) / 'shift.nii.gz')
        return runtime


class _CorrectInputSpec(TraitedSpec):
    series = File(exists=True, mandatory=True, desc='all volumes')
    table = File(exists=True, mandatory=True, desc='gradients, runs, factors of distortion')
    rough = File(exists=True, mandatory=True, desc='brain as acquired')
    shift = File(exists=True, mandatory=True, desc='distortion, voxels')
    method = traits.Str(mandatory=True, desc='what it was estimated from')
    reasons = traits.List(traits.Str, desc='what has to be minded of it')


class _CorrectOutputSpec(TraitedSpec):
    dwi_preproc = File(exists=True, desc='corrected series')
    dwi_bval = File(exists=True, desc='b-values')
    dwi_bvec = File(exists=True, desc='gradients, turned with the head')
    dwi_b0 = File(exists=True, desc='mean without gradient')
    dwi_b0_raw = File(exists=True, desc='the same before correction')
    dwi_mask = File(exists=True, desc='brain')
    dwi_confounds = File(exists=True, desc='motion and lost slices')
    diffusion_values = File(exists=True, desc='measures')


class Correct(SimpleInterface):
    """Find motion and eddy currents, and take them and the distortion off in one interpolation."""

    input_spec = _CorrectInputSpec
    output_spec = _CorrectOutputSpec

    def _run_interface(self, runtime):
        given, folder = self.inputs, Path(runtime.cwd)
        facts = json.loads(Path(given.table).read_text(encoding='utf-8'))
        found = read_assembled(given.series, given.table, given.rough)
        shift = np.asanyarray(load(given.shift).dataobj, dtype=np.float32)
        series = as_series(found, shift if shift.any() else None)
        rough = found.brain
        if given.method == 'given':
            motions = np.tile(np.eye(4), (len(series.bvals), 1, 1))
            lost = np.zeros((len(series.bvals), rough.shape[found.slice_axis]), bool)
            corrected = series.data
        else:
            motions, expected = find_motion(series, rough)
            lost = _lost(series, motions, expected, rough, found.slice_axis)
            corrected = series.pulled(motions, order=3)
            np.maximum(corrected, 0, out=corrected)
        directions = rotate_gradients(series.directions, motions)
        mask, corrected = _even(corrected, series, found.image)
        # Where a volume has no signal because it ends there, a fit would take it for diffusion.
        mask &= series.covered(motions)
        if not mask.any():
            raise MeasureError(
                'No part of the brain lies in all volumes of the series.',
                remedy='Leave out the volumes in which the head lies elsewhere.',
            )
        self._save(corrected, mask, directions, series, found.image, folder)
        self._results['dwi_b0_raw'] = save(
            _first_b0(series.data, series), found.image, folder / 'b0_raw.nii.gz'
        )
        rigid = series.motions_of_head(motions, mask)
        # Slices are counted as they are stored.
        turned = any(
            int(place) == found.slice_axis and sign < 0
            for place, sign in storage_of(found.image).axes
        )
        slices = lost[:, ::-1] if turned else lost
        self._results['dwi_confounds'] = _write_confounds(
            series, directions, rigid, slices, mask, folder / 'confounds.tsv'
        )
        self._results['diffusion_values'] = write_values(
            folder / 'values.json',
            _values(series, rigid, lost, mask, facts, given.method, '; '.join(given.reasons)),
            ROOM,
        )
        return runtime

    def _save(self, corrected, mask, directions, series, grid, folder):
        b0 = corrected[..., series.shell_of == 0].mean(axis=3)
        self._results['dwi_b0'] = save(b0, grid, folder / 'b0.nii.gz')
        self._results['dwi_mask'] = save(mask, grid, folder / 'mask.nii.gz')
        self._results['dwi_preproc'] = _save_packed(corrected, grid, folder / 'dwi.nii.gz')
        vectors = stored_vectors(fsl_vectors(directions, grid.affine), grid)
        for name, rows in (('bval', series.bvals[None]), ('bvec', vectors.T)):
            path = folder / f'dwi.{name}'
            form = '%g' if name == 'bval' else '%.8f'
            np.savetxt(path, rows, fmt=form)
            self._results[f'dwi_{name}'] = str(path)


def read_assembled(series: str, table: str, rough: str) -> Assembled:
    """Read what :class:`Assemble` wrote."""
    facts = json.loads(Path(table).read_text(encoding='utf-8'))
    image = load(series)
    return Assembled(
        image=like(np.asarray(image.dataobj, dtype=np.float32), image),
        bvals=np.array(facts['bvals']),
        directions=np.array(facts['directions']),
        shell_of=np.array(facts['shell_of']),
        factors=np.array(facts['factors']),
        axis=facts['axis'],
        slice_axis=facts['slice_axis'],
        run_of=np.array(facts['run_of']),
        done=tuple(facts['done']),
        brain=np.asanyarray(load(rough).dataobj) > 0,
    )


def as_series(found: Assembled, shift: np.ndarray | None) -> Series:
    """Join the volumes with the distortion."""
    return Series(
        data=np.asanyarray(found.image.dataobj),
        geometry=Geometry(found.image.affine, found.axis, shift),
        factors=found.factors,
        bvals=found.bvals,
        directions=found.directions,
        shell_of=found.shell_of,
    )


def _first_b0(data, series):
    return data[..., int(np.argmax(series.shell_of == 0))]


def _signal_to_noise(content, brain) -> float | None:
    """Compare volumes without gradient of one run, as acquired."""
    if content.get('corrected'):
        return None
    for run in content['runs']:
        plain = np.flatnonzero(np.array(run['bvals']) == 0)
        if len(plain) < 2:
            continue
        image = load_series(run['path'], volumes=run.get('volumes'))
        data = np.asanyarray(image.dataobj)[..., plain]
        inner = ndi.binary_erosion(brain, iterations=4)
        if inner.sum() < 500 or inner.shape != data.shape[:3]:
            return None
        values = data[inner]
        # Neighbours in time moved least; differences have twice the variance.
        noise = 1.4826 * np.median(np.abs(np.diff(values, axis=1))) / np.sqrt(2)
        return float(np.median(values.mean(axis=1)) / noise) if noise > 0 else None
    return None


def _even(corrected, series, grid):
    """Find the brain, and take the drift of the coil off all volumes alike."""
    b0 = corrected[..., series.shell_of == 0].mean(axis=3)
    mask = find_brain(corrected, series.bvals, grid.affine)
    even = np.asanyarray(n4(nib.Nifti1Image(b0, grid.affine), mask).dataobj)
    ratio = np.where(b0 > 0, even / np.maximum(b0, 1e-6), 1).astype(np.float32)
    # Nothing is known of the drift outside the head.
    np.clip(ratio, 0.2, 5, out=ratio)
    for volume in range(corrected.shape[3]):
        corrected[..., volume] *= ratio
    return mask, corrected


def _lost(series, motions, expected, brain, axis):
    """Find lost slices, each volume in its own place."""
    still = np.eye(4)
    found = []
    for v in range(len(series.bvals)):
        flat = Geometry(series.geometry.affine).pull(
            expected[..., v], np.linalg.inv(motions[v]) @ still, order=1
        )
        seen = series.geometry.pull(series.data[..., v], still, series.factors[v], order=1)
        found.append(lost_slices(seen, flat, brain, axis))
    return np.array(found)


def _centre(mask, affine):
    return nib.affines.apply_affine(affine, np.argwhere(mask).mean(axis=0))


def _write_confounds(series, directions, rigid, lost, mask, path):
    centre = _centre(mask, series.geometry.affine)
    moves = displacement(rigid, centre=centre)
    rows = [
        (
            'volume',
            'b_value',
            'gradient_x',
            'gradient_y',
            'gradient_z',
            'trans_x',
            'trans_y',
            'trans_z',
            'rot_x',
            'rot_y',
            'rot_z',
            'framewise_displacement',
            'lost_slices',
        )
    ]
    for v, motion in enumerate(rigid):
        shift = motion[:3, :3] @ centre + motion[:3, 3] - centre
        cells = [*directions[v], *shift, *rotation_angles(motion)]
        step = None if v == 0 else f'{moves[v - 1]:.4f}'
        slices = ','.join(map(str, np.flatnonzero(lost[v])))
        rows.append((v, f'{series.bvals[v]:g}', *(f'{cell:.5f}' for cell in cells), step, slices))
    write_tsv(path, rows)
    return str(path)


def _values(series, rigid, lost, mask, facts, method, why):
    """Give every declared measure its value."""
    centre = _centre(mask, series.geometry.affine)
    weighted = series.shell_of > 0
    levels = shells(series.bvals)
    rounded = np.round(series.directions[weighted], 2)
    rounded = np.where(rounded[:, :1] < 0, -rounded, rounded)
    moved = [np.linalg.norm(m[:3, :3] @ centre + m[:3, 3] - centre) for m in rigid]
    with_brain = mask.any(axis=tuple(a for a in range(3) if a != facts['slice_axis']))
    found = {
        'dwi_n_directions': len(np.unique(rounded, axis=0)),
        'dwi_shells': ' '.join(f'{level:g}' for level in levels),
        'dwi_sdc': Value(method, reason=why, qc='warn' if why else ''),
        'dwi_gain_ratio': _gain(facts),
        'dwi_interpolation': Value(
            facts.get('interpolation'),
            reason=''
            if facts.get('interpolation')
            else 'no sidecar tells how many lines were measured',
        ),
        'dwi_cleaned': 'given' if method == 'given' else ' '.join(facts['done']) or 'none',
        'qc_dwi_fd_mm': Value(float(displacement(rigid, centre=centre).mean()), n=len(rigid)),
        'qc_dwi_motion_max_mm': float(max(moved)),
        'qc_dwi_lost_slices_pct': 100 * float(lost[:, with_brain].mean()),
        'qc_dwi_snr_b0': facts['snr']
        if facts['snr']
        else Value(None, reason='needs two volumes without gradient in one run, as acquired'),
    }
    if method == 'given':
        reason = 'the series was corrected by another tool'
        found |= {
            name: Value(None, reason=reason)
            for name in (
                'qc_dwi_fd_mm',
                'qc_dwi_motion_max_mm',
                'qc_dwi_lost_slices_pct',
                'qc_dwi_snr_b0',
            )
        }
    return found


def _gain(facts):
    """Tell how bright later runs were, and which were left out."""
    told = '; '.join(facts['notes'])
    odd = any('left out' in note or 'cannot be compared' in note for note in facts['notes'])
    if not facts['gains']:
        return Value(None, reason=told or 'one run', qc='warn' if odd else '')
    farthest = max(facts['gains'], key=lambda ratio: abs(np.log(ratio)))
    return Value(float(farthest), reason=told, qc='warn' if odd else '')


def _save_packed(data, grid, path):
    """Save a series as 16-bit integers with a scale."""
    slope = float(data.max()) / TOP or 1.0
    image = as_stored(np.round(data / slope).astype(np.int16), grid)
    image.header.set_slope_inter(slope, 0)
    image.header.set_xyzt_units('mm', 'sec')
    image.to_filename(path)
    return str(path)
