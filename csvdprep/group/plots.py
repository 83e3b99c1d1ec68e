"""Pictures of how a measure is distributed, as SVG that needs nothing else."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Mapping

import numpy as np

#: Groups drawn one by one; the rest is drawn together.
GROUPS = 8
#: Points above which they are drawn as boxes or as density.
POINTS = 300
#: Values from which a group has a box.
BOXED = 5
_BLUE, _GREY = '#17466f', '#8a97a5'


def draw(
    values: np.ndarray, groups: Mapping[str, np.ndarray], ages: np.ndarray, label: str
) -> str:
    """Draw a measure by site, by scanner and by age.

    Parameters
    ----------
    values : ndarray, shape (n,)
        One measure; NaN where there is none.
    groups : mapping of str to (ndarray of str, shape (n,))
        Group of each value, by what the groups are ('site', 'scanner'): one panel each.
    ages : ndarray, shape (n,)
        Years; NaN where unknown. Without any, their panel is left out.
    label : str
        Name and unit on the axis.

    Returns
    -------
    str
        An ``<svg>`` element. The same values give the same text.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    found = np.isfinite(values)
    aged = found & np.isfinite(ages)
    panels = len(groups) + bool(aged.any())
    look = {
        'svg.hashsalt': label,
        'font.size': 8,
        'svg.fonttype': 'none',
        'axes.linewidth': 0.6,
        'axes.spines.top': False,
        'axes.spines.right': False,
        'text.parse_math': False,
        'font.family': 'sans-serif',
    }
    with mpl.rc_context(look):
        figure = Figure(figsize=(3.4 * panels, 2.1))
        FigureCanvasSVG(figure)
        axes = figure.subplots(1, panels, squeeze=False)[0]
        # Fixed margins: a layout that is solved takes longer than all the rest.
        figure.subplots_adjust(0.19 / panels, 0.34, 1 - 0.04 / panels, 0.9, 0.25)
        axes[0].set_ylabel(label)
        for axis, (kind, names) in zip(axes, groups.items(), strict=False):
            _by_group(axis, values[found], names[found])
            # Below, names of several lines have its place.
            axis.set_title('' if kind == 'all' else f'by {kind}', fontsize=8, loc='left')
        if aged.any():
            _by_age(axes[-1], ages[aged], values[aged])
            axes[-1].set_xlabel('age, years')
        if (values[found] == np.round(values[found])).all():
            for axis in axes:
                axis.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
        text = io.StringIO()
        figure.savefig(
            text,
            format='svg',
            metadata={'Date': None, 'Creator': None, 'Format': None, 'Type': None},
        )
    svg = text.getvalue()
    svg = svg[svg.index('<svg') :]
    # Two pictures on one page may not share identifiers.
    tag = re.sub(r'\W', '', label) or 'x'
    svg = re.sub(r'\bid="', f'id="{tag}-', svg)
    svg = re.sub(r'(url\(#|href="#)', rf'\g<1>{tag}-', svg)
    return re.sub(r'<metadata>.*?</metadata>', '', svg, flags=re.DOTALL)


def _by_group(axes, values, groups):
    parts = _parts(values, groups)
    if boxed := {at: part for at, part in enumerate(parts.values(), 1) if len(part) >= BOXED}:
        boxes = axes.boxplot(
            list(boxed.values()),
            positions=list(boxed),
            widths=0.6,
            showfliers=len(values) > POINTS,
            flierprops={'marker': '.', 'markersize': 2, 'markeredgecolor': _GREY},
            medianprops={'color': _BLUE, 'linewidth': 1.4},
        )
        for line in (*boxes['boxes'], *boxes['whiskers'], *boxes['caps']):
            line.set(color=_GREY, linewidth=0.8)
    if len(values) <= POINTS:
        for place, part in enumerate(parts.values(), 1):
            # Spread by rank and not by chance: the same values give the same picture.
            order = np.argsort(np.argsort(part, kind='stable'), kind='stable')
            shift = 0.22 * (((order * 0.618034) % 1) * 2 - 1)
            axes.plot(place + shift, part, '.', color=_BLUE, markersize=_size(values), alpha=0.6)
    names = [
        f'{textwrap.fill(name, 12, max_lines=3, placeholder="…")}\n{len(part)}'
        for name, part in parts.items()
    ]
    axes.set_xlim(0.4, len(names) + 0.6)
    axes.set_xticks(range(1, len(names) + 1), names)


def _size(values) -> float:
    """Return the size of a point: few may be large."""
    return 7 if len(values) < 30 else 3


def _by_age(axes, ages, values):
    if len(ages) > POINTS:
        axes.hexbin(ages, values, gridsize=28, mincnt=1, cmap='Blues', linewidths=0)
    else:
        axes.plot(ages, values, '.', color=_BLUE, markersize=_size(values), alpha=0.6)
    if len(ages) >= 5 and np.ptp(ages) > 0:
        slope, start = np.polyfit(ages, values, 1)
        ends = np.array([ages.min(), ages.max()])
        axes.plot(ends, start + slope * ends, color='#b3261e', linewidth=1)


def _parts(values: np.ndarray, groups: np.ndarray) -> Mapping[str, np.ndarray]:
    """Part values by group, largest first, small ones together."""
    names, sizes = np.unique(groups.astype(str), return_counts=True)
    order = [str(n) for n in names[np.lexsort((names, -sizes))]]
    shown = order if len(order) <= GROUPS else order[: GROUPS - 1]
    parts = {name: values[groups == name] for name in shown}
    if len(shown) < len(order):
        parts['others'] = values[~np.isin(groups, shown)]
    return parts
