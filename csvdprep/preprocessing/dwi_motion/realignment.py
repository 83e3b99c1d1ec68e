"""Head motion and eddy currents: every volume is aligned with its prediction from the others."""

from __future__ import annotations

from dataclasses import dataclass

import nibabel as nib
import numpy as np
from scipy.spatial.transform import Rotation

from csvdprep.imaging.ants import realign
from csvdprep.imaging.dwi_series import Volumes, middle_of
from csvdprep.preprocessing.dwi_motion.science.prediction import left_out_weights
from csvdprep.science.echo_planar import Geometry
from csvdprep.science.head_motion import rotate_gradients
from csvdprep.science.volume_alignment import Target

#: Whether eddy currents are looked for, in each round.
ROUNDS = (False, True, True)


@dataclass(frozen=True, eq=False)
class Series:
    """Volumes of one measurement, put together, and how the field distorts them.

    Parameters
    ----------
    data : ndarray of float32, shape (nx, ny, nz, n)
        As measured, without noise as far as possible.
    geometry : Geometry
        Grid, axis of encoding and distortion.
    volumes : Volumes
        What each is.
    """

    data: np.ndarray
    geometry: Geometry
    volumes: Volumes

    @property
    def along(self) -> np.ndarray | None:
        """Unit vector of the axis of encoding in the world."""
        return self.volumes.along(self.geometry.affine)

    def motions_of_head(self, motions: np.ndarray, brain: np.ndarray) -> np.ndarray:
        """Take eddy currents off the transforms."""
        return self.volumes.heads(motions, self.geometry.affine, brain)

    def pulled(self, motions: np.ndarray, *, order: int = 1) -> np.ndarray:
        """Sample all volumes where the head at rest is."""
        out = np.empty(self.data.shape, np.float32)
        for number in range(len(self.volumes.bvals)):
            out[..., number] = self.geometry.pull(
                self.data[..., number], motions[number], self.volumes.factors[number], order=order
            )
        return out

    def covered(self, motions: np.ndarray) -> np.ndarray:
        """Tell which voxels of the head at rest all volumes hold, shape (nx, ny, nz)."""
        whole = np.ones(self.data.shape[:3], np.float32)
        out = whole > 0
        for motion, factor in zip(motions, self.volumes.factors, strict=True):
            out &= self.geometry.pull(whole, motion, factor, order=1) > 0
        return out

    def predicted(self, pulled: np.ndarray, motions: np.ndarray) -> np.ndarray:
        """Predict every volume from the others."""
        turned = rotate_gradients(self.volumes.directions, motions)
        weights = left_out_weights(self.volumes.bvals, turned, self.volumes.shell_of)
        return np.maximum(pulled @ weights.T.astype(np.float32), 0)


def find_motion(series: Series, brain: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Estimate how the head moved and eddy currents sheared each volume.

    Parameters
    ----------
    series : Series
        Volumes.
    brain : ndarray of bool, shape (nx, ny, nz)
        Roughly.

    Returns
    -------
    motions : ndarray, shape (n, 4, 4)
        Takes world points of the head at rest (as in the first volume without gradient) to
        where they were.
    expected : ndarray of float32, shape (nx, ny, nz, n)
        Each volume as the others predict it, head at rest.

    References
    ----------
    Andersson and Sotiropoulos 2016, doi:10.1016/j.neuroimage.2015.10.019
    """
    geometry = series.geometry
    at_rest = np.broadcast_to(np.eye(4), (len(series.volumes.bvals), 4, 4))
    # The distortion moves with the head, nearly: it is taken off first, the motion found after.
    flat = series.pulled(at_rest)
    motions = _starts(series, flat, brain)
    for eddy in ROUNDS:
        expected = series.predicted(series.pulled(motions), motions)
        found = []
        for v, motion in enumerate(motions):
            along = series.along if eddy and series.volumes.shell_of[v] else None
            target = Target(expected[..., v], brain, geometry.affine, along)
            found.append(target.find(flat[..., v], motion))
        motions = np.stack(found)
        motions = _together(series, motions, brain)
    pulled = series.pulled(motions)
    return motions, series.predicted(pulled, motions)


def _image(data: np.ndarray, geometry: Geometry):
    return nib.Nifti1Image(np.ascontiguousarray(data, np.float32), geometry.affine)


def _starts(series: Series, flat: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """Align the volumes without gradient; others begin where the nearest of them is."""
    plain = np.flatnonzero(series.volumes.shell_of == 0)
    motions = np.tile(np.eye(4), (len(series.volumes.bvals), 1, 1))
    first = Target(flat[..., plain[0]], brain, series.geometry.affine)
    for number in plain[1:]:
        motions[number] = first.find(flat[..., number], np.eye(4))
    for number in np.flatnonzero(series.volumes.shell_of):
        motions[number] = motions[plain[np.argmin(np.abs(plain - number))]]
    return motions


def _together(series: Series, motions: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """Give all shells one head at rest: that of the first volume without gradient.

    Nothing in a shell tells where its mean head lies. Heads move little from one volume to the
    next: those beside a volume without gradient tell it. Where there is none, images of different
    contrast have to be registered, which is less exact.
    """
    plain = np.flatnonzero(series.volumes.shell_of == 0)
    motions = motions @ np.linalg.inv(motions[plain[0]])
    centre = middle_of(brain, series.geometry.affine)
    heads = series.motions_of_head(motions, brain)
    for shell in np.unique(series.volumes.shell_of[series.volumes.shell_of > 0]):
        of = np.flatnonzero(series.volumes.shell_of == shell)
        pairs = [(p, v) for p in plain for v in of if abs(p - v) == 1]
        if pairs:
            apart = _mean([np.linalg.inv(heads[v]) @ heads[p] for p, v in pairs], centre)
        else:
            apart = _between(series, motions, plain, of)
        motions[of] = motions[of] @ apart
    return motions


def _mean(rigid: list[np.ndarray], centre: np.ndarray) -> np.ndarray:
    """Return the median of small motions."""
    turns = np.median([Rotation.from_matrix(m[:3, :3]).as_rotvec() for m in rigid], axis=0)
    moves = np.median([m[:3, :3] @ centre + m[:3, 3] - centre for m in rigid], axis=0)
    out = np.eye(4)
    out[:3, :3] = Rotation.from_rotvec(turns).as_matrix()
    out[:3, 3] = centre + moves - out[:3, :3] @ centre
    return out


def _between(series: Series, motions: np.ndarray, plain: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Register the mean of a shell to that of the volumes without gradient."""
    means = []
    for some in (plain, of):
        total = sum(
            series.geometry.pull(
                series.data[..., v], motions[v], series.volumes.factors[v], order=1
            )
            for v in some
        )
        means.append(_image(total / len(some), series.geometry))
    return realign(*means, np.eye(4), fine=False)
