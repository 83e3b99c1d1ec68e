"""Where in the white matter a lesion lies: zones by distance, regions, sides.

The four zones follow Kim et al. 2008 (doi:10.1016/j.biopsych.2008.03.024): juxtaventricular,
periventricular, deep and juxtacortical white matter.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import ndimage as ndi

from csvdprep.science.distances import voxel_sizes
from csvdprep.science.morphology import dilate
from csvdprep.science.shapes import label_lesions, lesion_range, voxel_volume

__all__ = [
    'LABELS',
    'SCHEMES',
    'bullseye',
    'cortical_ribbon',
    'label_zones',
    'measure_zones',
    'region_volumes',
]

JV, PV, DW, JC, DEEP_GREY, INFRATENTORIAL, CONFLUENT = range(1, 8)

#: Labels of a zone image: name and abbreviation. The first four make up the total.
LABELS = {
    JV: ('juxtaventricular', 'JV'),
    PV: ('periventricular', 'PV'),
    DW: ('deep', 'DW'),
    JC: ('juxtacortical', 'JC'),
    DEEP_GREY: ('deep grey matter', 'DG'),
    INFRATENTORIAL: ('infratentorial', 'IT'),
    CONFLUENT: ('confluent', 'CF'),
}

#: Rules to choose from.
SCHEMES = {
    'kim': 'juxtaventricular to 3 mm, periventricular to 13 mm from the lateral ventricles; of '
    'the rest juxtacortical to 4 mm from the cortex, else deep',
    'cortex_first': 'as kim, but voxels more than 3 mm from the ventricles and within 4 mm of '
    'the cortex are juxtacortical',
    'pv10': 'periventricular to 10 mm from the lateral ventricles, else deep',
    'shiva-like': 'periventricular to 2 mm from the lateral ventricles (a dilation by two 1 mm '
    'voxels, as SHiVAi does), else deep',
    'bilateral': 'periventricular if closer to the ventricles than to the cortex, else deep',
    'component3-10': 'whole lesions: deep if all of it is beyond 10 mm from the ventricles, '
    'confluent if it comes within 3 mm and reaches beyond 10 mm, else periventricular',
}

_TOTAL = (JV, PV, DW, JC, CONFLUENT)
_PARTS = {
    'kim': (JV, PV, DW, JC),
    'cortex_first': (JV, PV, DW, JC),
    'pv10': (PV, DW),
    'shiva-like': (PV, DW),
    'bilateral': (PV, DW),
    'component3-10': (PV, DW, CONFLUENT),
}
_COLUMN = {JV: 'jv', PV: 'pv', DW: 'dw', JC: 'jc', CONFLUENT: 'cf'}
_MINIMUM_MM3 = 5.0


def cortical_ribbon(
    gm: np.ndarray,
    csf: np.ndarray,
    brain: np.ndarray,
    affine: np.ndarray,
    *,
    exclude: np.ndarray | None = None,
    ventricles: np.ndarray | None = None,
    depth_mm: float = 6.0,
    rim_mm: float = 3.0,
) -> np.ndarray:
    """Find the cortex: grey matter near the surface of the brain or a sulcus.

    ``{p_GM > 0.5}`` within ``depth_mm`` of what is outside of the brain or sulcal CSF, without
    ``exclude`` and what lies within ``rim_mm`` of ``ventricles``.

    Parameters
    ----------
    gm, csf : ndarray, shape (nx, ny, nz)
        Probabilities of grey matter and CSF.
    brain : ndarray of bool, shape (nx, ny, nz)
        Brain mask.
    affine : ndarray, shape (4, 4)
        From voxel indices to mm.
    exclude : ndarray of bool, optional
        Deep grey matter, brainstem, cerebellum, lesions: CSF in here is no sulcus, and grey
        matter in here no cortex.
    ventricles : ndarray of bool, optional
        Lateral ventricles. On T1w, CSF and white matter mixed in one voxel look like grey matter:
        a rim around them that is no cortex either.
    depth_mm : float
        Largest depth of cortex, mm.
    rim_mm : float
        Width of that rim, mm.

    Returns
    -------
    ndarray of bool, shape (nx, ny, nz)

    Examples
    --------
    >>> import numpy as np
    >>> brain = np.ones((40, 40, 40), bool)
    >>> gm = np.ones(brain.shape)
    >>> ribbon = cortical_ribbon(gm, 0 * gm, brain, np.eye(4))
    >>> ribbon[5, 20, 20], ribbon[6, 20, 20]
    (np.True_, np.False_)
    """
    brain = np.asarray(brain, dtype=bool)
    exclude = np.zeros(brain.shape, bool) if exclude is None else np.asarray(exclude, bool)
    if ventricles is not None:
        exclude = exclude | dilate(np.asarray(ventricles, bool), voxel_sizes(affine), rim_mm)
    inside = brain & ~((csf > 0.5) & ~exclude)
    ribbon = np.zeros(brain.shape, dtype=bool)
    found = ndi.find_objects(brain.view(np.uint8))
    if found:
        # The image may end within the head: its border counts as the outside.
        padded = np.pad(inside[found[0]], 1)
        depth = ndi.distance_transform_edt(padded, voxel_sizes(affine))[1:-1, 1:-1, 1:-1]
        ribbon[found[0]] = depth <= depth_mm
    return ribbon & brain & (gm > 0.5) & ~exclude


def label_zones(
    lesion: np.ndarray,
    d_v: np.ndarray,
    d_j: np.ndarray | None,
    *,
    scheme: str = 'kim',
    deep_grey: np.ndarray | None = None,
    infratentorial: np.ndarray | None = None,
) -> np.ndarray:
    """Give each voxel of the lesions its zone.

    Kim's rule, in this order: d_v <= 3 mm juxtaventricular (1), d_v <= 13 mm periventricular
    (2), d_j <= 4 mm juxtacortical (4), else deep (3). See `SCHEMES` for the others.

    Parameters
    ----------
    lesion : ndarray of bool, shape (nx, ny, nz)
        White matter hyperintensities.
    d_v, d_j : ndarray, shape (nx, ny, nz)
        Distance, mm, from the lateral ventricles and from the cortex (see
        `csvdprep.science.distances`). Values outside of the lesions are not used. Without
        ``d_j`` nothing is juxtacortical.
    scheme : str
        One of `SCHEMES`.
    deep_grey, infratentorial : ndarray of bool, optional
        Structures whose lesions are no white matter hyperintensities: labels 5 and 6.

    Returns
    -------
    ndarray of uint8, shape (nx, ny, nz)
        See `LABELS`.

    Raises
    ------
    ValueError
        If the scheme is unknown, needs ``d_j`` and has none, or if a distance is not finite
        within a lesion (no ventricles, or no cortex, were found).

    References
    ----------
    Kim et al. 2008, doi:10.1016/j.biopsych.2008.03.024

    Examples
    --------
    >>> import numpy as np
    >>> d_v = np.array([[[3.0, 3.1, 13.0, 13.1, 20.0]]])
    >>> d_j = np.array([[[1.0, 1.0, 9.0, 4.1, 4.0]]])
    >>> label_zones(np.ones(d_v.shape, bool), d_v, d_j).tolist()
    [[[1, 2, 2, 3, 4]]]
    >>> label_zones(np.ones(d_v.shape, bool), d_v, d_j, scheme='cortex_first').tolist()
    [[[1, 4, 2, 3, 4]]]
    """
    lesion = np.asarray(lesion, dtype=bool)
    if scheme not in SCHEMES:
        raise ValueError(f'Unknown scheme {scheme!r}; there are {", ".join(SCHEMES)}.')
    if scheme in ('cortex_first', 'bilateral') and d_j is None:
        raise ValueError(f'The scheme {scheme!r} needs the distance from the cortex.')
    zones = np.zeros(lesion.shape, dtype=np.uint8)
    for label, place in ((DEEP_GREY, deep_grey), (INFRATENTORIAL, infratentorial)):
        if place is not None:
            zones[lesion & np.asarray(place, dtype=bool)] = label
    white = lesion & (zones == 0)
    v = np.asarray(d_v)[white]
    j = np.full(v.shape, np.inf) if d_j is None else np.asarray(d_j)[white]
    if not np.isfinite(v).all():
        raise ValueError('The distance from the ventricles is not known for all lesions.')
    if d_j is not None and not np.isfinite(j).all():
        raise ValueError('The distance from the cortex is not known for all lesions.')

    if scheme == 'kim':
        part = np.select([v <= 3, v <= 13, j <= 4], [JV, PV, JC], DW)
    elif scheme == 'cortex_first':
        part = np.select([v <= 3, j <= 4, v <= 13], [JV, JC, PV], DW)
    elif scheme == 'pv10':
        part = np.where(v <= 10, PV, DW)
    elif scheme == 'shiva-like':
        part = np.where(v <= 2, PV, DW)
    elif scheme == 'bilateral':
        part = np.where(v < j, PV, DW)
    else:
        labels, n = label_lesions(white, np.eye(4))
        nearest, farthest = lesion_range(d_v, labels, n)
        confluent = (nearest <= 3) & (farthest > 10)
        lesionwise = np.select([nearest > 10, confluent], [DW, CONFLUENT], PV)
        part = lesionwise[labels[white] - 1]
    zones[white] = part
    assert ((zones > 0) == lesion).all(), 'the zones do not partition the lesions'
    return zones


def measure_zones(
    zones: np.ndarray,
    d_v: np.ndarray,
    d_j: np.ndarray | None,
    affine: np.ndarray,
    *,
    scheme: str = 'kim',
    icv_ml: float | None = None,
    side: np.ndarray | None = None,
) -> dict[str, float | int | None]:
    """Measure the lesions of a zone image.

    Parameters
    ----------
    zones : ndarray, shape (nx, ny, nz)
        From `label_zones`.
    d_v, d_j : ndarray, shape (nx, ny, nz)
        As in `label_zones`.
    affine : ndarray, shape (4, 4)
        From voxel indices to mm.
    scheme : str
        The scheme by which ``zones`` was made.
    icv_ml : float, optional
        Intracranial volume, mL.
    side : ndarray, optional
        1 left, 2 right of the midline.

    Returns
    -------
    dict
        Volumes in mL, volumes in percent of ``icv_ml``, number of lesions (26-connected, at
        least 5 mm3), the largest, mean distance from the ventricles (None without a lesion).
        None stands for what cannot be given. ``wmh_total_ml`` is the sum of the zones;
        lesions of deep grey matter and below the tentorium are not in it.

    Examples
    --------
    >>> import numpy as np
    >>> zones = np.zeros((10, 10, 10), np.uint8)
    >>> zones[:5] = 1
    >>> zones[5:] = 3
    >>> found = measure_zones(zones, np.full(zones.shape, 2.0), None, np.eye(4), icv_ml=1500.0)
    >>> found['wmh_total_ml'], found['wmh_jv_ml'], found['wmh_jc_ml'], found['wmh_n_lesions']
    (1.0, 0.5, None, 1)
    """
    voxel_ml = voxel_volume(affine) / 1000
    counts = np.bincount(zones.ravel(), minlength=8)
    white = np.isin(zones, _TOTAL)
    n_white = int(white.sum())
    v = np.asarray(d_v)[white]
    labels, n_lesions = label_lesions(white, affine, _MINIMUM_MM3)
    parts = [zone for zone in _PARTS[scheme] if zone != JC or d_j is not None]

    volumes: dict[str, float | None] = {'total': n_white * voxel_ml}
    for zone, column in _COLUMN.items():
        if zone != CONFLUENT or CONFLUENT in parts:
            volumes[column] = counts[zone] * voxel_ml if zone in parts else None
    assert sum(int(counts[zone]) for zone in parts) == n_white, 'zones and total disagree'

    values: dict[str, float | int | None] = {
        f'wmh_{name}_ml': None if ml is None else float(ml) for name, ml in volumes.items()
    }
    for name, ml in volumes.items():
        known = ml is not None and icv_ml is not None
        values[f'wmh_{name}_pct_icv'] = float(100 * ml / icv_ml) if known else None
    share = values['wmh_total_pct_icv']
    values['wmh_ln_pct_icv'] = None if share is None else float(np.log(share + 0.01))
    values['wmh_n_lesions'] = n_lesions
    values['wmh_largest_ml'] = float((labels == 1).sum() * voxel_ml) if n_lesions else 0.0
    values['wmh_mean_d_v_mm'] = float(v.mean(dtype=float)) if n_white else None
    values['wmh_pv10_ml'] = float((v <= 10).sum() * voxel_ml)
    values['wmh_confluent_ml'] = float(_confluent(white, d_v, affine) * voxel_ml)
    values['wmh_zone_ambiguous_ml'] = None
    if d_j is not None:
        ambiguous = (v > 3) & (v <= 13) & (np.asarray(d_j)[white] <= 4)
        values['wmh_zone_ambiguous_ml'] = float(ambiguous.sum() * voxel_ml)
    values['wmh_deepgrey_ml'] = float(counts[DEEP_GREY] * voxel_ml)
    values['wmh_infratentorial_ml'] = float(counts[INFRATENTORIAL] * voxel_ml)
    for name, label in (('left', 1), ('right', 2)):
        values[f'wmh_{name}_ml'] = (
            None if side is None else float((white & (side == label)).sum() * voxel_ml)
        )
    return values


def region_volumes(
    mask: np.ndarray, regions: np.ndarray, affine: np.ndarray, names: Mapping[int, str]
) -> dict[str, float]:
    """Measure the volume of lesions in each region of a label image on the same grid.

    Parameters
    ----------
    mask : ndarray of bool, shape (nx, ny, nz)
        The lesions.
    regions : ndarray of int, shape (nx, ny, nz)
        Lobes, vascular territories or other regions.
    affine : ndarray, shape (4, 4)
        From voxel indices to mm.
    names : mapping of int to str
        Name of each label.

    Returns
    -------
    dict of str to float
        Volumes in mL by name (labels of one name are added up), and ``'elsewhere'``. They add
        up to the volume of the mask.

    Examples
    --------
    >>> import numpy as np
    >>> regions = np.repeat([0, 1, 2, 2], 250).reshape(4, 250, 1)
    >>> region_volumes(regions >= 0, regions, np.eye(4), {1: 'frontal', 2: 'parietal'})
    {'frontal': 0.25, 'parietal': 0.5, 'elsewhere': 0.25}
    """
    inside = np.asarray(regions)[np.asarray(mask, dtype=bool)].astype(np.int64)
    voxel_ml = voxel_volume(affine) / 1000
    volumes = dict.fromkeys(names.values(), 0.0)
    volumes['elsewhere'] = 0.0
    for label, count in zip(*np.unique(inside, return_counts=True), strict=True):
        volumes[names.get(int(label), 'elsewhere')] += float(count * voxel_ml)
    return volumes


def bullseye(
    mask: np.ndarray,
    d_v: np.ndarray,
    d_j: np.ndarray,
    lobes: np.ndarray,
    affine: np.ndarray,
    names: Mapping[int, str],
    n_shells: int = 4,
) -> list[dict[str, str | int | float]]:
    """Measure lesions by lobe and by equidistant shell between ventricle and cortex.

    The shell is the part of the way, ``d_v / (d_v + d_j)``, in ``n_shells`` equal steps; 1 is
    next to the ventricles.

    Parameters
    ----------
    mask, d_v, d_j, lobes : ndarray, shape (nx, ny, nz)
        Lesions, distances in mm, labels of lobes.
    affine : ndarray, shape (4, 4)
        From voxel indices to mm.
    names : mapping of int to str
        Name of each lobe.
    n_shells : int
        Number of shells.

    Returns
    -------
    list of dict
        Rows with ``lobe``, ``shell`` and ``volume_ml``.

    References
    ----------
    Sudre et al. 2018, doi:10.1016/j.neurad.2017.10.001

    Examples
    --------
    >>> import numpy as np
    >>> d_v = np.linspace(0, 19, 20).reshape(20, 1, 1)
    >>> rows = bullseye(d_v >= 0, d_v, 20 - d_v, d_v >= 0, np.eye(4), {1: 'frontal'})
    >>> [row['volume_ml'] for row in rows]
    [0.005, 0.005, 0.005, 0.005]
    """
    mask = np.asarray(mask, dtype=bool)
    v, j = np.asarray(d_v)[mask], np.asarray(d_j)[mask]
    way = v / np.maximum(v + j, 1e-6)
    shell = np.minimum((way * n_shells).astype(int), n_shells - 1) + 1
    lobe = np.asarray(lobes)[mask].astype(int)
    voxel_ml = voxel_volume(affine) / 1000
    return [
        {
            'lobe': name,
            'shell': number,
            'volume_ml': float(((lobe == label) & (shell == number)).sum() * voxel_ml),
        }
        for label, name in names.items()
        for number in range(1, n_shells + 1)
    ]


def _confluent(white: np.ndarray, d_v: np.ndarray, affine: np.ndarray) -> int:
    """Count the voxels of lesions that reach from within 3 mm to beyond 13 mm."""
    labels, n = label_lesions(white, affine)
    nearest, farthest = lesion_range(d_v, labels, n)
    reach = (nearest <= 3) & (farthest > 13)
    return int(np.bincount(labels[white], minlength=n + 1)[1:][reach].sum())
