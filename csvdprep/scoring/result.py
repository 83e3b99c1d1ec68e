"""All scores of an application, and their summary for a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from csvdprep.scoring import tables
from csvdprep.scoring.columns import TABLES

__all__ = ['Scores']


@dataclass(frozen=True)
class Scores:
    """Agreement of an application with the truth.

    Attributes
    ----------
    app, truth : str
        Names of the two datasets, as they call themselves.
    visits : tuple of str
        Visits of the truth for which the application has output.
    missing : tuple of str
        Visits of the truth for which it has none.
    notes : tuple of str
        What could not be compared or has to be known besides.
    about : dict
        ``Description`` and ``Units`` of measures, from the truth.
    masks, mask_summary, detection, limits, lesions, froc : list of dict
        Rows, as the next.
    scalars, changes, change_summary, groups, pairs : list of dict
        Rows; `csvdprep.scoring.columns.TABLES` tells what the columns mean.

    Examples
    --------
    >>> print(Scores('an app', 'a phantom', ('sub-01',), ()))
    an app against a phantom: 1 visit
    """

    app: str
    truth: str
    visits: tuple[str, ...]
    missing: tuple[str, ...]
    notes: tuple[str, ...] = ()
    about: dict[str, dict[str, str]] = field(default_factory=dict)
    masks: list[dict] = field(default_factory=list)
    mask_summary: list[dict] = field(default_factory=list)
    detection: list[dict] = field(default_factory=list)
    limits: list[dict] = field(default_factory=list)
    lesions: list[dict] = field(default_factory=list)
    froc: list[dict] = field(default_factory=list)
    scalars: list[dict] = field(default_factory=list)
    changes: list[dict] = field(default_factory=list)
    change_summary: list[dict] = field(default_factory=list)
    groups: list[dict] = field(default_factory=list)
    pairs: list[dict] = field(default_factory=list)

    def __str__(self) -> str:
        n = len(self.visits)
        parts = [[f'{self.app} against {self.truth}: {n} visit{"" if n == 1 else "s"}']]
        if self.missing:
            parts[0].append(f'no output for {", ".join(self.missing)}')
        parts += [
            *self._mask_texts(),
            self._detection_text(),
            self._limit_text(),
            self._scalar_text(),
        ]
        return '\n\n'.join('\n'.join(part) for part in parts if part)

    def tsv(self, name: str) -> str:
        """Give one of the tables as text."""
        return tables.to_tsv(TABLES[name], getattr(self, name))

    def json(self) -> str:
        """Give all tables with the meaning of their columns."""
        document = {
            'Description': 'Agreement of an application with the truth of a phantom.',
            'App': self.app,
            'Truth': self.truth,
            'Visits': self.visits,
            'VisitsWithoutOutput': self.missing,
            'Notes': self.notes,
            'Measures': {
                row['measure']: self.about.get(row['measure'], {}) for row in self.scalars
            },
        }
        for name, columns in TABLES.items():
            document[name] = {
                'columns': {
                    column: {'Description': said} | ({'Units': units} if units else {})
                    for column, (said, units) in columns.items()
                },
                'rows': [
                    {column: tables.rounded(row.get(column)) for column in columns}
                    for row in getattr(self, name)
                ],
            }
        return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + '\n'

    def _mask_texts(self) -> Iterator[list[str]]:
        """Yield a table of the visits for each kind of lesion, and one line for other masks."""
        others = []
        for slope in self.mask_summary:
            if slope['measure'] != 'volume_slope':
                continue
            rows = [
                row
                for row in self.masks
                if row['file']
                and row['label'] == slope['label']
                and row['space'] == slope['space']
            ]
            if rows[0]['n_truth'] is None:
                others.append(_other_mask(slope, rows))
            else:
                yield _lesion_masks(slope, rows)
        if others:
            yield ['Other masks     mean Dice   slope', *others]

    def _detection_text(self) -> list[str]:
        rows = [
            f'{_clean(row["label"]):16}{row["n_true"]:7}{_fixed(row["sensitivity"], 13, 2)}'
            f'{_fixed(row["fp_per_scan"], 12, 2)}{_fixed(row["f1"], 6, 2)}'
            for row in self.detection
            if row['size'] == 'all'
        ]
        return ['Detection          true  sensitivity  false/scan    F1', *rows] if rows else []

    def _limit_text(self) -> list[str]:
        rows = [
            f'{_clean(row["label"]):16}{_clean(row["level"])[:22]:24}{row["n_true"]:6}'
            f'{_fixed(row["sensitivity"], 12, 2)}{_fixed(row["d50_mm"], 14, 1)}'
            f'{_fixed(row["volume_slope"], 14, 2)}'
            for row in self.limits
            if row['d50_mm'] is not None
        ]
        head = f'{"Detection limit":40}  true sensitivity  half found mm  volume slope'
        return [head, *rows] if rows else []

    def _scalar_text(self) -> list[str]:
        width = max((len(_clean(row['measure'])) for row in self.scalars), default=0) + 1
        rows = [
            f'{_clean(row["measure"]):{width}}{row["n"]:4}{_short(row["mean_truth"])}'
            f'{_short(row.get("bias"))}{_fixed(row.get("bias_pct"), 8, 1)}'
            f'{_fixed(row.get("icc", row.get("kappa")), 11, 2)}'
            for row in self.scalars
        ]
        head = f'{"Measure":{width}}   n      truth       bias  bias %  ICC/kappa'
        return [head, *rows] if rows else []


def _lesion_masks(slope: dict, rows: list[dict]) -> list[str]:
    return [
        f'{_clean(slope["label"]):16}   Dice  true mL  found mL  recall    F1',
        *(
            f'{_visit(row):16}{_fixed(row["dice"], 7, 3)}{_fixed(row["truth_ml"], 9, 2)}'
            f'{_fixed(row["found_ml"], 10, 2)}{_fixed(row["recall"], 8, 2)}'
            f'{_fixed(row["f1"], 6, 2)}'
            for row in rows
        ),
        f'volume slope {_fixed(slope["mean"], 0, 3)}',
    ]


def _other_mask(slope: dict, rows: list[dict]) -> str:
    name = ' '.join(filter(None, (slope['label'], slope['space'])))
    dice = [row['dice'] for row in rows if row['dice'] is not None]
    mean = sum(dice) / len(dice) if dice else None
    return f'{_clean(name):16}{_fixed(mean, 9, 3)}{_fixed(slope["mean"], 8, 3)}'


def _visit(row: dict) -> str:
    return '_'.join(filter(None, (row['participant_id'], row['session_id'])))


def _clean(text: str) -> str:
    """Keep control characters of a file off the terminal."""
    return ''.join(character for character in text if character.isprintable())


def _fixed(value: float | None, width: int, decimals: int) -> str:
    return f'{"n/a" if value is None else f"{value:.{decimals}f}":>{width}}'


def _short(value: float | None) -> str:
    return f'{"n/a" if value is None else f"{value:.4g}":>11}'
