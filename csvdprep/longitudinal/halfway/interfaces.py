"""Files of visits in, one space out."""

from pathlib import Path

import nibabel as nib
import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, isdefined, traits

from csvdprep.core.errors import MeasureError
from csvdprep.imaging.images import load
from csvdprep.interfaces.lists import write_rows
from csvdprep.interfaces.values import Value, write_values
from csvdprep.longitudinal.halfway import rooms_for
from csvdprep.longitudinal.halfway.decide import usable
from csvdprep.longitudinal.halfway.science import find_halfway, registration_error
from csvdprep.science.protocols import protocol_differences

#: Part of the grid in which all visits have to lie, of the smallest brain.
LEAST_COMMON = 0.5


class _Given(TraitedSpec):
    measures = traits.Dict(mandatory=True, desc='visits in the order of time')
    protocols = traits.Dict(mandatory=True, desc='how they were scanned')


class _FlairIn(_Given):
    each_flair_preproc = traits.Dict(desc='images by visit')
    each_flair_mask = traits.Dict(desc='brains by visit')


class _FlairOut(TraitedSpec):
    halfway_flair = File(exists=True, desc='images of all visits')
    halfway_flair_poses = File(exists=True, desc='transforms')
    halfway_flair_error = File(exists=True, desc='error of the registration')
    halfway_flair_values = File(exists=True, desc='measures')


class _T1wIn(_Given):
    each_anat_preproc = traits.Dict(desc='images by visit')
    each_brain_mask = traits.Dict(desc='brains by visit')


class _T1wOut(TraitedSpec):
    halfway_t1w = File(exists=True, desc='images of all visits')
    halfway_t1w_poses = File(exists=True, desc='transforms')
    halfway_t1w_error = File(exists=True, desc='error of the registration')
    halfway_t1w_values = File(exists=True, desc='measures')


class _Register(SimpleInterface):
    """Register the images of all visits."""

    #: Which of the rooms it is.
    place = 0

    def _run_interface(self, runtime):
        room, folder = rooms_for()[self.place], Path(runtime.cwd)
        kind = room.name
        images = usable(self._files(room.image), room.contrast)
        brains = self._files(room.brain)
        sessions = [
            visit['session']
            for visit in self.inputs.measures['visits']
            if visit['session'] in images and visit['session'] in brains
        ]
        if len(sessions) < 2:
            raise MeasureError(f'Fewer than two visits have {room.contrast} and brain mask.')
        pictures = [load(images[name]) for name in sessions]
        data = [np.asanyarray(picture.dataobj, dtype=np.float32) for picture in pictures]
        masks = [np.asanyarray(load(brains[name]).dataobj) > 0 for name in sessions]
        found = find_halfway(data, [picture.affine for picture in pictures], masks)
        seen = [
            np.maximum(found.resample(k, data[k], picture.affine), 0)
            for k, picture in enumerate(pictures)
        ]
        inside = [
            found.resample(k, masks[k], picture.affine, 1) >= 0.5
            for k, picture in enumerate(pictures)
        ]
        brain = np.logical_and.reduce(inside)
        if brain.sum() < LEAST_COMMON * min(part.sum() for part in inside):
            raise MeasureError(
                f'The {room.contrast} images of the visits have too little of the brain in '
                'common.',
                remedy='See whether the visits are of one person, and cover the whole brain.',
            )
        voxel_mm = nib.affines.voxel_sizes(found.affine)
        order = np.argsort([image.sum(dtype=float) for image in seen], kind='stable')
        error = registration_error([seen[k] for k in order], brain, voxel_mm)
        self._save(kind, np.stack(seen, axis=-1), found.affine, folder)
        self._save(f'{kind}_error', error, found.affine, folder)
        self._results[f'{kind}_poses'] = write_rows(
            [_pose(name, found, k) for k, name in enumerate(sessions)],
            room.makes[f'{kind}_poses'].columns,
            folder / 'poses.tsv',
            digits=12,
        )
        differences = protocol_differences(
            {name: self.inputs.protocols['visits'].get(name, {}) for name in sessions},
            {name: p.header.get_zooms()[:3] for name, p in zip(sessions, pictures, strict=True)},
            room.contrast,
        )
        values = {
            f'{kind}_visits_n': len(sessions),
            f'{kind}_error_median_mm': float(np.median(error[brain])),
            f'qc_{kind}_mm': float(np.quantile(error[brain], 0.95)),
            f'qc_{kind}_protocol': Value('different', reason=differences, qc='warn')
            if differences
            else 'same',
        }
        self._results[f'{kind}_values'] = write_values(folder / 'values.json', values, room)
        return runtime

    def _files(self, name: str) -> dict[str, str]:
        given = getattr(self.inputs, f'each_{name}')
        return dict(given['visits']) if isdefined(given) else {}

    def _save(self, name, data, affine, folder) -> None:
        path = folder / f'{name}.nii.gz'
        nib.save(nib.Nifti1Image(np.asarray(data, np.float32), affine), path)
        self._results[name] = str(path)


def _pose(session, found, number) -> dict:
    matrix = found.poses[number]
    middle = found.affine @ [*(np.array(found.shape) / 2), 1]
    turn = np.degrees(np.arccos(np.clip((np.trace(matrix[:3, :3]) - 1) / 2, -1, 1)))
    row = {
        'session': session,
        'shift_mm': float(np.linalg.norm((matrix @ middle - middle)[:3])),
        'turn_deg': float(turn),
    }
    return row | {f'm{r + 1}{c + 1}': float(matrix[r, c]) for r in range(3) for c in range(4)}


class RegisterFlair(_Register):
    """Register the FLAIR of all visits."""

    input_spec, output_spec, place = _FlairIn, _FlairOut, 0


class RegisterT1w(_Register):
    """Register the T1w of all visits."""

    input_spec, output_spec, place = _T1wIn, _T1wOut, 1
