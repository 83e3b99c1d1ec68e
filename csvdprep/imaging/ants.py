"""Bias correction, registration and resampling with ANTs, the same bytes on every run.

Every call runs on one ITK thread with a fixed seed: with more threads ANTs adds up its metric in
another order from run to run. Images cross the border as nibabel images, transforms as ITK files.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

# ITK reads this once, when its first filter runs.
os.environ['ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS'] = '1'

import ants
import nibabel as nib
import numpy as np
from ants.internal import get_lib_fn, get_pointer_string, process_arguments
from scipy import ndimage

from csvdprep.core.errors import MeasureError
from csvdprep.imaging.transforms import LPS, read_linear, write_composite, write_linear
from csvdprep.science.alignment import (
    best_start,
    block_mean,
    coarse_affine,
    find_place,
    moved_affine,
)
from csvdprep.science.morphology import bounding_box

SEED = '42'
#: Background kept around the brain of the template, so that the surfaces can be seen from outside.
MARGIN_MM = 8.0
#: Resolution from which on a registration is coarse by intent, mm.
COARSE_MM = 3.0
#: A level of N4 ends when the field changes by less (coefficient of variation): ITK's own default.
N4_TOLERANCE = 1e-3


def to_ants(image) -> ants.ANTsImage:
    """Convert a nibabel image to an ANTs image without a temporary file.

    Parameters
    ----------
    image : nibabel image, 3D
        Any orientation. Voxels that are not finite become 0.

    Returns
    -------
    ants.ANTsImage
        float32, with origin, spacing and direction in LPS mm.

    Examples
    --------
    >>> to_ants(nib.Nifti1Image(np.zeros((2, 3, 4), np.float32), np.diag([1, 1, 3, 1]))).spacing
    (1.0, 1.0, 3.0)

    """
    affine = LPS @ image.affine
    spacing = nib.affines.voxel_sizes(image.affine)
    # Headers keep seven digits: take the nearest orthonormal axes, as ITK asks for.
    left, _, right = np.linalg.svd(affine[:3, :3] / spacing)
    return ants.from_numpy(
        np.ascontiguousarray(_finite(image)),
        origin=affine[:3, 3].tolist(),
        spacing=spacing.tolist(),
        direction=left @ right,
    )


def n4(
    image, mask: np.ndarray, *, spline_mm: float = 200.0, levels: int = 3, coarse_mm: float = 4.0
):
    """Correct the slow intensity drift of an image (N4).

    The field is estimated on block means of about ``coarse_mm`` in the box around the brain,
    each axis by itself, so that thick slices are not shrunk away, and interpolated to every voxel.

    Parameters
    ----------
    image : nibabel image, 3D
        Image as acquired.
    mask : ndarray, shape of the image
        Brain mask; the field is estimated there and continued outside.
    spline_mm : float
        Distance of the spline knots of the first level in mm.
    levels : int
        Fitting levels; each halves the distance of the knots.
    coarse_mm : float
        Block size in mm.

    Returns
    -------
    nibabel image
        float32 on the same grid, with the same mean in the mask; negative values become 0.

    Raises
    ------
    csvdprep.core.errors.MeasureError
        If the mask holds too little of a brain.

    Notes
    -----
    Knots of 50 mm at the last level leave least of a known field (docs/registration.md); finer
    ones follow the anatomy, and confluent lesions.

    References
    ----------
    .. [1] Tustison N.J. et al. (2010) N4ITK: improved N3 bias correction.
       doi:10.1109/TMI.2010.2046908

    """
    data = np.maximum(_finite(image), 0)
    voxel_mm = nib.affines.voxel_sizes(image.affine)
    factors = np.maximum(1, np.round(coarse_mm / voxel_mm)).astype(int)
    weight = ((np.asanyarray(mask) > 0) & (data > 0)).astype(np.float32)
    if weight.sum() * np.prod(voxel_mm) < 100 * coarse_mm**3:
        raise MeasureError('The brain mask is too small for a bias correction.')
    box = bounding_box(weight > 0, 1)
    support = block_mean(weight[box], factors)
    small = block_mean((data * weight)[box], factors) / np.maximum(support, 1e-6)
    grid = np.diag([*voxel_mm * factors, 1])
    field = ants.n4_bias_field_correction(
        to_ants(nib.Nifti1Image(small, grid)),
        to_ants(nib.Nifti1Image((support > 0.5).astype(np.float32), grid)),
        shrink_factor=1,
        convergence={'iters': [50] * levels, 'tol': N4_TOLERANCE},
        spline_param=spline_mm,
        return_bias_field=True,
    ).numpy()
    drift = np.log(field)
    first = np.array([side.start for side in box]) + (factors - 1) / 2
    fine = ndimage.affine_transform(
        drift,
        np.diag(1 / factors),
        -first / factors,
        output_shape=data.shape,
        order=1,
        mode='nearest',
        output=np.float32,
    )
    brain = weight > 0
    corrected = data / np.exp(fine - fine[brain].mean(dtype=float))
    corrected *= data[brain].mean(dtype=float) / corrected[brain].mean(dtype=float)
    return _like(corrected.astype(np.float32), image)


def rigid(
    fixed, moving, output, *, fixed_mask=None, moving_mask=None, resolution_mm: float = 2.0
) -> Path:
    """Register two images of one head by rotation and translation (mutual information).

    Parameters
    ----------
    fixed, moving : nibabel image, 3D
        Bias-corrected images of any contrast.
    output : path-like
        ITK transform to write (``.txt``): it resamples ``moving`` onto ``fixed``.
    fixed_mask, moving_mask : ndarray, optional
        Brain masks on the grids of the images; what is outside counts as zero.
    resolution_mm : float
        Resolution of the finest step in mm.

    Returns
    -------
    Path
        The file written.

    """
    matrix = _register(
        _brain_at(fixed, fixed_mask, resolution_mm, MARGIN_MM),
        _brain_at(moving, moving_mask, resolution_mm),
        [_linear('Rigid'), _polish('Rigid')],
    )[0]
    return write_linear(matrix, output)


def realign(
    fixed, moving, start: np.ndarray, *, kind: str = 'Rigid', fine: bool = True
) -> np.ndarray:
    """Align a volume of a series with what it should look like (mutual information).

    Parameters
    ----------
    fixed, moving : nibabel image, 3D
        Of about one contrast.
    start : ndarray, shape (4, 4)
        From where to search: takes world points of ``fixed`` to ``moving``, RAS+ mm.
    kind : {'Rigid', 'Affine'}
        Freedom.
    fine : bool
        Whether to end at full resolution.

    Returns
    -------
    ndarray, shape (4, 4)
        As ``start``.
    """
    stages = [
        {
            'transform': f'{kind}[0.1]',
            'metric': ('MI', '32', 'Regular', '0.3'),
            'convergence': '[60x30,1e-6,6]' if fine else '[60,1e-6,6]',
            'shrink': '2x1' if fine else '2',
            'sigmas': '2x1mm' if fine else '2mm',
        }
    ]
    return _register(fixed, moving, stages, start)[0]


def register_along(fixed, moving, axis: int, mask: np.ndarray) -> np.ndarray:
    """Align two images of one grid by displacements along one of its axes (SyN).

    Parameters
    ----------
    fixed, moving : nibabel image, 3D
        Of any contrast, on one grid.
    axis : int
        Array axis along which ``moving`` is distorted.
    mask : ndarray, shape of the images
        Brain; the rest counts as zero.

    Returns
    -------
    ndarray of float32, shape of the images
        Displacement from each voxel of ``fixed`` to its place in ``moving``, voxels.
    """
    size = nib.affines.voxel_sizes(fixed.affine)
    # On a grid of its own axes the displacements along one of them are one component.
    grid = np.diag([*size, 1.0])
    brain = [
        nib.Nifti1Image(_finite(image) * (np.asanyarray(mask) > 0), grid)
        for image in (fixed, moving)
    ]
    stage = {
        'transform': 'SyN[0.2,3,0]',
        'metric': ('MI', '32'),
        'convergence': '[60x40x20,1e-6,10]',
        'shrink': '4x2x1',
        'sigmas': '3x1.5x0.5mm',
        'only': 'x'.join('1' if a == axis else '0' for a in range(3)),
    }
    _, warp, _ = _register(*brain, [stage], np.eye(4))
    way = np.asanyarray(warp.dataobj, dtype=np.float32).reshape(*fixed.shape[:3], 3)[..., axis]
    return way * np.float32(LPS[axis, axis] / size[axis])


def register_to_template(
    anat,
    mask,
    template,
    template_mask,
    forward,
    inverse,
    *,
    tissues=None,
    exclude=None,
    resolution_mm: float = 2.0,
) -> dict:
    """Register a brain to the template (rigid, affine, SyN) and save both directions.

    Parameters
    ----------
    anat : nibabel image, 3D
        Bias-corrected image of a patient.
    mask : ndarray
        Its brain mask.
    template, template_mask : nibabel image, 3D
        T1w template and its brain mask, on one grid.
    forward, inverse : path-like
        Composite transforms to write (``.h5``): ``forward`` resamples ``anat`` into the
        template, ``inverse`` the template onto ``anat``.
    tissues : list of 3 nibabel image, optional
        CSF, GM and WM probability of the template. If given, SyN sees, instead of the
        T1w template, these maps in the contrast of ``anat``: needed for FLAIR.
    exclude : ndarray, optional
        Lesions on the grid of ``anat`` that must not drive the registration.
    resolution_mm : float
        Resolution of the finest step and of the displacement field in mm.

    Returns
    -------
    dict
        ``affine`` (4x4 as nested lists, template to patient, RAS+ mm) and ``scale`` (its
        determinant, mL of patient per mL of template).

    """
    fixed = _brain_at(template, np.asanyarray(template_mask.dataobj) > 0, resolution_mm, MARGIN_MM)
    moving = _brain_at(anat, mask, 0.75 * resolution_mm)
    keep = None
    if exclude is not None and np.any(exclude):
        keep = _brain_at(
            nib.Nifti1Image((np.asanyarray(exclude) == 0).astype(np.float32), anat.affine),
            None,
            0.75 * resolution_mm,
        )
        keep = nib.Nifti1Image((keep.get_fdata() > 0.5).astype(np.float32), keep.affine)
    matrix = _register(fixed, moving, [_linear('Rigid'), _linear('Affine')])[0]
    if tissues is not None:
        fixed = _in_contrast_of(moving, matrix, tissues, template_mask, resolution_mm)
    matrix, warp, unwarp = _register(fixed, moving, [_syn()], start=matrix, moving_mask=keep)
    # Some readers fail beyond the field instead of taking zero there.
    whole = _brain_at(template_mask, None, resolution_mm)
    write_composite([_padded(warp, whole), matrix], forward)
    write_composite([np.linalg.inv(matrix), _padded(unwarp, whole)], inverse)
    return {'affine': matrix.tolist(), 'scale': float(np.linalg.det(matrix[:3, :3]))}


def register_fa(fa, mask, template, forward, inverse, *, resolution_mm: float = 2.0) -> dict:
    """Register a map of fractional anisotropy to its template (rigid, affine, SyN).

    The map may be that of a slab: what is compared lies within it, and where it belongs is
    searched for.

    Parameters
    ----------
    fa : nibabel image, 3D
        Fractional anisotropy of a patient.
    mask : ndarray
        Brain mask on its grid.
    template : nibabel image, 3D
        FA template.
    forward, inverse : path-like
        Composite transforms to write (``.h5``): ``forward`` resamples ``fa`` into the template,
        ``inverse`` the template onto ``fa``.
    resolution_mm : float
        Resolution of the finest step in mm.

    Returns
    -------
    dict
        ``scale``: volume of the patient per volume of the template; ``agreement``: correlation
        of both within the mask.
    """
    inner = ndimage.binary_erosion(np.asanyarray(mask) > 0)
    # Edges of a brain mask have no anisotropy that means anything.
    fixed = _brain_at(_like(_finite(fa) * inner, fa), None, resolution_mm)
    moving = _brain_at(template, None, resolution_mm)
    start = find_place(
        fixed.get_fdata(dtype=np.float32),
        fixed.affine,
        moving.get_fdata(dtype=np.float32),
        moving.affine,
    )
    # Steps at full resolution cost most; a coarse result does without.
    last = 12 if resolution_mm <= COARSE_MM else 0
    syn = _syn() | {'metric': ('CC', '2'), 'convergence': f'[80x50x{last},1e-6,10]'}
    matrix = _register(fixed, moving, [_linear('Rigid'), _linear('Affine')], start=start)[0]
    matrix, warp, unwarp = _register(fixed, moving, [syn], start=matrix)
    write_composite([warp, matrix], inverse)
    write_composite([np.linalg.inv(matrix), unwarp], forward)
    seen = _finite(apply_transform(template, fa, [str(inverse)]))
    own = _finite(fa)
    agreement = float(np.corrcoef(seen[inner], own[inner])[0, 1])
    return {'scale': 1 / float(np.linalg.det(matrix[:3, :3])), 'agreement': agreement}


def apply_transform(moving, reference, transforms, *, interpolation: str = 'linear', dtype=None):
    """Resample an image onto the grid of another.

    Parameters
    ----------
    moving, reference : nibabel image, 3D
        The image to resample and the one that gives the grid.
    transforms : path-like or list of path-like
        ITK files. Of several, the last takes the point of the reference first, as in ANTs. An
        empty list means that both lie in one world.
    interpolation : {'linear', 'nearest', 'label', 'bspline'}
        ``label`` votes among labels (smoother than nearest).
    dtype : data type, optional
        Of the result; by default float32, for labels that of ``moving``.

    Returns
    -------
    nibabel image
        On the grid of ``reference``; zero outside ``moving``.

    """
    transforms = [transforms] if isinstance(transforms, (str, os.PathLike)) else list(transforms)
    names = {
        'linear': 'linear',
        'nearest': 'nearestNeighbor',
        'label': 'genericLabel',
        'bspline': 'bSpline',
    }
    target = nib.Nifti1Image(np.zeros(reference.shape[:3], np.uint8), reference.affine)
    with tempfile.TemporaryDirectory() as folder:
        files = [os.fspath(name) for name in transforms]
        result = ants.apply_transforms(
            to_ants(target),
            to_ants(moving),
            files or [str(write_linear(np.eye(4), Path(folder) / 'identity.txt'))],
            interpolator=names[interpolation],
            singleprecision=True,
        ).numpy()
    if dtype is None:
        dtype = np.float32 if interpolation in ('linear', 'bspline') else moving.get_data_dtype()
    if np.issubdtype(dtype, np.integer):
        result = np.rint(result)
    return _like(result.astype(dtype), reference)


def _finite(image) -> np.ndarray:
    """Return the voxels as float32, zero where they are not finite."""
    data = np.asanyarray(image.dataobj, dtype=np.float32)
    return np.nan_to_num(data.reshape(data.shape[:3]), nan=0.0, posinf=0.0, neginf=0.0)


def _like(data: np.ndarray, image):
    """Return an image of these voxels with the geometry of another."""
    result = nib.Nifti1Image(data, image.affine)
    for code in ('sform', 'qform'):
        value = int(image.header.get(f'{code}_code', 1) or 1) if hasattr(image, 'header') else 1
        getattr(result, f'set_{code}')(image.affine, value)
    result.header.set_xyzt_units('mm', 'sec')
    return result


def _brain_at(image, mask, resolution_mm: float, margin_mm: float = np.inf):
    """Return the winsorised brain, with some margin, in block means of about the given size."""
    data, affine = _finite(image), image.affine
    voxel_mm = nib.affines.voxel_sizes(affine)
    factors = np.maximum(1, np.floor(resolution_mm / voxel_mm + 0.3)).astype(int)
    if mask is not None:
        inside = np.asanyarray(mask) > 0
        low, high = np.quantile(data[inside], [0.001, 0.999])
        data = np.where(inside, np.clip(data, low, high), 0)
        if np.isfinite(margin_mm):
            box = bounding_box(inside, int(np.ceil(margin_mm / voxel_mm.min())))
            # Whole blocks, so that the crop is part of the coarse grid of the whole image.
            first = [
                side.start - side.start % factor for side, factor in zip(box, factors, strict=True)
            ]
            data = data[tuple(slice(low, side.stop) for low, side in zip(first, box, strict=True))]
            affine = moved_affine(affine, first)
    return nib.Nifti1Image(block_mean(data, factors), coarse_affine(affine, factors))


def _padded(field, whole):
    """Return a displacement field with zeros around, on the whole grid of an image."""
    first = np.rint((np.linalg.inv(whole.affine) @ field.affine)[:3, 3]).astype(int)
    data = np.zeros((*whole.shape, 3), np.float32)
    inner = tuple(slice(low, low + size) for low, size in zip(first, field.shape[:3], strict=True))
    data[inner] = np.asanyarray(field.dataobj).reshape(*field.shape[:3], 3)
    return nib.Nifti1Image(data, whole.affine)


def _in_contrast_of(moving, matrix, tissues, template_mask, resolution_mm: float):
    """Return the template as tissue maps painted with the intensities of the patient."""
    inside = np.asanyarray(template_mask.dataobj) > 0
    maps = [_brain_at(tissue, inside, resolution_mm, MARGIN_MM) for tissue in tissues]
    voxels = np.linalg.inv(moving.affine) @ matrix @ maps[0].affine
    seen = ndimage.affine_transform(
        moving.get_fdata(dtype=np.float32),
        voxels[:3, :3],
        voxels[:3, 3],
        output_shape=maps[0].shape,
        order=1,
    )
    painted = np.zeros(maps[0].shape, np.float32)
    for tissue in maps:
        probability = tissue.get_fdata(dtype=np.float32)
        sure = (probability > 0.8 * probability.max()) & (seen > 0)
        painted += probability * np.float32(np.median(seen[sure]) if sure.any() else 0)
    return nib.Nifti1Image(painted, maps[0].affine)


def _metric(name: str, fixed, moving, *rest) -> str:
    return f'{name}[{get_pointer_string(fixed)},{get_pointer_string(moving)},1,{",".join(rest)}]'


def _linear(kind: str) -> dict:
    return {
        'transform': f'{kind}[0.1]',
        'metric': ('MI', '32', 'Regular', '0.25'),
        'convergence': '[200x100,1e-6,10]',
        'shrink': '3x2',
        'sigmas': '3x2mm',
    }


def _polish(kind: str) -> dict:
    return {
        'transform': f'{kind}[0.05]',
        'metric': ('MI', '32', 'Regular', '0.1'),
        'convergence': '[30,1e-6,10]',
        'shrink': '1',
        'sigmas': '1mm',
    }


def _syn() -> dict:
    # The last level costs most by far; six steps of it gain what 20 of the coarser do not.
    return {
        'transform': 'SyN[0.2,3,0]',
        'metric': ('MI', '32'),
        'convergence': '[60x30x6,1e-6,10]',
        'shrink': '4x2x1',
        'sigmas': '3x1x0mm',
    }


def _register(fixed, moving, stages: list[dict], start=None, moving_mask=None) -> tuple:
    """Run antsRegistration; return the matrix and, after SyN, both displacement fields."""
    if start is None:
        start = best_start(
            fixed.get_fdata(dtype=np.float32),
            fixed.affine,
            moving.get_fdata(dtype=np.float32),
            moving.affine,
        )
    f, m = to_ants(fixed), to_ants(moving)
    with tempfile.TemporaryDirectory() as folder:
        initial = write_linear(start, Path(folder) / 'initial.txt')
        arguments = [
            '--dimensionality',
            '3',
            '--float',
            '1',
            '--random-seed',
            SEED,
            '--write-composite-transform',
            '0',
            '--output',
            f'{folder}/out_',
            '--initial-moving-transform',
            str(initial),
        ]
        for stage in stages:
            arguments += [
                '--transform',
                stage['transform'],
                '--metric',
                _metric(stage['metric'][0], f, m, *stage['metric'][1:]),
                '--convergence',
                stage['convergence'],
                '--shrink-factors',
                stage['shrink'],
                '--smoothing-sigmas',
                stage['sigmas'],
            ]
            if 'only' in stage:
                arguments += ['--restrict-deformation', stage['only']]
        if moving_mask is not None:
            keep = to_ants(moving_mask)
            arguments += ['--masks', f'[NA,{get_pointer_string(keep)}]']
        code = get_lib_fn('antsRegistration')(process_arguments(arguments))
        if code != 0:
            raise MeasureError(f'The registration failed (antsRegistration, code {code}).')
        matrix = read_linear(Path(folder) / 'out_0GenericAffine.mat')
        fields = []
        for name in ('out_1Warp.nii.gz', 'out_1InverseWarp.nii.gz'):
            file = Path(folder) / name
            if file.is_file():
                field = nib.load(file)
                fields.append(nib.Nifti1Image(np.asarray(field.dataobj, np.float32), field.affine))
    return matrix, *fields
