"""Pictures of how a measure is distributed, as SVG that needs nothing else.

They are written as text, without a library: a page shows hundreds of them, and of ten thousand
visits each must stay small. Points that would be drawn on the same spot are drawn once.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from html import escape

import numpy as np

#: Groups drawn one by one; the rest is drawn together.
GROUPS = 8
#: Points above which they are drawn as boxes or as density.
POINTS = 300
#: Values from which a group has a box.
BOXED = 5
#: Width and height of a panel, and its frame: left, right, top, bottom (points).
WIDTH, HEIGHT = 245, 156
LEFT, RIGHT, TOP, BOTTOM = 46, 237, 16, 110
#: Cells of a density, across and down, and their shades.
CELLS = (26, 14)
SHADES = ('#dbe8f3', '#a9c9e4', '#6ea6d2', '#3a7fb8', '#17466f')
_BLUE, _GREY, _RED = '#17466f', '#8a97a5', '#b3261e'


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

    Examples
    --------
    >>> ages = np.linspace(50, 80, 40)
    >>> svg = draw(ages / 100, {'site': np.repeat(['A', 'B'], 20)}, ages, 'x, mL')
    >>> svg.startswith('<svg'), 'age, years' in svg, len(svg) < 5000
    (True, True, True)
    """
    found = np.isfinite(values)
    aged = found & np.isfinite(ages)
    whole = bool((values[found] == np.round(values[found])).all())
    scale = _Scale(*_reach(values[found]), BOTTOM, TOP, whole=whole)
    parts: list[str] = []
    panels = 0
    for kind, names in groups.items():
        inside = _by_group(values[found], names[found], scale)
        parts += _panel(panels, inside, scale, over='' if kind == 'all' else f'by {kind}')
        panels += 1
    if aged.any():
        inside = _by_age(ages[aged], values[aged], scale)
        parts += _panel(panels, inside, scale, below='age, years')
        panels += 1
    size = min(8.0, 200 / max(1, len(label)))
    middle = (TOP + BOTTOM) / 2
    parts.append(
        f'<text font-size="{_n(size)}" fill="#000" text-anchor="middle" '
        f'transform="translate(9 {_n(middle)}) rotate(-90)">{escape(label)}</text>'
    )
    width = WIDTH * panels
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}pt" height="{HEIGHT}pt" '
        f'viewBox="0 0 {width} {HEIGHT}" role="img" aria-label="{escape(label)}" '
        f'font-family="sans-serif" font-size="8" fill="none">{"".join(parts)}</svg>'
    )


class _Scale:
    """From values to places between two ends of an axis.

    Parameters
    ----------
    low, high : float
        Values at the ends; equal ones are drawn apart.
    start, end : float
        Places of the ends (points).
    whole : bool
        Whether only whole numbers are marked, as of grades and counts.
    """

    def __init__(self, low: float, high: float, start: float, end: float, *, whole: bool = False):
        gap = high - low
        if gap <= 0:
            gap = abs(low) or 1.0
            low, high = low - 0.05 * gap, high + 0.05 * gap
        self.low, self.high, self._start, self._whole = low, high, start, whole
        self._slope = (end - start) / (high - low)

    def __call__(self, value):
        """Return the place of a value, or of an array of them."""
        return self._start + (value - self.low) * self._slope

    def ticks(self) -> list[float]:
        """Return round values between the ends: some five.

        Examples
        --------
        >>> _Scale(0, 10, 0, 1).ticks()
        [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
        >>> _Scale(0, 2, 0, 1, whole=True).ticks()
        [0.0, 1.0, 2.0]
        """
        rough = (self.high - self.low) / 5
        unit = 10.0 ** np.floor(np.log10(rough))
        step = unit * next(k for k in (1, 2, 2.5, 5, 10) if k * unit >= 0.999 * rough)
        if self._whole:
            step = max(1.0, float(np.ceil(step)))
        first = np.ceil(self.low / step - 1e-9)
        last = np.floor(self.high / step + 1e-9)
        return [float(k * step) + 0.0 for k in np.arange(first, last + 1)]  # no -0


def _reach(values: np.ndarray) -> tuple[float, float]:
    """Return the ends of an axis: those of the values, and a little more."""
    if not values.size:
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    return low - 0.03 * (high - low), high + 0.03 * (high - low)


def _panel(
    number: int, inside: Iterable[str], scale: _Scale, *, over: str = '', below: str = ''
) -> Iterator[str]:
    """Yield a panel: axes, what is drawn in it, and what is written over and below it."""
    yield f'<g transform="translate({number * WIDTH} 0)">'
    yield from inside
    ticks = scale.ticks()
    marks = ''.join(f'M{LEFT} {_n(scale(t))}h-3' for t in ticks)
    frame = f'M{LEFT} {TOP}V{BOTTOM}H{RIGHT}{marks}'
    yield f'<path d="{frame}" stroke="#000" stroke-width=".6"/>'
    texts = ''.join(
        f'<text x="{LEFT - 5}" y="{_n(scale(t) + 3)}">{_short(t)}</text>' for t in ticks
    )
    yield f'<g fill="#000" text-anchor="end">{texts}</g>'
    if over:  # below, names of several lines have their place
        yield f'<text x="{LEFT}" y="{TOP - 7}" fill="#000">{escape(over)}</text>'
    if below:
        yield _text((LEFT + RIGHT) / 2, BOTTOM + 26, below)
    yield '</g>'


def _by_group(values: np.ndarray, groups: np.ndarray, scale: _Scale) -> Iterator[str]:
    """Yield a box a group: quartiles, whiskers to 1.5 of their distance, points beyond."""
    parts = _parts(values, groups)
    wide = (RIGHT - LEFT) / max(1, len(parts))
    boxes, medians, points, names = [], [], [], []
    for at, (name, part) in enumerate(parts.items()):
        x, half = LEFT + wide * (at + 0.5), 0.3 * min(wide, 80)
        low, middle, high = np.quantile(part, (0.25, 0.5, 0.75))
        reach = 1.5 * (high - low)
        within = part[(part >= low - reach) & (part <= high + reach)]
        down, up = (
            (min(low, within.min()), max(high, within.max())) if within.size else (low, high)
        )
        y = [_n(scale(v)) for v in (down, low, high, up)]
        left, across = _n(x - half), _n(2 * half)
        if len(part) >= BOXED:
            boxes.append(
                f'M{left} {y[1]}h{across}V{y[2]}h-{across}z'
                f'M{_n(x)} {y[1]}V{y[0]}m-{_n(half / 2)} 0h{_n(half)}'
                f'M{_n(x)} {y[2]}V{y[3]}m-{_n(half / 2)} 0h{_n(half)}'
            )
            medians.append(f'M{left} {_n(scale(middle))}h{across}')
        if len(values) <= POINTS:
            # Spread by rank and not by chance: the same values give the same picture.
            order = np.argsort(np.argsort(part, kind='stable'), kind='stable')
            places = x + 0.7 * half * (((order * 0.618034) % 1) * 2 - 1)
            points += zip(places, scale(part), strict=True)
        else:
            beyond = part if len(part) < BOXED else part[(part < down) | (part > up)]
            points += ((x, y) for y in scale(beyond))
        lines = textwrap.wrap(name, max(6, int(wide / 4.2)), max_lines=3, placeholder='…')
        names += [_text(x, BOTTOM + 10 + 9 * k, line) for k, line in enumerate(lines)]
        names.append(_text(x, BOTTOM + 10 + 9 * len(lines), str(len(part))))
    if boxes:
        yield f'<path d="{"".join(boxes)}" stroke="{_GREY}" stroke-width=".8"/>'
    yield _dots(points, _BLUE if len(values) <= POINTS else _GREY, _size(values))
    if medians:
        yield f'<path d="{"".join(medians)}" stroke="{_BLUE}" stroke-width="1.4"/>'
    yield from names


def _by_age(ages: np.ndarray, values: np.ndarray, scale: _Scale) -> Iterator[str]:
    """Yield points or their density over age, and the straight line through them."""
    across = _Scale(*_reach(ages), LEFT, RIGHT)
    if len(ages) > POINTS:
        yield from _density(across(ages), scale(values))
    else:
        yield _dots(zip(across(ages), scale(values), strict=True), _BLUE, _size(values))
    if len(ages) >= 5 and np.ptp(ages) > 0:
        slope, start = np.polyfit(ages, values, 1)
        x = np.linspace(ages.min(), ages.max(), 101)
        y = start + slope * x
        x, y = (some[(y >= scale.low) & (y <= scale.high)] for some in (x, y))
        if x.size:
            ends = [f'{_n(across(x[k]))} {_n(scale(y[k]))}' for k in (0, -1)]
            yield f'<path d="M{ends[0]}L{ends[1]}" stroke="{_RED}"/>'
    for tick in across.ticks():
        x = _n(across(tick))
        yield f'<path d="M{x} {BOTTOM}v3" stroke="#000" stroke-width=".6"/>'
        yield _text(across(tick), BOTTOM + 12, _short(tick))


def _density(x: np.ndarray, y: np.ndarray) -> Iterator[str]:
    """Yield the cells of a grid that hold points, in shades of how many."""
    ends = ((LEFT, RIGHT), (TOP, BOTTOM))
    counts, left, top = np.histogram2d(x, y, bins=CELLS, range=ends)
    wide, high = _n(left[1] - left[0]), _n(top[1] - top[0])
    shade = np.ceil(len(SHADES) * np.sqrt(counts / max(1, counts.max()))).astype(int)
    for level, colour in enumerate(SHADES, 1):
        cells = ''.join(
            f'M{_n(left[i])} {_n(top[j])}h{wide}v{high}h-{wide}z'
            for i, j in np.argwhere(shade == level)
        )
        if cells:
            yield f'<path d="{cells}" fill="{colour}"/>'


def _size(values: np.ndarray) -> float:
    """Return the size of a dot (points): few may be large."""
    return 5 if len(values) < 30 else 2.6


def _dots(points: Iterable[tuple[float, float]], colour: str, size: float) -> str:
    """Draw dots; those on one spot once."""
    spots = dict.fromkeys(f'M{round(float(x))} {round(float(y))}h0' for x, y in points)
    if not spots:
        return ''
    return (
        f'<path d="{"".join(spots)}" stroke="{colour}" stroke-width="{_n(size)}" '
        'stroke-linecap="round" stroke-opacity=".6"/>'
    )


def _text(x: float, y: float, words: str) -> str:
    return f'<text x="{_n(x)}" y="{_n(y)}" fill="#000" text-anchor="middle">{escape(words)}</text>'


def _n(value: float) -> str:
    """Write a place; tenths of a point cannot be told apart.

    Examples
    --------
    >>> _n(12.04), _n(3.1499)
    ('12', '3.1')
    """
    text = f'{float(value):.1f}'
    return text[:-2] if text.endswith('.0') else text


def _short(value: float) -> str:
    return '0' if abs(value) < 1e-12 else f'{value:.4g}'


def _parts(values: np.ndarray, groups: np.ndarray) -> Mapping[str, np.ndarray]:
    """Part values by group, largest first, small ones together."""
    names, sizes = np.unique(groups.astype(str), return_counts=True)
    order = [str(n) for n in names[np.lexsort((names, -sizes))]]
    shown = order if len(order) <= GROUPS else order[: GROUPS - 1]
    parts = {name: values[groups == name] for name in shown}
    if len(shown) < len(order):
        parts['others'] = values[~np.isin(groups, shown)]
    return parts
