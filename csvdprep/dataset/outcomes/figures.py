"""Calibration, decision curve, and discrimination by site."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from csvdprep.bids.tsv import read_tsv

_BLUE, _GREY = '#17466f', '#8a97a5'
#: Sites that are drawn.
SITES = 20


def draw_performance(*, out_file: str, outcome_model: str, outcome_list: str) -> None:
    """Draw how good predictions are.

    Parameters
    ----------
    out_file : str
        SVG to write.
    outcome_model, outcome_list : str
        Model card and table of performance.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    card = json.loads(Path(outcome_model).read_text(encoding='utf-8'))
    rows = [row for row in read_tsv(outcome_list).rows if row['c'] != 'n/a']
    look = {
        'svg.hashsalt': 'outcomes',
        'svg.fonttype': 'none',
        'font.size': 8,
        'font.family': 'sans-serif',
        'axes.linewidth': 0.6,
        'axes.spines.top': False,
        'axes.spines.right': False,
        'text.parse_math': False,
    }
    with mpl.rc_context(look):
        two = 'decision curve' in card
        figure = Figure(figsize=(10.5 if two else 4.0, 3.0), layout='constrained')
        FigureCanvasSVG(figure)
        axes = list(figure.subplots(1, 3 if two else 1, squeeze=False)[0])
        if two:
            axis = axes.pop(0)
            shares = card['calibration']
            x, y = ([part[k] for part in shares] for k in ('predicted', 'observed'))
            axis.plot([0, 1], [0, 1], color=_GREY, lw=0.7)
            axis.plot(x, y, 'o-', color=_BLUE, ms=4, lw=1)
            axis.set_xlabel('predicted probability')
            axis.set_ylabel('observed share')
            axis = axes.pop(0)
            curve = card['decision curve']
            at = [part['threshold'] for part in curve]
            axis.axhline(0, color='#bbbbbb', lw=0.7)
            everyone = np.array([part['all'] for part in curve])
            axis.plot(at, np.maximum(everyone, -0.05), color=_GREY, lw=1)
            axis.plot(at, [part['model'] for part in curve], 'o-', color=_BLUE, ms=3, lw=1.2)
            axis.set_xlabel('threshold of the probability')
            axis.set_ylabel('net benefit by participant')
        axis = axes[0]
        shown = [row for row in rows if row['by'] in ('all', 'left out')][: SITES + 1]
        for k, row in enumerate(shown):
            c, low, high = (float(row[key]) for key in ('c', 'c_low', 'c_high'))
            axis.plot([low, high], [-k, -k], color=_BLUE, lw=1)
            axis.plot(c, -k, 'o', color=_BLUE, ms=5 if row['by'] == 'all' else 3.5)
        axis.axvline(0.5, color='#bbbbbb', lw=0.7)
        axis.set_yticks([-k for k in range(len(shown))], [row['group'][:16] for row in shown])
        axis.set_xlabel('discrimination (C), 95 % interval')
        Path(out_file).parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(out_file, format='svg', metadata={'Date': None})
