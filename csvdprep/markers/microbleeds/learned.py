"""The shipped model of microbleeds."""

from __future__ import annotations

import json

from csvdprep.markers.microbleeds.science.candidates import FEATURES
from csvdprep.markers.microbleeds.science.probability import Model
from csvdprep.resources import models


def load_model() -> Model:
    """Read the model that tells microbleeds from what is taken for them.

    Examples
    --------
    >>> load_model().feature.ndim
    2
    """
    path = models() / 'microbleeds' / 'model.json'
    return Model.read(json.loads(path.read_text(encoding='utf-8')), FEATURES)
