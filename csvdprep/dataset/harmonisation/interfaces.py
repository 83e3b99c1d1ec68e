"""Tables in; harmonised table, effects and model out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, traits

from csvdprep.bids.tsv import write_tsv
from csvdprep.core.errors import CsvdprepError, MeasureError
from csvdprep.dataset.harmonisation import ROOM
from csvdprep.dataset.harmonisation.decide import choose, listed, measures_of
from csvdprep.dataset.harmonisation.science import fit, site_effects
from csvdprep.dataset.harmonisation.science.combat import expected, logged
from csvdprep.dataset.harmonisation.science.counts import fit_mixed, ratio
from csvdprep.dataset.harmonisation.science.priors import FEWEST
from csvdprep.dataset.harmonisation.science.suited import COUNTED, log_offset
from csvdprep.interfaces.lists import write_rows
from csvdprep.interfaces.values import Value, write_values
from csvdprep.science.covariate_design import make_columns, make_terms

#: Model of counts.
COUNTS = 'negative binomial'


class _InputSpec(TraitedSpec):
    group_measures = File(exists=True, mandatory=True, desc='a row a visit')
    group_covariates = traits.Dict(mandatory=True, desc='rows: site, scanner, age, sex')
    group_dictionary = traits.Dict(mandatory=True, desc='measures: what each is')
    options = traits.Dict(mandatory=True, desc='options of the room')


class _OutputSpec(TraitedSpec):
    harmonised_table = File(exists=True, desc='measures')
    harmonisation_list = File(exists=True, desc='effects of sites')
    site_counts = File(exists=True, desc='effects of sites on counts and grades')
    harmonisation_model = File(exists=True, desc='model')
    harmonisation_values = File(exists=True, desc='measures of the dataset')


class Harmonise(SimpleInterface):
    """Take effects of sites away."""

    input_spec = _InputSpec
    output_spec = _OutputSpec

    def _run_interface(self, runtime):
        folder, o = Path(runtime.cwd), self.inputs.options
        names, rows = listed(o['covariates']), self.inputs.group_covariates['rows']
        chosen = choose(
            rows, self.inputs.group_measures, o['by'], names, o['least_n'], o['overlap']
        )
        who, numbers, reasons = measures_of(
            self.inputs.group_measures,
            self.inputs.group_dictionary['measures'],
            chosen,
            names,
            o['least_n'],
        )
        used, sites, covariates = chosen.used, chosen.sites[chosen.used], chosen.kept()
        features = [name for name, why in reasons.items() if not why]
        data = np.stack([numbers[name][used] for name in features], axis=1)
        offset = np.array([log_offset(column) if o['log'] else np.nan for column in data.T])
        model, found = fit(
            data,
            sites,
            covariates,
            features=features,
            people=chosen.people[used] if o['longitudinal'] == 'yes' else None,
            reference=o['reference'],
            eb=o['eb'] and len(features) >= FEWEST,
            parametric=o['parametric'],
            tolerance=o['tolerance'],
            mean_only=o['mean_only'],
            splines=('age',) if o['age_curve'] else (),
            offset=offset,
            covbat=o['covbat_variance'] if o['method'] == 'covbat' else 0.0,
            least=o['least_n'],
        )
        reasons |= model.left_out
        lines, furthest = _effects(model, data, found, sites, covariates)
        lines += [
            dict.fromkeys((c.name for c in ROOM.makes['harmonisation_list'].columns), None)
            | {'measure': name, 'reason': why}
            for name, why in reasons.items()
            if why
        ]
        done = [name for name in features if not reasons[name]]
        whole = np.full((len(who), len(features)), np.nan)
        whole[used] = found
        table = [['participant_id', 'session_id', 'site', *done]]
        places = [features.index(name) for name in done]
        for at, (person, session) in enumerate(who):
            cells = [None if np.isnan(v) else float(v) for v in whole[at, places]]
            table.append([person, session, chosen.sites[at] if used[at] else None, *cells])
        write_tsv(folder / 'harmonised.tsv', table, digits=8)
        (folder / 'model.json').write_text(model.text(), encoding='utf-8')
        mind = ' '.join(chosen.left)
        before, after = (np.median([pair[k] for pair in furthest]) for k in (0, 1))
        self._results |= {
            'harmonised_table': str(folder / 'harmonised.tsv'),
            'harmonisation_model': str(folder / 'model.json'),
            'harmonisation_list': write_rows(
                lines, ROOM.makes['harmonisation_list'].columns, folder / 'list.tsv'
            ),
            'site_counts': write_rows(
                _counts(numbers, reasons, chosen, who, self.inputs.group_dictionary['measures'])
                if o['counts']
                else [],
                ROOM.makes['site_counts'].columns,
                folder / 'counts.tsv',
            ),
            'harmonisation_values': write_values(
                folder / 'values.json',
                {
                    'harmonised_n': len(done),
                    'harmonised_sites_n': len(model.sites),
                    'harmonised_visits_n': Value(
                        int(used.sum()), reason=mind, qc='warn' if mind else ''
                    ),
                    'harmonised_d_before': float(before),
                    'harmonised_d_after': float(after),
                },
                ROOM,
            ),
        }
        return runtime


def _effects(model, data, found, sites, covariates):
    """Return a row for each measure and site, and the largest |d| before and after of each."""
    explained = expected(model, covariates, len(sites))
    before, after = logged(model, data), logged(model, found)
    lines, furthest = [], []
    for at, name in enumerate(model.features):
        if name in model.left_out:
            continue
        offset = model.offset[at]
        scale = 'none' if np.isnan(offset) else f'log(x + {offset:.4g})' if offset else 'log(x)'
        largest = [0.0, 0.0]
        for place, site in enumerate(model.sites):
            here = sites == site
            if not np.isfinite(model.shift[place, at]):
                why = f'fewer than the least participants with a value at {site}'
                lines.append(_line(name, site, 0, scale, why))
                continue
            line = _line(name, site, int(model.count[place, at]), scale)
            line['location'] = float(model.shift[place, at])
            line['scale'] = float(np.sqrt(model.scale[place, at]))
            # Compared are visits that were harmonised.
            seen = np.isfinite(after[:, at])
            for when, values in (('before', before), ('after', after)):
                kept = np.where(seen, values[:, at], np.nan)
                for key, value in site_effects(kept, explained[:, at], here).items():
                    line[f'{key}_{when}'] = value if np.isfinite(value) else None
            for k, when in enumerate(('before', 'after')):
                largest[k] = max(largest[k], abs(line[f'd_{when}'] or 0.0))
            lines.append(line)
        furthest.append(largest)
    return lines, furthest


def _line(name: str, site: str, count: int, scale: str, why: str | None = None):
    names = [column.name for column in ROOM.makes['harmonisation_list'].columns]
    return dict.fromkeys(names) | {
        'measure': name,
        'site': site,
        'n': count,
        'transform': scale,
        'reason': why,
    }


def _counts(numbers, reasons, chosen, who, described):
    """Return rows of what sites do to counts and grades: the first visit of each participant."""
    first, seen = np.zeros(len(who), bool), set()
    for at, person in enumerate(chosen.people):
        if chosen.used[at] and person not in seen:
            seen.add(person)
            first[at] = True
    empty = dict.fromkeys(column.name for column in ROOM.makes['site_counts'].columns)
    lines = []
    for name, why in reasons.items():
        if COUNTED not in why:
            continue
        kind = 'ordinal' if described[name]['levels'] or not name.endswith('_n') else COUNTS
        there = first & np.isfinite(numbers[name])
        line = empty | {'measure': name, 'model': kind, 'n': int(there.sum())}
        try:
            if not there.any():
                raise MeasureError('no visit has a value')
            kept = {n: v[there] for n, v in chosen.covariates.items()}
            terms = make_terms(kept)
            columns = make_columns(terms, kept, int(there.sum()))
            sites = chosen.sites[there]
            if len(set(sites)) < 2:
                raise MeasureError('fewer than two sites have values')
            found = fit_mixed(numbers[name][there], sites, columns, kind=kind)
        except CsvdprepError as error:
            lines.append(line | {'reason': str(error)})
            continue
        line |= {'sites_sd': found.spread, 'p_sites': found.p_sites}
        told = zip(found.sites, found.site_effects, found.site_errors, strict=True)
        rows = [(f'site {site}', effect, error) for site, effect, error in told]
        for (term, unit), effect, error in zip(
            _units(terms), found.effects, found.errors, strict=True
        ):
            rows.append((term, effect * unit, error * unit))
        for term, effect, error in rows:
            keys = ('ratio', 'ratio_low', 'ratio_high')
            lines.append(
                line | {'term': term} | dict(zip(keys, ratio(effect, error), strict=True))
            )
    return lines


def _units(terms):
    """Name the columns of the covariates, and the unit in which their effect is told."""
    for term in terms:
        if term.levels:
            yield from (
                (f'{term.name} {level}, not {term.levels[0]}', 1.0) for level in term.levels[1:]
            )
        elif term.name == 'age':
            yield 'age, by 10 years', 10 / term.spread
        else:
            yield f'{term.name}, by standard deviation', 1.0
