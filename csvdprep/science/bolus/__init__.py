"""First pass of a contrast agent (DSC-MRI): relaxation, arteries, leakage, deconvolution."""

from csvdprep.science.bolus.arteries import Arteries, find_arteries
from csvdprep.science.bolus.deconvolution import Perfusion, deconvolve
from csvdprep.science.bolus.echoes import combine_echoes
from csvdprep.science.bolus.leakage import correct_leakage, reference_curve
from csvdprep.science.bolus.relaxation import FirstPass, find_first_pass, to_relaxation
from csvdprep.science.bolus.transit import Distribution, describe_times, time_to_peak

__all__ = [
    'Arteries',
    'Distribution',
    'FirstPass',
    'Perfusion',
    'combine_echoes',
    'correct_leakage',
    'deconvolve',
    'describe_times',
    'find_arteries',
    'find_first_pass',
    'reference_curve',
    'time_to_peak',
    'to_relaxation',
]
