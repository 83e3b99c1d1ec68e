"""Put the runs of a series together, without noise and ringing as far as can be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.affines import voxel_sizes
from scipy import ndimage as ndi

from csvdprep.bids.gradients import B0_BELOW, shells
from csvdprep.core.errors import MeasureError
from csvdprep.imaging.brain import extract_brain
from csvdprep.imaging.images import canonical_vectors, like
from csvdprep.imaging.inspect import load_series
from csvdprep.preprocessing.diffusion.resolve import covered, long_enough
from csvdprep.preprocessing.diffusion.science.brain import brain_by_threshold
from csvdprep.preprocessing.diffusion.science.denoise import denoise as mppca
from csvdprep.preprocessing.diffusion.science.denoise import without_floor
from csvdprep.preprocessing.diffusion.science.gain import SAME_GAIN, compare_gain
from csvdprep.preprocessing.diffusion.science.ringing import remove_ringing
from csvdprep.science.gradient_table import world_directions

#: Extent from which on an image holds the head, not a slab of it, mm.
HEAD_MM = 110.0
#: Relative difference of b-values that are one shell.
SAME_SHELL = 0.06
#: Radius (voxels) of the neighbourhood of MP-PCA.
RADIUS = 2


@dataclass(frozen=True, eq=False)
class Assembled:
    """Runs of a series, one volume after the other.

    Parameters
    ----------
    image : nibabel image, 4D
        float32.
    bvals : ndarray, shape (n,)
        s/mm².
    directions : ndarray, shape (n, 3)
        Unit vectors in the world; 0 without gradient.
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
    brain : ndarray of bool, shape (nx, ny, nz)
        Brain in the first run, as acquired.
    gains : mapping of int to float
        Brightness of each later run without gradient over that of the first, before it was
        scaled.
    done : tuple of str
        What was done to them, for the methods.
    notes : tuple of str
        What has to be told of the runs.
    """

    image: Any
    bvals: np.ndarray
    directions: np.ndarray
    shell_of: np.ndarray
    factors: np.ndarray
    axis: int | None
    slice_axis: int
    run_of: np.ndarray
    brain: np.ndarray
    gains: Mapping[int, float] = field(default_factory=dict)
    done: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def table(self) -> dict[str, Any]:
        """Return all but the image as plain data."""
        return {
            'bvals': self.bvals.tolist(),
            'directions': self.directions.tolist(),
            'shell_of': self.shell_of.tolist(),
            'factors': self.factors.tolist(),
            'axis': self.axis,
            'slice_axis': self.slice_axis,
            'run_of': self.run_of.tolist(),
            'done': list(self.done),
            'gains': list(self.gains.values()),
            'notes': list(self.notes),
        }


def assemble(
    content: Mapping[str, Any], *, denoise: str = 'auto', degibbs: str = 'auto'
) -> Assembled:
    """Read the runs of a series.

    Parameters
    ----------
    content : mapping
        As :func:`csvdprep.bids.diffusion.as_scan` writes it.
    denoise : {'auto', 'mppca', 'none'}
        How noise is reduced, run by run; 'auto' does so from 30 volumes on.
    degibbs : {'auto', 'none'}
        Whether ringing is removed, where enough of k-space was measured.

    Returns
    -------
    Assembled
        In canonical order. Runs are brought to one receiver gain by their brains without
        gradient; a run that no gain makes alike is left out.

    References
    ----------
    Veraart 2016, doi:10.1016/j.neuroimage.2016.08.016 (MP-PCA); Kellner 2016,
    doi:10.1002/mrm.26054 (sub-voxel shifts)
    """
    corrected = bool(content.get('corrected'))
    volumes, bvals, directions, factors, run_of, done, notes = [], [], [], [], [], [], []
    brain = level = None
    reference: dict[float, np.ndarray] = {}
    gains = {}
    for number, run in enumerate(content['runs']):
        image = load_series(run['path'], volumes=run.get('volumes'), level=level)
        level = image.extra['level']
        data = np.asanyarray(image.dataobj)
        values = np.array(run['bvals'], float)
        if brain is None:
            brain = find_brain(data, values, image.affine)
            first, grid = run, image
        if not corrected:
            data, said = _clean(data, values, brain, run, denoise, degibbs)
            done += [text for text in said if text not in done]
        means = shell_means(data, values)
        if number:
            name = Path(run['path']).name
            pairs = [(level, near_shell(level, reference)) for level in means]
            shared = next((pair for pair in pairs if pair[1] is not None), None)
            if shared is None:
                notes.append(
                    f'{name} shares no b-value with the first run: its receiver gain '
                    'cannot be compared and is taken to be the same'
                )
            else:
                gain = compare_gain(
                    reference[shared[1]], means[shared[0]], brain, voxel_sizes(image.affine)
                )
                if not gain.explained:
                    notes.append(
                        f'{name} is left out: its images of b = {shared[0]:g} differ '
                        f'from those of the first run by {gain.misfit_pct:.0f} %, '
                        'whatever the gain'
                    )
                    continue
                gains[number] = gain.ratio
                data = data * np.float32(1 / gain.ratio)
                if abs(gain.ratio - 1) > SAME_GAIN:
                    notes.append(
                        f'{name} was {gain.ratio:.3g} times as bright as the first run '
                        'and is scaled'
                    )
        else:
            reference = means
        volumes.append(data)
        bvals.append(values)
        vectors = canonical_vectors(np.array(run['bvecs'], float), image)
        directions.append(world_directions(vectors, image.affine))
        factors.append(np.full(len(values), relative_factor(run, first)))
        run_of.append(np.full(len(values), number))
    values = np.concatenate(bvals)
    levels = np.array(shells(values))
    shell_of = np.zeros(len(values), int)
    if len(levels):
        shell_of = np.where(values == 0, 0, 1 + np.abs(values[:, None] - levels).argmin(axis=1))
    axis = first.get('axis')
    return Assembled(
        image=like(np.concatenate(volumes, axis=3), grid),
        bvals=values,
        directions=np.concatenate(directions),
        shell_of=shell_of,
        factors=np.concatenate(factors),
        axis=None if axis is None else 'ijk'.index(axis),
        slice_axis=_slice_axis(first),
        run_of=np.concatenate(run_of),
        brain=brain,
        gains=gains,
        done=tuple(done),
        notes=tuple(notes),
    )


def shell_means(data: np.ndarray, bvals: np.ndarray) -> dict[float, np.ndarray]:
    """Average the volumes of each shell, b = 0 first."""
    levels = [0.0] if (bvals == 0).any() else []
    levels += shells(bvals)
    nearest = np.abs(bvals[:, None] - np.array(levels)).argmin(axis=1)
    return {float(level): data[..., nearest == k].mean(axis=3) for k, level in enumerate(levels)}


def near_shell(level: float, others: Mapping[float, Any]) -> float | None:
    """Return the shell among others that is that of a b-value; None without.

    Examples
    --------
    >>> near_shell(0.0, {0.0: 1, 1000.0: 2}), near_shell(990.0, {0.0: 1, 1000.0: 2})
    (0.0, 1000.0)
    >>> near_shell(2000.0, {0.0: 1, 1000.0: 2}) is None
    True
    """
    fitting = [other for other in others if abs(other - level) <= SAME_SHELL * level]
    return min(fitting, key=lambda other: abs(other - level), default=None)


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


def mean_b0(given: Assembled, some: np.ndarray | None = None) -> np.ndarray:
    """Average the volumes without gradient."""
    keep = given.shell_of == 0
    if some is not None:
        keep = keep & some
    return np.asanyarray(given.image.dataobj)[..., keep].mean(axis=3)


def _slice_axis(run: Mapping[str, Any]) -> int:
    return 'ijk'.index(run.get('slices', 'k')[0])


def _clean(
    data: np.ndarray,
    bvals: np.ndarray,
    brain: np.ndarray,
    run: Mapping[str, Any],
    denoise: str,
    degibbs: str,
) -> tuple[np.ndarray, list[str]]:
    done = []
    if denoise == 'auto':
        denoise = 'mppca' if long_enough(len(bvals)) else 'none'
    near, sigma = ndi.binary_dilation(brain, iterations=3), None
    if denoise == 'mppca':
        data, sigma = mppca(data, near, radius=RADIUS)
        done.append(denoise)
    part = run.get('partial_fourier')
    if degibbs == 'auto' and covered(part):
        data = np.stack(
            [remove_ringing(data[..., v], _slice_axis(run), near) for v in range(data.shape[3])],
            axis=3,
        )
        done.append('unringing')
    if sigma is not None:
        data = without_floor(data, sigma)
    return np.maximum(data, 0).astype(np.float32), done


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
    if min(size * mean.shape) < HEAD_MM:
        mask = brain_by_threshold(mean, size)
    else:
        image = nib.Nifti1Image(mean.astype(np.float32), affine)
        mask = np.asarray(extract_brain(image)[0]) > 0
    if not mask.any():
        raise MeasureError('There is no brain in the diffusion series.')
    return mask
