"""Tables in; index, its parts, and its model card out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, isdefined, traits

from csvdprep import __version__
from csvdprep.bids.tsv import stream_tsv
from csvdprep.dataset.burden import ROOM
from csvdprep.dataset.burden.decide import raw_terms, read_weights
from csvdprep.dataset.burden.science import (
    FAR,
    TERMS,
    deviates,
    distances,
    fit_reference,
    index,
    interval,
    raw_term,
)
from csvdprep.dataset.burden.unseen import without_each_site
from csvdprep.interfaces.group_tables import ages_and_sexes, controls_of, read_numbers
from csvdprep.interfaces.lists import write_rows
from csvdprep.interfaces.values import Value, write_values


class _InputSpec(TraitedSpec):
    group_measures = File(exists=True, mandatory=True, desc='a row a visit')
    group_qc = File(exists=True, mandatory=True, desc='flags')
    group_covariates = traits.Dict(mandatory=True, desc='rows: age, sex, group')
    group_intervals = traits.Dict(mandatory=True, desc='intervals of measures')
    harmonised_table = File(exists=True, desc='measures without effects of sites')
    options = traits.Dict(mandatory=True, desc='options of the room')


class _OutputSpec(TraitedSpec):
    burden_list = File(exists=True, desc='index')
    burden_model = File(exists=True, desc='model card')
    burden_unseen = File(exists=True, desc='calibration at sites left out')
    burden_values = File(exists=True, desc='measures of the dataset')


class Burden(SimpleInterface):
    """Add up what deviates from controls."""

    input_spec = _InputSpec
    output_spec = _OutputSpec

    def _run_interface(self, runtime):
        folder, o = Path(runtime.cwd), self.inputs.options
        rows = self.inputs.group_covariates['rows']
        weights = read_weights(o['weights'])
        terms = [term for term in TERMS if weights.get(term[0], 0) > 0]
        names = [measure for _, measure, *_ in terms]
        who, numbers = read_numbers(self.inputs.group_measures, names)
        given = dict(numbers)
        raw = raw_terms(terms, numbers, len(who))
        kinds = {'as measured': raw}
        table = self.inputs.harmonised_table
        if o['harmonised'] and isdefined(table) and table:
            numbers |= read_numbers(table, names)[1]
            raw = kinds['harmonised'] = raw_terms(terms, numbers, len(who))
        ages, sexes = ages_and_sexes(rows)
        male, known = sexes == 'M', np.isfinite(ages) & np.isin(sexes, ['F', 'M'])
        controls = controls_of(rows, o['controls']) & known
        reference = fit_reference(raw, ages, male, controls, least=o['least_n'], weights=weights)
        z = deviates(reference, raw, ages, male)
        z[~known] = np.nan
        total, parts, shared = index(reference, z)
        flags = _flags(self.inputs.group_qc, names)
        kept = {t: (m, how, sign) for t, m, how, sign, _ in terms}
        why = _reasons(reference, z, parts, total, known, flags, kept, o['least_terms'])
        abstained = np.array([bool(text) for text in why])
        bounds = _bounds(
            reference, z, given, numbers, kept, self.inputs.group_intervals['measures']
        )
        low, high = interval(reference, bounds, z)
        columns = ROOM.makes['burden_list'].columns
        lines = []
        for at, (person, session) in enumerate(who):
            line = dict.fromkeys(column.name for column in columns)
            line |= {'participant_id': person, 'session_id': session, 'reason': why[at] or None}
            line['terms'] = int(np.isfinite(z[at]).sum())
            for k, term in enumerate(reference.terms):
                if np.isfinite(z[at, k]):
                    line[f'z_{term}'] = float(z[at, k])
                    if not abstained[at]:
                        line[f'part_{term}'] = float(parts[at, k])
                        line[f'shared_{term}'] = float(shared[at, k])
            if not abstained[at]:
                line['csvdq'] = float(total[at])
                if np.isfinite(low[at]):
                    line |= {'csvdq_low': float(low[at]), 'csvdq_high': float(high[at])}
            lines.append(line)
        given_index = ~abstained
        unseen, held = without_each_site(
            kinds,
            (ages, male, controls, np.array([row['site'] for row in rows])),
            (total, given_index),
            o['least_n'],
            weights,
        )
        card = _card(reference, terms, o, total, given_index, controls, rows)
        (folder / 'model.json').write_text(json.dumps(card, indent=1) + '\n', encoding='utf-8')
        self._results |= {
            'burden_list': write_rows(lines, columns, folder / 'burden.tsv'),
            'burden_model': str(folder / 'model.json'),
            'burden_unseen': write_rows(
                unseen, ROOM.makes['burden_unseen'].columns, folder / 'unseen.tsv'
            ),
            'burden_values': write_values(
                folder / 'values.json',
                {
                    'csvdq_n': int(given_index.sum()),
                    'csvdq_abstained_n': int(abstained.sum()),
                    'csvdq_controls_n': int(controls.sum()),
                    'csvdq_unseen_within_90_pct': held
                    if held is not None
                    else Value(None, reason=_untested(unseen)),
                },
                ROOM,
            ),
        }
        return runtime


def _untested(unseen) -> str:
    """Say why no site could be left out."""
    whys = {row['reason'] for row in unseen if row['reason']}
    return '; '.join(sorted(whys)) or 'the site of no control is known'


def _flags(path, names):
    """Return the flags of some measures, by name."""
    lines = stream_tsv(path)
    head = next(lines)
    place = {name: head.index(name) for name in names if name in head}
    columns: dict[str, list[str]] = {name: [] for name in place}
    for cells in lines:
        for name, at in place.items():
            columns[name].append(cells[at])
    return columns


def _reasons(reference, z, parts, total, known, flags, kept, least) -> list[str]:
    """Say why a visit has no index; nothing where it has."""
    far = distances(z)
    out = []
    for at in range(len(z)):
        many = int(np.isfinite(z[at]).sum())
        largest = np.argsort(-np.abs(parts[at]), kind='stable')[:3]
        failed = [
            reference.terms[k]
            for k in largest
            if np.isfinite(z[at, k])
            and flags.get(kept[reference.terms[k]][0], ['n/a'] * len(z))[at] == 'fail'
        ]
        if not known[at]:
            out.append('age or sex is not known')
        elif many < least or not np.isfinite(total[at]):
            out.append(f'{many} terms; {least} are needed')
        elif failed:
            out.append(f'{" and ".join(failed)}, which contribute most, failed the quality check')
        elif far[at] < FAR:
            out.append(
                f'the combination of terms is unlike all others (probability {far[at]:.1g})'
            )
        else:
            out.append('')
    return out


def _bounds(reference, z, given, numbers, kept, intervals):
    """Return z at the bounds of the interval of each term's measure."""
    out = []
    for k, term in enumerate(reference.terms):
        measure, how, sign = kept[term]
        ends = [np.full(len(z), np.nan), np.full(len(z), np.nan)]
        base = raw_term(given.get(measure, np.full(len(z), np.nan)), how, sign)
        for row, pair in intervals.get(measure, {}).items():
            at = int(row)
            # A harmonised value keeps the distance of its bounds, as the scale of the term has it.
            moved = raw_term(np.array(pair, float), how, sign) - base[at]
            shifted = z[at, k] + moved / reference.spread[k]
            ends[0][at], ends[1][at] = min(shifted), max(shifted)
        out.append(tuple(ends))
    return out


def _card(reference, terms, options, total, used, controls, rows):
    """Write the model card."""
    about = {name: what for name, *_, what in terms}
    site = {r['site'] for r, c in zip(rows, controls, strict=True) if c} - {'n/a'}
    return {
        'model': 'CSVD-Q: additive index of the burden of small vessel disease',
        'software': f'csvdprep {__version__}',
        'use': 'Research only. It describes how far a visit is from the controls of this dataset; '
        'it is no diagnosis, and predicts nothing.',
        'formula': 'index = sum of weight x z over the terms / sqrt(w R w), with R the '
        'correlation of z in the controls; z is adjusted for age and sex',
        'controls': {
            'n': int(controls.sum()),
            'words': options['controls'],
            'sites': sorted(site),
        },
        'terms': {
            name: {
                'what': about[name],
                'weight': float(reference.weights[k]),
                'controls': int(reference.n[k]),
                'at_mean_age_of_controls': float(reference.slopes[k, 0]),
                'per_year': float(reference.slopes[k, 1]),
                'men_less_women': float(reference.slopes[k, 2]),
                'standard_deviation': float(reference.spread[k]),
            }
            for k, name in enumerate(reference.terms)
        },
        'terms left out': dict(reference.left),
        'correlation of the terms in the controls': reference.correlation.round(4).tolist(),
        'no index is given': f'with fewer than {options["least_terms"]} terms, where one of the '
        'three that contribute most failed its quality check, or where the combination of terms '
        f'is as unlike all others as {100 * FAR:g} % of normal ones are',
        'visits': {
            'with an index': int(used.sum()),
            'mean': float(np.mean(total[used])) if used.any() else None,
            'standard deviation': float(np.std(total[used])) if used.any() else None,
        },
        'limits': 'Terms that a visit lacks are left out of sum and scale: indices of different '
        'terms have one scale, but not one meaning. Grades and counts are no normal values.',
    }
