"""Put the runs of a series together, without noise and ringing as far as can be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.affines import voxel_sizes
from scipy import ndimage as ndi

from csvdprep.bids.gradients import shells
from csvdprep.imaging.dwi_series import DwiSeries, Volumes, find_brain, relative_factor
from csvdprep.imaging.images import canonical_vectors, like
from csvdprep.imaging.inspect import load_series
from csvdprep.preprocessing.dwi_denoise.resolve import covered, long_enough
from csvdprep.preprocessing.dwi_denoise.science.denoise import denoise, without_floor
from csvdprep.preprocessing.dwi_denoise.science.ringing import remove_ringing
from csvdprep.science.gain import SAME_GAIN, compare_gain
from csvdprep.science.gradient_table import world_directions

#: Relative difference of b-values that are one shell.
SAME_SHELL = 0.06
#: Radius (voxels) of the neighbourhood of MP-PCA.
RADIUS = 2


@dataclass(frozen=True, eq=False)
class Assembled:
    """Runs of a series, one volume after the other.

    Parameters
    ----------
    series : DwiSeries
        Volumes, what they are, and the brain in the first run.
    gains : mapping of int to float
        Brightness of each later run without gradient over that of the first, before it was
        scaled.
    done : tuple of str
        What was done to them.
    notes : tuple of str
        What has to be told of the runs.
    """

    series: DwiSeries
    gains: Mapping[int, float] = field(default_factory=dict)
    done: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def assemble(
    content: Mapping[str, Any], *, method: str = 'auto', unring: str = 'auto'
) -> Assembled:
    """Read the runs of a series.

    Parameters
    ----------
    content : mapping
        As :func:`csvdprep.bids.diffusion.as_scan` writes it.
    method : {'auto', 'mppca', 'none'}
        How noise is reduced, run by run; 'auto' does so from 30 volumes on.
    unring : {'auto', 'none'}
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
            data, said = _clean(data, values, brain, run, method, unring)
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
        series=DwiSeries(
            image=like(np.concatenate(volumes, axis=3), grid),
            volumes=Volumes(
                bvals=values,
                directions=np.concatenate(directions),
                shell_of=shell_of,
                factors=np.concatenate(factors),
                axis=None if axis is None else 'ijk'.index(axis),
                slice_axis=_slice_axis(first),
                run_of=np.concatenate(run_of),
                corrected=corrected,
            ),
            brain=brain,
        ),
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


def _slice_axis(run: Mapping[str, Any]) -> int:
    return 'ijk'.index(run.get('slices', 'k')[0])


def _clean(
    data: np.ndarray,
    bvals: np.ndarray,
    brain: np.ndarray,
    run: Mapping[str, Any],
    method: str,
    unring: str,
) -> tuple[np.ndarray, list[str]]:
    done = []
    if method == 'auto':
        method = 'mppca' if long_enough(len(bvals)) else 'none'
    near, sigma = ndi.binary_dilation(brain, iterations=3), None
    if method == 'mppca':
        data, sigma = denoise(data, near, radius=RADIUS)
        done.append(method)
    part = run.get('partial_fourier')
    if unring == 'auto' and covered(part):
        data = np.stack(
            [remove_ringing(data[..., v], _slice_axis(run), near) for v in range(data.shape[3])],
            axis=3,
        )
        done.append('unringing')
    if sigma is not None:
        data = without_floor(data, sigma)
    return np.maximum(data, 0).astype(np.float32), done
