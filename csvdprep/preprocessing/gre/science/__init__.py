"""What magnitudes of gradient echoes tell."""

from csvdprep.preprocessing.gre.science.magnitudes import combined, covered_pct, decay_rate

__all__ = ['combined', 'covered_pct', 'decay_rate']
