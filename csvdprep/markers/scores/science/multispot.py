"""The multispot pattern of hyperintensities, from their list."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ['MOST_MM', 'SPOTS', 'is_multispot']

#: More spots than this make the pattern; their largest axial diameter, and how far from the
#: ventricles they are, mm.
SPOTS, MOST_MM, FROM_MM = 10, 10.0, 13.0


def is_multispot(lesions: Iterable[tuple[float, float, str]]) -> tuple[bool, int]:
    """Tell whether hyperintensities are many small spots of the subcortical white matter.

    Parameters
    ----------
    lesions : iterable of (float, float, str)
        Largest axial diameter (mm), least distance from the lateral ventricles (mm), and side.

    Returns
    -------
    tuple of bool and int
        Whether there are more than ten spots up to 10 mm and beyond 13 mm, some on either side;
        and how many.

    References
    ----------
    Charidimou et al. 2022, doi:10.1016/S1474-4422(22)00208-3; the sizes are this application's.

    Examples
    --------
    >>> is_multispot([(4, 20, 'left')] * 6 + [(4, 20, 'right')] * 5)
    (True, 11)
    >>> is_multispot([(4, 20, 'left')] * 11), is_multispot([(4, 5, 'left'), (12, 20, 'right')] * 9)
    ((False, 11), (False, 0))
    """
    sides = [side for wide, away, side in lesions if wide <= MOST_MM and away > FROM_MM]
    return len(sides) > SPOTS and {'left', 'right'} <= {*sides}, len(sides)
