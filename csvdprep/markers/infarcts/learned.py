"""The shipped model of recent infarcts."""

from __future__ import annotations

import json

from csvdprep.markers.infarcts.science.candidates import FEATURES
from csvdprep.markers.infarcts.science.probability import read_model
from csvdprep.resources import models
from csvdprep.science.logistic import QuadraticModel


def load_model() -> QuadraticModel:
    """Read the model that tells infarcts from what is taken for them.

    Examples
    --------
    >>> load_model().weights.shape
    (153,)
    """
    path = models() / 'infarcts' / 'model.json'
    return read_model(json.loads(path.read_text(encoding='utf-8')), FEATURES)
