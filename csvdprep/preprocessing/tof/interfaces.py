"""Files in, files out; the bias field is ANTs'."""

from pathlib import Path

import nibabel as nib
import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, traits

from csvdprep.core.errors import MeasureError
from csvdprep.imaging.ants import n4
from csvdprep.imaging.images import like, save
from csvdprep.imaging.inspect import load_clean
from csvdprep.interfaces.values import Value, write_values
from csvdprep.preprocessing.tof import ROOM
from csvdprep.preprocessing.tof.science import (
    across_slabs,
    equalise,
    head_of,
    slice_gains,
    unevenness_pct,
)
from csvdprep.science.quality import noise_by_differences
from csvdprep.science.still_tissue import tissue_level

#: Share of the median of the head from which a voxel is blood or fat: no part of the bias field.
BRIGHT = 1.5


class _InputSpec(TraitedSpec):
    tof = traits.Dict(mandatory=True, desc='angiogram, and what its sidecar tells')
    spline_mm = traits.Float(mandatory=True, desc='distance of the knots of the bias field')


class _OutputSpec(TraitedSpec):
    tof_preproc = File(exists=True, desc='corrected angiogram')
    tof_mask = File(exists=True, desc='head')
    tof_values = File(exists=True, desc='measures')


class Angiogram(SimpleInterface):
    """Take the gain of slices and the bias field out of an angiogram."""

    input_spec = _InputSpec
    output_spec = _OutputSpec

    def _run_interface(self, runtime):
        given, folder = self.inputs, Path(runtime.cwd)
        image = load_clean(given.tof['image'])
        data = np.asanyarray(image.dataobj, dtype=np.float32)
        size = nib.affines.voxel_sizes(image.affine)
        head = head_of(data, size)
        # What is cut off, or was set to 0, is no head.
        head &= data > 0
        if head.sum() < 1000:
            raise MeasureError(
                'The angiogram is empty but for a few voxels.', remedy='Export it again.'
            )
        axis = across_slabs(data.shape, size)
        gains = slice_gains(data, head, axis)
        even = equalise(data, gains, axis)
        still = head & (even < BRIGHT * tissue_level(even[head]))
        snr = Value(None, reason='no noise is seen: the image was filtered')
        if (noise := noise_by_differences(even, still)) > 0:
            snr = Value(float(np.median(even[still])) / noise, n=int(still.sum()))
        try:
            corrected = n4(like(even, image), still, spline_mm=given.spline_mm)
            even = np.asanyarray(corrected.dataobj, dtype=np.float32)
        except MeasureError:
            # A crop of a few millilitres has no bias to speak of.
            pass
        self._results['tof_preproc'] = save(even, image, folder / 'tof_preproc.nii.gz')
        self._results['tof_mask'] = save(head.astype(np.uint8), image, folder / 'tof_mask.nii.gz')
        edges = given.tof.get('finest_mm') or size.tolist()
        tesla = given.tof.get('tesla')
        self._results['tof_values'] = write_values(
            folder / 'values.json',
            {
                'tof_voxel_mm': float(max(edges)),
                'tof_inplane_mm': float(min(edges)),
                'tof_field_t': Value(
                    tesla, reason='' if tesla else 'the sidecar has no MagneticFieldStrength'
                ),
                'tof_slab_mm': float(data.shape[axis] * size[axis]),
                'qc_tof_slabs_pct': unevenness_pct(gains),
                'qc_tof_snr': snr,
            },
            ROOM,
        )
        return runtime
