"""What an angiogram needs before arteries are sought in it."""

from csvdprep.preprocessing.tof.science.slabs import (
    across_slabs,
    equalise,
    head_of,
    slice_gains,
    unevenness_pct,
)

__all__ = ['across_slabs', 'equalise', 'head_of', 'slice_gains', 'unevenness_pct']
