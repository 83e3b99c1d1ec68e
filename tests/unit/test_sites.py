"""Commands on tables of several sites: fit, apply, take in; sums in place of values."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest

from csvdprep.bids.tsv import read_tsv
from csvdprep.cli.run import run
from csvdprep.core.errors import InputError, UsageError
from csvdprep.dataset.harmonisation.science import Model, apply, fit
from csvdprep.dataset.harmonisation.science.federated import Protocol, Sums, fit_sums, sums_of
from csvdprep.group.study import read_study
from csvdprep.science.covariate_design import Term

FEATURES = ('bpf', 'wmh_ml', 'lv_ml', 'md', 'fa')


def made(seed=0, count=40, sites='ABC'):
    """Return values, sites, ages and sexes; the second measure is skewed, some have none."""
    rng = np.random.default_rng(seed)
    site = np.repeat(list(sites), count)
    at = np.repeat(np.arange(len(sites)), count)
    age = rng.uniform(50, 80, len(site))
    sex = np.array(['F', 'M'])[rng.integers(2, size=len(site))]
    scale = np.array([0.05, 1, 8, 0.02, 0.03])
    values = rng.normal(size=(len(site), 5)) + 0.04 * (age[:, None] - 65)
    values += rng.normal(0, 1, (len(sites), 5))[at]
    values = np.array([0.8, 0, 35, 0.8, 0.4]) + scale * values
    values[:, 1] = np.exp(values[:, 1])
    values[::17, 1] = 0
    return values, site, age, sex


def written(path, values, site, age, sex, *, site_column=True):
    head = ['participant_id', *(['site'] if site_column else []), 'age', 'sex', *FEATURES]
    lines = ['\t'.join(head)]
    for k, row in enumerate(values):
        cells = [f'sub-{site[k]}{k:03d}', *([site[k]] if site_column else [])]
        cells += [repr(float(age[k])), sex[k]]
        cells += ['n/a' if np.isnan(v) else repr(float(v)) for v in row]
        lines.append('\t'.join(cells))
    path.write_text('\n'.join(lines) + '\n')
    return path


def column(path, name):
    return np.array([float(r[name]) if r[name] != 'n/a' else np.nan for r in read_tsv(path).rows])


# ---- fit, apply, take in


def test_fit_and_apply_by_command(tmp_path, capsys):
    values, site, age, sex = made()
    whole = written(tmp_path / 'all.tsv', values, site, age, sex)
    out, model = tmp_path / 'out.tsv', tmp_path / 'model.json'
    assert run(['harmonise', 'fit', str(whole), '-o', str(out), '--model', str(model)]) == 0
    offset = np.array([np.nan, 0, np.nan, np.nan, np.nan])
    expected = fit(values, site, {'age': age, 'sex': sex}, offset=offset, least=20)[1]
    for at, name in enumerate(FEATURES):
        assert np.allclose(column(out, name), expected[:, at], rtol=1e-12)
    assert (column(out, 'wmh_ml')[::17] == 0).all()
    # New participants of a known site.
    some = slice(3, 90, 9)
    new = written(tmp_path / 'new.tsv', values[some] + 0.01, site[some], age[some], sex[some])
    assert run(['harmonise', 'apply', str(model), str(new), '-o', str(tmp_path / 'n.tsv')]) == 0
    again = apply(
        Model.read(model.read_text()),
        values[some] + 0.01,
        site[some],
        {'age': age[some], 'sex': sex[some]},
    )
    assert np.allclose(column(tmp_path / 'n.tsv', 'md'), again[:, 3], rtol=1e-12)
    # Of an unknown site: refused, taken in by controls, then known.
    strange, _, ages, sexes = made(seed=5, count=25, sites='D')
    new = written(tmp_path / 'd.tsv', strange, ['D'] * 25, ages, sexes)
    with pytest.raises(InputError, match='does not know the site D'):
        run(['harmonise', 'apply', str(model), str(new), '-o', str(tmp_path / 'n.tsv')])
    asked = ['harmonise', 'add-site', str(model), 'D', str(new), '--controls', 'sex=X']
    with pytest.raises(InputError, match='no rows with sex=X'):
        run([*asked, '-o', str(tmp_path / 'more.json')])
    some = ['--controls', 'sex=f', '--least', '5', '-o', str(tmp_path / 'f.json')]
    assert run(['harmonise', 'add-site', str(model), 'D', str(new), *some]) == 0
    women = Model.read((tmp_path / 'f.json').read_text())
    assert women.count[3].max() == sum(sexes == 'F')
    more = tmp_path / 'more.json'
    assert run(['harmonise', 'add-site', str(model), 'D', str(new), '-o', str(more)]) == 0
    assert run(['harmonise', 'apply', str(more), str(new), '-o', str(tmp_path / 'n.tsv')]) == 0
    assert np.isfinite(column(tmp_path / 'n.tsv', 'lv_ml')).all()
    with pytest.raises(UsageError, match='written over what is read'):
        run(['harmonise', 'apply', str(more), str(new), '-o', str(new)])
    capsys.readouterr()


def test_covariates_at_their_means_need_not_be_given(tmp_path):
    values, site, age, sex = made()
    model, _ = fit(values, site, {'age': age, 'sex': sex})
    at_means = apply(model, values, site, at_means=True)
    group = np.where(sex == 'M', 1.0, 0.0)
    columns = np.stack([(age - age.mean()) / age.std(), group], axis=1)
    base = model.alpha + columns.mean(axis=0) @ model.beta
    place = np.searchsorted(['A', 'B', 'C'], site)
    z = (values - base) / model.sigma
    expected = (z - model.shift[place]) / np.sqrt(model.scale[place]) * model.sigma + base
    assert np.allclose(at_means, expected, rtol=1e-12)


# ---- tables as people have them

HEAD = 'participant_id\tsite\tage\tsex\tbpf\n'


@pytest.mark.parametrize(
    ('body', 'why'),
    [
        ('sub-1\tA\t70\tF\t0.8\nsub-1\tA\t70\tF\t0.7\n', r'sub-1 has several rows'),
        ('sub-1\tA\t70\tF\tbig\nsub-2\tA\t70\tF\tsmall\n', 'no column with numbers'),
        ('', 'has no rows'),
    ],
)
def test_tables_that_are_refused(tmp_path, body, why):
    path = tmp_path / 'a.tsv'
    path.write_text(HEAD + body)
    with pytest.raises(InputError, match=why):
        read_study(path, keep=['age', 'sex'])


@pytest.mark.parametrize(
    ('cell', 'found', 'told'),
    [
        ('A ', 'A', ''),
        (' A', 'A', ''),
        ('', 'n/a', ''),
        ('NaN', 'n/a', ''),
        ('unknown', 'n/a', ''),
        ('St.  Mary', 'St. Mary', ''),
    ],
)
def test_sites_as_they_are_typed(tmp_path, cell, found, told):
    path = tmp_path / 'a.tsv'
    path.write_text(HEAD + f'sub-1\t{cell}\t70\tF\t0.8\nsub-2\tB\t70\tF\t0.7\n')
    assert read_study(path).sites[0] == found


@pytest.mark.parametrize(
    ('cell', 'years', 'told'),
    [
        ('71', 71, ''),
        ('71,5', 71.5, ''),
        ('071Y', 71, ''),
        ('89+', 89, 'lower bound'),
        ('nan', np.nan, ''),
        ('seventy', np.nan, 'not a number of years'),
        (
            '1955-03-02',
            np.nan,
            '1 age is a date or year of birth, which is not used, and not shown',
        ),
        (
            '02.03.1955',
            np.nan,
            '1 age is a date or year of birth, which is not used, and not shown',
        ),
        ('3/2/1955', np.nan, '1 age is a date or year of birth, which is not used, and not shown'),
        ('19550302', np.nan, '1 age is a date or year of birth, which is not used, and not shown'),
        (
            '2 Mar 1955',
            np.nan,
            '1 age is a date or year of birth, which is not used, and not shown',
        ),
    ],
)
def test_ages_as_they_are_typed(tmp_path, cell, years, told):
    path = tmp_path / 'a.tsv'
    path.write_text(HEAD + f'sub-1\tA\t{cell}\tF\t0.8\nsub-2\tB\t70\tF\t0.7\n')
    study = read_study(path, keep=['age'])
    assert study.covariates['age'][0] == pytest.approx(years, nan_ok=True)
    assert study.known().tolist() == [bool(np.isfinite(years)), True]
    assert told in ' '.join(study.notes)
    assert len(study.who) == 2


@pytest.mark.parametrize(
    ('cells', 'told'),
    [
        (['0.8', '< 0.1', '0.7'], '1 of 3 entries are no numbers'),
        (['0.8', 'inf', '0.7'], '1 of 3 entries are no numbers'),
        (['0.8', '0,7', '0.7'], 'decimal point'),
        (['0.8', '2020-01-05', '0.7'], 'holds dates'),
        (['0.8', '5/1/20', '0.7'], 'holds dates'),
        (['0.8', '05.01.2020', '0.7'], 'holds dates'),
        (['0.8', '5 Jan 2020', '0.7'], 'holds dates'),
        (['0.8', 'January 5, 2020', '0.7'], 'holds dates'),
        (['0.8', 'NaN', '0.7'], ''),
    ],
)
def test_text_among_numbers_is_told(tmp_path, cells, told):
    path = tmp_path / 'a.tsv'
    path.write_text(HEAD + ''.join(f'sub-{k}\tA\t70\tF\t{c}\n' for k, c in enumerate(cells)))
    study = read_study(path)
    assert np.isnan(study.values[:, 0]).tolist() == [False, True, False]
    assert told in ' '.join(study.notes)
    assert bool(study.notes) == bool(told)


def test_a_table_of_participants_is_joined(tmp_path):
    (tmp_path / 'a.csv').write_text('participant_id;session_id;bpf\n01;1;0.8\n01;2;0.7\n03;1;1\n')
    (tmp_path / 'p.tsv').write_text('participant_id\tsite\tage\nsub-01\tA\t70\nsub-02\tB\t60\n')
    study = read_study(tmp_path / 'a.csv', more=tmp_path / 'p.tsv', keep=['age'])
    assert study.who[1] == ('sub-01', 'ses-2')
    assert study.sites.tolist() == ['A', 'A', 'n/a']
    assert study.notes == ('p.tsv has no row for sub-03.',)
    (tmp_path / 'p.tsv').write_text('participant_id\tsite\nsub-01\tA\nsub-01\tB\n')
    with pytest.raises(InputError, match='several rows that differ'):
        read_study(tmp_path / 'a.csv', more=tmp_path / 'p.tsv')


@pytest.mark.parametrize(
    ('change', 'why'),
    [
        ({'site': ['A'] * 120}, 'one site only'),
        ({'site': [f's{k}' for k in range(120)]}, 'No row is left'),
        ({'age': np.full(120, np.nan)}, 'No row is left'),
        ({'age': np.full(120, 70.0)}, 'age is the same for all'),
        ({'sex': np.repeat(['F', 'M', 'F'], 40)}, 'cannot be told apart'),
    ],
)
def test_studies_that_are_refused(tmp_path, change, why):
    values, site, age, sex = made()
    given = {'site': site, 'age': age, 'sex': sex} | change
    if why == 'cannot be told apart':
        given['site'] = np.where(site == 'C', 'A', site)
    path = written(tmp_path / 'a.tsv', values, **given)
    with pytest.raises(InputError, match=why):
        run(['harmonise', 'fit', str(path), '-o', str(tmp_path / 'o.tsv')])
    assert not (tmp_path / 'o.tsv').exists()


# ---- sums in place of values

OPTIONS = [
    {},
    {'eb': False},
    {'parametric': False},
    {'mean_only': True},
    {'reference': 'B'},
    {'reference': 'A', 'mean_only': True, 'parametric': False},
    {'curve': True},
]


@pytest.mark.parametrize('options', OPTIONS)
def test_sums_give_what_pooled_values_give(options):
    options = dict(options)
    values, site, age, sex = made(count=60)
    knots = (52.0, 60.0, 70.0, 78.0) if options.pop('curve', False) else ()
    terms = (Term('age', middle=65, spread=10, knots=knots), Term('sex', levels=('F', 'M')))
    protocol = Protocol(FEATURES, terms, ('wmh_ml',), **options)
    values[site == 'A', 4] = np.nan
    values[np.flatnonzero(site == 'B')[:25], 3] = np.nan
    sums = []
    for name in 'ABC':
        here = site == name
        found = sums_of(protocol, name, values[here], {'age': age[here], 'sex': sex[here]})
        sums.append(Sums.read(found.text()))
    model = fit_sums(protocol, sums)
    # Values of 0 are few at a site: who has one is left out of what all have.
    seen = values.copy()
    for name, item in zip('ABC', sums, strict=True):
        here = np.flatnonzero(site == name)
        gone = here[values[here, 1] == 0]
        assert item.count.max() == 60 - len(gone)
        # The fourth measure is of other participants.
        seen[np.ix_(gone, [0, 1, 2, 4] if name == 'B' else range(5))] = np.nan
    pooled, _ = fit(
        seen,
        site,
        {'age': age, 'sex': sex},
        features=FEATURES,
        offset=protocol.offset(),
        terms=terms,
        least=20,
        **options,
    )
    for part in ('alpha', 'beta', 'sigma', 'shift', 'scale', 'raw_shift', 'raw_scale'):
        ours, theirs = getattr(model, part), getattr(pooled, part)
        assert np.allclose(ours, theirs, rtol=1e-8, atol=1e-8, equal_nan=True), part
    given = {'age': age, 'sex': sex}
    ours, theirs = (apply(m, values, site, given) for m in (model, pooled))
    assert np.nanmax(np.abs(ours - theirs)) < 1e-8
    assert np.array_equal(np.isnan(ours), np.isnan(theirs))


def test_small_cells_do_not_leave():
    values, _, _, sex = made(count=40, sites='A')
    terms = (Term('sex', levels=('F', 'M')),)
    protocol = Protocol(FEATURES, terms)
    few = np.where(np.arange(40) < 4, 'M', 'F')
    with pytest.raises(InputError, match='sex M has 4 participants at this site'):
        sums_of(protocol, 'A', values, {'sex': few})
    with pytest.raises(InputError, match='A has 9 participants'):
        sums_of(protocol, 'A', values[:9], {'sex': sex[:9]})
    values[9:, 0] = np.nan
    values[:3, 2] = np.nan
    found = sums_of(protocol, 'A', values, {'sex': sex})
    assert found.count.tolist() == [0, 37, 37, 37, 37]
    assert found.held == {'bpf': 'fewer than 10 participants have a value'}
    assert found.mean[0] == found.squares[0] == 0
    assert found.mean[1] == values[3:, 1].mean()


def test_three_sites_that_share_files_only(tmp_path):
    values, site, age, sex = made(count=50)
    places = {}

    def command(folder, *args):
        done = subprocess.run(
            [sys.executable, '-m', 'csvdprep', 'federate', *map(str, args)],
            cwd=folder,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stderr

    centre = tmp_path / 'centre'
    centre.mkdir()
    command(centre, 'plan', '-o', 'plan.json', '--measures', ','.join(FEATURES), '--log', 'wmh_ml')
    values[values == 0] = 0.01
    for name in 'ABC':
        places[name] = tmp_path / name
        places[name].mkdir()
        here = site == name
        table = (values[here], site[here], age[here], sex[here])
        written(places[name] / 'mine.tsv', *table, site_column=False)
        (places[name] / 'plan.json').write_text((centre / 'plan.json').read_text())
        said = command(
            places[name], 'export', 'plan.json', 'mine.tsv', '--name', name, '-o', 'leaves'
        )
        assert 'What leaves the site' in said
        sums = places[name] / 'leaves' / f'site-{name}_sums.json'
        # No label and no value of anybody leaves; every number that does is listed.
        text = sums.read_text()
        assert 'sub-' not in text
        assert str(tmp_path) not in text
        assert not re.search(r'\b(19|20)\d\d-\d\d-\d\d\b', text)
        assert not any(repr(float(v)) in text for v in [*values[here].ravel(), *age[here]])
        facts = json.loads(text)
        assert {*facts} == {
            *('sums', 'site', 'features', 'count', 'mean', 'squares', 'columns', 'cross'),
            *('inner', 'held'),
        }
        number = sum(np.size(facts[k]) for k in ('count', 'mean', 'squares', 'columns', 'cross'))
        number += np.size(facts['inner'])
        listed = (places[name] / 'leaves' / f'site-{name}_sums.txt').read_text()
        told = [line.split('\t')[2] for line in listed.splitlines() if line.count('\t') == 2]
        assert sum(map(int, told[1:])) == number
        (centre / sums.name).write_text(text)
    command(centre, 'fit', 'plan.json', *sorted(centre.glob('site-*')), '-o', 'model.json')
    pooled = fit(
        values,
        site,
        {'age': age, 'sex': sex},
        offset=np.array([np.nan, 0, np.nan, np.nan, np.nan]),
        least=20,
    )[1]
    for name in 'ABC':
        (places[name] / 'model.json').write_text((centre / 'model.json').read_text())
        command(places[name], 'apply', 'model.json', 'mine.tsv', '--name', name, '-o', 'out.tsv')
        for at, feature in enumerate(FEATURES):
            found = column(places[name] / 'out.tsv', feature)
            assert np.abs(found - pooled[site == name, at]).max() < 1e-8
    for bad in ('{"protocol": 2}', 'x'):
        (centre / 'bad.json').write_text(bad)
        with pytest.raises(InputError, match='no protocol'):
            run(['federate', 'fit', str(centre / 'bad.json'), 'x', '-o', str(centre / 'm.json')])


@pytest.mark.parametrize(
    ('change', 'why'),
    [
        (lambda s: s[:1], 'one site only'),
        (lambda s: [s[0], s[0]], 'Two files are of one site'),
        (lambda s: [s[0], Sums.read(s[1].text().replace('"md"', '"rd"'))], 'another protocol'),
    ],
)
def test_sums_that_cannot_be_fitted(change, why):
    values, site, _, _ = made(sites='AB')
    protocol = Protocol(FEATURES)
    sums = [sums_of(protocol, name, values[site == name]) for name in 'AB']
    with pytest.raises(InputError, match=why):
        fit_sums(protocol, change(sums))
    with pytest.raises(InputError, match='no sums of a site'):
        Sums.read('{}')
