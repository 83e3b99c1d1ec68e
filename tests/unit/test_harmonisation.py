"""ComBat: equal to the reference programs, true on simulated sites, plain where it refuses."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from csvdprep.bids.tsv import read_tsv
from csvdprep.cli.run import run
from csvdprep.core.errors import InputError, MeasureError
from csvdprep.core.plan import Scan, Visit
from csvdprep.core.room import NoPlace
from csvdprep.dataset.harmonisation import Options
from csvdprep.dataset.harmonisation.decide import resolve
from csvdprep.dataset.harmonisation.science import Model, add_site, apply, fit, site_effects
from csvdprep.dataset.harmonisation.science.counts import fit_mixed
from csvdprep.dataset.harmonisation.science.mixed import random_intercept
from csvdprep.dataset.harmonisation.science.priors import shrink
from csvdprep.dataset.harmonisation.science.suited import log_offset, unsuited
from csvdprep.science.covariate_design import Term, overlap
from tests.builders import leave_visit

# Three features of ten subjects, and what ComBat in R makes of them without empirical Bayes:
# github.com/Jfortin1/ComBatHarmonization, Testing/ (Artistic-2.0; simulated by its authors).
GIVEN = """
3.01874617094 1.21551377620 2.92054298288 -0.90197026441 0.87493141896
9.07502051897 14.24201414405 7.91527600084 14.43978119530 7.42802065766
2.81574745793 0.33087648510 4.18175154982 -0.05474995805 3.52117866630
7.92913886631 8.12734273719 7.17716572926 12.65663509338 8.03653710749
1.62866945008 1.39027511927 5.18614406268 -1.35675471110 2.95357710004
7.86084724720 12.09155024541 10.06240598437 10.74084595966 8.71348441099
"""
R_NOEB = """
8.04518824849 5.79125481192 7.96578071498 4.07904782341 6.31169012995
4.06375951134 9.24593231456 2.88656712661 9.44667468760 2.39198123253
5.85592812848 3.93145402625 8.64463228168 3.14419572300 7.29606945182
4.19546969688 5.33944741809 3.69527146296 8.35224658057 4.26690896502
6.28283600842 5.33411028434 8.88670708762 3.32343914597 7.25259379675
3.38020392201 7.95518249252 6.14639085147 6.25806650023 4.45151477927
"""
BATCH = ['1'] * 5 + ['2'] * 5
GROUP = {'group': np.array([1.0, 0] * 5)}


def numbers(text):
    return np.array(text.split(), float).reshape(3, 10).T


def simulated(seed=0, count=150, sites=3, features=8):
    """Return truth, what sites make of it, and the covariates; ages differ between sites."""
    rng = np.random.default_rng(seed)
    site = np.repeat([f'S{k}' for k in range(sites)], count)
    at = np.repeat(np.arange(sites), count)
    age = rng.uniform(50, 65, len(site)) + 6 * at
    slope = rng.choice([-0.1, 0.1], features)
    truth = 3 + age[:, None] * slope + rng.normal(size=(len(site), features))
    shift, scale = rng.normal(0, 1, (sites, features)), rng.uniform(0.7, 1.4, (sites, features))
    fixed = 3 + age[:, None] * slope
    seen = fixed + shift[at] + scale[at] * (truth - fixed)
    return truth, seen, site, age, slope


def slopes(values, age):
    design = np.stack([np.ones_like(age), age], axis=1)
    return np.linalg.lstsq(design, values, rcond=None)[0][1]


# ---- equality


def test_three_features_are_what_the_program_in_r_gives():
    found = fit(numbers(GIVEN), BATCH, GROUP, eb=False)[1]
    assert np.abs(found - numbers(R_NOEB)).max() < 1e-8


def test_empirical_bayes_solves_its_equations():
    rng = np.random.default_rng(3)
    z = rng.normal(rng.normal(0.3, 0.4, 12), rng.uniform(0.7, 1.3, 12), (15, 12))
    z[:4, 2] = np.nan
    count = np.isfinite(z).sum(axis=0)
    g, d = np.nanmean(z, axis=0), np.nanvar(z, axis=0, ddof=1)
    shift, scale = shrink(z, g, d, tolerance=1e-12)
    # The two equations of Johnson 2007, section 3.2, with hyperparameters by moments.
    mean, var = d.mean(), d.var(ddof=1)
    lam, theta = mean**2 / var + 2, mean**3 / var + mean
    tau = g.var(ddof=1)
    assert np.allclose(shift, (count * tau * g + scale * g.mean()) / (count * tau + scale))
    squares = np.nansum((z - shift) ** 2, axis=0)
    assert np.allclose(scale, (theta + squares / 2) / (count / 2 + lam - 1))
    # MATLAB's program ends earlier, and gives other digits.
    assert 0 < np.abs(shrink(z, g, d, tolerance=1e-2)[0] - shift).max() < 1e-2


def test_effects_on_other_measures_as_prior():
    rng = np.random.default_rng(4)
    z = rng.normal(0.5, 1, (10, 5))
    g, d = z.mean(axis=0), z.var(axis=0, ddof=1)
    shift, scale = shrink(z, g, d, parametric=False)
    likely = [
        np.prod(np.exp(-((z[:, 0] - a) ** 2) / (2 * b)) / np.sqrt(2 * np.pi * b))
        for a, b in zip(g[1:], d[1:], strict=True)
    ]
    assert shift[0] == pytest.approx(np.average(g[1:], weights=likely))
    assert scale[0] == pytest.approx(np.average(d[1:], weights=likely))


def test_the_reference_stays_as_it_is():
    _, seen, site, age, _ = simulated()
    found = fit(seen, site, {'age': age}, reference='S1')[1]
    assert np.array_equal(found[site == 'S1'], seen[site == 'S1'])
    for name in ('S0', 'S2'):
        far = np.abs(found[site == name].mean(0) - found[site == 'S1'].mean(0))
        assert far.max() < np.abs(seen[site == name].mean(0) - seen[site == 'S1'].mean(0)).max()


def test_only_means_are_brought_together():
    _, seen, site, age, _ = simulated()
    model, found = fit(seen, site, {'age': age}, mean_only=True)
    assert (model.scale == 1).all()
    for name in ('S0', 'S1', 'S2'):
        assert np.allclose(found[site == name].std(0), seen[site == name].std(0), rtol=1e-9)


# ---- truth


def test_sites_come_together_and_age_stays():
    truth, seen, site, age, slope = simulated()
    found = fit(seen, site, {'age': age})[1]
    careless = fit(seen, site)[1]

    def apart(values):
        off = values - truth
        return np.ptp([off[site == name].mean(axis=0) for name in set(site)], axis=0)

    assert apart(found).max() < 0.45 < 1.5 < apart(seen).max()
    kept = slopes(found, age) / slope
    assert np.abs(kept - slopes(truth, age) / slope).max() < 0.25
    # Without age among the covariates its effect goes with the sites.
    assert (slopes(careless, age) / slope).mean() < 0.7 < 0.9 < kept.mean() < 1.1


def test_a_curve_is_kept_where_a_line_is_not():
    rng = np.random.default_rng(5)
    site = np.repeat(['A', 'B'], 400)
    age = np.concatenate([rng.uniform(40, 65, 400), rng.uniform(60, 90, 400)])
    truth = 0.004 * np.clip(age - 60, 0, None) ** 2 + rng.normal(0, 0.5, 800)
    seen = np.stack([truth + (site == 'B') * 1.5] * 3, axis=1)
    seen += rng.normal(0, 1e-3, seen.shape)
    gaps = []
    for splines in ((), ('age',)):
        off = fit(seen, site, {'age': age}, splines=splines)[1][:, 0] - truth
        gaps.append(abs(off[site == 'B'].mean() - off[site == 'A'].mean()))
    assert gaps[1] < 0.12 < 0.25 < gaps[0]


def test_variance_within_and_between_participants():
    rng = np.random.default_rng(6)
    people = np.repeat(np.arange(60), 4)
    y = rng.normal(0, 2, 60)[people] + rng.normal(0, 1, 240)
    _, sigma, ratio = random_intercept(y, np.ones((240, 1)), people)
    # In a balanced design restricted likelihood gives what the analysis of variance does.
    means = y.reshape(60, 4).mean(1)
    within = ((y - means[people]) ** 2).sum() / 180
    between = (4 * means.var(ddof=1) - within) / 4
    assert sigma**2 == pytest.approx(within, rel=1e-5)
    assert ratio == pytest.approx(between / within, rel=1e-4)
    y = rng.normal(size=240) - 0.5 * rng.normal(size=240)
    y -= y.reshape(60, 4).mean(1)[people]
    assert random_intercept(y, np.ones((240, 1)), people)[2] == 0


def test_visits_of_a_participant_on_two_scanners():
    rng = np.random.default_rng(7)
    people = np.repeat([f'p{k}' for k in range(120)], 2)
    # Half change the scanner between visits.
    first = rng.random(120) < 0.5
    site = np.where(np.stack([first, first ^ (np.arange(120) < 60)], 1).ravel(), 'A', 'B')
    time = np.tile([0.0, 1.0], 120)
    own = rng.normal(0, 3, (120, 4)).repeat(2, axis=0)
    truth = own + 0.5 * time[:, None] + rng.normal(0, 0.3, (240, 4))
    seen = truth + np.where(site == 'A', 1.0, 0.0)[:, None]
    model, found = fit(seen, site, {'time': time}, people=people)
    assert (model.ratio > 30).all()
    change = lambda values: values[1::2] - values[::2]  # noqa: E731
    moved = site[::2] != site[1::2]
    spread = [change(values)[moved].std() for values in (truth, found, seen)]
    assert spread[1] < 1.1 * spread[0] < 0.6 * spread[2]
    assert change(found).mean() == pytest.approx(0.5, abs=0.08)
    # A participant of later days is predicted from its own visits.
    again = apply(model, seen[:8], site[:8], {'time': time[:8]}, people=people[:8])
    assert np.allclose(again, found[:8])
    # Taken for independent, visits tell the scanner's effect with the noise between participants.
    plain = fit(seen, site, {'time': time})[1]
    off = lambda v: abs((v - truth)[site == 'A'].mean(0) - (v - truth)[site == 'B'].mean(0))  # noqa: E731
    assert off(found).max() < 0.15 < off(plain).max()


def test_covariance_of_sites_comes_together():
    rng = np.random.default_rng(8)
    site = np.repeat(['A', 'B'], 400)
    mix = {
        s: np.linalg.cholesky(0.8 * np.ones((5, 5)) * k + (1 - 0.8 * k) * np.eye(5))
        for s, k in (('A', 1.0), ('B', 0.1))
    }
    seen = np.concatenate([rng.normal(size=(400, 5)) @ mix[s].T for s in 'AB'])

    def apart(values):
        return np.abs(np.cov(values[site == 'A'].T) - np.cov(values[site == 'B'].T)).max()

    plain, whole = fit(seen, site)[1], fit(seen, site, covbat=0.95)[1]
    assert apart(whole) < 0.4 * apart(plain)
    model = Model.read(fit(seen, site, covbat=0.95)[0].text())
    assert np.allclose(apply(model, seen[:5], site[:5]), whole[:5])
    with pytest.raises(InputError, match='fitted without missing values'):
        apply(model, np.where(np.arange(5) == 2, np.nan, seen[:5]), site[:5])


def test_covbat_with_missing_values():
    rng = np.random.default_rng(9)
    site = np.repeat(['A', 'B'], 500)
    mix = np.linalg.cholesky(0.8 * np.ones((5, 5)) + 0.2 * np.eye(5))
    full = rng.normal(size=(1000, 5))
    full[site == 'A'] = full[site == 'A'] @ mix.T
    gaps = np.where(rng.random(full.shape) < 0.1, np.nan, full)
    gaps[0] = np.nan
    model, found = fit(gaps, site, covbat=0.9)
    assert np.array_equal(np.isnan(found), np.isnan(gaps))
    whole = fit(full, site, covbat=0.9)[1]
    assert np.nanstd(found - whole) < 0.15 < 0.25 < np.nanstd(fit(gaps, site)[1] - whole)
    again = apply(Model.read(model.text()), gaps[:9], site[:9])
    assert np.allclose(again, found[:9], equal_nan=True)


def test_no_lesion_stays_no_lesion():
    rng = np.random.default_rng(2)
    site = np.repeat(['A', 'B'], 100)
    seen = np.exp(rng.normal(np.where(site == 'A', 0.0, 1.0)[:, None], 1, (200, 3)))
    seen[::10, 1] = 0
    model, found = fit(seen, site, offset=np.zeros(3))
    assert (found[::10, 1] == 0).all()
    assert (np.delete(found[:, 1], slice(None, None, 10)) > 0).all()
    assert model.count[:, 1].tolist() == [90, 90]
    positive = found[:, 1] > 0
    logs = np.log(found[positive, 1])
    assert abs(logs[site[positive] == 'A'].mean() - logs[site[positive] == 'B'].mean()) < 0.15
    assert apply(Model.read(model.text()), np.zeros((1, 3)), ['A']).tolist() == [[0, 0, 0]]


# ---- keep, apply, take in


@pytest.mark.parametrize('how', [{}, {'reference': 'S0'}, {'eb': False}, {'splines': ('age',)}])
def test_a_model_that_was_kept_gives_the_same(how):
    _, seen, site, age, _ = simulated(count=40)
    seen[3, 2] = np.nan
    sex = np.where(np.arange(len(age)) % 3, 'F', 'M')
    offset = np.array([np.nan] * 7 + [50.0])
    model, found = fit(seen, site, {'age': age, 'sex': sex}, offset=offset, **how)
    some = slice(0, None, 7)
    kept = Model.read(model.text())
    again = apply(kept, seen[some], site[some], {'age': age[some], 'sex': sex[some]})
    assert np.array_equal(again, found[some], equal_nan=True)
    assert np.isnan(found[3, 2])
    assert np.isnan(found).sum() == 1


def test_a_new_site_by_its_controls():
    truth, seen, site, age, _ = simulated()
    old, new = site != 'S2', site == 'S2'
    model, _ = fit(seen[old], site[old], {'age': age[old]})
    more = add_site(model, 'S2', seen[new][:60], {'age': age[new][:60]})
    rest = slice(60, None)
    patients = seen[new][rest] + 0.8  # disease, which controls do not have
    found = apply(more, patients, site[new][rest], {'age': age[new][rest]})
    base = apply(more, seen[new][rest], site[new][rest], {'age': age[new][rest]})
    both = apply(model, seen[old], site[old], {'age': age[old]})
    gap = (base - truth[new][rest]).mean(0) - (both - truth[old]).mean(0)
    before = (seen[new][rest] - truth[new][rest]).mean(0)
    assert np.abs(gap).mean() < 0.2 < 0.4 < np.abs(before).mean()
    assert ((found - base).mean(0) > 0.4).all()
    assert np.array_equal(model.shift, more.shift[:2])


def test_missing_values_and_small_sites_are_left_as_they_are():
    _, seen, site, age, _ = simulated(count=30)
    seen[site == 'S1', 0] = np.nan
    seen[np.flatnonzero(site == 'S2')[4:], 1] = np.nan
    seen[:, 2] = np.where(site == 'S0', seen[:, 2], np.nan)
    model, found = fit(seen, site, {'age': age}, least=10)
    assert np.isnan(found[site == 'S1', 0]).all()
    assert np.isfinite(found[site == 'S2', 0]).all()
    assert np.isnan(found[site == 'S2', 1]).all()
    assert model.left_out == {'v2': 'fewer than two sites have values of 10 participants'}
    assert np.isnan(found[:, 2]).all()


# ---- counts and grades


@pytest.mark.parametrize('kind', ['negative binomial', 'ordinal'])
def test_counts_and_grades_of_sites(kind):
    rng = np.random.default_rng(1)
    truth = np.array([-0.8, -0.2, 0.1, 0.4, 0.5])
    site, x = np.repeat(np.arange(5), 400), rng.normal(size=(2000, 1))
    eta = 0.5 * x[:, 0] + truth[site]
    if kind == 'ordinal':
        y = np.digitize(eta + rng.logistic(size=2000), [-1.0, 0.5, 2])
    else:
        y = rng.poisson(rng.gamma(1.5, np.exp(eta) / 1.5))
    found = fit_mixed(y, site.astype(str), x, kind=kind)
    assert abs(found.effects[0] - 0.5) < 2.5 * found.errors[0] < 0.2
    off = found.site_effects - (truth - truth.mean())
    assert (np.abs(off - off.mean()) < 0.2).all()
    assert found.p_sites < 1e-6
    if kind != 'ordinal':
        assert found.shape == pytest.approx(1.5, rel=0.2)
    none = fit_mixed(rng.permutation(y), site.astype(str), x, kind=kind)
    assert none.p_sites > 0.01
    assert none.spread < 0.12


def test_with_fixed_sites_grades_are_those_of_statsmodels():
    # Wide apart, sites at random are sites at fixed effects; statsmodels 0.15 OrderedModel,
    # distr='logit', gives the same slope for the same data.
    ordered = pytest.importorskip('statsmodels.miscmodels.ordinal_model')
    rng = np.random.default_rng(2)
    site, x = np.repeat([0, 1], 300), rng.normal(size=(600, 1))
    y = np.digitize(x[:, 0] + 3.0 * site + rng.logistic(size=600), [0.0, 2])
    found = fit_mixed(y, site.astype(str), x, kind='ordinal')
    design = np.column_stack([x, site])
    theirs = ordered.OrderedModel(y, design, distr='logit').fit(method='bfgs', disp=0).params
    assert found.effects[0] == pytest.approx(theirs[0], abs=0.01)
    assert np.diff(found.site_effects)[0] == pytest.approx(theirs[1], abs=0.1)


@pytest.mark.parametrize(
    ('values', 'kind', 'why'),
    [
        ([1, 1, 1, 1], 'ordinal', 'all values are the same'),
        ([0, 1.5, 2, 0], 'negative binomial', 'no counts'),
        ([0, -1, 2, 0], 'negative binomial', 'no counts'),
        (list(range(40)), 'ordinal', 'grades have up to 12'),
    ],
)
def test_what_is_no_count_and_no_grade(values, kind, why):
    with pytest.raises(MeasureError, match=why):
        fit_mixed(values, ['A', 'B'] * (len(values) // 2), np.zeros((len(values), 0)), kind=kind)


# ---- what is refused


def test_what_cannot_be_fitted_is_said():
    rng = np.random.default_rng(0)
    data, site = rng.normal(size=(40, 4)), ['A'] * 20 + ['B'] * 20
    age = rng.uniform(50, 80, 40)
    for words, more in (
        ('one site only', {'sites': ['A'] * 40}),
        ('C has one participant only', {'sites': [*site[:-1], 'C']}),
        ('B has one participant only', {'people': [*map(str, range(20)), *['p'] * 20]}),
        (
            'age is missing for 1 of 40',
            {'covariates': {'age': np.where(age == age[0], np.nan, age)}},
        ),
        ('age is the same for all', {'covariates': {'age': np.full(40, 70.0)}}),
        ('sex is the same for all', {'covariates': {'sex': ['F'] * 40}}),
        ('cannot be told apart', {'covariates': {'sex': ['F'] * 20 + ['M'] * 20}}),
        ('cannot be told apart', {'covariates': {'age': age, 'months': 12 * age + 3}}),
        ('reference C is none', {'reference': 'C'}),
        (
            'too few different values for a curve',
            {'covariates': {'age': np.arange(40) % 2 * 1.0}, 'splines': ('age',)},
        ),
        ('No measure can be harmonised: all values', {'values': np.ones((40, 4))}),
        ('No measure can be harmonised: fewer', {'least': 30}),
    ):
        given = {'values': data, 'sites': site, 'covariates': None} | more
        with pytest.raises(InputError, match=words):
            fit(given.pop('values'), given.pop('sites'), given.pop('covariates'), **given)
    data[:20, 1] = 3
    assert fit(data, site)[0].left_out == {'v1': 'all values at A are the same'}


def test_what_cannot_be_applied_is_said():
    rng = np.random.default_rng(0)
    data, site = rng.normal(size=(40, 4)), ['A'] * 20 + ['B'] * 20
    sex = ['F', 'M'] * 20
    model, _ = fit(data, site, {'sex': sex})
    with pytest.raises(InputError, match='does not know the site C') as caught:
        apply(model, data[:1], ['C'], {'sex': ['F']})
    assert '20 controls' in caught.value.remedy
    with pytest.raises(InputError, match='"X" is no sex that the model knows'):
        apply(model, data[:1], ['A'], {'sex': ['X']})
    with pytest.raises(InputError, match='needs sex'):
        apply(model, data[:1], ['A'])
    with pytest.raises(InputError, match='has 4 measures'):
        apply(model, data[:1, :3], ['A'], {'sex': ['F']})
    with pytest.raises(InputError, match='C has 19 controls; 20 are needed'):
        add_site(model, 'C', data[:19], {'sex': sex[:19]})
    with pytest.raises(InputError, match='knows the site A already'):
        add_site(model, 'A', data, {'sex': sex})
    with pytest.raises(InputError, match='CovBat cannot take in'):
        add_site(fit(data, site, covbat=0.9)[0], 'C', data)
    for text in ('', '[]', '{"format": 2}', model.text().replace('"alpha"', '"alfa"')):
        with pytest.raises(InputError, match='no model of harmonisation'):
            Model.read(text)


@pytest.mark.parametrize(('apart', 'least', 'most'), [(0, 0.85, 1), (2, 0.2, 0.45), (9, 0, 0.01)])
def test_overlap_of_two_distributions(apart, least, most):
    rng = np.random.default_rng(0)
    for count in (400, 3000):
        ages = 70 + 5 * np.concatenate([rng.normal(0, 1, count), rng.normal(apart, 1, count)])
        # Two normal distributions d apart overlap by 2 Phi(-d / 2): 0.317 for d = 2.
        assert least <= overlap(ages, np.arange(2 * count) < count) <= most
    assert np.isnan(overlap([1.0, 2.0], np.array([True, False])))


def test_what_combat_is_made_for():
    rng = np.random.default_rng(0)
    assert 'count or a grade' in unsuited(rng.poisson(2, 50).astype(float), '1')
    assert unsuited(np.round(rng.normal(900, 90, 50)), 'mL') == ''
    assert '60 % of the values are 0' in unsuited(np.repeat([0.0, 0.5, 0.7], [60, 20, 20]), 'mL')
    assert unsuited(np.full(9, np.nan), 'mL') == 'no visit has a value'
    skewed = np.exp(rng.normal(0, 1, 200))
    assert log_offset(skewed) == 0
    assert log_offset(np.append(skewed, [0, 0])) == 0
    assert np.isnan(log_offset(skewed - 1))
    assert np.isnan(log_offset(rng.normal(9, 1, 200)))


def test_splines_are_straight_beyond_their_knots():
    term = Term.of('age', np.linspace(50, 80, 99), spline=True)
    far = term.columns(np.array([90.0, 100, 110]))
    assert np.allclose(np.diff(far, 2, axis=0), 0)
    assert np.abs(np.diff(term.columns(np.array([55.0, 65, 75])), 2, axis=0)).max() > 1e-3


def test_effects_of_a_site():
    rng = np.random.default_rng(1)
    here = np.arange(2000) < 1000
    values = np.where(here, 2 * rng.normal(size=2000) + 1, rng.normal(size=2000))
    found = site_effects(values, np.zeros(2000), here)
    assert found['d'] == pytest.approx(1 / np.sqrt(2.5), abs=0.07)
    assert found['variance_ratio'] == pytest.approx(4, rel=0.15)
    assert 0.2 < found['ks'] < 0.5
    assert np.isnan(site_effects(values, 0 * values, np.arange(2000) < 1)['d'])


# ---- the room


@pytest.fixture(scope='module')
def study(tmp_path_factory):
    """Two sites of 24 participants, a third of three; six came twice."""
    root = tmp_path_factory.mktemp('sites')
    raw, out = root / 'raw', root / 'out'
    raw.mkdir()
    rng = np.random.default_rng(0)
    lines = ['participant_id\tage\tsex\tsite']
    for number in range(51):
        label, at = f'{number:02d}', number % 2 if number < 48 else 2
        age = rng.uniform(55, 80)
        lines.append(f'sub-{label}\t{age:.1f}\t{"MF"[rng.integers(2)]}\t{"ABC"[at]}')
        for session in ('1', '2') if number < 6 else ('1',):
            value = {
                'wmh_total_ml': float(np.exp(rng.normal(2 + at, 1))),
                'bpf': 0.8 - 0.002 * (age - 65) + rng.normal(0, 0.02) + 0.06 * at,
                'lv_ml': 30 + rng.normal(0, 5) + 6 * at,
                'md_nawm': 0.8 + rng.normal(0, 0.02) - 0.03 * at,
                'rssi_n': int(rng.poisson(0.3)),
                'fazekas_pv': int(rng.integers(4)),
                'recent_infarct_ml': 0.0 if number % 3 else 0.4,
                'qc_cnr': rng.normal(4, 1),
            }
            leave_visit(out, Visit(label, session), value=value)
    (raw / 'participants.tsv').write_text('\n'.join(lines) + '\n')
    return raw, out, [str(raw), str(out), 'group', '-w', str(root / 'work'), '--nprocs', '1']


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    """Leave out the distributions of the page, which take most of the time."""
    monkeypatch.setattr('csvdprep.group.page.draw', lambda *given: '<svg></svg>')


def rows(path):
    return read_tsv(path).rows


def test_the_group_level_harmonises(study):
    raw, out, asked = study
    assert run(asked) == 0
    before, after = rows(out / 'group_measures.tsv'), rows(out / 'group_harmonised.tsv')
    assert [(r['participant_id'], r['session_id']) for r in before] == [
        (r['participant_id'], r['session_id']) for r in after
    ]
    assert [*after[0]] == [
        *('participant_id', 'session_id', 'site'),
        *('lv_ml', 'bpf', 'md_nawm', 'wmh_total_ml'),
    ]
    # The third site is too small; the report says so.
    assert {r['bpf'] for r in after[-3:]} == {'n/a'}

    def gap(table):
        found = {s: [] for s in 'ABC'}
        for row, site in zip(table, after, strict=True):
            if site['site'] != 'n/a':
                found[site['site']].append(float(row['bpf']))
        assert not found['C']
        return np.mean(found['B']) - np.mean(found['A'])

    assert abs(gap(after)) < 0.02 < 0.04 < gap(before)
    told = {(r['measure'], r['site']): r for r in rows(out / 'group_harmonisation.tsv')}
    assert told['wmh_total_ml', 'A']['transform'] == 'log(x)'
    assert told['bpf', 'A']['transform'] == 'none'
    assert (
        float(told['bpf', 'B']['d_before']) > 1.5 > 0.3 > abs(float(told['bpf', 'B']['d_after']))
    )
    assert 'count or a grade' in told['rssi_n', 'n/a']['reason']
    assert 'a grade' in told['fazekas_pv', 'n/a']['reason']
    assert 'of the values are 0' in told['recent_infarct_ml', 'n/a']['reason']
    assert 'quality' in told['qc_cnr', 'n/a']['reason']
    assert told['icv_ml', 'n/a']['reason'] == 'no visit has a value'
    counted = rows(out / 'group_counts.tsv')
    assert {(r['measure'], r['model']) for r in counted if r['ratio'] != 'n/a'} == {
        ('rssi_n', 'negative binomial'),
        ('fazekas_pv', 'ordinal'),
    }
    assert [r['term'] for r in counted if r['measure'] == 'rssi_n'] == [
        *('site A', 'site B', 'age, by 10 years', 'sex M, not F')
    ]
    counted = [r for r in counted if r['ratio'] != 'n/a']
    assert {r['n'] for r in counted} == {'48'}
    assert all(float(r['ratio_low']) <= float(r['ratio']) for r in counted)
    values = {r['measure']: r for r in rows(out / 'group_values.tsv')}
    assert values['harmonised_n']['value'] == '4'
    assert values['harmonised_sites_n']['value'] == '2'
    assert values['harmonised_visits_n']['value'] == '54'
    assert values['harmonised_visits_n']['qc'] == 'warn'
    assert 'C has 3 participants; 20 are needed' in values['harmonised_visits_n']['reason']
    page = (out / 'group.html').read_text()
    assert 'random intercept of participants: yes (6 of 48 participants have several' in page
    assert 'src="data:image/svg' in page
    facts = json.loads((out / 'group_harmonisation.json').read_text())
    assert facts['d_after']['Description']
    assert facts['Parameters']['covariates'] == 'age,sex'
    # The model, applied to the visits it was fitted on, gives the table.
    model = Model.read((out / 'group_harmonisation_model.json').read_text())
    people = {r['participant_id']: r for r in rows(raw / 'participants.tsv')}
    used = [i for i, row in enumerate(after) if row['site'] != 'n/a']
    data = np.array([[float(before[i][name]) for name in model.features] for i in used])
    found = apply(
        model,
        data,
        [after[i]['site'] for i in used],
        {
            'age': [float(people[after[i]['participant_id']]['age']) for i in used],
            'sex': [people[after[i]['participant_id']]['sex'] for i in used],
        },
        people=[after[i]['participant_id'] for i in used],
    )
    table = np.array([[float(after[i][name]) for name in model.features] for i in used])
    assert np.allclose(found, table, rtol=1e-6)


@pytest.mark.parametrize(
    ('options', 'why'),
    [
        (['method=none'], 'harmonisation.method is none'),
        (['least_n=30'], 'Fewer than two sites have 30 participants whose age and sex are known'),
        (['covariates=age,height'], 'There is no covariate height.'),
        (['covariates=age,icv_ml'], 'No visit has icv_ml.'),
        (['covariates=wmh_total_ml,qc_cnr,bpf,lv_ml,md_nawm'], 'No measure can be harmonised:'),
        (['reference=C'], 'The reference C is none of the sites that can be harmonised: A, B.'),
        (['by=scanner'], 'fewer than two scanners are known'),
    ],
)
def test_what_is_skipped_and_why(study, capsys, options, why):
    _, _, asked = study
    more = [f'harmonisation.{item}' for item in options]
    assert run([*asked, '--dry-run', '--set', *more]) == 0
    said = capsys.readouterr().out
    assert f'harmonisation  will not run: {why}' in said


def test_one_site_or_no_age_is_no_error(study, capsys):
    raw, out, asked = study
    table = raw / 'participants.tsv'
    kept = table.read_text()
    try:
        table.write_text(kept.replace('\tB\n', '\tA\n').replace('\tC\n', '\tA\n'))
        assert run(asked) == 0
        assert 'harmonisation is not run: fewer than two' in capsys.readouterr().err
        # What an earlier run left is of other sites.
        assert not list(out.glob('group_harmonis*'))
        assert not list(out.glob('figures/*harmonisation*'))
        table.write_text(kept.replace('age', 'shoe'))
        assert run([*asked, '--dry-run']) == 0
        said = capsys.readouterr().out
        assert 'No visit has age.' in said
        assert 'Add a column age to participants.tsv, or leave it out.' in said
        assert run([*asked, '--dry-run', '--set', 'harmonisation.covariates=sex']) == 0
        assert 'harmonisation  will run' in capsys.readouterr().out
    finally:
        table.write_text(kept)


def test_options_reach_the_fit(study):
    _, out, asked = study
    more = ['reference=A', 'mean_only=true', 'age_curve=true', 'longitudinal=no', 'log=false']
    assert run([*asked, '--set', *(f'harmonisation.{item}' for item in more)]) == 0
    model = Model.read((out / 'group_harmonisation_model.json').read_text())
    assert (model.reference, model.mean_only) == ('A', True)
    assert len(next(term for term in model.terms if term.name == 'age').knots) == 4
    assert not model.ratio.any()
    assert np.isnan(model.offset).all()
    before, after = rows(out / 'group_measures.tsv'), rows(out / 'group_harmonised.tsv')
    assert float(after[0]['bpf']) == pytest.approx(float(before[0]['bpf']))


def offered(tmp_path, **more):
    """Offer tables of two sites of five participants to the room."""
    facts = {
        'site': list('AAAAABBBBB'),
        'scanner': ['n/a'] * 10,
        'age': [50.0, 51, 52, 53, 54, 70, 71, 72, 73, 74],
        'sex': ['F', 'M', 'F', 'M', 'F', 'female', 'Male', 'w', 'm', 'F'],
    } | more
    lines = [
        {'participant_id': f'sub-{k}', 'session_id': 'n/a', **{n: v[k] for n, v in facts.items()}}
        for k in range(10)
    ]
    text = ''.join(f'sub-{k}\tn/a\t{0.7 + k / 70:.3f}\t{k % 3}\n' for k in range(10))
    path = tmp_path / 'group_measures.tsv'
    path.write_text('participant_id\tsession_id\tbpf\trssi_n\n' + text)
    described = {n: {'result': True, 'levels': {}, 'units': '1'} for n in ('bpf', 'rssi_n')}
    return {
        'group_measures': Scan(name='', path=str(path), uri=''),
        'group_covariates': Scan(name='', path='', uri='', content={'rows': lines}),
        'group_dictionary': Scan(name='', path='', uri='', content={'measures': described}),
    }


def test_what_is_told_of_the_plan(tmp_path):
    options = Options(least_n=5)
    chosen, decisions = resolve(offered(tmp_path), replace(options, overlap=0))
    assert (chosen.method, chosen.by, chosen.longitudinal) == ('combat', 'site', 'no')
    # No age of anybody is told.
    with pytest.raises(NoPlace, match=r'age at A overlaps .* by 0\.00; 0\.5 is needed') as caught:
        resolve(offered(tmp_path), options)
    assert not re.search(r'\b(5[0-4]|7[0-4])\b', str(caught.value) + str(decisions))
    options = replace(options, overlap=0)
    names = offered(tmp_path, site=['Site A'] * 5 + ['site-a'] * 5)
    assert 'Site A and site-a may be one site' in str(resolve(names, options)[1])
    unknown = [50.0, None, 52, 53, 54, 70, 71, 72, 73, 74]
    with pytest.raises(NoPlace, match=r'age of 1 visits is not known. A has 4 participants; 5'):
        resolve(offered(tmp_path, age=unknown), options)
    # Words for one sex are one; sites of one sex each cannot be told from it.
    with pytest.raises(NoPlace, match='cannot be told apart'):
        resolve(offered(tmp_path, sex=['M', 'male'] * 2 + ['m'] + ['F'] * 5), options)
    with pytest.raises(NoPlace, match='sex is the same for all'):
        resolve(offered(tmp_path, sex=['M', 'male'] * 5), options)
    scanners = offered(tmp_path, site=['A'] * 10, scanner=list('XYXYXYXYXY'))
    assert resolve(scanners, replace(options, covariates='age'))[0].by == 'scanner'
    several = offered(tmp_path)
    for k, row in enumerate(several['group_covariates'].content['rows']):
        row['participant_id'] = f'sub-{k % 5}{row["site"]}' if k % 5 else 'sub-0'
    assert resolve(several, replace(options, least_n=4))[0].longitudinal == 'no'
