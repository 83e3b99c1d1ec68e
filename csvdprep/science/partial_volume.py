"""Intensities of voxels that hold one tissue or two, mixed in any share.

A voxel is *pure* or a *mixture of two tissues*. In a mixture each share is as likely as any
other, so that its intensity lies anywhere between the two means, plus noise. How likely an
intensity is under each of these classes, and what share of the voxel each tissue is expected to
fill, depends on the intensity alone: both are tabulated once and looked up for each voxel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Classes: three pure tissues, then three mixtures; the tissues of each.
CLASSES = ((0,), (1,), (2,), (0, 1), (1, 2), (0, 2))
#: Shares of the first tissue of a mixture that stand for all.
SHARES = (np.arange(8) + 0.5) / 8
#: Number of steps into which intensities are sorted.
BINS = 512
#: Least standard deviation of a tissue, in units of that of the image.
LEAST_SD = 0.02
#: Observations of a typical spread that each estimate of a spread begins with, as a share of all.
STEADY = 0.005


@dataclass(frozen=True)
class Model:
    """Intensity of pure tissue.

    Attributes
    ----------
    mean, sd : ndarray, shape (3,)
        Of CSF, GM and WM.
    """

    mean: np.ndarray
    sd: np.ndarray


def states() -> tuple[np.ndarray, np.ndarray]:
    """Return what a voxel may be made of.

    Returns
    -------
    fractions : ndarray, shape (n, 3)
        Share of each tissue.
    kind : ndarray, shape (n,)
        Index into :data:`CLASSES`.

    Examples
    --------
    >>> fractions, kind = states()
    >>> fractions.shape, bool((fractions.sum(1) == 1).all())
    ((27, 3), True)

    """
    fractions, kind = [], []
    for number, tissues in enumerate(CLASSES):
        for share in SHARES if len(tissues) == 2 else (1.0,):
            row = np.zeros(3)
            row[tissues[0]] = share
            row[tissues[-1]] += 1 - share
            fractions.append(row)
            kind.append(number)
    return np.array(fractions), np.array(kind)


def tables(model: Model, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tabulate the likelihood of intensities.

    Parameters
    ----------
    model : Model
        Pure tissue.
    centres : ndarray, shape (b,)
        Intensities. What is darker or brighter than all tissues counts as the darkest or
        brightest of them: vessels and artefacts are no reason to doubt.

    Returns
    -------
    likelihood : ndarray, shape (6, b)
        Of each class, relative to the most likely of each intensity.
    inner : ndarray, shape (n, b)
        Probability of each of :func:`states` within its class.

    Examples
    --------
    >>> model = Model(np.array([50.0, 100.0, 150.0]), np.array([4.0, 4.0, 4.0]))
    >>> likelihood, _ = tables(model, np.array([50.0, 75.0, 150.0]))
    >>> [CLASSES[k] for k in likelihood[:5].argmax(0)]
    [(0,), (0, 1), (2,)]

    """
    fractions, kind = states()
    mean = fractions @ model.mean
    sd = np.sqrt(fractions @ model.sd**2)
    y = np.clip(centres, model.mean.min(), model.mean.max())
    score = -0.5 * ((y - mean[:, None]) / sd[:, None]) ** 2 - np.log(sd)[:, None]
    density = np.exp(score - score.max(0))
    total = np.stack([density[kind == k].sum(0) for k in range(len(CLASSES))])
    inner = density / np.maximum(total[kind], 1e-300)
    likelihood = total / np.bincount(kind)[:, None]
    return likelihood / likelihood.max(0), inner


def expected(inner: np.ndarray) -> np.ndarray:
    """Return the expected share of each tissue in each class, shape (6, 3, b)."""
    fractions, kind = states()
    return np.stack([fractions[kind == k].T @ inner[kind == k] for k in range(len(CLASSES))])


def refit(
    model: Model, inner: np.ndarray, counts: np.ndarray, centres: np.ndarray, spread: float
) -> Model:
    """Estimate the intensities of pure tissue from what voxels are thought to be made of.

    Parameters
    ----------
    model : Model
        Estimate so far.
    inner : ndarray, shape (n, b)
        As returned by :func:`tables`.
    counts : ndarray, shape (6, b)
        Number of voxels of each intensity in each class.
    centres : ndarray, shape (b,)
        Intensities.
    spread : float
        Standard deviation of the image.

    Returns
    -------
    Model
        Means by least squares over all classes, standard deviations of the pure ones.

    Examples
    --------
    >>> model = Model(np.array([40.0, 100.0, 160.0]), np.array([5.0, 5.0, 5.0]))
    >>> centres = np.array([50.0, 75.0, 100.0, 150.0])
    >>> counts = np.zeros((6, 4)); counts[0, 0] = counts[1, 2] = counts[2, 3] = 10
    >>> refit(model, tables(model, centres)[1], counts, centres, 40.0).mean.round(1).tolist()
    [50.0, 100.0, 150.0]

    """
    fractions, kind = states()
    weight = inner * counts[kind]
    normal = np.einsum('sb,si,sj->ij', weight, fractions, fractions)
    # A tissue that is hardly there keeps its mean.
    ridge = 1e-6 * max(weight.sum(), 1e-12) * np.eye(3)
    right = np.einsum('sb,si,b->i', weight, fractions, centres) + ridge @ model.mean
    mean = np.linalg.solve(normal + ridge, right)
    total = counts[:3].sum(1)
    squares = (counts[:3] * (centres - mean[:, None]) ** 2).sum(1)
    prior = STEADY * counts.sum()
    common = np.sqrt((squares.sum() + 1e-12) / (total.sum() + 1e-12))
    sd = np.sqrt((squares + prior * common**2) / (total + prior + 1e-12))
    return Model(mean, np.maximum(sd, LEAST_SD * spread + 1e-6))
