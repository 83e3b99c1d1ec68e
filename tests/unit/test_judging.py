"""Nothing wrong goes out as ok: foundations, contradictions, and the verdict on a visit."""

import re
from pathlib import Path

import numpy as np
import pytest

from csvdprep.bids.tsv import read_tsv
from csvdprep.core.gates import GATES, GROUPS, gates_table, groups_table, matches
from csvdprep.core.plan import Visit
from csvdprep.core.plausibility import CHECKS, checks_table, contradictions
from csvdprep.graph.discover import discover
from csvdprep.graph.judging import counts, judge_together
from csvdprep.graph.tables import judge, write_tables
from csvdprep.interfaces.values import Value
from csvdprep.preprocessing.filling.science.histogram import suggested_volumes

ROOMS = discover()
MEASURES = {m.name: m for room in ROOMS for m in room.measures}
#: Also those of participants.
EVERY = MEASURES | {m.name: m for room in discover(level='participant') for m in room.measures}
SOUND = {
    'qc_brain_ml': 1450.0,
    'icv_ml': 1450.0,
    'icv_template_ml': 1430.0,
    'qc_template_dice': 0.98,
    'head_scale': 0.75,
    'qc_cnr': 2.6,
    'gm_ml': 680.0,
    'wm_ml': 500.0,
    'csf_ml': 270.0,
    'bpf': 0.81,
    'evans': 0.24,
    'lv_ml': 25.0,
    'qc_lv_asymmetry': 0.05,
    'qc_flair_t1w_edges': 0.8,
    'qc_flair_mask_dice': 0.98,
    'qc_flair_noise': 0.12,
    'qc_filled_ml': 3.0,
    'qc_flair_bright_ml': 6.0,
    'qc_flair_dark_ml': 30.0,
    'wmh_total_ml': 12.0,
    'wmh_total_pct_icv': 0.8,
    'wmh_jv_ml': 5.0,
    'wmh_pv_ml': 5.0,
    'wmh_dw_ml': 1.5,
    'wmh_jc_ml': 0.5,
    'wmh_left_ml': 6.0,
    'wmh_right_ml': 6.0,
    'wmh_deepgrey_ml': 0.1,
    'wmh_infratentorial_ml': 0.2,
    'wmh_infarct_ml': 0.0,
    'fazekas_pv': 2,
    'fazekas_deep': 1,
    'fazekas_total': 3,
    'fazekas_by_volume': 2,
    'md_wmh': 1.1,
    'md_nawm': 0.8,
    'fa_nawm': 0.4,
    'fa_wmh': 0.3,
    'qc_dwi_table': 'ok',
    'qc_dwi_fd_mm': 0.2,
    'alps_reo_r2p5': 1.4,
    'psmd_1e4': 2.5,
    'qc_wmh_at_border': 'no',
}


def visit(flags=(), **values):
    """Judge a sound visit in which some values are others."""
    rows = [
        judge(
            MEASURES[name],
            Value(
                value,
                qc=dict(flags).get(name, ''),
                reason='' if value is not None else 'not measured',
            ),
        )
        for name, value in {**SOUND, **values}.items()
    ]
    return judge_together(rows, ROOMS)


def of(judged, name):
    return next(row for row in judged.rows if row['name'] == name)


def test_a_sound_visit_is_ok():
    judged = visit()
    assert judged.verdict == 'ok'
    assert not judged.remarks
    assert {row['qc'] for row in judged.rows} == {'ok'}
    assert all(row['ungated'] is None for row in judged.rows)


def test_what_stands_on_failed_ventricles_is_not_given_out():
    judged = visit(lv_ml=0.1, fazekas_pv=0)
    for name in ('fazekas_pv', 'fazekas_deep', 'wmh_jv_ml', 'wmh_jc_ml', 'evans'):
        row = of(judged, name)
        assert (row['value'], row['qc']) == (None, 'na')
        assert row['reason'].startswith('lateral ventricles failed: 0.1 mL where 4 to 180')
    assert of(judged, 'fazekas_pv')['ungated'] == 0
    assert of(judged, 'lv_ml')['qc'] == 'fail'
    assert of(judged, 'gm_ml')['value'] == SOUND['gm_ml']
    assert judged.verdict == 'failed'


@pytest.mark.parametrize(
    ('failed', 'gone', 'left'),
    [
        (
            {'qc_cnr': 0.5},
            ('gm_ml', 'gm_pct_icv', 'wm_pct_icv', 'hippocampus_left_ml'),
            'lv_pct_icv',
        ),
        ({'lv_ml': 0.1}, ('lv_pct_icv',), 'gm_pct_icv'),
        ({'qc_brain_ml': 300.0}, ('gm_pct_icv', 'lv_pct_icv', 'hippocampus_pct_icv'), 'qc_cnr'),
    ],
)
def test_percentages_go_with_their_volumes(failed, gone, left):
    judged = visit(
        **failed,
        gm_pct_icv=47.0,
        wm_pct_icv=34.0,
        lv_pct_icv=1.7,
        hippocampus_left_ml=3.0,
        hippocampus_pct_icv=0.4,
    )
    assert [of(judged, name)['value'] for name in gone] == [None] * len(gone)
    assert of(judged, left)['value'] is not None


def test_the_deepest_foundation_is_named():
    judged = visit(qc_brain_ml=300.0, lv_ml=0.1)
    assert of(judged, 'wmh_jv_ml')['reason'].startswith('brain mask failed: 300 mL where 800 to')
    assert of(judged, 'lv_ml')['ungated'] == 0.1
    assert [footing.name for footing in judged.footings] == ['brain mask']


def test_a_warning_is_passed_on_in_words():
    judged = visit(lv_ml=150.0, qc_flair_dark_ml=160.0, csf_ml=400.0)
    row = of(judged, 'fazekas_pv')
    assert (row['value'], row['qc']) == (SOUND['fazekas_pv'], 'warn')
    assert row['reason'] == 'lateral ventricles to be checked: 150 mL where 6 to 120 is usual'
    assert judged.verdict == 'check'


def test_a_foundation_without_value_says_nothing():
    judged = visit(lv_ml=None, qc_flair_t1w_edges=None)
    assert of(judged, 'fazekas_pv')['qc'] == 'ok'


def test_a_wrong_gradient_table_stops_what_has_directions():
    judged = visit(qc_dwi_table='flipped', flags={'qc_dwi_table': 'fail'}.items())
    assert of(judged, 'alps_reo_r2p5')['ungated'] == SOUND['alps_reo_r2p5']
    assert of(judged, 'psmd_1e4')['value'] == SOUND['psmd_1e4']


def test_a_mask_that_contradicts_the_flair_fails_and_stops_its_zones():
    judged = visit(wmh_total_ml=0.0, qc_filled_ml=60.0, qc_flair_bright_ml=80.0)
    total = of(judged, 'wmh_total_ml')
    assert (total['value'], total['qc']) == (0.0, 'fail')
    assert '60 mL' in total['reason']
    assert '80 mL' in total['reason']
    assert of(judged, 'wmh_jc_ml')['value'] is None
    assert judged.remarks[0][0] == 'fail'
    assert judged.remarks[0][1].startswith('The preliminary step found 60 mL')
    assert judged.verdict == 'failed'


def test_a_flair_that_shows_another_brain_does_not_accuse_the_ventricles():
    judged = visit(qc_flair_dark_ml=1.5, qc_flair_mask_dice=0.75)
    assert of(judged, 'lv_ml')['qc'] == 'ok'
    assert [footing.name for footing in judged.footings] == ['FLAIR on T1w']
    assert of(visit(qc_flair_dark_ml=1.5), 'lv_ml')['qc'] == 'fail'


def test_what_only_judges_quality_does_not_make_the_verdict():
    judged = visit(
        qc_flair_bright_ml=0.0, qc_filled_ml=1.0, flags={'qc_filled_ml': 'warn'}.items()
    )
    assert judged.verdict == 'ok'


@pytest.mark.parametrize(
    ('values', 'flag', 'words'),
    [
        ({'wmh_total_ml': 2.0, 'qc_filled_ml': 5.2}, 'warn', 'preliminary step'),
        ({'wmh_total_ml': 1.0, 'qc_flair_bright_ml': 9.0}, 'fail', 'brighter than normal'),
        ({'wmh_total_ml': 40.0, 'qc_filled_ml': 0.1}, 'warn', 'only 0.1 mL'),
        ({'lv_ml': 0.1, 'qc_flair_dark_ml': 160.0}, 'fail', 'FLAIR shows 160 mL of fluid'),
        ({'lv_ml': 90.0, 'qc_flair_dark_ml': 5.0}, 'fail', 'but the FLAIR shows only 5 mL'),
        ({'lv_ml': 150.0, 'csf_ml': 120.0}, 'fail', 'all cerebrospinal fluid'),
        ({'lv_ml': 0.5, 'evans': 0.4}, 'fail', 'Evans index is 0.4'),
        ({'icv_ml': 1000.0, 'icv_template_ml': 1500.0}, 'fail', 'template suggests 1.5e+03'),
        ({'icv_template_ml': 1000.0, 'icv_ml': 1180.0}, 'warn', 'template suggests 1e+03'),
        ({'gm_ml': 400.0, 'wm_ml': 300.0, 'csf_ml': 100.0, 'icv_ml': 1400.0}, 'fail', 'sum to'),
        ({'wmh_total_ml': 300.0, 'wm_ml': 400.0}, 'fail', 'all white matter'),
        ({'wmh_total_ml': 2.5, 'wmh_infratentorial_ml': 3.0}, 'warn', 'Brainstem'),
        ({'wmh_total_ml': 0.5, 'wmh_deepgrey_ml': 3.0}, 'fail', 'Deep grey'),
        (
            {'wmh_jv_ml': 0.0, 'wmh_pv_ml': 0.0, 'wmh_dw_ml': 0.1, 'wmh_total_ml': 20.0},
            'fail',
            'all but 0.1 mL are juxtacortical',
        ),
        (
            {
                'wmh_jv_ml': 1.0,
                'wmh_pv_ml': 3.0,
                'wmh_dw_ml': 1.0,
                'wmh_jc_ml': 1.0,
                'wmh_total_ml': 10.0,
            },
            'fail',
            'four zones',
        ),
        ({'wmh_left_ml': 0.4, 'wmh_right_ml': 8.0}, 'warn', 'The right hemisphere has 8'),
        ({'wmh_left_ml': 8.0, 'wmh_right_ml': 0.0}, 'fail', 'The left hemisphere has 8'),
        ({'fazekas_pv': 0, 'fazekas_deep': 0, 'fazekas_by_volume': 3}, 'fail', 'suggests 3'),
        ({'md_wmh': 0.6, 'md_nawm': 0.8}, 'fail', 'may not be aligned'),
    ],
)
def test_each_check_finds_what_it_is_for(values, flag, words):
    found = contradictions(values)
    assert [(item.flag, words in item.words) for item in found] == [(flag, True)]


def test_absent_measures_contradict_nothing():
    for name, value in SOUND.items():
        assert contradictions({name: value} if isinstance(value, float | int) else {}) == []


def test_every_gate_is_about_measures_that_exist():
    patterns = {pattern for group in GROUPS.values() for pattern in group}
    for gate in GATES:
        assert set(gate.judged_by) <= set(EVERY), gate.name
        patterns |= {*gate.stops, *gate.warns}
    for pattern in patterns:
        assert any(matches(name, (pattern,)) for name in EVERY), pattern


def test_every_result_stands_on_something_and_every_range_that_fails_carries_something():
    carried = [pattern for gate in GATES for pattern in (*gate.stops, *gate.warns)]
    judges = {name for gate in GATES for name in gate.judged_by}
    # Scores tell in each visit which measures they rest on; a person may have rated some.
    told = {m.name for room in ROOMS if room.name == 'scores' for m in room.measures}
    for measure in MEASURES.values():
        if counts(measure) and measure.name not in told:
            assert matches(measure.name, carried) or measure.name in judges, measure.name
    for measure in EVERY.values():
        if measure.name.startswith('qc_') and measure.limits:
            assert measure.name in judges, measure.name


def test_every_check_is_about_measures_that_exist():
    for check in CHECKS:
        assert {*check.reads, *check.concerns} <= set(MEASURES), check.name


def test_the_docs_have_both_tables():
    page = Path(__file__).parents[2].joinpath('docs/quality.md').read_text(encoding='utf-8')
    assert gates_table() in page
    assert groups_table() in page
    assert checks_table() in page


def test_the_table_keeps_what_was_computed(tmp_path):
    write_tables(Visit('01'), visit(lv_ml=0.1), ROOMS, tmp_path)
    long = {
        row['measure']: row
        for row in read_tsv(tmp_path / 'sub-01/sub-01_desc-csvdlong_measures.tsv').rows
    }
    assert (long['wmh_jv_ml']['value'], long['wmh_jv_ml']['ungated']) == ('n/a', '5')
    assert long['lv_ml']['ungated'] == 'n/a'
    assert read_tsv(tmp_path / 'sub-01/sub-01_desc-csvd_measures.tsv').rows[0]['qc'] == 'fail'


@pytest.mark.parametrize('load', [0, 8])
def test_what_the_histogram_suggests_does_not_depend_on_the_load(load):
    rng = np.random.default_rng(0)
    flair = rng.normal(100, 8, (40, 40, 40))
    flair[10 : 10 + load, 10:30, 10:30] = rng.normal(160, 8, (load, 20, 20))
    flair[22:26, 15:25, 15:25] = 5
    bright, dark = suggested_volumes(flair, np.ones(flair.shape), (2, 2, 2))
    assert bright == pytest.approx(load * 400 * 0.008, abs=0.3)
    assert dark == pytest.approx(400 * 0.008, abs=0.01)


def test_bright_cortex_is_too_thin_to_count():
    flair = np.full((40, 40, 40), 100.0) + np.random.default_rng(0).normal(0, 3, (40, 40, 40))
    flair[20:22] = 140
    assert suggested_volumes(flair, np.ones(flair.shape), (1, 1, 1))[0] == 0


def test_flags_follow_what_a_marker_needs():
    """A grade of a mask that asks for a look asks for one; what reads neither does not."""
    rows = [row for room in ROOMS for row in _rows_of(room)]
    by_name = {row['name']: row for row in rows}
    by_name['wmh_total_ml'] |= {'qc': 'warn', 'reason': 'beside the cortex'}
    judged = {row['name']: row for row in judge_together(rows, ROOMS, gates=(), checks=()).rows}
    for name in ('fazekas_pv', 'fazekas_deep', 'wmh_jv_ml', 'pen_delta_md'):
        assert judged[name]['qc'] == 'warn', name
        assert judged[name]['reason'] == 'rests on wmh_total_ml, which asks for a look', name
    assert judged['wmh_total_ml']['reason'] == 'beside the cortex'
    for name in ('lacune_n', 'bpf', 'psmd_1e4', 'qc_wmh_cortex_pct'):
        assert judged[name]['qc'] == 'ok', name


def _standing_on():
    """Return each marker with another whose result it takes, and whether it can do without."""
    markers = {room.name: room for room in ROOMS if room.marker}
    makers = {name: room for room in markers.values() for name in room.outputs()}
    for room in markers.values():
        needed = {makers[name].name for name in room.needs if name in makers}
        needed |= {name.partition('.')[0] for name in room.reads} & markers.keys()
        wanted = {makers[name].name for name in room.wants if name in makers}
        for other in sorted((needed | wanted) - {room.name}):
            yield pytest.param(room, markers[other], other in needed, id=f'{room.name}-{other}')


@pytest.mark.parametrize(('room', 'other', 'is_needed'), _standing_on())
def test_flags_follow_in_every_room(room, other, is_needed):
    """All results that need a marker; what is measured in hyperintensities or beside them."""
    rows = [row for room in ROOMS for row in _rows_of(room)]
    by_name = {row['name']: row for row in rows}
    # Zones have no result of their own: they stand on the mask.
    odd = [m.name for m in other.measures if m.primary] or ['wmh_total_ml']
    for name in odd:
        by_name[name] |= {'qc': 'warn', 'reason': 'odd'}
    judged = {row['name']: row for row in judge_together(rows, ROOMS, checks=()).rows}
    judges = {name for gate in GATES for name in gate.judged_by}
    results = [m.name for m in room.measures if counts(m) and m.name not in judges]
    if not is_needed:
        of_mask = {'wmh', 'zones'} & {other.name}
        results = [name for name in results if of_mask and re.search('wmh|nawm|^pen_', name)]
        results = [name for name in results if 'withwmh' not in name]
    assert [name for name in results if judged[name]['qc'] == 'ok'] == []


def test_leakage_in_hyperintensities_goes_with_their_mask():
    rows = [row for room in ROOMS for row in _rows_of(room)]
    next(r for r in rows if r['name'] == 'wmh_total_ml').update(qc='fail', reason='odd')
    judged = {row['name']: row for row in judge_together(rows, ROOMS, checks=()).rows}
    for name in ('ps_wmh_1e4_permin', 'vl_wmh_pct', 'dsc_cbv_wmh_to_nawm', 'tdc_wmh_median_s'):
        assert (judged[name]['value'], judged[name]['ungated']) == (None, 1), name
    for name in ('ps_nawm_1e4_permin', 'dsc_cbv_dgm_to_nawm', 'psmd_nonlesion_1e4'):
        assert judged[name]['qc'] == 'warn', name
    # A fault of diffusion is none of blood flow.
    rows = [row for room in ROOMS for row in _rows_of(room)]
    next(r for r in rows if r['name'] == 'qc_dwi_anat_dice').update(qc='fail', reason='odd')
    judged = {row['name']: row for row in judge_together(rows, ROOMS, checks=()).rows}
    assert (judged['fa_nawm']['value'], judged['cbf_nawm']['value']) == (None, 1)


def test_a_result_that_says_what_it_is_made_of_is_believed():
    rows = [row for room in ROOMS for row in _rows_of(room)]
    by_name = {row['name']: row for row in rows}
    by_name['wmh_total_ml'] |= {'qc': 'fail', 'reason': 'odd'}
    by_name['fazekas_pv']['of'] = ('lv_ml',)
    judged = {row['name']: row for row in judge_together(rows, ROOMS, gates=(), checks=()).rows}
    assert judged['fazekas_pv']['qc'] == 'ok'
    assert judged['wmh_jv_ml']['qc'] == 'fail'


def _rows_of(room):
    return [
        {'name': m.name, 'value': 1, 'low': None, 'high': None, 'n': None, 'reason': ''}
        | {'qc': 'ok', 'units': m.units, 'of': ()}
        for m in room.measures
    ]
