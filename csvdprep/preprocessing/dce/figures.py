"""Look at the dynamic series, on its own grid."""

from __future__ import annotations

import matplotlib
from matplotlib.figure import Figure

from csvdprep.bids.tsv import read_tsv
from csvdprep.interfaces.contrast_series import draw_mean, plot_motion

_STYLE = {'svg.hashsalt': 'csvdprep', 'svg.fonttype': 'path'}


def draw_baseline(*, out_file: str, dce_baseline: str, dce_mask: str) -> None:
    """Draw the mean before the contrast agent with the outline of the brain.

    Parameters
    ----------
    out_file : str
        SVG to write.
    dce_baseline, dce_mask : str
        Mean and brain.

    """
    draw_mean(out_file, dce_baseline, dce_mask)


def draw_motion(*, out_file: str, dce_motion: str) -> None:
    """Draw shifts and rotations over time.

    Parameters
    ----------
    out_file : str
        SVG to write.
    dce_motion : str
        Table of motion.

    """
    rows = read_tsv(dce_motion).rows
    figure = Figure((12, 2.8), layout='constrained')
    plot_motion(figure.subplots(1, 2), rows, [float(row['time_s']) / 60 for row in rows], 'min')
    with matplotlib.rc_context(_STYLE):
        figure.savefig(out_file, format='svg', metadata={'Date': None})
