"""Files in, files out; the rules are in the science."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from nipype.interfaces.base import (
    DynamicTraitedSpec,
    File,
    SimpleInterface,
    TraitedSpec,
    isdefined,
    traits,
)
from nipype.interfaces.io import add_traits

from csvdprep.bids.tsv import MISSING, read_tsv
from csvdprep.core.ratings import MARKERS
from csvdprep.interfaces.candidates import read_candidates
from csvdprep.interfaces.lists import write_rows
from csvdprep.interfaces.values import Value, read_measure, write_values
from csvdprep.markers.scores import NO_DIAGNOSIS, ROOM, SCALES
from csvdprep.markers.scores.science import (
    RULES,
    Evidence,
    Machine,
    Rating,
    Review,
    boston2,
    chances,
    gather,
    is_multispot,
)
from csvdprep.markers.scores.sources import SOURCES, WMH_LIST, WMH_MEASURE

_EXPERIMENTAL = (
    'the item table is not checked against the paper; given with --set scores.experimental=true'
)
#: Lesions named behind a grade, the largest first, and how far from the ventricles those are that
#: make the periventricular one, mm.
_NAMED, _NEAR_MM = 3, 3.0
#: Measures that only persons give.
_RATED = tuple(m.name for m in ROOM.measures if m.method == 'rated')


class _InputSpec(DynamicTraitedSpec):
    bgpvs_threshold = traits.Int(10, usedefault=True, desc='perivascular spaces, basal ganglia')
    experimental = traits.Bool(False, usedefault=True, desc='whether these are given, too')
    draws = traits.Int(4000, usedefault=True, desc='number of draws')
    seed = traits.Int(42, usedefault=True, desc='seed of the draws')


class _OutputSpec(TraitedSpec):
    svd_points = File(exists=True, desc='points of each item')
    svd_totals = File(exists=True, desc='probability of each total')
    svd_ratings = File(exists=True, desc='ratings')
    scores_values = File(exists=True, desc='measures')


class Scores(SimpleInterface):
    """Score a visit by what detectors and persons say of it."""

    input_spec = _InputSpec
    output_spec = _OutputSpec

    def __init__(self, names=(), **inputs):
        self._names = list(names)
        files = {name: inputs.pop(name) for name in self._names if name in inputs}
        super().__init__(**inputs)
        add_traits(self.inputs, self._names)
        self.inputs.trait_set(**files)

    def _run_interface(self, runtime):
        folder, takes = Path(runtime.cwd), self._taken()
        machine = read_machine(takes)
        said = [Rating(**row) for row in (takes.get('ratings') or {}).get('ratings', ())]
        evidence = gather(machine, said)
        rules = _rules(self.inputs.bgpvs_threshold, self.inputs.experimental)
        scores = {name: rule(evidence.findings) for name, rule in rules.items()}
        totals = chances(
            evidence.findings,
            evidence.reviews,
            rules,
            listed=listed_shares(takes, evidence.reviews),
            draws=self.inputs.draws,
            seed=self.inputs.seed,
        )
        pattern = boston2(evidence.findings)
        items = [item for s in (*scores.values(), pattern.score) for item in s.items]
        made = {
            'svd_points': [_points_row(item) for item in items],
            'svd_totals': [vars(chance) for chance in totals],
            'svd_ratings': [_rating_row(item, machine) for item in said],
        }
        for name, rows in made.items():
            self._results[name] = write_rows(
                rows, ROOM.makes[name].columns, folder / f'{name}.tsv'
            )
        notes = '; '.join(evidence.notes)
        values = _score_values(scores, totals, notes)
        values |= _boston_values(pattern)
        values |= _rated_values(evidence)
        self._results['scores_values'] = write_values(folder / 'values.json', values, ROOM)
        return runtime

    def _taken(self) -> dict:
        found = {name: getattr(self.inputs, name) for name in self._names}
        return {name: item for name, item in found.items() if isdefined(item)}


def read_machine(takes: Mapping[str, str]) -> Machine:
    """Read what detectors say from the products of their rooms.

    Parameters
    ----------
    takes : mapping of str to str
        Files by the names of products; those that a visit lacks are left out.

    Returns
    -------
    Machine
    """
    values, reasons, lists, measures, lesions = {}, {}, {}, {}, {}
    for source in SOURCES:
        for name in source.markers if source.values in takes else ():
            found = read_measure(Path(takes[source.values]), f'{source.room}.{name}', ROOM)
            if found.value is not None:
                values[name] = int(found.value)
            if found.reason and found.value is None:
                reasons[name] = f'{MARKERS[name].title}: {found.reason}'
        if source.list and source.list in takes:
            lists[source.list] = read_candidates(Path(takes[source.list]))
    if WMH_LIST in takes:
        rows = read_tsv(takes[WMH_LIST]).rows
        spots, number = is_multispot(
            (_number(r['max_axial_diameter_mm']), _number(r['min_d_v_mm']), r['side'])
            for r in rows
        )
        values['wmh_multispot'] = int(spots)
        reasons['wmh_multispot'] = f'{number} small subcortical hyperintensities'
        measures['wmh_multispot'] = (WMH_MEASURE,)
        near = [r for r in rows if _number(r['min_d_v_mm']) <= _NEAR_MM]
        far = [r for r in rows if _number(r['min_d_v_mm']) > _NEAR_MM]
        lesions['fazekas_pv'], lesions['fazekas_deep'] = (
            tuple(f'WMH {r["index"]}' for r in some[:_NAMED]) for some in (near, far)
        )
    return Machine(values, reasons, lists, measures, lesions)


def listed_shares(takes: Mapping[str, str], reviews: Mapping[str, Review]) -> dict[str, float]:
    """Tell which share of lesions the lists of detectors have.

    Parameters
    ----------
    takes : mapping of str to str
        Files by the names of products.
    reviews : mapping of str to Review
        Lists by the name of the count that they give.

    Returns
    -------
    dict of str to float
        By the name of the count. Without lists of masks that were given, of which nothing is
        known, and those that a person went through: with a verdict on every candidate, or with a
        lesion added.
    """
    found = {}
    for source in SOURCES:
        looked = reviews.get(source.total)
        if looked is None or source.values not in takes:
            continue
        if any(row.added for row in looked.candidates) or (
            looked.by and all(row.index in looked.by for row in looked.candidates)
        ):
            continue
        path = Path(takes[source.values])
        if read_measure(path, f'{source.room}.{source.origin}', ROOM).value == 'external':
            continue
        name, begin = source.thick
        told = read_measure(path, f'{source.room}.{name}', ROOM)
        text = told.reason if told.value is None else str(told.value)
        found[source.total] = source.listed[text.startswith(begin)]
    return found


def _number(text: str) -> float:
    return float('nan') if text == MISSING else float(text)


def _rules(threshold: int, experimental: bool) -> dict:
    rules = {
        name: rule
        for name, rule in RULES.items()
        if experimental or not name.startswith('svd_amin')
    }
    return rules | {'svd_staals': partial(RULES['svd_staals'], bgpvs_threshold=threshold)}


def _points_row(item) -> dict:
    endless = item.high == float('inf')
    return {
        'score': item.score,
        'item': item.name,
        'points': item.low if item.known else None,
        'points_min': item.low,
        'points_max': None if endless else item.high,
        'max': item.most or None,
        'value': item.value,
        'source': item.found.source,
        'reason': item.found.reason,
        'lesions': ', '.join(item.found.lesions),
    }


def _rating_row(item: Rating, machine: Machine) -> dict:
    marker = MARKERS.get(item.marker)
    value = item.value if item.candidate or marker is None else marker.word(int(item.value))
    measured = machine.values.get(item.marker)
    return {
        'marker': item.marker,
        'rater': item.rater,
        'value': value,
        'candidate': item.candidate,
        'measured': None if measured is None or marker is None else marker.word(measured),
    }


def _score_values(scores, totals, notes: str) -> dict[str, Value]:
    """Give each score its value, or its range."""
    values = {}
    for name in (scale.name for scale in SCALES):
        score = scores.get(name)
        if score is None:
            none = Value(None, reason=_EXPERIMENTAL)
            ends = ('', '_min', '_max', '_items_n', '_prob')
            values |= {f'{name}{end}': none for end in ends}
            continue
        rated = any('rater:' in item.found.source for item in score.items)
        more = {'of': score.measures, 'method': 'rules+ratings' if rated else ''}
        by_total = {
            c.total: c.probability
            for c in totals
            if (c.score, c.bound, c.varied) == (name, 'total', 'all')
        }
        sure = by_total.get(score.low, 0.0)
        words = [notes] if notes else []
        if score.known and by_total and max(by_total.values()) > sure:
            likely = max(by_total, key=lambda total: by_total[total])
            words.append(
                f'by the probability of the candidates {likely} is likelier '
                f'({by_total[likely]:.2f} against {sure:.2f}): review the lists'
            )
        told = {'reason': '; '.join(words), 'qc': 'warn'} if words else {}
        values |= {
            name: Value(score.low, **told, **more)
            if score.known
            else Value(None, reason=score.reason),
            f'{name}_min': Value(score.low, **more),
            f'{name}_max': Value(score.high, **more),
            f'{name}_items_n': Value(score.known_items),
            f'{name}_prob': Value(sure, **more)
            if score.known
            else Value(None, reason='the score is a range'),
        }
    return values


def _boston_values(pattern) -> dict[str, Value]:
    """Tell the pattern of Boston 2.0."""
    more = {'of': pattern.measures}
    least, most = pattern.pattern
    why = pattern.score.why

    def known(pair, word, reason=NO_DIAGNOSIS):
        if pair[0] == pair[1]:
            return Value(word(pair[0]), reason=reason, **more)
        high = 'any number' if pair[1] == float('inf') else word(pair[1])
        return Value(None, reason=f'{word(pair[0])} to {high}: {why}; {reason}')

    return {
        'boston2_lobar_n': known(pattern.lobar, int),
        'boston2_wm_feature': known(pattern.feature, lambda is_there: 'yes' if is_there else 'no'),
        'boston2_pattern': known(pattern.pattern, str),
        'boston2_pattern_min': Value(least, reason=NO_DIAGNOSIS, **more),
        'boston2_pattern_max': Value(most, reason=NO_DIAGNOSIS, **more),
    }


def _rated_values(evidence: Evidence) -> dict[str, Value]:
    """Hand on what only persons tell."""
    found = {}
    for name in _RATED:
        item, marker = evidence.findings[name], MARKERS[name]
        if not item.known:
            found[name] = Value(None, reason=item.reason)
        else:
            value = marker.word(int(item.low)) if marker.levels else int(item.low)
            found[name] = Value(value, reason=item.source)
    return found
