"""Quantitative markers of cerebral small vessel disease from BIDS datasets."""

__version__ = '0.1.0'
