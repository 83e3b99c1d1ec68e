"""Tables in; predictions, how good they are, and the model out."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, traits

from csvdprep import __version__
from csvdprep.bids.tsv import write_tsv
from csvdprep.core.errors import MeasureError
from csvdprep.dataset.outcomes import ROOM
from csvdprep.dataset.outcomes.decide import read_outcome
from csvdprep.dataset.outcomes.science.fusion import LOGS, fit_fused, leave_site_out, scaled
from csvdprep.dataset.outcomes.science.performance import (
    brier,
    calibration,
    concordance,
    conformal_sets,
    net_benefit,
)
from csvdprep.interfaces.group_tables import ages_and_sexes, read_numbers
from csvdprep.interfaces.lists import write_rows
from csvdprep.interfaces.values import Value, write_values
from csvdprep.science.small_groups import FEW, join_small

#: Blocks of measures, the most important first; what begins so belongs to a block, too.
BLOCKS = {
    'demographics': (),
    'structure': ('wmh_total_pct_icv', 'bpf', 'lacune_n', 'pvs_bg_grade', 'lv_ml'),
    'microbleeds': ('cmb_n',),
    'diffusion': ('psmd_1e4', 'md_nawm', 'fa_nawm', 'fw_wm'),
    'perfusion': ('cbf_',),
    'permeability': ('ps_',),
}
#: Most measures that are taken of those with one beginning.
MOST = 3
#: Fewest events, and others, of a group whose discrimination is told.
EVENTS = 10
#: Fewest participants of a part of the calibration, of up to ten.
PART = 15
THRESHOLDS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7)


class _InputSpec(TraitedSpec):
    group_measures = File(exists=True, mandatory=True, desc='a row a visit')
    group_covariates = traits.Dict(mandatory=True, desc='rows: site, age, sex, outcome')
    group_dictionary = traits.Dict(mandatory=True, desc='measures: what each is')
    options = traits.Dict(mandatory=True, desc='options of the room')


class _OutputSpec(TraitedSpec):
    outcome_list = File(exists=True, desc='how good predictions are')
    outcome_predictions = File(exists=True, desc='predictions')
    outcome_model = File(exists=True, desc='model and card')
    outcomes_values = File(exists=True, desc='measures of the dataset')


class Outcomes(SimpleInterface):
    """Fit outcome models, and test them on sites that they did not have."""

    input_spec = _InputSpec
    output_spec = _OutputSpec

    def _run_interface(self, runtime):
        folder, o = Path(runtime.cwd), SimpleNamespace(**self.inputs.options)
        rows = self.inputs.group_covariates['rows']
        outcome, used, _ = read_outcome(rows, o)
        described = self.inputs.group_dictionary['measures']
        results = [n for n, f in described.items() if f['result'] and not n.startswith('qc_')]
        blocks = {
            block: [
                name
                for start in starts
                for name in (
                    [n for n in results if n.startswith(start)][:MOST]
                    if start.endswith('_')
                    else [n for n in results if n == start]
                )
            ]
            for block, starts in BLOCKS.items()
        }
        names = [name for found in blocks.values() for name in found]
        who, numbers = read_numbers(self.inputs.group_measures, names)
        ages, sexes = ages_and_sexes(rows)
        table = {name: scaled(name, values[used]) for name, values in numbers.items()}
        table |= {'age': ages[used], 'male': (sexes[used] == 'M').astype(float)}
        who = [pair for pair, u in zip(who, used, strict=True) if u]
        sites = np.array([row['site'] for row, u in zip(rows, used, strict=True) if u])
        always = ('age', 'male')
        eta, chances, folds, blocks_of, parts = leave_site_out(
            outcome, table, blocks, sites, always=always
        )
        if not np.isfinite(eta).any():
            raise MeasureError(
                'No site can be predicted by the others.',
                remedy='More participants with an outcome are needed.',
            )
        sets = (
            conformal_sets(outcome.grades, chances, folds, cover=o.cover)
            if chances.shape[1]
            else None
        )
        model = fit_fused(outcome, table, blocks, sites, always=always)
        lines = _performance(
            outcome, eta, chances, sets, folds, sexes[used], ages[used], blocks_of
        )
        facts = _card(model, outcome, o, lines, eta, chances, sites)
        (folder / 'model.json').write_text(json.dumps(facts, indent=1) + '\n', encoding='utf-8')
        _write_predictions(
            folder / 'predictions.tsv', who, folds, eta, chances, sets, blocks_of, outcome, parts
        )
        whole = lines[0]
        by_site = [
            line['c'] for line in lines if line['by'] == 'left out' and line['c'] is not None
        ]
        gone = Value(None, reason='too few events, or a model of times')
        self._results |= {
            'outcome_list': write_rows(
                lines, ROOM.makes['outcome_list'].columns, folder / 'outcomes.tsv'
            ),
            'outcome_predictions': str(folder / 'predictions.tsv'),
            'outcome_model': str(folder / 'model.json'),
            'outcomes_values': write_values(
                folder / 'values.json',
                {
                    'outcome_c': gone if whole['c'] is None else whole['c'],
                    'outcome_c_worst': min(by_site) if by_site else gone,
                    'outcome_slope': gone if whole['slope'] is None else whole['slope'],
                    'outcome_covered_pct': gone
                    if whole['covered_pct'] is None
                    else whole['covered_pct'],
                },
                ROOM,
            ),
        }
        return runtime


def _performance(outcome, eta, chances, sets, folds, sexes, ages, blocks_of):
    """Return rows: of all, and by group."""
    known = np.isfinite(eta)
    bands = np.array(
        ['n/a' if np.isnan(a) else f'{10 * int(a // 10)} to {10 * int(a // 10) + 9}' for a in ages]
    )
    combos = np.array([' + '.join(names) for names in blocks_of])
    # Groups of few are told of together: what is said of two is said of somebody.
    every = (np.array(['all'] * len(eta)), folds, sexes, bands, combos)
    groups = [
        (by, np.asarray(labels).astype(object))
        for by, labels in zip(('all', 'left out', 'sex', 'age', 'blocks'), every, strict=True)
    ]
    lines = []
    people = np.arange(len(eta)).astype(str)
    for by, labels in groups:
        if by != 'all':
            labels[known] = join_small(labels[known], people[known])
        for label in sorted(set(labels[known])):
            rows = known & (labels == label)
            lines.append(_row(by, label, rows, outcome, eta, chances, sets))
    return lines


def _row(by, label, rows, outcome, eta, chances, sets):
    line = dict.fromkeys(column.name for column in ROOM.makes['outcome_list'].columns)
    some = outcome.of(rows)
    events = int((some.grades > 0).sum())
    few = by != 'all' and any(0 < many < FEW for many in (events, len(some.grades) - events))
    line |= {'by': by, 'group': label, 'n': int(rows.sum()), 'events': None if few else events}
    if events < EVENTS or len(some.grades) - events < EVENTS:
        return line
    try:
        line |= dict(zip(('c', 'c_low', 'c_high'), concordance(some, eta[rows]), strict=True))
        line['slope'] = calibration(some, eta[rows])
    except MeasureError:
        return line
    if sets is not None:
        base = np.bincount(outcome.grades, minlength=len(outcome.levels)) / len(outcome.grades)
        line['brier'] = float(brier(some.grades, chances[rows]))
        line['brier_without'] = float(brier(some.grades, np.tile(base, (len(some.grades), 1))))
        held = sets[rows][np.arange(len(some.grades)), some.grades]
        line['covered_pct'] = 100 * float(held.mean())
        line['set_size'] = float(sets[rows].sum(axis=1).mean())
    return line


def _write_predictions(path, who, folds, eta, chances, sets, blocks_of, outcome, parts):
    head = [column.name for column in ROOM.makes['outcome_predictions'].columns]
    table = [head]
    for at, (person, session) in enumerate(who):
        known = np.isfinite(eta[at])
        chance = float(1 - chances[at, 0]) if known and chances.shape[1] else None
        cannot = None
        if known and sets is not None:
            names = [v for v, k in zip(outcome.levels, sets[at], strict=True) if k]
            cannot = ', '.join(names) or 'none'
        table.append(
            [
                person,
                session,
                folds[at],
                float(eta[at]) if known else None,
                chance,
                cannot,
                ' + '.join(blocks_of[at]) or None,
                *(None if np.isnan(v[at]) else float(v[at]) + 0.0 for v in parts.values()),
            ]
        )
    write_tsv(path, table, digits=4)


def _card(model, outcome, o, lines, eta, chances, sites):
    """Write the model with its card."""
    known = np.isfinite(eta)
    facts = {
        'model': 'Outcome model: elastic nets in blocks, late fusion',
        'software': f'csvdprep {__version__}',
        'use': 'Research only; no diagnosis. It holds for participants like these.',
        'outcome': {
            'column': o.column,
            'kind': outcome.kind,
            'values': list(outcome.levels) if outcome.kind != 'cox' else [],
            'participants': len(outcome.grades),
            'events': int((outcome.grades > 0).sum()),
        },
        'sites': sorted(set(map(str, sites)) - {'n/a'}),
        'scaling of measures': {
            **{name: f'ln(x + {add:g})' for name, add in LOGS.items()},
            'names ending in _n': 'ln(1 + n)',
            'male': '1 of men, 0 of women',
        },
        'tested on': 'sites that the model did not have'
        if len(set(sites)) > 2
        else 'fifths of the participants',
        'performance': lines[0],
        'performance by group': lines[1:],
        'parameters': model.facts(),
        'limits': 'Blocks that a visit lacks are left out; nothing is imputed. A block takes a '
        'predictor for each ten events, in the order above. Not harmonised.',
    }
    if outcome.kind == 'logistic':
        truth, chance = outcome.grades[known], chances[known, 1]
        facts['decision curve'] = [
            dict(
                zip(
                    ('threshold', 'model', 'all'), (t, *net_benefit(truth, chance, t)), strict=True
                )
            )
            for t in THRESHOLDS
        ]
        order = np.argsort(chance, kind='stable')
        facts['calibration'] = [
            {
                'n': len(part),
                'predicted': float(chance[part].mean()),
                'observed': float(truth[part].mean()),
            }
            for part in np.array_split(order, int(np.clip(len(order) // PART, 2, 10)))
        ]
    return facts
