"""Where the markers of the scores come from: the one place that names other rooms."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Source:
    """A room that measures markers.

    Parameters
    ----------
    room : str
        Its name.
    markers : tuple of str
        Measures that bear the names of markers.
    list : str
        Product that lists its candidates, if it has one: columns ``index``, ``status``,
        ``probability``, ``region``, ``x``, ``y``, ``z``.
    total : str
        Count that the list gives.
    listed : tuple of float
        Share of lesions that the list has, definite and possible ones, on thin slices and on
        thick ones.
    thick : tuple of str
        Measure that tells that slices are thick, and how its value, or the reason why it has
        none, then begins.
    origin : str
        Measure that tells whether the list is that of csvdprep.
    """

    room: str
    markers: tuple[str, ...]
    list: str = ''
    total: str = ''
    listed: tuple[float, float] = (1.0, 1.0)
    thick: tuple[str, str] = ('', '')
    origin: str = ''

    @property
    def values(self) -> str:
        """Product with its measures."""
        return f'{self.room}_values'


#: Share of lesions that lists have, on thin slices and on thick ones: microbleeds of 18 phantoms
#: that the model had not seen (148, some on thick slices; docs/cmb.md: of drawn ones on slices
#: over 2.2 mm 8 of 9 are listed, too few for a number of their own);
#: lacunes drawn into people and phantoms that were left out of the fit (docs/cavities.md, T1w and
#: FLAIR, 1 and 3 mm).
LISTED_MICROBLEEDS, LISTED_LACUNES = (0.86, 0.86), (0.89, 0.79)
_KNOWN = (
    Source(room='fazekas', markers=('fazekas_pv', 'fazekas_deep')),
    Source(
        room='microbleeds',
        markers=('cmb_n', 'cmb_lobar_n', 'cmb_deep_n', 'cmb_infratentorial_n'),
        list='cmb_lesions',
        total='cmb_n',
        listed=LISTED_MICROBLEEDS,
        thick=('cmb_sequence', '2D'),
        origin='cmb_origin',
    ),
    Source(
        room='cavities',
        markers=(
            'lacune_n',
            'lacune_deep_n',
            'lacune_lobar_n',
            'pvs_bg_grade',
            'pvs_cso_grade',
            'pvs_bg_worst_n',
            'pvs_cso_worst_n',
            'pvs_midbrain',
        ),
        list='lacune_lesions',
        total='lacune_n',
        listed=LISTED_LACUNES,
        thick=('pvs_bg_n', 'slices of'),
        origin='lacune_origin',
    ),
)
#: Rooms that there are. A room of `_KNOWN` that is named here is read; the markers of others are
#: missing, unless they are rated.
ROOMS = ('fazekas', 'cavities', 'microbleeds')

SOURCES = tuple(source for source in _KNOWN if source.room in ROOMS)
#: List of hyperintensities, for the multispot pattern and for the lesions behind a grade; and the
#: measure whose flag holds for it.
WMH_LIST, WMH_MEASURE = 'wmh_lesions', 'wmh_n_lesions'
