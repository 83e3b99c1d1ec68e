"""Motion and bolus of a dynamic series: arrays in, arrays out."""

from csvdprep.preprocessing.dce.science.baseline import find_baseline, temporal_noise
from csvdprep.preprocessing.dce.science.scaling import (
    b1_factor,
    believable_t1,
    smooth_b1,
    t1_in_seconds,
)
from csvdprep.science.contrast_motion import find_motions, pulled

__all__ = [
    'b1_factor',
    'believable_t1',
    'find_baseline',
    'find_motions',
    'pulled',
    'smooth_b1',
    't1_in_seconds',
    'temporal_noise',
]
