"""Files in, files out; the registration is ANTs'."""

from pathlib import Path

import nibabel as nib
import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, isdefined, traits

from csvdprep.bids.maps import B_FIELDS
from csvdprep.bids.metadata import plain_number
from csvdprep.core.errors import MeasureError
from csvdprep.core.grids import same_grid
from csvdprep.imaging.ants import realign, rigid
from csvdprep.imaging.brain import extract_brain
from csvdprep.imaging.header import read_header
from csvdprep.imaging.images import canonical, like, load, load_mask_on, resample, save
from csvdprep.imaging.inspect import load_clean, load_series
from csvdprep.imaging.transforms import read_linear, write_linear
from csvdprep.interfaces.values import Value, write_values
from csvdprep.preprocessing.trace_adc import ROOM
from csvdprep.preprocessing.trace_adc.science import (
    WANTED_B,
    adc_unit,
    check_adc,
    coverage_pct,
    isotropic,
)
from csvdprep.science.morphology import fill_holes, largest_component

#: Movement between volumes that is left as it is, mm.
STILL_MM = 0.5
#: Share of voxels that hold nothing, from which an image is taken for stripped.
STRIPPED = 0.5


class _InputSpec(TraitedSpec):
    trace = traits.Dict(desc='maps of the scanner')
    dwi_preproc = File(exists=True, desc='corrected series')
    dwi_bval = File(exists=True, desc='b-values')
    dwi_mask = File(exists=True, desc='brain of the series')
    dwi_to_anat = File(exists=True, desc='resamples the series onto the reference')
    anat_preproc = File(exists=True, mandatory=True, desc='anatomical reference')
    brain_mask = File(exists=True, mandatory=True, desc='its brain')


class _OutputSpec(TraitedSpec):
    trace_preproc = File(exists=True, desc='trace image')
    adc_preproc = File(exists=True, desc='apparent diffusion coefficient')
    trace_mask = File(exists=True, desc='brain')
    trace_to_anat = File(exists=True, desc='resamples the trace image onto the reference')
    trace_adc_values = File(exists=True, desc='measures')


class TraceAdc(SimpleInterface):
    """Take trace image and ADC from the scanner, or compute them from the series."""

    input_spec = _InputSpec
    output_spec = _OutputSpec

    def _run_interface(self, runtime):
        given, folder = self.inputs, Path(runtime.cwd)
        brain = load(given.brain_mask)
        told = ''
        if isdefined(given.trace):
            source = 'short' if 'series' in given.trace else 'scanner'
            read = _read_series if source == 'short' else _read
            image, adc, own, b, told = read(given.trace)
            matrix = _align(image, adc, own, b, load(given.anat_preproc), brain, folder)
        else:
            source = 'series'
            series = load(given.dwi_preproc)
            bvals = np.atleast_1d(np.loadtxt(given.dwi_bval))
            data, adc, b = isotropic(np.asanyarray(series.dataobj), bvals)
            image = like(data, series)
            own = np.asanyarray(load(given.dwi_mask).dataobj) > 0
            matrix = read_linear(given.dwi_to_anat)
        there = load_mask_on(given.brain_mask, image, matrix=np.linalg.inv(matrix)) > 0
        data = np.asanyarray(image.dataobj)
        mask = own & there & (data > 0)
        if not mask.any():
            raise MeasureError(
                'The trace image and the anatomical reference do not overlap in the '
                'brain: registration failed.',
                remedy='Check both images, or exclude them with --ignore trace.',
            )
        tissue = mask & (adc > 0) & (adc < 1.2e-3)
        check_adc(adc, mask & (adc >= np.quantile(adc[mask], 0.97)), tissue)
        self._results['trace_preproc'] = save(data, image, folder / 'trace.nii.gz')
        self._results['adc_preproc'] = save(adc, image, folder / 'adc.nii.gz')
        self._results['trace_mask'] = save(mask.astype(np.uint8), image, folder / 'mask.nii.gz')
        self._results['trace_to_anat'] = str(write_linear(matrix, folder / 'trace_to_anat.txt'))
        dice = float(2 * (own & there).sum() / (own.sum() + there.sum()))
        self._results['trace_adc_values'] = write_values(
            folder / 'values.json',
            {
                'trace_source': source,
                'trace_b': Value(b, reason=told, qc='warn' if told else ''),
                'adc_median_1e3': Value(1e3 * float(np.median(adc[tissue])), n=int(tissue.sum())),
                'qc_trace_coverage_pct': coverage_pct(
                    there & (data > 0), image.affine, brain.dataobj, brain.affine
                ),
                'qc_trace_anat_dice': Value(dice, n=int(own.sum())),
            },
            ROOM,
        )
        return runtime


def _read(trace):
    """Read the maps of the scanner: image, ADC on its grid (mm²/s), brain or head, b-value."""
    image = load_clean(trace['trace'])
    # Where it lies was judged by this reading of its header, as of the trace image.
    grid = read_header(trace['adc'])
    values = nib.load(trace['adc']).get_fdata(dtype=np.float32).reshape(grid.shape)
    other = canonical(nib.Nifti1Image(np.maximum(np.nan_to_num(values), 0), grid.affine))
    raw = np.asanyarray(other.dataobj) if same_grid(other, image) else resample(other, image)
    data = np.asanyarray(image.dataobj)
    if (data == 0).mean() > STRIPPED:
        own = fill_holes(largest_component(data > 0))
    else:
        own = np.asarray(extract_brain(image)[0]) > 0
    adc = raw * adc_unit(raw[own])
    b, told = _b_value(trace.get('b_fields', {}))
    return image, np.clip(adc, 0, 5e-3).astype(np.float32), own, b, told


def _read_series(trace):
    """Compute the maps of a series of few directions, the head held still."""
    series = load_series(trace['series'])
    bvals = np.array(trace['bvals'], float)
    data = np.asanyarray(series.dataobj).copy()
    first = int(np.flatnonzero(bvals >= bvals.max() - 100)[0])
    fixed = like(data[..., first], series)
    corners = np.array([[x, y, z] for x in (-60, 60) for y in (-80, 80) for z in (-60, 60)])
    middle = nib.affines.apply_affine(series.affine, (np.array(data.shape[:3]) - 1) / 2)
    for volume in range(data.shape[3]):
        if volume == first:
            continue
        moving = like(data[..., volume], series)
        matrix = realign(fixed, moving, np.eye(4))
        moved = nib.affines.apply_affine(matrix, middle + corners) - middle - corners
        if np.linalg.norm(moved, axis=1).max() > STILL_MM:
            data[..., volume] = resample(moving, fixed, matrix=matrix)
    trace_data, adc, b = isotropic(data, bvals)
    image = like(trace_data, series)
    mixed = trace_data * np.exp(0.5 * b * np.minimum(adc, 3e-3))
    own = np.asarray(extract_brain(nib.Nifti1Image(mixed, image.affine))[0]) > 0
    return image, adc, own, b, ''


def _b_value(metadata) -> tuple[float, str]:
    """Read the b-value of a trace image; say so where it is assumed."""
    for field in B_FIELDS:
        value = metadata.get(field)
        values = value if isinstance(value, (list, tuple)) else [value]
        numbers = [plain_number(item) for item in values]
        if good := [n for n in numbers if n is not None and 300 <= n <= 5000]:
            return float(max(good)), ''
    return WANTED_B, 'the sidecar of the trace image has no DiffusionBValue, so 1000 is assumed'


def _align(image, adc, own, b, anat, brain, folder) -> np.ndarray:
    """Register the image without weighting, as trace and ADC give it, to the reference."""
    data = np.asanyarray(image.dataobj, dtype=np.float32)
    plain = nib.Nifti1Image(data * np.exp(b * np.minimum(adc, 3e-3)), image.affine)
    way = rigid(
        plain,
        anat,
        folder / 'anat_to_trace.txt',
        fixed_mask=own,
        moving_mask=np.asanyarray(brain.dataobj) > 0,
    )
    return np.linalg.inv(read_linear(way))
