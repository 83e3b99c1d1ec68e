"""A real head in the form in which the phantom keeps its own, built from derived files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage as ndi

from csvdprep.core.errors import InputError
from csvdprep.imaging.points import map_points
from csvdprep.imaging.transforms import read_linear
from csvdprep.phantom.geometry.features import Ellipsoid, Feature
from csvdprep.phantom.head.anatomy import Anatomy
from csvdprep.phantom.into.grid import RealScan
from csvdprep.phantom.into.visits import SUFFIXES, Given

#: Spacing of the head's grid, mm, and of the grid on which its places in the template are kept.
SPACING_MM, FLOW_MM = 1.0, 4.0
#: Room around the brain, mm.
MARGIN_MM = 6.0
#: Structures, by label of the atlas, that are no site of white matter hyperintensities: deep grey
#: matter, hippocampus, cerebellum, brainstem, ventricles, septum and fornix.
NO_SITE = tuple(range(1, 19))
#: Sites keep so far from deep grey matter and the septum, mm.
APART_MM = 1.0
#: Images on whose grids masks may lie, and those of one frame among them.
IMAGES = frozenset(name for names in SUFFIXES.values() for name in names)
DIFFUSION = SUFFIXES['dwi']
ECHOES = ('T2starw', 'MEGRE', *SUFFIXES['swi'])
#: Share of fluid in a place from which on nothing solid lies there.
FLUID = 0.35


@dataclass(frozen=True, eq=False)
class Head:
    """A real head.

    Attributes
    ----------
    anatomy : Anatomy
        Tissues, ventricles and structures on a grid of 1 mm in the frame of the anatomical
        reference, and the place of each voxel in the template.
    own : ndarray of float32, shape of that grid
        Share of each voxel that the scan's own lesions fill.
    """

    anatomy: Anatomy
    own: np.ndarray

    def fits(self, feature: Feature) -> bool:
        """Tell whether a shape lies in solid tissue of the brain, and on no lesion of its own.

        Parameters
        ----------
        feature : Feature
            In mm of the head's frame.
        """
        if isinstance(feature, Ellipsoid):
            ways = np.concatenate([np.zeros((1, 3)), np.eye(3), -np.eye(3)])
            reach = feature.radii + 1.0
            points = feature.centre + (ways * reach) @ feature.axes.T
        else:
            points = feature.points[:: max(1, len(feature.points) // 16)]
        fractions = self.anatomy.fractions
        solid = self._at(fractions['gm'] + fractions['wm'], points)
        fluid = self._at(fractions['csf'], points)
        own = self._at(self.own, points)
        return bool(solid.min() > 1 - FLUID and fluid.max() < FLUID and own.max() < 0.3)

    def _at(self, volume: np.ndarray, points: np.ndarray) -> np.ndarray:
        index = points - self.anatomy.affine[:3, 3]
        index = np.rint(index / np.diag(self.anatomy.affine)[:3]).astype(int)
        index = np.clip(index, 0, np.array(volume.shape) - 1)
        return volume[tuple(index.T)]


def read_head(given: Given, scans: dict[str, RealScan]) -> Head:
    """Build the head of a visit.

    Parameters
    ----------
    given : Given
        Files.
    scans : dict of str to RealScan
        Scans of the visit by suffix, for masks of lesions that lie on their grids.

    Returns
    -------
    Head

    Raises
    ------
    InputError
        If the mask of the brain or of the ventricles is empty, or a mask of lesions lies on no
        grid of a scan of the visit.
    """
    brain = nib.load(given.brain)
    inside = np.asanyarray(brain.dataobj) > 0
    if not inside.any():
        raise InputError('The mask of the brain is empty.', file=given.brain)
    shape, affine = _grid(inside, brain.affine)
    mask = _onto(given.brain, shape, affine)
    parts = {
        name: np.clip(_onto(path, shape, affine), 0, 1) for name, path in given.tissues.items()
    }
    # Shares of the tissues add up to that of the brain's mask; its rim is fluid.
    total = np.maximum(sum(parts.values()), 1e-6)
    parts = {name: part / total * np.minimum(mask, total) for name, part in parts.items()}
    parts['csf'] = parts['csf'] + np.clip(mask - total, 0, 1)
    ventricles = _onto(given.ventricles, shape, affine, above=0)
    if not (ventricles > 0.5).any():
        raise InputError(
            'There are no lateral ventricles in this file.',
            file=given.ventricles,
            remedy='Look at its figure: lesions at the ventricles need them.',
        )
    structures = _onto(given.structures, shape, affine, labels=True)
    own = _own(given.lesions, scans, shape, affine)
    parts, ventricles = _healed(parts, ventricles, own)
    regions = {'ventricles': ventricles, 'lesion_site': _site(parts['wm'], structures, mask)}
    anatomy = Anatomy(
        fractions={name: part.astype(np.float32) for name, part in parts.items()},
        regions=regions,
        affine=affine,
        structures=structures,
        flow=_flow(given.to_template, shape, affine),
    )
    return Head(anatomy, own)


def with_own(head: Head, more: np.ndarray) -> Head:
    """Return the head with more lesions of its own; their voxels are white matter again.

    Parameters
    ----------
    head : Head
        The head.
    more : ndarray, shape of its grid
        Share of each voxel that is such a lesion.
    """
    anatomy = head.anatomy
    own = np.maximum(head.own, more)
    parts, _ = _healed(anatomy.fractions, anatomy.regions['ventricles'], own)
    parts = {name: part.astype(np.float32) for name, part in parts.items()}
    site = _site(parts['wm'], anatomy.structures, anatomy.intracranial)
    regions = {**anatomy.regions, 'lesion_site': site}
    return Head(replace(anatomy, fractions=parts, regions=regions), own)


def pose_of(given: Given, name: str) -> np.ndarray | None:
    """Return the matrix from the reference to a scan, RAS+ mm; None where there is none."""
    if name == given.hub:
        return np.eye(4)
    path: Path | None = given.moves.get(name)
    return None if path is None else read_linear(path)


def _grid(inside: np.ndarray, affine: np.ndarray) -> tuple[tuple[int, ...], np.ndarray]:
    """Return a grid along the axes of the world that holds the brain."""
    index = np.argwhere(inside)
    corners = np.array(np.meshgrid(*zip(index.min(0), index.max(0), strict=True))).reshape(3, -1)
    at = affine[:3, :3] @ corners + affine[:3, 3:]
    low, high = at.min(axis=1) - MARGIN_MM, at.max(axis=1) + MARGIN_MM
    out = np.diag([SPACING_MM] * 3 + [1.0])
    out[:3, 3] = np.floor(low)
    return tuple(int(n) for n in np.ceil((high - out[:3, 3]) / SPACING_MM) + 1), out


def _onto(path, shape, affine, *, labels=False, above=None) -> np.ndarray:
    """Resample an image of the reference onto the head's grid."""
    image = nib.load(path)
    data = np.asanyarray(image.dataobj)
    if above is not None:
        data = (data > above).astype(np.float32)
    return resampled(data, image.affine, np.eye(4), shape, affine, nearest=labels)


def resampled(data, affine_from, pose, shape, affine, *, nearest=False) -> np.ndarray:
    """Resample an image whose frame lies at a pose of the head's onto a grid of the head."""
    matrix = np.linalg.inv(affine_from) @ pose @ affine
    kind = np.uint8 if nearest else np.float32
    return ndi.affine_transform(
        np.asarray(data, kind),
        matrix[:3, :3],
        matrix[:3, 3],
        output_shape=shape,
        order=0 if nearest else 1,
        output=kind,
    )


def _own(
    lesions: Iterable[tuple[str, Path]], scans: dict[str, RealScan], shape, affine
) -> np.ndarray:
    """Gather the scan's own lesions on the head's grid."""
    out = np.zeros(shape, np.float32)
    for space, path in lesions:
        space = same_frame(space, scans)
        if space not in IMAGES:  # another copy, in the space of a template
            continue
        if space not in scans:
            raise InputError(
                f'This mask lies in the frame of {space}, of which the visit has no scan.',
                file=path,
                field='--lesions',
            )
        image = nib.load(path)
        data = np.asanyarray(image.dataobj) > 0
        if data.any():
            part = resampled(data, image.affine, scans[space].pose, shape, affine)
            out = np.maximum(out, part)
    return out


def same_frame(space: str, scans: Mapping[str, object]) -> str:
    """Return the scan in whose frame a mask lies: scans of diffusion share one, and so do echoes.

    Examples
    --------
    >>> same_frame('T2starw', {'FLAIR': 0, 'swi': 0}), same_frame('dwi', {'trace': 0})
    ('swi', 'trace')
    >>> same_frame('FLAIR', {})
    'FLAIR'
    """
    if space in scans:
        return space
    group = next((names for names in (DIFFUSION, ECHOES) if space in names), ())
    return next((name for name in group if name in scans), space)


def _healed(parts, ventricles, own):
    """Give the voxels of lesions back to white matter: on a T1w they look like grey matter.

    Cavities are not fluid any more, either; ventricles stay what they are.
    """
    share = np.clip(2 * own, 0, 1) * (1 - ventricles)
    inside = sum(parts.values())
    healed = {name: part * (1 - share) for name, part in parts.items()}
    healed['wm'] = healed['wm'] + share * inside
    return healed, ventricles


def _site(white: np.ndarray, structures: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the share of white matter in which hyperintensities occur."""
    other = ndi.binary_dilation(
        np.isin(structures, NO_SITE[2:]), iterations=round(APART_MM / SPACING_MM)
    )
    site = white * ~other * (mask > 0.5)
    # Specks of white matter within grey are no site.
    core, _ = ndi.label(site > 0.5)
    sizes = np.bincount(core.ravel())
    sizes[0] = 0
    keep = ndi.binary_dilation(np.isin(core, np.flatnonzero(sizes > 500)), iterations=1)
    return (site * keep).astype(np.float32)


def _flow(to_template: Path, shape, affine: np.ndarray) -> np.ndarray:
    """Return the place in the template of a coarse grid with the corners of the head's."""
    counts = [int(np.ceil((n - 1) * SPACING_MM / FLOW_MM)) + 1 for n in shape]
    axes = [np.linspace(0, n - 1, m) for n, m in zip(shape, counts, strict=True)]
    index = np.stack(np.meshgrid(*axes, indexing='ij'), axis=-1).reshape(-1, 3)
    points = index @ affine[:3, :3].T + affine[:3, 3]
    return map_points(points, str(to_template)).T.reshape(3, *counts).astype(np.float32)
