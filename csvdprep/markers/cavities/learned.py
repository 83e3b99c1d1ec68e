"""The shipped models of lacunes and perivascular spaces."""

from __future__ import annotations

import json

from csvdprep.markers.cavities.science.candidates import features_of
from csvdprep.markers.cavities.science.probability import read_model
from csvdprep.resources import models
from csvdprep.science.logistic import QuadraticModel


def load_model(images: str, *, thick: bool) -> QuadraticModel:
    """Read the model that tells cavities apart.

    Parameters
    ----------
    images : str
        Images that there are: 't1w', 't1w+flair', 't1w+t2w' or 't1w+flair+t2w'.
    thick : bool
        Whether slices are thick.

    Returns
    -------
    QuadraticModel

    Examples
    --------
    >>> load_model('t1w+flair', thick=False).weights.shape[1]
    2
    """
    path = models() / 'cavities' / 'model.json'
    content = json.loads(path.read_text(encoding='utf-8'))
    return read_model(content[f'{images}{" thick" if thick else ""}'], features_of(images))
