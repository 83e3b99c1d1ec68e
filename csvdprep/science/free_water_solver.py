"""Least squares for two compartments, tissue and free water, of many voxels at once."""

from __future__ import annotations

import numpy as np

from csvdprep.science.tensor_equations import FULL, MIN_SIGNAL, UPPER, product

__all__ = ['FREE', 'mean_diffusivity', 'refine', 'start']

#: Diffusivity of free water at body temperature, mm²/s.
FREE = 3.0e-3

# Steps at most, and the relative gain that ends them.
_STEPS, _GAIN = 60, 1e-10


def mean_diffusivity(found: np.ndarray) -> np.ndarray:
    """Return a third of the trace of tensors (n, 6 or more)."""
    return found[:, [0, 3, 5]].mean(axis=1)


def start(signal: np.ndarray, s0: np.ndarray, design: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find f on a grid, and for each f the tensor by linear least squares.

    Weights and grid are those of DIPY's ``fwdti.wls_iter``, which refines it everywhere.

    Parameters
    ----------
    signal : ndarray, shape (n, volumes)
        Positive signals.
    s0 : ndarray, shape (n,)
        Signal at b = 0.
    design : ndarray, shape (volumes, 7)
        From `csvdprep.science.tensor_equations.design_matrix`.

    Returns
    -------
    parameters : ndarray, shape (n, 8)
        Parts of the tensor, µm²/ms, ln S0, f.
    md : ndarray, shape (n,)
        Mean diffusivity of the plain tensor, µm²/ms.
    """
    weight = signal**2
    left = product(weight, design[:, UPPER[0]] * design[:, UPPER[1]])[:, FULL]
    inverse = np.linalg.pinv(left, hermitian=True)

    def solve(log: np.ndarray) -> np.ndarray:
        return np.einsum('nij,nj->ni', inverse, product(weight * log, design))

    md = mean_diffusivity(solve(np.log(signal)))
    free = np.exp(design[:, [0, 3, 5]].sum(axis=1) * FREE * 1e3)
    best = np.zeros((len(signal), 8))
    best[:, 6] = np.log(np.maximum(s0, MIN_SIGNAL))
    error = np.full(len(signal), np.inf)

    def attempt(f: np.ndarray, who: np.ndarray) -> None:
        water = (f * s0[who])[:, None] * free
        tissue = np.maximum(signal[who] - water, 1e-6) / (1 - f)[:, None]
        found = np.einsum(
            'nij,nj->ni', inverse[who], product(weight[who] * np.log(tissue), design)
        )
        model = (1 - f)[:, None] * np.exp(product(found, design.T)) + water
        off = ((signal[who] - model) ** 2).sum(axis=1)
        better = off < error[who]
        chosen = who[better]
        error[chosen], best[chosen, 7] = off[better], f[better]
        best[chosen, :6] = found[better, :6]

    everyone = np.arange(len(signal))
    for f in np.arange(1, 10) / 10:
        attempt(np.full(len(signal), f), everyone)
    for width in (0.1, 0.01):
        # What is nearly all water needs a finer start: nothing pulls the tensor from there.
        who = everyone[best[:, 7] > 1 - 1.5 * width]
        middle = best[who, 7]
        for step in np.arange(-9, 10) / 10:
            attempt(middle + step * width, who)
    return best, md


def refine(signal: np.ndarray, begin: np.ndarray, design: np.ndarray) -> np.ndarray:
    """Minimise the squared residuals by Levenberg-Marquardt, f held in [0, 1] by a sine.

    Parameters
    ----------
    signal, design
        As in `start`.
    begin : ndarray, shape (n, 8)
        Where to begin.

    Returns
    -------
    ndarray, shape (n, 8)
    """
    free = np.exp(design[:, [0, 3, 5]].sum(axis=1) * FREE * 1e3)
    rows = design[:, :6]
    upper = np.triu_indices(6)
    squares = rows[:, upper[0]] * rows[:, upper[1]]
    full = np.zeros((6, 6), int)
    full[upper] = full[upper[::-1]] = np.arange(21)

    def model(at: np.ndarray):
        s0 = np.exp(at[:, 6:7])
        f = 0.5 * (1 + np.sin(at[:, 7:]))
        inside = s0 * np.exp(product(at[:, :6], rows.T))
        return f, inside, s0 * free

    out = begin.copy()
    out[:, 7] = np.arcsin(2 * begin[:, 7] - 1)
    at, data, alive = out.copy(), signal, np.arange(len(signal))
    f, inside, water = model(at)
    total = (1 - f) * inside + f * water
    error = ((data - total) ** 2).sum(axis=1)
    damping = np.full(len(at), 1e-3)
    for _ in range(_STEPS):
        if not len(alive):
            break
        part = (1 - f) * inside
        change = (water - inside) * 0.5 * np.cos(at[:, 7:])
        off = data - total
        left = np.empty((len(at), 8, 8))
        left[:, :6, :6] = product(part * part, squares)[:, full]
        left[:, :6, 6] = left[:, 6, :6] = product(part * total, rows)
        left[:, :6, 7] = left[:, 7, :6] = product(part * change, rows)
        left[:, 6, 6] = (total * total).sum(axis=1)
        left[:, 6, 7] = left[:, 7, 6] = (total * change).sum(axis=1)
        left[:, 7, 7] = (change * change).sum(axis=1)
        right = np.column_stack(
            [product(part * off, rows), (total * off).sum(axis=1), (change * off).sum(axis=1)]
        )
        diagonal = np.einsum('nii->ni', left)
        diagonal *= (1 + damping)[:, None]
        diagonal += 1e-12 * diagonal.max(axis=1, keepdims=True) + 1e-300
        trial = at + np.linalg.solve(left, right[..., None])[..., 0]
        np.clip(trial[:, :6], -20, 20, out=trial[:, :6])
        f_, inside_, water_ = model(trial)
        total_ = (1 - f_) * inside_ + f_ * water_
        error_ = ((data - total_) ** 2).sum(axis=1)
        good = error_ < error
        gain = np.where(good, (error - error_) / np.maximum(error, 1e-300), 0)
        at[good], f[good], inside[good] = trial[good], f_[good], inside_[good]
        water[good], total[good] = water_[good], total_[good]
        error[good] = error_[good]
        damping = np.where(good, damping * 0.1, damping * 10)
        done = (good & (gain < _GAIN)) | (damping > 1e8) | (error <= 1e-24 * (data**2).sum(axis=1))
        out[alive[done]] = at[done]
        keep = ~done
        at, data, alive = at[keep], data[keep], alive[keep]
        f, inside, water, total = f[keep], inside[keep], water[keep], total[keep]
        error, damping = error[keep], damping[keep]
    out[alive] = at
    out[:, 7] = 0.5 * (1 + np.sin(out[:, 7]))
    return out
