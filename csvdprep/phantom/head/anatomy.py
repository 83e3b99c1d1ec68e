"""A head of one's own: tissue fractions from the template, deformed, with skull and face.

The brain is the template's, sharpened from probabilities to fractions and bent by a random
diffeomorphism; skull, scalp, eyes and airways are drawn around it from distances and ellipsoids
in template space, so that they follow the same deformation. All lengths are mm, all arrays lie
on one isotropic grid whose affine is that of the anatomy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache

import nibabel as nib
import numpy as np
from scipy import ndimage as ndi

from csvdprep.bids.tsv import read_tsv
from csvdprep.phantom.geometry.fields import diffeomorphism, pull, resize, smooth_noise
from csvdprep.phantom.head import around as head
from csvdprep.resources import template_file

#: Box of the head in template space, mm: low and high corner.
LOW, HIGH = np.array([-94.0, -128.0, -118.0]), np.array([94.0, 108.0, 102.0])
#: How far the push of the ventricles reaches into the brain by default, mm.
REACH_MM = 18.0
#: Between these distances from the midplane the push passes from one side to the other, mm.
MIDDLE_MM = 8.0
#: Share of fluid in the template at which its sulci begin, and from which they are sulci only.
SULCUS = (0.15, 0.45)
#: Standard deviation with which the borders of the lobes are blurred, mm.
LOBE_MM = 6.0
#: Exponent that turns averaged probabilities into fractions with borders about 1.5 mm wide.
SHARPNESS = 3.0
#: A person's own cortex begins so far from nuclei and ventricles, passes over so many mm, and its
#: labels are blurred by so many to shares.
FROM_NUCLEI_MM, GYRI_BLEND_MM, GYRI_BLUR_MM = 6.0, 3.0, 0.8
#: Iron-rich nuclei that the template's labels lack: name, centre and radii in mm.
SMALL_NUCLEI = {
    101: ('left red nucleus', (-4.5, -20, -8), (3.2, 3.2, 4.2)),
    102: ('right red nucleus', (4.5, -20, -8), (3.2, 3.2, 4.2)),
    103: ('left substantia nigra', (-10, -17.5, -12), (5.5, 3.0, 4.5)),
    104: ('right substantia nigra', (10, -17.5, -12), (5.5, 3.0, 4.5)),
    105: ('left dentate nucleus', (-15, -58, -35), (6.0, 8.0, 4.0)),
    106: ('right dentate nucleus', (15, -58, -35), (6.0, 8.0, 4.0)),
}


@dataclass(frozen=True, kw_only=True)
class Anatomy:
    """What a head is made of.

    Attributes
    ----------
    fractions : mapping of str to ndarray of float32, shape (nx, ny, nz)
        Share of each voxel that a tissue fills, 0 to 1; what is missing to 1 is air. The brain
        is made of ``gm``, ``wm`` and ``csf``.
    regions : mapping of str to ndarray of float32
        Parts of tissues: ``ventricles`` (share of the voxel that is CSF of the lateral
        ventricles) and ``lesion_site`` (share that is WM in which WMH occur).
    affine : ndarray, shape (4, 4)
        From voxel indices to mm, RAS+.
    structures : ndarray of uint8, shape (nx, ny, nz)
        Structure in which a voxel lies: a key of :func:`structure_names`, 0 for none of them.
    flow : ndarray of float32, shape (3, mx, my, mz)
        Position in the template, mm, on a coarse grid with the same corners.
    """

    fractions: Mapping[str, np.ndarray]
    regions: Mapping[str, np.ndarray] = field(default_factory=dict)
    affine: np.ndarray = field(default_factory=lambda: np.eye(4))
    structures: np.ndarray | None = None
    flow: np.ndarray | None = None

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel, mL."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000

    @property
    def intracranial(self) -> np.ndarray:
        """Share of each voxel inside the skull (brain and CSF), 0 to 1."""
        return self.fractions['gm'] + self.fractions['wm'] + self.fractions['csf']

    def tissue_labels(self) -> np.ndarray:
        """Tissue that fills most of each voxel of the brain: 1 CSF, 2 GM, 3 WM; 0 outside."""
        best = np.zeros(self.fractions['gm'].shape, np.uint8)
        most = np.maximum(1 - self.intracranial, 1e-6)
        for label, name in enumerate(('csf', 'gm', 'wm'), start=1):
            more = self.fractions[name] > most
            best[more] = label
            most = np.maximum(most, self.fractions[name])
        return best

    def to_template(self, points: np.ndarray) -> np.ndarray:
        """Say where in the template points of the head lie.

        Parameters
        ----------
        points : ndarray, shape (n, 3)
            Positions in the head, mm.

        Returns
        -------
        ndarray, shape (n, 3)
            Positions in the template, mm.
        """
        at = np.asarray(points, float).T
        return np.stack([pull(part, self.flow_affine, at) for part in self.flow], axis=1)

    def to_head(self, points: np.ndarray) -> np.ndarray:
        """Say where in the head points of the template lie.

        Parameters
        ----------
        points : ndarray, shape (n, 3)
            Positions in the template, mm.

        Returns
        -------
        ndarray, shape (n, 3)
            Positions in the head, mm, to a hundredth of one.

        Examples
        --------
        >>> person = make_anatomy(1, spacing=4)
        >>> there = person.to_head([[20, -10, 5]])
        >>> bool(np.abs(person.to_template(there) - [20, -10, 5]).max() < 0.02)
        True
        """
        wanted = np.asarray(points, float)
        extent = np.ptp(self.flow.reshape(3, -1), axis=1)
        steps = np.diag(self.flow_affine)[:3] * (np.array(self.flow.shape[1:]) - 1)
        scale = steps / extent
        head = wanted * scale
        # The map is close to a scaling, so that correcting by what is missing converges.
        for _ in range(40):
            missing = wanted - self.to_template(head)
            head = head + scale * missing
            if np.abs(missing).max(initial=0) < 0.003:
                return head
        # Where the brain is pressed together that overshoots: go on in shorter steps.
        for _ in range(200):
            missing = wanted - self.to_template(head)
            if np.abs(missing).max(initial=0) < 0.003:
                break
            head = head + 0.25 * scale * missing
        return head

    @property
    def flow_affine(self) -> np.ndarray:
        """Grid of :attr:`flow`: from its indices to mm of the head."""
        shape = np.array(self.fractions['gm'].shape)
        out = self.affine.copy()
        out[:3, :3] *= (shape - 1) / (np.array(self.flow.shape[1:]) - 1)
        return out

    def brain_box(self) -> tuple[slice, slice, slice]:
        """Return the part of the grid that holds brain and fluid, a voxel to spare."""
        found = ndi.find_objects((self.intracranial > 0.01).astype(np.uint8))[0]
        return tuple(slice(max(edge.start - 1, 0), edge.stop + 1) for edge in found)

    def volume_ml(self, name: str) -> float:
        """Volume of a tissue or region: the sum of its fractions, mL."""
        part = self.fractions[name] if name in self.fractions else self.regions[name]
        return float(part.sum(dtype=np.float64)) * self.voxel_ml


def make_anatomy(
    seed: int,
    *,
    spacing: float = 1.0,
    ventricles_mm: float | tuple[float, float] = 0.0,
    atrophy: float = 0.0,
    size: tuple[float, float, float] = (0.93, 0.93, 0.93),
    deformation_mm: float = 3.0,
    reach_mm: float = REACH_MM,
    sulci: float = 0.0,
    lobar: Mapping[str, float] | None = None,
    sharpness: float = SHARPNESS,
    gyri: int = 0,
) -> Anatomy:
    """Build one person's head.

    By its defaults a head is that of a healthy person. The lateral ventricles of a seed are those
    of the template, 14 mL, at ``ventricles_mm=0``, 8 mL at -3.6, and with ``reach_mm=10``, which
    takes their volume from the brain instead of the skull, about 28, 47, 75, 112, 147 and 185 mL
    at 6, 12, 20, 30, 40 and 50.

    Parameters
    ----------
    seed : int
        Decides the deformation and the folding; the same seed gives the same head.
    spacing : float
        Edge of the voxels, mm.
    ventricles_mm : float or (float, float)
        Velocity with which the walls of the lateral ventricles move outwards, mm (-4 to 50); to
        about 6 it is their displacement. Two numbers are those of left and right.
    atrophy : float
        Widening of the sulci: log odds added to CSF in the cortex (0 to 4).
    size : tuple of float
        Scale of the template (a large brain of 1.9 L) along x, y and z.
    deformation_mm : float
        Root mean square of the random displacement, mm.
    reach_mm : float
        Distance over which the displacement of the walls of the ventricles decays, mm. A short
        one presses the white matter together, a long one swells the head.
    sulci : float
        Deepening of the sulci that the template has: log odds added to CSF there (0 to 6).
    lobar : mapping of str to float, optional
        Atrophy of single lobes, added to ``atrophy``: each key is found in the names of one or
        more lobes (``'left temporal'``, ``'frontal'``).
    sharpness : float
        Exponent of the template's probabilities: 3 gives borders of about 1.5 mm, 8 crisp ones.
    gyri : int
        Whose cortex is bent: 0 the template's, an average of many, 1 to 6 that of a real person.

    Returns
    -------
    Anatomy
        Fractions of gm, wm, csf, bone, marrow, fat, muscle, skin, vitreous, cord.

    Examples
    --------
    >>> person = make_anatomy(1, spacing=4)
    >>> 1100 < sum(person.volume_ml(tissue) for tissue in ('gm', 'wm', 'csf')) < 1900
    True
    >>> bool(sum(person.fractions.values()).max() < 1.001)
    True
    >>> patient = make_anatomy(1, spacing=4, ventricles_mm=(30, 20), reach_mm=10, sulci=2,
    ...                        lobar={'left temporal': 2})
    >>> 60 < patient.volume_ml('ventricles') < 180
    True

    """
    brain = _with_gyri(gyri) if gyri else _template_brain()
    shape = tuple(np.ceil((HIGH - LOW) * size / spacing).astype(int))
    affine = np.diag([spacing] * 3 + [1.0])
    affine[:3, 3] = LOW * size
    rng = np.random.default_rng(seed)
    push, push_mm = _push(brain, ventricles_mm, reach_mm)
    flow = diffeomorphism(
        shape,
        affine,
        np.asarray(size),
        rng,
        rms=deformation_mm,
        push=push,
        push_affine=brain['push_affine'],
        push_mm=push_mm,
    )
    half = np.stack(
        [resize(part, np.ceil(np.array(shape) / 2 * spacing).astype(int)) for part in flow]
    )
    skull, depth = (
        resize(pull(brain[name], brain['distance_affine'], half), shape)
        for name in ('from_skull', 'depth')
    )
    noise = smooth_noise(shape, 6 / spacing, rng)
    folds = smooth_noise(shape, 5 / spacing, rng)

    within = skull < 4
    position = _positions(flow, shape, within)
    more = atrophy + _lobar_atrophy(position, lobar) if lobar else atrophy
    tissue = _brain_tissue(brain, position, folds[within], more, sulci, sharpness)
    fractions, regions = {}, {}
    for name, part in tissue.items():
        whole = regions if name in ('ventricles', 'lesion_site') else fractions
        whole[name] = _scatter(part, within)
    structures = np.zeros(shape, np.uint8)
    structures[within] = _structure_labels(brain, position)
    around = (depth > -1) & (_total(fractions) < 1)
    del within, position, folds, tissue
    layers = head.layers(
        _positions(flow, shape, around),
        skull[around],
        depth[around],
        _total(fractions)[around],
        noise[around],
    )
    fractions |= {name: _scatter(part, around) for name, part in layers.items()}
    return Anatomy(
        fractions=fractions, regions=regions, affine=affine, structures=structures, flow=flow
    )


def _push(brain, ventricles_mm, reach_mm: float) -> tuple[np.ndarray, float]:
    """Return the direction in which the ventricles push, and how far."""
    push = (
        brain['push']
        if reach_mm == REACH_MM
        else _outward(brain['ventricle'], brain['affine'], reach_mm)[0]
    )
    if np.ndim(ventricles_mm) == 0:
        return push, ventricles_mm
    left, right = ventricles_mm
    affine = brain['push_affine']
    x = affine[0, 3] + affine[0, 0] * np.arange(push.shape[1])
    share = np.clip(x / (2 * MIDDLE_MM) + 0.5, 0, 1)
    return push * (left + (right - left) * share)[:, None, None].astype(np.float32), 1.0


def _lobar_atrophy(position: np.ndarray, lobar: Mapping[str, float]) -> np.ndarray:
    """Return the atrophy that single lobes have on top, at some points of the template."""
    labels, affine, names = _lobes()
    more = np.zeros(labels.shape, np.float32)
    for label, name in names.items():
        more[labels == label] = sum((lobar[key] for key in lobar if key in name), 0.0)
    return pull(ndi.gaussian_filter(more, LOBE_MM / affine[0, 0]), affine, position)


@cache
def _lobes() -> tuple[np.ndarray, np.ndarray, dict[int, str]]:
    """Return the lobes of the template on a coarse grid, its affine, and their names."""
    labels, affine = _load('dseg', atlas='csvdprep', desc='lobes')
    table = template_file('dseg', extension='.tsv', atlas='csvdprep', desc='lobes')
    names = {int(row['index']): row['name'] for row in read_tsv(table).rows}
    step = 3
    return labels[::step, ::step, ::step], affine @ np.diag([step, step, step, 1]), names


def _brain_tissue(brain, position, folds, atrophy, sulci, sharpness) -> dict[str, np.ndarray]:
    """Turn the template's probabilities at some points into fractions of tissue there."""

    def at(name: str) -> np.ndarray:
        return pull(brain[name], brain['affine'], position)

    p_gm, p_wm, inside, near = at('gm'), at('wm'), at('inside'), at('ventricle_zone')
    p_csf = np.clip(inside - p_gm - p_wm, 0, 1)
    # Neighbouring gyri of real cortices differ; the average brain's do not.
    widening = 0.8 + 1.2 * atrophy + 0.5 * folds
    if sulci:
        low, high = SULCUS
        widening = widening + sulci * np.clip((p_csf - low) / (high - low), 0, 1)
    weights = {
        'gm': p_gm**sharpness * np.exp(0.3 * folds),
        'wm': p_wm**sharpness * np.exp(-0.3 * folds),
        'csf': p_csf**sharpness * np.exp(widening * (1 - near)),
    }
    total = sum(weights.values()) + 1e-9
    out = {name: weight / total * inside for name, weight in weights.items()}
    # Close to the border all three are small: what they leave is cerebrospinal fluid.
    out['csf'] += np.clip(inside - sum(out.values()), 0, 1)
    out['ventricles'] = out['csf'] * near
    out['lesion_site'] = out['wm'] * at('site')
    return out


def _structure_labels(brain, position: np.ndarray) -> np.ndarray:
    """Give the structure of the template at some points, small nuclei included."""
    index = [
        np.rint((position[i] - brain['affine'][i, 3]) / brain['affine'][i, i]).astype(np.intp)
        for i in range(3)
    ]
    index = [np.clip(at, 0, n - 1) for at, n in zip(index, brain['structures'].shape, strict=True)]
    labels = brain['structures'][tuple(index)]
    for label, (_, centre, radii) in SMALL_NUCLEI.items():
        away = sum(((position[i] - centre[i]) / radii[i]) ** 2 for i in range(3))
        labels[away < 1] = label
    return labels


def _positions(flow: np.ndarray, shape, where: np.ndarray) -> np.ndarray:
    """Give template coordinates (3, n) of the chosen voxels."""
    return np.stack([resize(part, shape)[where] for part in flow])


def _scatter(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    out = np.zeros(where.shape, np.float32)
    out[where] = values
    return out


@cache
def structure_names() -> dict[int, str]:
    """Return the names of the values of :attr:`Anatomy.structures`.

    Examples
    --------
    >>> names = structure_names()
    >>> names[3], names[106]
    ('left thalamus', 'right dentate nucleus')
    """
    table = template_file('dseg', extension='.tsv', atlas='csvdprep', desc='structures')
    return {int(row['index']): row['name'] for row in read_tsv(table).rows} | {
        label: name for label, (name, *_) in SMALL_NUCLEI.items()
    }


def _total(fractions) -> np.ndarray:
    total = np.zeros_like(next(iter(fractions.values())))
    for part in fractions.values():
        total += part
    return total


def _load(suffix: str, **entities: str) -> tuple[np.ndarray, np.ndarray]:
    """Read a file of the embedded template."""
    image = nib.load(template_file(suffix, **entities))
    return image.get_fdata(dtype=np.float32, caching='unchanged'), image.affine


@cache
def _template_brain() -> dict[str, np.ndarray]:
    """Prepare what depends on the template alone."""
    gm, affine = _load('probseg', label='GM')
    wm, _ = _load('probseg', label='WM')
    mask, _ = _load('mask')
    structures = _load('dseg', atlas='csvdprep', desc='structures')[0].astype(np.uint8)
    # The template's mask ends at the pia; a millimetre of CSF lies between it and the skull.
    box = _around(mask, 7)
    inside = np.zeros_like(mask)
    inside[box] = np.clip((ndi.gaussian_filter(mask[box], 1.5) - 0.25) / 0.35 + 0.5, 0, 1)
    ventricle = (structures == 1) | (structures == 2)
    box = _around(ventricle, 16)
    from_wall = ndi.distance_transform_edt(~ventricle[box])
    gm[box], wm[box] = _without_rim(gm[box], wm[box], ventricle[box], from_wall)
    zone = np.zeros_like(gm)
    zone[box] = np.clip(4 - from_wall, 0, 1)
    site = np.where(structures > 2, np.float32(0), np.float32(1))
    # Corpus callosum and fornix are next to never affected.
    x = affine[0, 3] + affine[0, 0] * np.arange(gm.shape[0], dtype=np.float32)
    site *= np.clip((np.abs(x) - 8) / 4, 0, 1).reshape(-1, 1, 1)
    out = {'gm': gm, 'wm': wm, 'inside': inside, 'ventricle_zone': zone, 'site': site}
    out['structures'] = structures
    out['affine'] = affine
    out['ventricle'] = ventricle
    out['push'], out['push_affine'] = _outward(ventricle, affine)
    out['from_skull'], out['depth'], out['distance_affine'] = head.distances(
        inside > 0.5, affine, LOW, HIGH
    )
    return out


@lru_cache(maxsize=1)
def _with_gyri(person: int) -> dict[str, np.ndarray]:
    """Return the template with the cortex and the white matter under it of a real person."""
    brain = dict(_template_brain())
    labels, _ = _load('dseg', atlas='gyri', desc=f'person{person}')
    lobes, _ = _load('dseg', atlas='csvdprep', desc='lobes')
    near = (brain['structures'] > 0) | (lobes == 0)
    away = ndi.gaussian_filter(
        (ndi.distance_transform_edt(~near) > FROM_NUCLEI_MM).astype(np.float32), GYRI_BLEND_MM
    )
    for name, label in (('gm', 2), ('wm', 3)):
        own = ndi.gaussian_filter((labels == label).astype(np.float32), GYRI_BLUR_MM)
        brain[name] = brain[name] + away * (own - brain[name])
    return brain


def _around(mask: np.ndarray, spare: int) -> tuple[slice, ...]:
    """Return the box around a mask, some voxels to spare."""
    return tuple(
        slice(max(edge.start - spare, 0), edge.stop + spare)
        for edge in ndi.find_objects((mask > 0).astype(np.uint8))[0]
    )


def _without_rim(gm, wm, ventricle, from_wall):
    """Take away the false grey matter where averaging mixed white matter with ventricles."""
    rim = from_wall < 3.5
    trusted = (~rim & ~ventricle).astype(np.float32)
    spread = ndi.gaussian_filter(trusted, 3.0) + 1e-6
    grey = ndi.gaussian_filter(gm * trusted, 3.0) / spread
    white = ndi.gaussian_filter(wm * trusted, 3.0) / spread
    false = np.where(rim & (white > grey), gm, 0)
    return gm - false, wm + false


def _outward(ventricle: np.ndarray, affine: np.ndarray, reach_mm: float = REACH_MM):
    """Return a field of unit length on the ventricles' walls that points away from them."""
    smooth, box = np.zeros(ventricle.shape, np.float32), _around(ventricle, 16)
    smooth[box] = ndi.gaussian_filter(ventricle[box].astype(np.float32), 2)
    small = ndi.zoom(smooth, 0.25, order=1)
    shape = np.array(ventricle.shape)
    coarse = affine.copy()
    coarse[:3, :3] *= (shape - 1) / (np.array(small.shape) - 1) * np.eye(3)
    steps = np.diag(coarse)[:3]
    distance = ndi.distance_transform_edt(small < 0.4, sampling=steps)
    depth = ndi.distance_transform_edt(small >= 0.4, sampling=steps)
    signed = ndi.gaussian_filter(distance - depth, 0.8)
    normal = np.stack(np.gradient(signed, *steps))
    normal /= np.linalg.norm(normal, axis=0) + 0.1
    field_ = normal * np.exp(-np.clip(distance, 0, None) / reach_mm)
    return np.stack([ndi.gaussian_filter(part, 0.7) for part in field_]), coarse
