"""Rows of the list of what became of lesions."""

from __future__ import annotations

from collections.abc import Sequence

from csvdprep.core.lesionlist import REGION
from csvdprep.longitudinal.incident import CHANGES, Kind
from csvdprep.longitudinal.incident.science import Track
from csvdprep.longitudinal.incident.visits import VisitLesions

#: Lesions of a kind that the picture shows.
SHOWN = 9
#: Order of the list and of the picture.
_ORDER = ('new', 'vanished', 'cannot be told', 'persisting')
_FROM_LIST = (
    *(f'{axis}{space}' for space in ('', '_mni') for axis in 'xyz'),
    *(column.name for column in REGION),
)


def sorted_tracks(tracks: Sequence[Track]) -> list[Track]:
    """Sort what became of lesions: what is new first, then by the numbers of the lists."""
    assert set(_ORDER) == {*CHANGES}

    def rank(track):
        numbers = [one.index if one else 0 for one in (track.last, track.first)]
        return _ORDER.index(track.change), numbers

    return sorted(tracks, key=rank)


def row_of(track: Track, both: Sequence[VisitLesions], kind: Kind, years: float | None) -> dict:
    """Write the row of a lesion; what the list of a visit says is taken over.

    Parameters
    ----------
    track : Track
        What became of it.
    both : two VisitLesions
        Earlier and later visit.
    kind : Kind
        Kind of lesion.
    years : float or None
        Between the visits.
    """
    pair = (track.first, track.last)
    own = [visit.rows[one.index] if one else {} for one, visit in zip(pair, both, strict=True)]
    counted = own[1] if pair[1] is not None and pair[1].definite else own[0]
    row = {
        'lesion': kind.name,
        'from_session': both[0].session,
        'to_session': both[1].session,
        'years': years,
        'change': track.change,
        'distance_mm': track.distance_mm,
        'from_cnr': track.cnr[0],
        'to_cnr': track.cnr[1],
        'expected_cnr': track.expected_cnr,
        'reason': track.reason or None,
    }
    for side, one, said in zip(('from', 'to'), pair, own, strict=True):
        row |= {
            f'{side}_index': one.index if one else None,
            f'{side}_volume_mm3': said.get('volume_mm3'),
            f'{side}_probability': said.get('probability'),
        }
    return row | {name: counted.get(name) for name in _FROM_LIST}
