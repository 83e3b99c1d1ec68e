"""How probable each kind is: a multinomial logistic model with products of features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Kinds that the model tells apart.
CLASSES = ('other', 'lacune', 'pvs')
#: Features further from their mean than so many SD count as that far.
FARTHEST = 3.5


@dataclass(frozen=True, eq=False)
class Model:
    """Coefficients.

    Attributes
    ----------
    mean, sd : ndarray, shape (n,)
        Of each feature, where the model was fitted.
    weights : ndarray, shape (1 + n + n (n + 1) / 2, 2)
        Of lacune and perivascular space against the rest: intercept, slopes of standardised
        features, and of their products.
    """

    mean: np.ndarray
    sd: np.ndarray
    weights: np.ndarray

    @classmethod
    def read(cls, content: dict, features: tuple[str, ...]) -> Model:
        """Take the coefficients from what ``training.cavity_fit`` wrote.

        Raises
        ------
        ValueError
            If it was fitted to other features.
        """
        if tuple(content['features']) != features:
            raise ValueError('The model of cavities was fitted to other features.')
        return cls(*(np.array(content[name], float) for name in ('mean', 'sd', 'weights')))

    def probability(self, features: np.ndarray) -> np.ndarray:
        """Judge candidates.

        Parameters
        ----------
        features : ndarray, shape (m, n)
            A row for each.

        Returns
        -------
        ndarray, shape (m, 3)
            Of each of `CLASSES`; rows sum to 1: the kinds exclude each other.

        Examples
        --------
        >>> model = Model(np.zeros(1), np.ones(1), np.array([[0.0, 0], [2, 0], [0, 0]]))
        >>> model.probability(np.array([[0.0], [3.0]])).round(2).tolist()
        [[0.33, 0.33, 0.33], [0.0, 1.0, 0.0]]
        """
        if not len(features):
            return np.zeros((0, len(CLASSES)))
        return softmax(
            expanded((np.asarray(features, float) - self.mean) / self.sd) @ self.weights
        )


def softmax(scores: np.ndarray) -> np.ndarray:
    """Turn scores of all classes but the first into probabilities of all.

    Examples
    --------
    >>> softmax(np.zeros((1, 2))).round(3).tolist()
    [[0.333, 0.333, 0.333]]
    """
    z = np.column_stack([np.zeros(len(scores)), scores])
    z = np.exp(z - z.max(axis=1, keepdims=True))
    return z / z.sum(axis=1, keepdims=True)


def expanded(x: np.ndarray) -> np.ndarray:
    """Return 1, the features, and the products of any two of them.

    Examples
    --------
    >>> expanded(np.array([[2.0, 3.0]])).tolist()
    [[1.0, 2.0, 3.0, 4.0, 6.0, 9.0]]
    """
    x = np.clip(x, -FARTHEST, FARTHEST)
    i, j = np.triu_indices(x.shape[1])
    return np.column_stack([np.ones(len(x)), x, x[:, i] * x[:, j]])
