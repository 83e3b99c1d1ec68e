"""Places that may be cavities, and what tells lacunes, perivascular spaces and the rest apart."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage as ndi

from csvdprep.markers.cavities.science.fluid import Share, outside_fluid, together
from csvdprep.markers.cavities.science.vesselness import tubeness
from csvdprep.science.distances import voxel_sizes
from csvdprep.science.shapes import label_lesions

#: Voxels thicker than this (mm) make slices thick: then tubes are sought within the slice.
THICK_MM = 2.0
#: Share of fluid of the middle of a cavity, and of what belongs to it; on thick slices less.
SEED, GROW, SEED_THICK = 0.6, 0.4, 0.5
#: Response of a tube, over its noise and as a share of full contrast: middle, and what belongs
#: to it.
TUBE_SEED, TUBE_GROW = (6.0, 0.06), (3.5, 0.035)
#: Share of the response of the middle that belongs to a tube, and how far that middle may be, mm.
TUBE_SHARE, TUBE_REACH_MM = 0.4, 5.0
#: Tubes are sought outside of cortex (share of it) and so far from fluid outside, mm.
TUBE_CORTEX, TUBE_AWAY_MM = 0.5, 1.5
#: How far beside a ventricle of the next thick slice a voxel may still hold some of it, mm.
VENTRICLE_MM = 1.5
#: Width (SD) of the neighbourhood whose level is taken off before tubes are sought, mm.
BACKGROUND_MM = 3.0
#: Largest volume of a candidate, mm3: what is larger is no lacune and no perivascular space.
LARGEST_MM3 = 6000.0
#: Ring around a candidate that is its surroundings, mm: nearest and furthest.
RING_MM = (1.3, 4.0)

#: Features that need no second image.
PLAIN = (
    'ln_volume',
    'peak',
    'mean',
    'elongation',
    'flatness',
    'ln_length',
    'ln_width',
    'depth',
    'tube',
    'tube_ratio',
    'contrast',
    'ring',
    'ring_sd',
    'from_outside',
    'from_ventricles',
    'contact',
    'from_surface',
    'ring_grey',
    'ring_cortex',
    'template_fluid',
    'template_grey',
    'deep_grey',
    'low',
    'centrum',
    'basal',
    'hippocampus',
    'upright',
)
#: What a FLAIR and a T2w add.
FLAIR = ('flair_core', 'flair_mean', 'flair_rim', 'flair_rim_mean', 'wmh_ring', 'wmh_inside')
T2W = ('t2w_core', 't2w_mean', 't2w_ring')


@dataclass(frozen=True, kw_only=True, eq=False)
class Head:
    """A head on the grid of its reference.

    Attributes
    ----------
    t1w : Share
        Fluid as the T1w shows it.
    flair, t2w : Share, optional
        As these do, brought to the grid.
    brain, ventricles : ndarray of bool, shape (I, J, K)
        Brain; ventricles and cisterns.
    white : ndarray of bool
        Normal-appearing white matter.
    grey, cortex : ndarray of float32
        Share of grey matter, and of that outside of deep structures.
    wmh : ndarray of float32
        Share of white matter hyperintensity.
    template_fluid, template_grey : ndarray of float32
        Probability of fluid and of grey matter in the template, brought to the grid.
    regions : mapping of str to ndarray of bool
        ``deep_grey``, ``low`` (brainstem and cerebellum), ``centrum``, ``basal``,
        ``hippocampus``.
    affine : ndarray, shape (4, 4)
        Voxel to world, RAS+ mm.
    use_t2w : bool
        Whether the T2w is fine enough to look for tubes in.
    """

    t1w: Share
    flair: Share | None = None
    t2w: Share | None = None
    brain: np.ndarray
    ventricles: np.ndarray
    white: np.ndarray
    grey: np.ndarray
    cortex: np.ndarray
    wmh: np.ndarray
    template_fluid: np.ndarray
    template_grey: np.ndarray
    regions: dict[str, np.ndarray] = field(default_factory=dict)
    affine: np.ndarray
    use_t2w: bool = False

    @property
    def voxel_mm(self) -> np.ndarray:
        """Edges of a voxel, mm."""
        return voxel_sizes(self.affine)

    @property
    def thick(self) -> bool:
        """Whether slices are thick."""
        return bool(self.voxel_mm.max() > THICK_MM)

    @property
    def images(self) -> str:
        """Name of the set of images: 't1w', 't1w+flair', ..."""
        more = [n for n in ('flair', 't2w') if getattr(self, n) is not None]
        return '+'.join(['t1w', *more])


@dataclass(frozen=True, eq=False)
class Candidates:
    """Candidates of a head.

    Attributes
    ----------
    labels : ndarray of int32, shape (I, J, K)
        1 the largest, 2 the next, ...; 0 elsewhere.
    features : ndarray, shape (n, m)
        A row each; columns as `features_of` names them.
    outside : ndarray of bool
        Fluid that was left out, and what is not brain.
    contrast : ndarray of float32
        Share of fluid over that of the surroundings, 0 to 1.
    facts : tuple of dict
        Of each: ``length_mm``, ``width_mm``, ``fluid_mm3``, ``middle`` and ``axis`` (mm), and
        ``roof``, the share of it that lies right above or below a ventricle, on thick slices.
    """

    labels: np.ndarray
    features: np.ndarray
    outside: np.ndarray
    contrast: np.ndarray
    facts: tuple[dict, ...]


def features_of(images: str) -> tuple[str, ...]:
    """Name the features of a set of images.

    Examples
    --------
    >>> len(features_of('t1w')), features_of('t1w+t2w')[-1]
    (27, 't2w_ring')
    """
    more = {'flair': FLAIR, 't2w': T2W}
    return PLAIN + tuple(n for part in images.split('+')[1:] for n in more[part])


def candidates(head: Head) -> Candidates:
    """Gather what is like fluid, or like a tube of it, within the brain.

    Parameters
    ----------
    head : Head
        The head.

    Returns
    -------
    Candidates
    """
    voxel_mm = head.voxel_mm
    fluid = together([head.t1w, head.t2w]) if head.use_t2w else head.t1w
    outside = outside_fluid(fluid.share, head.brain, head.ventricles, voxel_mm)
    inside = head.brain & ~outside
    contrast = _contrast(fluid.share, inside, voxel_mm)
    flat = int(np.argmax(voxel_mm)) if head.thick else None
    response, ratio = tubeness(contrast, inside, voxel_mm, head.white & inside, flat=flat)
    from_outside = _distance(outside, voxel_mm)
    for_tubes = inside & (head.cortex < TUBE_CORTEX) & (from_outside > TUBE_AWAY_MM)
    seed = SEED_THICK if head.thick else SEED
    cavities = _grown(inside & (fluid.share > GROW), fluid.share > seed)
    labels, _ = label_lesions(cavities | _tubes(response, ratio, for_tubes, voxel_mm), head.affine)
    large = np.bincount(labels.ravel()) * float(np.prod(voxel_mm)) > LARGEST_MM3
    large[0] = False
    if large.any():
        # Without the tubes that touch it a cavity may be small enough.
        again, _ = label_lesions(cavities & large[labels], head.affine)
        fitting = np.bincount(again.ravel()) * float(np.prod(voxel_mm)) <= LARGEST_MM3
        fitting[0] = False
        labels, _ = label_lesions(((labels > 0) & ~large[labels]) | fitting[again], head.affine)
    shown = np.clip(contrast, 0, 1).astype(np.float32)
    rows, facts = _rows(head, fluid, labels, outside, shown, response, ratio, from_outside)
    return Candidates(labels, rows, outside, shown, facts)


def _contrast(share: np.ndarray, inside: np.ndarray, voxel_mm: np.ndarray) -> np.ndarray:
    """Take off the level of the surroundings; what is outside has their level."""
    sigma = BACKGROUND_MM / voxel_mm
    capped = np.clip(share, -0.6, 1.2)
    background = np.zeros(share.shape, np.float32)
    weight = inside.astype(np.float32)
    for _ in range(2):
        mass = ndi.gaussian_filter(weight, sigma, truncate=3)
        total = ndi.gaussian_filter(weight * capped, sigma, truncate=3)
        background = total / (mass + 1e-3)
        weight = (inside & (np.abs(capped - background) < 0.25)).astype(np.float32)
    # Towards fluid outside tissue goes over into it: that is no edge to be seen.
    return np.where(inside, capped - background, 0).astype(np.float32)


def _grown(region: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """Return the parts of a region that hold a seed."""
    parts, _ = ndi.label(region, np.ones((3, 3, 3), bool))
    kept = np.zeros(int(parts.max()) + 1, bool)
    kept[np.unique(parts[seeds & region])] = True
    kept[0] = False
    return kept[parts]


def _tubes(response, ratio, where, voxel_mm) -> np.ndarray:
    """Return tubes: their middle is high, and what belongs to it a share of that."""
    seeds = where & (ratio > TUBE_SEED[0]) & (response > TUBE_SEED[1])
    size = tuple(2 * np.round(TUBE_REACH_MM / 2 / voxel_mm).astype(int) + 1)
    middle = ndi.maximum_filter(np.where(seeds, response, 0), size=size)
    grown = where & (ratio > TUBE_GROW[0]) & (response > TUBE_GROW[1])
    return _grown(grown & (response > TUBE_SHARE * middle), seeds)


def _rows(head, fluid, labels, outside, contrast, response, ratio, from_outside):
    """Describe every candidate."""
    voxel_mm = head.voxel_mm
    names = features_of(head.images)
    away = {
        'from_outside': (from_outside, 8.0),
        'from_ventricles': (_distance(head.ventricles, voxel_mm), 20.0),
        'from_surface': (_distance(~head.brain, voxel_mm), 30.0),
    }
    boxes = ndi.find_objects(labels)
    margin = np.ceil(RING_MM[1] / voxel_mm).astype(int)
    roof = _roof(head.ventricles, voxel_mm) if head.thick else None
    rows, facts = [], []
    for number, box in enumerate(boxes, start=1):
        wide = tuple(
            slice(max(part.start - m, 0), part.stop + m)
            for part, m in zip(box, margin, strict=True)
        )
        lesion = labels[wide] == number
        row, fact = _shape(lesion, contrast[wide], head.affine, voxel_mm)
        # With the voxels around it that hold some of it; of no feature, but of the volume.
        own = (lesion | (ndi.binary_dilation(lesion) & (labels[wide] == 0))) & ~outside[wide]
        fact['fluid_mm3'] = float(contrast[wide][own].sum() * np.prod(voxel_mm))
        # So far from the corner of the box, not of the image.
        fact['middle'] = fact['middle'] + head.affine[:3, :3] @ [part.start for part in wide]
        fact['roof'] = 0.0 if roof is None else float(roof[wide][lesion].mean())
        row |= _within(head, fluid, wide, lesion, labels, outside, voxel_mm)
        top = response[wide][lesion].argmax()
        row |= {
            'tube': float(response[wide][lesion].max()),
            'tube_ratio': float(np.log(ratio[wide][lesion][top] + 1)),
        }
        for name, (distance, most) in away.items():
            row[name] = min(float(distance[wide][lesion].min()), most) / most
        rows.append([row[name] for name in names])
        facts.append(fact)
    return np.array(rows, float).reshape(len(boxes), len(names)), tuple(facts)


def _roof(ventricles: np.ndarray, voxel_mm: np.ndarray) -> np.ndarray:
    """Tell where the slice above or below shows a ventricle.

    A thick slice holds a part of what the next one shows: the roof and the floor of a ventricle
    are grey lines and spots in it, as perivascular spaces are.
    """
    axis = int(np.argmax(voxel_mm))
    size = np.delete(voxel_mm, axis)
    reach = np.ceil(VENTRICLE_MM / size).astype(int)
    grid = np.meshgrid(*[np.arange(-r, r + 1) * s for r, s in zip(reach, size, strict=True)])
    disc = np.expand_dims(np.hypot(*grid).T <= VENTRICLE_MM, axis)
    wide = ndi.binary_dilation(ventricles, disc)
    edge = np.zeros((1, *np.delete(wide.shape, axis)), bool)
    slices = np.concatenate([edge, np.moveaxis(wide, axis, 0), edge])
    return np.moveaxis(slices[:-2] | slices[2:], 0, axis)


def _shape(lesion, contrast, affine, voxel_mm) -> tuple[dict, dict]:
    """Describe size and form, voxels counting as much as they hold fluid."""
    index = np.argwhere(lesion)
    weight = np.maximum(contrast[lesion], 0.02)
    points = index @ affine[:3, :3].T
    middle = np.average(points, axis=0, weights=weight)
    spread = np.cov((points - middle).T, aweights=weight, bias=True) if len(points) > 1 else 0
    spread = np.asarray(spread) + np.diag(voxel_mm**2) / 12
    values, vectors = np.linalg.eigh(spread)
    least, mid, most = np.sqrt(np.maximum(values, 1e-6))
    volume = float(weight.sum() * np.prod(voxel_mm))
    length = float(np.sqrt(12) * most)
    width = float(2 * np.sqrt(max(volume, 0.05) / (np.pi * length)))
    depth = ndi.distance_transform_edt(np.pad(lesion, 1), sampling=voxel_mm).max()
    row = {
        'ln_volume': float(np.log(volume)),
        'elongation': float(most / mid),
        'flatness': float(mid / least),
        'ln_length': float(np.log(length)),
        'ln_width': float(np.log(width)),
        'depth': float(depth),
        'upright': float(abs(vectors[2, -1])),
    }
    fact = {'length_mm': length, 'width_mm': width, 'fluid_mm3': volume}
    return row, fact | {'middle': middle, 'axis': vectors[:, -1]}


def _within(head, fluid, wide, lesion, labels, outside, voxel_mm) -> dict[str, float]:
    """Describe brightness, place and surroundings."""
    share = fluid.share[wide]
    values = share[lesion]
    # The middle: the most fluid third, two voxels at least.
    count = max(2, len(values) // 3)
    core = np.argsort(-values, kind='stable')[:count]
    away = ndi.distance_transform_edt(~lesion, sampling=voxel_mm)
    open_ring = (away > 0) & (away <= RING_MM[1]) & ~outside[wide]
    ring = open_ring & (away > RING_MM[0]) & (labels[wide] == 0)
    if not ring.any():
        ring = open_ring if open_ring.any() else ~lesion
    shell = (away > 0) & (away <= 1.5 * float(voxel_mm.min()))

    def mean(image, where=lesion) -> float:
        return float(image[wide][where].mean())

    around = float(share[ring].mean())
    row = {
        'peak': float(values[core].mean()),
        'mean': float(values.mean()),
        'contrast': float(values[core].mean()) - around,
        'ring': around,
        'ring_sd': float(share[ring].std()),
        'contact': mean(outside, shell) if shell.any() else 0.0,
        'ring_grey': mean(head.grey, ring),
        'ring_cortex': mean(head.cortex, ring),
        'template_fluid': mean(head.template_fluid),
        'template_grey': mean(head.template_grey),
        **{name: mean(mask) for name, mask in head.regions.items()},
    }
    if head.flair is not None:
        flair = head.flair.share[wide]
        inner, rim = flair[lesion], -flair[(away > 0) & (away <= 2.5) & ~outside[wide] | lesion]
        row |= {
            'flair_core': float(np.clip(inner[core].mean(), -1.5, 1.5)),
            'flair_mean': float(np.clip(inner.mean(), -1.5, 1.5)),
            'flair_rim': float(np.clip(np.percentile(rim, 85), -1, 1.5)),
            'flair_rim_mean': float(np.clip(-flair[ring].mean(), -1, 1.5)),
            'wmh_ring': mean(head.wmh, ring),
            'wmh_inside': mean(head.wmh),
        }
    if head.t2w is not None:
        t2w = head.t2w.share[wide]
        row |= {
            't2w_core': float(np.clip(t2w[lesion][core].mean(), -1, 2)),
            't2w_mean': float(np.clip(t2w[lesion].mean(), -1, 2)),
            't2w_ring': float(np.clip(t2w[ring].mean(), -1, 1)),
        }
    return row


def _distance(mask, voxel_mm) -> np.ndarray:
    """Return the distance from a mask, mm; far where it is empty."""
    if not mask.any():
        return np.full(mask.shape, 99.0, np.float32)
    return ndi.distance_transform_edt(~mask, sampling=voxel_mm).astype(np.float32)
