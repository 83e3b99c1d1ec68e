"""What results, tables, pages and models tell of people: nobody's name, date or place, no few."""

import json
import re

import numpy as np
import pytest
from builders import leave_visit
from secrets_of_people import FIELDS, SCANNED, TABLES, told

from csvdprep.bids.sidecar import sidecar
from csvdprep.bids.tsv import read_tsv
from csvdprep.cli.run import run
from csvdprep.core.errors import MeasureError
from csvdprep.core.plan import Scan, Visit, VisitInput, make_plan
from csvdprep.dataset.burden.science import deviates, fit_reference
from csvdprep.dataset.norms.science import fit_norm, scores
from csvdprep.graph.discover import declared, discover
from csvdprep.report.visit import write_visit_report
from csvdprep.science.small_groups import FEW, joined

#: What a site hands on beside the rows of its visits: models, and tables of groups.
OF_ALL = (
    'group_harmonisation_model.json',
    'group_norms_model.json',
    'group_burden_model.json',
    'group_outcomes_model.json',
    'group_harmonisation.tsv',
    'group_counts.tsv',
    'group_norms.tsv',
    'group_outcomes.tsv',
    'group_audit.tsv',
    'group_values.tsv',
)


def planned():
    """Plan a visit that has every kind of scan, each with a sidecar that tells who it is."""
    scans = {
        item.name: Scan(
            name=item.name,
            path=f'/raw/{item.name}',
            uri=f'bids:raw:sub-01/anat/sub-01_{item.name}.nii.gz',
            digest=item.name,
            metadata={**FIELDS, 'EchoTime': 0.01, 'Manufacturer': 'Maker'},
        )
        for item in declared().inputs
    }
    return make_plan(VisitInput(visit=Visit('01'), scans=scans), discover())


def test_no_sidecar_of_any_product_tells_who_was_scanned():
    plan = planned()
    made = {name: item for step in plan.steps for name, item in step.room.makes.items()}
    assert len(made) > 30
    kept = set()
    for name, item in made.items():
        facts = sidecar(name, item, plan)
        text = json.dumps(facts)
        assert not [field for field, value in FIELDS.items() if field in facts or value in text]
        kept |= facts.keys()
    # The test would see them: what else the sidecar says is there.
    assert {'EchoTime', 'Manufacturer'} <= kept


def test_no_report_and_no_status_tells_who_was_scanned(tmp_path):
    plan = planned()
    status = {'state': 'ok', 'run_id': 'r', 'rooms': {}, 'failures': [], 'warnings': []}
    write_visit_report(
        output_dir=tmp_path, plan=plan, values=[], status=status, versions={}, lists=[]
    )
    page = next(tmp_path.glob('*.html')).read_text()
    assert 'Maker' in page
    assert not [value for value in FIELDS.values() if value in page]


@pytest.fixture(scope='module')
def study(tmp_path_factory):
    """Three sites with tables that tell who people are; two are past 89, three of another sex."""
    root = tmp_path_factory.mktemp('people')
    raw, out = root / 'raw', root / 'out'
    raw.mkdir()
    rng = np.random.default_rng(3)
    head = ['participant_id', 'age', 'sex', 'site', 'group', 'dementia', *TABLES]
    lines = ['\t'.join(head)]
    for k in range(99):
        label, at = f'{k:03d}', k % 3
        age = rng.uniform(60, 80) if k < 97 else 91.0
        sex = 'FM'[rng.integers(2)] if k % 33 else 'X'
        ill = rng.random() < 0.4
        row = [
            f'sub-{label}',
            f'{age:.1f}',
            sex,
            'ABC'[at],
            'HC' if k % 5 else 'patient',
            str(ill),
        ]
        lines.append('\t'.join([*row, *TABLES.values()]))
        folder = raw / f'sub-{label}'
        folder.mkdir()
        (folder / f'sub-{label}_sessions.tsv').write_text(
            f'session_id\tacq_time\nses-1\t{SCANNED}\n'
        )
        value = {
            'wmh_total_ml': float(np.exp(rng.normal(2 + 0.4 * at + ill, 1))),
            'wmh_total_pct_icv': float(np.exp(rng.normal(-1 + ill, 0.7))),
            'bpf': 0.8 - 0.002 * (age - 65) + rng.normal(0, 0.02) + 0.03 * at,
            'lv_ml': 30 + rng.normal(0, 5) + 6 * at,
            'md_nawm': 0.8 + rng.normal(0, 0.02),
            'lacune_n': int(rng.poisson(0.8)),
        }
        leave_visit(out, Visit(label, '1'), value=value, verdict='ok' if k % 9 else 'failed')
    (raw / 'participants.tsv').write_text('\n'.join(lines) + '\n')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('csvdprep.group.page.draw', lambda *given: '<svg></svg>')
        more = ['outcomes.column=dementia', 'outcomes.least_events=10']
        asked = [str(raw), str(out), 'group', '-w', str(root / 'work'), '--set', *more]
        assert run(asked) == 0
    return root


def test_the_group_level_tells_no_name_no_date_and_no_path(study):
    assert told(study / 'raw', (*TABLES.values(), SCANNED))
    words = (*TABLES.values(), SCANNED, SCANNED[:10])
    assert told(study / 'out', words) == []
    # Paths of the machine stay in the logs, which are not handed on.
    left = [path.name for path in (study / 'out').glob('group*') if str(study) in path.read_text()]
    assert left == []


def test_models_and_tables_of_groups_name_nobody(study):
    out = study / 'out'
    there = [name for name in OF_ALL if (out / name).exists()]
    assert len(there) == len(OF_ALL)
    own = read_tsv(out / 'group_measures.tsv').rows
    # Numbers of five digits or more: shorter ones may be there by chance.
    values = {
        float(row[name])
        for row in own
        for name in ('bpf', 'lv_ml', 'md_nawm', 'wmh_total_ml')
        if len(row[name].replace('.', '').lstrip('0')) >= 5
    }
    assert len(values) > 100
    for name in there:
        text = (out / name).read_text()
        assert 'sub-' not in text
        numbers = {float(found) for found in re.findall(r'-?\d+\.\d+(?:e-?\d+)?', text)}
        assert not values & numbers


def test_no_group_of_the_audit_is_small(study):
    rows = read_tsv(study / 'out' / 'group_audit.tsv').rows
    groups = {(row['by'], row['group']): int(row['visits']) for row in rows}
    people = {by: n for (by, _), n in groups.items() if by in ('sex', 'age')}
    assert {*people} == {'sex', 'age'}
    assert all(n >= FEW for (by, _), n in groups.items() if by in people)
    assert ('age', '90 to 99') not in groups
    assert ('sex', 'X') not in groups
    assert sum(n for (by, _), n in groups.items() if by == 'sex') == 99


def test_no_group_of_an_outcome_model_is_small(study):
    rows = read_tsv(study / 'out' / 'group_outcomes.tsv').rows
    assert {row['by'] for row in rows} > {'sex', 'age'}
    assert [row for row in rows if int(row['n']) < FEW] == []
    assert [row for row in rows if row['events'] != 'n/a' and 0 < int(row['events']) < FEW] == []
    card = json.loads((study / 'out' / 'group_outcomes_model.json').read_text())
    assert [r for r in card['performance by group'] if r['n'] < FEW] == []


@pytest.mark.parametrize(
    ('counts', 'expected'),
    [
        ({'a': 30, 'b': 20}, set()),
        ({'a': 30, 'b': 20, 'c': 4, 'd': 7}, {'c', 'd'}),
        # What is joined is small: it would follow from the sum of all.
        ({'a': 30, 'b': 20, 'c': 4}, {'b', 'c'}),
        ({'a': 3}, {'a'}),
        ({}, set()),
    ],
)
def test_small_groups_are_joined_until_they_are_large(counts, expected):
    assert joined(counts, 10) == expected


def test_few_controls_of_a_sex_have_no_norm():
    rng = np.random.default_rng(0)
    ages, values = rng.uniform(55, 80, 60), rng.normal(30, 4, 60)
    male = np.arange(60) < 3
    norm = fit_norm('lv_ml', values, ages, male)
    assert (norm.sexes, norm.n) == ('F', 57)
    z = scores(norm, values, np.full(60, 65.0), male)[0]
    assert np.isnan(z[:3]).all()
    assert np.isfinite(z[3:]).all()
    # Nothing of the three is in it.
    moved = np.where(male, values + 100, values)
    assert np.array_equal(fit_norm('lv_ml', moved, ages, male).location, norm.location)
    with pytest.raises(MeasureError, match='fewer than 10 controls of either sex'):
        fit_norm('lv_ml', values[:18], ages[:18], np.arange(18) < 9)
    raw = {'volume': values, 'wmh': rng.normal(size=60)}
    everybody = np.ones(60, bool)
    reference = fit_reference(raw, ages, male, everybody)
    assert reference.sexes == 'F'
    found = deviates(reference, raw, ages, male)
    assert np.isnan(found[:3]).all()
    assert np.isfinite(found[3:]).all()
    again = fit_reference(raw | {'volume': moved}, ages, male, everybody)
    assert np.array_equal(again.slopes, reference.slopes)


def test_a_group_without_men_among_the_controls(study):
    out = study / 'out'
    path = study / 'raw' / 'participants.tsv'
    kept = path.read_text()
    lines = kept.splitlines()
    rows = [line.split('\t') for line in lines[1:]]
    for k, row in enumerate(rows):
        row[2] = 'M' if row[4] == 'patient' or k in (1, 2) else 'F'
    try:
        path.write_text('\n'.join([lines[0], *('\t'.join(row) for row in rows)]) + '\n')
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr('csvdprep.group.page.draw', lambda *given: '<svg></svg>')
            asked = [str(study / 'raw'), str(out), 'group', '-w', str(study / 'work')]
            assert run([*asked, '--set', 'harmonisation.method=none']) == 0
    finally:
        path.write_text(kept)
    card = json.loads((out / 'group_norms_model.json').read_text())
    assert card['provenance']['women'] == 'not told, as fewer than 10 are of one sex'
    assert {row['sex'] for row in read_tsv(out / 'group_norms.tsv').rows} == {'F'}
    sexes = [row[2] for row in rows]
    for table in ('percentiles', 'zscores'):
        found = read_tsv(out / f'group_{table}.tsv').rows
        assert {row['lv_ml'] for row, s in zip(found, sexes, strict=True) if s == 'M'} == {'n/a'}
    index = read_tsv(out / 'group_burden.tsv').rows
    assert {row['csvdq'] for row, s in zip(index, sexes, strict=True) if s == 'M'} == {'n/a'}
    assert sum(row['csvdq'] != 'n/a' for row in index) > 50
