"""Slices through lesions at both visits, for the picture."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage as ndi

from csvdprep.longitudinal.incident.science import Track
from csvdprep.longitudinal.incident.science.contrast import look

#: Side of a slice and of its pixels, mm.
FIELD_MM, PIXEL_MM = 44.0, 0.5
_SIDE = int(FIELD_MM / PIXEL_MM)


def tiles_of(track: Track, scans) -> np.ndarray:
    """Cut axial slices of the shared space through the middle of a lesion.

    Parameters
    ----------
    track : Track
        Of a lesion.
    scans : two Scan
        Of the earlier and the later visit.

    Returns
    -------
    ndarray of float32, shape (88, 88, 2, 2)
        Earlier and later visit along the third axis; along the fourth the intensity over that of
        the surroundings, and the outline: 1 where a list has the lesion, 2 where it does not
        count.
    """
    out = np.zeros((_SIDE, _SIDE, 2, 2), np.float32)
    pair = (track.first, track.last)
    counted = max((one for one in pair if one is not None), key=lambda one: one.definite)
    middle = counted.points.mean(axis=0)
    steps = (np.arange(_SIDE) - (_SIDE - 1) / 2) * PIXEL_MM
    x, y = np.meshgrid(steps, steps, indexing='ij')
    places = np.stack([x, y, np.zeros_like(x)], axis=-1) + middle
    for k, scan in enumerate(scans):
        own = pair[k]
        sure = own is not None and own.definite
        matrix = np.linalg.inv(scan.affine) @ scan.way
        index = places @ matrix[:3, :3].T + matrix[:3, 3]
        seen = ndi.map_coordinates(scan.image, index.transpose(2, 0, 1), order=1)
        level = look(scan, counted.points, counted.mm3).level or float(np.median(seen)) or 1.0
        out[..., k, 0] = seen / level
        out[..., k, 1] = _outline(own if sure else counted, places) * (1 if sure else 2)
    return out


def _outline(lesion, places) -> np.ndarray:
    """Mark the pixels that lie in a lesion."""
    reach = max(0.7 * lesion.mm3 ** (1 / 3), PIXEL_MM)
    near = lesion.points[np.abs(lesion.points[:, 2] - places[0, 0, 2]) <= reach]
    mask = np.zeros(places.shape[:2], bool)
    index = np.rint((near[:, :2] - places[0, 0, :2]) / PIXEL_MM).astype(int)
    inside = ((index >= 0) & (index < _SIDE)).all(axis=1)
    mask[tuple(index[inside].T)] = True
    return ndi.binary_closing(np.pad(mask, 4), np.ones((5, 5)))[4:-4, 4:-4]


def save_tiles(tiles: list[np.ndarray], path: Path) -> str:
    """Write slices of all lesions, two after one another, as one image.

    Parameters
    ----------
    tiles : list of ndarray
        Of `tiles_of`; may be empty.
    path : Path
        NIfTI to write.

    Returns
    -------
    str
        The path.
    """
    data = np.concatenate(tiles, axis=2) if tiles else np.zeros((2, 2, 2, 2), np.float32)
    nib.save(nib.Nifti1Image(data, np.diag([PIXEL_MM, PIXEL_MM, 1.0, 1.0])), path)
    return str(path)
