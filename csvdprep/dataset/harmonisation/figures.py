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
#: Measures whose effects of sites are drawn; fewest visits of a curve.
MEASURES, CURVE = 40, 10
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
    before, after = read_tsv(group_measures).rows, read_tsv(harmonised_table)
    names = _main(after)
    at = np.array([row['site'] for row in after.rows])
    shown = _shown(at)

    def draw(axis, name):
        for shift, colour, rows in ((-0.19, _GREY, before), (0.19, _BLUE, after.rows)):
            values = _column(rows, name)
            boxes = axis.boxplot(
                [values[(at == site) & np.isfinite(values)] for site in shown],
                positions=np.arange(len(shown)) + shift,
                widths=0.32,
                flierprops={'marker': '.', 'markersize': 2, 'markeredgecolor': colour},
                medianprops={'color': colour, 'linewidth': 1.4},
            )
            for line in (*boxes['boxes'], *boxes['whiskers'], *boxes['caps']):
                line.set(color=colour, linewidth=0.8)
        short = [textwrap.shorten(site, 14, placeholder='…') for site in shown]
        axis.set_xticks(range(len(shown)), short, rotation=0 if len(shown) < 5 else 45)
        axis.set_ylabel(_named(name, group_dictionary))

    _panels(out_file, names, draw, [(_GREY, 'as measured'), (_BLUE, 'harmonised')])


def draw_effects(*, out_file: str, harmonisation_list: str) -> None:
    """Draw how far each site is from the others, before and after: a row a measure.

    Parameters
    ----------
    out_file : str
        SVG to write.
    harmonisation_list : str
        Effects of sites.
    """
    rows = [row for row in read_tsv(harmonisation_list).rows if row['site'] != 'n/a']
    names = list(dict.fromkeys(row['measure'] for row in rows))[:MEASURES]
    place = {name: -k for k, name in enumerate(names)}
    rows = [row for row in rows if row['measure'] in place]
    kinds = {
        'd': ('Cohen d', 0.0, None),
        'variance_ratio': ('ratio of variances', 1.0, 'log'),
        'ks': ('Kolmogorov-Smirnov', 0.0, None),
    }

    def draw(axis, kind):
        label, none, scale = kinds[kind]
        for shift, colour, when in ((0.15, _GREY, 'before'), (-0.15, _BLUE, 'after')):
            values = _column(rows, f'{kind}_{when}')
            at = np.array([place[row['measure']] for row in rows]) + shift
            axis.plot(values, at, 'o', ms=3, mfc='none', mec=colour, mew=0.9)
        axis.axvline(none, color='#bbbbbb', lw=0.6, zorder=0)
        if scale:
            axis.set_xscale(scale)
            ticks = [0.25, 0.5, 1, 2, 4]
            axis.set_xticks(ticks, [f'{tick:g}' for tick in ticks], minor=False)
            axis.set_xticks([], minor=True)
        axis.set_xlabel(label)
        axis.set_yticks([place[name] for name in names], names if kind == 'd' else [])
        axis.set_ylim(-len(names) + 0.4, 0.6)

    legend = [(_GREY, 'as measured, a circle a site'), (_BLUE, 'harmonised')]
    _panels(out_file, list(kinds), draw, legend, height=1.0 + 0.2 * len(names))


def draw_components(*, out_file: str, group_measures: str, harmonised_table: str) -> None:
    """Draw the two first principal components of the harmonised measures, before and after.

    Parameters
    ----------
    out_file : str
        SVG to write.
    group_measures, harmonised_table : str
        Tables with the same rows.
    """
    before, after = read_tsv(group_measures).rows, read_tsv(harmonised_table)
    at = np.array([row['site'] for row in after.rows])
    names = list(after.columns[3:])
    tables = [
        np.stack([_column(rows, name) for name in names], axis=1) for rows in (before, after.rows)
    ]
    used = np.flatnonzero(at != 'n/a')
    # Measures that most visits have, and visits that have these.
    kept = np.isfinite(tables[1][used]).mean(axis=0) > 0.8
    used = used[np.isfinite(tables[1][np.ix_(used, kept)]).all(axis=1)]
    shown = _shown(at)
    colours = _colours(len(shown))

    def draw(axis, when):
        values = tables[when][np.ix_(used, kept)]
        if values.shape[0] < 3 or values.shape[1] < 2:
            axis.text(0.5, 0.5, 'too few visits have all measures', ha='center')
            axis.axis('off')
            return
        # Ranks: a skewed measure would be a component of its own.
        values = np.argsort(np.argsort(values, axis=0), axis=0) / len(values)
        values = (values - values.mean(axis=0)) / values.std(axis=0)
        left, roots, _ = np.linalg.svd(values, full_matrices=False)
        share = roots**2 / (roots**2).sum()
        scores = left[:, :2] * roots[:2]
        for site, colour in zip(shown, colours, strict=True):
            mine = scores[at[used] == site]
            if not len(mine):
                continue
            some = mine[:: -(-len(mine) // 150)]
            axis.plot(*some.T, '.', ms=2.5, color=colour, alpha=0.5)
            axis.plot(*mine.mean(axis=0), 'o', ms=7, mfc=colour, mec='white', mew=1)
        axis.set_title(('as measured', 'harmonised')[when], fontsize=8)
        axis.set_xlabel(f'component 1, {100 * share[0]:.0f} % of the variance')
        axis.set_ylabel(f'component 2, {100 * share[1]:.0f} %')

    legend = list(
        zip(colours, [textwrap.shorten(s, 14, placeholder='…') for s in shown], strict=True)
    )
    _panels(out_file, [0, 1], draw, legend)


def draw_ages(
    *,
    out_file: str,
    group_measures: str,
    harmonised_table: str,
    group_covariates: dict,
    group_dictionary: dict,
) -> None:
    """Draw the main measures over age, a curve a site, before and after.

    Parameters
    ----------
    out_file : str
        SVG to write.
    group_measures, harmonised_table : str
        Tables with the same rows.
    group_covariates : dict
        Age of each row.
    group_dictionary : dict
        Units of the measures.

    Notes
    -----
    A curve is a parabola between the quantiles 10 and 90 % of the ages of the site: it shows no
    single participant.
    """
    before, after = read_tsv(group_measures).rows, read_tsv(harmonised_table)
    names = _main(after)[: MOST // 2]
    at = np.array([row['site'] for row in after.rows])
    rows = group_covariates['rows']
    ages = np.array([np.nan if row['age'] is None else row['age'] for row in rows], float)
    shown = _shown(at)
    colours = _colours(len(shown))
    limits = {}

    def draw(axis, panel):
        name, when = panel
        values = _column((before, after.rows)[when], name)
        found = np.isfinite(values) & np.isfinite(ages)
        drawn = []
        for site, colour in zip(shown, colours, strict=True):
            mine = found & (at == site)
            if mine.sum() < CURVE or np.ptp(ages[mine]) == 0:
                continue
            low, high = np.quantile(ages[mine], (0.1, 0.9))
            middle = ages[mine].mean()
            fitted = np.polynomial.Polynomial.fit(ages[mine] - middle, values[mine], 2)
            grid = np.linspace(low, high, 40)
            drawn.append(fitted(grid - middle))
            axis.plot(grid, drawn[-1], color=colour, lw=1.4)
        if drawn:
            least, most = np.min([d.min() for d in drawn]), np.max([d.max() for d in drawn])
            low, high = limits.setdefault(name, [least, most])
            pad = 0.1 * (max(high, most) - min(low, least)) or 1.0
            axis.set_ylim(min(low, least) - pad, max(high, most) + pad)
        axis.set_title(('as measured', 'harmonised')[when], fontsize=8)
        axis.set_xlabel('age, years')
        axis.set_ylabel(_named(name, group_dictionary))

    legend = list(
        zip(colours, [textwrap.shorten(s, 14, placeholder='…') for s in shown], strict=True)
    )
    _panels(out_file, [(n, w) for n in names for w in (0, 1)], draw, legend, columns=2)


def _panels(out_file, items, draw, legend, *, columns: int = 3, height: float = 2.5) -> None:
    """Draw a panel an item, and write the picture."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

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
        columns = min(columns, max(1, len(items)))
        lines = max(1, -(-len(items) // columns))
        figure = Figure(figsize=(3.6 * columns, height * lines), layout='constrained')
        FigureCanvasSVG(figure)
        axes = figure.subplots(lines, columns, squeeze=False).ravel()
        for axis, item in zip(axes, items, strict=False):
            draw(axis, item)
        for axis in axes[len(items) :]:
            axis.axis('off')
        figure.legend(
            handles=[mpl.patches.Patch(color=colour, label=label) for colour, label in legend],
            loc='outside lower center',
            ncols=min(6, max(1, len(legend))),
            frameon=False,
        )
        Path(out_file).parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(out_file, format='svg', metadata={'Date': None})


def _main(after) -> list[str]:
    """Return the measures that are drawn."""
    there = list(after.columns[3:])
    names = [name for name in MAIN if name in there]
    return [*names, *(name for name in there if name not in names)][:MOST]


def _shown(at: np.ndarray) -> list[str]:
    """Return the sites that are drawn: the largest."""
    sites = sorted(set(at) - {'n/a'})
    return sorted(sites, key=lambda site: (-(at == site).sum(), site))[:SITES]


def _colours(count: int) -> list[str]:
    # Okabe & Ito 2008: also told apart by those who do not see red and green.
    kinds = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9']
    return [kinds[k % len(kinds)] for k in range(count)]


def _named(name: str, dictionary: dict) -> str:
    units = dictionary['measures'][name]['units']
    return name + ('' if units == '1' else f', {units}')


def _column(rows, name: str) -> np.ndarray:
    return np.array([_number(row[name]) for row in rows])


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan
