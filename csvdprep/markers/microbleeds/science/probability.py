"""How probable it is that a candidate is a microbleed: boosted trees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Model:
    """A sum of small decision trees.

    Attributes
    ----------
    start : float
        Log odds before any tree.
    feature : ndarray of int, shape (trees, nodes)
        Feature that a node asks for; -1 in leaves.
    threshold : ndarray of float, shape (trees, nodes)
        Values up to this go left.
    left, right : ndarray of int, shape (trees, nodes)
        Nodes to go to.
    value : ndarray of float, shape (trees, nodes)
        What a leaf adds to the log odds.
    """

    start: float
    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    value: np.ndarray

    @classmethod
    def read(cls, content: dict, features: Sequence[str]) -> Model:
        """Take the trees from what ``training.cmb_fit`` wrote.

        Parameters
        ----------
        content : dict
            ``features``, ``start`` and ``trees``: of each tree the lists ``feature``,
            ``threshold``, ``left``, ``right``, ``value`` of its nodes, the root first.
        features : sequence of str
            What candidates are described by.

        Raises
        ------
        ValueError
            If it was fitted to other features.
        """
        if tuple(content['features']) != tuple(features):
            raise ValueError('The model of microbleeds was fitted to other features.')
        most = max(len(tree['value']) for tree in content['trees'])

        def table(name: str, kind, empty) -> np.ndarray:
            out = np.full((len(content['trees']), most), empty, kind)
            for row, tree in zip(out, content['trees'], strict=True):
                row[: len(tree[name])] = tree[name]
            return out

        return cls(
            float(content['start']),
            table('feature', np.int16, -1),
            table('threshold', float, 0),
            table('left', np.int16, 0),
            table('right', np.int16, 0),
            table('value', float, 0),
        )

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
        >>> tree = {'feature': [0, -1, -1], 'threshold': [0.5, 0, 0], 'left': [1, 0, 0],
        ...         'right': [2, 0, 0], 'value': [0, -2, 2]}
        >>> model = Model.read({'features': ['a'], 'start': 0, 'trees': [tree]}, ['a'])
        >>> model.probability(np.array([[0.5], [0.6]])).round(2).tolist()
        [0.12, 0.88]
        """
        features = np.asarray(features, float)
        rows = np.arange(len(features))
        total = np.full(len(features), self.start)
        for tree in range(len(self.feature)):
            node = np.zeros(len(features), int)
            while True:
                asked = self.feature[tree, node]
                inner = asked >= 0
                if not inner.any():
                    break
                low = features[rows, np.maximum(asked, 0)] <= self.threshold[tree, node]
                step = np.where(low, self.left[tree, node], self.right[tree, node])
                node = np.where(inner, step, node)
            total += self.value[tree, node]
        return 1 / (1 + np.exp(-total))
