"""Look at a bolus-tracking series: its place, its first pass, motion."""

from __future__ import annotations

import matplotlib
from matplotlib.figure import Figure

from csvdprep.bids.tsv import read_tsv
from csvdprep.imaging.drawing import COLOURS, Layer, draw_mosaic
from csvdprep.imaging.slices import every, extent, load_volume, slice_axis, window

_MOST = 21
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
    image = load_volume(dsc_baseline)
    mask = load_volume(dsc_mask, image, order=0).data > 0
    cuts, step = every(mask, slice_axis(image), _MOST)
    draw_mosaic(
        out_file,
        [
            Layer(
                image,
                window(image, mask),
                outlines=[(mask, COLOURS['sky'])],
                name='Before the contrast agent',
                stroke=1.0,
            )
        ],
        cuts,
        box=extent(mask, image.zooms, 12.0),
        columns=7,
        legend={'Brain of the anatomy': COLOURS['sky']},
        note=f'Slices {step * image.zooms[slice_axis(image)]:.1f} mm apart.',
    )


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
    for axes, kind, label in zip(
        panels, ('trans', 'rot'), ('shift, mm', 'rotation, degrees'), strict=True
    ):
        for axis, colour in zip('xyz', ('#d55e00', '#0072b2', '#009e73'), strict=True):
            values = [float(row[f'{kind}_{axis}']) for row in rows]
            axes.plot(time, values, color=colour, label=axis, lw=1.4)
        axes.axhline(0, color='0.8', lw=0.8, zorder=0)
        axes.set(xlabel='time, s', title=label)
    for axes in figure.axes:
        axes.spines[['top', 'right']].set_visible(False)
    panels[0].legend(frameon=False, fontsize=8, ncols=3)
    with matplotlib.rc_context(_STYLE):
        figure.savefig(out_file, format='svg', metadata={'Date': None})
