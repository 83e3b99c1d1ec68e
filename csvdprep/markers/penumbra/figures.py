"""Look at diffusion by the distance from hyperintensities."""

from __future__ import annotations

import matplotlib
from matplotlib.figure import Figure

from csvdprep.bids.tsv import read_tsv

_STYLE = {'svg.hashsalt': 'csvdprep', 'svg.fonttype': 'path'}
_PANELS = (
    ('md', 'Mean diffusivity, 1e-3 mm²/s'),
    ('fa', 'Fractional anisotropy'),
    ('fw', 'Free water'),
    ('flair', 'FLAIR / remote white matter'),
)
_KINDS = (('periventricular', '#d55e00'), ('deep', '#0072b2'), ('all', '#777777'))


def draw_profile(*, out_file: str, penumbra_profile: str) -> None:
    """Draw the profiles of all maps.

    Parameters
    ----------
    out_file : str
        SVG to write.
    penumbra_profile : str
        Table of rings.

    """
    rows = read_tsv(penumbra_profile).rows
    figure = Figure((12, 3.4), layout='constrained')
    for axes, (name, label) in zip(figure.subplots(1, 4), _PANELS, strict=True):
        for kind, colour in _KINDS:
            there = [
                row
                for row in rows
                if row['kind'] == kind and row['map'] == name and row['median'] != 'n/a'
            ]
            if there:
                axes.errorbar(
                    [float(row['distance_mm']) for row in there],
                    [float(row['median']) for row in there],
                    [float(row['se']) if row['se'] != 'n/a' else 0 for row in there],
                    color=colour,
                    label=kind,
                    lw=1.4,
                    elinewidth=0.8,
                )
        axes.set(title=label, xlabel='distance from WMH, mm', xlim=(0, 20))
        axes.axvspan(0, 1, color='0.92')
        axes.spines[['top', 'right']].set_visible(False)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if handles:
        figure.axes[0].legend(handles, labels, frameon=False, fontsize=8)
    with matplotlib.rc_context(_STYLE):
        figure.savefig(out_file, format='svg', metadata={'Date': None})
