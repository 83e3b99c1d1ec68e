"""Files in, files out; the registration is ANTs'."""

from pathlib import Path

import nibabel as nib
import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec

from csvdprep.core.errors import MeasureError
from csvdprep.imaging.ants import rigid
from csvdprep.imaging.images import like, load, load_mask_on, resample
from csvdprep.imaging.transforms import read_linear, write_linear
from csvdprep.interfaces.values import Value, write_values
from csvdprep.preprocessing.tof_anat import ROOM
from csvdprep.science.alignment import block_mean
from csvdprep.science.morphology import dilate
from csvdprep.science.quality import edge_overlap
from csvdprep.science.still_tissue import tissue_level

#: How far beyond the brain the two passes look, mm: headers of one visit agree within a centimetre
#: or two.
AROUND_MM = (12.0, 4.0)
#: Level, in units of tissue, down to which blood is dimmed.
DIM = 1.5
#: Edge of the voxels on which images are compared, mm, and fewest mL that they have in common.
COARSE_MM, LEAST_ML = 1.0, 20.0


class _InputSpec(TraitedSpec):
    tof_preproc = File(exists=True, mandatory=True, desc='corrected angiogram')
    tof_mask = File(exists=True, mandatory=True, desc='head')
    anat_preproc = File(exists=True, mandatory=True, desc='anatomical reference')
    brain_mask = File(exists=True, mandatory=True, desc='its brain')


class _OutputSpec(TraitedSpec):
    tof_to_anat = File(exists=True, desc='rigid transform')
    tof_anat_values = File(exists=True, desc='measures')


class AngiogramToReference(SimpleInterface):
    """Register the angiogram to the anatomical reference."""

    input_spec = _InputSpec
    output_spec = _OutputSpec

    def _run_interface(self, runtime):
        given, folder = self.inputs, Path(runtime.cwd)
        image, head = coarse(load(given.tof_preproc), load(given.tof_mask))
        anat, brain = load(given.anat_preproc), load(given.brain_mask)
        size = nib.affines.voxel_sizes(image.affine)
        data = np.asanyarray(image.dataobj)
        tissue = tissue_level(data[head])
        dimmed = like(np.minimum(data, DIM * tissue).astype(np.float32), image)
        inside = np.asanyarray(brain.dataobj) > 0
        matrix = np.eye(4)
        for reach in AROUND_MM:
            there = load_mask_on(given.brain_mask, image, matrix=matrix) > 0
            own = dilate(there, size, reach) & head
            if own.sum() * np.prod(size) < 1000 * LEAST_ML:
                raise MeasureError(
                    'The angiogram and the brain of the reference have hardly anything in common.',
                    remedy='Check the headers of both images; a crop is measured without the '
                    'reference (--ignore tof_anat).',
                )
            way = rigid(dimmed, anat, folder / 'way.txt', fixed_mask=own, moving_mask=inside)
            matrix = read_linear(way)
        # ``matrix`` takes points of the angiogram to the reference.
        self._results['tof_to_anat'] = str(
            write_linear(np.linalg.inv(matrix), folder / 'tof_to_anat.txt')
        )
        there = load_mask_on(given.brain_mask, image, matrix=matrix) > 0
        moved = resample(anat, image, matrix=matrix)
        within = there & head & (moved > 0)
        edges = Value(None, reason='too little of the brain is covered')
        if within.sum() * np.prod(size) > 1000 * LEAST_ML:
            edges = Value(
                edge_overlap(moved, np.asanyarray(dimmed.dataobj), within, size),
                n=int(within.sum()),
            )
        volume = np.prod(nib.affines.voxel_sizes(brain.affine)) * inside.sum()
        covered = 100 * float((there & head).sum() * np.prod(size) / max(volume, 1e-6))
        self._results['tof_anat_values'] = write_values(
            folder / 'values.json',
            {'qc_tof_anat_edges': edges, 'qc_tof_coverage_pct': min(covered, 100.0)},
            ROOM,
        )
        return runtime


def coarse(image, mask):
    """Average an image and a mask over blocks of about a millimetre.

    Parameters
    ----------
    image, mask : nibabel image
        Of one grid.

    Returns
    -------
    image : nibabel image
    mask : ndarray of bool
    """
    factors = np.maximum(
        1, np.round(COARSE_MM / nib.affines.voxel_sizes(image.affine)).astype(int)
    )
    affine = image.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ ((factors - 1) / 2)
    affine[:3, :3] = affine[:3, :3] * factors
    data = block_mean(np.asanyarray(image.dataobj, dtype=np.float32), factors)
    share = block_mean(np.asanyarray(mask.dataobj, dtype=np.float32), factors)
    return nib.Nifti1Image(data.astype(np.float32), affine), share > 0.5
