"""Arteries from angiograms: filter, lumen, middle lines, and where they lie."""

from csvdprep.markers.arteries.science.find import Arteries, Artery, Limits, find_arteries
from csvdprep.markers.arteries.science.skin import below_skin

__all__ = ['Arteries', 'Artery', 'Limits', 'below_skin', 'find_arteries']
