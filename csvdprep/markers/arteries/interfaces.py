"""Files in, files out; arteries are found and told apart in the science."""

from pathlib import Path

import nibabel as nib
import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, isdefined, traits
from scipy import ndimage as ndi

from csvdprep.imaging.atlas import label_names
from csvdprep.imaging.frame import ImageFrame
from csvdprep.imaging.images import load, save
from csvdprep.interfaces.lists import write_rows
from csvdprep.interfaces.values import write_values
from csvdprep.markers.arteries import ROOM
from csvdprep.markers.arteries.measures import Anatomy, look_closer, measure, rows_of
from csvdprep.markers.arteries.science import Limits, below_skin, find_arteries
from csvdprep.markers.arteries.science.regions import GRID_MM, in_room, in_skull_base
from csvdprep.science.morphology import bounding_box, dilate

#: How far beyond the brain arteries are sought, mm.
AROUND_MM = 4.0
#: Farthest that an artery lies from the territory that it is counted with, mm.
NEAR_MM = 15.0


class _InputSpec(TraitedSpec):
    tof = traits.Dict(mandatory=True, desc='angiogram, and what its sidecar tells')
    tof_preproc = File(exists=True, mandatory=True, desc='corrected angiogram')
    tof_mask = File(exists=True, mandatory=True, desc='head')
    tof_to_anat = File(exists=True, desc='resamples it onto the reference')
    mni_to_anat = File(exists=True, desc='resamples template onto reference')
    brain_mask = File(exists=True, desc='brain, on the reference')
    territories_dseg = File(exists=True, desc='vascular territories, on the reference')
    strength = traits.Float(0.12, usedefault=True, desc='response of a seed, units of tissue')
    surprise = traits.Float(6.0, usedefault=True, desc='response of a seed, standard deviations')
    least_mm = traits.Float(10.0, usedefault=True, desc='least length of a tree')
    spur_mm = traits.Float(2.0, usedefault=True, desc='length of spurs')
    lsa_coarsest_mm = traits.Float(0.35, usedefault=True, desc='coarsest voxel for perforators')


class _OutputSpec(TraitedSpec):
    artery_mask = File(exists=True, desc='lumen')
    artery_list = File(exists=True, desc='pieces')
    artery_lines = File(exists=True, desc='middle lines')
    arteries_values = File(exists=True, desc='measures')


class MapArteries(SimpleInterface):
    """Find arteries, and measure them."""

    input_spec = _InputSpec
    output_spec = _OutputSpec

    def _run_interface(self, runtime):
        given, folder = self.inputs, Path(runtime.cwd)
        image = load(given.tof_preproc)
        data = np.asanyarray(image.dataobj, dtype=np.float32)
        head = np.asanyarray(load(given.tof_mask).dataobj) > 0
        anatomy = self._anatomy(image, head)
        limits = Limits(
            strength=given.strength,
            surprise=given.surprise,
            least_mm=given.least_mm,
            spur_mm=given.spur_mm,
        )
        found = find_arteries(data, image.affine, anatomy.where, limits)
        scan, coarsest = dict(given.tof), given.lsa_coarsest_mm
        closer = look_closer(found, data, anatomy, limits, scan, coarsest)
        result = measure(found, anatomy, scan, coarsest, closer)
        self._results['artery_mask'] = save(
            result.arteries.mask.astype(np.uint8), image, folder / 'mask.nii.gz'
        )
        pieces, points = rows_of(result)
        for name, rows, digits in (('artery_list', pieces, 4), ('artery_lines', points, 5)):
            self._results[name] = write_rows(
                rows, ROOM.makes[name].columns, folder / f'{name}.tsv', digits=digits
            )
        self._results['arteries_values'] = write_values(
            folder / 'values.json', result.values, ROOM
        )
        return runtime

    def _anatomy(self, image, head: np.ndarray) -> Anatomy:
        """Say where arteries are sought, and how to tell where they are."""
        given = self.inputs
        size = nib.affines.voxel_sizes(image.affine)
        known = all(
            isdefined(getattr(given, name))
            for name in ('tof_to_anat', 'mni_to_anat', 'brain_mask', 'territories_dseg')
        )
        if not known:
            reason = 'there is no T1w or FLAIR on which the angiogram could be placed'
            return Anatomy(where=below_skin(head, size), reason=reason, size=size)
        frame = ImageFrame.read(given.tof_preproc, given.tof_to_anat)
        brain = frame.share(given.brain_mask) > 0.5
        grid, steps = _grid(image)
        template = frame.in_template(
            nib.affines.apply_affine(image.affine, grid), given.mni_to_anat
        )
        shape = tuple(len(np.arange(0, n, s)) for n, s in zip(head.shape, steps, strict=True))
        index = [
            np.minimum(np.arange(n) // s, m - 1)
            for n, s, m in zip(head.shape, steps, shape, strict=True)
        ]
        base, room = (
            told(template).reshape(shape)[np.ix_(*index)] for told in (in_skull_base, in_room)
        )
        where = dilate(brain, size, AROUND_MM) | base
        # Each point of the grid stands for a cube of the same volume.
        weight = float(np.prod(steps * size)) / GRID_MM**3
        return Anatomy(
            where=where & head,
            size=size,
            brain_ml=float((brain & head).sum() * np.prod(size) / 1000),
            grid=template,
            weight=weight,
            to_template=lambda points: frame.in_template(points, given.mni_to_anat),
            room=room,
            region=_territories(given.territories_dseg, frame.to_anat),
        )


def _grid(image) -> tuple[np.ndarray, np.ndarray]:
    """Return voxel coordinates about 3 mm apart, and how many voxels lie between them."""
    size = nib.affines.voxel_sizes(image.affine)
    steps = np.maximum(1, np.round(GRID_MM / size)).astype(int)
    axes = [np.arange(0, n, s) for n, s in zip(image.shape[:3], steps, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing='ij'), axis=-1).reshape(-1, 3), steps


def _territories(path: str, to_anat: np.ndarray):
    """Return a function that names the territory nearest to points of the angiogram."""
    image = load(path)
    labels = np.asanyarray(image.dataobj).astype(np.uint8)
    box = bounding_box(labels > 0, 8)
    labels = labels[box]
    away, nearest = ndi.distance_transform_edt(
        labels == 0, sampling=nib.affines.voxel_sizes(image.affine), return_indices=True
    )
    labels = np.where(away <= NEAR_MM, labels[tuple(nearest)], 0)
    names = {value: _short(name) for value, name in label_names('territories').items()}
    inverse = np.linalg.inv(image.affine) @ to_anat
    start = np.array([side.start for side in box])

    def region(points: np.ndarray) -> np.ndarray:
        at = np.rint(points @ inverse[:3, :3].T + inverse[:3, 3]).astype(int) - start
        inside = ((at >= 0) & (at < labels.shape)).all(axis=1)
        found = np.zeros(len(points), int)
        found[inside] = labels[tuple(at[inside].T)]
        return np.array([names.get(value, '') for value in found])

    return region


def _short(name: str) -> str:
    """Return the short name of a territory.

    Examples
    --------
    >>> _short('left anterior cerebral artery'), _short('infratentorial')
    ('left ACA', 'infratentorial')
    """
    side, _, rest = name.partition(' ')
    if side not in ('left', 'right'):
        return name
    return f'{side} {"".join(word[0] for word in rest.split()).upper()}'
