"""Scores of small vessel disease: what is known of each marker, the rules, and their chances."""

from csvdprep.markers.scores.science.chance import Chance, chances
from csvdprep.markers.scores.science.evidence import Evidence, Machine, Rating, gather
from csvdprep.markers.scores.science.findings import Finding
from csvdprep.markers.scores.science.multispot import is_multispot
from csvdprep.markers.scores.science.rules import RULES, Boston, Item, Score, boston2
from csvdprep.science.lesion_review import Candidate, Review

__all__ = [
    'RULES',
    'Boston',
    'Candidate',
    'Chance',
    'Evidence',
    'Finding',
    'Item',
    'Machine',
    'Rating',
    'Review',
    'Score',
    'boston2',
    'chances',
    'gather',
    'is_multispot',
]
