"""From the local field to susceptibility, and what it is in each nucleus."""

from csvdprep.markers.qsm.science.admm import total_variation
from csvdprep.markers.qsm.science.inversion import invert, noise_weight

__all__ = ['invert', 'noise_weight', 'total_variation']
