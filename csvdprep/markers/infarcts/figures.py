"""Look at recent infarcts one by one."""

from __future__ import annotations

from csvdprep.interfaces.lists import draw_numbered
from csvdprep.markers.infarcts import KINDS


def draw_infarcts(
    *, out_file: str, trace_preproc: str, infarct_candidates: str, infarct_lesions: str
) -> None:
    """Draw the lesions of the list, each in the slice where it is widest.

    Parameters
    ----------
    out_file : str
        SVG to write.
    trace_preproc, infarct_candidates : str
        Image, and the numbers of the list.
    infarct_lesions : str
        List.

    """
    draw_numbered(
        out_file,
        trace_preproc,
        infarct_candidates,
        infarct_lesions,
        label='infarct',
        what='recent infarct',
        kinds={name: name.upper() if name == 'rssi' else name for name in KINDS},
    )
