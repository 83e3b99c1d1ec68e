"""Logistic models of candidates: standardised features, and their products."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class QuadraticModel:
    """Coefficients of a (multinomial) logistic model.

    Attributes
    ----------
    mean, sd : ndarray, shape (n,)
        Of each feature, where the model was fitted.
    weights : ndarray, shape (1 + n + n (n + 1) / 2,) or (1 + n + n (n + 1) / 2, classes - 1)
        Intercept, slopes of the standardised features, and of their products; a column for each
        class but the first where there are more than two.
    farthest : float
        Features further from their mean than so many SD count as that far.
    """

    mean: np.ndarray
    sd: np.ndarray
    weights: np.ndarray
    farthest: float

    @classmethod
    def read(cls, content: dict, features: tuple[str, ...], *, farthest: float):
        """Take the coefficients from a file of a model.

        Parameters
        ----------
        content : dict
            ``features``, ``mean``, ``sd`` and ``weights``.
        features : tuple of str
            What candidates are described by.
        farthest : float
            As above.

        Raises
        ------
        ValueError
            If it was fitted to other features.

        Examples
        --------
        >>> model = {'features': ['a'], 'mean': [0], 'sd': [1], 'weights': [0, 1, 0]}
        >>> QuadraticModel.read(model, ('b',), farthest=4.0)
        Traceback (most recent call last):
        ...
        ValueError: The model was fitted to other features than these.
        """
        if tuple(content['features']) != features:
            raise ValueError('The model was fitted to other features than these.')
        arrays = (np.array(content[name], float) for name in ('mean', 'sd', 'weights'))
        return cls(*arrays, farthest)

    def probability(self, features: np.ndarray) -> np.ndarray:
        """Judge candidates.

        Parameters
        ----------
        features : ndarray, shape (m, n)
            A row for each.

        Returns
        -------
        ndarray, shape (m,) or (m, classes)
            0 to 1; of more than two classes, rows sum to 1: they exclude each other.

        Examples
        --------
        >>> model = QuadraticModel(np.zeros(1), np.ones(1), np.array([0.0, 1.0, 0.0]), 4.0)
        >>> model.probability(np.array([[0.0], [3.0]])).round(2).tolist()
        [0.5, 0.95]
        >>> several = np.array([[0.0, 0], [2, 0], [0, 0]])
        >>> model = QuadraticModel(np.zeros(1), np.ones(1), several, 4.0)
        >>> model.probability(np.array([[0.0], [3.0]])).round(2).tolist()
        [[0.33, 0.33, 0.33], [0.0, 1.0, 0.0]]
        """
        x = np.asarray(features, float).reshape(-1, len(self.mean))
        scores = expanded((x - self.mean) / self.sd, self.farthest) @ self.weights
        return softmax(scores) if scores.ndim > 1 else 1 / (1 + np.exp(-scores))


def softmax(scores: np.ndarray) -> np.ndarray:
    """Turn scores of all classes but the first into probabilities of all.

    Parameters
    ----------
    scores : ndarray, shape (m, classes - 1)
        Log odds against the first class.

    Returns
    -------
    ndarray, shape (m, classes)
        Rows sum to 1.

    Examples
    --------
    >>> softmax(np.zeros((1, 2))).round(3).tolist()
    [[0.333, 0.333, 0.333]]
    """
    z = np.column_stack([np.zeros(len(scores)), scores])
    z = np.exp(z - z.max(axis=1, keepdims=True))
    return z / z.sum(axis=1, keepdims=True)


def expanded(x: np.ndarray, farthest: float) -> np.ndarray:
    """Return 1, the features, and the products of any two of them.

    Parameters
    ----------
    x : ndarray, shape (m, n)
        Standardised features.
    farthest : float
        Bound on their absolute value.

    Returns
    -------
    ndarray, shape (m, 1 + n + n (n + 1) / 2)
        Columns of the model.

    Examples
    --------
    >>> expanded(np.array([[2.0, 3.0]]), 4.0).tolist()
    [[1.0, 2.0, 3.0, 4.0, 6.0, 9.0]]
    """
    x = np.clip(x, -farthest, farthest)
    i, j = np.triu_indices(x.shape[1])
    return np.column_stack([np.ones(len(x)), x, x[:, i] * x[:, j]])
