"""Regions of a series with contrast agent: tissue, hyperintensities, what is around them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nipype.interfaces.base import isdefined

from csvdprep.core.regions import RINGS, ZONES
from csvdprep.imaging.atlas import labels_of
from csvdprep.imaging.frame import ImageFrame
from csvdprep.imaging.images import load, save
from csvdprep.interfaces.values import Value
from csvdprep.science.distances import distance_map
from csvdprep.science.morphology import dilate

#: Nuclei that make up deep grey matter.
DEEP = ('caudate nucleus', 'putamen', 'pallidum', 'thalamus')
#: Share of fluid from which a voxel is left out, and distance from fluid that white matter keeps.
FLUID, FROM_FLUID_MM = 0.05, 2.0


def contrast_regions(
    frame: ImageFrame, brain: np.ndarray, folder: Path, given: Any, margin_mm: float
) -> dict[str, np.ndarray]:
    """Find the regions of :data:`csvdprep.core.regions.REGIONS`.

    Parameters
    ----------
    frame : ImageFrame
        Grid of the series, with the way to the reference and, where hyperintensities were
        segmented, to the FLAIR (``'flair'``).
    brain : ndarray of bool
        Brain, on that grid.
    folder : Path
        For files in between.
    given : object
        Has the paths ``gm_probseg``, ``wm_probseg``, ``csf_probseg``, ``structures_dseg``,
        ``wmh_mask`` and ``zones_dseg`` as attributes.
    margin_mm : float
        White matter is normal-appearing if it is farther than this from hyperintensities.

    Returns
    -------
    dict of str to ndarray of bool
        Those of hyperintensities only where they were segmented.
    """
    grey, white = frame.share(given.gm_probseg), frame.share(given.wm_probseg)
    fluid = frame.share(given.csf_probseg)
    structures = np.asanyarray(load(given.structures_dseg).dataobj)
    all_labels = np.unique(structures[structures > 0])
    others = frame.share(given.structures_dseg, labels=all_labels)
    deep = [
        k
        for name in DEEP
        for side in ('left', 'right')
        for k in labels_of('structures', f'{side} {name}')
    ]
    nuclei = frame.share(given.structures_dseg, labels=deep)
    dry = brain & (fluid <= FLUID)
    share = np.zeros(brain.shape, np.float32)
    if 'flair' in frame.ways:
        share = frame.share(given.wmh_mask, 'flair')
    # The anatomy knows fluid finer than the series does.
    source = load(given.csf_probseg)
    wet = np.asanyarray(source.dataobj, np.float32) > 0.5
    wide = dilate(wet, nib.affines.voxel_sizes(source.affine), FROM_FLUID_MM)
    near = frame.share(save(wide.astype(np.uint8), source, folder / 'mask.nii'))
    pure = dry & (white >= 0.9) & (others <= FLUID)
    away = _from_lesions(frame, given.wmh_mask, brain & (white > 0))
    regions = {
        'nawm': pure & (near <= 0.25) & (away > margin_mm),
        'dgm': dry & (nuclei >= 0.7) & (share < 0.05),
        'cgm': brain & (grey >= 0.7) & (others <= FLUID) & (fluid <= 0.25),
    }
    if 'flair' in frame.ways:
        regions['wmh'] = dry & (share >= 0.5) & (others <= 0.5)
        if isdefined(given.zones_dseg):
            for name, label in ZONES.items():
                zone = frame.share(given.zones_dseg, 'flair', labels=[label])
                regions[name] = dry & (zone >= 0.5)
        for name, (low, high) in RINGS.items():
            ring = (share < 0.05) & (away > low) & (away <= high)
            regions[name] = pure & (near <= 0.25) & ring
    return regions


def _from_lesions(frame, wmh_mask, where) -> np.ndarray:
    """Return the distance (mm) from hyperintensities, infinite without any."""
    far = np.full(where.shape, np.inf, np.float32)
    if 'flair' not in frame.ways:
        return far
    mask = load(wmh_mask)
    lesions = np.asanyarray(mask.dataobj) > 0
    if not lesions.any():
        return far
    here = np.linalg.inv(frame.ways['flair']) @ mask.affine
    found = distance_map(lesions, here, where.shape, frame.image.affine, where=where)
    return np.where(np.isfinite(found), found, np.inf)


def unsegmented(name: str, value: Value) -> Value:
    """Flag what is called normal-appearing white matter, or is relative to it.

    Parameters
    ----------
    name : str
        Measure.
    value : Value
        What was found where hyperintensities were not segmented.

    Returns
    -------
    Value
        With a flag and its reason, if the measure is of normal-appearing white matter.

    Examples
    --------
    >>> unsegmented('vp_nawm', Value(0.01)).qc, unsegmented('vp_cgm', Value(0.02)).qc == 'warn'
    ('warn', False)
    """
    if value.value is None or 'nawm' not in name:
        return value
    said = 'hyperintensities were not segmented: they are in the white matter called normal'
    return replace(value, reason='; '.join(filter(None, (value.reason, said))), qc='warn')
