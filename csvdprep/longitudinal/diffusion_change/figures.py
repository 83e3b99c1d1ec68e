"""Look at the course of diffusion in tissue that became hyperintense."""

from __future__ import annotations

import matplotlib
from matplotlib.figure import Figure

from csvdprep.bids.tsv import read_tsv

_STYLE = {'svg.hashsalt': 'csvdprep', 'svg.fonttype': 'path'}
_PANELS = (
    ('md', 'Mean diffusivity, 1e-3 mm²/s'),
    ('fa', 'Fractional anisotropy'),
    ('fw', 'Free water'),
)
_CLASSES = (
    ('stable_wmh', 'stable WMH', '#56b4e9'),
    ('growing_wmh', 'growing WMH', '#e69f00'),
    ('new_wmh', 'new WMH', '#d55e00'),
    ('future_penumbra', 'penumbra that became WMH', '#0072b2'),
    ('stable_penumbra', 'penumbra that did not', '#cc79a7'),
    ('nawm', 'NAWM', '#777777'),
)


def draw_course(*, out_file: str, diffusion_change_list: str) -> None:
    """Draw the means of the visits.

    Parameters
    ----------
    out_file : str
        SVG to write.
    diffusion_change_list : str
        Table.

    """
    rows = read_tsv(diffusion_change_list).rows
    sessions = [*dict.fromkeys(row['session'] for row in rows)]
    timed = all(row['years'] != 'n/a' for row in rows)
    figure = Figure((12, 3.6), layout='constrained')
    for axes, (name, label) in zip(figure.subplots(1, 3), _PANELS, strict=True):
        for kind, words, colour in _CLASSES:
            there = [
                row
                for row in rows
                if row['tissue'] == kind and row['map'] == name and row['mean'] != 'n/a'
            ]
            if there:
                at = [
                    float(row['years']) if timed else sessions.index(row['session'])
                    for row in there
                ]
                means = [float(row['mean']) for row in there]
                axes.plot(at, means, 'o-', color=colour, label=words, lw=1.4, ms=4)
        axes.set(title=label, xlabel='years' if timed else 'visit')
        if not timed:
            axes.set_xticks(range(len(sessions)), sessions)
        axes.spines[['top', 'right']].set_visible(False)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if handles:
        figure.legend(
            handles, labels, frameon=False, fontsize=8, loc='outside lower center', ncols=6
        )
    with matplotlib.rc_context(_STYLE):
        figure.savefig(out_file, format='svg', metadata={'Date': None})
