"""Input function and regions of DCE-MRI: arrays in, arrays out."""

from csvdprep.markers.permeability.science.drift import Drift, find_drift
from csvdprep.markers.permeability.science.passage import (
    LEAST_SHARE,
    find_passage,
    why_not,
    width_of,
)
from csvdprep.markers.permeability.science.regions import Estimate, estimate, fit_window
from csvdprep.markers.permeability.science.sinus import Sinus, find_sinus
from csvdprep.science.sinus import in_sinus

__all__ = [
    'LEAST_SHARE',
    'Drift',
    'Estimate',
    'Sinus',
    'estimate',
    'find_drift',
    'find_passage',
    'find_sinus',
    'fit_window',
    'in_sinus',
    'why_not',
    'width_of',
]
