"""How probable it is that a candidate is an infarct: a logistic model with products."""

from __future__ import annotations

from csvdprep.science.logistic import QuadraticModel

#: Features further from their mean than so many SD count as that far.
FARTHEST = 4.0


def read_model(content: dict, features: tuple[str, ...]) -> QuadraticModel:
    """Take the coefficients from what ``training.infarct_fit`` wrote.

    Parameters
    ----------
    content : dict
        The file.
    features : tuple of str
        What candidates are described by.

    Returns
    -------
    QuadraticModel

    Raises
    ------
    ValueError
        If it was fitted to other features.

    Examples
    --------
    >>> content = {'features': ['a'], 'mean': [0], 'sd': [1], 'weights': [0, 1, 0]}
    >>> read_model(content, ('a',)).probability([[3.0]]).round(2).tolist()
    [0.95]
    """
    return QuadraticModel.read(content, features, farthest=FARTHEST)
