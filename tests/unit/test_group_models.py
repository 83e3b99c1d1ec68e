"""Norms, burden and audit: true on simulated visits, plain where there are no controls."""

import json

import numpy as np
import pytest
from scipy import stats

from csvdprep.bids.tsv import read_tsv
from csvdprep.cli.run import run
from csvdprep.core.errors import InputError, MeasureError, UsageError
from csvdprep.core.plan import Scan, Visit
from csvdprep.core.room import NoPlace
from csvdprep.dataset.burden.decide import read_weights
from csvdprep.dataset.burden.science import (
    deviates,
    distances,
    fit_reference,
    index,
    interval,
    raw_term,
)
from csvdprep.dataset.burden.unseen import without_each_site as burden_without_each_site
from csvdprep.dataset.norms import Options
from csvdprep.dataset.norms.decide import resolve
from csvdprep.dataset.norms.science import curve, fit_norm, norms_text, read_norms, scores
from csvdprep.dataset.norms.unseen import without_each_site as norms_without_each_site
from csvdprep.dataset.outcomes import Options as OutcomeOptions
from csvdprep.dataset.outcomes.decide import read_outcome
from csvdprep.dataset.outcomes.decide import resolve as resolve_outcomes
from csvdprep.dataset.outcomes.science.fusion import Fused, fit_fused, leave_site_out
from csvdprep.dataset.outcomes.science.net import Outcome, fit_net
from csvdprep.dataset.outcomes.science.performance import calibration, concordance, conformal_sets
from csvdprep.dataset.site_audit.science import differ, travelling
from csvdprep.interfaces.group_tables import controls_of
from csvdprep.science.proportions import shares
from tests.builders import leave_visit

# ---- norms


def volumes(rng, ages, male):
    """Volumes whose location is a curve of age, and whose scale grows with it; and true z."""
    z = rng.normal(size=len(ages))
    middle = 1.2 + 0.05 * (ages - 65) + 0.001 * np.clip(ages - 65, 0, None) ** 2 + 0.3 * male
    return np.exp(middle + 0.6 * np.exp(0.01 * (ages - 65)) * z), z


def test_norms_find_location_scale_and_shape():
    rng = np.random.default_rng(0)
    ages, male = rng.uniform(45, 85, 600), rng.random(600) < 0.5
    norm = fit_norm('wmh', volumes(rng, ages, male)[0], ages, male)
    assert norm.power == 0
    assert norm.location[-1] == pytest.approx(0.3, abs=0.12)
    assert norm.scale[1] / norm.age.spread == pytest.approx(0.01, abs=0.006)
    assert norm.within_90 == pytest.approx(0.9, abs=0.025)
    ages, male = rng.uniform(50, 80, 3000), rng.random(3000) < 0.5
    values, truth = volumes(rng, ages, male)
    z, percent, error = scores(norm, values, ages, male)
    assert np.abs(percent - 100 * stats.norm.cdf(truth)).mean() < 5
    assert np.median(error) < 0.15
    covered = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        some, men = rng.uniform(45, 85, 200), rng.random(200) < 0.5
        one = fit_norm('wmh', volumes(rng, some, men)[0], some, men)
        found, _, off = scores(one, values, ages, male)
        covered.append((np.abs(found - truth) < 1.96 * off).mean())
    assert 0.88 < np.mean(covered) < 0.99
    below = values < curve(norm, 25, ages, True)
    assert below[male].mean() == pytest.approx(0.25, abs=0.05)
    again = read_norms(norms_text({'wmh': norm}, {'controls': 600}))[0]['wmh']
    assert np.array_equal(scores(again, values, ages, male)[0], z)


@pytest.mark.parametrize(('power', 'most'), [(1.0, 1), (0.5, 0.5), (0.0, 0), (-1.0, -0.5)])
def test_norms_choose_the_power(power, most):
    rng = np.random.default_rng(1)
    ages, male = rng.uniform(50, 80, 900), rng.random(900) < 0.5
    normal = 3 + 0.02 * (ages - 65) + 0.5 * rng.normal(size=900)
    values = np.exp(normal) if power == 0 else np.maximum(normal, 0.5) ** (1 / power)
    assert fit_norm('x', values, ages, male).power <= most + 0.51
    assert fit_norm('x', values, ages, male).power >= most - 0.51


def test_zeros_stand_apart_in_norms():
    rng = np.random.default_rng(2)
    ages, male = rng.uniform(50, 80, 500), rng.random(500) < 0.5
    values = np.where(rng.random(500) < 0.3, 0, np.exp(rng.normal(size=500)))
    norm = fit_norm('x', values, ages, male)
    assert norm.zeros == (values == 0).mean()
    _, percent, _ = scores(norm, np.array([0.0, 1e-6, 1.0]), np.full(3, 65.0), np.zeros(3, bool))
    assert percent[0] == pytest.approx(50 * norm.zeros)
    assert percent[1] == pytest.approx(100 * norm.zeros, abs=0.1)
    assert curve(norm, 20, np.array([65.0]), True) == 0
    with pytest.raises(MeasureError, match='do not vary'):
        fit_norm('x', np.ones(50), ages[:50], male[:50])


def test_norms_are_not_read_beyond_the_controls():
    rng = np.random.default_rng(3)
    ages, male = rng.uniform(50, 80, 200), rng.random(200) < 0.5
    norm = fit_norm('x', rng.normal(size=200), ages, male)
    z = scores(norm, np.zeros(4), np.array([40.0, 65, 90, np.nan]), np.zeros(4, bool))[0]
    assert np.isfinite(z).tolist() == [False, True, False, False]
    with pytest.raises(InputError, match='no norms'):
        read_norms('{"norms": 2}')


@pytest.mark.parametrize(
    ('group', 'why'),
    [
        ('patient', 'no norms are invented'),
        ('n/a', 'no norms are invented'),
        ('HC', '20 controls of known age and sex; 40 are needed'),
    ],
)
def test_without_controls_there_are_no_norms(group, why):
    rows = [
        {'participant_id': f'sub-{k}', 'age': 70.0, 'sex': 'F', 'group': group} for k in range(20)
    ]
    scans = {'group_covariates': Scan(name='', path='', uri='', content={'rows': rows})}
    with pytest.raises(NoPlace, match=why):
        resolve(scans, Options())
    assert controls_of([*rows, *rows], 'hc').sum() == (20 if group == 'HC' else 0)


# ---- burden


def terms(rng, count, shift=0.0):
    common = rng.normal(size=count)
    draw = lambda: 0.6 * common + 0.8 * rng.normal(size=count) + shift  # noqa: E731
    return {
        'wmh': draw(),
        'lacunes': np.log1p(rng.poisson(np.exp(draw() - 1))),
        'volume': draw(),
        'spaces': np.clip(np.round(draw() + 1), 0, 4),
    }


def reference_of(seed=0, count=400):
    rng = np.random.default_rng(seed)
    raw = terms(rng, count)
    ages, male = rng.uniform(50, 80, count), rng.random(count) < 0.5
    raw = {name: values + 0.03 * (ages - 65) for name, values in raw.items()}
    return fit_reference(raw, ages, male, np.ones(count, bool)), raw, ages, male


def test_the_index_is_standard_in_controls_and_its_parts_add_up():
    reference, raw, ages, male = reference_of()
    z = deviates(reference, raw, ages, male)
    total, parts, shared = index(reference, z)
    assert total.mean() == pytest.approx(0, abs=1e-9)
    assert total.std() == pytest.approx(1, abs=0.02)
    assert abs(np.corrcoef(total, ages)[0, 1]) < 1e-9
    for found in (parts, shared):
        assert np.abs(found.sum(axis=1) - total).max() < 1e-10
    # A term that is missing leaves a scale of the others.
    gaps = np.where(np.arange(4) == 1, np.nan, z)
    less, parts, _ = index(reference, gaps)
    assert less.std() == pytest.approx(1, abs=0.02)
    assert (parts[:, 1] == 0).all()
    assert np.isnan(index(reference, np.full((1, 4), np.nan))[0]).all()


def test_the_interval_holds_the_true_index():
    reference, raw, ages, male = reference_of()
    truth = deviates(reference, raw, ages, male)
    true_index = index(reference, truth)[0]
    rng = np.random.default_rng(4)
    errors = np.array([0.3, 0.2, 0.1, 0.4])
    z = truth + errors * rng.normal(size=truth.shape)
    draws = [(z[:, k] - 1.96 * errors[k], z[:, k] + 1.96 * errors[k]) for k in range(4)]
    low, high = interval(reference, draws, z)
    inside = ((low <= true_index) & (true_index <= high)).mean()
    assert 0.92 < inside < 0.98
    none = [(np.full(400, np.nan), np.full(400, np.nan))] * 4
    assert np.isnan(interval(reference, none, z)[0]).all()


def test_what_is_unlike_all_others_is_far():
    z = deviates(*reference_of())
    z[0] = [6, -6, 6, -6]
    p = distances(z)
    assert p[0] < 1e-6
    assert (p < 0.01).mean() < 0.03
    # Much of everything is no error.
    z[1] = [4, 4, 4, 4]
    assert distances(z)[1] > 0.01
    assert (distances(z[:9]) == 1).all()


@pytest.mark.parametrize(
    ('values', 'how', 'sign', 'expected'),
    [
        ([0, 1, np.nan], 'log', 1, [np.log(0.01), np.log(1.01), np.nan]),
        ([0, 3], 'count', 1, [0, np.log(4)]),
        ([0.8], 'plain', -1, [-0.8]),
        ([0, 2.0], 'log0', 1, [np.nan, np.log(2)]),
    ],
)
def test_terms_are_scaled(values, how, sign, expected):
    assert np.allclose(raw_term(np.array(values, float), how, sign), expected, equal_nan=True)


def test_terms_that_controls_do_not_have():
    _, raw, ages, male = reference_of()
    raw['lacunes'] = np.zeros(400)
    raw['spaces'][10:] = np.nan
    reference = fit_reference(raw, ages, male, np.ones(400, bool))
    assert reference.terms == ('wmh', 'volume')
    assert 'same value' in reference.left['lacunes']
    assert '10 controls have it' in reference.left['spaces']
    with pytest.raises(MeasureError, match='Fewer than two terms'):
        fit_reference({'wmh': raw['wmh']}, ages, male, np.ones(400, bool))
    for text in ('glow=1', 'wmh=x', 'wmh=-1', 'wmh'):
        with pytest.raises(UsageError, match='is no weight of a term'):
            read_weights(text)


# ---- audit


def test_shared_persons_tell_sites_apart():
    rng = np.random.default_rng(5)
    truth, errors = np.array([-1.0, 0.2, 0.8]), 0.3
    persons = np.repeat([f'p{k}' for k in range(12)], 3)
    sites = np.tile(list('ABC'), 12)
    own = np.repeat(rng.normal(20, 2, 12), 3)
    values = own + np.tile(truth, 12) + errors * rng.normal(size=36)
    agreement, effects = travelling(values, persons, sites)
    assert (agreement['persons'], agreement['complete'], agreement['of_sites']) == (12, 12, 3)
    between, site, error = 4.0, truth.var(ddof=1), errors**2
    assert agreement['icc'] == pytest.approx(between / (between + site + error), abs=0.15)
    for effect, expected in zip(effects, truth, strict=True):
        assert abs(effect['effect'] - expected) < 3 * effect['error']
        # Of 36 values, 12 persons and two differences of sites are known: 22 are left.
        half = stats.t.ppf(0.975, 22) * effect['error']
        assert effect['high'] - effect['effect'] == pytest.approx(half)
        assert effect['error'] == pytest.approx(errors * np.sqrt(2 / 36), rel=0.4)
    assert sum(effect['effect'] for effect in effects) == pytest.approx(0, abs=1e-9)
    # Who was not everywhere still tells of the sites where he was.
    some = rng.random(36) < 0.75
    found = travelling(values[some], persons[some], sites[some])[1]
    assert np.allclose([e['effect'] for e in found], truth, atol=0.5)
    with pytest.raises(MeasureError, match='share 3 persons'):
        travelling(values[:6], persons[:6], sites[:6])
    with pytest.raises(MeasureError, match='share 3 persons'):
        travelling(values, np.arange(36).astype(str), sites)


@pytest.mark.parametrize(
    ('counts', 'totals', 'low', 'high'),
    [([0, 12], [50, 50], 0, 0.01), ([5, 6], [50, 50], 0.5, 1), ([1, 0, 1], [9, 9, 9], 0.5, 1)],
)
def test_shares_that_differ(counts, totals, low, high):
    assert low <= differ(counts, totals) <= high
    assert differ([0, 0], totals[:2]) is None
    percent, least, most = shares(counts[-1], totals[-1])
    assert least <= percent <= most


# ---- outcomes


def outcome_study(seed=0, count=600, sites=4, kind='logistic'):
    """Return outcome, predictors and sites: two blocks with known effects, one with gaps."""
    rng = np.random.default_rng(seed)
    site = rng.integers(0, sites, count).astype(str)
    age, wmh = rng.normal(size=count), rng.normal(size=count)
    psmd = 0.5 * wmh + rng.normal(size=count)
    eta = 0.4 * age + 0.8 * wmh + 0.6 * psmd
    table = {'age': age, 'wmh': wmh, 'psmd': np.where(rng.random(count) < 0.4, np.nan, psmd)}
    noise = rng.logistic(size=count)
    if kind == 'cox':
        event, end = rng.exponential(np.exp(-eta)), rng.exponential(2, count)
        outcome = Outcome('cox', (event < end).astype(int), np.minimum(event, end))
    elif kind == 'ordinal':
        grades = np.digitize(eta + noise, [-1.5, 0, 2])
        outcome = Outcome('ordinal', grades, np.zeros(0), tuple('0123'))
    else:
        outcome = Outcome('logistic', (eta + noise > 0.5).astype(int), np.zeros(0))
    return outcome, table, site, eta


BLOCKS = {'demographics': (), 'structure': ('wmh',), 'diffusion': ('psmd',)}


@pytest.mark.parametrize(('kind', 'least'), [('logistic', 0.72), ('ordinal', 0.68), ('cox', 0.68)])
def test_predictions_of_sites_that_the_model_did_not_have(kind, least):
    outcome, table, site, truth = outcome_study(kind=kind)
    eta, chances, folds, used, parts = leave_site_out(outcome, table, BLOCKS, site, always=['age'])
    assert np.isfinite(eta).all()
    assert set(folds) == set('0123')
    c, low, high = concordance(outcome, eta)
    assert least < c < concordance(outcome, truth)[0] + 0.01
    assert low < c < high
    assert calibration(outcome, eta) == pytest.approx(1, abs=0.25)
    # A missing block is left out, and nothing else.
    gone = np.isnan(table['psmd'])
    assert all(('diffusion' in u) != g for u, g in zip(used, gone, strict=True))
    whole = np.nansum(np.stack(list(parts.values())), axis=0)
    assert np.abs(whole - eta).max() < 1e-9
    if kind != 'cox':
        assert np.abs(chances.sum(axis=1) - 1).max() < 1e-12
        sets = conformal_sets(outcome.grades, chances, folds)
        assert sets[np.arange(600), outcome.grades].mean() == pytest.approx(0.9, abs=0.03)


@pytest.mark.parametrize('kind', ['logistic', 'ordinal', 'cox'])
def test_coefficients_are_recovered(kind):
    outcome, table, _, _ = outcome_study(count=4000, kind=kind)
    full = np.isfinite(table['psmd'])
    x = np.stack([table[n][full] for n in ('age', 'wmh', 'psmd')], axis=1)
    point = fit_net(outcome.of(full), x, 0.0)[outcome.base :]
    assert np.allclose(point, [0.4, 0.8, 0.6], atol=0.13)
    assert (fit_net(outcome.of(full), x, 9.0)[outcome.base :] == 0).all()


def test_the_net_is_that_of_scikit_learn():
    linear = pytest.importorskip('sklearn.linear_model')
    outcome, table, _, _ = outcome_study(count=300)
    x = np.stack([table['age'], table['wmh'], np.nan_to_num(table['psmd'])], axis=1)
    theirs = linear.LogisticRegression(
        solver='saga', l1_ratio=0.5, C=1 / (0.03 * 300), tol=1e-8, max_iter=5000
    ).fit(x, outcome.grades)
    ours = fit_net(outcome, x, 0.03)
    assert np.allclose(ours[1:], theirs.coef_[0], atol=1e-5)
    assert ours[0] == pytest.approx(-theirs.intercept_[0], abs=1e-5)


def test_a_model_is_kept_as_plain_numbers():
    outcome, table, site, _ = outcome_study()
    model = fit_fused(outcome, table, BLOCKS, site, always=['age'])
    again = Fused.of(json.loads(json.dumps(model.facts())))
    for ours, theirs in zip(model.predict(table)[:2], again.predict(table)[:2], strict=True):
        assert np.array_equal(ours, theirs)
    with pytest.raises(MeasureError, match='no block has'):
        fit_fused(
            outcome.of(np.arange(20)), {n: v[:20] for n, v in table.items()}, BLOCKS, site[:20]
        )


def outcome_rows(values, **more):
    return [
        {'participant_id': f'sub-{k}', 'age': 70.0, 'sex': 'F', 'site': 'A', 'group': 'n/a'}
        | {'others': {'dementia': str(v), **{n: str(c[k]) for n, c in more.items()}}}
        for k, v in enumerate(values)
    ]


@pytest.mark.parametrize(
    ('values', 'options', 'why'),
    [
        ([0, 1] * 30, {'column': ''}, 'no outcome is named'),
        ([0, 1] * 30, {'column': 'stroke'}, 'no visit has the outcome stroke'),
        ([0] * 60, {}, 'has 1 values'),
        (['a', 'b', 'c'] * 20, {}, 'has 3 values'),
        ([0] * 50 + [1] * 10, {}, '10 participants are of the rarer kind'),
        (['yes', 'no'] * 30, {'event': 'perhaps'}, 'the event perhaps is none of no, yes'),
        ([0, 1] * 30, {'kind': 'cox'}, 'no visit has a time'),
    ],
)
def test_outcomes_that_are_not_modelled(values, options, why):
    scans = {
        'group_covariates': Scan(name='', path='', uri='', content={'rows': outcome_rows(values)})
    }
    with pytest.raises(NoPlace, match=why):
        resolve_outcomes(scans, OutcomeOptions(**({'column': 'dementia'} | options)))


@pytest.mark.parametrize(
    ('values', 'more', 'kind', 'event'),
    [
        (['no', 'yes'] * 30, {}, 'logistic', 'yes'),
        ([0, 1, 2] * 30, {}, 'ordinal', '2'),
        ([0, 1] * 30, {'years': [1.5, 2] * 30}, 'cox', '1'),
    ],
)
def test_kinds_of_outcomes(values, more, kind, event):
    options = OutcomeOptions(column='Dementia', time='years' if more else '')
    outcome, used, found = read_outcome(outcome_rows(values, **more), options)
    assert (outcome.kind, found, used.all()) == (kind, event, True)
    if kind != 'ordinal':
        assert outcome.grades[:2].tolist() == [0, 1]
    # A second visit of a participant does not count.
    assert read_outcome(outcome_rows(values, **more) * 2, options)[1].sum() == len(values)


# ---- the group level


@pytest.fixture(scope='module')
def group(tmp_path_factory):
    """Two sites of 32 controls and 8 patients each; three persons were at both."""
    root = tmp_path_factory.mktemp('models')
    raw, out = root / 'raw', root / 'out'
    raw.mkdir()
    rng = np.random.default_rng(0)
    lines = ['participant_id\tage\tsex\tsite\tdiagnosis\ttravelling_subject_id\tconverted']
    for number in range(83):
        site = number % 2 if number < 80 else 1
        same = (0, 2, 6)[number - 80] if number >= 80 else None
        patient = number % 5 == 4 and number < 80
        age = rng.uniform(55, 80) if same is None else None
        known = {0: 'T0', 2: 'T1', 6: 'T2', 80: 'T0', 81: 'T1', 82: 'T2'}
        person = known.get(number, 'n/a')
        if same is not None:
            old = lines[1 + same].split('\t')
            age = float(old[1])
        group = 'MCI' if patient else 'HC'
        sex = 'FM'[(number // 2) % 2] if same is None else old[2]
        lines.append(
            f'sub-{number:02d}\t{age:.1f}\t{sex}\t{"AB"[site]}\t{group}\t{person}\t{patient:d}'
        )
        value = {
            'wmh_total_ml': float(np.exp(rng.normal(1.5 + 1.5 * patient + 0.5 * site, 0.7))),
            'wmh_total_pct_icv': float(np.exp(rng.normal(-1 + 1.5 * patient, 0.7))),
            'bpf': 0.8 - 0.003 * (age - 65) + rng.normal(0, 0.02) - 0.02 * patient + 0.03 * site,
            'lv_ml': 30 + rng.normal(0, 5) + 4 * site,
            'psmd_1e4': 2.5 + rng.normal(0, 0.3) + 0.6 * patient,
            'lacune_n': int(rng.poisson(0.5 + 2 * patient)),
            'pvs_bg_grade': int(rng.integers(3)),
        }
        leave_visit(out, Visit(f'{number:02d}', None), value=value, verdict='ok')
        if number == 9:
            long = out / 'sub-09' / 'sub-09_desc-csvdlong_measures.tsv'
            text = long.read_text().split('\n')
            at = next(k for k, line in enumerate(text) if '\twmh_total_pct_icv\t' in line)
            cells = text[at].split('\t')
            head = text[0].split('\t')
            cells[head.index('low')], cells[head.index('high')] = '0.2', '9'
            text[at] = '\t'.join(cells)
            long.write_text('\n'.join(text))
    (raw / 'participants.tsv').write_text('\n'.join(lines) + '\n')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('csvdprep.group.page.draw', lambda *given: '<svg></svg>')
        more = ['harmonisation.eb=false', 'harmonisation.counts=false']
        more += ['outcomes.column=converted', 'outcomes.least_events=10']
        # Of each site, 32 controls: enough for the other.
        more += ['norms.least_n=25', 'burden.least_n=25']
        code = run([str(raw), str(out), 'group', '-w', str(root / 'work'), '--set', *more])
    assert code == 0
    return raw, out


def rows(path):
    return read_tsv(path).rows


def test_percentiles_of_all_visits(group, tmp_path):
    raw, out = group
    table = rows(out / 'group_percentiles.tsv')
    assert len(table) == 83
    assert {'wmh_total_ml', 'bpf', 'lv_ml'} < {*table[0]}
    assert not {'lacune_n', 'pvs_bg_grade'} & {*table[0]}
    people = {r['participant_id']: r for r in rows(raw / 'participants.tsv')}
    by = {True: [], False: []}
    for row in table:
        if row['wmh_total_ml'] != 'n/a':
            patient = people[row['participant_id']]['diagnosis'] == 'MCI'
            by[patient].append(float(row['wmh_total_ml']))
    assert np.mean(by[True]) > 80
    assert np.mean(by[False]) == pytest.approx(50, abs=5)
    card = json.loads((out / 'group_norms_model.json').read_text())
    assert card['provenance']['measures taken']['bpf'] == 'harmonised'
    # One visit of a person: those of the second site are no more controls.
    assert card['provenance']['controls'] == 64
    assert 'Curves of the controls' in (out / 'group.html').read_text()
    # The same norms, applied by command to the harmonised table.
    asked = ['norms', str(out / 'group_norms_model.json'), str(out / 'group_harmonised.tsv')]
    asked += ['--participants', str(raw / 'participants.tsv'), '-o', str(tmp_path / 'p.tsv')]
    assert run(asked) == 0
    again = {r['participant_id']: r for r in rows(tmp_path / 'p.tsv')}
    for row in table:
        if row['bpf'] != 'n/a':
            found = float(again[row['participant_id']]['bpf'])
            assert found == pytest.approx(float(row['bpf']), rel=0.01, abs=0.01)


def test_burden_of_all_visits(group):
    raw, out = group
    table = rows(out / 'group_burden.tsv')
    people = {r['participant_id']: r for r in rows(raw / 'participants.tsv')}
    by = {'MCI': [], 'HC': []}
    for row in table:
        if row['csvdq'] != 'n/a':
            by[people[row['participant_id']]['diagnosis']].append(float(row['csvdq']))
            parts = [float(row[c]) for c in row if c.startswith('part_') and row[c] != 'n/a']
            assert sum(parts) == pytest.approx(float(row['csvdq']), abs=0.01)
    assert np.mean(by['MCI']) > 1.2 > 0.3 > abs(np.mean(by['HC']))
    nine = next(r for r in table if r['participant_id'] == 'sub-09')
    assert float(nine['csvdq_low']) < float(nine['csvdq']) < float(nine['csvdq_high'])
    card = json.loads((out / 'group_burden_model.json').read_text())
    assert 'microbleeds' in card['terms left out']
    assert card['terms']['volume']['per_year'] > 0
    assert 'no diagnosis' in card['use']


def test_norms_and_index_at_sites_that_they_had_not(group):
    _, out = group
    table = rows(out / 'group_norms_unseen.tsv')
    found = {(r['measure'], r['values'], r['site']): r for r in table}
    # Brain fractions of B lie 1.5 SD higher; harmonised, they do not.
    seen, even = (found['bpf', kind, 'B'] for kind in ('as measured', 'harmonised'))
    assert float(seen['mean_low']) > 0.7 > 0.4 > abs(float(even['mean']))
    assert float(seen['within_90_pct']) < 75 < float(even['within_90_pct'])
    assert float(even['within_90_low']) < float(even['within_90_pct'])
    assert table[0]['site'] == 'all sites'
    assert table[0]['controls'] == '64'
    index_table = rows(out / 'group_burden_unseen.tsv')
    by = {(r['values'], r['site']): r for r in index_table}
    assert {s for _, s in by} == {'all sites', 'A', 'B'}
    assert abs(float(by['as measured', 'B']['mean'])) > abs(float(by['harmonised', 'B']['mean']))
    assert by['harmonised', 'A']['terms'] == 'wmh, lacunes, spaces, volume'
    assert 0 < float(by['harmonised', 'all sites']['moved']) < 0.5
    values = {r['measure']: r for r in rows(out / 'group_values.tsv')}
    assert 70 < float(values['norms_unseen_within_90_pct']['value']) <= 100
    assert 70 < float(values['csvdq_unseen_within_90_pct']['value']) <= 100
    page = (out / 'group.html').read_text()
    assert 'Calibration at sites that the norms had not' in page
    assert 'Calibration at sites that the index had not' in page


def test_sites_that_cannot_be_left_out():
    rng = np.random.default_rng(0)
    ages, male = rng.uniform(50, 80, 75), rng.random(75) < 0.5
    sites = np.repeat(['A', 'B', 'n/a'], (38, 32, 5))
    table, held = norms_without_each_site(
        {'as measured': {'bpf': rng.normal(size=75)}}, ages, male, np.ones(75, bool), sites, 40
    )
    # Of those whose site is not known nobody knows whether they are of the other.
    assert [(r['site'], r['reason']) for r in table] == [
        ('A', '32 controls of other sites; 40 are needed'),
        ('B', '38 controls of other sites; 40 are needed'),
    ]
    assert held is None
    assert all(r['mean'] is None and r['controls'] is None for r in table)
    sites[:4] = 'C'
    terms = {name: rng.normal(size=75) for name in ('wmh', 'volume')}
    people = (ages, male, np.ones(75, bool), sites)
    whole = (np.zeros(75), np.ones(75, bool))
    table, held = burden_without_each_site({'as measured': terms}, people, whole, 30)
    assert {r['site']: r['reason'] for r in table}['C'] == 'fewer than 10 controls'
    assert held is not None


def test_audit_of_sites(group):
    _, out = group
    audit = rows(out / 'group_audit.tsv')
    assert [(r['by'], r['group']) for r in audit if r['by'] in ('site', 'sex')] == [
        *(('site', 'A'), ('site', 'B'), ('sex', 'F'), ('sex', 'M'))
    ]
    assert {r['failed_pct'] for r in audit if r['by'] == 'site'} == {'0'}
    for row in audit:
        for name in ('failed', 'steps', 'check', 'missing'):
            low, middle, high = (float(row[f'{name}_{end}']) for end in ('low', 'pct', 'high'))
            assert low <= middle <= high
    shared = rows(out / 'group_travelling.tsv')
    assert {r['persons'] for r in shared} == {'3'}
    assert {r['values'] for r in shared} == {'as measured', 'harmonised'}
    values = {r['measure']: r for r in rows(out / 'group_values.tsv')}
    assert values['travelling_n']['value'] == '3'


def test_outcome_models_of_the_group(group, tmp_path):
    raw, out = group
    card = json.loads((out / 'group_outcomes_model.json').read_text())
    assert card['outcome'] == {
        'column': 'converted',
        'kind': 'logistic',
        'values': ['0', '1'],
        'participants': 80,
        'events': 16,
    }
    assert card['tested on'] == 'fifths of the participants'
    assert len(card['decision curve']) == 10
    shares = card['calibration']
    assert sum(part['n'] for part in shares) == 80
    assert shares[0]['observed'] < 0.2 < 0.5 < shares[-1]['observed']
    values = {r['measure']: r for r in rows(out / 'group_values.tsv')}
    assert float(values['outcome_c']['value']) > 0.75
    table = rows(out / 'group_predictions.tsv')
    assert len(table) == 80
    for row in table:
        parts = [float(v) for k, v in row.items() if k.startswith('part_') and v != 'n/a']
        assert sum(parts) == pytest.approx(float(row['linear']), abs=0.02)
    assert 'Outcome models' in (out / 'group.html').read_text()
    # Applied by command; without a measure the others are left.
    asked = [str(raw / 'participants.tsv'), '-o', str(tmp_path / 'p.tsv')]
    model = str(out / 'group_outcomes_model.json')
    asked = ['predict', model, str(out / 'group_measures.tsv'), '--participants', *asked]
    assert run(asked) == 0
    found = rows(tmp_path / 'p.tsv')
    assert len(found) == 83
    patients = [float(r['probability']) for r in found[4:80:5]]
    assert np.mean(patients) > 0.5
    with pytest.raises(InputError, match='no outcome model'):
        run([*asked[:1], str(out / 'group_norms_model.json'), *asked[2:]])
