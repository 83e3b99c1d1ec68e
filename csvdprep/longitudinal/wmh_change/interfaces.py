"""Files of visits in, maps and a table out; the rules are in the science."""

import hashlib
from pathlib import Path

import nibabel as nib
import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, isdefined, traits
from scipy import ndimage as ndi

from csvdprep.core.errors import MeasureError
from csvdprep.imaging.atlas import label_names
from csvdprep.imaging.images import load, resample
from csvdprep.imaging.transforms import read_linear
from csvdprep.interfaces.lists import write_rows
from csvdprep.interfaces.values import Value, write_values
from csvdprep.interfaces.visits import read_poses, visit_pairs, years_between
from csvdprep.longitudinal.wmh_change import ROOM, WHOLE, ZONES
from csvdprep.longitudinal.wmh_change.science import (
    NEW,
    VANISHED,
    ChangeOptions,
    Tissue,
    detectable,
    equalise,
    judge,
    volumes,
)

#: How far (mm) from labels of the visits growth may lie and have their zone.
NEAR_MM = 12.0


class _InputSpec(TraitedSpec):
    measures = traits.Dict(mandatory=True, desc='visits in the order of time')
    halfway_flair = File(exists=True, mandatory=True, desc='FLAIR of all visits')
    halfway_flair_poses = File(exists=True, mandatory=True, desc='where they lie')
    halfway_flair_error = File(exists=True, mandatory=True, desc='error of the registration')
    each_wmh_mask = traits.Dict(desc='hyperintensities by visit')
    each_wmh_probseg = traits.Dict(desc='their probability')
    each_flair_mask = traits.Dict(desc='brains')
    each_flair_to_anat = traits.Dict(desc='transforms of FLAIR onto reference')
    each_wm_probseg = traits.Dict(desc='white matter')
    each_gm_probseg = traits.Dict(desc='grey matter')
    each_csf_probseg = traits.Dict(desc='fluid')
    each_zones_dseg = traits.Dict(desc='zones')
    each_lobes_dseg = traits.Dict(desc='lobes')
    options = traits.Dict(mandatory=True, desc='thresholds')


class _OutputSpec(TraitedSpec):
    wmh_change_dseg = File(exists=True, desc='map of change')
    wmh_change_z = File(exists=True, desc='evidence')
    wmh_change_list = File(exists=True, desc='table')
    wmh_change_values = File(exists=True, desc='measures')


class WmhChange(SimpleInterface):
    """Judge where hyperintensities grew or shrank."""

    input_spec = _InputSpec
    output_spec = _OutputSpec

    def _run_interface(self, runtime):
        folder, asked = Path(runtime.cwd), dict(self.inputs.options)
        rescans, retest = asked.pop('rescans'), asked.pop('retest_sd_ml')
        options = ChangeOptions(**asked)
        series = nib.load(self.inputs.halfway_flair)
        poses = read_poses(self.inputs.halfway_flair_poses)
        sessions = [name for name in poses if name in self._files('wmh_mask')]
        if len(sessions) < 2:
            raise MeasureError('Fewer than two visits have FLAIR and hyperintensities.')
        data = np.asanyarray(series.dataobj, dtype=np.float32)
        raw = [np.ascontiguousarray(data[..., [*poses].index(name)]) for name in sessions]
        del data
        grid = nib.Nifti1Image(np.zeros(series.shape[:3], np.uint8), series.affine)
        # Sums over visits are formed in an order that does not depend on time.
        order = sorted(range(len(raw)), key=lambda k: hashlib.sha256(raw[k].tobytes()).digest())
        lesions = [self._lesion(name, poses[name], grid) for name in sessions]
        tissue = self._tissue([sessions[k] for k in order], poses, grid)
        either = np.logical_or.reduce([lesion >= 0.5 for lesion in lesions])
        same, drift = equalise([raw[k] for k in order], either, tissue)
        back = np.argsort(order)
        same, drift = [same[k] for k in back], [drift[k] for k in back]
        seeds = [int.from_bytes(hashlib.sha256(one.tobytes()).digest()[:4], 'big') for one in raw]
        years = {v['session']: v['years'] for v in self.inputs.measures['visits']}
        zones = self._labels('zones_dseg', sessions, order, poses, grid, on_flair=True)
        lobes = self._labels('lobes_dseg', sessions, order, poses, grid, on_flair=False)
        voxel_ml = float(np.prod(tissue.voxel_mm)) / 1000
        # The grid has the finest voxels of all visits; slices average as they were scanned.
        thick = [self._thickness(name) for name in sessions]
        rows, found, limits = [], None, None
        for one, two in visit_pairs(len(sessions)):
            chosen = [same[one], same[two]], [lesions[one], lesions[two]]
            found = judge(*chosen, tissue, options)
            limits = detectable(
                *chosen,
                found,
                [drift[one], drift[two]],
                tissue,
                options,
                seeds=[seeds[one], seeds[two]],
                repeats=rescans,
                slice_mm=max(thick[one], thick[two]),
            )
            between = years_between(years, sessions[one], sessions[two])
            for region, where in _regions(zones, lobes):
                amounts = volumes(found.labels, voxel_ml, where)
                rows.append(
                    {
                        'from_session': sessions[one],
                        'to_session': sessions[two],
                        'years': between,
                        'region': region,
                        **{f'{name}_ml': ml for name, ml in amounts.items()},
                        **{
                            f'{name}_per_year': amounts[name] / between if between else None
                            for name in ('growth', 'shrink', 'net')
                        },
                        'mdc_ml': max(limits.growth_ml, 1.96 * retest)
                        if region == WHOLE
                        else None,
                        'net_mdc_ml': max(limits.net_ml, 1.96 * retest)
                        if region == WHOLE
                        else None,
                    }
                )
        whole = next(row for row in reversed(rows) if row['region'] == WHOLE)
        self._save('wmh_change_dseg', found.labels, grid, folder)
        self._save('wmh_change_z', np.where(tissue.brain, found.z, 0), grid, folder)
        self._results['wmh_change_list'] = write_rows(
            rows, ROOM.makes['wmh_change_list'].columns, folder / 'changes.tsv', digits=5
        )
        masks = [lesions[0] >= 0.5, lesions[-1] >= 0.5]
        self._results['wmh_change_values'] = write_values(
            folder / 'values.json',
            _values(whole, found, masks, voxel_ml, (sessions[0], sessions[-1])),
            ROOM,
        )
        return runtime

    def _files(self, name: str) -> dict[str, str]:
        given = getattr(self.inputs, f'each_{name}')
        return dict(given['visits']) if isdefined(given) else {}

    def _thickness(self, session) -> float:
        """Return the longest side of a voxel of the FLAIR of a visit, mm."""
        return float(nib.affines.voxel_sizes(load(self._files('wmh_mask')[session]).affine).max())

    def _lesion(self, session, pose, grid) -> np.ndarray:
        """Bring mask and probability onto the grid: what the mask has is 0.5 or more."""
        mask = _on(self._files('wmh_mask')[session], grid, pose)
        probability = self._files('wmh_probseg').get(session)
        if probability is None:
            return mask
        found = _on(probability, grid, pose)
        return np.where(mask >= 0.5, np.maximum(mask, found), np.minimum(found, 0.499))

    def _tissue(self, sessions, poses, grid) -> Tissue:
        brains = self._files('flair_mask')
        brain = np.logical_and.reduce(
            [_on(brains[name], grid, poses[name]) >= 0.5 for name in sessions if name in brains]
        )
        shares = []
        for kind in ('wm', 'gm', 'csf'):
            files, total, count = self._files(f'{kind}_probseg'), 0.0, 0
            for name in sessions:
                way = self._to_anat(name)
                if name in files and way is not None:
                    total = total + _on(files[name], grid, way @ poses[name])
                    count += 1
            if not count:
                raise MeasureError('No visit has maps of tissues.')
            shares.append((total / count).astype(np.float32))
        return Tissue(brain, *shares, nib.affines.voxel_sizes(grid.affine))

    def _to_anat(self, session) -> np.ndarray | None:
        """Return the way from the FLAIR of a visit to its reference."""
        path = self._files('flair_to_anat').get(session)
        return None if path is None else np.linalg.inv(read_linear(path))

    def _labels(self, name, sessions, order, poses, grid, *, on_flair) -> np.ndarray | None:
        """Bring labels of all visits together; beyond them the nearest counts."""
        files, labels = self._files(name), None
        for session in (sessions[k] for k in order):
            way = np.eye(4) if on_flair else self._to_anat(session)
            if session not in files or way is None:
                continue
            own = resample(load(files[session]), grid, matrix=way @ poses[session], order=0)
            labels = own if labels is None else np.where(labels > 0, labels, own)
        if labels is None or not labels.any():
            return None
        away, nearest = ndi.distance_transform_edt(
            labels == 0, sampling=nib.affines.voxel_sizes(grid.affine), return_indices=True
        )
        return np.where(away <= NEAR_MM, labels[tuple(nearest)], 0).astype(np.uint8)

    def _save(self, name, data, grid, folder) -> None:
        path = folder / f'{name}.nii.gz'
        kind = np.uint8 if data.dtype == np.uint8 else np.float32
        nib.save(nib.Nifti1Image(data.astype(kind), grid.affine), path)
        self._results[name] = str(path)


def _on(path, grid, pose) -> np.ndarray:
    return resample(load(path), grid, matrix=pose, order=1).astype(np.float32)


def _regions(zones, lobes):
    """Yield name and place of the whole, of zones and of lobes."""
    yield WHOLE, None
    if zones is not None:
        for label, name in ZONES.items():
            yield name, zones == label
    if lobes is not None:
        for label, name in label_names('lobes').items():
            yield name, lobes == label


def _values(whole, found, masks, voxel_ml, ends) -> dict:
    count = {
        kind: int(ndi.label(found.labels == label, np.ones((3, 3, 3)))[1])
        for kind, label in (('new', NEW), ('vanished', VANISHED))
    }
    values = {
        f'wmh_{name}_ml': whole[f'{name}_ml']
        for name in ('growth', 'shrink', 'net', 'stable', 'new', 'vanished')
    }
    values |= {f'wmh_{kind}_n': number for kind, number in count.items()}
    for name in ('growth', 'shrink', 'net'):
        rate = whole[f'{name}_per_year']
        values[f'wmh_{name}_ml_per_year'] = (
            Value(None, reason=f'the time between {ends[0]} and {ends[1]} is unknown')
            if rate is None
            else rate
        )
    beyond = [whole[f'{name}_ml'] > whole['mdc_ml'] for name in ('growth', 'shrink')]
    words = {(True, True): 'both', (True, False): 'growth', (False, True): 'shrinkage'}
    return values | {
        'wmh_change_mdc_ml': whole['mdc_ml'],
        'wmh_net_mdc_ml': whole['net_mdc_ml'],
        'wmh_change_beyond_mdc': words.get(tuple(beyond), 'none'),
        'wmh_change_noise': found.noise,
        'wmh_change_blur_mm': found.blur_mm,
        'wmh_subtraction_growth_ml': float((masks[1] & ~masks[0]).sum() * voxel_ml),
        'wmh_subtraction_shrink_ml': float((masks[0] & ~masks[1]).sum() * voxel_ml),
    }
