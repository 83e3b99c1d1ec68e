"""Datasets of phantoms: who takes part, where, and what the command line refuses."""

from __future__ import annotations

import csv
import hashlib
import json

import nibabel as nib
import numpy as np
import pytest

from csvdprep.cli import phantom as command
from csvdprep.cli.run import run
from csvdprep.core.errors import PreflightError, UsageError
from csvdprep.phantom.dataset.design import LOG_WMH, draw_persons, with_disease
from csvdprep.phantom.dataset.make import LONGEST, make_phantom
from csvdprep.phantom.dataset.modalities import MODALITIES
from csvdprep.phantom.dataset.presets import PROTOCOLS, SIZES, get_preset
from csvdprep.phantom.dataset.sites import Site, draw_sites
from csvdprep.phantom.disease import small


def _digests(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob('*')
        if path.is_file()
    }


def _rows(path):
    with path.open(encoding='utf-8') as file:
        return list(csv.DictReader(file, delimiter='\t'))


@pytest.fixture(scope='module')
def visited(tmp_path_factory):
    """Two people, one of whom travels between two sites."""
    out = tmp_path_factory.mktemp('sites') / 'raw'
    sites = draw_sites(2, 3)
    persons = draw_persons(2, seed=3, sites=sites, travelling=1)
    persons = with_disease(persons, {'wmh_ml': 4.0, 'pvs': (2, 2), 'old_infarct': True})
    return (
        make_phantom(
            out,
            persons,
            get_preset('tiny'),
            seed=3,
            sites=sites,
            modalities=('T1w', 'FLAIR'),
            nprocs=2,
        ),
        persons,
        sites,
    )


def test_bytes_do_not_depend_on_the_number_of_processes(visited, tmp_path):
    out, persons, sites = visited
    # With fewer visits than processes, the scans of a visit are made side by side.
    again = make_phantom(
        tmp_path / 'again',
        persons,
        get_preset('tiny'),
        seed=3,
        sites=sites,
        modalities=('T1w', 'FLAIR'),
        nprocs=4,
    )
    assert _digests(again) == _digests(out)


def test_a_traveller_is_the_same_at_every_site(visited):
    out, persons, _ = visited
    assert [state.site for state in persons[0].states] == ['A', 'B']
    assert len(persons[1].states) == 1
    rows = [
        r for r in _rows(out / 'derivatives/truth/measures.tsv') if r['participant_id'] == 'sub-01'
    ]
    for name in ('gm_ml', 'wmh_total_ml', 'lv_ml', 'lacune_volume_ml', 'fazekas_pv'):
        assert rows[0][name] == rows[1][name]


def test_a_site_reports_lengths_as_it_is_calibrated(visited):
    out, _, sites = visited
    sizes = [
        nib.load(next(out.glob(f'sub-01/ses-{n}/anat/*_T1w.nii.gz'))).header.get_zooms()[0]
        for n in (1, 2)
    ]
    assert sites[0].length == 1
    assert sizes[1] / sizes[0] == pytest.approx(sites[1].length, rel=1e-5)
    assert abs(sites[1].length - 1) > 1e-5


def test_an_old_infarct_is_listed_as_a_distractor(visited):
    out, *_ = visited
    stem = next(out.glob('derivatives/truth/sub-02/ses-1/anat/*FLAIR_label-WMH_lesions.tsv'))
    kinds = [row['kind'] for row in _rows(stem)]
    assert kinds.count('infarct') == 1
    mask = nib.load(next(stem.parent.glob('*FLAIR_label-infarct_mask.nii.gz')))
    lesion = nib.load(next(stem.parent.glob('*FLAIR_label-WMH_mask.nii.gz')))
    infarct, wmh = (np.asanyarray(image.dataobj) > 0 for image in (mask, lesion))
    assert infarct.sum() > 50
    assert not (infarct & wmh).any()


def test_tables_of_participants_and_design(visited):
    out, persons, sites = visited
    people = _rows(out / 'participants.tsv')
    assert [row['participant_id'] for row in people] == ['sub-01', 'sub-02']
    known = json.loads((out / 'participants.json').read_text())
    assert set(people[0]) - {'participant_id'} == set(known)
    effects = _rows(out / 'derivatives/truth/sites.tsv')
    assert float(effects[1]['b_value']) == pytest.approx(sites[1].b_value, rel=1e-4)
    assert persons[0].covariates['age'] == float(people[0]['age'])


def test_drawn_participants_have_the_association_that_is_stated():
    persons = draw_persons(3000, seed=5)
    age = np.array([(p.covariates['age'] - 70) / 10 for p in persons])
    pressure = np.array([p.covariates['hypertension'] for p in persons])
    load = np.log([p.states[0].disease.wmh_ml for p in persons])
    design = np.column_stack([np.ones(len(age)), age, pressure])
    (_, by_age, by_pressure), *_ = np.linalg.lstsq(design, load, rcond=None)
    assert by_age == pytest.approx(LOG_WMH['per_decade'], abs=0.05)
    assert by_pressure == pytest.approx(LOG_WMH['hypertension'], abs=0.08)


def test_visits_follow_each_other():
    first, second = draw_persons(1, visits=2, seed=5)[0].states
    assert second.atrophy > first.atrophy
    assert second.disease.wmh_growth_ml > second.disease.wmh_shrink_ml > 0
    assert first.disease.new_lacunes == 0
    for person in draw_persons(40, visits=4, seed=6):
        # What is new stays.
        new = [state.disease.new_lacunes for state in person.states]
        bleeds = [state.disease.new_microbleeds[0] for state in person.states]
        assert new == sorted(new)
        assert bleeds == sorted(bleeds)


@pytest.mark.parametrize(
    ('words', 'why'),
    [
        (['--new-lacunes', '1'], '--new-lacunes needs a later visit'),
        (['--new-infarcts', '1', '--visits', '2', '--years', '0'], 'needs a later visit'),
        (['--into', '.', '--with', '.', '--new-lacunes', '1'], 'cannot be combined with --into'),
    ],
)
def test_new_lesions_need_a_later_visit(tmp_path, words, why):
    with pytest.raises(UsageError, match=why):
        run(['phantom', str(tmp_path / 'out'), '--preset', 'tiny', *words])


def test_site_effects_reach_the_protocols():
    site = Site(name='B', noise=2.0, bias=1.5, b_value=1.05, labelling=0.9)
    protocols = get_preset('tiny').protocols
    assert site.scan(protocols['dwi']).b_scale == 1.05
    assert site.scan(protocols['dwi']).snr == protocols['dwi'].snr / 2
    assert site.scan(protocols['asl']).label_scale == 0.9
    assert site.scan(protocols['T1w']).scan.noise == 2 * protocols['T1w'].scan.noise


def test_every_preset_has_scans_that_can_be_made_and_named():
    names = {
        name
        for size in SIZES
        for protocol in PROTOCOLS
        for name in get_preset(size, protocol).protocols
    }
    assert names == set(MODALITIES) == set(LONGEST) == set(command.MODALITIES)


@pytest.mark.parametrize(
    ('options', 'field'),
    [
        (['--modalities', 'T1w', 'bold'], '--modalities'),
        (['--wmh-ml', '130'], '--wmh-ml'),
        (['--fazekas', '2', '4'], '--fazekas'),
        (['--travelling', '1'], '--travelling'),
        (['--protocol', 'research', '7t'], '--protocol'),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_written(tmp_path, options, field):
    with pytest.raises(UsageError) as refused:
        run(['phantom', str(tmp_path / 'out'), *options])
    assert refused.value.field == field
    assert not (tmp_path / 'out').exists()


def test_a_folder_with_files_is_refused(tmp_path):
    (tmp_path / 'old').write_text('x')
    with pytest.raises(PreflightError, match='not empty'):
        run(['phantom', str(tmp_path)])


def test_too_many_lesions_are_told_by_visit(tmp_path, monkeypatch):
    monkeypatch.setattr(small, 'TRIES', 1)
    with pytest.raises(PreflightError, match=r'sub-01 ses-1 cannot be made.*no room'):
        run(
            [
                'phantom',
                str(tmp_path / 'out'),
                '--preset',
                'tiny',
                '--participants',
                '1',
                '--modalities',
                'T1w',
                '--lacunes',
                '60',
            ]
        )
