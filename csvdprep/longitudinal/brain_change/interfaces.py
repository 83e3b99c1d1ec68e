"""Files of visits in, maps and a table out; the rules are in the science."""

from math import isfinite, nan
from pathlib import Path

import nibabel as nib
import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, isdefined, traits
from scipy import ndimage as ndi

from csvdprep.core.errors import MeasureError
from csvdprep.imaging.images import load, resample
from csvdprep.interfaces.lists import write_rows
from csvdprep.interfaces.values import Value, write_values
from csvdprep.interfaces.visits import read_poses, visit_pairs, years_between
from csvdprep.longitudinal.brain_change import ROOM
from csvdprep.longitudinal.brain_change.science import Compared, Shares, compare

#: Slices thicker than this (mm) blur the borders of the brain.
THICK_MM = 1.6
#: SD of the change between repeated scans, SIENA (Opfer 2018, doi:10.1007/s00415-018-8825-8), %.
SIENA_PCT = 0.28
#: Normal quantile of 95 % bounds.
Z95 = 1.96


class _InputSpec(TraitedSpec):
    measures = traits.Dict(mandatory=True, desc='visits in the order of time')
    halfway_t1w = File(exists=True, mandatory=True, desc='T1w of all visits')
    halfway_t1w_poses = File(exists=True, mandatory=True, desc='where they lie')
    halfway_t1w_error = File(exists=True, mandatory=True, desc='error of the registration')
    each_brain_mask = traits.Dict(desc='brains by visit')
    each_wm_probseg = traits.Dict(desc='white matter')
    each_gm_probseg = traits.Dict(desc='grey matter')
    each_csf_probseg = traits.Dict(desc='fluid')
    each_ventricles = traits.Dict(desc='lateral ventricles')
    options = traits.Dict(mandatory=True, desc='window, repeatability')


class _OutputSpec(TraitedSpec):
    brain_change_shift = File(exists=True, desc='shift of the borders')
    brain_change_jacobian = File(exists=True, desc='log ratio of volumes')
    brain_change_list = File(exists=True, desc='table')
    brain_change_values = File(exists=True, desc='measures')


class BrainChange(SimpleInterface):
    """Measure how the volume of the brain changed between visits."""

    input_spec = _InputSpec
    output_spec = _OutputSpec

    def _run_interface(self, runtime):
        folder, asked = Path(runtime.cwd), self.inputs.options
        series = nib.load(self.inputs.halfway_t1w)
        poses = read_poses(self.inputs.halfway_t1w_poses)
        kinds = ('brain_mask', 'wm_probseg', 'gm_probseg', 'csf_probseg')
        sessions = [name for name in poses if all(name in self._files(k) for k in kinds)]
        if len(sessions) < 2:
            raise MeasureError('Fewer than two visits have T1w and maps of tissues.')
        data = np.asanyarray(series.dataobj, dtype=np.float32)
        images = [np.ascontiguousarray(data[..., [*poses].index(name)]) for name in sessions]
        del data
        grid = nib.Nifti1Image(np.zeros(series.shape[:3], np.uint8), series.affine)
        shares = [self._shares(name, poses[name], grid) for name in sessions]
        wide = [self._ventricles(name, poses[name], grid) for name in sessions]
        seen = [self._covered(name, poses[name], grid) for name in sessions]
        voxel_mm = nib.affines.voxel_sizes(series.affine)
        years = {v['session']: v['years'] for v in self.inputs.measures['visits']}
        rows, found = [], None
        thick = float(max(voxel_mm.max(), *(self._thickness(name) for name in sessions)))
        retest = asked['retest_sd_pct'] or (SIENA_PCT if thick <= THICK_MM else None)
        for one, two in visit_pairs(len(sessions)):
            both = None if wide[one] is None or wide[two] is None else [wide[one], wide[two]]
            try:
                found = compare(
                    [images[one], images[two]],
                    [shares[one], shares[two]],
                    both,
                    voxel_mm,
                    (asked['low'], asked['high']),
                    seen[one] & seen[two],
                )
            except ValueError as error:
                raise MeasureError(
                    f'The T1w of {sessions[one]} and {sessions[two]} cannot be brought to one '
                    f'scale of intensities: {error}.',
                    remedy='Look at the tissues of both visits; exclude a visit whose T1w has '
                    'another contrast.',
                ) from error
            between = years_between(years, sessions[one], sessions[two])
            ends = (sessions[one], sessions[two])
            rows.append(_row(found, ends, between, retest))
        for name, field in (('shift', found.shift), ('jacobian', found.jacobian)):
            path = folder / f'{name}.nii.gz'
            nib.save(nib.Nifti1Image(field.astype(np.float32), grid.affine), path)
            self._results[f'brain_change_{name}'] = str(path)
        self._results['brain_change_list'] = write_rows(
            rows, ROOM.makes['brain_change_list'].columns, folder / 'changes.tsv', digits=5
        )
        self._results['brain_change_values'] = write_values(
            folder / 'values.json', _values(rows[-1], found, thick), ROOM
        )
        return runtime

    def _files(self, name: str) -> dict[str, str]:
        given = getattr(self.inputs, f'each_{name}')
        return dict(given['visits']) if isdefined(given) else {}

    def _shares(self, session, pose, grid) -> Shares:
        white, grey, fluid, head = (
            resample(load(self._files(kind)[session]), grid, matrix=pose, order=1)
            for kind in ('wm_probseg', 'gm_probseg', 'csf_probseg', 'brain_mask')
        )
        return Shares(*(np.asarray(part, np.float32) for part in (white, grey, fluid, head)))

    def _ventricles(self, session, pose, grid) -> np.ndarray | None:
        path = self._files('ventricles').get(session)
        if path is None:
            return None
        labels = load(path)
        mask = nib.Nifti1Image(
            (np.asanyarray(labels.dataobj) > 0).astype(np.float32), labels.affine
        )
        found = np.asarray(resample(mask, grid, matrix=pose, order=1), np.float32)
        return found if found.any() else None

    def _covered(self, session, pose, grid) -> np.ndarray:
        """Tell what the image of a visit shows, a voxel away from its edges."""
        own = load(self._files('brain_mask')[session])
        full = nib.Nifti1Image(np.ones(own.shape[:3], np.float32), own.affine)
        inside = resample(full, grid, matrix=pose, order=1) > 0.999
        if inside.all():
            return inside
        away = ndi.distance_transform_edt(inside, sampling=nib.affines.voxel_sizes(grid.affine))
        return away > self._thickness(session)

    def _thickness(self, session) -> float:
        """Return the thickest side of a voxel of a visit, mm."""
        return float(max(load(self._files('brain_mask')[session]).header.get_zooms()[:3]))


def _row(found: Compared, ends, years, retest: float | None) -> dict:
    """Write down what a pair of visits tells; bounds are those of the detectable change.

    Without the SD of repeated scans there are none.
    """
    sd = None if retest is None else max(found.error_pct, retest)
    known = isfinite(found.ventricles_change_ml)
    wide = found.ventricles_change_ml if known else None
    return {
        'from_session': ends[0],
        'to_session': ends[1],
        'years': years,
        'brain_pct': found.change_pct,
        'brain_low_pct': None if sd is None else found.change_pct - Z95 * sd,
        'brain_high_pct': None if sd is None else found.change_pct + Z95 * sd,
        'brain_pct_per_year': found.change_pct / years if years else None,
        'brain_ml': found.change_ml,
        'mdc_pct': None if sd is None else Z95 * sd,
        'jacobian_pct': found.jacobian_pct,
        'ventricles_ml': wide,
        'ventricles_pct': 100 * wide / found.ventricles_ml if known else None,
        'ventricles_ml_per_year': wide / years if known and years else None,
        'ventricles_jacobian_ml': found.ventricles_jacobian_ml if known else None,
        'scale_pct': found.scale_pct,
    }


def _values(row: dict, found: Compared, thick_mm: float) -> dict:
    years, change = row['years'], row['brain_pct']
    ends = (row['from_session'], row['to_session'])
    untimed = Value(None, reason=f'the time between {ends[0]} and {ends[1]} is unknown')
    masks = Value(None, reason='the lateral ventricles of a visit are unknown')
    mind, flag = '', ''
    if thick_mm > THICK_MM:
        flag, mind = 'warn', f'voxels of {thick_mm:.2g} mm blur the borders of the brain'
    limit, low, high = (row[name] for name in ('mdc_pct', 'brain_low_pct', 'brain_high_pct'))
    unsure = Value(
        None,
        reason=f'how far repeated scans with voxels of {thick_mm:.2g} mm lie apart is not known '
        '(brain_change.retest_sd_pct tells it)',
    )
    level = 'none'
    if limit is not None and abs(change) > limit:
        level = 'gain' if change > 0 else 'loss'
    yearly = [None if end is None or not years else end / years for end in (low, high)]
    per_year = row['brain_pct_per_year']
    white = [one or nan for one in found.scaled.contrast]

    def wide(name):
        if row['ventricles_ml'] is None:
            return masks
        return untimed if row[name] is None else Value(row[name], reason=mind, qc=flag)

    return {
        'brain_change_pct': Value(change, low, high, reason=mind, qc=flag),
        'brain_change_pct_per_year': untimed
        if per_year is None
        else Value(per_year, *yearly, reason=mind, qc=flag),
        'brain_change_ml': Value(row['brain_ml'], reason=mind, qc=flag),
        'brain_change_se_pct': found.error_pct,
        'brain_change_mdc_pct': unsure if limit is None else limit,
        'brain_change_beyond_mdc': unsure if limit is None else level,
        'brain_change_jacobian_pct': found.jacobian_pct,
        'ventricle_change_ml': wide('ventricles_ml'),
        'ventricle_change_pct': wide('ventricles_pct'),
        'ventricle_change_ml_per_year': wide('ventricles_ml_per_year'),
        'ventricle_change_jacobian_ml': wide('ventricles_jacobian_ml'),
        'qc_brain_change_gap_pct': change - found.jacobian_pct,
        'qc_brain_change_scale_pct': Value(
            None, reason='the images have no skull, so that the scale is not known'
        )
        if found.scale_pct is None
        else found.scale_pct,
        'qc_brain_change_coverage_pct': found.covered_pct,
        'qc_brain_change_contrast': white[1] / white[0],
    }
