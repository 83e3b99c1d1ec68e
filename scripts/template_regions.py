"""Draw lobes, vascular territories and perivascular-space regions on the template's right half.

Lobar borders are sheets through the fundus of the sulci that define them (landmarks read off this
template), snapped to the nearest dark sulcus by a watershed within a narrow band. White matter
belongs to the lobe of the nearest cortex. Territories follow the usual maps (Tatu 1998,
doi:10.1212/WNL.50.6.1699; Kim 2019, doi:10.1161/STROKEAHA.118.023459): no sulcus marks them,
so they are planes, and their borders are uncertain by a centimetre or more.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi
from skimage.segmentation import watershed
from template_structures import Half, ball, touching

LOBES = ('frontal lobe', 'parietal lobe', 'temporal lobe', 'occipital lobe', 'insula')
DEEP = 'deep grey and capsules'
TERRITORIES = ('anterior', 'middle', 'posterior')

# Central sulcus from the vertex down to the Sylvian fissure: z, x, y in mm.
CENTRAL = np.array(
    [
        (80, 8, -38),
        (74, 14, -34),
        (70, 22, -31),
        (64, 30, -29),
        (58, 36, -26),
        (52, 41, -21),
        (46, 46, -17),
        (40, 50, -13),
        (34, 53, -10),
        (28, 56, -7),
        (20, 60, -4),
        (12, 63, -2),
    ],
    float,
)


def nearest_label(labels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Give every voxel of `mask` without a label that of the nearest labelled voxel."""
    index = ndi.distance_transform_edt(labels == 0, return_distances=False, return_indices=True)
    return np.where(mask, labels[tuple(index)], 0)


def smooth_labels(labels: np.ndarray, mask: np.ndarray, sigma: float) -> np.ndarray:
    """Smooth the borders of a partition of `mask` by a Gaussian vote of `sigma` voxels."""
    values = [v for v in np.unique(labels[mask]) if v]
    weight = np.stack([ndi.gaussian_filter((labels == v) * 1.0, sigma) for v in values])
    return np.where(mask, np.asarray(values)[weight.argmax(axis=0)], 0)


def insular_slab(h: Half, inward: float, outward: float) -> np.ndarray:
    """Return the slab around the floor of the Sylvian fissure, where the insula lies.

    The floor is an arc in the axial and the coronal plane; the opercula lie lateral of it.
    """
    x, y, z = h.xyz
    floor = np.interp(y, [-26, -14, 0, 12, 24], [36, 39, 41.5, 40, 35])
    floor = floor - 0.15 * np.abs(z - 1)
    inside = h.box(x=(28, 46), y=(-24, 25), z=(-16, 18))
    inside &= (x >= floor - inward) & (x <= floor + outward)
    return inside & (z < 18 - 0.15 * np.abs(y)) & (z > -10 - 0.45 * y.clip(-24, 12))


def lobe_rules(h: Half) -> np.ndarray:
    """Return the lobe of every voxel from surfaces alone: 1 frontal .. 4 occipital."""
    x, y, z = h.xyz
    order = np.argsort(CENTRAL[:, 0])
    cz, cx, cy = CENTRAL[order].T
    # The sulcus runs forward as it goes outward; on the medial wall it ends at the marginal ramus.
    central = np.interp(z, cz, cy) + 0.5 * (x.clip(8, None) - np.interp(z, cz, cx))
    parietal = y < central
    # Sylvian fissure: its floor of z rises backwards to its end, then a line towards the occiput.
    rising = [-75, -45, -38, -30, -20, -5, 5, 15, 25]
    sylvian = np.interp(y, rising, [8, 20, 20, 14, 8, 0, -6, -14, -22])
    # Medially the temporal lobe ends at the choroid fissure and the stem below the putamen.
    inner = np.interp(y, [-60, -42, -12, -4, 4, 8, 12], [0, 0, -11, -14, -18, -22, -30])
    lateral = ((x - 24) / 8).clip(0, 1)
    temporal = (z < inner * (1 - lateral) + sylvian * lateral) & (y < 25)
    # Parieto-occipital sulcus medially, its line to the preoccipital notch laterally.
    medial = np.where(z > 6, -59 - 0.62 * (z - 6), -57 + 0 * z)
    lateral = -69 - 0.30 * z
    share = ((x - 12) / 20).clip(0, 1)
    occipital = y < medial * (1 - share) + lateral * share
    lobes = np.where(parietal, 2, 1) + 0 * x
    lobes = np.where(temporal, 3, lobes)
    return np.where(occipital, 4, lobes)


def lobes(h: Half, parts: dict[str, np.ndarray]) -> np.ndarray:
    """Partition the supratentorial brain; values are the order of LOBES, 6 is DEEP."""
    supra = h.mask & ~parts['infratentorial']
    rules = lobe_rules(h)
    deep = deep_region(h, parts) & supra
    insula = insular_slab(h, 4.5, 4.5) & (h.gm > 0.4) & ~deep
    # Sulci are dark: within a band of 7 mm around a border let the darkest sheet decide.
    # (The rim of a ventricle is part CSF, part white: it looks grey, and is no cortex.)
    rim = ndi.binary_dilation(parts['lateral ventricle'], ball(4))
    grey = supra & (h.wm < 0.5) & ~deep & ~rim
    sure = np.where(distance_to_border(rules) > 7, rules, 0)
    markers = np.where(grey & ~ndi.binary_dilation(insula, ball(2)), sure, 0)
    markers[insula] = 5
    height = -ndi.gaussian_filter(h.t1, 1.0)
    cortex = watershed(height, markers.astype(np.int32), mask=grey)
    cortex = np.where((cortex == 5) & ~insular_slab(h, 5, 5), rules, cortex)
    # Superficial white matter follows the nearest cortex, the deep white matter the surfaces.
    outer = np.where((cortex == 5) | (h.gm < 0.5) | rim, 0, cortex)
    depth, index = ndi.distance_transform_edt(outer == 0, return_indices=True)
    white = np.where(depth > 8, rules, outer[tuple(index)])
    extreme = insular_slab(h, 8, 5) & ndi.binary_dilation(cortex == 5, ball(3))
    labels = np.where(cortex > 0, cortex, np.where(extreme, 5, white))
    labels = smooth_labels(np.where(supra, labels, 0), supra, 1.5)
    labels = largest_components(labels, supra)
    return np.where(supra & deep, 6, labels).astype(np.uint8)


def distance_to_border(labels: np.ndarray) -> np.ndarray:
    """Return each voxel's distance in voxels to the nearest voxel of another label."""
    border = np.zeros(labels.shape, bool)
    for axis in range(3):
        change = np.diff(labels, axis=axis) != 0
        for side in (slice(1, None), slice(None, -1)):
            border[tuple(side if i == axis else slice(None) for i in range(3))] |= change
    return ndi.distance_transform_edt(~border)


def largest_components(labels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Keep each label's largest component; give the other pieces to their surroundings."""
    kept = np.zeros_like(labels)
    for value in np.unique(labels[mask]):
        pieces, _ = ndi.label(labels == value)
        sizes = np.bincount(pieces.ravel())
        kept[pieces == 1 + sizes[1:].argmax()] = value
    return nearest_label(kept, mask)


def deep_region(h: Half, parts: dict[str, np.ndarray]) -> np.ndarray:
    """Return deep grey matter with the capsules between the nuclei, free of ventricles."""
    names = ('thalamus', 'caudate nucleus', 'putamen', 'pallidum')
    nuclei = np.logical_or.reduce([parts[name] for name in names])
    # Closing by a ball of 9 mm, as two distances, within a window that holds the ball.
    window = (slice(0, 50), slice(80, 190), slice(40, 115))
    grown = ndi.distance_transform_edt(~nuclei[window]) <= 9
    hull = np.zeros_like(nuclei)
    # (Beyond x = 0 lies the other half: pad, so that the cut is no border.)
    padded = np.pad(grown, ((10, 0), (0, 0), (0, 0)), 'edge')
    hull[window] = ndi.distance_transform_edt(padded)[10:] > 9
    hull &= h.box(x=(0, 36), y=(-36, 30), z=(-12, 20))
    basal = h.box(x=(3, 18), y=(-24, -2), z=(-12, 0)) & (h.csf < 0.5)
    region = (hull | nuclei | basal) & (h.csf < 0.5) & ~parts['infratentorial']
    for name in ('lateral ventricle', 'third ventricle', 'septum pellucidum and fornix'):
        region &= ~parts[name]
    return touching(region & ~parts['hippocampus'], nuclei) & h.mask


def territories(h: Half, parts: dict[str, np.ndarray]) -> np.ndarray:
    """Partition the brain: 1 anterior, 2 middle, 3 posterior cerebral artery, 4 infratentorial."""
    x, y, z = h.xyz
    wedge = np.where(y > -10, 0.34, 0.28)
    edge = 13 + wedge * (z - 26).clip(0, None) + 0 * y
    edge = np.where((z < 26) & (y > 20), 13 + 0.12 * (26 - z), edge)
    anterior = (x < edge) & (y > -58 - 0.45 * (z - 20).clip(-20, 60))
    callosum = (x < 12) & (y > -34)
    front = (y > 22) | (z > 24 - 0.1 * x) | (callosum & (z > 17))
    subcallosal = (y > 2) & (z < -2) & (x < 14) & (y > 6 - 0.8 * (z + 2))
    anterior &= front | subcallosal | ((x < 6) & (y > 4))
    medial = -58 - 0.62 * (z - 8).clip(-10, None)
    anterior |= (x < 13) & (y > -60) & (y >= medial) & (z > 20)
    anterior |= (x < 13) & (y <= -60) & (y >= medial) & (z > 8)
    behind = y < medial - 0.55 * (x - 16).clip(0, None)
    ceiling = -7 - 0.42 * (x - 22).clip(0, None) + 0.35 * (-42 - y).clip(0, 40)
    under = (y < -8) & (z < ceiling)
    splenium = (x < 14) & (y < -33) & (y > -62) & (z < 20) & (z > -12)
    posterior = behind | under | splenium
    labels = np.where(anterior, 1, 2) + 0 * z
    labels = np.where(posterior, 3, labels)
    supra = h.mask & ~parts['infratentorial']
    thalamic = parts['thalamus'] | parts['hippocampus'] | parts['third ventricle']
    thalamic |= h.box(x=(0, 14), y=(-30, -10), z=(-14, 2)) & supra
    labels[thalamic] = 3
    ganglia = parts['putamen'] | parts['pallidum'] | parts['caudate nucleus']
    labels[ganglia] = 2
    labels = smooth_labels(np.where(supra, labels, 0), supra, 2.0)
    return np.where(h.mask & parts['infratentorial'], 4, labels).astype(np.uint8)


def pvs_regions(h: Half, parts: dict[str, np.ndarray]) -> np.ndarray:
    """Return 1 basal ganglia, 2 centrum semiovale, 3 hippocampus, 4 midbrain, for PVS rating.

    Regions as in the Potter scale (doi:10.1159/000375153): basal ganglia with capsules and
    thalamus; white matter above the roof of the lateral ventricles; midbrain; hippocampus.
    """
    z = h.xyz[2]
    labels = np.zeros(h.t1.shape, np.uint8)
    deep = deep_region(h, parts)
    labels[deep & (z >= -10)] = 1
    ventricle_z = np.nonzero(parts['lateral ventricle'].any(axis=(0, 1)))[0] + h.origin[2]
    roof = ventricle_z.max()
    white = ndi.binary_closing(h.wm > 0.5, ball(2)) & h.mask & ~parts['infratentorial']
    cortex = h.mask & (h.gm > 0.5) & ~deep
    inner = ndi.distance_transform_edt(~cortex) >= 2
    semiovale = touching(white & inner & (z > roof), h.tube(2, (24, -10, roof + 4)))
    labels[semiovale] = 2
    labels[parts['hippocampus']] = 3
    labels[parts['brainstem'] & (z > -22)] = 4
    return labels
