"""The true ALPS index: a ratio of diffusivities beside the bodies of the lateral ventricles."""

from __future__ import annotations

import numpy as np

from csvdprep.phantom.diffusion import tensors
from csvdprep.phantom.diffusion.fibres import jacobians, matrices, rotated, turns
from csvdprep.phantom.geometry.features import Ellipsoid
from csvdprep.phantom.scanner.recorder import Recorder
from csvdprep.phantom.scanner.scan import Scan
from csvdprep.phantom.scanner.scene import Scene

#: Centres of the ALPS regions, mm in the template, by side: projection, association.
ALPS_CENTRES = {'L': ((-26, -16, 27), (-38, -16, 27)), 'R': ((26, -16, 27), (38, -16, 27))}
#: Voxels of these regions count if they are anisotropic, not fluid, and run the right way.
ALPS_FA, ALPS_MD, ALPS_ALONG, ALPS_LEAST = 0.2, 1.1e-3, 0.8, 0.25


def note_alps(
    scene: Scene,
    scan: Scan,
    parts: np.ndarray,
    inside: np.ndarray,
    wmh: np.ndarray,
    recorder: Recorder,
) -> None:
    """Note the ALPS index (a ratio of diffusivities).

    Parameters
    ----------
    scene : Scene
        The head.
    scan : Scan
        Grid and pose.
    recorder : Recorder
        Where it goes.
    parts : ndarray, shape (6, n)
        Apparent tensors of the voxels inside, axes of the head.
    inside : ndarray of bool
        Which voxels of the scan these are.
    wmh : ndarray, shape (n,)
        Share of hyperintensity in each.
    """
    means = {
        (radius, side): [
            alps_region(scene, scan, parts, inside, wmh, centre, radius, axis)
            for centre, axis in zip(centres, (2, 1), strict=True)
        ]
        for radius in (2.5, 5.0)
        for side, centres in ALPS_CENTRES.items()
    }
    said = (
        'ALPS index of the apparent tensors, weighted by the share of each voxel in spheres '
        'of the template that were carried into the head, without fluid, hyperintensities '
        'and other directions'
    )
    frames = {
        'reo': 'axes of the template (finite strain)',
        'lab': 'axes of the scanner',
        'pas': 'axes of the fibres',
    }
    for frame, text in frames.items():
        for radius, key in ((2.5, 'r2p5'), (5.0, 'r5')):
            if radius == 5.0 and frame != 'reo':
                continue
            found = {side: _index(frame, *means[radius, side], scan) for side in 'LR'}
            whole = None if None in found.values() else sum(found.values()) / 2
            meaning = f'{said}; radius {radius:g} mm, {text}'
            recorder.measure(f'alps_{frame}_{key}', whole, '', f'{meaning}: mean of both sides')
            if frame == 'reo' and radius == 2.5:
                for side, name in (('L', 'left'), ('R', 'right')):
                    recorder.measure(
                        f'alps_reo_r2p5_{name}', found[side], '', f'{meaning}: {name}'
                    )


def _index(frame: str, projection, association, scan: Scan) -> float | None:
    """Return the index of one side in one frame; None if a region has too few voxels."""
    if projection is None or association is None:
        return None
    if frame == 'pas':
        return tensors.alps_along_fibres(projection[0], association[0])
    if frame == 'lab':
        pose = scan.pose[:3, :3]
        return tensors.alps(
            *(pose @ turn.T @ tensor @ turn @ pose.T for tensor, turn in (projection, association))
        )
    return tensors.alps(projection[0], association[0])


def alps_region(
    scene: Scene, scan: Scan, parts, inside, wmh, centre, radius: float, axis: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the mean tensor of an ALPS region in the axes of the template.

    Parameters
    ----------
    scene, scan, parts, inside, wmh
        As in :func:`note_alps`.
    centre : sequence of float
        Of the sphere, mm in the template.
    radius : float
        mm in the template.
    axis : int
        Axis of the template along which fibres must run.

    Returns
    -------
    tensor : ndarray, shape (3, 3)
        mm²/s.
    turn : ndarray, shape (3, 3)
        Rotation from the head to the template there.
    """
    point = scene.anatomy.to_head(np.array([centre], float))
    turn = turns(scene.anatomy, point)[0]
    _, scales, rows = np.linalg.svd(jacobians(scene.anatomy, point)[0])
    ball = Ellipsoid(
        kind='region', tissue='wm', centre=point[0], radii=radius / scales, axes=rows.T
    )
    share = scan.draw([ball])[0][inside]
    some = np.flatnonzero(share > 0)
    here = rotated(parts[:, some], turn)
    _, vectors = np.linalg.eigh(matrices(here))
    values = tensors.scalars(here)
    good = (values['fa'] > ALPS_FA) & (values['md'] < ALPS_MD) & (wmh[some] < 0.01)
    good &= np.abs(vectors[:, axis, 2]) > ALPS_ALONG
    weight = share[some] * good
    if weight.sum() < ALPS_LEAST * share[some].sum() or not good.any():
        return None
    return matrices((here * weight).sum(axis=1, keepdims=True) / weight.sum())[0], turn
