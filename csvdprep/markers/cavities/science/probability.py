"""How probable each kind is: a multinomial logistic model with products of features."""

from __future__ import annotations

from csvdprep.science.logistic import QuadraticModel

#: Kinds that the model tells apart.
CLASSES = ('other', 'lacune', 'pvs')
#: Features further from their mean than so many SD count as that far.
FARTHEST = 3.5


def read_model(content: dict, features: tuple[str, ...]) -> QuadraticModel:
    """Take the coefficients from what ``training.cavity_fit`` wrote.

    Parameters
    ----------
    content : dict
        The part of the file for the images that there are.
    features : tuple of str
        What candidates are described by.

    Returns
    -------
    QuadraticModel
        Its ``probability`` has a column for each of `CLASSES`.

    Raises
    ------
    ValueError
        If it was fitted to other features.

    Examples
    --------
    >>> content = {'features': ['a'], 'mean': [0], 'sd': [1], 'weights': [[0, 0], [2, 0], [0, 0]]}
    >>> read_model(content, ('a',)).probability([[0.0]]).round(2).tolist()
    [[0.33, 0.33, 0.33]]
    """
    return QuadraticModel.read(content, features, farthest=FARTHEST)
