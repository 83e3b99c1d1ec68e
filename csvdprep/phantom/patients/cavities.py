"""Lacunes and perivascular spaces of known size and place, drawn into the images of any head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import ndimage as ndi
from scipy.spatial.transform import Rotation

from csvdprep.imaging.points import map_points
from csvdprep.phantom.disease import small
from csvdprep.phantom.geometry.features import Ellipsoid, Feature, draw
from csvdprep.phantom.head.placement import sites

#: Box of the template in which positions are known, mm, and the spacing.
LOW, HIGH, STEP = np.array([-80.0, -112.0, -72.0]), np.array([80.0, 80.0, 86.0]), 4.0


class TemplateHead:
    """A head that is known by its registration to the template.

    Parameters
    ----------
    anat_to_mni : str
        Transform (ITK) that resamples the reference onto the template.
    """

    def __init__(self, anat_to_mni: str):
        axes = [np.arange(a, b + STEP, STEP) for a, b in zip(LOW, HIGH, strict=True)]
        grid = np.stack(np.meshgrid(*axes, indexing='ij'), axis=-1)
        found = map_points(grid.reshape(-1, 3), anat_to_mni)
        self._field = found.reshape(grid.shape)

    def to_head(self, points: np.ndarray) -> np.ndarray:
        """Take positions (n, 3) of the template to the world of the reference, mm."""
        at = (np.asarray(points, float) - LOW).T / STEP
        return np.stack(
            [
                ndi.map_coordinates(self._field[..., k], at, order=1, mode='nearest')
                for k in range(3)
            ],
            axis=1,
        )


@dataclass(frozen=True, eq=False)
class Cavities:
    """What is drawn into a head; shapes in mm of the reference.

    Attributes
    ----------
    lacunes, spaces : tuple of Feature
        Lacunes, and perivascular spaces.
    rims : tuple of Feature
        Gliosis around some of the lacunes.
    holes : tuple of Feature
        Lesions that are dark on the T1w and bright on the FLAIR: no lacunes.
    infarcts : tuple of Feature
        Cavities that are larger than lacunes.
    """

    lacunes: tuple[Feature, ...]
    spaces: tuple[Feature, ...] = ()
    rims: tuple[Feature, ...] = ()
    holes: tuple[Feature, ...] = ()
    infarcts: tuple[Feature, ...] = ()


def place_cavities(
    head: TemplateHead,
    seed: int,
    *,
    lacunes: int = 8,
    basal: int = 20,
    centrum: int = 30,
    holes: int = 4,
    infarcts: int = 0,
) -> Cavities:
    """Choose shapes and places, none on another.

    Parameters
    ----------
    head : TemplateHead
        Anything that takes positions of the template to a head by ``to_head``.
    seed : int
        Decides where and how.
    lacunes, basal, centrum, holes, infarcts : int
        How many lacunes, perivascular spaces of basal ganglia and centrum semiovale, holes and
        larger cavities.

    Returns
    -------
    Cavities
    """
    rng = np.random.default_rng([seed, 77])
    found = small.lacunes(head, seed, lacunes)
    others: list[Feature] = list(found)
    large: list[Feature] = []
    for kind, count, least, most in (('infarct', infarcts, 17, 30), ('hole', holes, 3, 12)):
        for _ in range(count):
            places = sites().within('centrum semiovale', from_fluid=3)
            for _ in range(50):
                middle = places[rng.integers(len(places))] + rng.uniform(-1, 1, 3)
                radii = rng.uniform(least, most) / 2 * np.array([1, *rng.uniform(0.5, 1, 2)])
                shape = Ellipsoid(
                    kind=kind,
                    tissue='csf',
                    centre=head.to_head(middle[None])[0],
                    radii=radii,
                    axes=Rotation.random(random_state=rng).as_matrix(),
                    facts={'mni': middle[None]},
                )
                if not any(small._touch(shape, other) for other in others):
                    others.append(shape)
                    large.append(shape)
                    break
    spaces = small.perivascular_spaces(head, seed, basal, centrum, others)
    return Cavities(
        tuple(f for f in found if f.kind == 'lacune'),
        tuple(spaces),
        tuple(f for f in found if f.kind == 'rim'),
        tuple(f for f in large if f.kind == 'hole'),
        tuple(f for f in large if f.kind == 'infarct'),
    )


def paint_cavities(
    cavities: Cavities,
    data: np.ndarray,
    affine: np.ndarray,
    world: np.ndarray,
    levels: Mapping[str, float],
    rng: np.random.Generator,
    *,
    blur: float = 0.4,
) -> np.ndarray:
    """Draw cavities into one image.

    Parameters
    ----------
    cavities : Cavities
        Shapes.
    data : ndarray, shape (I, J, K)
        The image.
    affine : ndarray, shape (4, 4)
        Its voxels to its world, mm.
    world : ndarray, shape (4, 4)
        World of the reference to world of the image.
    levels : mapping of str to float
        Brightness of ``fluid``, and of ``rim`` and ``hole``.
    rng : numpy random Generator
        Decides how pure the fluid is.
    blur : float
        SD of the scanner's blur, voxels.

    Returns
    -------
    ndarray of float32

    Examples
    --------
    >>> ball = Ellipsoid(kind='lacune', tissue='csf', centre=np.full(3, 9.0),
    ...                  radii=np.full(3, 4.0))
    >>> image = paint_cavities(Cavities((ball,)), np.full((20, 20, 20), 100.0), np.eye(4),
    ...                        np.eye(4), {'fluid': 20.0}, np.random.default_rng(1))
    >>> bool(image[9, 9, 9] < 35), float(image[0, 0, 0])
    (True, 100.0)
    """
    out = np.asarray(data, np.float32).copy()
    for name, shapes, pure in (
        ('rim', cavities.rims, (0.8, 1.0)),
        ('hole', cavities.holes, (0.6, 1.0)),
        ('fluid', cavities.infarcts, (0.9, 1.0)),
        ('fluid', cavities.lacunes, (0.85, 1.0)),
        ('fluid', cavities.spaces, (0.85, 1.0)),
    ):
        if not shapes or name not in levels:
            continue
        share, _ = draw([shape.moved(world) for shape in shapes], data.shape, affine)
        if blur:
            share = ndi.gaussian_filter(share, blur)
        share *= np.float32(rng.uniform(*pure))
        out += share * (np.float32(levels[name]) - out)
    return out


def true_labels(
    shapes: Sequence[Feature], like: Any, least: float = 0.2
) -> tuple[np.ndarray, np.ndarray]:
    """Tell which voxels of the reference hold which shape.

    Parameters
    ----------
    shapes : sequence of Feature
        Shapes, mm of the reference.
    like : nibabel image
        The reference.
    least : float
        Share of a voxel from which it belongs to one.

    Returns
    -------
    owner : ndarray of int32
        1 + index of the shape, 0 for none.
    share : ndarray of float32
        Share of each voxel.
    """
    share, owner = draw(list(shapes), like.shape[:3], like.affine)
    return np.where(share >= least, owner, 0), share


def shrunk(shapes: Sequence[Feature], factor: float) -> tuple[Feature, ...]:
    """Return tubes with their widths scaled."""
    return tuple(replace(f, radii=f.radii * factor) for f in shapes)
