"""Series with contrast agent at rest: motion, coverage, pictures; for all rooms that make one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import nibabel as nib
import numpy as np

from csvdprep.imaging.drawing import COLOURS, Layer, draw_mosaic
from csvdprep.imaging.slices import every, extent, load_volume, slice_axis, window
from csvdprep.interfaces.values import Value
from csvdprep.science.head_motion import rotation_angles, rotation_of

#: Points of the brain whose motion is told, and of which coverage is judged, at most.
MOST_MOVED, MOST_COVERED = 2000, 50_000
#: Slices of a picture, at most.
MOST_SLICES = 21


def motion_of(
    motions: Sequence[np.ndarray], mask: np.ndarray, affine: np.ndarray
) -> list[tuple[float, ...]]:
    """Describe the motion of each volume about the middle of the brain.

    Parameters
    ----------
    motions : sequence of ndarray, shape (4, 4)
        Takes world points of the head at rest to where they were, RAS+ mm.
    mask : ndarray of bool, shape (I, J, K)
        Brain.
    affine : ndarray, shape (4, 4)
        Voxel to world, mm.

    Returns
    -------
    list of tuple of float
        What `csvdprep.core.motion.MOTION` declares: shift (mm), rotation (degrees), largest
        displacement (mm).

    Examples
    --------
    >>> shifted = np.eye(4)
    >>> shifted[0, 3] = 2
    >>> motion_of([np.eye(4), shifted], np.ones((3, 3, 3), bool), np.eye(4))[1]
    (2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2.0)
    """
    places = np.argwhere(mask)[:: max(1, int(mask.sum()) // MOST_MOVED)]
    points = nib.affines.apply_affine(affine, places)
    centre = points.mean(axis=0)
    rows = []
    for motion in motions:
        moved = nib.affines.apply_affine(motion, points)
        shift = nib.affines.apply_affine(motion, centre) - centre
        far = np.linalg.norm(moved - points, axis=1).max()
        rows.append(tuple(map(float, (*shift, *rotation_angles(rotation_of(motion)), far))))
    return rows


def coverage_of(
    inside: np.ndarray, reference: Any, matrix: np.ndarray, mean: Any, held: np.ndarray
) -> Value:
    """Say how much of the brain of the reference a series holds.

    Parameters
    ----------
    inside : ndarray of bool
        Brain of the reference.
    reference, mean : nibabel image
        Grids of the reference and of the series.
    matrix : ndarray, shape (4, 4)
        Resamples the series onto the reference: world of the reference to world of the series.
    held : ndarray of bool
        Voxels that all volumes of the series hold.

    Returns
    -------
    Value
        Percent.
    """
    points = np.argwhere(inside)[:: max(1, int(inside.sum()) // MOST_COVERED)]
    there = np.linalg.inv(mean.affine) @ matrix @ reference.affine
    voxels = np.rint(nib.affines.apply_affine(there, points)).astype(int)
    within = ((voxels >= 0) & (voxels < mean.shape[:3])).all(axis=1)
    within[within] = held[tuple(voxels[within].T)]
    return Value(100 * float(within.mean()), n=int(inside.sum()))


def draw_mean(out_file: str, baseline: str, brain: str) -> None:
    """Draw the mean before the contrast agent with the outline of the brain.

    Parameters
    ----------
    out_file : str
        SVG to write.
    baseline, brain : str
        Mean and brain.
    """
    image = load_volume(baseline)
    mask = load_volume(brain, image, order=0).data > 0
    cuts, step = every(mask, slice_axis(image), MOST_SLICES)
    draw_mosaic(
        out_file,
        [
            Layer(
                image,
                window(image, mask),
                outlines=[(mask, COLOURS['sky'])],
                name='Before the contrast agent',
                stroke=1.0,
            )
        ],
        cuts,
        box=extent(mask, image.zooms, 12.0),
        columns=7,
        legend={'Brain of the anatomy': COLOURS['sky']},
        note=f'Slices {step * image.zooms[slice_axis(image)]:.1f} mm apart.',
    )


def plot_motion(
    panels: Sequence[Any], rows: Sequence[Mapping[str, str]], time: Sequence[float], unit: str
) -> None:
    """Plot shifts and rotations over time.

    Parameters
    ----------
    panels : two matplotlib axes
        For shifts (mm) and for rotations (degrees).
    rows : sequence of mapping
        Of a table of motion.
    time : sequence of float
        Of each row.
    unit : str
        Of time.
    """
    kinds = (('trans', 'shift, mm'), ('rot', 'rotation, degrees'))
    for axes, (kind, label) in zip(panels, kinds, strict=True):
        for axis, colour in zip('xyz', ('#d55e00', '#0072b2', '#009e73'), strict=True):
            values = [float(row[f'{kind}_{axis}']) for row in rows]
            axes.plot(time, values, color=colour, label=axis, lw=1.4)
        axes.axhline(0, color='0.8', lw=0.8, zorder=0)
        axes.set(xlabel=f'time, {unit}', title=label)
        axes.spines[['top', 'right']].set_visible(False)
    panels[0].legend(frameon=False, fontsize=8, ncols=3)
