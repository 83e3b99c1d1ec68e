"""From the local field to susceptibility, and what it is in each nucleus."""

from csvdprep.markers.qsm.science.inversion import invert, noise_weight
from csvdprep.markers.qsm.science.total_variation import total_variation

__all__ = ['invert', 'noise_weight', 'total_variation']
