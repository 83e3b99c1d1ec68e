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
    """

    room: str
    markers: tuple[str, ...]
    list: str = ''

    @property
    def values(self) -> str:
        """Product with its measures."""
        return f'{self.room}_values'


_KNOWN = (
    Source(room='fazekas', markers=('fazekas_pv', 'fazekas_deep')),
    Source(
        room='microbleeds',
        markers=('cmb_n', 'cmb_lobar_n', 'cmb_deep_n', 'cmb_infratentorial_n'),
        list='cmb_lesions',
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
    ),
)
#: Rooms that there are. A room of `_KNOWN` that is named here is read; the markers of others are
#: missing, unless they are rated.
ROOMS = ('fazekas', 'cavities', 'microbleeds')

SOURCES = tuple(source for source in _KNOWN if source.room in ROOMS)
#: List of hyperintensities, for the multispot pattern and for the lesions behind a grade; and the
#: measure whose flag holds for it.
WMH_LIST, WMH_MEASURE = 'wmh_lesions', 'wmh_n_lesions'
