"""Files in, files out; the numbers are in the science."""

from pathlib import Path

import nibabel as nib
import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, isdefined

from csvdprep.imaging.atlas import labels_of
from csvdprep.imaging.images import load, resample
from csvdprep.imaging.points import map_points
from csvdprep.imaging.transforms import read_linear
from csvdprep.interfaces.values import Value, write_values
from csvdprep.markers.atrophy import ROOM
from csvdprep.markers.atrophy.science import BELOW_PONS_Z, evans_index, grey_within, volumes
from csvdprep.science.alignment import best_affine

#: Every so many voxels of the brain take part in the fit of the affine.
SAMPLES = 3000


class _AtrophyInputSpec(TraitedSpec):
    t1w = File(exists=True, mandatory=True, desc='T1w: without it there are no volumes')
    csf_probseg = File(exists=True, mandatory=True, desc='probability of CSF')
    gm_probseg = File(exists=True, mandatory=True, desc='probability of grey matter')
    wm_probseg = File(exists=True, mandatory=True, desc='probability of white matter')
    ventricles = File(exists=True, mandatory=True, desc='lateral ventricles')
    brain_mask = File(exists=True, mandatory=True, desc='brain')
    structures_dseg = File(exists=True, mandatory=True, desc='deep structures')
    mni_to_anat = File(exists=True, mandatory=True, desc='resamples the template onto the T1w')
    wmh_mask = File(exists=True, desc='hyperintensities, on the FLAIR grid')
    flair_to_anat = File(exists=True, desc='resamples the FLAIR onto the T1w')


class _AtrophyOutputSpec(TraitedSpec):
    atrophy_values = File(exists=True, desc='measures')


class Atrophy(SimpleInterface):
    """Measure atrophy."""

    input_spec = _AtrophyInputSpec
    output_spec = _AtrophyOutputSpec

    def _run_interface(self, runtime):
        given = self.inputs
        brain = load(given.brain_mask)
        mask = np.asanyarray(brain.dataobj) > 0
        probability = np.stack(
            [
                np.asanyarray(load(file).dataobj, dtype=np.float32)
                for file in (given.csf_probseg, given.gm_probseg, given.wm_probseg)
            ]
        )
        lesion = np.zeros(mask.shape, np.float32)
        if isdefined(given.wmh_mask):
            image = load(given.wmh_mask)
            lesion = resample(
                nib.Nifti1Image(np.asanyarray(image.dataobj).astype(np.float32), image.affine),
                brain,
                matrix=read_linear(given.flair_to_anat),
            )
        to_template = _to_template(mask, brain.affine, given.mni_to_anat)
        voxel_mm3 = float(np.prod(nib.affines.voxel_sizes(brain.affine)))
        found = volumes(probability, lesion, voxel_mm3)
        structures = np.asanyarray(load(given.structures_dseg).dataobj)
        stem = np.isin(structures, labels_of('structures', 'brainstem'))
        hippocampus = {
            side: grey_within(
                probability[1],
                mask & np.isin(structures, labels_of('structures', f'{side} hippocampus')),
                voxel_mm3,
            )
            for side in ('left', 'right')
        }
        neck = _positions(stem & mask, to_template)[:, 2] < BELOW_PONS_Z
        outside = float(neck.sum() * voxel_mm3 / 1000)
        icv = float(mask.sum() * voxel_mm3 / 1000)
        ventricles = np.asanyarray(load(given.ventricles).dataobj) > 0
        evans = evans_index(_positions(ventricles, to_template), _positions(mask, to_template))
        self._results['atrophy_values'] = write_values(
            Path(runtime.cwd) / 'values.json',
            {
                **found,
                'bpf': (found['gm_ml'] + found['wm_ml'] - outside) / (icv - outside),
                **{f'hippocampus_{side}_ml': ml for side, ml in hippocampus.items()},
                **{
                    f'{name}_pct_icv': 100 * ml / icv
                    for name, ml in (
                        ('gm', found['gm_ml']),
                        ('wm', found['wm_ml']),
                        ('lv', float(ventricles.sum() * voxel_mm3 / 1000)),
                        ('hippocampus', sum(hippocampus.values())),
                    )
                },
                'evans': Value(
                    evans, reason='' if evans else 'no slice shows the frontal horns on both sides'
                ),
            },
            ROOM,
        )
        return runtime


def _to_template(mask, affine, mni_to_anat):
    """Return the matrix from voxels to the template, by its affine part."""
    voxels = np.argwhere(mask)
    voxels = voxels[:: max(1, len(voxels) // SAMPLES)]
    points = nib.affines.apply_affine(affine, voxels)
    return best_affine(points, map_points(points, mni_to_anat)) @ affine


def _positions(mask, matrix):
    return nib.affines.apply_affine(matrix, np.argwhere(mask))
