"""Blood flow of a brain, and when blood arrives in each part of it."""

from __future__ import annotations

from functools import cache

import nibabel as nib
import numpy as np
from scipy import ndimage as ndi

from csvdprep.bids.tsv import read_tsv
from csvdprep.phantom.geometry.fields import pull, resize, smooth_noise
from csvdprep.phantom.head.tissues import TISSUES
from csvdprep.phantom.scanner.scene import Scene
from csvdprep.phantom.scanner.voxels import brain_part
from csvdprep.resources import template_file

#: Relative standard deviation of blood flow within a tissue, and its scale in mm.
VARIATION, VARIATION_MM = 0.15, 9.0
#: By how much flow is lower beside a hyperintensity, relative, and over what distance, mm; the
#: first is the scene's factor ``cbf_penumbra``.
PENUMBRA, PENUMBRA_MM = 0.25, 4.0
#: By how much later blood arrives in each territory, and between two of them, s.
LATER = {'ACA': 0.1, 'MCA': 0.0, 'PCA': 0.25, 'INF': 0.15}
WATERSHED = 0.3


def flow(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Give every voxel of the brain its blood flow and that times the arrival time.

    Factors of the scene: ``cbf`` and ``att`` on all of it, ``cbf_penumbra`` in place of
    :data:`PENUMBRA`, ``cbf_asymmetry`` for left minus right over their mean.

    Parameters
    ----------
    scene : Scene
        The head.

    Returns
    -------
    cbf, product : ndarray of float32, shape of :meth:`Anatomy.brain_box`
        mL/100 g/min; times s.
    """
    box, affine = brain_part(scene)
    person = np.random.default_rng([scene.seed, 37])
    brain = scene.anatomy.intracranial[box]
    spacing = affine[0, 0]
    varied = 1 + np.float32(VARIATION) * smooth_noise(brain.shape, VARIATION_MM / spacing, person)
    varied = np.maximum(varied, np.float32(0.3)) * (brain > 0.05)
    varied *= _around_lesions(scene, box, spacing)
    varied *= _sides(scene, box)
    cbf = scene.property_map('cbf', box) * varied
    product = np.zeros_like(cbf)
    for tissue, share in scene.shares():
        product += share[box] * np.float32(scene.value(tissue, 'att') * _flows(tissue))
    total = sum(share[box] * np.float32(_flows(tissue)) for tissue, share in scene.shares())
    product /= np.maximum(total, 1e-6)
    product += resize(pull(*_later(), scene.anatomy.flow), scene.wmh.shape)[box]
    return cbf, product * cbf


def _flows(tissue: str) -> float:
    return TISSUES[tissue].cbf


def _around_lesions(scene: Scene, box, spacing: float):
    """Return the factor by which flow is lower in white matter close to hyperintensities."""
    lesion = scene.wmh[box] > 0.5
    size = scene.factors.get('cbf_penumbra', PENUMBRA)
    if not size or not lesion.any():
        return np.float32(1)
    near = np.exp(-ndi.distance_transform_edt(~lesion, sampling=spacing) / PENUMBRA_MM)
    near[lesion] = 0
    return 1 - np.float32(size) * near.astype(np.float32) * scene.anatomy.fractions['wm'][box]


def _sides(scene: Scene, box):
    """Return the factor by which flow differs between the sides, smooth over the midline."""
    size = scene.factors.get('cbf_asymmetry', 0.0)
    x = resize(scene.anatomy.flow[0], scene.wmh.shape)[box]
    return 1 - np.float32(size / 2) * np.tanh(x / 6)


def territories(scene: Scene, points: np.ndarray) -> np.ndarray:
    """Say which artery supplies points of the head.

    Parameters
    ----------
    scene : Scene
        The head.
    points : ndarray, shape (n, 3)
        mm of its frame.

    Returns
    -------
    ndarray of str, shape (n,)
        'ACA', 'MCA', 'PCA', 'INF' (infratentorial) or ''.

    Examples
    --------
    >>> from csvdprep.phantom.head.anatomy import make_anatomy
    >>> person = make_anatomy(1, spacing=4)
    >>> scene = Scene(anatomy=person, wmh=0 * person.fractions['wm'])
    >>> places = person.to_head([[-4, 50, 20], [50, -10, 10], [10, -85, 5], [20, -60, -35]])
    >>> territories(scene, places).tolist()
    ['ACA', 'MCA', 'PCA', 'INF']
    """
    labels, affine, names = _atlas()
    index = (scene.anatomy.to_template(points) - affine[:3, 3]) / np.diag(affine)[:3]
    index = np.clip(np.rint(index).astype(int), 0, np.array(labels.shape) - 1)
    lookup = np.array([names.get(label, '') for label in range(max(names) + 1)])
    return lookup[labels[tuple(index.T)]]


@cache
def _atlas() -> tuple[np.ndarray, np.ndarray, dict[int, str]]:
    """Read the template's territories: labels, their grid and the artery of each, sides apart."""
    of = {'atlas': 'csvdprep', 'desc': 'territories'}
    rows = read_tsv(template_file('dseg', extension='.tsv', **of)).rows
    image = nib.load(template_file('dseg', **of))
    names = {int(row['index']): row['abbreviation'].split('_')[0] for row in rows}
    return np.asanyarray(image.dataobj), image.affine, names


@cache
def _later() -> tuple[np.ndarray, np.ndarray]:
    """Return by how much later blood arrives, s, in the template every 3 mm, and that grid."""
    labels, affine, names = _atlas()
    few = labels[::3, ::3, ::3]
    shares = {
        name: ndi.gaussian_filter(
            np.isin(few, [i for i, n in names.items() if n == name]).astype(np.float32), 8 / 3
        )
        for name in LATER
    }
    total = sum(shares.values()) + 1e-3
    late = sum(np.float32(LATER[name]) * share for name, share in shares.items()) / total
    # Half way between two territories the sum of squares is a half.
    between = 1 - sum((share / total) ** 2 for share in shares.values())
    late += np.float32(WATERSHED) * np.clip(2 * between, 0, 1) * np.clip(5 * total, 0, 1)
    return late, affine @ np.diag([3.0, 3.0, 3.0, 1.0])
