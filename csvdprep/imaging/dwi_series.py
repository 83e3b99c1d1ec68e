"""A diffusion series in the files in which rooms hand it on: volumes, what they are, the brain."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from csvdprep.bids.gradients import B0_BELOW
from csvdprep.core.errors import MeasureError
from csvdprep.imaging.brain import extract_brain
from csvdprep.imaging.images import like, load
from csvdprep.science.head_motion import head_motions
from csvdprep.science.slab_brain import brain_by_threshold, is_slab


@dataclass(frozen=True, eq=False, kw_only=True)
class Volumes:
    """What the volumes of a series are, one after the other.

    Parameters
    ----------
    bvals : ndarray, shape (n,)
        s/mm².
    directions : ndarray, shape (n, 3)
        Of the gradients, unit vectors in the world; 0 without gradient.
    shell_of : ndarray of int, shape (n,)
        Shell of each volume, 0 without gradient.
    factors : ndarray, shape (n,)
        Distortion of each volume, over that of the first.
    axis : int or None
        Array axis along which phase is encoded.
    slice_axis : int
        Array axis across the slices.
    run_of : ndarray of int, shape (n,)
        Run of each volume.
    corrected : bool
        Whether another tool has corrected motion, eddy currents and distortion.

    Examples
    --------
    >>> import tempfile
    >>> two = Volumes(bvals=np.array([0.0, 1000.0]), directions=np.eye(3)[:2],
    ...               shell_of=np.array([0, 1]), factors=np.array([1.0, -0.5]), axis=1,
    ...               slice_axis=2, run_of=np.array([0, 1]))
    >>> again = Volumes.read(two.write(f'{tempfile.mkdtemp()}/volumes.json'))
    >>> again.factors.tolist(), again.groups.tolist(), again.corrected
    ([1.0, -0.5], [0, -1], False)
    >>> two.along(np.diag([2.0, -3, 4, 1])).tolist()
    [0.0, -1.0, 0.0]
    """

    bvals: np.ndarray
    directions: np.ndarray
    shell_of: np.ndarray
    factors: np.ndarray
    axis: int | None
    slice_axis: int
    run_of: np.ndarray
    corrected: bool = False

    @property
    def groups(self) -> np.ndarray:
        """Number of the shell and polarity of each volume; 0 without gradient."""
        return np.where(self.factors < 0, -self.shell_of, self.shell_of)

    def along(self, affine: np.ndarray) -> np.ndarray | None:
        """Return the unit vector of the axis of encoding in the world; None if it is not known."""
        if self.axis is None:
            return None
        axis = affine[:3, self.axis]
        return axis / np.linalg.norm(axis)

    def heads(self, motions: np.ndarray, affine: np.ndarray, brain: np.ndarray) -> np.ndarray:
        """Take eddy currents off transforms: what is left is how the head moved.

        Parameters
        ----------
        motions : ndarray, shape (n, 4, 4)
            Takes world points of the head at rest to where they were.
        affine : ndarray, shape (4, 4)
            Voxel to world, mm.
        brain : ndarray of bool, shape (nx, ny, nz)
            In its middle shifts are counted.

        Returns
        -------
        ndarray, shape (n, 4, 4)
            Rigid.
        """
        return head_motions(
            motions, self.along(affine), middle_of(brain, affine), self.directions, self.groups
        )

    def write(self, path: str | Path) -> str:
        """Write them as JSON; return the path."""
        facts = {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in vars(self).items()
        }
        Path(path).write_text(json.dumps(facts), encoding='utf-8')
        return str(path)

    @classmethod
    def read(cls, path: str | Path) -> Volumes:
        """Read what :meth:`write` wrote."""
        facts = json.loads(Path(path).read_text(encoding='utf-8'))
        lists = {name: np.array(value) for name, value in facts.items() if type(value) is list}
        return cls(**(facts | lists))


@dataclass(frozen=True, eq=False)
class DwiSeries:
    """A series as it was measured.

    Parameters
    ----------
    image : nibabel image, 4D
        float32, in canonical order.
    volumes : Volumes
        What its volumes are.
    brain : ndarray of bool, shape (nx, ny, nz)
        Brain in the first run, as acquired.
    """

    image: Any
    volumes: Volumes
    brain: np.ndarray

    @classmethod
    def read(cls, image: str, volumes: str, brain: str) -> DwiSeries:
        """Read a series from its files."""
        found = load(image)
        return cls(
            image=like(np.asarray(found.dataobj, dtype=np.float32), found),
            volumes=Volumes.read(volumes),
            brain=np.asanyarray(load(brain).dataobj) > 0,
        )

    @property
    def data(self) -> np.ndarray:
        """Voxels, shape (nx, ny, nz, n)."""
        return np.asanyarray(self.image.dataobj)

    def mean_b0(self, some: np.ndarray | None = None) -> np.ndarray:
        """Average the volumes without gradient, or some of them."""
        keep = self.volumes.shell_of == 0
        if some is not None:
            keep = keep & some
        return self.data[..., keep].mean(axis=3)


def middle_of(brain: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Return the middle of a brain in the world, mm.

    Examples
    --------
    >>> middle_of(np.ones((3, 3, 3), bool), np.diag([2.0, 2, 2, 1])).tolist()
    [2.0, 2.0, 2.0]
    """
    return nib.affines.apply_affine(affine, np.argwhere(brain).mean(axis=0))


def relative_factor(run: Mapping[str, Any], first: Mapping[str, Any]) -> float:
    """Return the distortion of a run over that of another: polarity times readout time.

    Examples
    --------
    >>> relative_factor({'encoding': 'j-', 'readout': 0.025}, {'encoding': 'j', 'readout': 0.05})
    -0.5
    >>> relative_factor({'encoding': 'j-'}, {'encoding': 'j'})
    -1.0
    """
    size = 1.0
    if run.get('readout') and first.get('readout'):
        size = run['readout'] / first['readout']
    return size if run.get('encoding') == first.get('encoding') else -size


def find_brain(data: np.ndarray, bvals: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Find the brain in a diffusion series.

    The network that finds it on T1w images does so on images in which the brain is grey and the
    skull dark: the geometric mean of volumes without and with gradient is such a one. In a slab
    a threshold does better.

    Parameters
    ----------
    data : ndarray, shape (nx, ny, nz, n)
        Series.
    bvals : ndarray, shape (n,)
        s/mm²; below 50 counts as 0.
    affine : ndarray, shape (4, 4)
        Voxel to world, mm.

    Returns
    -------
    ndarray of bool, shape (nx, ny, nz)

    Raises
    ------
    csvdprep.core.errors.MeasureError
        If there is none.
    """
    plain = np.asarray(bvals) < B0_BELOW
    mean = data[..., plain].mean(axis=3)
    if not plain.all():
        mean = np.sqrt(mean * data[..., ~plain].mean(axis=3))
    size = nib.affines.voxel_sizes(affine)
    if is_slab(size * mean.shape):
        mask = brain_by_threshold(mean, size)
    else:
        image = nib.Nifti1Image(mean.astype(np.float32), affine)
        mask = np.asarray(extract_brain(image)[0]) > 0
    if not mask.any():
        raise MeasureError('There is no brain in the diffusion series.')
    return mask
