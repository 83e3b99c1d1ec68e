"""Measures by site, before and after."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np

from csvdprep.bids.tsv import read_tsv

#: Measures that are drawn first, if they are there; most that are drawn.
MAIN = ('wmh_total_ml', 'bpf', 'lv_ml', 'psmd_1e4', 'fa_nawm', 'md_nawm')
MOST = 6
#: Sites drawn one by one.
SITES = 12
_GREY, _BLUE = '#8a97a5', '#17466f'


def draw_sites(
    *, out_file: str, group_measures: str, harmonised_table: str, group_dictionary: dict
) -> None:
    """Draw boxes of the main measures by site, as measured and harmonised.

    Parameters
    ----------
    out_file : str
        SVG to write.
    group_measures, harmonised_table : str
        Tables with the same rows.
    group_dictionary : dict
        Units of the measures.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    before, after = read_tsv(group_measures).rows, read_tsv(harmonised_table)
    there = list(after.columns[3:])
    names = [name for name in MAIN if name in there]
    names += [name for name in there if name not in names]
    names = names[:MOST]
    at = np.array([row['site'] for row in after.rows])
    sites = sorted(set(at) - {'n/a'})
    shown = sorted(sites, key=lambda site: (-(at == site).sum(), site))[:SITES]
    look = {
        'svg.hashsalt': 'harmonisation',
        'svg.fonttype': 'none',
        'font.size': 8,
        'font.family': 'sans-serif',
        'axes.linewidth': 0.6,
        'axes.spines.top': False,
        'axes.spines.right': False,
        'text.parse_math': False,
    }
    with mpl.rc_context(look):
        columns = min(3, len(names))
        lines = -(-len(names) // columns)
        figure = Figure(figsize=(3.6 * columns, 2.5 * lines), layout='constrained')
        FigureCanvasSVG(figure)
        axes = figure.subplots(lines, columns, squeeze=False).ravel()
        for axis, name in zip(axes, names, strict=False):
            for shift, colour, rows in ((-0.19, _GREY, before), (0.19, _BLUE, after.rows)):
                values = np.array([_number(row[name]) for row in rows])
                parts = [values[(at == site) & np.isfinite(values)] for site in shown]
                boxes = axis.boxplot(
                    parts,
                    positions=np.arange(len(shown)) + shift,
                    widths=0.32,
                    flierprops={'marker': '.', 'markersize': 2, 'markeredgecolor': colour},
                    medianprops={'color': colour, 'linewidth': 1.4},
                )
                for line in (*boxes['boxes'], *boxes['whiskers'], *boxes['caps']):
                    line.set(color=colour, linewidth=0.8)
            short = [textwrap.shorten(site, 14, placeholder='…') for site in shown]
            axis.set_xticks(range(len(shown)), short, rotation=0 if len(shown) < 5 else 45)
            units = group_dictionary['measures'][name]['units']
            axis.set_ylabel(name + ('' if units == '1' else f', {units}'))
        for axis in axes[len(names) :]:
            axis.axis('off')
        figure.legend(
            handles=[
                mpl.patches.Patch(color=_GREY, label='as measured'),
                mpl.patches.Patch(color=_BLUE, label='harmonised'),
            ],
            loc='outside lower center',
            ncols=2,
            frameon=False,
        )
        Path(out_file).parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(out_file, format='svg', metadata={'Date': None})


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan
