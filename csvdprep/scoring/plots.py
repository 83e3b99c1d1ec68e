"""Plots as SVG for the page: the same numbers give the same bytes.

No text of a file comes into a plot; names and units stand in the page, which escapes them.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure

__all__ = ['agreement_plot', 'froc_plot', 'limit_plot', 'mask_plot']

_STYLE = {
    'svg.hashsalt': 'csvdprep',
    'svg.fonttype': 'none',
    'font.family': 'sans-serif',
    'font.sans-serif': ['DejaVu Sans', 'Helvetica', 'Arial'],
    'font.size': 9.5,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.edgecolor': '#5b6b7b',
    'axes.labelcolor': '#1c2733',
    'xtick.color': '#5b6b7b',
    'ytick.color': '#5b6b7b',
    'axes.formatter.useoffset': False,
    'axes.axisbelow': True,
    'axes.titlecolor': '#1c2733',
    'text.usetex': False,
}
_INK, _SOFT, _WASH, _LIMIT = '#17466f', '#8795a3', '#e6ebf1', '#b3261e'
_DOT = {'s': 26, 'color': _INK, 'alpha': 0.75, 'linewidths': 0}


def agreement_plot(name: str, truth: Sequence[float], found: Sequence[float], row: dict) -> str:
    """Draw found on true values, and the differences with their limits of agreement.

    The differences stand over the truth, not over the mean of both as where both have an error
    (Krouwer 2008, doi:10.1002/sim.3086).

    Parameters
    ----------
    name : str
        Of the plot, letters and digits.
    truth, found : sequence of float
        The pairs.
    row : dict
        Statistics, see `csvdprep.science.agreement.continuous`.

    Returns
    -------
    str
        SVG element.

    Examples
    --------
    >>> agreement_plot('a', [1, 2], [1, 3], {})[:4]
    '<svg'
    """
    truth, found = np.asarray(truth, dtype=float), np.asarray(found, dtype=float)
    with matplotlib.rc_context(_STYLE):
        figure, (left, right) = _panels()
        _identity(left, truth, found)
        if row.get('slope') is not None:
            ends = np.array([truth.min(), truth.max()])
            left.plot(ends, row['intercept'] + row['slope'] * ends, color=_INK, lw=1.2)
        left.set(xlabel='truth', ylabel='found', title='Found on true values')
        _differences(right, truth, found, row)
        return _svg(figure, name, 'Found on true values; differences over the truth.')


def froc_plot(name: str, points: Sequence[dict], row: dict) -> str:
    """Draw sensitivity over false positives per scan.

    Parameters
    ----------
    name : str
        Of the plot, letters and digits.
    points : sequence of dict
        The curve.
    row : dict
        What the application reports: ``fp_per_scan`` and ``sensitivity``.

    Returns
    -------
    str
        SVG element.
    """
    x = [0.0, *(point['fp_per_scan'] for point in points)]
    y = [0.0, *(point['sensitivity'] for point in points)]
    with matplotlib.rc_context(_STYLE):
        figure, (axes,) = _panels(1)
        axes.step(x, y, where='post', color=_INK, lw=1.6)
        axes.scatter(
            [row['fp_per_scan']],
            [row['sensitivity']],
            **(_DOT | {'s': 44, 'alpha': 1}),
            zorder=3,
            clip_on=False,
        )
        axes.set(
            xlabel='false positives per scan',
            ylabel='sensitivity',
            ylim=(0, 1.03),
            xlim=(0, max(1.0, 1.05 * max(x))),
            title='FROC; the dot is what the app reports',
        )
        axes.grid(color=_WASH, lw=0.8)
        return _svg(figure, name, 'Free-response receiver operating characteristic.')


def limit_plot(name: str, lesions: Sequence[dict], row: dict) -> str:
    """Draw the share of lesions that are found over their diameter, and the fitted curve.

    Parameters
    ----------
    name : str
        Of the plot, letters and digits.
    lesions : sequence of dict
        Rows of ``lesions.tsv``: ``diameter_mm`` and ``found``.
    row : dict
        The fit: ``logit``, ``steepness``, ``d50_mm``.

    Returns
    -------
    str
        SVG element.

    Examples
    --------
    >>> some = [{'diameter_mm': d, 'found': int(d > 3)} for d in (2, 2.5, 4, 5)]
    >>> limit_plot('a', some, {'logit': -9.0, 'steepness': 8.0, 'd50_mm': 3.1})[:4]
    '<svg'
    """
    sizes = np.array([one['diameter_mm'] for one in lesions], dtype=float)
    found = np.array([one['found'] for one in lesions], dtype=float)
    grid = np.geomspace(sizes.min(), sizes.max(), 120)
    curve = 1 / (1 + np.exp(-(row['logit'] + row['steepness'] * np.log(grid))))
    with matplotlib.rc_context(_STYLE):
        figure, (axes,) = _panels(1)
        axes.plot(grid, curve, color=_INK, lw=1.6)
        # Groups of about equally many lesions show how far the curve holds.
        order = np.argsort(sizes, kind='stable')
        for part in np.array_split(order, max(1, min(10, len(order) // 5))):
            axes.scatter([np.median(sizes[part])], [found[part].mean()], **_DOT, clip_on=False)
        if row['d50_mm'] is not None:
            axes.axvline(row['d50_mm'], color=_LIMIT, lw=1.2, ls=(0, (4, 3)))
        axes.set_xscale('log')
        axes.set(
            xlabel='diameter of the true lesion, mm',
            ylabel='share found',
            ylim=(0, 1.03),
            title='Found over size; dashed: half are found',
        )
        ticks = [tick for tick in (1, 2, 3, 5, 10, 20, 50) if grid[0] <= tick <= grid[-1]]
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.minorticks_off()
        axes.grid(color=_WASH, lw=0.8)
        return _svg(figure, name, 'Share of lesions found over their diameter.')


def mask_plot(name: str, rows: Sequence[dict]) -> str:
    """Draw Dice over true volume, and found on true volumes.

    Parameters
    ----------
    name : str
        Of the plot, letters and digits.
    rows : sequence of dict
        Rows of ``masks.tsv`` for one label.

    Returns
    -------
    str
        SVG element.
    """
    truth, found = (np.array([row[key] for row in rows]) for key in ('truth_ml', 'found_ml'))
    dice = [(row['truth_ml'], row['dice']) for row in rows if row['dice'] is not None]
    with matplotlib.rc_context(_STYLE):
        figure, (left, right) = _panels()
        left.scatter(*np.reshape(dice, (-1, 2)).T, **_DOT, clip_on=False)
        left.set(xlabel='true volume, mL', ylabel='Dice', ylim=(0, 1), title='Dice of each visit')
        left.grid(color=_WASH, lw=0.8)
        _identity(right, truth, found)
        right.set(xlabel='true volume, mL', ylabel='found volume, mL', title='Volumes')
        return _svg(figure, name, 'Dice over true volume; found on true volumes.')


def _panels(n: int = 2):
    figure = Figure(figsize=(5.2 * n, 3.0))
    inch = 1 / (5.2 * n)  # margins that hold labels; a layout engine would draw all twice
    figure.subplots_adjust(0.72 * inch, 0.16, 1 - 0.12 * inch, 0.9, wspace=0.2)
    return figure, figure.subplots(1, n, squeeze=False)[0]


def _identity(axes, truth: np.ndarray, found: np.ndarray) -> None:
    """Scatter the pairs over the line of identity, both axes alike."""
    low, high = min(truth.min(), found.min()), max(truth.max(), found.max())
    room = 0.06 * (high - low) or 0.5
    ends = low - room, high + room
    axes.plot(ends, ends, color=_SOFT, lw=1, ls=(0, (4, 3)))
    axes.scatter(truth, found, **_DOT)
    axes.set(xlim=ends, ylim=ends)


def _differences(axes, truth: np.ndarray, found: np.ndarray, row: dict) -> None:
    axes.axhline(0, color=_SOFT, lw=1, ls=(0, (4, 3)))
    if row.get('bias') is not None:
        for value, low, high, colour in (
            ('loa_low', 'loa_low_low', 'loa_low_high', _LIMIT),
            ('bias', 'bias_low', 'bias_high', _INK),
            ('loa_high', 'loa_high_low', 'loa_high_high', _LIMIT),
        ):
            axes.axhspan(row[low], row[high], color=colour, alpha=0.09, lw=0)
            axes.axhline(row[value], color=colour, lw=1.2)
    axes.scatter(truth, found - truth, **_DOT, zorder=3)
    axes.set(
        xlabel='truth',
        ylabel='found less true',
        title='Differences with bias and limits of agreement',
    )


def _svg(figure: Figure, name: str, told: str) -> str:
    """Give the element alone, with names of its own, as many of them stand in one page."""
    for axes in figure.axes:
        axes.title.set_fontsize(10)
    buffer = io.StringIO()
    figure.savefig(buffer, format='svg')
    text = buffer.getvalue()
    text = text[text.index('<svg') :].strip()
    # The metadata hold the date.
    text = re.sub(r'<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->', '', text, flags=re.S)
    text = re.sub(r'\b(id="|url\(#|href="#)', rf'\g<1>{name}-', text)
    text = re.sub(r' (width|height)="[0-9.]+pt"', '', text)
    text = re.sub(r'\n\s*', '\n', text)
    return text.replace('<svg', f'<svg role="img" aria-label="{told}"', 1)
