"""Files in, files out; the registration itself is ANTs'."""

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, isdefined, traits

from csvdprep.core.errors import InputError
from csvdprep.imaging.ants import apply_transform, register_to_template
from csvdprep.imaging.images import load
from csvdprep.imaging.points import map_points
from csvdprep.interfaces.values import Value, write_values
from csvdprep.preprocessing.registration import ROOM
from csvdprep.resources import template_file
from csvdprep.science.alignment import best_affine
from csvdprep.science.quality import edge_overlap

#: How far (mm) points of the brain may come back from where they were, by given transforms.
MOST_OFF_MM = 1.5


class _RegisterInputSpec(TraitedSpec):
    anat_filled = File(exists=True, mandatory=True, desc='reference with its lesions filled')
    brain_mask = File(exists=True, mandatory=True, desc='its brain')
    lesion_guess = File(exists=True, desc='lesions to be left out of the metric')
    anat_to_mni_external = File(exists=True, desc='transform that was given')
    mni_to_anat_external = File(exists=True, desc='its inverse')
    hub = traits.Enum('T1w', 'FLAIR', mandatory=True, desc='contrast of the reference')
    resolution_mm = traits.Float(mandatory=True, desc='finest resolution')


class _RegisterOutputSpec(TraitedSpec):
    anat_to_mni = File(exists=True, desc='resamples the reference into the template')
    mni_to_anat = File(exists=True, desc='resamples the template onto the reference')
    registration_values = File(exists=True, desc='measures')


class Register(SimpleInterface):
    """Register the reference to the template."""

    input_spec = _RegisterInputSpec
    output_spec = _RegisterOutputSpec

    def _run_interface(self, runtime):
        folder = Path(runtime.cwd)
        anat = load(self.inputs.anat_filled)
        brain = load(self.inputs.brain_mask)
        template = load(template_file(suffix='T1w', desc='brain'))
        template_mask = load(template_file(suffix='mask', desc='brain'))
        # A FLAIR meets the template in its own contrast, made of the template's tissues.
        tissues = None
        if self.inputs.hub == 'FLAIR':
            tissues = [
                load(template_file(suffix='probseg', label=label, desc=None))
                for label in ('CSF', 'GM', 'WM')
            ]
        forward, inverse = folder / 'anat_to_mni.h5', folder / 'mni_to_anat.h5'
        if isdefined(self.inputs.anat_to_mni_external) and isdefined(
            self.inputs.mni_to_anat_external
        ):
            scale = self._take_over(forward, inverse, brain)
        else:
            lesions = None
            if isdefined(self.inputs.lesion_guess):
                lesions = np.asanyarray(load(self.inputs.lesion_guess).dataobj)
            scale = register_to_template(
                anat,
                np.asanyarray(brain.dataobj),
                template,
                template_mask,
                forward,
                inverse,
                tissues=tissues,
                exclude=lesions,
                resolution_mm=self.inputs.resolution_mm,
            )['scale']
        values = _quality(anat, brain, template, template_mask, inverse, same=tissues is None)
        self._results['anat_to_mni'] = str(forward)
        self._results['mni_to_anat'] = str(inverse)
        self._results['registration_values'] = write_values(
            folder / 'values.json', {**values, 'head_scale': scale}, ROOM
        )
        return runtime

    def _take_over(self, forward, inverse, brain) -> float:
        """Copy transforms that were given, if one undoes the other; return the scale."""
        given = (self.inputs.anat_to_mni_external, self.inputs.mni_to_anat_external)
        # Some two thousand points all over the brain, in mm.
        inside = np.argwhere(np.asanyarray(brain.dataobj) > 0)
        points = nib.affines.apply_affine(brain.affine, inside[:: max(len(inside) // 2000, 1)])
        try:
            there = map_points(points, given[1])
            back = map_points(there, given[0])
        except Exception as error:
            raise InputError(
                f'The transforms cannot be applied: {error}',
                file=given[0],
                remedy='Give ITK composite transforms (.h5), as ANTs writes them.',
            ) from error
        off = float(np.median(np.linalg.norm(back - points, axis=1)))
        if not off <= MOST_OFF_MM:
            raise InputError(
                'The two transforms are not inverse to each other: points of the brain '
                f'return {off:.1f} mm away from their start.',
                file=given[0],
                remedy='Give the forward and inverse transforms of the same registration.',
            )
        for source, target in zip(given, (forward, inverse), strict=True):
            shutil.copyfile(source, target)
        return float(abs(np.linalg.det(best_affine(there, points)[:3, :3])))


def _quality(anat, brain, template, template_mask, inverse, *, same):
    inside = np.asanyarray(brain.dataobj) > 0
    warped = apply_transform(template_mask, anat, inverse, interpolation='nearest')
    expected = np.asanyarray(warped.dataobj) > 0
    dice = 2 * (inside & expected).sum() / (inside.sum() + expected.sum())
    edges = Value(None, reason='the contrast of the reference differs from that of the template')
    if same:
        moved = np.asanyarray(apply_transform(template, anat, inverse).dataobj)
        voxel_mm = nib.affines.voxel_sizes(anat.affine)
        edges = Value(edge_overlap(np.asanyarray(anat.dataobj), moved, inside, voxel_mm))
    return {'qc_template_dice': float(dice), 'qc_template_edges': edges}
