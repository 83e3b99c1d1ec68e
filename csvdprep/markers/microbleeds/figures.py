"""Look at microbleeds one by one."""

from __future__ import annotations

from csvdprep.interfaces.lists import draw_numbered


def draw_microbleeds(
    *, out_file: str, gre_mag: str, cmb_candidates: str, cmb_lesions: str
) -> None:
    """Draw the candidates of the list, each in the slice where it is widest.

    Parameters
    ----------
    out_file : str
        SVG to write.
    gre_mag, cmb_candidates : str
        Image, and the numbers of the list.
    cmb_lesions : str
        List.

    """
    draw_numbered(out_file, gre_mag, cmb_candidates, cmb_lesions, label='CMB', what='microbleed')
