"""How the field distorts a series, from whatever there is to tell it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from typing import Any

import nibabel as nib
import numpy as np
from scipy import ndimage as ndi
from skimage.restoration import unwrap_phase

from csvdprep.interfaces.ants import realign, register_along, rigid
from csvdprep.interfaces.images import resample
from csvdprep.interfaces.inspect import load_series
from csvdprep.interfaces.transforms import read_linear
from csvdprep.preprocessing.diffusion.assembly import Assembled, mean_b0, relative_factor
from csvdprep.preprocessing.diffusion.science_alignment import Target
from csvdprep.preprocessing.diffusion.science_field import shift_between
from csvdprep.preprocessing.diffusion.science_sampling import Geometry

#: Gyromagnetic ratio of protons, Hz/T.
GAMMA = 42.577e6
#: Rounds in which the field and the place of the heads are found in turn.
ROUNDS = 2
#: Phase (of values as scanners store them) that stands for half a turn.
HALF_TURN = 4096
#: Smoothing of a measured field, mm (FWHM).
SMOOTH_MM = 4.0


def find_shift(
    given: Assembled, content: Mapping[str, Any], brain: np.ndarray, *,
    anat=None, anat_brain=None,
) -> tuple[np.ndarray | None, str]:  # fmt: skip
    """Estimate the distortion of the first volume of a series.

    Parameters
    ----------
    given : Assembled
        The series.
    content : mapping
        What tells of the field, as :func:`csvdprep.bids.diffusion.as_scan` writes it.
    brain : ndarray of bool, shape (nx, ny, nz)
        Brain in the series, roughly.
    anat, anat_brain : nibabel image, optional
        Anatomical reference and its brain mask, for want of an image of the field.

    Returns
    -------
    shift : ndarray of float32, shape (nx, ny, nz), or None
        Voxels along the axis of encoding, see :class:`~.science_sampling.Geometry`.
    method : {'pepolar', 'fieldmap', 'syn', 'none', 'given'}
        What it was estimated from; 'given' if the series is corrected already.
    """
    if content.get('corrected'):
        return None, 'given'
    source = content['field']
    if given.axis is None:
        return None, 'none'
    if source['kind'] == 'pepolar':
        found = _from_polarities(given, content, brain)
        return (None, 'none') if found is None else (found, 'pepolar')
    if source['kind'] in ('phasediff', 'phases', 'fieldmap'):
        return _from_field_map(given, content, brain), 'fieldmap'
    if anat is not None:
        return _from_anatomy(given, brain, anat, anat_brain), 'syn'
    return None, 'none'


def _from_polarities(given: Assembled, content, brain: np.ndarray) -> np.ndarray | None:
    first = content['runs'][0]
    own = given.factors > 0
    plus = mean_b0(given, own)
    others = []
    if (~own & (given.shell_of == 0)).any():
        others.append((mean_b0(given, ~own), float(given.factors[~own][0])))
    for partner in content['field'].get('partners', ()):
        others.append((_on_grid(partner, given.image), relative_factor(partner, first)))
    if not others:
        return None
    minus, factor = others[0]
    affine = given.image.affine
    geometry = Geometry(affine, given.axis)
    moved = minus
    shift = None
    for _ in range(ROUNDS):
        # One head in one place is assumed: found anew when both are undistorted.
        shift = shift_between(plus, moved, given.axis, factors=(1.0, factor))
        straight = Geometry(affine, given.axis, shift)
        still = np.eye(4)
        flat = [straight.pull(image, still, f, order=1)
                for image, f in ((plus, 1.0), (minus, factor))]  # fmt: skip
        motion = Target(flat[0], brain, affine).find(flat[1], still)
        moved = geometry.pull(minus, motion, order=1)
    return shift_between(plus, moved, given.axis, factors=(1.0, factor))


def _on_grid(partner: Mapping[str, Any], like) -> np.ndarray:
    """Average the volumes without gradient of a partner, on the grid of the series."""
    image = load_series(partner['path'])
    data = np.asanyarray(image.dataobj)
    if partner.get('bvals'):
        data = data[..., np.array(partner['bvals']) == 0]
    mean = nib.Nifti1Image(data.mean(axis=3), image.affine)
    return resample(mean, nib.Nifti1Image(np.zeros(like.shape[:3], np.uint8), like.affine))


def _from_field_map(given: Assembled, content, brain: np.ndarray) -> np.ndarray:
    source, first = content['field'], content['runs'][0]
    magnitude = _volume(source['magnitude'])
    mean = np.asanyarray(magnitude.dataobj)
    head = ndi.binary_fill_holes(mean > 0.15 * np.quantile(mean, 0.98))
    head = ndi.binary_opening(head, iterations=1)
    hertz = _smooth_within(_hertz(source, head), head, nib.affines.voxel_sizes(magnitude.affine))
    series = nib.Nifti1Image(mean_b0(given), given.image.affine)
    matrix = realign(series, magnitude, np.eye(4))
    field = resample(nib.Nifti1Image(hertz, magnitude.affine), series, matrix=matrix)
    sign = -1.0 if first['encoding'].endswith('-') else 1.0
    return (sign * first['readout'] * field).astype(np.float32)


def _volume(path: str):
    image = load_series(path)
    return nib.Nifti1Image(np.asanyarray(image.dataobj)[..., 0], image.affine)


def _raw(path: str) -> np.ndarray:
    """Read values that may be negative."""
    return np.nan_to_num(np.squeeze(nib.load(path).get_fdata(dtype=np.float32)))


def _hertz(source, head: np.ndarray) -> np.ndarray:
    """Return the field in Hz."""
    if source['kind'] == 'fieldmap':
        scale = {'Hz': 1.0, 'rad/s': 1 / (2 * np.pi), 'T': GAMMA}[source['units']]
        return _raw(source['map']) * np.float32(scale)
    phases = [_radians(_raw(path)) for path in source['phase']]
    turned = phases[0] if len(phases) == 1 else phases[1] - phases[0]
    wrapped = np.angle(np.exp(1j * turned))
    smooth = np.ma.masked_array(wrapped, mask=~head)
    phase = unwrap_phase(smooth, rng=0).filled(0)
    # Whole turns are free: the middle of the head is near resonance.
    phase -= 2 * np.pi * np.round(np.median(phase[head]) / (2 * np.pi))
    apart = source['echo_times'][1] - source['echo_times'][0]
    return (phase / (2 * np.pi * apart)).astype(np.float32)


def _radians(phase: np.ndarray) -> np.ndarray:
    """Bring phase to radians: as stored by scanners it runs over 4096 or 8192 values."""
    span = float(phase.max() - phase.min())
    if span <= 2 * np.pi + 0.1:
        return phase
    if span <= HALF_TURN + 1:
        return phase * (2 * np.pi / HALF_TURN)
    return phase * (np.pi / HALF_TURN)


def _smooth_within(field: np.ndarray, head: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Smooth a field within the head and continue it beyond."""
    median = ndi.median_filter(field, 3)
    sigma = SMOOTH_MM / 2.355 / size
    weight = ndi.gaussian_filter(head.astype(np.float32), sigma)
    inner = ndi.gaussian_filter(median * head, sigma) / np.maximum(weight, 1e-3)
    nearest = ndi.distance_transform_edt(~head, sampling=size, return_distances=False,
                                         return_indices=True)  # fmt: skip
    outer = inner[tuple(nearest)]
    return np.where(head, inner, ndi.gaussian_filter(outer, 2 * sigma)).astype(np.float32)


def _from_anatomy(given: Assembled, brain: np.ndarray, anat, anat_brain) -> np.ndarray:
    """Align the series with the anatomy by displacements along the axis of encoding."""
    affine = given.image.affine
    series = nib.Nifti1Image(mean_b0(given), affine)
    with tempfile.TemporaryDirectory() as folder:
        path = rigid(anat, series, f'{folder}/rigid.txt',
                     fixed_mask=np.asanyarray(anat_brain.dataobj), moving_mask=brain)  # fmt: skip
        to_series = read_linear(path)
    back = np.linalg.inv(to_series)
    fixed = resample(anat, series, matrix=back)
    inside = resample(anat_brain, series, matrix=back) > 0.5
    both = ndi.binary_dilation(inside | brain, iterations=2)
    target = nib.Nifti1Image(fixed * inside, affine)
    return register_along(target, series, given.axis, both)
