"""Tracer kinetics: concentrations of contrast agent in, permeability and plasma volume out."""

from csvdprep.science.kinetics.exchange import extended_tofts_fit, two_compartment_fit
from csvdprep.science.kinetics.input_function import convolve, integrate, shifted
from csvdprep.science.kinetics.linear import Fit, drift_sensitivity, patlak_fit, plasma_volume_fit
from csvdprep.science.kinetics.noise import leaking_volume
from csvdprep.science.kinetics.shape import Shape, arrival, describe_curve

__all__ = [
    'Fit',
    'Shape',
    'arrival',
    'convolve',
    'describe_curve',
    'drift_sensitivity',
    'extended_tofts_fit',
    'integrate',
    'leaking_volume',
    'patlak_fit',
    'plasma_volume_fit',
    'shifted',
    'two_compartment_fit',
]
