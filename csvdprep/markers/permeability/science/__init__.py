"""Input function and regions of DCE-MRI: arrays in, arrays out."""

from csvdprep.markers.permeability.science.drift import Drift, find_drift
from csvdprep.markers.permeability.science.regions import Estimate, estimate, fit_window
from csvdprep.markers.permeability.science.sinus import Sinus, find_sinus
from csvdprep.science.sinus import in_sinus

__all__ = [
    'Drift',
    'Estimate',
    'Sinus',
    'estimate',
    'find_drift',
    'find_sinus',
    'fit_window',
    'in_sinus',
]
