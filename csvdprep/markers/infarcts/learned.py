"""The shipped model of recent infarcts."""

from __future__ import annotations

import json

from csvdprep.markers.infarcts.science.candidates import FEATURES
from csvdprep.markers.infarcts.science.probability import Model
from csvdprep.resources import models


def load_model() -> Model:
    """Read the model that tells infarcts from what is taken for them.

    Examples
    --------
    >>> load_model().weights.shape
    (153,)
    """
    path = models() / 'infarcts' / 'model.json'
    return Model.read(json.loads(path.read_text(encoding='utf-8')), FEATURES)
