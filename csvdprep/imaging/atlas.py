"""Label images of the template, on the grids of a visit."""

from __future__ import annotations

from functools import cache

import nibabel as nib
import numpy as np
from scipy import ndimage as ndi

from csvdprep.bids.tsv import read_tsv
from csvdprep.imaging.ants import apply_transform
from csvdprep.imaging.images import load, resample
from csvdprep.resources import resource, template_file
from csvdprep.science.ventricles import lateral_ventricles

#: Structures whose hyperintensities are not counted as white matter's.
DEEP_GREY = ('thalamus', 'caudate nucleus', 'putamen', 'pallidum')
INFRATENTORIAL = ('cerebellum', 'brainstem', 'fourth ventricle')


@cache
def label_names(atlas: str) -> dict[int, str]:
    """Return the name of each label of a shipped atlas.

    Parameters
    ----------
    atlas : {'structures', 'lobes', 'territories', 'pvsregions'}
        Which one.

    Returns
    -------
    dict of int to str

    Examples
    --------
    >>> label_names('lobes')[1]
    'left frontal lobe'

    """
    path = template_file('dseg', atlas='csvdprep', desc=atlas, extension='.tsv')
    return {int(row['index']): row['name'] for row in read_tsv(path).rows}


def labels_of(atlas: str, *names: str) -> list[int]:
    """Return the labels whose name contains one of some words.

    Examples
    --------
    >>> len(labels_of('structures', 'thalamus', 'brainstem'))
    3

    """
    return [label for label, name in label_names(atlas).items() if any(n in name for n in names)]


def labels_on(path: str, like, *, matrix: np.ndarray | None = None) -> np.ndarray:
    """Sample a label image on the grid of another image.

    Parameters
    ----------
    path : str
        Label image.
    like : nibabel image
        Whose grid is wanted.
    matrix : ndarray, shape (4, 4), optional
        World of ``like`` to world of the labels, RAS+ mm.

    Returns
    -------
    ndarray of uint8
        Nearest label, 0 outside.

    """
    image = load(path)
    labels = nib.Nifti1Image(np.asanyarray(image.dataobj).astype(np.uint8), image.affine)
    return resample(labels, like, matrix=matrix, order=0)


def warped_template(
    name: str, like, mni_to_anat: str, interpolation: str = 'linear'
) -> np.ndarray:
    """Bring a shipped map of the template to a grid.

    Parameters
    ----------
    name : str
        As :func:`csvdprep.resources.resource` knows it.
    like : nibabel image
        Grid, of the anatomical reference.
    mni_to_anat : str
        Transform (ITK) that resamples the template onto the reference.
    interpolation : {'linear', 'nearest', 'label'}
        How.

    Returns
    -------
    ndarray, shape of ``like``
    """
    moved = apply_transform(load(resource(name)), like, mni_to_anat, interpolation=interpolation)
    return np.asanyarray(moved.dataobj)


def find_ventricles(csf, mask, structures, prior, voxel_mm) -> np.ndarray:
    """Find the lateral ventricles with the help of the warped template.

    Parameters
    ----------
    csf : ndarray, shape (nx, ny, nz)
        Share of each voxel that is CSF.
    mask : ndarray of bool
        Brain: fluid at its surface is none of the ventricles'.
    structures : ndarray of int
        Structures of the warped template.
    prior : ndarray
        Its probability of CSF.
    voxel_mm : sequence of 3 float
        Voxel size, mm.

    Returns
    -------
    ndarray of uint8
        1 left, 2 right.

    """
    left, right = labels_of('structures', 'lateral ventricle')
    template = np.where(structures == left, 1, np.where(structures == right, 2, 0))
    others = np.isin(
        structures, labels_of('structures', 'third', 'fourth', 'brainstem', 'cerebellum')
    )
    others |= ((np.asarray(prior) > 0.5) & (template == 0)) | ~ndi.binary_erosion(mask)
    return lateral_ventricles(csf, template, others, voxel_mm)


def sides(lobes: np.ndarray) -> np.ndarray:
    """Tell left (1) from right (2) by the labels of the lobes, 0 where there is none."""
    names = label_names('lobes')
    side = np.zeros(lobes.shape, np.uint8)
    for label, name in names.items():
        side[lobes == label] = 1 if name.startswith('left') else 2
    return side
