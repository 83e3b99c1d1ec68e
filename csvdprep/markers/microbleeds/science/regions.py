"""In which region of the Microbleed Anatomical Rating Scale a place lies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

#: Regions of the scale that are infratentorial, and that are deep; all others are lobar.
INFRATENTORIAL = ('brainstem', 'cerebellum')
WHITE = 'deep or periventricular white matter'
DEEP = ('basal ganglia', 'thalamus', 'internal or external capsule', WHITE)
LOBAR = ('frontal', 'parietal', 'temporal', 'occipital', 'insula')


@dataclass(frozen=True)
class Region:
    """A place.

    Attributes
    ----------
    region : str
        Of the scale, e.g. 'frontal' or 'basal ganglia'.
    category : {'lobar', 'deep', 'infratentorial'}
        Of the scale.
    """

    region: str
    category: str


def region_of(
    structure: str | None,
    lobe: str | None,
    *,
    cortex: float,
    ventricle_mm: float,
    deep_mm: float = 10.0,
) -> Region:
    """Name the region of the Microbleed Anatomical Rating Scale [1]_.

    Parameters
    ----------
    structure, lobe : str or None
        Names of the labels of structures and lobes that most of the lesion lies in, without
        their side.
    cortex : float
        Share of cortex in the lesion and beside it.
    ventricle_mm : float
        Distance from the lateral ventricles, mm.
    deep_mm : float
        White matter up to this distance from the ventricles is deep.

    Returns
    -------
    Region

    References
    ----------
    .. [1] Gregoire S.M. et al. (2009) The Microbleed Anatomical Rating Scale (MARS).
       doi:10.1212/WNL.0b013e3181c34a7d

    Examples
    --------
    >>> region_of('thalamus', 'deep grey and capsules', cortex=0, ventricle_mm=5)
    Region(region='thalamus', category='deep')
    >>> region_of(None, 'frontal lobe', cortex=0, ventricle_mm=25)
    Region(region='frontal', category='lobar')
    >>> region_of(None, 'frontal lobe', cortex=0, ventricle_mm=4).category
    'deep'
    >>> region_of(None, 'temporal lobe', cortex=0.6, ventricle_mm=4).category
    'lobar'
    """
    structure, lobe = structure or '', lobe or ''
    for name in INFRATENTORIAL:
        if name in structure:
            return Region(name, 'infratentorial')
    if any(name in structure for name in ('caudate', 'putamen', 'pallidum')):
        return Region('basal ganglia', 'deep')
    if 'thalamus' in structure:
        return Region('thalamus', 'deep')
    name = next((name for name in LOBAR if name in lobe), None)
    if 'hippocampus' in structure:
        return Region('temporal', 'lobar')
    if 'deep' in lobe:
        return Region('internal or external capsule', 'deep')
    if ventricle_mm <= deep_mm and cortex < MOSTLY_CORTEX:
        return Region(WHITE, 'deep')
    return Region(name or 'not named', 'lobar')


#: Share of cortex from which a place close to a ventricle is lobar all the same.
MOSTLY_CORTEX = 0.25


def pattern(counts: Mapping[str, int]) -> str:
    """Name the pattern of definite microbleeds above the tentorium.

    Parameters
    ----------
    counts : mapping of str to int
        Number of ``lobar``, ``deep`` and ``infratentorial`` ones.

    Returns
    -------
    {'none', 'strictly lobar', 'strictly deep', 'mixed'}
        Those of brainstem and cerebellum count with the deep ones.

    Examples
    --------
    >>> pattern({'lobar': 3, 'deep': 0, 'infratentorial': 0})
    'strictly lobar'
    >>> pattern({'lobar': 3, 'deep': 0, 'infratentorial': 1})
    'mixed'
    """
    deep = counts['deep'] + counts['infratentorial']
    if counts['lobar'] and deep:
        return 'mixed'
    if counts['lobar']:
        return 'strictly lobar'
    return 'strictly deep' if deep else 'none'
