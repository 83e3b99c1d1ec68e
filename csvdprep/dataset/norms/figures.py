"""Curves of the controls."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from csvdprep.bids.tsv import read_tsv

#: Measures that are drawn first, if they are there; most that are drawn.
MAIN = ('wmh_total_ml', 'bpf', 'lv_ml', 'psmd_1e4', 'fa_nawm', 'md_nawm')
MOST = 6
_BLUE = '#17466f'


def draw_curves(*, out_file: str, norm_curves: str) -> None:
    """Draw percentiles over age.

    Parameters
    ----------
    out_file : str
        SVG to write.
    norm_curves : str
        Table of curves.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    rows = read_tsv(norm_curves).rows
    there = list(dict.fromkeys(row['measure'] for row in rows))
    names = [name for name in MAIN if name in there]
    names = [*names, *(name for name in there if name not in names)][:MOST]
    look = {
        'svg.hashsalt': 'norms',
        'svg.fonttype': 'none',
        'font.size': 8,
        'font.family': 'sans-serif',
        'axes.linewidth': 0.6,
        'axes.spines.top': False,
        'axes.spines.right': False,
        'text.parse_math': False,
    }
    with mpl.rc_context(look):
        columns = min(3, max(1, len(names)))
        lines = max(1, -(-len(names) // columns))
        figure = Figure(figsize=(3.6 * columns, 2.5 * lines), layout='constrained')
        FigureCanvasSVG(figure)
        axes = figure.subplots(lines, columns, squeeze=False).ravel()
        for axis, name in zip(axes, names, strict=False):
            mine = [row for row in rows if row['measure'] == name]
            for sex, style in (('F', '-'), ('M', '--')):
                some = [row for row in mine if row['sex'] == sex]
                ages = np.array([float(row['age']) for row in some])
                for percent, width in ((5, 0.7), (25, 0.9), (50, 1.5), (75, 0.9), (95, 0.7)):
                    values = [float(row[f'p{percent}']) for row in some]
                    axis.plot(ages, values, style, color=_BLUE, lw=width)
            units = mine[0]['units']
            axis.set_ylabel(name + ('' if units == '1' else f', {units}'))
            axis.set_xlabel(f'age, years; {mine[0]["n"]} controls')
        for axis in axes[len(names) :]:
            axis.axis('off')
        Path(out_file).parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(out_file, format='svg', metadata={'Date': None})
