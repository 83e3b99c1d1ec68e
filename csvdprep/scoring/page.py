"""The page that shows all scores to a reader."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, groupby
from pathlib import Path

from markupsafe import Markup

from csvdprep.report import pages
from csvdprep.scoring.result import Scores

__all__ = ['grade_icc', 'grade_kappa', 'render']

#: Koo & Li 2016, doi:10.1016/j.jcm.2016.02.012: from, word, colour.
_ICC = (
    (0.9, 'excellent', 'ok'),
    (0.75, 'good', 'ok'),
    (0.5, 'moderate', 'fail'),
    (float('-inf'), 'poor', 'fail'),
)
#: Landis & Koch 1977, doi:10.2307/2529310.
_KAPPA = (
    (0.8, 'almost perfect', 'ok'),
    (0.6, 'substantial', 'ok'),
    (0.4, 'moderate', 'warn'),
    (0.2, 'fair', 'fail'),
    (0.0, 'slight', 'fail'),
    (float('-inf'), 'poor', 'fail'),
)
#: Rows of groups on the page.
_MOST = 400
#: What a line of the overview can hold.
_LINE = dict.fromkeys(('interval', 'limits', 'reason', 'word', 'flag'), '')


def _counted(row) -> str:
    """Say what the application counts, where that is not all that it lists."""
    if row['n_counted'] == row['n_found']:
        return ''
    return f'; counted by the app: {row["tp_counted"]} found, {row["fp_counted"]} false'


def render(scores: Scores) -> str:
    """Write the page: one file, nothing from elsewhere.

    Parameters
    ----------
    scores : Scores
        From `csvdprep.scoring.score`.

    Returns
    -------
    str
        HTML. All text of files is escaped.
    """
    environment = pages.environment(Path(__file__).parent).overlay()
    environment.filters = environment.filters | {
        'short': _short,
        'fixed': _fixed,
        'span': _span,
        'interval': _brief_interval,
    }
    return environment.get_template('page.html').render(
        scores=scores,
        overview=_grouped(_overview(scores)),
        summary=_summary(scores),
        groups=sorted(scores.groups, key=lambda row: 2 if row['p'] is None else row['p'])[:_MOST],
        **_figures(scores),
    )


def grade_icc(low: float, high: float) -> tuple[str, str]:
    """Put an ICC's confidence interval in words, as Koo & Li (2016) advise, and in a colour.

    Examples
    --------
    >>> grade_icc(0.6, 0.95), grade_icc(0.91, 0.99), grade_icc(0.1, 0.7)
    (('moderate to excellent', 'warn'), ('excellent', 'ok'), ('poor to moderate', 'fail'))
    """
    worst, best = _grade(low, _ICC), _grade(high, _ICC)
    words = worst[0] if worst == best else f'{worst[0]} to {best[0]}'
    return words, worst[1] if worst[1] == best[1] else 'warn'


def grade_kappa(kappa: float) -> tuple[str, str]:
    """Put a kappa in the words of Landis & Koch (1977).

    Examples
    --------
    >>> grade_kappa(0.85), grade_kappa(0.3)
    (('almost perfect', 'ok'), ('fair', 'fail'))
    """
    return _grade(kappa, _KAPPA)


def _grade(value: float, scale: tuple) -> tuple[str, str]:
    return next((word, flag) for limit, word, flag in scale if value >= limit)


def _overview(scores: Scores) -> Iterator[dict]:
    """Yield a line for each thing that was compared: how good it is."""
    for label, space, n, cells in _summary(scores):
        dice, slope = cells['dice'], cells['volume_slope']
        yield _LINE | {
            'group': 'Masks',
            'name': label,
            'told': f'on the grid of {space}' if space else '',
            'n': n,
            'kind': 'median Dice',
            'value': _fixed(dice['median'], 3),
            'interval': _interval(dice, 'low', 'high', 3),
            'error': f'slope of volumes {_fixed(slope["mean"], 3)}',
            'reason': dice['reason'],
        }
    for row in scores.detection:
        if row['size'] == 'all':
            yield _LINE | {
                'group': 'Detection of single lesions',
                'name': row['label'],
                'told': f'{row["n_true"]} true lesions, matched by {row["matched_by"]}'
                + _counted(row),
                'n': row['n_scans'],
                'kind': 'sensitivity',
                'value': _fixed(row['sensitivity'], 3),
                'error': f'{_fixed(row["fp_per_scan"], 2)} false positives per scan, '
                f'F1 {_fixed(row["f1"], 3)}',
            }
    for row in scores.scalars:
        told = scores.about.get(row['measure'], {}).get('Description', '')
        line = _grades_line(row) if row['scale'] == 'ordinal' else _number_line(row)
        yield (
            _LINE
            | {
                'group': 'Measures',
                'name': row['measure'],
                'told': told,
                'n': row['n'],
                'reason': row['reason'],
            }
            | line
        )


def _grouped(lines: Iterator[dict]) -> list[tuple[str, list[dict]]]:
    return [(group, list(rows)) for group, rows in groupby(lines, key=lambda row: row['group'])]


def _grades_line(row: dict) -> dict:
    kappa = row.get('kappa')
    word, flag = ('', '') if kappa is None else grade_kappa(kappa)
    return {
        'kind': 'kappa',
        'value': _fixed(kappa, 3),
        'word': word,
        'flag': flag,
        'error': f'{_fixed(row.get("exact_pct"), 1)} % equal',
    }


def _number_line(row: dict) -> dict:
    line = {'kind': 'ICC', 'value': _fixed(row.get('icc'), 3), 'error': 'n/a'}
    if row.get('icc_low') is not None:
        line['interval'] = _interval(row, 'icc_low', 'icc_high', 3)
        line['word'], line['flag'] = grade_icc(row['icc_low'], row['icc_high'])
    if row.get('bias') is not None:
        units = f' {row["units"]}' if row['units'] else ''
        percent = row.get('bias_pct')
        line['error'] = f'bias {_short(row["bias"], "+")}{units}' + (
            '' if percent is None else f' ({_signed(f"{percent:+.1f}")} %)'
        )
        line['limits'] = (
            f'limits of agreement {_short(row["loa_low"], "+")} to '
            f'{_short(row["loa_high"], "+")}{units}'
        )
    return line


def _summary(scores: Scores) -> list[tuple[str, str | None, int, dict[str, dict]]]:
    """Put what is known of each mask over visits side by side."""
    return [
        (label, space, max(row['n'] for row in rows), {row['measure']: row for row in rows})
        for (label, space), group in groupby(
            scores.mask_summary, key=lambda row: (row['label'], row['space'])
        )
        for rows in [list(group)]
    ]


def _figures(scores: Scores) -> dict[str, list]:
    """Draw all plots, beside what stands over each."""
    from csvdprep.scoring import plots

    names = (f'plot{number}' for number in count(1))
    masks, curves, measures = [], [], []
    for label, space, _, cells in _summary(scores):
        if 'recall' in cells:  # a lesion; tissues vary too little for a picture
            rows = [
                row
                for row in scores.masks
                if row['file'] and (row['label'], row['space']) == (label, space)
            ]
            masks.append((label, space, Markup(plots.mask_plot(next(names), rows))))
    for row in scores.detection:
        points = [point for point in scores.froc if point['label'] == row['label']]
        if row['size'] == 'all' and row['sensitivity'] is not None:
            curves.append((row, Markup(plots.froc_plot(next(names), points, row))))
    for row in scores.scalars:
        pairs = [
            (pair['truth'], pair['found'])
            for pair in scores.pairs
            if pair['measure'] == row['measure']
        ]
        if row['scale'] == 'ordinal':
            measures.append((row, None, _crossed(pairs)))
        elif pairs:
            drawn = plots.agreement_plot(next(names), *zip(*pairs, strict=True), row)
            measures.append((row, Markup(drawn), None))
    found = [
        (row, Markup(plots.limit_plot(next(names), lesions, row)))
        for row in scores.limits
        if row['group'] == 'all' and row['steepness'] is not None
        for lesions in [[one for one in scores.lesions if one['label'] == row['label']]]
    ]
    return {'mask_plots': masks, 'curves': curves, 'measures': measures, 'limit_plots': found}


def _crossed(pairs: list[tuple[float, float]]) -> dict:
    """Count pairs of grades."""
    grades = sorted({grade for pair in pairs for grade in pair})
    return {
        'grades': grades,
        'rows': [(true, [pairs.count((true, found)) for found in grades]) for true in grades],
    }


def _signed(text: str) -> str:
    """Put a minus sign for the hyphen."""
    return text.replace('-', '\N{MINUS SIGN}')


def _short(value: float | None, sign: str = '') -> str:
    """Write a number with four significant digits."""
    return 'n/a' if value is None else _signed(f'{value:{sign}.4g}')


def _fixed(value: float | None, decimals: int) -> str:
    # Adding 0 makes a plain zero of a negative one.
    return 'n/a' if value is None else _signed(f'{round(value, decimals) + 0:.{decimals}f}')


def _interval(row: dict, low: str, high: str, decimals: int) -> str:
    if row[low] is None:
        return ''
    return f'{_fixed(row[low], decimals)} to {_fixed(row[high], decimals)}'


def _brief_interval(row: dict, low: str, high: str) -> str:
    return _signed(f'{row[low]:.3g} to {row[high]:.3g}')


def _span(row: dict, value: str, low: str, high: str, decimals: int) -> str:
    """Write a number and the interval around it."""
    return f'{_fixed(row[value], decimals)} ({_interval(row, low, high, decimals)})'
