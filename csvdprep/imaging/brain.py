"""Brain extraction from any structural contrast, with two small networks run by onnxruntime.

The networks (deepbet 1.0.2, MIT licence; Fisch et al. 2024, doi:10.1016/j.compbiomed.2024.108845)
were trained on T1w images, but look at shape rather than contrast: on clinical FLAIR they agree
with the T1w of the same visit. The first finds the head in the field of view, the second
draws the brain in the box that the first found. Here they see the head along anatomical axes in
millimetres, whatever the storage order, obliquity or slice thickness.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

from csvdprep.core.errors import MeasureError
from csvdprep.resources import models, template_file
from csvdprep.science.alignment import likeness_to_template
from csvdprep.science.morphology import (
    bounding_box,
    close_mm,
    fill_holes,
    largest_component,
    open_mm,
)

#: Edge of the cube that each network takes, in voxels.
LOCATE_EDGE, SEGMENT_EDGE = 128, 256
#: Room left around the located brain, as a share of its size, on each side.
MARGIN = 0.1
#: Beyond this angle (degrees) between voxel and anatomical axes both frames are tried.
STRAIGHTEN_ABOVE = 15.0
#: No mask is made outside this volume (mL); the narrower range is the one that is not remarked on.
POSSIBLE_ML, USUAL_ML = (250.0, 2500.0), (1000.0, 2000.0)
#: Least extent of the field of view along any axis: voxels, mm.
LEAST_VOXELS, LEAST_MM = 5, 40.0
#: Share of the content of an image that must be brain for it to count as already stripped.
STRIPPED_ABOVE = 0.9
#: Mutual information (nats) with the template below which no brain is believed, and below which
#: it is remarked on. Brains of any contrast had 0.065 and more, noise and uniform bodies 0.031 at
#: most. Better to let a strange body pass than to refuse a strange brain.
LEAST_LIKENESS, USUAL_LIKENESS = 0.04, 0.06
#: Share of undecided voxels (0.1 < p < 0.9) per mask voxel above which it is remarked on.
UNDECIDED_LIMIT = 0.25
#: Area of the brain at the border of the image, in units of that of a mean axial plane, from which
#: it is cut off: at the vertex (radius 70 mm) about 14 mL, 1 % of a brain, are missing by then.
#: Of nine clinical scans whose masks are right, the last slice holds up to 0.30.
CUT_SHARE = 0.35


@dataclass(frozen=True)
class _Box:
    """A rectangular box of world space, sampled on a regular grid.

    Parameters
    ----------
    axes : ndarray, shape (3, 3)
        Columns are the unit vectors of the box in RAS+.
    low, size : ndarray, shape (3,)
        Lowest corner and edge lengths, in mm along these axes.
    """

    axes: np.ndarray
    low: np.ndarray
    size: np.ndarray

    def affine(self, edge: int) -> np.ndarray:
        """Return the voxel-to-world matrix of a grid of ``edge`` samples a side."""
        step = self.size / edge
        matrix = np.eye(4)
        matrix[:3, :3] = self.axes * step
        matrix[:3, 3] = self.axes @ (self.low + step / 2)
        return matrix


def model_folder() -> Path:
    """Return the folder of the two networks.

    Returns
    -------
    Path
        Folder that holds ``locate.onnx`` and ``segment.onnx``.

    Raises
    ------
    csvdprep.core.errors.PreflightError
        If there is no folder of models.

    Examples
    --------
    >>> sorted(file.name for file in model_folder().glob('*.onnx'))
    ['locate.onnx', 'segment.onnx']

    """
    return models() / 'deepbet'


def extract_brain(
    image: nib.spatialimages.SpatialImage, *, threshold: float = 0.5, networks: Path | None = None
) -> tuple[np.ndarray, dict]:
    """Find the brain in a T1w, FLAIR or similar image.

    Parameters
    ----------
    image : nibabel image, 3D
        Whole head (defaced or not) or brain already stripped; any storage order, oblique or
        thick slices. Voxels that are not finite count as background.
    threshold : float
        Probability above which a voxel is brain.
    networks : Path, optional
        Folder with the two networks; by default the one that comes with the package.

    Returns
    -------
    mask : ndarray of uint8, shape of the image
        1 in the brain (meninges and skull excluded, cerebrospinal fluid in and around the
        brain included).
    info : dict
        ``volume_ml``; ``stripped`` (the image held nothing but brain); ``undecided`` (share of
        voxels with 0.1 < p < 0.9 per mask voxel, lower is better); ``likeness`` (mutual
        information with the coarsely aligned template, nats, higher is better); ``flags``, a list
        of plain words among ``volume_low``, ``volume_high``, ``cut_by_field_of_view``,
        ``undecided``, ``unlike_a_brain``.

    Raises
    ------
    csvdprep.core.errors.MeasureError
        If the image is not three-dimensional, is constant, is a thin slab, or holds no brain.

    Notes
    -----
    Deterministic: one thread, no random numbers. About 6 s of one core and 1 GB.

    References
    ----------
    .. [1] Fisch L. et al. (2024) deepbet: Fast brain extraction of T1-weighted MRI using
       Convolutional Neural Networks. doi:10.1016/j.compbiomed.2024.108845

    Examples
    --------
    >>> extract_brain(nib.Nifti1Image(np.zeros((40, 40, 40), np.float32), np.eye(4)))
    Traceback (most recent call last):
    ...
    csvdprep.core.errors.MeasureError: The image holds one value only: no brain can be found. ...

    """
    data, affine = _checked(image)
    backward = nib.orientations.ornt_transform(
        nib.io_orientation(np.eye(4)), nib.io_orientation(image.affine)
    )
    probability = _predict(data, affine, networks or model_folder())
    voxel_mm = nib.affines.voxel_sizes(affine)
    voxel_ml = float(np.prod(voxel_mm)) / 1000
    mask = fill_holes(largest_component(probability > threshold))
    undecided = _doubt(probability)
    content = _content(data, voxel_mm)
    # Around a brain of 1,300 mL, skull and scalp add at least 800 mL: in a whole head the brain
    # fills well under 70 % of what is not background, in a stripped one nearly all of it.
    stripped = content is not None and bool(
        np.count_nonzero(content & mask) > STRIPPED_ABOVE * np.count_nonzero(content)
    )
    if stripped:
        mask = content
    for axis in range(3):
        # Planes that hold one value lie outside the scan (resampled or padded images).
        planes = np.moveaxis(data, axis, 0).reshape(data.shape[axis], -1)
        np.moveaxis(mask, axis, 0)[np.ptp(planes, axis=1) == 0] = False
    volume = float(mask.sum() * voxel_ml)
    if not POSSIBLE_ML[0] <= volume <= POSSIBLE_ML[1]:
        raise MeasureError(
            f'No brain was found: the best candidate has {volume:.0f} mL.',
            remedy='Look at the image; give a brain mask of your own if it is a brain.',
        )
    template, inside = (nib.load(template_file(kind, resolution=2)) for kind in ('T1w', 'mask'))
    likeness = likeness_to_template(
        data,
        mask,
        affine,
        np.asanyarray(template.dataobj),
        np.asanyarray(inside.dataobj) > 0,
        template.affine,
    )
    if likeness < LEAST_LIKENESS:
        raise MeasureError(
            'No brain was found: what the image shows has not the inner structure of one.',
            remedy='Look at the image and at its orientation; give a brain mask of your own if it '
            'is a brain.',
        )
    info = {
        'volume_ml': volume,
        'stripped': stripped,
        'undecided': undecided,
        'likeness': likeness,
        'flags': _flags(mask, volume, undecided, likeness),
    }
    return nib.apply_orientation(mask.astype(np.uint8), backward), info


def _checked(image) -> tuple[np.ndarray, np.ndarray]:
    """Return finite float32 data in RAS order and their affine, or say what is wrong."""
    if len(image.shape) != 3 and not (len(image.shape) == 4 and image.shape[3] == 1):
        raise MeasureError(f'A 3D image is needed, this one has the shape {image.shape}.')
    extent = nib.affines.voxel_sizes(image.affine) * image.shape[:3]
    if min(image.shape[:3]) < LEAST_VOXELS or extent.min() < LEAST_MM:
        raise MeasureError(
            f'The image is a slab of {" x ".join(map(str, image.shape[:3]))} voxels '
            f'({" x ".join(f"{mm:.0f}" for mm in extent)} mm): too thin to find a brain in.',
            remedy=f'At least {LEAST_VOXELS} slices and {LEAST_MM:.0f} mm are needed.',
        )
    data = np.asanyarray(image.dataobj, dtype=np.float32).reshape(image.shape[:3])
    data = nib.apply_orientation(data, nib.io_orientation(image.affine))
    affine = image.affine @ nib.orientations.inv_ornt_aff(
        nib.io_orientation(image.affine), image.shape[:3]
    )
    finite = np.isfinite(data)
    if not finite.all():
        data = np.where(finite, data, data[finite].min() if finite.any() else 0)
    if data.min() == data.max():
        raise MeasureError(
            'The image holds one value only: no brain can be found.',
            remedy='Convert the image again from its source.',
        )
    return np.ascontiguousarray(data), affine


def _predict(data: np.ndarray, affine: np.ndarray, networks: Path) -> np.ndarray:
    """Return the probability of brain on the grid of the image (RAS order)."""
    axes = affine[:3, :3] / nib.affines.voxel_sizes(affine)
    left, _, right = np.linalg.svd(axes)
    tilt = np.degrees(np.arccos(np.clip(np.diag(axes), -1, 1))).max()
    frames = [left @ right, np.eye(3)][: 2 if tilt > STRAIGHTEN_ABOVE else 1]
    found = [_predict_in(frame, data, affine, networks) for frame in frames]
    # Whether an oblique volume or the scanner is in line with the head, nobody has written down:
    # the one in which the network is surer has it.
    return min(found, key=_doubt)


def _doubt(probability: np.ndarray) -> float:
    undecided = np.count_nonzero((probability > 0.1) & (probability < 0.9))
    return float(undecided / max(1, np.count_nonzero(probability > 0.5)))


def _predict_in(axes: np.ndarray, data, affine, networks: Path) -> np.ndarray:
    whole = _field_of_view(data.shape, affine, axes)
    small = _sample(data, affine, whole, LOCATE_EDGE)
    low, high = np.quantile(small, [0.005, 0.995])
    if not high > low:
        low, high = float(small.min()), float(small.max())
    found = largest_component(_run(networks / 'locate.onnx', small, low, high) > 0.5)
    if not found.any():
        raise MeasureError(
            'No brain was found in the image.',
            remedy='Look at the image; give a brain mask of your own if it is a brain.',
        )
    head = _around(found, whole)
    inside = _run(networks / 'segment.onnx', _sample(data, affine, head, SEGMENT_EDGE), low, high)
    return _resample(inside, head.affine(SEGMENT_EDGE), data.shape, affine)


def _field_of_view(shape, affine, axes) -> _Box:
    """Return the box along ``axes`` that holds every voxel of the image."""
    corners = np.array(np.meshgrid(*[(-0.5, size - 0.5) for size in shape])).reshape(3, -1).T
    along = nib.affines.apply_affine(affine, corners) @ axes
    return _Box(axes, along.min(axis=0), np.ptp(along, axis=0))


def _around(found: np.ndarray, box: _Box) -> _Box:
    """Return the part of a box that holds the brain found in it, with a margin."""
    step = box.size / found.shape
    low, high = np.empty(3), np.empty(3)
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        # Planes that barely touch the mask are stray voxels, unless there are no others.
        share = found.mean(axis=others)
        planes = np.flatnonzero(share > min(0.02, 0.5 * share.max()))
        room = MARGIN * (planes[-1] + 1 - planes[0])
        low[axis] = max(0, planes[0] - room) * step[axis]
        high[axis] = min(found.shape[axis], planes[-1] + 1 + room) * step[axis]
    return _Box(box.axes, box.low + low, high - low)


def _sample(data, affine, box: _Box, edge: int) -> np.ndarray:
    # Nearest neighbours, as the networks were trained: between thick slices linear interpolation
    # makes anatomy that no scan shows, and costs two points of Dice.
    return _resample(data, affine, (edge,) * 3, box.affine(edge), fill=float(data.min()), order=0)


def _resample(data, affine, shape, target, *, fill: float = 0.0, order: int = 1) -> np.ndarray:
    """Interpolate; the outermost half voxel repeats the border."""
    matrix = np.linalg.inv(affine) @ target
    linear, offset = matrix[:3, :3], matrix[:3, 3]
    if np.abs(linear - np.diag(np.diag(linear))).max() * max(shape) < 1e-3:
        coordinates = [
            np.clip(offset[i] + linear[i, i] * np.arange(shape[i]), 0, data.shape[i] - 1)
            if _covers(offset[i], linear[i, i], shape[i], data.shape[i])
            else None
            for i in range(3)
        ]
        if all(line is not None for line in coordinates):
            return _separable(data, coordinates, order)
    return ndimage.affine_transform(
        data,
        linear,
        offset,
        output_shape=shape,
        order=order,
        mode='constant',
        cval=fill,
        output=np.float32,
    )


def _covers(offset: float, step: float, count: int, size: int) -> bool:
    return min(offset, offset + step * (count - 1)) >= -0.51 and (
        max(offset, offset + step * (count - 1)) <= size - 0.49
    )


def _separable(data: np.ndarray, coordinates: list[np.ndarray], order: int) -> np.ndarray:
    """Interpolate along one axis after the other."""
    for axis, line in enumerate(coordinates):
        if order == 0:
            data = data.take(np.floor(line + 0.5).astype(int), axis)
            continue
        lower = np.minimum(np.floor(line).astype(int), max(0, data.shape[axis] - 2))
        weight = (line - lower).astype(np.float32)
        weight = weight.reshape([-1 if other == axis else 1 for other in range(3)])
        upper = np.minimum(lower + 1, data.shape[axis] - 1)
        data = data.take(lower, axis) * (1 - weight) + data.take(upper, axis) * weight
    return data.astype(np.float32)


def _run(model: Path, image: np.ndarray, low: float, high: float) -> np.ndarray:
    """Scale intensities as the network expects them and return its brain probability."""
    # On Linux it sends what it calls telemetry, unless told before it is imported not to.
    os.environ.setdefault('ORT_DISABLE_TELEMETRY', '1')
    import onnxruntime

    scaled = np.clip((image - low) / (high - low), 0, 1)
    scaled = (0.226 * (scaled - scaled.mean()) / scaled.std(ddof=1) + 0.449).astype(np.float32)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(model), options, providers=['CPUExecutionProvider'])
    return session.run(None, {'image': scaled[None, None]})[0][0, 0]


def _content(data: np.ndarray, voxel_mm: np.ndarray) -> np.ndarray | None:
    """Return what differs from an exactly constant background, if that is of the size of a brain.

    None if there is no such background, or if what it surrounds is too large or too small.
    """
    values, counts = np.unique(data[::2, ::2, ::2], return_counts=True)
    background = values[counts.argmax()]
    if np.count_nonzero(data == background) < 0.2 * data.size:
        return None
    # Interpolation leaves a haze around stripped brains, far below the tissue.
    bright = np.quantile(data[::2, ::2, ::2], 0.99) - background
    content = np.abs(data - background) > 0.01 * abs(bright)
    voxel_ml = float(np.prod(voxel_mm)) / 1000
    if not POSSIBLE_ML[0] <= np.count_nonzero(content) * voxel_ml <= POSSIBLE_ML[1]:
        return None
    box = bounding_box(content, 2)
    radius = max(2.0, 1.01 * float(min(voxel_mm)))
    kept = largest_component(open_mm(content[box], voxel_mm, radius))
    if not kept.any():
        return None
    whole = np.zeros(data.shape, bool)
    whole[box] = fill_holes(close_mm(kept, voxel_mm, radius))
    return whole


def _flags(mask: np.ndarray, volume: float, undecided: float, likeness: float) -> list[str]:
    flags = []
    if volume < USUAL_ML[0]:
        flags.append('volume_low')
    if volume > USUAL_ML[1]:
        flags.append('volume_high')
    # The lowest plane cuts the brainstem in many scans; elsewhere brain at the border is missing.
    area = mask.sum() / max(1, max(mask.any(axis=(0, 1)).sum(), 1))
    faces = [mask[0], mask[-1], mask[:, 0], mask[:, -1], mask[:, :, -1]]
    if any(face.sum() > CUT_SHARE * area for face in faces) or mask[:, :, 0].sum() > 0.5 * area:
        flags.append('cut_by_field_of_view')
    if undecided > UNDECIDED_LIMIT:
        flags.append('undecided')
    if likeness < USUAL_LIKENESS:
        flags.append('unlike_a_brain')
    return flags
