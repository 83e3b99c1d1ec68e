"""Draw the structures of the csvdprep atlas on the ICBM152 2009a symmetric template.

No package ships an atlas whose licence surely allows redistribution, so the structures are drawn
from the template itself: hand-placed seeds say where a structure is, the template's own contrast
(watershed on the intensity gradient, tissue probabilities) says where it ends, and a few planes
from anatomy textbooks close the borders that have no contrast.

The template is exactly left-right symmetric: everything is drawn on the right half (x >= 0 mm) and
mirrored. Coordinates are millimetres, RAS+.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import ndimage as ndi
from skimage.segmentation import watershed

CONNECT26 = np.ones((3, 3, 3), bool)

# Labels of the right half; the side is added when the half is mirrored.
STRUCTURES = {
    'lateral ventricle': 'LV',
    'thalamus': 'THA',
    'caudate nucleus': 'CAU',
    'putamen': 'PUT',
    'pallidum': 'PAL',
    'hippocampus': 'HIP',
    'cerebellum': 'CER',
    'brainstem': 'BST',
    'third ventricle': '3V',
    'fourth ventricle': '4V',
    'septum pellucidum and fornix': 'SEP',
}
MIDLINE = ('brainstem', 'third ventricle', 'fourth ventricle', 'septum pellucidum and fornix')


@dataclass(frozen=True)
class Half:
    """The right half of the template, x = 0 mm at index 0.

    Parameters
    ----------
    t1, gm, wm : ndarray of float, shape (nx, ny, nz)
        Intensity (0-255) and tissue probabilities (0-1).
    mask : ndarray of bool, shape (nx, ny, nz)
        Brain mask.
    gradient : ndarray of float, shape (nx, ny, nz)
        Gradient magnitude of `t1`, computed on the whole head so that x = 0 is no border.
    origin : tuple of float
        Millimetres of the first voxel; voxels are 1 mm.
    """

    t1: np.ndarray
    gm: np.ndarray
    wm: np.ndarray
    mask: np.ndarray
    gradient: np.ndarray
    origin: tuple[float, float, float]

    @cached_property
    def csf(self) -> np.ndarray:
        """CSF probability: what is neither grey nor white inside the mask."""
        return np.where(self.mask, 1 - self.gm - self.wm, 0.0)

    @cached_property
    def xyz(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Open grids of millimetre coordinates."""
        grids = np.ogrid[tuple(slice(0, n) for n in self.t1.shape)]
        return tuple(grid + start for grid, start in zip(grids, self.origin, strict=True))

    def box(self, x=(0, 99), y=(-140, 110), z=(-80, 120)) -> np.ndarray:
        """Return the voxels between two planes on each axis, borders included."""
        gx, gy, gz = self.xyz
        inside = (gx >= x[0]) & (gx <= x[1]) & (gy >= y[0]) & (gy <= y[1])
        return inside & (gz >= z[0]) & (gz <= z[1])

    def tube(self, radius: float, *points: tuple[float, float, float]) -> np.ndarray:
        """Return the voxels within `radius` mm of the line through `points`."""
        inside = np.zeros(self.t1.shape, bool)
        ends = np.asarray(points, float) - self.origin
        for a, b in zip(ends, ends[1:] if len(ends) > 1 else ends, strict=False):
            low = np.maximum(np.floor(np.minimum(a, b) - radius), 0).astype(int)
            high = np.ceil(np.maximum(a, b) + radius).astype(int) + 1
            window = tuple(slice(i, j) for i, j in zip(low, high, strict=True))
            step = b - a
            offsets = [g - start for g, start in zip(np.ogrid[window], a, strict=True)]
            along = sum(o * d for o, d in zip(offsets, step, strict=True)) / max(step @ step, 1)
            along = along.clip(0, 1)
            far = sum((o - along * d) ** 2 for o, d in zip(offsets, step, strict=True))
            inside[window] |= (far <= radius**2)[tuple(slice(n) for n in inside[window].shape)]
        return inside


def touching(mask: np.ndarray, seed: np.ndarray) -> np.ndarray:
    """Return the 26-connected components of `mask` that contain a voxel of `seed`."""
    labels, _ = ndi.label(mask, CONNECT26)
    kept = np.unique(labels[seed & mask])
    return np.isin(labels, kept[kept > 0])


def ball(radius: float) -> np.ndarray:
    """Return a ball as structuring element, for morphology in 1 mm voxels."""
    n = int(radius)
    grid = np.ogrid[-n : n + 1, -n : n + 1, -n : n + 1]
    return sum(g.astype(float) ** 2 for g in grid) <= radius**2


def ventricles(h: Half) -> dict[str, np.ndarray]:
    """Return lateral, third and fourth ventricle and the septum guard between the lateral ones.

    The CSF of the velum interpositum, the third ventricle and the cisterns touches the lateral
    ventricle in the probability map; oblique planes under its body and beside its atrium keep
    them apart. The thin horns are partial volume: within tubes along their known course a lower
    threshold is used, for voxels darker than what surrounds them.
    """
    x, y, z = h.xyz
    dark = np.zeros_like(h.t1)
    horns = (slice(10, 55), slice(40, 145), slice(30, 100))  # the window of both thin horns
    dark[horns] = ndi.grey_closing(h.t1[horns], footprint=ball(4)) - h.t1[horns]
    body = (h.csf > 0.5) & h.box(x=(1, 42), y=(-62, 40), z=(-8, 36))
    velum = (x + z < 27 - 1.6 * (y + 8).clip(0, 9)) & (y <= 1) & (y > -33)
    cistern = (y <= -33) & (x < 9 + 0.5 * (-33 - y).clip(0, 12))
    third_side = (y <= 1) & (z < 5) & (x < 12)
    body &= ~velum & ~cistern & ~third_side & ~((y < -28) & (z < -6))
    body = touching(body, h.tube(2, (10, 8, 12), (12, -10, 24), (24, -40, 14)))
    temporal = h.tube(5, (37, -36, -4), (39, -30, -10), (39, -24, -13), (38, -18, -17))
    temporal |= h.tube(5, (38, -18, -17), (36, -14, -20), (34, -10, -24), (32, -7, -27))
    temporal &= (dark > 45) & (h.csf > 0.1)
    occipital = h.tube(5, (30, -50, 6), (31, -60, 5), (28, -68, 7), (24, -76, 8))
    occipital &= (dark > 45) & (h.csf > 0.15)
    lateral = touching(body | temporal | occipital, body)
    lateral = ndi.binary_closing(lateral, ball(1), iterations=1) | lateral
    lateral = ndi.binary_fill_holes(lateral) & (x > 0)

    third = (h.csf > 0.35) & h.box(x=(0, 5), y=(-29, 3), z=(-15, 13))
    third &= (z > -9 - 0.35 * (y + 8)) | (y > -8)
    third &= (z <= 9 + 0.3 * (y + 15).clip(-14, 0)) & (z > -13)
    third = touching(third, h.box(x=(0, 1), y=(-8, -4), z=(-8, 0))) & ~lateral
    fourth = (h.csf > 0.5) & h.box(x=(0, 14), y=(-54, -34), z=(-50, -17))
    fourth &= (x <= np.interp(z, [-42, -34, -26, -20], [9, 9, 6, 4])) & ((y < -37) | (x <= 4))
    fourth &= y > -53 + 0.25 * (z + 45).clip(0, 30)
    fourth = touching(fourth, h.tube(1, (0, -42, -28), (0, -44, -32)))

    # Between the ventricles: under the callosal body (white, T1 bright) and above the fornix.
    span = np.zeros_like(h.mask)
    for j, k in zip(*np.nonzero(lateral.any(axis=0)), strict=True):
        first = int(np.argmax(lateral[:, j, k]))
        if first <= 6:
            span[:first, j, k] = True
    septum = span & h.box(x=(0, 5), y=(-30, 28), z=(-2, 30)) & ~third & h.mask
    return {
        'lateral ventricle': lateral,
        'third ventricle': third,
        'fourth ventricle': fourth,
        'septum pellucidum and fornix': septum,
    }


def deep_grey(h: Half, lateral: np.ndarray) -> dict[str, np.ndarray]:
    """Return thalamus, caudate, putamen, pallidum and hippocampus.

    Watershed on the T1 gradient from tubes inside each structure and inside its neighbours;
    then the planes for borders without contrast (thalamus to internal capsule and subthalamus,
    caudate and putamen to accumbens, hippocampus to amygdala).
    """
    x, y, z = h.xyz
    names = ['thalamus', 'caudate nucleus', 'putamen', 'pallidum', 'hippocampus']
    seeds = {
        'thalamus': h.tube(3, (7, -9, 8), (10, -18, 8), (13, -27, 8)) | h.tube(2, (14, -22, 12)),
        'caudate nucleus': h.tube(2, (12, 18, 4), (12, 12, 8), (13, 6, 12), (15, 0, 17))
        | h.tube(1, (15, 0, 17), (17, -8, 20), (19, -16, 21)),
        'putamen': h.tube(2, (22, 14, -2), (26, 8, 1), (28, 0, 2), (30, -8, 4))
        | h.tube(1, (30, -8, 4), (31, -14, 4), (24, 10, 8)),
        'pallidum': h.tube(1, (17, 3, -1), (20, -2, 0), (22, -7, 0)),
        'hippocampus': h.tube(2, (25, -13, -22), (29, -18, -18), (30, -24, -14), (31, -30, -9))
        | h.tube(1, (31, -30, -9), (28, -35, -4), (23, -38, 0)),
    }
    capsule = h.tube(1, (19, 16, 6), (18, 8, 6), (14, 0, 6), (20, -6, 8), (24, -14, 10))
    capsule |= h.tube(1, (24, -14, 10), (27, -22, 10), (29, -30, 4))
    subthalamus = h.tube(2, (12, -10, -5), (10, -16, -8)) | h.tube(2, (5, -4, -8))
    bright = ndi.binary_erosion((h.t1 > 212) & (h.wm > 0.85), CONNECT26)
    fluid = (h.csf > 0.7) | lateral
    other_grey = h.tube(3, (23, -3, -20), (20, -1, -24)) | h.tube(
        2, (24, -22, -27), (26, -34, -18)
    )
    other_grey |= h.tube(2, (20, -14, -28)) | h.tube(2, (38, 6, 0), (38, -6, 4), (36, 16, -4))
    other_grey |= h.tube(2, (13, -45, 2))
    markers = np.zeros(h.t1.shape, np.int32)
    for value, marker in ((6, bright | capsule | subthalamus), (7, fluid), (8, other_grey)):
        markers[marker & h.mask] = value
    for value, name in enumerate(names, 1):
        markers[seeds[name]] = value
    region = h.mask & h.box(x=(0, 46), y=(-48, 32), z=(-36, 32))
    basins = watershed(h.gradient, markers * region, mask=region)
    found = {name: basins == value for value, name in enumerate(names, 1)}

    found['thalamus'] &= (x <= 8.5 + 0.6 * (-1 - y)) & (x <= 20) & (y >= -35) & (z <= 18)
    found['thalamus'] &= (z >= -1) | ((y < -22) & (z >= -4))
    found['caudate nucleus'] &= (z >= -8) & (x <= 24)
    found['putamen'] &= (z >= -10) & (x >= 14)
    found['pallidum'] &= (z >= -8) & (x >= 11)
    found['hippocampus'] &= (h.csf < 0.4) & ((y > -35) | ((x > 17) & (y > -41)))
    found['hippocampus'] &= (y <= -10 + 0.5 * (-20 - z).clip(-4, 4)) & (x >= 13)
    for name in names:
        smooth = ndi.gaussian_filter(found[name].astype(float), 1.0) > 0.5
        smooth = ndi.binary_fill_holes(ndi.binary_closing(smooth, ball(2)))
        found[name] = touching(smooth & ~fluid, seeds[name])
    return found


def infratentorial(h: Half) -> dict[str, np.ndarray]:
    """Return brainstem, cerebellum and the whole infratentorial compartment.

    The tentorium is a dark sheet in the T1: a watershed on inverted intensity finds it. The upper
    end is the plane from the mammillary bodies to the posterior commissure. Brainstem and
    cerebellum part at the floor of the fourth ventricle and, in the middle peduncle, at an
    oblique plane.
    """
    x, y, z = h.xyz
    below = z < -14 - 0.6 * (y + 8)
    stem_seed = h.tube(4, (4, -20, -14), (5, -26, -28), (5, -30, -42), (3, -40, -60)) & below
    stem_seed |= h.tube(2, (12, -13, -13), (13, -19, -13), (9, -27, -16), (6, -32, -10)) & below
    stem_seed |= h.tube(3, (14, -28, -36), (16, -32, -34)) | h.tube(2, (12, -22, -28))
    cerebellum_seed = h.tube(4, (4, -62, -16), (5, -70, -30)) | h.tube(
        5, (18, -55, -36), (32, -62, -40), (38, -60, -38)
    )
    cerebellum_seed |= h.tube(3, (20, -70, -26), (40, -66, -30)) | h.tube(2, (10, -50, -12))
    cerebrum_seed = ~below & h.box(z=(-6, 120)) | h.box(y=(-30, 90), z=(-8, 90)) & ~below
    cerebrum_seed |= h.tube(4, (25, -5, -28), (28, -22, -28), (34, -40, -18), (34, -56, -14))
    cerebrum_seed |= h.tube(4, (45, -20, -30), (50, -45, -18), (45, -62, -10), (30, -75, -9))
    cerebrum_seed |= h.tube(3, (10, -75, -1), (14, -62, -1), (20, -88, -9), (36, -84, -9))
    cerebrum_seed |= h.tube(5, (40, 5, -36)) | h.box(y=(-2, 90)) | (~below & (y > -30))
    cerebrum_seed |= h.tube(1, (17, -46, -5), (12, -50, 0)) | h.box(
        x=(0, 60), y=(-48, 0), z=(8, 90)
    )
    markers = np.zeros(h.t1.shape, np.int32)
    markers[cerebrum_seed & ~cerebellum_seed & ~stem_seed & (h.csf < 0.4)] = 1
    markers[cerebellum_seed] = 2
    markers[stem_seed] = 3
    height = -ndi.gaussian_filter(h.t1, 0.7)
    basins = watershed(height, markers * h.mask, mask=h.mask)
    infra = np.isin(basins, (2, 3)) & h.mask
    infra &= (y < -34) | below
    infra &= (z < 4) & ((z < -14 - 0.6 * (y + 8)) | (y < -36))

    floor_z = [-72, -60, -50, -42, -35, -26, -18, -12, 4]
    floor_y = [-53, -51, -47, -43, -40, -38, -39, -42, -42]
    floor = np.interp(z, floor_z, floor_y)
    width = np.interp(z, [-72, -52, -48, -44, -24, -18, 4], [12, 13, 16, 24, 24, 19, 19])
    front = (y > floor) & (x <= width) & (x < 28 + 0.8 * (y + 24))
    tissue = infra & (h.csf < 0.5)
    stem = tissue & front & (basins == 3) | tissue & front & (basins == 2) & (z > -46) & (x < 16)
    # The peduncles run on into the bright capsule without a border: above the pons the plane and
    # the cisterns (dark, all around) limit the midbrain, not the watershed.
    midbrain = below & (y > floor) & (x <= 18) & (y < -9) & (z > -34) & (h.csf < 0.35) & h.mask
    midbrain = touching(ndi.binary_opening(midbrain, ball(2)), h.tube(2, (5, -22, -14)))
    stem = touching(ndi.binary_opening(stem, ball(1)), stem_seed) | midbrain
    infra |= midbrain
    tissue |= midbrain
    stem = ndi.gaussian_filter(stem.astype(float), 0.8) > 0.5
    stem &= tissue
    cerebellum = tissue & ~stem & ((basins == 2) | (y < -32))
    cerebellum = touching(ndi.binary_opening(cerebellum, ball(1)), cerebellum_seed)
    return {'brainstem': stem, 'cerebellum': cerebellum, 'infratentorial': infra}


def draw(h: Half) -> dict[str, np.ndarray]:
    """Return all structures of the right half, disjoint, plus the infratentorial compartment."""
    parts = ventricles(h)
    parts |= deep_grey(h, parts['lateral ventricle'])
    parts |= infratentorial(h)
    taken = np.zeros_like(h.mask)
    order = ['lateral ventricle', 'third ventricle', 'fourth ventricle', 'thalamus']
    order += ['caudate nucleus', 'putamen', 'pallidum', 'hippocampus', 'brainstem', 'cerebellum']
    order += ['septum pellucidum and fornix']
    for name in order:
        parts[name] = parts[name] & h.mask & ~taken
        taken |= parts[name]
    return parts
