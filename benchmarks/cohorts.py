"""Measure what the group level makes of simulated cohorts whose truth is known.

    python benchmarks/cohorts.py [PART ...]

Parts (all, if none is named): federated, counts, norms, burden, unseen, shared, outcomes,
phantoms, shift, programs. The last compares with neuroCombat and neuroHarmonize, where they are
installed.
"""

from __future__ import annotations

import contextlib
import io
import sys

import numpy as np
from scipy import stats

from csvdprep.dataset.burden.science import (
    TERMS,
    deviates,
    distances,
    fit_reference,
    index,
    interval,
)
from csvdprep.dataset.harmonisation.science import add_site, apply, fit
from csvdprep.dataset.harmonisation.science.counts import fit_mixed
from csvdprep.dataset.harmonisation.science.federated import Protocol, Sums, fit_sums, sums_of
from csvdprep.dataset.norms.science import fit_norm, scores
from csvdprep.dataset.outcomes.science.fusion import folds_of, leave_site_out
from csvdprep.dataset.outcomes.science.net import Outcome, choose_penalty, fit_net
from csvdprep.dataset.outcomes.science.performance import calibration, concordance, conformal_sets
from csvdprep.dataset.site_audit.science import travelling
from csvdprep.phantom.dataset.design import draw_persons
from csvdprep.phantom.dataset.sites import draw_sites
from csvdprep.science.covariate_design import Term

FEATURES = tuple(f'm{k}' for k in range(12))


def main(argv: list[str]) -> None:
    """Print what was asked for, in Markdown."""
    parts = {
        'federated': federated,
        'counts': counts,
        'norms': norms,
        'burden': burden,
        'unseen': unseen,
        'shared': shared,
        'outcomes': outcomes,
        'phantoms': phantoms,
        'shift': shift,
        'programs': programs,
    }
    for name in argv or parts:
        print(f'## {name}\n')
        parts[name]()
        print()


def cohort(seed: int, count: int, sites: int = 4, features: int = 12):
    """Return values, truth, site, age and sex of sites whose mean ages lie four years apart."""
    rng = np.random.default_rng(seed)
    at = np.repeat(np.arange(sites), count)
    age = rng.uniform(50, 70, len(at)) + 4 * at
    sex = rng.integers(0, 2, len(at))
    slope = 0.05 * rng.choice([-1, 1], features)
    fixed = (age - 66)[:, None] * slope + 0.3 * sex[:, None]
    noise = 0.6 * rng.normal(size=(len(at), 1)) + 0.8 * rng.normal(size=fixed.shape)
    effect = rng.normal(0.3, 0.3, (sites, 1)) + rng.normal(0, 0.5, (sites, features))
    scale = rng.uniform(0.7, 1.4, (sites, features))
    seen = fixed + effect[at] + scale[at] * noise
    return seen, fixed + noise, np.array([f'S{k}' for k in at]), age, np.array(['F', 'M'])[sex]


def federated() -> None:
    """Compare the fit of sums with that of pooled values."""
    print('| options | largest difference of a harmonised value |\n|---|---|')
    for words, options, knots in (
        ('empirical Bayes', {}, ()),
        ('without empirical Bayes', {'eb': False}, ()),
        ('non-parametric', {'parametric': False}, ()),
        ('means only', {'mean_only': True}, ()),
        ('reference site', {'reference': 'S1'}, ()),
        ('age as a curve', {}, (52.0, 62.0, 70.0, 80.0)),
    ):
        gap = 0.0
        for seed in range(20):
            seen, _, site, age, sex = cohort(seed, 60)
            terms = (
                Term('age', middle=65, spread=10, knots=knots),
                Term('sex', levels=('F', 'M')),
            )
            protocol = Protocol(FEATURES, terms, **options)
            sums = []
            for name in np.unique(site):
                here = site == name
                found = sums_of(protocol, name, seen[here], {'age': age[here], 'sex': sex[here]})
                sums.append(Sums.read(found.text()))
            given = {'age': age, 'sex': sex}
            theirs = fit(seen, site, given, features=FEATURES, terms=terms, least=20, **options)[1]
            ours = apply(fit_sums(protocol, sums), seen, site, given)
            gap = max(gap, float(np.abs(ours - theirs).max()))
        print(f'| {words} | {gap:.0e} |')


def counts() -> None:
    """Tell how often intervals of sites and covariates hold the truth, and false alarms."""
    print('| model | sites | slope, bias | slope, coverage | site effects, coverage | p < 0.05 |')
    print('|---|---|---|---|---|---|')
    for kind in ('negative binomial', 'ordinal'):
        for sites, spread in ((4, 0.4), (4, 0.0), (12, 0.4), (12, 0.0)):
            slope, inside, at_sites, alarm = [], [], [], []
            for seed in range(300):
                rng = np.random.default_rng(seed)
                truth = spread * rng.normal(size=sites)
                at = np.repeat(np.arange(sites), 60)
                x = rng.normal(size=(len(at), 1))
                eta = 0.4 * x[:, 0] + truth[at]
                if kind == 'ordinal':
                    y = np.digitize(eta + rng.logistic(size=len(at)), [-1.0, 0.5, 2.0])
                else:
                    y = rng.poisson(rng.gamma(1.5, np.exp(eta) / 1.5))
                found = fit_mixed(y, at.astype(str), x, kind=kind)
                place = [int(s) for s in found.sites]
                slope.append(found.effects[0] - 0.4)
                inside.append(abs(found.effects[0] - 0.4) < 1.96 * found.errors[0])
                off = found.site_effects - (truth[place] - truth.mean())
                at_sites += list(np.abs(off) < 1.96 * found.site_errors)
                alarm.append(found.p_sites < 0.05)
            words = f'{sites}, SD {spread}'
            print(
                f'| {kind} | {words} | {np.mean(slope):+.3f} | {100 * np.mean(inside):.0f} % | '
                f'{100 * np.mean(at_sites):.0f} % | {100 * np.mean(alarm):.0f} % |'
            )


def norms() -> None:
    """Tell how far percentiles are from the true ones."""
    print(
        '| controls | error of a percentile, mean | between 5 and 95 % | z within its interval |'
    )
    print('|---|---|---|---|')
    for count in (40, 60, 100, 200, 500, 1000):
        error, within, covered = [], [], []
        for seed in range(200):
            rng = np.random.default_rng(seed)
            norm = fit_norm('volume', *_volumes(rng, count)[:3])
            values, age, male, z = _volumes(rng, 4000, 50, 80)
            found, percent, off = scores(norm, values, age, male)
            error.append(np.nanmean(np.abs(percent - 100 * stats.norm.cdf(z))))
            within.append(np.nanmean((percent > 5) & (percent < 95)))
            covered.append(np.nanmean(np.abs(found - z) < 1.96 * off))
        print(
            f'| {count} | {np.mean(error):.1f} | {100 * np.mean(within):.0f} % | '
            f'{100 * np.mean(covered):.0f} % |'
        )


def _volumes(rng, count, low=45.0, high=85.0):
    """Volumes that are skewed, curve over age, and scatter more with it."""
    age, male, z = rng.uniform(low, high, count), rng.random(count) < 0.5, rng.normal(size=count)
    middle = 1.2 + 0.05 * (age - 65) + 0.001 * np.clip(age - 65, 0, None) ** 2 + 0.2 * male
    return np.exp(middle + 0.8 * np.exp(0.01 * (age - 65)) * z), age, male, z


def burden() -> None:
    """Measure the index of controls and patients, and its interval."""
    print('| controls | index of controls | of patients | interval holds the truth | abstained |')
    print('|---|---|---|---|---|')
    names = [term[0] for term in TERMS[:5]]
    for count in (40, 100, 400):
        rows = []
        for seed in range(20):
            rng = np.random.default_rng(seed)
            many = count + 200
            patient = np.arange(many) >= count
            common = rng.normal(size=many) + 1.2 * patient
            age, male = rng.uniform(50, 80, many), rng.random(many) < 0.5
            clean = {
                name: 0.6 * common + 0.8 * rng.normal(size=many) + 0.03 * (age - 65)
                for name in names
            }
            errors = np.array([0.2, 0.3, 0.3, 0.4, 0.1])
            seen = {
                name: values + errors[k] * rng.normal(size=many)
                for k, (name, values) in enumerate(clean.items())
            }
            reference = fit_reference(seen, age, male, ~patient)
            z = deviates(reference, seen, age, male)
            total = index(reference, z)[0]
            truth = index(reference, deviates(reference, clean, age, male))[0]
            half = 1.96 * errors / reference.spread
            low, high = interval(
                reference, [(z[:, k] - half[k], z[:, k] + half[k]) for k in range(5)], z
            )
            rows.append(
                [
                    total[~patient].mean(),
                    total[~patient].std(),
                    total[patient].mean(),
                    ((low < truth) & (truth < high)).mean(),
                    (distances(z) < 0.01).mean(),
                ]
            )
        mean = np.mean(rows, axis=0)
        print(
            f'| {count} | {mean[0]:.2f} (SD {mean[1]:.2f}) | {mean[2]:.2f} | '
            f'{100 * mean[3]:.0f} % | {100 * mean[4]:.1f} % |'
        )


def unseen() -> None:
    """Tell how norms and index are calibrated at a site whose controls they had not."""
    print('| the new site | model | mean z, root mean square | SD | between 5 and 95 % |')
    print('|---|---|---|---|---|')
    found: dict[tuple[str, str], list] = {}
    for seed in range(20):
        seen, truth, site, age, sex = cohort(seed, 150, sites=5)
        male, new, known = sex == 'M', site == 'S2', {'age': age, 'sex': sex}
        few = np.flatnonzero(new)[:25]
        test = np.flatnonzero(new)[25:]
        model, _ = fit(seen[~new], site[~new], _of(known, ~new))
        grown = add_site(model, 'S2', seen[few], _of(known, few))
        even = np.empty(seen.shape)
        even[~new] = apply(model, seen[~new], site[~new], _of(known, ~new))
        even[new] = apply(grown, seen[new], site[new], _of(known, new))
        for words, values in (
            ('without effects of sites (truth)', truth),
            ('as measured', seen),
            ('harmonised, all sites in the fit', fit(seen, site, known)[1]),
            ('harmonised, taken in by 25 controls', even),
        ):
            for k in range(5):
                norm = fit_norm('m', values[~new, k], age[~new], male[~new])
                z = scores(norm, values[test, k], age[test], male[test])[0]
                found.setdefault((words, 'norms'), []).append(_like_normal(z))
            terms = {term[0]: values[:, k] for k, term in enumerate(TERMS[:5])}
            reference = fit_reference(terms, age, male, ~new)
            total = index(reference, deviates(reference, terms, age, male))[0]
            found.setdefault((words, 'index of burden'), []).append(_like_normal(total[test]))
    for (words, model), rows in found.items():
        mean, spread, within = np.array(rows).T
        print(
            f'| {words} | {model} | {np.sqrt((mean**2).mean()):.2f} | {spread.mean():.2f} | '
            f'{100 * within.mean():.0f} %, worst {100 * within.min():.0f} % |'
        )


def _like_normal(z):
    z = z[np.isfinite(z)]
    return z.mean(), z.std(ddof=1), (np.abs(z) < stats.norm.ppf(0.95)).mean()


def shared() -> None:
    """Measure what persons whom sites share tell of them."""
    print('| persons | ICC(2,1), true 0.83 | effects of sites, SD of error | coverage |')
    print('|---|---|---|---|')
    for count in (3, 5, 10, 20):
        icc, off, inside = [], [], []
        for seed in range(200):
            rng = np.random.default_rng(seed)
            truth = rng.normal(0, 0.8, 4)
            truth -= truth.mean()
            persons, at = np.repeat(np.arange(count), 4), np.tile(np.arange(4), count)
            values = 20 + rng.normal(0, 2, count)[persons] + truth[at]
            values += rng.normal(0, 0.4, len(at))
            found, effects = travelling(values, persons.astype(str), at.astype(str))
            icc.append(found['icc'])
            for k, effect in enumerate(effects):
                off.append(effect['effect'] - truth[k])
                inside.append(effect['low'] < truth[k] < effect['high'])
        print(
            f'| {count} | {np.mean(icc):.2f} (SD {np.std(icc):.2f}) | {np.std(off):.2f} | '
            f'{100 * np.mean(inside):.0f} % |'
        )


def outcomes() -> None:
    """Tell whether known effects are found, and what a missing block costs."""
    truth = np.array([0.4, 0.8, -0.5, 0.6])
    print('| outcome | bias of a coefficient, mean and worst | 95 % interval holds it |')
    print('|---|---|---|')
    for kind in ('logistic', 'ordinal', 'cox'):
        off, inside = [], []
        for seed in range(200):
            rng = np.random.default_rng(seed)
            x = rng.normal(size=(500, 4))
            outcome = _outcome(rng, x @ truth, kind)
            point = fit_net(outcome, x, 0.0)
            error = np.sqrt(np.diag(np.linalg.inv(outcome.likelihood(point, x)[2])))
            off.append(point[outcome.base :] - truth)
            inside.append(np.abs(off[-1]) < 1.96 * error[outcome.base :])
        bias = np.mean(off, axis=0)
        worst = np.abs(bias).max()
        print(f'| {kind} | {bias.mean():+.3f}, {worst:.3f} | {100 * np.mean(inside):.1f} % |')
    print('\n| blocks of the visit | C of sites that were left out | slope | sets of 90 % hold |')
    print('|---|---|---|---|')
    found: dict[str, list] = {}
    for seed in range(10):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(1000, 4))
        site = rng.integers(0, 5, 1000).astype(str)
        outcome = _outcome(rng, x @ truth, 'logistic')
        table = dict(zip(('age', 'wmh', 'bpf', 'psmd'), x.T, strict=True))
        blocks = {'demographics': (), 'structure': ('wmh', 'bpf'), 'diffusion': ('psmd',)}
        for words, gone in (
            ('age, structure, diffusion', ()),
            ('age, structure', ('psmd',)),
            ('age, diffusion', ('wmh',)),
            ('age', ('psmd', 'wmh')),
        ):
            some = {n: np.where(n in gone, np.nan, v) for n, v in table.items()}
            half = rng.random(1000) < 0.5  # whom blocks are taken from; the model has the others
            mixed = {n: np.where(half, some[n], v) for n, v in table.items()}
            eta, chances, folds, *_ = leave_site_out(outcome, mixed, blocks, site, always=['age'])
            mine = outcome.of(half)
            sets = conformal_sets(outcome.grades, chances, folds)
            held = sets[np.arange(1000), outcome.grades][half].mean()
            found.setdefault(words, []).append(
                (concordance(mine, eta[half])[0], calibration(mine, eta[half]), held)
            )
    for words, rows in found.items():
        c, slope, held = np.mean(rows, axis=0)
        print(f'| {words} | {c:.3f} | {slope:.2f} | {100 * held:.1f} % |')


#: Effects on the log odds of an outcome, for one standard deviation of what is true.
EFFECTS = {'age': 0.4, 'wmh': 0.6, 'atrophy': 0.4, 'cmb': 0.4, 'md': 0.4, 'cbf': -0.4, 'ps': 0.4}
#: Spread between persons, and error of measurement, of what the phantom's model gives: of the
#: logarithm, of the log odds of fluid (atrophy), of ln(1 + n) (microbleeds).
SPREAD = {'md': 0.05, 'cbf': 0.15, 'ps': 0.3}
ERRORS = {'wmh': 0.15, 'atrophy': 0.06, 'cmb': 0.25, 'md': 0.02, 'cbf': 0.10, 'ps': 0.25}
BLOCKS = {
    'demographics': (),
    'structure': ('wmh', 'atrophy'),
    'microbleeds': ('cmb',),
    'diffusion': ('md',),
    'perfusion': ('cbf',),
    'permeability': ('ps',),
}


def phantom_cohort(seed: int, count: int):
    """Return what is true and what is measured of participants of the phantom, and their sites.

    Age, hyperintensities, atrophy, microbleeds and the means of diffusivity, flow and leakage
    are those of ``csvdprep phantom``; all by the standard deviation of what is true.
    """
    rng = np.random.default_rng([seed, 5])
    persons = draw_persons(count, seed=seed, sites=draw_sites(5, seed))
    states = [person.states[0] for person in persons]
    true = {
        'age': np.array([person.covariates['age'] for person in persons]),
        'wmh': np.log([state.disease.wmh_ml for state in states]),
        'atrophy': np.array([state.atrophy for state in states]),
        'cmb': np.log1p([sum(state.disease.microbleeds) for state in states]),
    }
    for name, spread in SPREAD.items():
        mean = np.log([state.factors[name] for state in states])
        true[name] = mean + spread * rng.normal(size=count)
    seen = {n: v + ERRORS.get(n, 0.0) * rng.normal(size=count) for n, v in true.items()}
    for name, values in true.items():
        middle, spread = values.mean(), values.std()
        true[name], seen[name] = (values - middle) / spread, (seen[name] - middle) / spread
    eta = sum(EFFECTS[name] * values for name, values in true.items())
    return true, seen, _outcome(rng, eta, 'logistic'), np.array([s.site for s in states])


def phantoms() -> None:
    """Tell whether effects in the phantom's participants are found, and what scans are worth."""
    print('| predictors | effect | bias | 95 % interval holds it |')
    print('|---|---|---|---|')
    for words, at in (('true', 0), ('as measured', 1)):
        off, inside = [], []
        for seed in range(100):
            made = phantom_cohort(seed, 2000)
            x = np.column_stack([*made[at].values()])
            outcome = made[2]
            point = fit_net(outcome, x, 0.0)
            error = np.sqrt(np.diag(np.linalg.inv(outcome.likelihood(point, x)[2])))
            off.append(point[outcome.base :] - np.array([*EFFECTS.values()]))
            inside.append(np.abs(off[-1]) < 1.96 * error[outcome.base :])
        for k, (name, effect) in enumerate(EFFECTS.items()):
            bias, held = np.mean(off, axis=0)[k], 100 * np.mean(inside, axis=0)[k]
            print(f'| {words} | {name} {effect:+.1f} | {bias:+.3f} | {held:.0f} % |')
        print(f'| {words} | all | | {100 * np.mean(inside):.1f} % |')
    print('\n| without | C | lost | slope | sets of 90 % hold |\n|---|---|---|---|---|')
    found: dict[str, list] = {}
    for seed in range(10):
        _, seen, outcome, site = phantom_cohort(seed, 2000)
        half = np.random.default_rng(seed).random(2000) < 0.5
        for gone in ('', *list(BLOCKS)[1:], 'all but age'):
            away = sum(BLOCKS.values(), ()) if gone == 'all but age' else BLOCKS.get(gone, ())
            table = {n: np.where(half & (n in away), np.nan, v) for n, v in seen.items()}
            eta, chances, folds, *_ = leave_site_out(outcome, table, BLOCKS, site, always=['age'])
            mine = outcome.of(half)
            sets = conformal_sets(outcome.grades, chances, folds)
            held = sets[np.arange(2000), outcome.grades][half].mean()
            found.setdefault(gone or 'nothing', []).append(
                (concordance(mine, eta[half])[0], calibration(mine, eta[half]), held)
            )
    whole = np.mean(found['nothing'], axis=0)[0]
    for gone, rows in found.items():
        c, slope, held = np.mean(rows, axis=0)
        print(f'| {gone} | {c:.3f} | {whole - c:+.3f} | {slope:.2f} | {100 * held:.1f} % |')


def shift() -> None:
    """Tell what site effects do to predictions of a site that the model did not have."""
    print('| new site | AUC, mean | worst of 30 | slope | error of the mean probability |')
    print('|---|---|---|---|---|')
    found: dict[str, list] = {}
    for seed in range(30):
        seen, truth, site, age, sex = cohort(seed, 150, sites=5)
        rng = np.random.default_rng(1000 + seed)
        eta = 0.9 * (truth[:, 0] + truth[:, 1] - truth[:, 2]) - 0.8
        outcome = _outcome(rng, eta, 'logistic')
        new = site == 'S4'
        controls = np.flatnonzero(new & (outcome.grades == 0))[:25]
        test = np.flatnonzero(new & ~np.isin(np.arange(len(new)), controls))
        # Harmonisation keeps the outcome's effect as far as age and sex tell, and no further.
        model, _ = fit(seen[~new], site[~new], _of({'age': age, 'sex': sex}, ~new))
        known = {'age': age, 'sex': sex}
        grown = add_site(model, 'S4', seen[controls], _of(known, controls))
        even = np.full(seen.shape, np.nan)
        even[~new] = apply(model, seen[~new], site[~new], _of(known, ~new))
        even[new] = apply(grown, seen[new], site[new], _of(known, new))
        for words, values in (
            ('without site effects (truth)', truth),
            ('as measured', seen),
            ('harmonised, the new site by 25 controls', even),
        ):
            x = np.column_stack([age, values])
            middle, spread = x[~new].mean(axis=0), x[~new].std(axis=0)
            x = (x - middle) / spread
            some = outcome.of(~new)
            penalty, _ = choose_penalty(some, x[~new], folds_of(site[~new]))
            point = fit_net(some, x[~new], penalty)
            score = x[test] @ point[1:]
            mine = outcome.of(test)
            off = 1 / (1 + np.exp(point[0] - score))
            found.setdefault(words, []).append(
                (
                    concordance(mine, score)[0],
                    calibration(mine, score),
                    abs(off.mean() - mine.grades.mean()),
                )
            )
    for words, rows in found.items():
        rows = np.array(rows)
        c, slope, off = rows.mean(axis=0)
        print(f'| {words} | {c:.3f} | {rows[:, 0].min():.3f} | {slope:.2f} | {off:.3f} |')


def _of(covariates, rows):
    return {name: values[rows] for name, values in covariates.items()}


def _outcome(rng, eta, kind: str) -> Outcome:
    if kind == 'cox':
        event, end = rng.exponential(np.exp(-eta)), rng.exponential(2, len(eta))
        return Outcome('cox', (event < end).astype(int), np.minimum(event, end))
    noisy = eta + rng.logistic(size=len(eta))
    if kind == 'ordinal':
        return Outcome('ordinal', np.digitize(noisy, [-1.5, 0, 2]), np.zeros(0), tuple('0123'))
    return Outcome('logistic', (noisy > 0.5).astype(int), np.zeros(0))


def programs() -> None:
    """Compare with other programs on sites with known truth."""
    import pandas as pd
    from neuroCombat import neuroCombat
    from neuroHarmonize import harmonizationLearn

    vars(np)['int'] = int  # neuroCombat 0.2.12 is older than numpy 1.24
    print('| effect of age | program | sites apart, SD | effect of age kept | true values, r |')
    print('|---|---|---|---|---|')
    for curve in (False, True):
        found: dict[str, list] = {}
        for seed in range(20):
            seen, truth, site, age, sex = cohort(seed, 50)
            if curve:
                bend = (0.006 * np.clip(age - 66, 0, None) ** 2)[:, None]
                seen, truth = seen + bend, truth + bend
            male = (sex == 'M').astype(float)
            table = pd.DataFrame({'SITE': site, 'AGE': age, 'SEX': male})
            kept = {'age': age, 'sex': sex}
            with contextlib.redirect_stdout(io.StringIO()):
                made = {
                    'as measured': seen,
                    'neuroCombat': neuroCombat(
                        dat=seen.T,
                        covars=table,
                        batch_col='SITE',
                        continuous_cols=['AGE'],
                        categorical_cols=['SEX'],
                    )['data'].T,
                    'neuroHarmonize': harmonizationLearn(seen, table)[1],
                    'csvdprep': fit(seen, site, kept)[1],
                }
                if curve:
                    made['neuroHarmonize, GAM'] = harmonizationLearn(
                        seen, table, smooth_terms=['AGE']
                    )[1]
                    made['csvdprep, age as a curve'] = fit(seen, site, kept, splines=('age',))[1]
            design = np.stack([np.ones_like(age), age], axis=1)
            true = np.linalg.lstsq(design, truth, rcond=None)[0][1]
            for name, values in made.items():
                off = values - truth
                apart = np.std([off[site == s].mean(0) for s in np.unique(site)], axis=0, ddof=1)
                ours = np.linalg.lstsq(design, values, rcond=None)[0][1]
                r = np.mean(
                    [np.corrcoef(a, b)[0, 1] for a, b in zip(values.T, truth.T, strict=True)]
                )
                found.setdefault(name, []).append((apart.mean(), ours @ true / (true @ true), r))
        for name, rows in found.items():
            apart, kept, r = np.mean(rows, axis=0)
            spread = np.std(rows, axis=0)[1]
            words = 'a curve' if curve else 'a line'
            print(f'| {words} | {name} | {apart:.2f} | {kept:.2f} (SD {spread:.2f}) | {r:.3f} |')


if __name__ == '__main__':
    main(sys.argv[1:])
