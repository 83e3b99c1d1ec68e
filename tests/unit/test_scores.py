"""Scores: every combination against tables written down from the papers; ranges; chances."""

import itertools
import json
import math
import re
from pathlib import Path

import pytest

from csvdprep.bids.tsv import read_tsv
from csvdprep.core.options import read_options
from csvdprep.core.ratings import MARKERS
from csvdprep.core.room import Limits, Measure, Room
from csvdprep.graph.judging import judge_together
from csvdprep.graph.tables import collect
from csvdprep.interfaces.values import Value, read_values, store_values
from csvdprep.markers.scores import ROOM
from csvdprep.markers.scores import interfaces as files
from csvdprep.markers.scores.science import (
    RULES,
    Candidate,
    Finding,
    Machine,
    Rating,
    Review,
    boston2,
    chances,
    gather,
)
from csvdprep.markers.scores.sources import Source
from csvdprep.science.lesion_review import review

NONE = None
#: Points by value of the marker, as the papers' tables have them.
ONE_IF_ANY = {0: 0, 1: 1, 2: 1, 5: 1}
LAU_BLEEDS = {0: 0, 1: 1, 2: 1, 3: 1, 4: 1, 5: 2, 6: 2, 30: 2}
CAA_BLEEDS = {0: 0, 1: 0, 2: 1, 3: 1, 4: 1, 5: 2, 30: 2}
AMENDED_LACUNES = {0: 0, 1: 1, 2: 1, 3: 2, 4: 2, 5: 2, 6: 3, 9: 3}
MORE_THAN_10 = {0: 0, 1: 0, 2: 1, 3: 1, 4: 1}
MORE_THAN_20 = {0: 0, 1: 0, 2: 0, 3: 1, 4: 1}
#: Rows: periventricular 0 to 3; columns: deep 0 to 3.
DEEP_2_OR_PV_3 = ((0, 0, 1, 1), (0, 0, 1, 1), (0, 0, 1, 1), (1, 1, 1, 1))
LAU_SUM = ((0, 0, 0, 1), (0, 0, 1, 1), (0, 1, 1, 2), (1, 1, 2, 2))
HIGHER_IS_2 = ((0, 0, 1, 1), (0, 0, 1, 1), (1, 1, 1, 1), (1, 1, 1, 1))
HIGHER = ((0, 1, 2, 3), (1, 1, 2, 3), (2, 2, 2, 3), (3, 3, 3, 3))
FAZEKAS = ('fazekas_pv', 'fazekas_deep')
#: Of each score: (markers, table) of each item.
TABLES = {
    'svd_staals': (
        (('lacune_n',), ONE_IF_ANY),
        (('cmb_n',), ONE_IF_ANY),
        (('pvs_bg',), MORE_THAN_10),
        (FAZEKAS, DEEP_2_OR_PV_3),
    ),
    'svd_lau': (
        (('lacune_n',), ONE_IF_ANY),
        (('cmb_n',), LAU_BLEEDS),
        (('pvs_bg',), MORE_THAN_20),
        (FAZEKAS, LAU_SUM),
    ),
    'caa_score': (
        (('cmb_lobar_n',), CAA_BLEEDS),
        (('css',), {0: 0, 1: 1, 2: 2}),
        (('pvs_cso',), MORE_THAN_20),
        (FAZEKAS, DEEP_2_OR_PV_3),
    ),
    'ha_score': (
        (('lacune_deep_n',), ONE_IF_ANY),
        (('cmb_deep_n',), ONE_IF_ANY),
        (('pvs_bg',), MORE_THAN_10),
        (('fazekas_deep',), {0: 0, 1: 0, 2: 1, 3: 1}),
    ),
    'caa4_score': (
        (('lacune_lobar_n',), ONE_IF_ANY),
        (('cmb_lobar_n',), ONE_IF_ANY),
        (('pvs_cso',), MORE_THAN_10),
        (FAZEKAS, DEEP_2_OR_PV_3),
    ),
    'svd_amin_simple': (
        (('lacune_n',), ONE_IF_ANY),
        (('cmb_n',), ONE_IF_ANY),
        (FAZEKAS, HIGHER_IS_2),
    ),
    'svd_amin_amended': (
        (('lacune_n',), AMENDED_LACUNES),
        (('cmb_n',), ONE_IF_ANY),
        (FAZEKAS, HIGHER),
    ),
}
MOST = {
    'svd_staals': 4,
    'svd_lau': 6,
    'caa_score': 6,
    'ha_score': 4,
    'caa4_score': 4,
    'svd_amin_simple': 3,
    'svd_amin_amended': 7,
}
HIGHEST = {'pvs_bg': 4, 'pvs_cso': 4, 'css': 2, 'fazekas_pv': 3, 'fazekas_deep': 3}


def settings_of(item):
    """Return all values of an item's markers, missing ones too, with the points it may have."""
    markers, table = item
    if markers != FAZEKAS:
        points = {value: {got} for value, got in table.items()}
        points[NONE] = set(table.values())
        return [((value,), got) for value, got in points.items()]
    out = []
    for pv, deep in itertools.product((NONE, 0, 1, 2, 3), repeat=2):
        rows = table if pv is NONE else (table[pv],)
        got = {point for row in rows for point in (row if deep is NONE else (row[deep],))}
        out.append(((pv, deep), got))
    return out


def known(name, value):
    if value is NONE:
        return Finding(0, HIGHEST.get(name, math.inf), 'missing', f'no {name}')
    return Finding.of(value, measures=(name,))


@pytest.mark.parametrize('name', TABLES)
def test_every_combination_is_as_the_table_says(name):
    items, rule = TABLES[name], RULES[name]
    seen = 0
    for combination in itertools.product(*map(settings_of, items)):
        findings = {
            marker: known(marker, value)
            for (markers, _), (values, _) in zip(items, combination, strict=True)
            for marker, value in zip(markers, values, strict=True)
        }
        score = rule(findings)
        points = [got for _, got in combination]
        assert [(i.low, i.high) for i in score.items] == [(min(p), max(p)) for p in points]
        assert (score.low, score.high) == (sum(map(min, points)), sum(map(max, points)))
        assert score.known == (score.reason == '')
        seen += 1
    assert score.most == MOST[name]
    assert seen > 400


def test_every_combination_with_the_higher_threshold():
    items = [(m, MORE_THAN_20 if m == ('pvs_bg',) else t) for m, t in TABLES['svd_staals']]
    for combination in itertools.product(*map(settings_of, items)):
        findings = {
            marker: known(marker, value)
            for (markers, _), (values, _) in zip(items, combination, strict=True)
            for marker, value in zip(markers, values, strict=True)
        }
        score = RULES['svd_staals'](findings, bgpvs_threshold=20)
        points = [got for _, got in combination]
        assert (score.low, score.high) == (sum(map(min, points)), sum(map(max, points)))


@pytest.mark.parametrize('name', TABLES)
def test_a_range_holds_every_completion(name):
    """Of a score with some markers missing, the range is exactly what completions give."""
    rule = RULES[name]
    markers = [marker for takes, _ in TABLES[name] for marker in takes]
    levels = {m: range(HIGHEST[m] + 1) if m in HIGHEST else (0, 1, 2, 5, 6) for m in markers}
    for missing in itertools.chain.from_iterable(
        itertools.combinations(markers, size) for size in (1, 2)
    ):
        for start in (dict.fromkeys(markers, 0), {m: levels[m][2] for m in markers}):
            found = rule({m: known(m, NONE if m in missing else start[m]) for m in markers})
            totals = {
                rule(
                    {
                        m: known(m, dict(zip(missing, values, strict=True)).get(m, start[m]))
                        for m in markers
                    }
                ).low
                for values in itertools.product(*(levels[m] for m in missing))
            }
            assert (found.low, found.high) == (min(totals), max(totals))


BOSTON = ('cmb_lobar_n', 'ich_lobar_n', 'css', 'cmb_deep_n', 'cmb_brainstem_n', 'ich_deep_n')


def expected_pattern(lobar, deep, feature):
    """Write the criteria down once more, as a table."""
    if deep:
        return 'none'
    return {
        (0, False): 'none',
        (0, True): 'possible',
        (1, False): 'possible',
        (1, True): 'probable',
        (2, False): 'probable',
        (2, True): 'probable',
    }[min(lobar, 2), feature]


def test_every_pattern_of_boston():
    for values in itertools.product((0, 1, 2), (0, 1), (0, 1, 2), (0, 1), (0, 1), (0, 1)):
        given = dict(zip(BOSTON, values, strict=True))
        for grade, spots in itertools.product(range(5), (0, 1)):
            findings = {n: Finding.of(v) for n, v in given.items()}
            findings |= {'pvs_cso': Finding.of(grade), 'wmh_multispot': Finding.of(spots)}
            lobar, deep = sum(values[:3]), sum(values[3:])
            feature = grade in (3, 4) or spots == 1
            found = boston2(findings)
            assert found.pattern == (expected_pattern(lobar, deep, feature),) * 2
            assert found.feature == (feature, feature)
            assert found.lobar == ((0, 0) if deep else (lobar, lobar))


def test_boston_with_markers_missing_spans_what_is_possible():
    names = (*BOSTON, 'pvs_cso', 'wmh_multispot')
    order = {'none': 0, 'possible': 1, 'probable': 2}
    levels = {'css': range(3), 'pvs_cso': range(5), 'wmh_multispot': range(2)}
    for missing in itertools.combinations(names, 2):
        for base in (0, 1):
            findings = {n: known(n, NONE if n in missing else base) for n in names}
            if 'wmh_multispot' in missing:
                findings['wmh_multispot'] = Finding(0, 1, 'missing')
            patterns = set()
            for values in itertools.product(*(levels.get(n, range(3)) for n in missing)):
                whole = dict.fromkeys(names, base) | dict(zip(missing, values, strict=True))
                patterns |= {*boston2({n: Finding.of(v) for n, v in whole.items()}).pattern}
            ends = min(patterns, key=order.get), max(patterns, key=order.get)
            assert boston2(findings).pattern == ends, (missing, base)


# ---- detectors and persons


BLEEDS = (
    Candidate(1, 0.9, True, 'lobar', (0, 0, 0)),
    Candidate(2, 0.8, True, 'deep', (20, 0, 0)),
    Candidate(3, 0.3, False, 'brainstem', (0, 30, 0)),
)


def machine(**more):
    values = {
        'cmb_n': 2,
        'cmb_lobar_n': 1,
        'cmb_deep_n': 1,
        'cmb_infratentorial_n': 0,
        'fazekas_pv': 1,
        **more,
    }
    return Machine(values, lists={'cmb_lesions': BLEEDS})


def findings_of(*ratings, **more):
    return gather(machine(**more), [Rating(*item) for item in ratings]).findings


def test_a_person_goes_before_the_machine_and_the_source_says_so():
    found = findings_of(('AB', 'fazekas_pv', 3))
    assert (found['fazekas_pv'].low, found['fazekas_pv'].source) == (3, 'rater:AB')
    assert found['fazekas_pv'].measures == ()
    assert found['cmb_n'].source == 'machine'
    assert found['cmb_n'].lesions == ('microbleed 1', 'microbleed 2')
    assert found['cmb_n'].measures == ('cmb_n',)
    assert found['css'].source == 'missing'


def test_raters_who_disagree_make_a_range_and_consensus_settles_it():
    found = findings_of(('AB', 'fazekas_pv', 2), ('CD', 'fazekas_pv', 3))['fazekas_pv']
    assert (found.low, found.high, found.source) == (2, 3, 'rater:AB + rater:CD')
    assert found.reason == 'periventricular Fazekas grade: raters disagree: AB 2, CD 3'
    same = findings_of(('AB', 'fazekas_pv', 2), ('CD', 'fazekas_pv', 2))['fazekas_pv']
    assert same.known
    settled = findings_of(
        ('AB', 'fazekas_pv', 2), ('CD', 'fazekas_pv', 3), ('Consensus', 'fazekas_pv', 3)
    )['fazekas_pv']
    assert (settled.low, settled.high, settled.source) == (3, 3, 'rater:Consensus')


def test_a_disagreement_that_does_not_matter_leaves_a_score():
    """Grades 2 and 3 of the deep white matter give the same point."""
    rows = [('AB', 'fazekas_deep', 2), ('CD', 'fazekas_deep', 3), ('AB', 'lacune_n', 0)]
    found = findings_of(*rows, pvs_bg_grade=2, fazekas_pv=2)
    assert RULES['svd_staals'](found).low == RULES['svd_staals'](found).high == 3
    assert not RULES['svd_lau'](found).known


def test_grades_of_perivascular_spaces_follow_from_counts():
    for count, grade in ((0, 0), (10, 1), (11, 2), (20, 2), (21, 3), (41, 4)):
        assert findings_of(('AB', 'pvs_cso_worst_n', count))['pvs_cso'].low == grade
        assert findings_of(pvs_bg_worst_n=count)['pvs_bg'].low == grade
    both = findings_of(('AB', 'pvs_bg_grade', 4), pvs_bg_grade=1)
    assert both['pvs_bg'].low == 4


def bounds(findings, *names):
    return [(findings[n].low, findings[n].high) for n in names]


PARTS = ('cmb_n', 'cmb_lobar_n', 'cmb_deep_n', 'cmb_infratentorial_n')


@pytest.mark.parametrize(
    ('said', 'expected'),
    [
        # None at all: none anywhere.
        ({'cmb_n': 0}, [(0, 0)] * 4),
        # As many as the machine counts: where they are, it tells.
        ({'cmb_n': 2}, [(2, 2), (1, 1), (1, 1), (0, 0)]),
        # Other than the machine: where they are, is not known.
        ({'cmb_n': 5}, [(5, 5), (0, 5), (0, 5), (0, 5)]),
        ({'cmb_n': 5, 'cmb_lobar_n': 5}, [(5, 5), (5, 5), (0, 0), (0, 0)]),
        ({'cmb_n': 5, 'cmb_lobar_n': 2, 'cmb_deep_n': 2}, [(5, 5), (2, 2), (2, 2), (1, 1)]),
        # Parts alone: the others are the machine's.
        ({'cmb_lobar_n': 4}, [(5, 5), (4, 4), (1, 1), (0, 0)]),
        (
            {'cmb_lobar_n': 4, 'cmb_deep_n': 0, 'cmb_infratentorial_n': 2},
            [(6, 6), (4, 4), (0, 0), (2, 2)],
        ),
    ],
)
def test_a_count_and_its_parts(said, expected):
    found = findings_of(*(('AB', name, value) for name, value in said.items()))
    assert bounds(found, *PARTS) == expected


def test_parts_without_a_machine_bound_the_whole_from_below():
    found = gather(Machine(), [Rating('AB', 'cmb_lobar_n', 3)]).findings
    assert bounds(found, 'cmb_n', 'cmb_lobar_n') == [(3, math.inf), (3, 3)]
    assert found['cmb_deep_n'].source == 'missing'
    some = gather(Machine(), [Rating('AB', 'lacune_deep_n', 1)]).findings
    assert bounds(some, 'lacune_n') == [(1, math.inf)]


def test_lacunes_elsewhere_are_kept():
    given = Machine({'lacune_n': 5, 'lacune_deep_n': 2, 'lacune_lobar_n': 1})
    found = gather(given, [Rating('AB', 'lacune_deep_n', 0)]).findings
    assert bounds(found, 'lacune_n', 'lacune_deep_n', 'lacune_lobar_n') == [(3, 3), (0, 0), (1, 1)]


def test_candidates_that_are_accepted_count_and_those_rejected_do_not():
    said = [
        Rating('AB', 'cmb_lesions', 'accept', '3'),
        Rating('AB', 'cmb_lesions', 'reject', '0.5 0 -1'),
    ]
    evidence = gather(machine(), said)
    found = evidence.findings
    assert bounds(found, *PARTS, 'cmb_brainstem_n') == [(2, 2), (0, 0), (1, 1), (1, 1), (1, 1)]
    assert found['cmb_n'].source == 'machine + rater:AB'
    assert found['cmb_n'].lesions == ('microbleed 2', 'microbleed 3')
    sure = {row.index: row.probability for row in evidence.reviews['cmb_n'].candidates}
    assert sure == {1: 0.0, 2: 0.8, 3: 1.0}


def test_raters_who_disagree_on_a_candidate_leave_it_and_unknown_ones_are_told():
    said = [
        Rating('AB', 'cmb_lesions', 'accept', '3'),
        Rating('CD', 'cmb_lesions', 'reject', '3'),
        Rating('AB', 'cmb_lesions', 'accept', '9'),
        Rating('AB', 'lacune_lesions', 'accept', '1'),
    ]
    evidence = gather(machine(), said)
    assert evidence.findings['cmb_n'].low == 2
    assert len(evidence.notes) == 3
    assert 'no such list' in evidence.notes[-1]
    settled = gather(machine(), [*said, Rating('consensus', 'cmb_lesions', 'accept', '3')])
    assert settled.findings['cmb_n'].low == 3


def test_infratentorial_microbleeds_of_unknown_place_may_be_in_the_brainstem():
    vague = Machine(
        {'cmb_n': 1, 'cmb_lobar_n': 0, 'cmb_deep_n': 0, 'cmb_infratentorial_n': 1},
        lists={'cmb_lesions': (Candidate(1, 0.9, True, 'infratentorial'),)},
    )
    assert bounds(gather(vague).findings, 'cmb_brainstem_n') == [(0, 1)]
    rated = gather(vague, [Rating('AB', 'cmb_brainstem_n', 0)])
    assert bounds(rated.findings, 'cmb_brainstem_n') == [(0, 0)]


# ---- chances


def binomial(n, k, p):
    return math.comb(n, k) * p**k * (1 - p) ** (n - k)


def table_of(found, score, bound='total', varied='all'):
    return {
        c.total: c.probability
        for c in found
        if (c.score, c.bound, c.varied) == (score, bound, varied)
    }


def test_chances_are_those_of_the_binomial_distribution():
    """Six lobar candidates of probability 0.4: CAA points are 0, 1, 2 for 0-1, 2-4, 5-6."""
    rows = tuple(Candidate(i, 0.4, i < 3, 'lobar') for i in range(1, 7))
    given = Machine(
        {
            'cmb_n': 2,
            'cmb_lobar_n': 2,
            'cmb_deep_n': 0,
            'cmb_infratentorial_n': 0,
            'fazekas_pv': 0,
            'fazekas_deep': 0,
            'pvs_cso_grade': 1,
        },
        lists={'cmb_lesions': rows},
    )
    evidence = gather(given, [Rating('AB', 'css', 0)])
    rules = {name: RULES[name] for name in ('caa_score', 'svd_lau')}
    found = chances(evidence.findings, evidence.reviews, rules, draws=100_000, seed=1)
    p = [binomial(6, k, 0.4) for k in range(7)]
    exact = {0: p[0] + p[1], 1: p[2] + p[3] + p[4], 2: p[5] + p[6]}
    assert table_of(found, 'caa_score') == pytest.approx(exact, abs=0.006)
    # Lau lacks lacunes and the grade of the basal ganglia: two points more at most.
    least = {0: p[0], 1: sum(p[1:5]), 2: p[5] + p[6]}
    assert table_of(found, 'svd_lau', 'min') == pytest.approx(least, abs=0.006)
    most = {total + 2: share for total, share in least.items()}
    assert table_of(found, 'svd_lau', 'max') == pytest.approx(most, abs=0.006)
    again = chances(evidence.findings, evidence.reviews, rules, draws=100_000, seed=1)
    assert again == found
    assert chances(evidence.findings, evidence.reviews, rules, draws=1000, seed=2) != found


def test_each_list_alone_and_all_together():
    lists = {
        'cmb_lesions': (Candidate(1, 0.5, True, 'deep'),),
        'lacune_lesions': (Candidate(1, 0.2, False, 'basal ganglia'),),
    }
    values = {'cmb_n': 1, 'cmb_deep_n': 1, 'lacune_n': 0, 'pvs_bg_grade': 0}
    values |= {'fazekas_pv': 0, 'fazekas_deep': 0}
    evidence = gather(Machine(values, lists=lists))
    found = chances(
        evidence.findings, evidence.reviews, {'svd_staals': RULES['svd_staals']}, draws=50_000
    )
    wanted = {
        'all': {0: 0.4, 1: 0.5, 2: 0.1},
        'microbleeds': {0: 0.5, 1: 0.5},
        'lacunes': {1: 0.8, 2: 0.2},
    }
    for varied, table in wanted.items():
        assert table_of(found, 'svd_staals', varied=varied) == pytest.approx(table, abs=0.01)


def test_what_is_rated_is_certain():
    evidence = gather(machine(), [Rating('AB', 'cmb_n', 2)])
    assert evidence.reviews == {}
    known_ones = {'lacune_n': 0, 'fazekas_deep': 0, 'pvs_bg': 0}
    findings = evidence.findings | {n: Finding.of(v) for n, v in known_ones.items()}
    found = chances(findings, evidence.reviews, {'svd_staals': RULES['svd_staals']})
    assert table_of(found, 'svd_staals') == {1: 1.0}
    sure = Review((Candidate(1, 1.0, True), Candidate(2, 0.0, False)))
    assert {c.probability for c in chances(findings, {'cmb_n': sure}, RULES)} == {1.0}


# ---- files and flags


@pytest.fixture
def products(tmp_path, monkeypatch):
    """Measures of Fazekas and of microbleeds, as if that room were there."""
    bleeds = Source(room='microbleeds', markers=PARTS, list='cmb_lesions')
    fazekas = next(source for source in files.SOURCES if source.room == 'fazekas')
    monkeypatch.setattr(files, 'SOURCES', (fazekas, bleeds))
    reads = (*ROOM.reads, *(f'microbleeds.{name}' for name in PARTS))
    monkeypatch.setattr(
        files, 'ROOM', Room(**{**vars(ROOM), 'reads': tuple(dict.fromkeys(reads))})
    )
    store_values(tmp_path / 'f.json', {'fazekas_pv': 3, 'fazekas_deep': 1})
    counts = dict(zip(PARTS, (1, 1, 0, 0), strict=True))
    store_values(tmp_path / 'c.json', counts)
    (tmp_path / 'cmb.tsv').write_text(
        'index\tstatus\tprobability\tregion\tx\ty\tz\n'
        '1\tdefinite\t0.9\tlobar\t1\t2\t3\n'
        '2\tpossible\t0.5\tdeep\t9\t2\t3\n'
    )
    rows = [f'{i}\t4\t{20 if i > 2 else 1}\t{"left" if i % 2 else "right"}' for i in range(1, 15)]
    head = 'index\tmax_axial_diameter_mm\tmin_d_v_mm\tside\n'
    (tmp_path / 'wmh.tsv').write_text(head + '\n'.join(rows) + '\n')
    return {
        'fazekas_values': str(tmp_path / 'f.json'),
        'microbleeds_values': str(tmp_path / 'c.json'),
        'cmb_lesions': str(tmp_path / 'cmb.tsv'),
        'wmh_lesions': str(tmp_path / 'wmh.tsv'),
    }


def run_room(folder, takes, ratings=(), **options):
    names = ('marker', 'value', 'candidate')
    content = {'ratings': [{'rater': 'AB', **dict(zip(names, r, strict=False))} for r in ratings]}
    takes = {**takes, **({'ratings': content} if ratings else {})}
    interface = files.Scores([*takes], **takes, **options)
    folder.mkdir(exist_ok=True)
    done = interface.run(cwd=str(folder)).outputs
    return read_values(done.scores_values), {
        name: read_tsv(getattr(done, name)).rows
        for name in ('svd_points', 'svd_totals', 'svd_ratings')
    }


RATED = (
    ('lacune_n', 0),
    ('pvs_bg_grade', 2),
    ('pvs_cso_grade', 1),
    ('css', 1),
    ('ich_lobar_n', 0),
    ('ich_deep_n', 0),
)


@pytest.mark.parametrize(('probability', 'said'), [(0.55, True), (0.2, False)])
def test_a_total_that_is_not_the_likeliest_says_so(probability, said):
    """Two candidates that do not count: together it is likelier that one of them is real."""
    rows = Review(tuple(Candidate(k, probability, False, 'deep') for k in (1, 2)))
    known = {'lacune_n': 1, 'cmb_n': 0, 'pvs_bg': 1, 'fazekas_pv': 1, 'fazekas_deep': 1}
    findings = {name: Finding.of(value) for name, value in known.items()}
    rules = {'svd_staals': RULES['svd_staals']}
    totals = chances(findings, {'cmb_n': rows}, rules)
    value = files._score_values({'svd_staals': rules['svd_staals'](findings)}, totals, '')
    staals = value['svd_staals']
    assert staals.value == 1
    assert staals.qc == ('warn' if said else '')
    assert bool(re.search(r'2 is likelier \(0\.\d+ against 0\.\d+\)', staals.reason)) == said


def test_the_room_leaves_measures_points_and_chances(tmp_path, products):
    values, tables = run_room(tmp_path / 'a', products, RATED)
    staals = values['svd_staals']
    assert (staals.value, staals.method) == (3, 'rules+ratings')
    assert set(staals.of) == {'cmb_n', 'fazekas_pv', 'fazekas_deep'}
    assert [values[f'svd_staals{end}'].value for end in ('_min', '_max', '_items_n')] == [3, 3, 4]
    assert values['svd_staals_prob'].value == pytest.approx(0.95, abs=0.02)
    assert values['caa_score'].value == 0 + 1 + 0 + 1
    assert values['boston2_pattern'].value == 'probable'
    assert 'not a diagnosis' in values['boston2_pattern'].reason
    assert values['boston2_wm_feature'].value == 'yes'
    assert (values['css'].value, values['css'].reason) == ('focal', 'rater:AB')
    assert values['microinfarct_n'].value is None
    assert values['svd_amin_simple'].value is None
    points = {(r['score'], r['item']): r for r in tables['svd_points']}
    assert points['svd_staals', 'microbleeds']['lesions'] == 'microbleed 1'
    assert (
        points['svd_staals', 'hyperintensities']['lesions'] == 'WMH 1, WMH 2, WMH 3, WMH 4, WMH 5'
    )
    assert points['svd_staals', 'lacunes']['source'] == 'rater:AB'
    ha = points['ha_score', 'deep lacunes']
    assert (ha['points'], ha['source']) == ('0', 'rater:AB')
    assert points['caa_score', 'cortical superficial siderosis']['value'] == 'css focal'
    said = {row['marker']: row for row in tables['svd_ratings']}
    assert (said['css']['value'], said['css']['measured']) == ('focal', 'n/a')
    assert {r['varied'] for r in tables['svd_totals']} == {'all'}


def test_without_ratings_scores_are_ranges_that_say_why(tmp_path, products):
    values, tables = run_room(tmp_path / 'a', products)
    assert values['svd_staals'].value is None
    assert values['svd_staals'].reason == (
        '2 to 4 of 4: lacunes: not measured and not rated; grade of perivascular spaces, basal '
        'ganglia: not measured and not rated'
    )
    assert [values[f'svd_staals{end}'].value for end in ('_min', '_max', '_items_n')] == [2, 4, 2]
    assert tables['svd_ratings'] == ()
    bounds_seen = {r['bound'] for r in tables['svd_totals'] if r['score'] == 'svd_staals'}
    assert bounds_seen == {'min', 'max'}
    assert values['boston2_pattern'].value is None
    assert values['boston2_pattern_max'].value == 'probable'


def test_experimental_scores_and_the_threshold_are_options(tmp_path, products):
    values, _ = run_room(
        tmp_path / 'a', products, RATED, experimental=True, bgpvs_threshold=20, draws=200
    )
    assert values['svd_staals'].value == 2
    assert (values['svd_amin_simple'].value, values['svd_amin_amended'].value) == (2, 4)
    with pytest.raises(ValueError, match='must be 10 or 20'):
        read_options(ROOM, {'bgpvs_threshold': 15})


def test_nothing_at_all_is_told_and_no_zero(tmp_path):
    values, _ = run_room(tmp_path / 'a', {})
    assert values['svd_staals'].value is None
    assert [values[f'svd_staals{end}'].value for end in ('_min', '_max', '_items_n')] == [0, 4, 0]
    assert values['boston2_lobar_n'].reason.startswith('0 to any number')


def test_every_rated_marker_has_a_place():
    """A marker that can be rated changes a finding, or is one."""
    for name in MARKERS:
        before, after = gather(Machine()), gather(Machine(), [Rating('AB', name, 1)])
        changed = {n for n in after.findings if after.findings[n] != before.findings[n]}
        assert changed, name


def judged(of, flag_value, gates=()):
    """Judge a score that rests on a measure whose plausible range is 0 to 3, at most 4."""
    source = Measure(
        name='fazekas_pv',
        units='1',
        description='',
        method='m',
        limits=Limits(ok=(0, 3), warn=(0, 4)),
    )
    score = Measure(name='svd_staals', units='1', description='', method='m')
    room = Room(name='r', title='', needs=(), makes={}, build='', measures=(source, score))
    found = {'fazekas_pv': Value(flag_value), 'svd_staals': Value(2, of=of)}

    path = Path(judged.folder) / 'v.json'
    store_values(path, found)
    rows = collect([room], {'r': str(path)}, {})
    return {r['name']: r for r in judge_together(rows, [room], gates=gates, checks=()).rows}


@pytest.mark.parametrize(('value', 'flag'), [(2, 'ok'), (4, 'warn'), (9, 'fail')])
def test_a_score_inherits_the_flag_of_what_it_rests_on(tmp_path, value, flag):
    judged.folder = tmp_path
    assert judged(('fazekas_pv',), value)['svd_staals']['qc'] == flag
    # Rated by a person, it rests on nothing of ours.
    assert judged((), value)['svd_staals']['qc'] == 'ok'


def test_a_score_is_not_given_out_where_its_marker_is_not(tmp_path):
    from csvdprep.core.gates import Gate

    judged.folder = tmp_path
    base = Measure(
        name='lv_ml', units='mL', description='', method='', limits=Limits(ok=(8, 9), warn=(5, 9))
    )
    score = Measure(name='svd_staals', units='1', description='', method='')
    grade = Measure(name='fazekas_pv', units='1', description='', method='')
    room = Room(name='r', title='', needs=(), makes={}, build='', measures=(base, score, grade))
    path = tmp_path / 'v.json'
    store_values(path, {'lv_ml': 0.1, 'fazekas_pv': 1, 'svd_staals': Value(2, of=('fazekas_pv',))})
    gate = Gate(name='lateral ventricles', judged_by=('lv_ml',), stops=('fazekas_*',))
    rows = collect([room], {'r': str(path)}, {})
    found = {r['name']: r for r in judge_together(rows, [room], gates=[gate], checks=()).rows}
    row = found['svd_staals']
    assert (row['value'], row['ungated'], row['qc']) == (None, 2, 'na')
    assert row['reason'].startswith('rests on fazekas_pv, which is not given out: lateral ventri')
    assert json.loads(path.read_text())['svd_staals']['of'] == ['fazekas_pv']


def test_the_truth_of_the_phantom_and_the_rules_agree():
    """Two ways of writing the tables down, of which neither uses the other."""
    from csvdprep.phantom.disease.scores import NAMES, true_scores

    levels = ((0, 1), (0, 1, 4, 5), (0, 1, 2, 5), range(5), range(5), range(4), range(4))
    for values in itertools.product(*levels):
        lacunes, bleeds, lobar, basal, centrum, pv, deep = values
        truth = true_scores({names[0]: v for names, v in zip(NAMES.values(), values, strict=True)})
        rows = {
            'lacune_n': lacunes,
            'cmb_n': bleeds,
            'cmb_lobar_n': lobar,
            'pvs_bg': basal,
            'pvs_cso': centrum,
            'fazekas_pv': pv,
            'fazekas_deep': deep,
            'css': 0,
        }
        if (lobar, centrum) != (0, 0) and (lacunes, bleeds, basal) != (0, 0, 0):
            continue  # the two halves share only the grades of Fazekas
        findings = {name: Finding.of(value) for name, value in rows.items()}
        for name, (value, _) in truth.items():
            assert RULES[name](findings).low == value, (name, values)
    assert true_scores({'fazekas_pv': 1}) == {}


# ---- lesions that detectors do not list


def missed_at_least_one(listed, real):
    """Chance that some are missed, if ``real`` listed ones are real (negative binomial)."""
    return 1 - listed ** (real + 0.5)


@pytest.mark.parametrize(('real', 'listed'), [(0, 0.9), (0, 0.6), (3, 0.86)])
def test_missed_lesions_follow_the_negative_binomial_distribution(real, listed):
    rows = Review(tuple(Candidate(k, 1.0, True, 'lobar') for k in range(1, real + 1)))
    known = {'lacune_n': 0, 'pvs_bg': 0, 'fazekas_pv': 0, 'fazekas_deep': 0}
    known |= {'cmb_n': real, 'cmb_lobar_n': real, 'cmb_deep_n': 0, 'cmb_infratentorial_n': 0}
    findings = {name: Finding.of(value) for name, value in known.items()}
    seen = {}

    def rule(trial):
        extra = trial['cmb_n'].low - real
        assert extra == sum(trial[n].low for n in PARTS if n != 'cmb_n') - real
        seen[extra] = True
        return RULES['svd_lau'](findings | {'cmb_n': Finding.of(min(extra, 1))})

    found = chances(
        findings, {'cmb_n': rows}, {'any': rule}, listed={'cmb_n': listed}, draws=50_000
    )
    table = table_of(found, 'any')
    assert table.get(1, 0) == pytest.approx(missed_at_least_one(listed, real), abs=0.01)
    assert max(seen) > 1


def test_other_lesions_are_missed_where_lesions_are():
    rows = Review(tuple(Candidate(k, 1.0, True, 'lobar') for k in range(1, 9)))
    known = {'cmb_n': 8, 'cmb_lobar_n': 8, 'cmb_deep_n': 0, 'cmb_infratentorial_n': 0}
    findings = {name: Finding.of(value) for name, value in known.items()}
    more = {'cmb_lobar_n': 0, 'cmb_deep_n': 0}

    def rule(trial):
        return RULES['svd_lau'](
            {n: Finding.of(0) for n in ('lacune_n', 'pvs_bg', 'fazekas_pv', 'fazekas_deep')}
            | {'cmb_n': Finding.of(int(trial[part].low > known[part]))}
        )

    for part in more:
        found = chances(findings, {'cmb_n': rows}, {'x': rule}, listed={'cmb_n': 0.8}, draws=9000)
        more[part] = table_of(found, 'x').get(1, 0)
    assert more['cmb_lobar_n'] == pytest.approx(1 - 0.8 ** (8 + 1 / 6), abs=0.02)
    assert more['cmb_deep_n'] == pytest.approx(1 - 0.8 ** (1 / 6), abs=0.02)


@pytest.mark.parametrize(
    ('values', 'verdicts', 'wanted'),
    [
        ({'cmb_sequence': '3D T2*', 'cmb_origin': 'csvdprep'}, (), 0),
        ({'cmb_sequence': '2D T2*', 'cmb_origin': 'csvdprep'}, (), 1),
        ({'cmb_sequence': '3D T2*', 'cmb_origin': 'external'}, (), None),
        ({'cmb_sequence': '3D T2*', 'cmb_origin': 'csvdprep'}, ('1',), None),
        ({'cmb_sequence': '3D T2*', 'cmb_origin': 'csvdprep'}, ('5 5 5',), None),
    ],
)
def test_what_a_list_misses_is_known_of_own_lists_alone(tmp_path, values, verdicts, wanted):
    """Not of masks that were given, and not once a person went through the list."""
    store_values(tmp_path / 'c.json', values)
    row = Candidate(1, 0.5, True, 'lobar', (0, 0, 0))
    said = [('AB', which, 'accept' if ' ' not in which else 'add lobar') for which in verdicts]
    looked = review([row], said, 'cmb_lesions')
    shares = files.listed_shares(
        {'microbleeds_values': str(tmp_path / 'c.json')}, {'cmb_n': looked}
    )
    source = next(s for s in files.SOURCES if s.room == 'microbleeds')
    assert shares == ({} if wanted is None else {'cmb_n': source.listed[wanted]})


def test_thick_slices_of_lacunes_are_told_by_what_cannot_be_counted(tmp_path):
    source = next(s for s in files.SOURCES if s.room == 'cavities')
    for reason, wanted in (('slices of 3.0 mm: ...', 1), ('', 0)):
        value = Value(None, reason=reason) if reason else 7
        store_values(tmp_path / 'l.json', {'pvs_bg_n': value, 'lacune_origin': 'csvdprep'})
        shares = files.listed_shares(
            {'cavities_values': str(tmp_path / 'l.json')}, {'lacune_n': Review(())}
        )
        assert shares == {'lacune_n': source.listed[wanted]}
