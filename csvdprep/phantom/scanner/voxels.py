"""What the coarse voxels of a scan hold: means over tissues, nuclei and larger small things."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from csvdprep.phantom.geometry.features import Feature, Tube
from csvdprep.phantom.head.tissues import TISSUES, Tissue
from csvdprep.phantom.scanner.scan import Scan
from csvdprep.phantom.scanner.scene import PAINT, Scene

#: Thickness from which small things matter in voxels of 2 mm and more, mm.
THICK_MM = 2.4


def mixture(
    scene: Scene, value: Callable[[Tissue], float], texture: np.ndarray | None = None
) -> np.ndarray:
    """Sum a value over what each voxel of the head holds; air has 0.

    Parameters
    ----------
    scene : Scene
        The head.
    value : callable
        Value of a tissue.
    texture : ndarray, shape of the head's grid, optional
        Field of unit variance by which values vary, as much as each tissue's texture says.

    Returns
    -------
    ndarray of float32, shape of the head's grid
    """
    out = np.zeros(scene.wmh.shape, np.float32)
    for name, share in scene.shares():
        part = share * np.float32(value(TISSUES[name]))
        if texture is not None:
            part *= 1 + np.float32(TISSUES[name].texture) * texture
        out += part
    return out


def per_matter(scene: Scene, scan: Scan) -> np.ndarray:
    """Return what turns a mean over voxels into one over what is not air in them; 0 in air."""
    matter = scan.sample(sum(scene.anatomy.fractions.values()), scene.affine)
    return np.where(matter > 0.02, 1 / np.maximum(matter, 0.02), 0).astype(np.float32)


def cover(
    images: Sequence[np.ndarray],
    values: Sequence[Callable[[str], float]],
    shares: Sequence[tuple[str, np.ndarray]],
) -> np.ndarray:
    """Let small things replace what images hold, in place.

    Parameters
    ----------
    images : sequence of ndarray
        Means over voxels.
    values : sequence of callable
        Value of a tissue, by its name, in each of the images.
    shares : sequence of (str, ndarray)
        As :func:`large` gives them.

    Returns
    -------
    ndarray of float32
        Share of each voxel that none of them fills.
    """
    free = np.ones_like(images[0])
    for name, share in shares:
        free *= 1 - share
        for image, value in zip(images, values, strict=True):
            image += share * (np.float32(value(name)) - image)
    return free


def brain_part(scene: Scene) -> tuple[tuple[slice, ...], np.ndarray]:
    """Return the part of the head's grid that holds the brain, and the affine of that part."""
    box = scene.anatomy.brain_box()
    affine = scene.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [edge.start for edge in box]
    return box, affine


def large(scene: Scene, scan: Scan) -> list[tuple[str, np.ndarray]]:
    """Draw the small things that are large enough to matter in voxels of 2 mm and more.

    Parameters
    ----------
    scene : Scene
        The head.
    scan : Scan
        How it is seen, with pose.

    Returns
    -------
    list of (str, ndarray)
        Tissue and its share of each voxel, in the order in which they cover each other.
        Microbleeds and calcifications are left out, and what is thinner than
        :data:`THICK_MM`: most perivascular spaces, small vessels.
    """
    out = []
    for tissue in PAINT:
        if tissue in ('haemosiderin', 'calcium'):
            continue
        chosen = [f for f in scene.features if f.tissue == tissue and _thick(f)]
        if chosen:
            out.append((tissue, scan.draw(chosen)[0]))
    return out


def _thick(feature: Feature) -> bool:
    radius = feature.radii.mean() if isinstance(feature, Tube) else feature.radii.min()
    return 2 * radius >= THICK_MM
