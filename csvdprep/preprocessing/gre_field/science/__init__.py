"""From phases to the local field."""

from csvdprep.preprocessing.gre_field.science.frequency import Frequency, fit_frequency
from csvdprep.preprocessing.gre_field.science.sign import Sign, phase_sign, slice_offset

__all__ = ['Frequency', 'Sign', 'fit_frequency', 'phase_sign', 'slice_offset']
