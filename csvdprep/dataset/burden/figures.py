"""What the index is made of, visit by visit."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from csvdprep.bids.tsv import read_tsv

#: Visits that are drawn.
MOST = 30
_COLOURS = {
    'wmh': '#0072b2',
    'lacunes': '#d55e00',
    'microbleeds': '#009e73',
    'spaces': '#cc79a7',
    'volume': '#e69f00',
    'psmd': '#56b4e9',
}


def draw_terms(*, out_file: str, burden_list: str) -> None:
    """Draw the contributions of the visits with the highest index.

    Parameters
    ----------
    out_file : str
        SVG to write.
    burden_list : str
        Table of the index.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    rows = [row for row in read_tsv(burden_list).rows if row['csvdq'] != 'n/a']
    rows = sorted(rows, key=lambda row: -float(row['csvdq']))[:MOST]
    terms = [t for t in _COLOURS if any(row[f'part_{t}'] != 'n/a' for row in rows)]
    look = {
        'svg.hashsalt': 'burden',
        'svg.fonttype': 'none',
        'font.size': 8,
        'font.family': 'sans-serif',
        'axes.linewidth': 0.6,
        'axes.spines.top': False,
        'axes.spines.right': False,
        'text.parse_math': False,
    }
    with mpl.rc_context(look):
        figure = Figure(figsize=(7.2, 1.2 + 0.2 * max(1, len(rows))), layout='constrained')
        FigureCanvasSVG(figure)
        axis = figure.subplots()
        left, right = np.zeros(len(rows)), np.zeros(len(rows))
        at = -np.arange(len(rows))
        for term in terms:
            texts = [row[f'part_{term}'] for row in rows]
            part = np.array([0.0 if text == 'n/a' else float(text) for text in texts])
            start = np.where(part < 0, left, right)
            axis.barh(at, part, left=start, height=0.7, color=_COLOURS[term], label=term)
            left, right = left + np.minimum(part, 0), right + np.maximum(part, 0)
        total = np.array([float(row['csvdq']) for row in rows])
        axis.plot(total, at, 'k|', ms=8)
        for row, place in zip(rows, at, strict=True):
            if row['csvdq_low'] != 'n/a':
                ends = [float(row['csvdq_low']), float(row['csvdq_high'])]
                axis.plot(ends, [place, place], color='black', lw=0.8)
        axis.axvline(0, color='#888888', lw=0.6)
        labels = [
            '_'.join(row[k] for k in ('participant_id', 'session_id') if row[k] != 'n/a')
            for row in rows
        ]
        axis.set_yticks(at, labels)
        axis.set_xlabel('contribution to the index; line: the index with its 95 % interval')
        if terms:
            figure.legend(loc='outside lower center', ncols=6, frameon=False)
        Path(out_file).parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(out_file, format='svg', metadata={'Date': None})
