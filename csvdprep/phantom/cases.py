"""Named test cases P1 to P5, P9 and P14 to P16: small phantoms whose truth is known exactly.

Those of single modalities live with them: P6 and P11 in ``susceptibility.cases``, P7 and P8 in
``diffusion.tensors``, P10 in ``permeability.cases``, P12 in the tests of perfusion, P13 in
``head.vessels``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import nibabel as nib
import numpy as np

from csvdprep.phantom.dataset.presets import FLAIR_2D, FLAIR_3D, MPRAGE, T1W_3D, THICK, THIN
from csvdprep.phantom.diffusion.tensors import penumbra_case
from csvdprep.phantom.disease import small
from csvdprep.phantom.disease.grading import graded, true_grades
from csvdprep.phantom.disease.hyperintensities import lesion_growth
from csvdprep.phantom.geometry.features import draw
from csvdprep.phantom.geometry.spheres import ConcentricPhantom, make_grid, positions
from csvdprep.phantom.head.anatomy import Anatomy, make_anatomy
from csvdprep.phantom.scanner.recorder import nifti
from csvdprep.phantom.scanner.scan import Scan
from csvdprep.phantom.scanner.scene import Scene
from csvdprep.phantom.structural.images import Protocol, acquire

#: Ventricle and cortex of the zone phantoms, mm; the ventricle is shifted in the last two.
P2 = (
    ConcentricPhantom(ventricle_mm=12, cortex_mm=45),
    ConcentricPhantom(ventricle_mm=14, cortex_mm=42),
    ConcentricPhantom(ventricle_mm=16, cortex_mm=40),
    ConcentricPhantom(ventricle_mm=20, cortex_mm=50),
    ConcentricPhantom(ventricle_mm=12, cortex_mm=45, shift=(3.3, -4.7, 2.2)),
    ConcentricPhantom(ventricle_mm=16, cortex_mm=45, shift=(-2.4, 3.1, -1.7)),
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """Images and what is true of them.

    Attributes
    ----------
    images : mapping of str to nibabel.Nifti1Image
        By BIDS suffix, or suffix and visit.
    masks : mapping of str to nibabel.Nifti1Image
        True masks, on the grid of an image.
    truth : mapping
        Numbers.
    """

    images: Mapping[str, nib.Nifti1Image] = field(default_factory=dict)
    masks: Mapping[str, nib.Nifti1Image] = field(default_factory=dict)
    truth: Mapping[str, Any] = field(default_factory=dict)


def p1_head(wmh_ml: float, *, thick: bool = False, spacing: float = 1.0, seed: int = 3) -> Case:
    """Make a head with a load of hyperintensities: T1w and FLAIR, 20 % bias, 3 % noise.

    Parameters
    ----------
    wmh_ml : float
        Volume, mL: 0.5 to 80 in the acceptance test.
    thick : bool
        FLAIR of 0.9 x 0.9 x 5 mm instead of 1 mm.
    spacing : float
        Of the head and of thin voxels, mm.
    seed : int
        Whose head.

    Returns
    -------
    Case
        ``T1w`` and ``FLAIR``; the mask ``WMH`` on the FLAIR; volumes in mL.

    Examples
    --------
    >>> case = p1_head(8.0, thick=True, spacing=3)
    >>> round(case.truth['wmh_ml'], 3)
    8.0
    """
    anatomy = make_anatomy(seed, spacing=spacing, ventricles_mm=3, atrophy=0.7)
    scene = Scene(anatomy=anatomy, wmh=lesion_growth(anatomy, seed).fraction(wmh_ml), seed=seed)
    fine = (spacing,) * 3
    flair = (
        replace(THICK, bias=0.2, noise=0.03)
        if thick
        else replace(THIN, voxel=fine, bias=0.2, noise=0.03)
    )
    protocols = (
        Protocol(
            suffix='T1w', sequence=MPRAGE, scan=replace(T1W_3D, voxel=fine, bias=0.2, noise=0.03)
        ),
        Protocol(suffix='FLAIR', sequence=FLAIR_2D if thick else FLAIR_3D, scan=flair),
    )
    images = {p.suffix: _image(scene, p, number) for number, p in enumerate(protocols)}
    mask = flair.sample(scene.wmh, scene.affine) >= 0.5
    volumes = {f'{name}_ml': anatomy.volume_ml(name) for name in ('gm', 'wm', 'csf')}
    return Case(
        images=images,
        masks={'WMH': _mask(mask, flair)},
        truth={'wmh_ml': float(scene.wmh.sum(dtype=float)) * anatomy.voxel_ml, **volumes},
    )


def p3_grades(pv: int, deep: int, *, spacing: float = 2.0, seed: int = 3) -> Case:
    """Make a head with hyperintensities of a pair of Fazekas grades.

    Cases drawn to the words of the grades are in :mod:`csvdprep.phantom.geometry.grades`.

    Parameters
    ----------
    pv, deep : int
        Grades, 0 to 3.
    spacing : float
        Of the head's grid, mm.
    seed : int
        Whose head.

    Returns
    -------
    Case
        Masks ``WMH`` and ``ventricles`` on the head's grid; ``fazekas_pv``, ``fazekas_deep``.

    Examples
    --------
    >>> p3_grades(1, 1, spacing=2.5).truth
    {'fazekas_pv': 1, 'fazekas_deep': 1}
    """
    anatomy = make_anatomy(seed, spacing=spacing, ventricles_mm=2.5, atrophy=0.7)
    share = graded(anatomy, seed, pv, deep)
    found = true_grades(anatomy, share)
    masks = {'WMH': share >= 0.5, 'ventricles': anatomy.regions['ventricles'] > 0.5}
    return Case(
        masks={name: nifti(mask.astype(np.uint8), anatomy.affine) for name, mask in masks.items()},
        truth={'fazekas_pv': found.pv, 'fazekas_deep': found.deep},
    )


def p4_overlaps() -> dict[str, tuple[np.ndarray, np.ndarray, dict[str, float | None]]]:
    """Give pairs of masks of which the WMH Challenge measures were worked out by hand.

    Returns
    -------
    dict
        By name: reference, prediction (both (8, 8, 4), voxels of 1 mm, slices along the last
        axis), and the measures; None where there is none.

    Examples
    --------
    >>> sorted(p4_overlaps())
    ['both empty', 'half', 'missed', 'nothing found', 'nothing there', 'same']
    """
    empty = np.zeros((8, 8, 4), np.uint8)
    pair, left, right, one = (empty.copy() for _ in range(4))
    pair[1:3, 1, 1] = left[1, 1, 1] = right[2, 1, 1] = one[1, 1, 1] = 1
    two = one.copy()
    two[6, 6, 3] = 1
    perfect = {'dice': 1.0, 'hd95': 0.0, 'avd': 0.0, 'recall': 1.0, 'precision': 1.0, 'f1': 1.0}
    half = {'dice': 2 / 3, 'hd95': 0.95, 'avd': 50.0, 'recall': 1.0, 'precision': 1.0, 'f1': 1.0}
    # Directed distances of 'missed': 0 from the prediction; 0 and √(5² + 5² + 2²) back.
    missed = {
        'dice': 2 / 3,
        'hd95': 0.95 * np.sqrt(54),
        'avd': 50.0,
        'recall': 0.5,
        'precision': 1.0,
        'f1': 2 / 3,
    }
    return {
        'same': (pair, pair, perfect),
        'half': (pair, left, half),
        'missed': (two, one, missed),
        'nothing found': (
            pair,
            empty,
            {'dice': 0.0, 'hd95': None, 'avd': 100.0, 'recall': 0.0, 'precision': 1.0, 'f1': 0.0},
        ),
        'nothing there': (
            empty,
            pair,
            {'dice': 0.0, 'hd95': None, 'avd': None, 'recall': 1.0, 'precision': 0.0, 'f1': 0.0},
        ),
        'both empty': (empty, empty, {'hd95': None, 'recall': 1.0, 'precision': 1.0, 'f1': 1.0}),
    }


def p5_mix(*, lacunes: int = 6, spaces: int = 40, spacing: float = 1.0, seed: int = 5) -> Case:
    """Make a mix of lacunes, perivascular spaces and other tubes on white matter.

    Parameters
    ----------
    lacunes, spaces : int
        Numbers.
    spacing : float
        Voxel size, mm.
    seed : int
        Decides where.

    Returns
    -------
    Case
        ``share``: an image of how much of each voxel is fluid; masks ``lacune`` and ``PVS``;
        ``lacunes`` and ``spaces``: rows of centre (mm) and diameter.

    Examples
    --------
    >>> case = p5_mix(lacunes=2, spaces=4, spacing=3)
    >>> len(case.truth['lacunes']), len(case.truth['spaces'])
    (2, 4)
    """
    anatomy = make_anatomy(seed, spacing=max(spacing, 2.0))
    found = small.lacunes(anatomy, seed, lacunes)
    found += small.perivascular_spaces(anatomy, seed, spaces // 2, spaces - spaces // 2, found)
    scan = Scan(voxel=(spacing,) * 3, low=(-75, -95, -60), high=(75, 80, 75))
    shape, affine = scan.grid()
    parts = {kind: [f for f in found if f.kind == kind] for kind in ('lacune', 'PVS')}
    shares = {kind: draw(some, shape, affine)[0] for kind, some in parts.items()}
    rows = {kind: [(*f.centre, f.diameter_mm) for f in some] for kind, some in parts.items()}
    return Case(
        images={'share': nifti(np.minimum(sum(shares.values()), 1), affine)},
        masks={kind: _mask(share >= 0.5, scan) for kind, share in shares.items()},
        truth={'lacunes': rows['lacune'], 'spaces': rows['PVS']},
    )


def p9_penumbra(*, spacing: float = 1.0, radius_mm: float = 10.0) -> Case:
    """Make a round hyperintensity in white matter whose diffusivity falls with distance from it.

    ``MD(d) = 0.8 + 0.3 exp(-d / 4 mm)`` in 1e-3 mm²/s outside of the lesion, 1.2 within.

    Parameters
    ----------
    spacing : float
        Voxel size, mm.
    radius_mm : float
        Radius of the lesion.

    Returns
    -------
    Case
        Image ``md`` (1e-3 mm²/s); masks ``WMH`` and ``WM`` (lesion included); ``distance_mm``:
        exact distance of each voxel's centre from the lesion; ``rings``: mean of MD in each
        shell of 1 mm from 0-1 to 19-20 mm, from the formula.

    Examples
    --------
    >>> [round(mean, 3) for mean in p9_penumbra(spacing=4).truth['rings'][:3]]
    [1.064, 1.006, 0.96]
    """
    shape, affine = make_grid((spacing,) * 3, 2 * (radius_mm + 24))
    radius = np.linalg.norm(positions(shape, affine), axis=-1)
    distance = np.maximum(radius - radius_mm, 0)
    md = np.where(radius <= radius_mm, 1.2, 1e3 * penumbra_case(distance))
    masks = {'WMH': radius <= radius_mm, 'WM': radius <= radius_mm + 22}
    rings = []
    for inner in range(20):
        d = inner + (np.arange(200) + 0.5) / 200
        rings.append(float(np.average(1e3 * penumbra_case(d), weights=(radius_mm + d) ** 2)))
    return Case(
        images={'md': nifti(md.astype(np.float32), affine)},
        masks={name: nifti(mask.astype(np.uint8), affine) for name, mask in masks.items()},
        truth={'distance_mm': distance, 'rings': rings},
    )


def p14_pair(*, spacing: float = 1.0, seed: int = 3, loss_pct: float = 0.5) -> Case:
    """Make two visits: 2 mL of lesion gained, 1 mL lost, 0.5 % of the brain lost, head turned.

    Parameters
    ----------
    spacing : float
        Of head and voxels, mm.
    seed : int
        Whose head.
    loss_pct : float
        Loss of grey and white matter between the visits, percent.

    Returns
    -------
    Case
        ``T1w_1``, ``FLAIR_1``, ``T1w_2``, ``FLAIR_2``; masks ``WMH_1``, ``WMH_2`` on the FLAIRs;
        volumes of change in mL and percent. The second head is turned by 5, -3 and 4 degrees.

    Examples
    --------
    >>> truth = p14_pair(spacing=4).truth
    >>> [round(truth[key], 2) for key in ('growth_ml', 'shrink_ml', 'pbvc')]
    [2.0, 1.0, -0.5]
    """
    before = make_anatomy(seed, spacing=spacing, ventricles_mm=3, atrophy=0.7)
    after = _atrophied(before, seed, spacing, loss_pct)
    images, masks, shares = {}, {}, []
    for visit, anatomy in enumerate((before, after), start=1):
        growth = lesion_growth(anatomy, seed)
        share = growth.fraction(15) if visit == 1 else growth.changed(15, 2, 1)
        scene = Scene(anatomy=anatomy, wmh=share, seed=seed)
        shares.append(float(share.sum(dtype=float)) * anatomy.voxel_ml)
        for number, (suffix, sequence, scan) in enumerate(
            (('T1w', MPRAGE, T1W_3D), ('FLAIR', FLAIR_3D, THIN))
        ):
            turned = replace(scan, voxel=(spacing,) * 3)
            turned = turned.after((5, -3, 4), (2, -3, 1)) if visit == 2 else turned
            protocol = Protocol(suffix=suffix, sequence=sequence, scan=turned)
            images[f'{suffix}_{visit}'] = _image(scene, protocol, 10 * visit + number)
        masks[f'WMH_{visit}'] = _mask(turned.sample(share, anatomy.affine) >= 0.5, turned)
    return Case(
        images=images,
        masks=masks,
        truth={
            'growth_ml': 2.0,
            'shrink_ml': 1.0,
            'wmh_ml_1': shares[0],
            'wmh_ml_2': shares[1],
            'pbvc': 100 * (_brain_ml(after) / _brain_ml(before) - 1),
        },
    )


def _atrophied(before: Anatomy, seed: int, spacing: float, loss_pct: float) -> Anatomy:
    """Return the head after a loss of brain: sulci widen until it is met."""
    low, less_low, high = 0.7, -loss_pct, 0.8
    for _ in range(12):
        after = make_anatomy(seed, spacing=spacing, ventricles_mm=3, atrophy=high)
        less_high = 100 * (1 - _brain_ml(after) / _brain_ml(before)) - loss_pct
        if abs(less_high) < 0.005:
            break
        # The loss is close to linear in the parameter: follow the line through two points.
        step = less_high * (high - low) / (less_high - less_low)
        low, less_low, high = high, less_high, high - step
    return after


def _brain_ml(anatomy: Anatomy) -> float:
    return anatomy.volume_ml('gm') + anatomy.volume_ml('wm')


def p15_sites(
    *, sites: int = 4, persons: int = 200, measures: int = 6, seed: int = 15
) -> dict[str, np.ndarray]:
    """Draw a table of measures with known effects of site and covariates.

    ``y = alpha + X beta + sigma (gamma_site + delta_site e)`` with ``e`` standard normal: the
    model of ComBat [1]_ in units of each measure's own spread. Over the persons, the effects of
    the sites have mean 0 and the spreads a mean square of 1.

    Parameters
    ----------
    sites, persons, measures : int
        Numbers.
    seed : int
        Decides everything.

    Returns
    -------
    dict of str to ndarray
        ``y`` (persons, measures), ``x`` (persons, 2: age in decades from 70, sex), ``site``
        (persons,), and the parameters ``alpha``, ``sigma`` (measures,), ``beta`` (2, measures),
        ``gamma``, ``delta`` (sites, measures).

    References
    ----------
    .. [1] Johnson W.E. et al. (2007) Adjusting batch effects in microarray expression data using
       empirical Bayes methods. doi:10.1093/biostatistics/kxj037

    Examples
    --------
    >>> table = p15_sites(persons=40)
    >>> table['y'].shape, table['gamma'].shape
    ((40, 6), (4, 6))
    """
    rng = np.random.default_rng([seed, 15])
    site = rng.permutation(np.arange(persons) % sites)
    x = np.column_stack([rng.normal(0, 0.8, persons), rng.integers(0, 2, persons)])
    alpha, sigma = rng.uniform(1, 10, measures), rng.uniform(0.2, 2, measures)
    beta = rng.normal(0, 0.5, (2, measures)) * sigma
    gamma = rng.normal(0, 0.6, (sites, measures))
    gamma -= gamma[site].mean(axis=0)
    delta = np.exp(rng.normal(0, 0.25, (sites, measures)))
    delta /= np.sqrt((delta[site] ** 2).mean(axis=0))
    e = rng.standard_normal((persons, measures))
    y = alpha + x @ beta + sigma * (gamma[site] + delta[site] * e)
    return {
        'y': y,
        'x': x,
        'site': site,
        'alpha': alpha,
        'sigma': sigma,
        'beta': beta,
        'gamma': gamma,
        'delta': delta,
    }


def p16_poses(*, spacing: float = 1.0, seed: int = 3, wmh_ml: float = 10.0) -> Case:
    """Make one head in two poses and storages: straight RAS, and turned by 12 degrees, as LPI.

    Parameters
    ----------
    spacing : float
        Of head and voxels, mm.
    seed : int
        Whose head.
    wmh_ml : float
        Volume of hyperintensities, mL.

    Returns
    -------
    Case
        ``T1w_straight``, ``FLAIR_straight``, ``T1w_turned``, ``FLAIR_turned`` without noise or
        bias; masks ``WMH_straight``, ``WMH_turned``; the ``pose`` (4 x 4) between them.

    Examples
    --------
    >>> case = p16_poses(spacing=4)
    >>> nib.aff2axcodes(case.images['T1w_turned'].affine)
    ('L', 'P', 'I')
    """
    anatomy = make_anatomy(seed, spacing=spacing, ventricles_mm=3, atrophy=0.7)
    scene = Scene(anatomy=anatomy, wmh=lesion_growth(anatomy, seed).fraction(wmh_ml), seed=seed)
    # Room for the turned head: nothing of it may be cut off.
    straight = Scan(
        voxel=(spacing,) * 3, noise=0, bias=0, low=(-104, -130, -120), high=(104, 130, 116)
    )
    turned = replace(straight, stored='LPI').after((12, 0, 0), (3, -2, 4))
    turned = turned.after((0, 5, -7), (0, 0, 0))
    images, masks = {}, {}
    for name, scan in (('straight', straight), ('turned', turned)):
        for suffix, sequence in (('T1w', MPRAGE), ('FLAIR', FLAIR_3D)):
            protocol = Protocol(suffix=suffix, sequence=sequence, scan=scan)
            images[f'{suffix}_{name}'] = _image(scene, protocol, 1)
        masks[f'WMH_{name}'] = _mask(scan.sample(scene.wmh, scene.affine) >= 0.5, scan)
    return Case(images=images, masks=masks, truth={'pose': turned.pose, 'wmh_ml': wmh_ml})


def _image(scene: Scene, protocol: Protocol, noise_seed: int) -> nib.Nifti1Image:
    data, scan = acquire(scene, protocol, noise_seed)
    return nifti(data, scan.grid()[1])


def _mask(mask: np.ndarray, scan: Scan) -> nib.Nifti1Image:
    return nifti(mask.astype(np.uint8), scan.grid()[1])
