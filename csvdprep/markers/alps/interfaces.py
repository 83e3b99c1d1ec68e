"""Files in, files out; the numbers are in the science."""

import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, isdefined, traits
from scipy import ndimage as ndi

from csvdprep.core.errors import MeasureError
from csvdprep.imaging.frame import ImageFrame
from csvdprep.imaging.images import load, save
from csvdprep.imaging.points import map_points
from csvdprep.interfaces.values import Value, read_measure, write_values
from csvdprep.markers.alps import ROOM
from csvdprep.markers.alps.science import measure_alps
from csvdprep.markers.alps.science.regions import CENTRES
from csvdprep.resources import RESOURCES, template_file

#: Lines stored for each measured from which a series counts as interpolated; matrices are rounded
#: to what is handy for the reconstruction.
LEAST_FINER = 1.05


class _AlpsInputSpec(TraitedSpec):
    dwi_tensor = File(exists=True, mandatory=True, desc='tensors')
    dwi_fa = File(exists=True, mandatory=True, desc='fractional anisotropy')
    dwi_direction = File(exists=True, mandatory=True, desc='main direction')
    dwi_mask = File(exists=True, mandatory=True, desc='brain of the series')
    fa_to_dwi = File(exists=True, mandatory=True, desc='resamples the template onto the series')
    wmh_mask = File(exists=True, desc='hyperintensities, on the FLAIR')
    flair_to_anat = File(exists=True, desc='resamples FLAIR onto reference')
    dwi_to_anat = File(exists=True, desc='resamples series onto reference')
    dwi_denoise_values = File(exists=True, desc='whether the scanner interpolated')
    reorientation = traits.Str('finite strain', usedefault=True, desc='kind of rotation')


class _AlpsOutputSpec(TraitedSpec):
    alps_regions = File(exists=True, desc='spheres')
    alps_kept = File(exists=True, desc='what was measured')
    alps_values = File(exists=True, desc='measures')


class MeasureAlps(SimpleInterface):
    """Measure DTI-ALPS."""

    input_spec = _AlpsInputSpec
    output_spec = _AlpsOutputSpec

    def _run_interface(self, runtime):
        given, folder = self.inputs, Path(runtime.cwd)
        image = load(given.dwi_tensor)
        mask = np.asanyarray(load(given.dwi_mask).dataobj) > 0
        lesion = None
        if all(map(isdefined, (given.wmh_mask, given.flair_to_anat, given.dwi_to_anat))):
            space = ImageFrame.read(
                given.dwi_fa, given.dwi_to_anat, {'flair': given.flair_to_anat}
            )
            lesion = space.share(given.wmh_mask, 'flair')
        regions = np.zeros((*mask.shape, 4), np.float32)
        kept = regions
        try:
            found = measure_alps(
                np.asanyarray(image.dataobj),
                image.affine,
                self._positions(mask, image.affine),
                mask=mask,
                lesion=lesion,
                reorientation=given.reorientation,
                centres=template_centres(),
            )
            values, regions, kept = self._values(found.values), found.spheres, found.kept
        except MeasureError as error:
            # The rest of the visit does not depend on it: say why there is no value.
            values = {m.name: Value(None, reason=error.message) for m in ROOM.measures}
        self._results['alps_regions'] = save(regions, image, folder / 'regions.nii.gz')
        self._results['alps_kept'] = save(kept, image, folder / 'kept.nii.gz')
        self._results['alps_values'] = write_values(folder / 'values.json', values, ROOM)
        return runtime

    def _values(self, found):
        given = self.inputs
        finer = Value(None)
        if isdefined(given.dwi_denoise_values):
            finer = read_measure(given.dwi_denoise_values, 'dwi_denoise.dwi_interpolation', ROOM)
        return as_measured(_values(found), finer.value or 1.0)

    def _positions(self, mask, affine):
        """Return where in the template each voxel of the brain lies, mm."""
        near = ndi.binary_dilation(mask, iterations=2)
        points = nib.affines.apply_affine(affine, np.argwhere(near))
        out = np.full((*mask.shape, 3), np.nan)
        out[near] = map_points(points, self.inputs.fa_to_dwi)
        return out


def template_centres() -> dict[tuple[str, str], tuple[float, float, float]]:
    """Return where the regions lie in the FA template, which is in no MNI space.

    Returns
    -------
    dict
        Centres, mm, RAS+, by side and bundle, as in `science.regions.CENTRES`; carried over by
        registration (data/templates/README.md).

    Examples
    --------
    >>> x, y, z = template_centres()['left', 'proj']
    >>> -26 < x < -22, 20 < z < 25
    (True, True)
    """
    sidecar = template_file(**RESOURCES['fa_template'], extension='.json')
    known = json.loads(sidecar.read_text(encoding='utf-8'))['AlpsCentres']
    names = {'proj': 'projection', 'assoc': 'association'}
    return {(side, bundle): tuple(known[f'{side} {names[bundle]}']) for side, bundle in CENTRES}


def as_measured(values: dict[str, Value], finer: float) -> dict[str, Value]:
    """Count voxels as they were measured where the scanner has stored more lines and columns.

    Parameters
    ----------
    values : dict of str to Value
        Measures; numbers of voxels are as stored.
    finer : float
        Lines stored for each measured. Columns are taken to be as many: voxels are stored square.

    Returns
    -------
    dict of str to Value

    Examples
    --------
    >>> found = as_measured({'qc_alps_voxels_r5_left': Value(40.0)}, 2.0)['qc_alps_voxels_r5_left']
    >>> found.value, found.reason
    (10.0, 'the scanner interpolated: it stored 2 lines for each acquired line')
    """
    if finer < LEAST_FINER:
        return values
    said = f'the scanner interpolated: it stored {finer:.3g} lines for each acquired line'
    return {
        name: replace(item, value=item.value / finer**2, reason=said)
        if name.startswith('qc_alps_voxels') and item.value is not None
        else item
        for name, item in values.items()
    }


def _values(found):
    """Give every declared measure its value."""
    values = {}
    for measure in ROOM.measures:
        name = measure.name.removeprefix('qc_')
        item = found.get(name)
        if item is None:
            values[measure.name] = Value(None, reason='hyperintensities were not segmented')
        else:
            values[measure.name] = Value(item.value, reason=item.reason, qc=item.qc)
    return values
