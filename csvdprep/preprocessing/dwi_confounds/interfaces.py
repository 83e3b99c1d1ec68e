"""Files in, files out; the numbers are in the science."""

import json
from pathlib import Path

import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec

from csvdprep.bids.tsv import write_tsv
from csvdprep.imaging.dwi_series import Volumes, middle_of
from csvdprep.imaging.images import load, storage_of
from csvdprep.interfaces.values import Value, write_values
from csvdprep.preprocessing.dwi_confounds import ROOM
from csvdprep.science.head_motion import displacement, rotation_angles

COLUMNS = tuple(column.name for column in ROOM.makes['dwi_confounds'].columns)


class _ConfoundsInputSpec(TraitedSpec):
    dwi_volumes = File(exists=True, mandatory=True, desc='what the volumes are')
    dwi_motions = File(exists=True, mandatory=True, desc='transforms, gradients, lost slices')
    dwi_mask = File(exists=True, mandatory=True, desc='brain')


class _ConfoundsOutputSpec(TraitedSpec):
    dwi_confounds = File(exists=True, desc='motion and lost slices')
    dwi_confounds_values = File(exists=True, desc='measures')


class TellMotion(SimpleInterface):
    """Tell how the head moved, at the middle of the brain, and which slices lost signal."""

    input_spec = _ConfoundsInputSpec
    output_spec = _ConfoundsOutputSpec

    def _run_interface(self, runtime):
        given, folder = self.inputs, Path(runtime.cwd)
        volumes, image = Volumes.read(given.dwi_volumes), load(given.dwi_mask)
        mask = np.asanyarray(image.dataobj) > 0
        told = json.loads(Path(given.dwi_motions).read_text(encoding='utf-8'))
        lost = np.zeros((len(volumes.bvals), mask.shape[volumes.slice_axis]), bool)
        for volume, slices in enumerate(told['lost_slices']):
            lost[volume, slices] = True
        centre = middle_of(mask, image.affine)
        heads = volumes.heads(np.array(told['transforms']), image.affine, mask)
        # Slices are counted as they are stored.
        turned = any(
            int(place) == volumes.slice_axis and sign < 0 for place, sign in storage_of(image).axes
        )
        self._results['dwi_confounds'] = _write(
            folder / 'confounds.tsv',
            volumes.bvals,
            np.array(told['directions']),
            heads,
            lost[:, ::-1] if turned else lost,
            centre,
        )
        self._results['dwi_confounds_values'] = write_values(
            folder / 'values.json', _values(volumes, heads, lost, mask, centre), ROOM
        )
        return runtime


def _write(path, bvals, directions, heads, lost, centre):
    moves = displacement(heads, centre=centre)
    rows = [COLUMNS]
    for v, head in enumerate(heads):
        shift = head[:3, :3] @ centre + head[:3, 3] - centre
        cells = [*directions[v], *shift, *rotation_angles(head)]
        step = None if v == 0 else f'{moves[v - 1]:.4f}'
        slices = ','.join(map(str, np.flatnonzero(lost[v])))
        rows.append((v, f'{bvals[v]:g}', *(f'{cell:.5f}' for cell in cells), step, slices))
    write_tsv(path, rows)
    return str(path)


def _values(volumes, heads, lost, mask, centre):
    """Give every declared measure its value."""
    if volumes.corrected:
        none = Value(None, reason='the series was corrected by another tool')
        return {measure.name: none for measure in ROOM.measures}
    moved = [np.linalg.norm(m[:3, :3] @ centre + m[:3, 3] - centre) for m in heads]
    with_brain = mask.any(axis=tuple(a for a in range(3) if a != volumes.slice_axis))
    return {
        'qc_dwi_fd_mm': Value(float(displacement(heads, centre=centre).mean()), n=len(heads)),
        'qc_dwi_motion_max_mm': float(max(moved)),
        'qc_dwi_lost_slices_pct': 100 * float(lost[:, with_brain].mean()),
    }
