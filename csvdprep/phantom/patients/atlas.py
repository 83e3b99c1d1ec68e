"""The template on a patient, beside the truth by some mm as registration leaves it."""

from __future__ import annotations

from dataclasses import dataclass

import nibabel as nib
import numpy as np

from csvdprep.phantom.geometry.fields import pull, resize, smooth_noise
from csvdprep.phantom.head.anatomy import Anatomy
from csvdprep.resources import resource


@dataclass(frozen=True, kw_only=True)
class Warped:
    """Maps of the template on the grid of a head.

    Attributes
    ----------
    tissue : ndarray of float32, shape (3, nx, ny, nz)
        CSF, GM and WM.
    healthy : ndarray of float32, shape (nx, ny, nz)
        How much brighter than its level white matter is in healthy people.
    structures, lobes : ndarray of uint8, shape (nx, ny, nz)
        Labels.
    """

    tissue: np.ndarray
    healthy: np.ndarray
    structures: np.ndarray
    lobes: np.ndarray


def warped(
    anatomy: Anatomy,
    rng: np.random.Generator,
    *,
    error_mm: float = 1.5,
    plain: Anatomy | None = None,
    lag: float = 0.3,
) -> Warped:
    """Lay the template over a head, not quite where it belongs.

    Parameters
    ----------
    anatomy : Anatomy
        The head.
    rng : numpy.random.Generator
        Of the error.
    error_mm : float
        Root mean square of the error, mm; it varies over 20 mm.
    plain : Anatomy, optional
        The same head without its disease, towards which registration falls short.
    lag : float
        By what share it does.

    Returns
    -------
    Warped

    Examples
    --------
    >>> from csvdprep.phantom.head.anatomy import make_anatomy
    >>> head = make_anatomy(1, spacing=4)
    >>> exact = warped(head, np.random.default_rng(0), error_mm=0)
    >>> white = head.fractions['wm']
    >>> bool(2 * np.minimum(exact.tissue[2], white).sum() > white.sum())
    True
    """
    shape = anatomy.fractions['wm'].shape
    flow = anatomy.flow
    if plain is not None:
        flow = flow + np.float32(lag) * (plain.flow - flow)
    if error_mm:
        coarse = anatomy.flow_affine[0, 0]
        flow = flow + error_mm / np.sqrt(3) * np.stack(
            [smooth_noise(flow.shape[1:], 20 / 2.355 / coarse, rng) for _ in range(3)]
        )
    at = np.stack([resize(axis, shape) for axis in flow])

    def labels(name):
        image = nib.load(resource(f'template_{name}'))
        data = np.asanyarray(image.dataobj).astype(np.uint8)
        index = [
            np.rint((at[i] - image.affine[i, 3]) / image.affine[i, i]).astype(np.intp)
            for i in range(3)
        ]
        inside = np.all([(i >= 0) & (i < n) for i, n in zip(index, data.shape, strict=True)], 0)
        index = [np.clip(i, 0, n - 1) for i, n in zip(index, data.shape, strict=True)]
        return data[tuple(index)] * inside

    *tissue, healthy = (
        pull(image.get_fdata(dtype=np.float32), image.affine, at)
        for image in (
            nib.load(resource(f'template_{name}')) for name in ('csf', 'gm', 'wm', 'flair')
        )
    )
    return Warped(
        tissue=np.stack(tissue),
        healthy=healthy,
        structures=labels('structures'),
        lobes=labels('lobes'),
    )
