"""How the field distorts a series, from whatever there is to tell it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.affines import voxel_sizes
from scipy import ndimage as ndi
from skimage.restoration import unwrap_phase

from csvdprep.core.errors import CsvdprepError, MeasureError
from csvdprep.imaging.ants import realign, register_along, rigid
from csvdprep.imaging.dwi_series import DwiSeries, relative_factor
from csvdprep.imaging.header import read_header
from csvdprep.imaging.images import canonical, resample
from csvdprep.imaging.inspect import load_series
from csvdprep.imaging.transforms import read_linear
from csvdprep.preprocessing.dwi_distortion.science.field import shift_between
from csvdprep.science.alignment import mutual_information
from csvdprep.science.echo_planar import Geometry
from csvdprep.science.gain import compare_gain
from csvdprep.science.volume_alignment import Target

#: Gyromagnetic ratio of protons, Hz/T.
GAMMA = 42.577e6
#: Rounds in which the field and the place of the heads are found in turn.
ROUNDS = 2
#: Phase (of values as scanners store them) that stands for half a turn.
HALF_TURN = 4096
#: Farthest (mm) that a field shifts nearly all of the brain, and what of it that is.
FAR_MM, FAR_SHARE = 25.0, 0.99
#: Voxels by which no field shifts most of the brain.
FAR_VOXELS = 5.0
#: What two polarities differ by, over their brightness, is seen without noise (standard deviation
#: of the blur, voxels). Their field has to take this much of it away, and this part of it: images
#: of one polarity, moved and noisy, gave at most 0.006 and a third; of two, 0.037 and 0.7 or more.
BLUR, LEAST_GAIN, LEAST_PART = 1.5, 0.015, 0.5
#: Brightness, over that of the brightest volume, from which one counts as without gradient.
BARE_LEVEL = 0.75
#: How a source of the field is called.
SOURCES = {
    'pepolar': 'The field from images of opposite polarity',
    'fieldmap': 'The field map',
    'syn': 'The field from registration to the anatomy',
}
#: Smoothing of a measured field, mm (FWHM).
SMOOTH_MM = 4.0


@dataclass(frozen=True, eq=False)
class Field:
    """What is known of the distortion of the first volume of a series.

    Parameters
    ----------
    shift : ndarray of float32, shape (nx, ny, nz), or None
        Voxels along the axis of encoding, see :class:`~csvdprep.science.echo_planar.Geometry`.
    method : {'pepolar', 'fieldmap', 'syn', 'none', 'given'}
        What it was estimated from; 'given' if the series is corrected already.
    reasons : tuple of str
        What failed on the way, and what has to be minded.
    """

    shift: np.ndarray | None
    method: str
    reasons: tuple[str, ...] = ()


def find_field(
    given: DwiSeries, content: Mapping[str, Any], brain: np.ndarray, *, anat=None, anat_brain=None
) -> Field:
    """Estimate the distortion of the first volume of a series.

    A field that cannot be, or that the images contradict, is told and not used; the next best
    source takes its place.

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
    Field
    """
    if content.get('corrected'):
        return Field(None, 'given')
    source = content['field']
    if given.volumes.axis is None:
        return Field(None, 'none')
    ways = []
    if source['kind'] == 'pepolar':
        ways.append(('pepolar', lambda: _from_polarities(given, content, brain)))
    elif source['kind'] != 'none':
        ways.append(('fieldmap', lambda: _from_field_map(given, content, brain)))
    if anat is not None:
        ways.append(('syn', lambda: (_from_anatomy(given, brain, anat, anat_brain), ())))
    reasons: tuple[str, ...] = ()
    for method, estimate in ways:
        try:
            shift, said = estimate()
            check_plausible(shift, brain, voxel_sizes(given.image.affine)[given.volumes.axis])
        except MemoryError:
            raise
        except Exception as error:  # whatever fails, the next source may do
            said = (
                error.message
                if isinstance(error, CsvdprepError)
                else (f'{type(error).__name__}: {error}')
            )
            reasons += (f'{SOURCES[method]} is not used: {said}',)
            continue
        return Field(shift, method, reasons + said)
    return Field(None, 'none', reasons)


def check_plausible(shift: np.ndarray, brain: np.ndarray, voxel_mm: float) -> None:
    """Raise MeasureError if a field shifts the brain farther than any magnet does.

    Parameters
    ----------
    shift : ndarray, shape (nx, ny, nz)
        Voxels along the axis of encoding.
    brain : ndarray of bool, shape (nx, ny, nz)
        Where it is looked at.
    voxel_mm : float
        Edge of a voxel along that axis.

    Examples
    --------
    >>> check_plausible(np.full((9, 9, 9), 6.0), np.ones((9, 9, 9), bool), 2.0)
    Traceback (most recent call last):
    csvdprep.core.errors.MeasureError: it shifts most of the brain by 5 voxels or more (median 6.0)
    """
    inside = np.abs(shift[np.asarray(brain) > 0])
    if not inside.size or not np.isfinite(inside).all():
        raise MeasureError('it is not finite in the brain')
    far = float(np.quantile(inside, FAR_SHARE)) * voxel_mm
    if far > FAR_MM:
        raise MeasureError(
            f'it shifts parts of the brain by {far:.0f} mm, more than is plausible ({FAR_MM:g} mm)'
        )
    if (middle := float(np.median(inside))) > FAR_VOXELS:
        raise MeasureError(
            f'it shifts most of the brain by {FAR_VOXELS:g} voxels or more (median {middle:.1f})'
        )


def _from_polarities(given: DwiSeries, content, brain: np.ndarray):
    first = content['runs'][0]
    own = given.volumes.factors > 0
    plus = given.mean_b0(own)
    size = voxel_sizes(given.image.affine)
    minus = factor = None
    for partner in content['field'].get('partners', ()):
        minus, factor = _on_grid(partner, given, brain), relative_factor(partner, first)
        gain = compare_gain(plus, minus, brain, size)
        if not gain.explained:
            raise MeasureError(
                'the images of opposite polarity differ from the series by '
                f'{gain.misfit_pct:.0f} %, whatever the gain'
            )
        minus = minus / np.float32(gain.ratio)
    if minus is None and (~own & (given.volumes.shell_of == 0)).any():
        minus, factor = given.mean_b0(~own), float(given.volumes.factors[~own][0])
    if minus is None:
        raise MeasureError('no image of opposite polarity is left')
    affine = given.image.affine
    geometry = Geometry(affine, given.volumes.axis)
    still = np.eye(4)
    motion = Target(plus, brain, affine).find(minus, still)
    before = _difference(plus, geometry.pull(minus, motion, order=1), brain)
    moved = minus
    for _ in range(ROUNDS):
        # One head in one place is assumed: found anew when both are undistorted.
        shift = shift_between(plus, moved, given.volumes.axis, factors=(1.0, factor))
        straight = Geometry(affine, given.volumes.axis, shift)
        flat = [
            straight.pull(image, still, f, order=1) for image, f in ((plus, 1.0), (minus, factor))
        ]
        motion = Target(flat[0], brain, affine).find(flat[1], still)
        moved = geometry.pull(minus, motion, order=1)
    shift = shift_between(plus, moved, given.volumes.axis, factors=(1.0, factor))
    straight = Geometry(affine, given.volumes.axis, shift)
    after = _difference(
        straight.pull(plus, still, 1.0, order=1),
        straight.pull(moved, still, factor, order=1),
        brain,
    )
    return shift, _confirmed(before, after, content['field'].get('assumed'))


def _difference(one: np.ndarray, two: np.ndarray, brain: np.ndarray) -> float:
    """Return by how much two images differ in the brain, noise aside, over their brightness."""
    inside = ndi.binary_erosion(brain)
    one, two = (
        ndi.gaussian_filter(image.astype(np.float64), BLUR)[inside] for image in (one, two)
    )
    return float(np.abs(one - two).sum() / max((one + two).sum() / 2, 1e-9))


def _confirmed(before: float, after: float, assumed: str | None) -> tuple[str, ...]:
    """Check that two images are of opposite polarity: their field makes them agree."""
    if before - after >= LEAST_GAIN and before - after >= LEAST_PART * before:
        return ()
    told = (
        f'the two images differ by {100 * before:.1f} % without the field and by '
        f'{100 * after:.1f} % with it, as if they were of one polarity'
    )
    if assumed:
        raise MeasureError(f'{told}; their polarity was taken from {assumed}')
    return (told,)


def _on_grid(partner: Mapping[str, Any], given: DwiSeries, brain: np.ndarray) -> np.ndarray:
    """Average the volumes without gradient of a partner, on the grid of the series."""
    image = load_series(partner['path'], volumes=partner.get('volumes'))
    data = np.asanyarray(image.dataobj)
    if partner.get('volumes') is None and data.shape[3] > 1:
        # Without a table only their brightness tells which have no gradient.
        here = resample(_plain(brain, given.image), _first(image)) > 0.5
        levels = np.array([np.median(data[..., v][here]) for v in range(data.shape[3])])
        data = data[..., levels >= BARE_LEVEL * levels.max()]
    mean = nib.Nifti1Image(data.mean(axis=3), image.affine)
    return resample(mean, given.image)


def _from_field_map(given: DwiSeries, content, brain: np.ndarray):
    source, first = content['field'], content['runs'][0]
    magnitude = _volume(source['magnitude'])
    mean = np.asanyarray(magnitude.dataobj)
    head = ndi.binary_fill_holes(mean > 0.15 * np.quantile(mean, 0.98))
    head = ndi.binary_opening(head, iterations=1)
    hertz = _smooth_within(_hertz(source, head), head, voxel_sizes(magnitude.affine))
    series = nib.Nifti1Image(given.mean_b0(), given.image.affine)
    matrix = realign(series, magnitude, np.eye(4))
    field = resample(nib.Nifti1Image(hertz, magnitude.affine), series, matrix=matrix)
    sign = -1.0 if first['encoding'].endswith('-') else 1.0
    shift = (sign * first['readout'] * field).astype(np.float32)
    like_magnitude = resample(magnitude, series, matrix=matrix)
    return shift, _right_way(given, shift, like_magnitude, brain, source.get('assumed'))


def _right_way(
    given: DwiSeries,
    shift: np.ndarray,
    magnitude: np.ndarray,
    brain: np.ndarray,
    assumed: str | None,
) -> tuple[str, ...]:
    """Check the polarity of a series: its field makes it more like an image without distortion."""
    near = ndi.binary_dilation(brain, iterations=3)
    plain = given.mean_b0()
    seen = [
        Geometry(given.image.affine, given.volumes.axis, shift).pull(
            plain, np.eye(4), factor, order=1
        )
        for factor in (1.0, -1.0)
    ]
    right, wrong = (mutual_information(image[near], magnitude[near]) for image in seen)
    if right >= wrong:
        return ()
    told = (
        'the series resembles the magnitude image of the field map more if its field is taken '
        'the other way round, as if the polarity of phase encoding were wrong'
    )
    if assumed:
        raise MeasureError(f'{told}; it was taken from {assumed}')
    return (told,)


def _volume(path: str):
    return _first(load_series(path))


def _first(image):
    return nib.Nifti1Image(np.asanyarray(image.dataobj)[..., 0], image.affine)


def _plain(mask: np.ndarray, image):
    return nib.Nifti1Image(mask.astype(np.float32), image.affine)


def _raw(path: str) -> np.ndarray:
    """Read values that may be negative, in canonical order."""
    grid = read_header(path, series=True)
    data = nib.load(path).get_fdata(dtype=np.float32)
    image = canonical(nib.Nifti1Image(data[(..., *(0,) * (data.ndim - 3))], grid.affine))
    return np.nan_to_num(np.asanyarray(image.dataobj))


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
    nearest = ndi.distance_transform_edt(
        ~head, sampling=size, return_distances=False, return_indices=True
    )
    outer = inner[tuple(nearest)]
    return np.where(head, inner, ndi.gaussian_filter(outer, 2 * sigma)).astype(np.float32)


def _from_anatomy(given: DwiSeries, brain: np.ndarray, anat, anat_brain) -> np.ndarray:
    """Align the series with the anatomy by displacements along the axis of encoding."""
    affine = given.image.affine
    series = nib.Nifti1Image(given.mean_b0(), affine)
    with tempfile.TemporaryDirectory() as folder:
        path = rigid(
            anat,
            series,
            f'{folder}/rigid.txt',
            fixed_mask=np.asanyarray(anat_brain.dataobj),
            moving_mask=brain,
        )
        to_series = read_linear(path)
    back = np.linalg.inv(to_series)
    fixed = resample(anat, series, matrix=back)
    inside = resample(anat_brain, series, matrix=back) > 0.5
    both = ndi.binary_dilation(inside | brain, iterations=2)
    target = nib.Nifti1Image(fixed * inside, affine)
    return register_along(target, series, given.volumes.axis, both)
