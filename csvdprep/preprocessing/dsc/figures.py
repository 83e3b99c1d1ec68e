"""Look at a bolus-tracking series: its place, its first pass, motion."""

from __future__ import annotations

import matplotlib
from matplotlib.figure import Figure

from csvdprep.bids.tsv import read_tsv
from csvdprep.interfaces.contrast_series import draw_mean, plot_motion

_STYLE = {'svg.hashsalt': 'csvdprep', 'svg.fonttype': 'path'}


def draw_baseline(*, out_file: str, dsc_baseline: str, dsc_mask: str) -> None:
    """Draw the mean before the contrast agent with the outline of the brain.

    Parameters
    ----------
    out_file : str
        SVG to write.
    dsc_baseline, dsc_mask : str
        Mean and brain.

    """
    draw_mean(out_file, dsc_baseline, dsc_mask)


def draw_first_pass(*, out_file: str, dsc_motion: str) -> None:
    """Draw the mean signal of the brain, shifts and rotations over time.

    Parameters
    ----------
    out_file : str
        SVG to write.
    dsc_motion : str
        Table of motion and signal.

    """
    rows = read_tsv(dsc_motion).rows
    time = [float(row['time_s']) for row in rows]
    before = [float(row['time_s']) for row in rows if row['phase'] == 'baseline']
    figure = Figure((12, 2.8), layout='constrained')
    left, *panels = figure.subplots(1, 3)
    left.axvspan(before[0], before[-1], color='0.9', lw=0)
    left.plot(time, [float(row['signal_pct']) for row in rows], 'o-', color='k', ms=3, lw=1.2)
    left.set(xlabel='time, s', title='mean signal, %')
    left.spines[['top', 'right']].set_visible(False)
    plot_motion(panels, rows, time, 's')
    with matplotlib.rc_context(_STYLE):
        figure.savefig(out_file, format='svg', metadata={'Date': None})
