"""How far the total scores of measured markers can be off, and by whose errors.

    python benchmarks/scores.py rules [--persons 4000] [--seed 1]
    python benchmarks/scores.py stated [--persons 400] [--seed 1]
    python benchmarks/scores.py visits OUT TRUTH

``rules`` draws persons with true numbers of lesions, lets each detector miss some and find false
ones, and compares the totals of the application's rules with those that the phantom's own tables
give for the truth. Persons are those of ``csvdprep phantom`` (lacunes and microbleeds follow the
load of hyperintensities); their grades are drawn around a common burden.
``stated`` lets each finding have the probability that findings of its class deserve, and compares
the probability that the application states for the total that it gives with how often it is right.
``visits`` compares the totals of OUT, which csvdprep left of visits of the phantom, with TRUTH.

Rates of the detectors are those of the pages: lacunes on T1w and FLAIR of 1 mm (docs/cavities.md),
microbleeds of the phantom itself (docs/cmb.md), perivascular spaces of the worst slice
(docs/cavities.md), Fazekas grades (docs/wmh.md: both agree in 59 of 75, none off by two).
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from csvdprep.markers.scores.science import RULES, Candidate, Finding, Review, chances
from csvdprep.markers.scores.sources import SOURCES
from csvdprep.phantom.dataset.design import draw_persons
from csvdprep.phantom.disease.scores import true_scores

#: Scores of the phantom, and the markers that vary.
SCORES = ('svd_staals', 'svd_lau', 'caa_score')
#: Counts in the worst slice from which the grade is 1, 2, 3, 4 (Potter 2015).
GRADE_FROM = (1, 11, 21, 41)
#: Share of a region's spaces that the worst slice and hemisphere holds, in phantoms: basal
#: ganglia, centrum semiovale.
IN_WORST = (0.45, 0.30)
#: Volumes (mL) at which the middle person goes from one Fazekas grade to the next.
PV_ML, DEEP_ML = (1.0, 6.0, 30.0), (2.0, 12.0, 45.0)


@dataclass(frozen=True)
class Rates:
    """Errors of the detectors.

    Attributes
    ----------
    lacune, bleed : tuple of float
        Share of lesions that count, share that is only possible, false lesions a scan that
        count, and such that are possible.
    spaces : float
        Share of perivascular spaces of the worst slice that are counted.
    grade : float
        Probability that a Fazekas grade is off by one.
    """

    lacune: tuple[float, float, float, float] = (0.83, 0.06, 0.1, 0.3)
    bleed: tuple[float, float, float, float] = (0.76, 0.10, 0.11, 0.22)
    spaces: float = 0.81
    grade: float = 0.113


#: Share of lesions that the lists have, as the application takes it.
LISTED = {source.total: source.listed[0] for source in SOURCES if source.total}
PERFECT = Rates((1, 0, 0, 0), (1, 0, 0, 0), 1.0, 0.0)


def persons(number: int, seed: int) -> list[dict[str, int]]:
    """Draw the true numbers and grades of persons."""
    rng = np.random.default_rng([seed, 3])
    rows = []
    for person in draw_persons(number, seed=seed):
        disease = person.states[0].disease
        volume = disease.wmh_ml * np.exp(0.4 * rng.standard_normal(2))
        lobar, deep, low = disease.microbleeds
        rows.append(
            {
                'lacune_n': disease.lacunes,
                'cmb_lobar_n': lobar,
                'cmb_other_n': deep + low,
                'cmb_n': lobar + deep + low,
                'pvs_bg': int(rng.binomial(disease.pvs[0], IN_WORST[0])),
                'pvs_cso': int(rng.binomial(disease.pvs[1], IN_WORST[1])),
                'fazekas_pv': int(np.searchsorted(PV_ML, volume[0])),
                'fazekas_deep': int(np.searchsorted(DEEP_ML, volume[1])),
            }
        )
    return rows


def grade(count: int) -> int:
    """Grade spaces by their number in the worst slice."""
    return int(np.searchsorted(GRADE_FROM, count, side='right'))


def truth_of(person: Mapping[str, int]) -> dict[str, int]:
    """Score a person by the phantom's own tables."""
    known = dict(person) | {
        'pvs_bg_grade': grade(person['pvs_bg']),
        'pvs_cso_grade': grade(person['pvs_cso']),
    }
    return {name: value for name, (value, _) in true_scores(known).items()}


def found_in(person: Mapping[str, int], rates: Rates, rng) -> tuple[dict, dict]:
    """Let the detectors look: what they count, and what is only possible, by marker."""

    def look(true: int, rate) -> tuple[int, int, int, int]:
        sure, perhaps, _ = rng.multinomial(true, [rate[0], rate[1], 1 - rate[0] - rate[1]])
        return int(sure), int(perhaps), int(rng.poisson(rate[2])), int(rng.poisson(rate[3]))

    lacunes = look(person['lacune_n'], rates.lacune)
    half = (*rates.bleed[:2], rates.bleed[2] / 2, rates.bleed[3] / 2)
    lobar, other = look(person['cmb_lobar_n'], half), look(person['cmb_other_n'], half)
    counts = {
        'lacune_n': lacunes[0] + lacunes[2],
        'cmb_lobar_n': lobar[0] + lobar[2],
        'cmb_n': lobar[0] + lobar[2] + other[0] + other[2],
        'css': 0,
    }
    for name in ('pvs_bg', 'pvs_cso'):
        counts[name] = grade(int(rng.binomial(person[name], rates.spaces)))
    for name in ('fazekas_pv', 'fazekas_deep'):
        off = int(rng.choice([-1, 1])) if rng.random() < rates.grade else 0
        counts[name] = int(np.clip(person[name] + off, 0, 3))
    return counts, {'lacune': lacunes, 'lobar': lobar, 'other': other}


def score(counts: Mapping[str, int]) -> dict[str, int]:
    """Score by the application's rules."""
    findings = {name: Finding.of(value) for name, value in counts.items()}
    return {name: int(RULES[name](findings).low) for name in SCORES}


def compare(people, rates: Rates, seed: int) -> dict[str, tuple[float, float, float]]:
    """Return percent exact, percent off by two or more, and mean error, by score."""
    rng = np.random.default_rng([seed, 5])
    off: dict[str, list[int]] = {name: [] for name in SCORES}
    for person in people:
        true, found = truth_of(person), score(found_in(person, rates, rng)[0])
        for name in SCORES:
            off[name].append(found[name] - true[name])
    table = {name: np.array(values) for name, values in off.items()}
    return {
        name: (100 * float(np.mean(v == 0)), 100 * float(np.mean(abs(v) >= 2)), float(v.mean()))
        for name, v in table.items()
    }


def rules(number: int, seed: int) -> None:
    """Print the sensitivity of totals to each detector, and to rates of misses and false ones."""
    people = persons(number, seed)
    shares = [np.bincount([truth_of(p)[n] for p in people], minlength=5) for n in SCORES]
    for name, share in zip(SCORES, shares, strict=True):
        print(f'# {name}, true totals 0, 1, ...: {(100 * share / number).round(1).tolist()} %')
    own = Rates()
    cases = {
        'no error': PERFECT,
        'lacunes as measured': replace(PERFECT, lacune=own.lacune),
        'microbleeds as measured': replace(PERFECT, bleed=own.bleed),
        'perivascular spaces as measured': replace(PERFECT, spaces=own.spaces),
        'Fazekas grades as measured': replace(PERFECT, grade=own.grade),
        'all as measured': own,
    }
    for missed in (0.1, 0.25, 0.5):
        cases[f'lacunes: {missed:.0%} missed'] = replace(PERFECT, lacune=(1 - missed, 0, 0, 0))
        cases[f'microbleeds: {missed:.0%} missed'] = replace(PERFECT, bleed=(1 - missed, 0, 0, 0))
        cases[f'spaces: {missed:.0%} missed'] = replace(PERFECT, spaces=1 - missed)
    for false in (0.1, 0.3, 1.0):
        cases[f'lacunes: {false:g} false a scan'] = replace(PERFECT, lacune=(1, 0, false, 0))
        cases[f'microbleeds: {false:g} false a scan'] = replace(PERFECT, bleed=(1, 0, false, 0))
    head = '\t'.join(f'{n} exact %\t{n} off by 2 %\t{n} mean error' for n in SCORES)
    print(f'errors\t{head}')
    for label, rates in cases.items():
        found = compare(people, rates, seed)
        cells = '\t'.join(f'{a:.1f}\t{b:.1f}\t{c:+.2f}' for a, b, c in found.values())
        print(f'{label}\t{cells}', flush=True)


def worth(people, rates: Rates, seed: int) -> dict[str, float]:
    """Return the share of findings that are lesions, by list and class."""
    rng = np.random.default_rng([seed, 8])
    sums = {key: np.zeros(4) for key in ('lacune', 'bleed')}
    for person in people:
        _, parts = found_in(person, rates, rng)
        sums['lacune'] += parts['lacune']
        sums['bleed'] += np.add(parts['lobar'], parts['other'])
    out = {}
    for key, (sure, perhaps, false, doubtful) in sums.items():
        out[f'{key} definite'] = sure / max(sure + false, 1)
        out[f'{key} possible'] = perhaps / max(perhaps + doubtful, 1)
    return out


def listed(parts: Mapping[str, tuple], deserved: Mapping[str, float]) -> dict[str, Review]:
    """Write the lists of candidates of a visit."""
    found = {}
    for total, kind, keys in (
        ('lacune_n', 'lacune', {'lacune': ''}),
        ('cmb_n', 'bleed', {'lobar': 'lobar', 'other': 'deep'}),
    ):
        rows: list[Candidate] = []
        for key, region in keys.items():
            sure, perhaps, false, doubtful = parts[key]
            for count, counts in ((sure + false, True), (perhaps + doubtful, False)):
                p = deserved[f'{kind} {"definite" if counts else "possible"}']
                start = len(rows) + 1
                rows += [Candidate(start + k, p, counts, region) for k in range(count)]
        found[total] = Review(tuple(rows))
    return found


def stated(number: int, seed: int, missed: bool) -> None:
    """Print the stated probability of the total that is given, and how often it is right."""
    rates = replace(Rates(), spaces=1.0, grade=0.0)
    deserved = worth(persons(4000, seed + 1), rates, seed)
    print('# share of findings that are lesions:', {k: round(v, 2) for k, v in deserved.items()})
    rng = np.random.default_rng([seed, 6])
    rule = {name: RULES[name] for name in SCORES}
    told: dict[str, list[tuple[float, bool, bool]]] = {name: [] for name in SCORES}
    for person in persons(number, seed):
        true = truth_of(person)
        counts, parts = found_in(person, rates, rng)
        findings = {name: Finding.of(value) for name, value in counts.items()}
        table = chances(
            findings,
            listed(parts, deserved),
            rule,
            listed=LISTED if missed else None,
            draws=1000,
            seed=seed,
        )
        given = score(counts)
        for name in SCORES:
            by = {c.total: c.probability for c in table if (c.score, c.varied) == (name, 'all')}
            likely = max(by, key=lambda total: by[total])
            told[name].append(
                (by.get(given[name], 0.0), given[name] == true[name], likely == true[name])
            )
    print('score\tstated probability of the total given\tit is right\tthe most probable is right')
    for name, rows in told.items():
        p, right, likely = (np.array(part, float) for part in zip(*rows, strict=True))
        print(f'{name}\t{p.mean():.2f}\t{right.mean():.2f}\t{likely.mean():.2f}')
        for low, high in ((0, 0.5), (0.5, 0.8), (0.8, 0.95), (0.95, 1.01)):
            some = (p >= low) & (p < high)
            if some.sum() >= 10:
                print(
                    f'{name}, stated {low:g} to {min(high, 1):g}\t{p[some].mean():.2f}\t'
                    f'{right[some].mean():.2f}\tn = {some.sum()}'
                )


def read_measures(folder: Path) -> dict[str, dict[str, str]]:
    """Read the measures of each visit, by the begin of its files."""
    found = {}
    for path in sorted(folder.rglob('sub-*_desc-csvd_measures.tsv')):
        with path.open() as file:
            found[path.name.split('_desc')[0]] = next(csv.DictReader(file, delimiter='\t'))
    return found


def visits(out: Path, truth: Path) -> None:
    """Print the totals of visits beside the true ones, with what stands behind them."""
    measured, true = read_measures(out), read_measures(truth)
    names = (
        ('lacune_n', ('lacune_n',)),
        ('cmb_n', ('cmb_n', 'cmb_n_definite')),
        ('cmb_lobar_n', ('cmb_lobar_n', 'cmb_n_lobar')),
        ('pvs_bg_worst_n', ('pvs_bg_worst_n',)),
        ('pvs_cso_worst_n', ('pvs_cso_worst_n',)),
        ('fazekas_pv', ('fazekas_pv',)),
        ('fazekas_deep', ('fazekas_deep',)),
        *((name, (name,)) for name in SCORES),
    )
    print('visit\tof\t' + '\t'.join(name for name, _ in names) + '\tsvd_staals_prob')
    same = dict.fromkeys(SCORES, 0)
    both = [visit for visit in measured if visit in true]
    for visit in both:
        rows = {'measured': measured[visit], 'true': true[visit]}
        for label, row in rows.items():
            cells = [next((row[a] for a in many if a in row), 'n/a') for _, many in names]
            # The phantom has no siderosis, which nothing finds: the least of the range.
            cells = [
                row.get(f'{n}_min', c) if c == 'n/a' else c
                for (n, _), c in zip(names, cells, strict=True)
            ]
            rows[label] = dict(zip((n for n, _ in names), cells, strict=True))
            print(visit, label, *cells, row.get('svd_staals_prob', ''), sep='\t')
        for name in SCORES:
            same[name] += rows['measured'][name] == rows['true'][name]
    print('exact:', ', '.join(f'{name} {same[name]} of {len(both)}' for name in SCORES))


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('what', choices=('rules', 'stated', 'visits'))
    parser.add_argument('folders', type=Path, nargs='*')
    parser.add_argument('--persons', type=int)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument(
        '--listed-only', action='store_true', help='stated: no lesions that are not listed'
    )
    asked = parser.parse_args()
    if asked.what == 'rules':
        rules(asked.persons or 4000, asked.seed)
    elif asked.what == 'stated':
        stated(asked.persons or 400, asked.seed, not asked.listed_only)
    elif len(asked.folders) != 2:
        parser.error('visits needs OUT and TRUTH')
    else:
        visits(*asked.folders)


if __name__ == '__main__':
    main()
