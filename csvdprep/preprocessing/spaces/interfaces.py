"""Files in, files out; the resampling is ANTs'."""

from pathlib import Path

import nibabel as nib
import numpy as np
from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    DynamicTraitedSpec,
    File,
    SimpleInterface,
    isdefined,
    traits,
)
from nipype.interfaces.io import add_traits

from csvdprep.imaging.ants import apply_transform, register_to_template
from csvdprep.imaging.images import load, save
from csvdprep.imaging.spaces import find_space


class _SpaceInputSpec(BaseInterfaceInputSpec):
    anat_preproc = File(exists=True, mandatory=True, desc='anatomical reference')
    anat_filled = File(exists=True, mandatory=True, desc='the same with lesions filled')
    brain_mask = File(exists=True, mandatory=True, desc='its brain')
    anat_to_mni = File(exists=True, mandatory=True, desc='the way to the shipped template')
    lesion_guess = File(exists=True, desc='lesions to be left out of the metric')
    spec = traits.Str(mandatory=True, desc='space')
    hub = traits.Enum('T1w', 'FLAIR', mandatory=True, desc='contrast of the reference')
    outputs = traits.List(traits.Str, mandatory=True, desc='names of the outputs')


class _Named(SimpleInterface):
    """An interface whose outputs bear the name of the space."""

    output_spec = DynamicTraitedSpec

    def _outputs(self):
        return add_traits(super()._outputs(), self.inputs.outputs)

    def _name(self, start):
        return next(name for name in self.inputs.outputs if name.startswith(start))


class IntoSpace(_Named):
    """Resample the reference into a space, registering it there unless it is the shipped one."""

    input_spec = _SpaceInputSpec

    def _run_interface(self, runtime):
        given, folder = self.inputs, Path(runtime.cwd)
        space = find_space(given.spec)
        image = load(space.image)
        way = given.anat_to_mni
        if not space.shipped:
            way = str(folder / 'anat_to_space.h5')
            self._register(space, way, folder)
            self._results[self._name('anat_to_')] = way
        for start, file, kind in (
            ('anat_in_', given.anat_preproc, 'linear'),
            ('brain_in_', given.brain_mask, 'nearest'),
        ):
            moved = apply_transform(load(file), image, way, interpolation=kind)
            path = folder / f'{start}space.nii.gz'
            self._results[self._name(start)] = save(np.asanyarray(moved.dataobj), image, path)
        return runtime

    def _register(self, space, way, folder):
        given = self.inputs
        image = load(space.image)
        mask = (
            load(space.mask)
            if space.mask
            else nib.Nifti1Image((np.asanyarray(image.dataobj) > 0).astype(np.uint8), image.affine)
        )
        lesions = None
        if isdefined(given.lesion_guess):
            lesions = np.asanyarray(load(given.lesion_guess).dataobj)
        brain = np.asanyarray(load(given.brain_mask).dataobj)
        register_to_template(
            load(given.anat_filled),
            brain,
            image,
            mask,
            way,
            folder / 'space_to_anat.h5',
            exclude=lesions,
        )


class _WmhSpaceInputSpec(DynamicTraitedSpec, BaseInterfaceInputSpec):
    flair_preproc = File(exists=True, mandatory=True, desc='FLAIR')
    flair_to_anat = File(exists=True, mandatory=True, desc='resamples FLAIR onto reference')
    wmh_mask = File(exists=True, mandatory=True, desc='hyperintensities')
    wmh_probseg = File(exists=True, mandatory=True, desc='degree of membership')
    spec = traits.Str(mandatory=True, desc='space')
    way = traits.Str(mandatory=True, desc='name of the input that leads to the space')
    outputs = traits.List(traits.Str, mandatory=True, desc='names of the outputs')


class WmhIntoSpace(_Named):
    """Resample FLAIR and hyperintensities into a space."""

    input_spec = _WmhSpaceInputSpec

    def __init__(self, **inputs):
        super().__init__(**inputs)
        add_traits(self.inputs, [self.inputs.way])

    def _run_interface(self, runtime):
        given, folder = self.inputs, Path(runtime.cwd)
        image = load(find_space(given.spec).image)
        # The last of the list takes a point of the template first.
        ways = [given.flair_to_anat, getattr(given, given.way)]
        for start, file, kind in (
            ('flair_in_', given.flair_preproc, 'linear'),
            ('wmh_in_', given.wmh_mask, 'nearest'),
            ('wmhprob_in_', given.wmh_probseg, 'linear'),
        ):
            moved = apply_transform(load(file), image, ways, interpolation=kind)
            path = folder / f'{start}space.nii.gz'
            self._results[self._name(start)] = save(np.asanyarray(moved.dataobj), image, path)
        return runtime
