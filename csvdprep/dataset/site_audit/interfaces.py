"""Tables in; what fails where, and what shared persons tell, out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, isdefined, traits
from scipy import stats

from csvdprep.bids.tsv import stream_tsv
from csvdprep.core.errors import MeasureError
from csvdprep.dataset.site_audit import ROOM
from csvdprep.dataset.site_audit.science import differ, travelling
from csvdprep.interfaces.group_tables import ages_and_sexes, read_numbers
from csvdprep.interfaces.lists import write_rows
from csvdprep.interfaces.values import Value, write_values
from csvdprep.science.proportions import shares
from csvdprep.science.small_groups import join_small
from csvdprep.science.subgroups import age_band

#: Fewest visits of a site whose share of failures is a measure.
VISITS = 10


class _InputSpec(TraitedSpec):
    group_measures = File(exists=True, mandatory=True, desc='a row a visit')
    group_qc = File(exists=True, mandatory=True, desc='flags')
    group_covariates = traits.Dict(mandatory=True, desc='rows: site, scanner, age, sex, person')
    group_dictionary = traits.Dict(mandatory=True, desc='measures: what each is')
    harmonised_table = File(exists=True, desc='measures without effects of sites')
    least_n = traits.Int(mandatory=True, desc='fewest participants that are told')
    apart_years = traits.Float(mandatory=True, desc='most years between visits')


class _OutputSpec(TraitedSpec):
    audit_list = File(exists=True, desc='failures and quality by group')
    travelling_list = File(exists=True, desc='shared persons')
    site_audit_values = File(exists=True, desc='measures of the dataset')


class Audit(SimpleInterface):
    """Count failures by group, and compare sites by the persons whom they share."""

    input_spec = _InputSpec
    output_spec = _OutputSpec

    def _run_interface(self, runtime):
        folder, rows = Path(runtime.cwd), self.inputs.group_covariates['rows']
        described = self.inputs.group_dictionary['measures']
        results = [
            name
            for name, facts in described.items()
            if facts['result'] and not name.startswith('qc_')
        ]
        verdicts, missing = _flags(self.inputs.group_qc, results)
        audit, worst = _audit(rows, verdicts, missing, self.inputs.least_n)
        persons, used = _travellers(rows, self.inputs.apart_years)
        lines, iccs = [], []
        if used.any():
            sites = np.array([row['site'] for row in rows])
            tables = [('as measured', self.inputs.group_measures)]
            if isdefined(self.inputs.harmonised_table) and self.inputs.harmonised_table:
                tables.append(('harmonised', self.inputs.harmonised_table))
            for which, path in tables:
                names = [n for n in results if not described[n]['levels']]
                for name, values in read_numbers(path, names)[1].items():
                    there = used & np.isfinite(values)
                    try:
                        found, effects = travelling(values[there], persons[there], sites[there])
                    except MeasureError:
                        continue
                    if which == 'as measured' and found['icc'] is not None:
                        iccs.append(found['icc'])
                    lines += [_line(name, which, found, effect) for effect in effects]
        many = len(set(persons[used]))
        why = '' if many else 'no person is known to have been measured at several sites'
        self._results |= {
            'audit_list': write_rows(
                audit, ROOM.makes['audit_list'].columns, folder / 'audit.tsv'
            ),
            'travelling_list': write_rows(
                lines, ROOM.makes['travelling_list'].columns, folder / 'travelling.tsv'
            ),
            'site_audit_values': write_values(
                folder / 'values.json',
                {
                    'audit_worst_failed_pct': worst,
                    'travelling_n': many,
                    'travelling_icc': float(np.median(iccs))
                    if iccs
                    else Value(None, reason=why or 'no two sites share three persons'),
                },
                ROOM,
            ),
        }
        return runtime


def _flags(path, names):
    """Return the verdict of each visit, and the share of its results that are n/a."""
    lines = stream_tsv(path)
    head = next(lines)
    verdict, places = head.index('qc'), [head.index(name) for name in names if name in head]
    verdicts, gone = [], []
    for cells in lines:
        verdicts.append(cells[verdict])
        gone.append([cells[at] in ('na', 'n/a') for at in places])
    gone = np.array(gone, bool).reshape(len(verdicts), len(places))
    # What no visit has was not asked for.
    gone = gone[:, ~gone.all(axis=0)] if len(gone) else gone
    share = gone.mean(axis=1) if gone.shape[1] else np.full(len(verdicts), np.nan)
    return np.array(verdicts), share


def _audit(rows, verdicts, missing, least: int):
    """Return a line a group, and the largest share of failures of a site."""
    ages, sexes = ages_and_sexes(rows)
    people = np.array([row['participant_id'] for row in rows])
    kinds = {
        'site': np.array([row['site'] for row in rows]),
        'scanner': np.array([row['scanner'] for row in rows]),
        'sex': sexes,
        'age': np.array([age_band(age) for age in ages]),
    }
    broken = np.array([row.get('state', 'ok') in ('failed', 'lost') for row in rows])
    lines, worst = [], None
    for by, groups in kinds.items():
        groups = groups.astype(object)
        if by in ('sex', 'age'):
            groups = join_small(groups, people, least)
        names = sorted({str(g) for g in groups} - {'n/a'})
        if 'n/a' in groups:
            names.append('n/a')
        counts, totals = [], []
        for name in names:
            here = groups == name
            judged = here & np.isin(verdicts, ['ok', 'warn', 'fail'])
            many, total = int((verdicts[judged] == 'fail').sum()), int(judged.sum())
            counts.append(many)
            totals.append(total)
            line = dict.fromkeys(column.name for column in ROOM.makes['audit_list'].columns)
            line |= {'by': by, 'group': 'not known' if name == 'n/a' else name}
            line['visits'] = int(here.sum())
            line |= _share('steps', int(broken[here].sum()), int(here.sum()))
            if total:
                looks = int((verdicts[judged] == 'warn').sum())
                line |= _share('failed', many, total) | _share('check', looks, total)
                line |= _mean_missing(missing[here])
            lines.append(line)
            if by == 'site' and total >= VISITS and name != 'n/a':
                worst = max(worst or 0.0, line['failed_pct'])
        used = [k for k, total in enumerate(totals) if total]
        p = differ([counts[k] for k in used], [totals[k] for k in used])
        for line in lines[len(lines) - len(names) :]:
            line['p'] = p
    return lines, worst if worst is not None else Value(
        None, reason=f'no site is known to have {VISITS} visits'
    )


def _share(name: str, count: int, total: int) -> dict[str, float]:
    keys = (f'{name}_pct', f'{name}_low', f'{name}_high')
    return dict(zip(keys, shares(count, total), strict=True))


def _mean_missing(part: np.ndarray) -> dict[str, float | None]:
    """Return the mean share of results that visits lack, with its interval, in percent."""
    part = 100 * part[np.isfinite(part)]
    if not len(part):
        return {}
    found: dict[str, float | None] = {'missing_pct': float(part.mean())}
    if len(part) > 2:
        half = float(stats.t.ppf(0.975, len(part) - 1) * part.std(ddof=1) / np.sqrt(len(part)))
        found['missing_low'] = max(0.0, float(part.mean()) - half)
        found['missing_high'] = min(100.0, float(part.mean()) + half)
    return found


def _travellers(rows, apart: float):
    """Return who each visit is of, and which visits are of persons measured at several sites."""
    persons = np.array(
        [
            row['participant_id'] if row.get('person', 'n/a') == 'n/a' else row['person']
            for row in rows
        ]
    )
    places: dict[str, set[str]] = {}
    ages: dict[str, list[float]] = {}
    for row, person in zip(rows, persons, strict=True):
        if row['site'] != 'n/a':
            places.setdefault(person, set()).add(row['site'])
        if row['age'] is not None:
            ages.setdefault(person, []).append(row['age'])
    near = {
        p
        for p, found in places.items()
        if len(found) > 1 and (p not in ages or max(ages[p]) - min(ages[p]) <= apart)
    }
    known = np.array([row['site'] != 'n/a' for row in rows], bool)
    return persons, known & np.isin(persons, list(near))


def _line(name, which, found, effect):
    return {
        'measure': name,
        'values': which,
        **{key: found[key] for key in ('persons', 'icc', 'icc_low', 'icc_high', 'wscv_pct')},
        'site': effect['site'],
        'site_persons': effect['persons'],
        'effect': effect['effect'],
        'effect_se': effect['error'],
        'effect_low': effect['low'],
        'effect_high': effect['high'],
    }
