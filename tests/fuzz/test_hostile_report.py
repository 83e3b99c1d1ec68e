"""No text of the input becomes markup of the report, wherever it stands."""

from __future__ import annotations

import os
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from fuzz.mutations import FIELDS, pick, text, value

from csvdprep.core.failure import Failure
from csvdprep.core.plan import Scan, Visit, VisitInput, make_plan
from csvdprep.core.room import Column, Derivative, Figure, Limits, Measure, Room
from csvdprep.graph.discover import declared
from csvdprep.report.boilerplate import write_citation
from csvdprep.report.pages import environment
from csvdprep.report.visit import write_visit_report

LISTED = Derivative(
    suffix='lesions',
    extension='.tsv',
    description='',
    lists='Hyperintensities',
    columns=(Column(name='x_mni', description='', aside=True),),
)

SAMPLE, ALL = 25, 250
#: What tells that a text got through as markup.
MARK = 'zzmark'
INJECTIONS = (
    f'<script>{MARK}</script>',
    f'"><img src=x onerror={MARK}>',
    f"' onmouseover='{MARK}",
    f'</style></title></code><script src=//x/{MARK}></script>',
    f'javascript:{MARK}()',
    f'<svg/onload={MARK}>',
    f'<a href="javascript:{MARK}">x</a>',
    f'&lt;script&gt;{MARK}',
    f'--><iframe srcdoc="<script>{MARK}</script>">',
    f'{{{{{MARK}}}}}',
    f'{{% {MARK} %}}',
    f'<meta http-equiv=refresh content="0;url=//{MARK}">',
    f'\x00<{MARK}>',
    f'<base href=//{MARK}/>',
    f'data:text/html,<script>{MARK}</script>',
    f'<form action=//{MARK}><input autofocus onfocus=x>',
    f'\u2028<{MARK}\u2029',
    f'[@{MARK}]',
    f'<!--{MARK}',
    f']]><{MARK}>',
    f'%3Cscript%3E{MARK}',
)
TAGS = frozenset(
    """html head meta title style body div nav b a main header h1 span p section h2 h3
    table thead tbody tr th td code details summary ul ol li dl dt dd br footer small object
    dialog form button script i
    """.split()
)
#: What may run: the page's own script, by its digest.
SCRIPT = f'script-src {environment().globals["script_source"]};'
STATES = ('ok', 'failed', 'interrupted', 'running')


class Page(HTMLParser):
    """Tags and attributes of a page."""

    def __init__(self, html):
        super().__init__()
        self.tags = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, attrs))


def hostile(rng) -> str:
    found = pick(rng, INJECTIONS) if rng.random() < 0.7 else text(rng)
    # As Python has names of files that are no UTF-8.
    return found + '\udcff' if rng.random() < 0.1 else found


def clean(item):
    if isinstance(item, str):
        return item.encode('utf-8', 'ignore').decode()
    if isinstance(item, dict):
        return {clean(key): clean(part) for key, part in item.items()}
    return [clean(part) for part in item] if isinstance(item, list) else item


def make_report(seed, folder):
    """Write a report in which every text that a user controls is hostile."""
    rng = np.random.default_rng(seed)

    def some(number=3):
        return tuple(hostile(rng) for _ in range(int(rng.integers(1, number + 1))))

    def scan(name):
        facts = {
            field: clean(value(rng)) if rng.random() < 0.5 else hostile(rng)
            for field in (*FIELDS, 'ManufacturersModelName', 'MRAcquisitionType')
        }
        return Scan(
            name=name,
            path=f'/{hostile(rng)}',
            uri=hostile(rng),
            digest=hostile(rng),
            metadata=facts,
        )

    measures = (
        Measure(
            name='wmh_ml',
            units='mL',
            description='Volume.',
            method='sum',
            limits=Limits(ok=(0, 10), warn=(0, 20)),
        ),
        Measure(name='wmh_side', units='1', description='Side.', method='x', levels={'2': 'two'}),
        Measure(name='qc_wmh', units='1', description='Contrast.', method='x', qc_id='Q1'),
    )
    room = Room(
        name='wmh',
        title='Room',
        needs=('flair',),
        build='',
        marker=True,
        measures=measures,
        inputs=declared().inputs,
        makes={'wmh_mask': Derivative(suffix='mask', description='')},
        figures=(
            Figure(desc='wmh', suffix='{hub}', title='Look', caption='{x}', build='', takes=()),
        ),
    )
    unable = Room(name='cmb', title='Other', needs=('swi',), build='', makes={}, marker=True)
    visit = Visit('01', pick(rng, (None, '1')))
    given = VisitInput(
        visit=visit,
        scans={name: scan(name) for name in ('flair', 't1w')},
        notes=some(),
        refused=tuple((hostile(rng), hostile(rng)) for _ in some()),
    )
    plan = make_plan(given, [room, unable])
    odd = (None, 1.5, 10**400, float('nan'), float('inf'), -3)
    values = [
        {
            'name': m.name,
            'value': hostile(rng) if rng.random() < 0.5 else pick(rng, odd),
            'low': pick(rng, odd),
            'high': pick(rng, odd),
            'n': None,
            'reason': hostile(rng),
            'qc': pick(rng, ('ok', 'warn', 'fail', 'na', hostile(rng))),
        }
        for m in measures
        if rng.random() < 0.9
    ]
    status = {
        'state': pick(rng, STATES),
        'run_id': hostile(rng),
        'started': hostile(rng),
        'finished': hostile(rng),
        'rooms': {'wmh': hostile(rng), hostile(rng): hostile(rng)},
        'warnings': list(some()),
        'failures': [
            Failure(
                room=hostile(rng),
                node=hostile(rng),
                kind='bug',
                message=hostile(rng),
                file=pick(rng, (hostile(rng), str(folder / hostile(rng)), '../../x')),
                remedy=hostile(rng),
            )
            for _ in some()
        ],
    }
    lesions = folder / pick(rng, ('l.tsv', '<b>zzmark.tsv', 'a"b\'.tsv', 'j:x.tsv'))
    rows = ['\t'.join(hostile(rng) for _ in range(3)) for _ in range(3)]
    table = '\n'.join(['index\t' + '\t'.join(some()), *rows])
    lesions.write_bytes(table.encode('utf-8', pick(rng, ('ignore', 'surrogateescape'))))
    figures = folder / visit.folder / 'figures'
    figures.mkdir(parents=True)
    (figures / f'{visit.label}_desc-wmh_T1w.svg').write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"/>'
    )
    page = write_visit_report(
        output_dir=folder,
        plan=plan,
        values=values,
        status=status,
        versions={hostile(rng): hostile(rng)},
        lists=[(LISTED, lesions)],
        titles={'cmb': hostile(rng)},
    )
    return page, write_citation(plan, folder / 'logs')


def faults_of(html):
    page = Page(html)
    for tag, attrs in page.tags:
        if tag not in TAGS:
            yield f'element {tag}'
        for name, given in attrs:
            given = (given or '').strip().lower()
            if name.startswith('on') or name in ('srcdoc', 'action', 'formaction', 'background'):
                yield f'attribute {name} of {tag}'
            if name in ('href', 'src', 'data') and not re.match(
                r'(#|\./|https://doi\.org/)', given
            ):
                yield f'{tag} points to {given[:80]}'
            if name == 'style' and MARK in given:
                yield f'style {given[:80]}'
    if sum(tag == 'style' for tag, _ in page.tags) != 1:
        yield 'another style'
    for tag in ('script', 'dialog', 'form'):
        if sum(found == tag for found, _ in page.tags) > 1:
            yield f'another {tag}'


@pytest.mark.parametrize(
    'seeds',
    [range(SAMPLE), pytest.param(range(ALL), marks=[pytest.mark.e2e, pytest.mark.timeout(1200)])],
    ids=['sample', 'all'],
)
def test_no_script_in_the_report(seeds, tmp_path):
    failed = []
    for seed in seeds:
        folder = tmp_path / str(seed)
        folder.mkdir()
        page, cited = make_report(seed, folder)
        html = page.read_text(encoding='utf-8')
        failed += [f'seed {seed}: {fault}' for fault in faults_of(html)]
        policy = [
            dict(attrs).get('content', '')
            for tag, attrs in Page(html).tags
            if tag == 'meta' and dict(attrs).get('http-equiv')
        ]
        if len(policy) != 1 or "default-src 'none'" not in policy[0] or SCRIPT not in policy[0]:
            failed.append(f'seed {seed}: policy {policy}')
        methods = next(path for path in cited if path.suffix == '.html')
        failed += [
            f'seed {seed}: methods: {fault}'
            for fault in faults_of(methods.read_text(encoding='utf-8'))
        ]
        made = {path.relative_to(folder).parts[0] for path in folder.rglob('*')}
        if not made <= {
            'sub-01',
            'sub-01.html',
            'sub-01_ses-1.html',
            'logs',
            *(p for p in os.listdir(folder) if p.endswith('.tsv')),
        }:
            failed.append(f'seed {seed}: {sorted(made)}')
    assert not failed, '\n'.join(failed)


def test_the_check_would_see_it():
    for number, injection in enumerate(INJECTIONS[:8]):
        html = f'<style></style><a href="{injection}">{injection}</a>'
        assert list(faults_of(html)) or number == 7, injection
