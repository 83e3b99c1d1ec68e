"""How probable it is that a candidate is an infarct: a logistic model with products."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Features further from their mean than so many SD count as that far.
FARTHEST = 4.0


@dataclass(frozen=True, eq=False)
class Model:
    """Coefficients.

    Attributes
    ----------
    mean, sd : ndarray, shape (n,)
        Of each feature, where the model was fitted.
    weights : ndarray, shape (1 + n + n (n + 1) / 2,)
        Intercept, slopes of the features, and of their products, of standardised features.
    """

    mean: np.ndarray
    sd: np.ndarray
    weights: np.ndarray

    @classmethod
    def read(cls, content: dict, features: tuple[str, ...]) -> Model:
        """Take the coefficients from what ``training.infarct_fit`` wrote.

        Raises
        ------
        ValueError
            If it was fitted to other features.
        """
        if tuple(content['features']) != features:
            raise ValueError('The model of infarcts was fitted to different features.')
        return cls(*(np.array(content[name], float) for name in ('mean', 'sd', 'weights')))

    def probability(self, features: np.ndarray) -> np.ndarray:
        """Judge candidates.

        Parameters
        ----------
        features : ndarray, shape (m, n)
            A row for each.

        Returns
        -------
        ndarray, shape (m,)
            0 to 1.

        Examples
        --------
        >>> model = Model(np.zeros(1), np.ones(1), np.array([0.0, 1.0, 0.0]))
        >>> model.probability(np.array([[0.0], [3.0]])).round(2).tolist()
        [0.5, 0.95]
        """
        terms = expanded((np.asarray(features, float) - self.mean) / self.sd)
        return 1 / (1 + np.exp(-(terms @ self.weights)))


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
