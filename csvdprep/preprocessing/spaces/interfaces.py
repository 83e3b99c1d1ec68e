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
from csvdprep.imaging.transforms import read_linear, write_linear


class _RegisterInputSpec(BaseInterfaceInputSpec):
    anat_preproc = File(exists=True, mandatory=True, desc='anatomical reference')
    anat_filled = File(exists=True, mandatory=True, desc='the same with lesions filled')
    brain_mask = File(exists=True, mandatory=True, desc='its brain')
    anat_to_mni = File(exists=True, mandatory=True, desc='the way to the shipped template')
    lesion_guess = File(exists=True, desc='lesions to be left out of the metric')
    spec = traits.Str(mandatory=True, desc='space')
    hub = traits.Enum('T1w', 'FLAIR', mandatory=True, desc='contrast of the reference')
    output = traits.Str(mandatory=True, desc='name of the output')


class Register(SimpleInterface):
    """Register the anatomical reference to a template."""

    input_spec = _RegisterInputSpec
    output_spec = DynamicTraitedSpec

    def _outputs(self):
        return add_traits(super()._outputs(), [self.inputs.output])

    def _run_interface(self, runtime):
        given, folder = self.inputs, Path(runtime.cwd)
        space = find_space(given.spec)
        image = load(space.image)
        mask = (
            load(space.mask)
            if space.mask
            else nib.Nifti1Image((np.asanyarray(image.dataobj) > 0).astype(np.uint8), image.affine)
        )
        lesions = None
        if isdefined(given.lesion_guess):
            lesions = np.asanyarray(load(given.lesion_guess).dataobj)
        way = folder / 'anat_to_space.h5'
        register_to_template(
            load(given.anat_filled),
            np.asanyarray(load(given.brain_mask).dataobj),
            image,
            mask,
            way,
            folder / 'space_to_anat.h5',
            exclude=lesions,
        )
        self._results[given.output] = str(way)
        return runtime


class _SpaceInputSpec(DynamicTraitedSpec, BaseInterfaceInputSpec):
    spec = traits.Str(desc='template; empty: the grid of a scan')
    target = traits.Str(desc='name of the input whose grid it is')
    images = traits.List(mandatory=True, desc='input, output, interpolation')
    ways = traits.List(mandatory=True, desc='inputs that are transforms; whether inverted')


def few_digits(data: np.ndarray) -> np.ndarray:
    """Round numbers to 13 binary digits (0.006 %), which halves the compressed file.

    Parameters
    ----------
    data : ndarray
        Voxels of any type; integers are returned as they are.

    Returns
    -------
    ndarray of float32, or `data`

    Examples
    --------
    >>> few_digits(np.array([0.7123456, 1e-3, 0]))
    array([0.71240234, 0.00099993, 0.        ], dtype=float32)
    >>> few_digits(np.array([7], np.uint8)).dtype
    dtype('uint8')

    """
    if data.dtype.kind != 'f':
        return data
    mantissa, exponent = np.frexp(data.astype(np.float32))
    return np.ldexp(np.round(mantissa * 2**13) / np.float32(2**13), exponent)


class IntoSpace(SimpleInterface):
    """Resample images into a space."""

    input_spec = _SpaceInputSpec
    output_spec = DynamicTraitedSpec

    def __init__(self, takes, **inputs):
        given = {name: inputs.pop(name) for name in takes if name in inputs}
        super().__init__(**inputs)
        add_traits(self.inputs, takes)
        self.inputs.trait_set(**given)

    def _outputs(self):
        return add_traits(super()._outputs(), [output for _, output, _ in self.inputs.images])

    def _run_interface(self, runtime):
        given, folder = self.inputs, Path(runtime.cwd)
        # What is asked for by the grid of a scan is stored as that is.
        target = find_space(given.spec).image if given.spec else getattr(given, given.target)
        image = load(target)
        # The last of the list takes a point of the space first.
        ways = [
            self._way(getattr(given, name), inverse, folder / f'{name}_inverse.txt')
            for name, inverse in given.ways
        ]
        for name, output, kind in given.images:
            moved = apply_transform(load(getattr(given, name)), image, ways, interpolation=kind)
            path = folder / f'{output}.nii.gz'
            self._results[output] = save(few_digits(np.asanyarray(moved.dataobj)), image, path)
        return runtime

    def _way(self, file, inverse, path):
        return write_linear(np.linalg.inv(read_linear(file)), path) if inverse else file
