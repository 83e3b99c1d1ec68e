"""What the segmentation takes, gathered from the files of a run or from derivatives."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from csvdprep.core.errors import MeasureError
from csvdprep.imaging.ants import apply_transform
from csvdprep.imaging.atlas import DEEP_GREY, INFRATENTORIAL, labels_of, labels_on, sides
from csvdprep.imaging.frame import ImageFrame
from csvdprep.imaging.images import load
from csvdprep.imaging.transforms import write_linear
from csvdprep.markers.wmh.science.region import apex
from csvdprep.resources import resource, templates


def averaged_template(names, space: ImageFrame, ways) -> np.ndarray:
    """Resample maps of the template onto the FLAIR, averaged over thick slices.

    Parameters
    ----------
    names : sequence of str
        Shipped maps: 'csf', 'gm', 'wm', 'flair'.
    space : ImageFrame
        Where to.
    ways : list of path-like
        Transforms that resample the template onto the FLAIR.

    Returns
    -------
    ndarray of float32, shape (len(names), I, J, K)
    """
    images = [load(resource(f'template_{name}')) for name in names]
    grids = space.within_slices(finest_mm=1.0)
    return np.stack(
        [
            np.mean(
                [
                    np.asanyarray(apply_transform(image, like, ways).dataobj, dtype=np.float32)
                    for like in grids
                ],
                axis=0,
            )
            for image in images
        ]
    )


def deep_and_low(space: ImageFrame, structures_dseg: str) -> tuple[np.ndarray, np.ndarray]:
    """Return deep grey matter, and brainstem and cerebellum, on the FLAIR.

    Parameters
    ----------
    space : ImageFrame
        Where to.
    structures_dseg : path-like
        Structures, on the anatomical reference.

    Returns
    -------
    deep, low : ndarray of bool, shape (I, J, K)
    """
    structures = labels_on(structures_dseg, space.image, matrix=space.to_anat)
    return tuple(
        np.isin(structures, labels_of('structures', *names))
        for names in (DEEP_GREY, INFRATENTORIAL)
    )


def segmentation_inputs(space: ImageFrame, files: dict[str, str], folder: Path) -> dict:
    """Gather the arguments of `segment_wmh`.

    Parameters
    ----------
    space : ImageFrame
        The FLAIR.
    files : dict of str to path
        ``flair_mask``, and on the reference ``csf_probseg``, ``gm_probseg``, ``wm_probseg``,
        ``ventricles``, ``structures_dseg``, ``lobes_dseg``; ``mni_to_anat``.
    folder : Path
        Where a transform may be written.

    Returns
    -------
    dict
        Without ``has_t1w``, ``exclude`` and ``options``.
    """
    ways = [files['mni_to_anat'], write_linear(space.to_anat, folder / 'flair_points_to_anat.txt')]
    *atlas, healthy = averaged_template(('csf', 'gm', 'wm', 'flair'), space, ways)
    deep, low = deep_and_low(space, files['structures_dseg'])
    side = sides(labels_on(files['lobes_dseg'], space.image, matrix=space.to_anat))
    mask = np.asanyarray(load(files['flair_mask']).dataobj)
    return {
        'flair': np.asanyarray(space.image.dataobj, dtype=np.float32),
        'mask': mask,
        **{name: space.sample(files[f'{name}_probseg']) for name in ('csf', 'gm', 'wm')},
        'voxel_mm': space.voxel_mm,
        'atlas': np.stack(atlas),
        'healthy': healthy,
        'ventricles': labels_on(files['ventricles'], space.image, matrix=space.to_anat),
        'deep_grey': deep,
        'infratentorial': low,
        'side': np.select([side == 1, side == 2], [-1, 1]).astype(np.int8),
        'apex': apex(mask, space.image.affine),
    }


def read_derivatives(stem: str, folder: Path) -> tuple[ImageFrame, dict, list]:
    """Gather the arguments of `segment_wmh` from what a visit left.

    Parameters
    ----------
    stem : str
        Path of a visit's files in ``anat``, up to ``sub-01_ses-1``.
    folder : Path
        Where a transform may be written.

    Returns
    -------
    space : ImageFrame
        The FLAIR.
    takes : dict
        Arguments of `segment_wmh`, without ``exclude`` and ``options``.
    back : list of path-like
        Transforms that resample the FLAIR onto the template.

    Raises
    ------
    csvdprep.core.errors.MeasureError
        If a transform is missing, or there are several.
    """
    has_t1w = Path(f'{stem}_desc-preproc_T1w.nii.gz').exists()
    hub, on_hub = ('T1w', stem) if has_t1w else ('FLAIR', f'{stem}_space-FLAIR')
    to_hub = _transform(stem, 'FLAIR', 'T1w') if has_t1w else templates() / 'identity.txt'
    space = ImageFrame.read(f'{stem}_desc-preproc_FLAIR.nii.gz', to_hub)
    files = {
        'flair_mask': f'{stem}_space-FLAIR_desc-brain_mask.nii.gz',
        **{
            f'{name}_probseg': f'{on_hub}_label-{name.upper()}_probseg.nii.gz'
            for name in ('csf', 'gm', 'wm')
        },
        'ventricles': f'{on_hub}_desc-ventricles_dseg.nii.gz',
        **{
            f'{name}_dseg': f'{on_hub}_atlas-csvdprep_desc-{name}_dseg.nii.gz'
            for name in ('structures', 'lobes')
        },
        'mni_to_anat': _transform(stem, 'MNI*', hub),
    }
    takes = segmentation_inputs(space, files, folder) | {'has_t1w': has_t1w}
    return space, takes, [to_hub, _transform(stem, hub, 'MNI*')]


def visits_of(derivatives: Path, suffix: str = 'FLAIR') -> list[str]:
    """Find the visits of a derivatives folder that have a scan, for `read_derivatives`.

    Parameters
    ----------
    derivatives : Path
        Folder that csvdprep wrote.
    suffix : str
        'FLAIR' or 'T1w'.

    Returns
    -------
    list of str
        Paths of their files in ``anat``, up to ``sub-01_ses-1``, sorted. Scans that were
        resampled into another space (``--output-spaces``) are no visits of their own.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for space in ('', '_space-T1w'):
    ...         Path(folder, f'sub-01{space}_desc-preproc_FLAIR.nii.gz').touch()
    ...     [Path(stem).name for stem in visits_of(Path(folder))]
    ['sub-01']
    """
    end = f'_desc-preproc_{suffix}.nii.gz'
    found = sorted(str(path) for path in derivatives.rglob(f'sub-*{end}'))
    return [path.removesuffix(end) for path in found if '_space-' not in Path(path).name]


def read_t1w(stem: str, space: ImageFrame) -> np.ndarray | None:
    """Sample the T1w of a processed visit where the voxels of its FLAIR are.

    Parameters
    ----------
    stem : str
        Path of a visit's files in ``anat``, up to ``sub-01_ses-1``.
    space : ImageFrame
        The FLAIR.

    Returns
    -------
    ndarray of float32, shape (I, J, K), or None
        None if the visit has none.
    """
    path = f'{stem}_desc-preproc_T1w.nii.gz'
    return space.sample(path) if Path(path).exists() else None


def _transform(stem: str, start: str, end: str) -> str:
    name = f'{Path(stem).name}_from-{start}_to-{end}_mode-image_xfm.*'
    found = [path for path in Path(stem).parent.glob(name) if path.suffix != '.json']
    if len(found) != 1:
        raise MeasureError(
            f'{Path(stem).parent / name}: exactly one transform is needed, but there are '
            f'{len(found)}.'
        )
    return str(found[0])
