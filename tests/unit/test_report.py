"""The report says what was found, escapes all of it, and stands alone."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from csvdprep.core.failure import Failure
from csvdprep.core.plan import Plan, Scan, Visit, VisitInput, make_plan
from csvdprep.core.room import Column, Derivative, Figure, Limits, Measure, Room
from csvdprep.graph.discover import declared
from csvdprep.report import boilerplate, references, summary
from csvdprep.report.spec import bootstrap_text, report_spec
from csvdprep.report.visit import write_visit_report

LISTED = Derivative(
    suffix='lesions',
    extension='.tsv',
    description='',
    lists='Hyperintensities',
    columns=(Column(name='x_mni', description='', aside=True),),
)

HOSTILE = '</style><script>window.hacked=1</script><img src=x onerror="hacked=1">{subject}{{7*7}}'
SVG = '<!-- x --><svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><text>é</text></svg>\n'


class Page(HTMLParser):
    """Elements of a page, and its text."""

    def __init__(self, html: str):
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.text = ''
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def room(name='wmh', **more) -> Room:
    given = {
        'title': f'Room {name}',
        'needs': ('flair',),
        'build': '',
        'marker': True,
        'inputs': declared().inputs,
        'makes': {'wmh_mask': Derivative(suffix='mask', description='')},
        'figures': (
            Figure(
                desc=name,
                suffix='{hub}',
                title='Look',
                caption='At {this} & that.',
                build='',
                takes=(),
            ),
        ),
        'measures': (
            Measure(
                name=f'{name}_ml',
                units='mL',
                description='Volume.',
                method='sum',
                limits=Limits(ok=(0, 10), warn=(0, 20)),
            ),
            Measure(
                name=f'{name}_score',
                units='1',
                description='Score.',
                method='x',
                levels={'2': 'beginning confluence'},
            ),
            Measure(
                name=f'qc_{name}',
                units='1',
                description='Contrast.',
                method='x',
                qc_id='Q1',
                limits=Limits(ok=(2.5, None), warn=(1.8, None)),
            ),
        ),
    }
    return Room(name=name, **{**given, **more})


@pytest.fixture
def plan() -> Plan:
    flair = Scan(
        name='flair',
        path='/a/b_FLAIR.nii',
        uri='bids:raw:b_FLAIR.nii',
        digest='ab' * 32,
        metadata={'Manufacturer': HOSTILE, 'MagneticFieldStrength': 3},
    )
    given = VisitInput(
        visit=Visit('01', '1'),
        scans={'flair': flair},
        notes=(HOSTILE,),
        refused=(('bad.nii', 'Truncated.'),),
    )
    unable = room('cmb', needs=('t1w',), makes={}, inputs=())
    return make_plan(given, [room(), unable])


VALUES = [
    {
        'name': 'wmh_ml',
        'value': 12.345,
        'low': 11.0,
        'high': 13.5,
        'n': 9,
        'qc': 'warn',
        'reason': 'outside the plausible range',
    },
    {
        'name': 'wmh_score',
        'value': 2,
        'low': None,
        'high': None,
        'n': None,
        'qc': 'ok',
        'reason': '',
    },
    {
        'name': 'qc_wmh',
        'value': None,
        'low': None,
        'high': None,
        'n': None,
        'qc': 'na',
        'reason': HOSTILE,
    },
]
STATUS = {
    'state': 'ok',
    'run_id': 'r1',
    'started': '2020-01-01T00:00:00+00:00',
    'finished': '2020-01-01T00:05:00+00:00',
    'rooms': {'wmh': 'done'},
    'failures': [],
    'warnings': [HOSTILE],
}


def write(plan, folder: Path, *, figure=True, values=VALUES, svg=SVG, **more) -> str:
    figures = folder / plan.visit.folder / 'figures'
    if figure:
        figures.mkdir(parents=True, exist_ok=True)
        (figures / 'sub-01_ses-1_desc-wmh_FLAIR.svg').write_text(svg, encoding='utf-8')
    status = {**STATUS, **more.pop('status', {})}
    page = write_visit_report(
        output_dir=folder,
        plan=plan,
        values=values,
        status=status,
        versions={'csvdprep': '0'},
        **more,
    )
    assert page == folder.resolve() / f'{plan.visit.label}.html'
    return page.read_text(encoding='utf-8')


def test_values_stand_with_unit_interval_range_and_flag(plan, tmp_path):
    text = ' '.join(Page(write(plan, tmp_path)).text.split())
    assert '12.35 mL 11 to 13.5 0 to 10 ! check' in text
    assert 'beginning confluence' in text
    assert 'outside the plausible range' in text


def test_no_text_becomes_markup(plan, tmp_path):
    lesions = tmp_path / 'l.tsv'
    lesions.write_text(f'index\tzone\n1\t{HOSTILE}\n')
    failure = Failure(HOSTILE, HOSTILE, 'bug', HOSTILE, HOSTILE, HOSTILE)
    html = write(
        plan,
        tmp_path,
        lists=[(LISTED, lesions)],
        titles={'cmb': HOSTILE},
        status={'state': 'failed', 'failures': [failure], 'run_id': HOSTILE},
    )
    page = Page(html)
    assert not [tag for tag, _ in page.tags if tag in ('img', 'iframe', 'link')]
    assert [tag for tag, _ in page.tags].count('script') == 1
    assert not [a for _, attrs in page.tags for a in attrs if a.startswith('on')]
    assert page.text.count('window.hacked=1') >= 8
    assert '{subject}{{7*7}}' in page.text
    assert len([tag for tag, _ in page.tags if tag == 'style']) == 1


def test_nothing_is_loaded_from_elsewhere(plan, tmp_path):
    page = Page(write(plan, tmp_path))
    loaded = [attrs[key] for tag, attrs in page.tags for key in ('src', 'data') if key in attrs]
    assert loaded == ['./sub-01/ses-1/figures/sub-01_ses-1_desc-wmh_FLAIR.svg']
    assert (tmp_path / loaded[0]).is_file()
    links = {attrs['href'] for tag, attrs in page.tags if tag == 'a' and 'href' in attrs}
    assert all(link.startswith(('#', './', 'https://doi.org/')) for link in links)
    assert '@import' not in write(plan, tmp_path)


def test_sections_are_linked_and_exist(plan, tmp_path):
    page = Page(write(plan, tmp_path))
    ids = {attrs['id'] for _, attrs in page.tags if 'id' in attrs}
    anchors = {a['href'][1:] for t, a in page.tags if t == 'a' and a.get('href', '')[:1] == '#'}
    assert anchors <= ids
    assert len(ids) == len([1 for _, attrs in page.tags if 'id' in attrs])


def test_captions_keep_their_braces(plan, tmp_path):
    assert 'At {this} & that.' in Page(write(plan, tmp_path)).text


def test_what_did_not_run_is_told(plan, tmp_path):
    text = Page(write(plan, tmp_path, titles={'cmb': 'Microbleeds'})).text
    assert 'Microbleeds' in text
    assert 'needs T1w, which this visit does not have' in text
    assert 'Truncated.' in text


@pytest.mark.parametrize(
    ('state', 'badge'),
    [
        ('failed', 'Failed'),
        ('interrupted', 'Interrupted'),
        ('running', 'Running'),
        ('ok', 'Finished, please check'),
    ],
)
def test_the_badge_follows_the_status(plan, tmp_path, state, badge):
    assert f'>{badge}</span>' in write(plan, tmp_path, status={'state': state})


def test_a_clean_visit_is_green(tmp_path):
    flair = Scan(name='flair', path='/a', uri='bids:raw:a')
    clean = make_plan(VisitInput(visit=Visit('01', '1'), scans={'flair': flair}), [room()])
    values = [{**VALUES[1]}, {**VALUES[0], 'value': 5.0, 'qc': 'ok', 'reason': ''}]
    html = write(clean, tmp_path, values=values)
    assert '<header class="top visit ok">' in html
    assert 'All results are within their plausible ranges' in html


def test_a_failed_room_has_no_figure_but_a_reason(plan, tmp_path):
    failure = Failure('wmh', 'segment', 'measure', 'No voxel.', remedy='look at it.')
    html = write(
        plan,
        tmp_path,
        figure=False,
        values=[],
        status={'state': 'failed', 'rooms': {'wmh': 'failed'}, 'failures': [failure]},
    )
    text = Page(html).text
    assert 'Not drawn: the step failed.' in text
    assert 'No voxel. Remedy: look at it.' in text


@pytest.mark.parametrize('below', [False, True])
def test_crash_files_are_linked_relative(plan, tmp_path, below):
    name = 'sub-01/log/crash 1.txt'
    failure = Failure('wmh', 'n', 'bug', 'm', name if below else str(tmp_path.resolve() / name))
    html = write(plan, tmp_path, status={'state': 'failed', 'failures': [failure]})
    assert 'href="./sub-01/log/crash%201.txt"' in html


def test_an_empty_visit_has_a_page(tmp_path):
    empty = make_plan(VisitInput(visit=Visit('02'), scans={}), [room()])
    page = write_visit_report(
        output_dir=tmp_path, plan=empty, values=[], status={'state': 'ok'}, versions={}
    )
    assert page.name == 'sub-02.html'
    assert 'No step could run.' in page.read_text(encoding='utf-8')


def test_folders_with_the_marks_of_bids_do_not_mislead(plan, tmp_path):
    folder = tmp_path / 'sub-99_desc-other' / 'a b {subject} ü'
    folder.mkdir(parents=True)
    assert 'sub-01/ses-1/figures/sub-01_ses-1_desc-wmh_FLAIR.svg' in write(plan, folder)


def test_a_linked_output_folder_works(plan, tmp_path):
    (tmp_path / 'real').mkdir()
    (tmp_path / 'link').symlink_to(tmp_path / 'real')
    assert './sub-01/ses-1/figures/' in write(plan, tmp_path / 'link')


def test_the_report_is_the_same_twice_and_leaves_figures_alone(plan, tmp_path):
    first = write(plan, tmp_path)
    figure = tmp_path / 'sub-01/ses-1/figures/sub-01_ses-1_desc-wmh_FLAIR.svg'
    before = figure.read_bytes()
    assert write(plan, tmp_path, figure=False) == first
    assert figure.read_bytes() == before
    assert not list(tmp_path.glob('.*'))


def test_a_list_without_numbers_of_lesions_is_shown(plan, tmp_path):
    zones = tmp_path / 'zones.tsv'
    zones.write_text('zone\tgrowth_ml\ndeep\t1.5\n')
    html = write(plan, tmp_path, lists=[(replace(LISTED, label='WMH'), zones)])
    assert 'deep' in html
    assert 'data-lesion' not in html


def test_the_lesion_table_is_cut_and_linked(plan, tmp_path):
    rows = ''.join(f'{n}\t{n}.23456\t0.5\n' for n in range(1, 46))
    lesions = tmp_path / 'sub-01' / 'lesions.tsv'
    lesions.parent.mkdir()
    lesions.write_text(f'index\tvolume_mm3\tx_mni\n{rows}')
    text = Page(html := write(plan, tmp_path, lists=[(LISTED, lesions)])).text
    assert 'The first 30 of 45 lesions.' in text
    assert '30.2' in text
    assert 'x mni' not in text
    assert 'href="./sub-01/lesions.tsv"' in html


def test_the_spec_survives_yaml(plan):
    import yaml

    spec = report_spec(plan, template='/x/{out_dir}.html')
    text = bootstrap_text(spec)
    assert not re.search(r'\{', text)
    assert yaml.safe_load(text) == spec


def test_keys_are_scoped_to_their_room():
    one, two = references.Entry('a', {'doi': '10.1/1'}), references.Entry('a', {'doi': '10.1/2'})
    again = references.Entry('b', {'doi': '10.1/1'})
    cited = references.Citations()
    assert cited.number('[@a]', {'a': one}) == '[1]'
    assert cited.number('[@a]', {'a': two}) == '[2]'
    assert cited.number('[@b; @unknown]', {'b': again}) == '[1, unknown]'


def test_methods_name_what_ran_and_number_what_they_cite(tmp_path):
    from csvdprep.graph.discover import discover

    rooms = [r for r in discover() if r.name in ('brain', 'flair')]
    scans = {n: Scan(name=n, path=f'/{n}', uri=n) for n in ('t1w', 'flair')}
    ran = make_plan(VisitInput(visit=Visit('01'), scans=scans), rooms)
    paths = boilerplate.write_citation(ran, tmp_path)
    markdown, html, bibtex = (path.read_text(encoding='utf-8') for path in paths)
    groups = re.findall(r'\[([\d, ]+)\]', markdown)
    numbers = {int(number) for group in groups for number in group.split(',')}
    listed = [int(n) for n in re.findall(r'^(\d+)\. ', markdown, re.MULTILINE)]
    assert numbers == set(listed)
    assert listed == list(range(1, len(listed) + 1))
    assert bibtex.count('@article') == len(listed)
    assert '10.1109/TMI.2010.2046908' in html
    assert '@' not in markdown


def test_every_citation_of_every_room_has_its_reference():
    from csvdprep.graph.discover import discover

    for found in discover():
        known = {**references.bibliography(), **references.bibliography(found)}
        cited = set(re.findall(r'@([a-z]+\d{4}\w*)', found.methods)) | set(found.references)
        cited |= {m.reference for m in found.measures if m.reference}
        assert cited <= set(known), found.name


def test_bibliographies_are_complete():
    folder = Path(references.__file__).parents[1]
    for path in folder.rglob('references.bib'):
        entries = references.parse_bib(path.read_text(encoding='utf-8'))
        assert len(entries) == path.read_text(encoding='utf-8').count('\n@') + 1
        for entry in entries.values():
            assert {'author', 'title', 'year'} <= set(entry.fields), entry.key
            assert {'journal', 'booktitle'} & set(entry.fields), entry.key
            # Journals gave no DOI to some works before 2007: PubMed knows these.
            number = entry.doi or entry.fields.get('pmid', '')
            form = r'10\.\d{4,}/\S+' if entry.doi else r'\d{7,8}'
            assert re.fullmatch(form, number), entry.key


@pytest.mark.parametrize(
    'text',
    [
        '',
        '@',
        '@article{',
        '@article{a, title = {x',
        '@comment{x}',
        'free @article{b, x = y} text',
    ],
)
def test_broken_bibliographies_do_not_raise(text):
    assert set(references.parse_bib(text)) <= {'a', 'b'}


def test_what_is_wrong_is_told_first_and_a_lost_value_beside_its_reason(plan, tmp_path):
    taken = {
        **VALUES[1],
        'value': None,
        'qc': 'na',
        'ungated': 3,
        'reason': 'lateral ventricles failed: 0.1 mL where 5 to 180 is plausible',
    }
    remarks = [('fail', f'The mask has 0 mL. {HOSTILE}'), ('warn', 'Look here.')]
    html = write(
        plan, tmp_path, values=[VALUES[0], taken], status={'verdict': 'failed', 'remarks': remarks}
    )
    text = ' '.join(Page(html).text.split())
    assert 'Finished, quality failed' in text
    assert text.index('The mask has 0 mL.') < text.index('Look here.') < text.index('0 to 10')
    assert '1 result is not reported' in text
    assert 'lateral ventricles failed; computed, not to be used: 3' in text


def test_the_profile_shows_percentiles_that_the_group_left(tmp_path):
    from csvdprep.bids.names import dataset_file
    from csvdprep.graph.discover import discover
    from csvdprep.graph.percentiles import percentiles_of

    made = [
        (name, item)
        for found in discover(level='dataset')
        for name, item in found.makes.items()
        if item.percentiles
    ]
    assert len(made) == 1
    (tmp_path / dataset_file(*made[0])).write_text(
        'participant_id\tsession_id\twmh_ml\tx\nsub-01\tses-1\t97.5\tn/a\nsub-01\tses-2\t1\t2\n'
    )
    assert percentiles_of(Visit('01', '1'), tmp_path) == {'wmh_ml': 97.5}
    assert percentiles_of(Visit('02'), tmp_path) == {}
    primary = Measure(
        name='wmh_ml',
        units='mL',
        description='Volume: of it.',
        method='',
        limits=Limits(ok=(0, 10)),
        primary=True,
    )
    value = {'wmh_ml': {'value': 4.0, 'low': 3.0, 'high': 6.0, 'qc': 'ok', 'reason': ''}}
    rooms = [room(measures=(primary,)), room('cmb', measures=(primary,), makes={})]
    (row,), absent = summary.profile(rooms, {'wmh'}, value, 'T1w', {'wmh_ml': 97.5})
    assert (row['strip']['kind'], row['strip']['at']) == ('percentile', 97.5)
    assert absent == [('Room cmb', 'not computed')]
    (row,), _ = summary.profile(rooms, {'wmh'}, value, 'T1w')
    assert row['strip'] | {'words': ''} == {
        'kind': 'plausible',
        'at': 40.0,
        'low': 30.0,
        'wide': 30.0,
        'words': '',
    }


def test_points_and_what_needs_a_look_carry_their_values(plan, tmp_path):
    table = tmp_path / 'points.tsv'
    table.write_text(
        'score\titem\tpoints\tpoints_min\tpoints_max\tmax\tvalue\n'
        'total\tlacunes\t1\t1\t1\t1\t2\ntotal\tspaces\tn/a\t0\t1\t1\tn/a\nother\tx\t1\t1\t1\t1\t2\n'
    )
    columns = tuple(
        Column(name=name, description='') for name in ('score', 'item', 'points', 'max')
    )
    points = Derivative(suffix='scores', extension='.tsv', description='', columns=columns)
    total = Measure(name='total', units='1', description='Total.', method='', primary=True)
    (found,) = summary.burden(
        [(points, table)], [room(measures=(total,))], {'total': {'value': 1}}
    )
    assert (found['title'], found['value'], found['most']) == ('Total', '1', 2)
    assert [(i['name'], i['points'], i['kind']) for i in found['items']] == [
        ('lacunes', '1 of 1', 'has'),
        ('spaces', '0 to 1 of 1', 'open'),
    ]
    look = summary.needs_look(plan, VALUES, STATUS)
    assert {
        'flag': 'warn',
        'words': 'Outside the plausible range:',
        'values': ['Volume 12.35 mL'],
    } in look


def test_one_cause_is_one_warning():
    from csvdprep.report.causes import Flagged, by_cause

    thick, dark = 'slices of 5 mm: small ones are missed', 'echo time of 5 ms'
    flagged = [
        Flagged('cmb_n', 'Microbleeds 3', f'{thick}; {dark}; 2 more may be some'),
        Flagged('cmb_lobar_n', 'Lobar 1', f'{thick}; {dark}'),
        Flagged('wmh_ml', 'Volume 4 mL', 'outside the plausible range'),
        Flagged('staals', 'Total score 2', 'rests on cmb_n, which asks for a look'),
        Flagged('later', 'Later score 1', 'rests on staals, which asks for a look; odd'),
        Flagged('bare', 'Bare 1', ''),
    ]
    assert by_cause(flagged) == [
        (
            thick,
            ['Microbleeds 3 (2 more may be some)', 'Lobar 1', 'Total score 2', 'Later score 1'],
        ),
        (dark, ['Microbleeds 3', 'Lobar 1', 'Total score 2', 'Later score 1']),
        ('outside the plausible range', ['Volume 4 mL']),
        ('odd', ['Later score 1']),
        ('flagged', ['Bare 1']),
    ]
    # What is told elsewhere is not said again, nor of what rests on it.
    left = by_cause(flagged[:4], told=f'Gradient echo to be checked: {thick}. {dark}')
    assert left == [
        ('2 more may be some', ['Microbleeds 3', 'Total score 2']),
        ('outside the plausible range', ['Volume 4 mL']),
    ]
    # What is behind a flag, and is not flagged itself, is the cause.
    assert by_cause([flagged[3]]) == [('rests on cmb_n, which asks for a look', ['Total score 2'])]


def test_visits_stand_side_by_side(plan, tmp_path):
    from csvdprep.report.visits import insert_visits

    write(plan, tmp_path)
    tables = []
    for session, value in (('1', '4.5'), ('2', '5')):
        tables.append(tmp_path / f'{session}.tsv')
        tables[-1].write_text(f'measure\tvalue\tqc\nwmh_ml\t{value}\tok\ngone\tn/a\tna\n')
    visits = [
        {'session': f'ses-{k + 1}', 'years': 2 * k, 'table': str(table)}
        for k, table in enumerate(tables)
    ]
    measures = tuple(
        Measure(name=name, units='mL', description='Volume.', method='', primary=True)
        for name in ('wmh_ml', 'gone')
    )
    for _ in range(2):  # again, it is replaced
        pages = insert_visits(tmp_path, '01', visits, [room(measures=measures)])
    assert [page.name for page in pages] == ['sub-01_ses-1.html']
    html = pages[0].read_text(encoding='utf-8')
    assert html.count('Visits side by side') == 1
    text = ' '.join(Page(html).text.split())
    assert 'ses-1 (this visit) at 0 years' in text
    assert 'ses-2 at 2 years' in text
    assert re.search(r'Volume\s*mL\s*4.5\s*5', text)


def test_rows_of_a_list_have_pictures_and_say_how_the_desk_opens_at_them(plan, tmp_path):
    lesions = tmp_path / 'lesions.tsv'
    lesions.write_text('index\tvolume_mm3\n1\t9\n2\t8\n3\t7\n')
    shown = ''.join(f'<view id="lesion-WMH-{n}" viewBox="0 0 9 9"/>' for n in (1, 2))
    made = plan.steps[0].room.makes
    listed = replace(LISTED, label='WMH')
    step = replace(
        plan.steps[0], room=replace(plan.steps[0].room, makes={**made, 'wmh_lesions': listed})
    )
    html = write(
        replace(plan, steps=(step,)),
        tmp_path,
        lists=[(listed, lesions)],
        svg=SVG.replace('<text>', f'{shown}<text>'),
    )
    figure = './sub-01/ses-1/figures/sub-01_ses-1_desc-wmh_FLAIR.svg'
    links = [attrs for tag, attrs in Page(html).tags if tag == 'a' and 'data-lesion' in attrs]
    assert [(link['href'], link['data-desk']) for link in links] == [
        (f'{figure}#lesion-WMH-{n}', f'sub-01_ses-1/WMH-{n}') for n in (1, 2)
    ]
    assert html.count('<tr data-lesion="WMH-') == 3
    assert '--at sub-01_ses-1/WMH-1' in Page(html).text


def test_a_list_without_lesions_is_a_sentence_and_not_a_black_bar(plan, tmp_path):
    from csvdprep.graph.visit import figure_path
    from csvdprep.imaging.drawing import Layer, draw_gallery, nothing_in
    from csvdprep.imaging.slices import Volume
    from csvdprep.report.visit import _figure_parts, _tiles

    shown = replace(plan.steps[0].room.figures[0], disease=True)
    step = replace(plan.steps[0], room=replace(plan.steps[0].room, figures=(shown,)))
    plan = replace(plan, steps=(step,))
    path = figure_path(plan, shown, tmp_path)
    path.parent.mkdir(parents=True)
    image = Volume(np.ones((4, 4, 4)), np.eye(4))
    draw_gallery(path, Layer(image, (0.0, 1.0)), [], note='No <lacune> & none found.')
    assert nothing_in(path) == 'No <lacune> & none found.'
    drawn = {f'figure-{shown.desc}': 'Each lacune.'}
    (tile,) = _tiles(plan, drawn, tmp_path)
    assert tile['nothing'] == 'No <lacune> & none found.'
    page = Page(write(plan, tmp_path, figure=False))
    assert page.text.count('No <lacune> & none found.') == 2
    assert not [a for _, a in page.tags if 'src' in a or 'data' in a]
    (part,) = _figure_parts(step, plan, {}, drawn, tmp_path)
    assert 'No &lt;lacune&gt;' in part.html
    assert '<object' not in part.html
    page = Page(write(plan, tmp_path))
    assert nothing_in(path) == ''
    assert [a['src'] for tag, a in page.tags if tag == 'img'] == [f'{tile["href"]}#key']
