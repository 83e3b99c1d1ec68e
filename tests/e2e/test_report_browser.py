"""The report in a real browser: complete, silent, inert, and fit for paper."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import nibabel as nb
import numpy as np
import pytest
from axe import serious_faults

from csvdprep.core.failure import Failure
from csvdprep.core.plan import Scan, Visit, VisitInput, make_plan
from csvdprep.core.room import Column, Derivative, Figure, Measure, Room
from csvdprep.graph.discover import declared
from csvdprep.imaging.drawing import Closeup, Layer, draw_gallery, draw_mosaic
from csvdprep.imaging.slices import Cut, load_volume
from csvdprep.report.visit import write_visit_report

LISTED = Derivative(
    suffix='lesions',
    label='WMH',
    extension='.tsv',
    description='',
    lists='Hyperintensities',
    columns=(Column(name='x_mni', description='', aside=True),),
)

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
BROWSER = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser'))), None)
FLAGS = [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
]
#: Folded parts are looked at as well.
OPEN_ALL = 'document.querySelectorAll("details").forEach(part => { part.open = true; })'
HOSTILE = '"><script>window.hacked=1</script><img src=x onerror="window.hacked=1"><svg/onload=a()>'


@pytest.fixture(scope='module')
def report(tmp_path_factory) -> Path:
    """Write a report with a plain and a flickering figure, and hostile texts everywhere."""
    folder = tmp_path_factory.mktemp('out put')
    figures = folder / 'sub-01' / 'figures'
    figures.mkdir(parents=True)
    data = np.random.default_rng(0).random((30, 40, 12), dtype=np.float32)
    nb.Nifti1Image(data, np.diag([1, 1, 4, 1])).to_filename(folder / 'a.nii.gz')
    volume, cuts = load_volume(folder / 'a.nii.gz'), [Cut(2, 3), Cut(2, 6)]
    square = Closeup(Cut(2, 3), (15, 20, 3), 12, ('#1',), name='lesion-WMH-1')
    draw_gallery(figures / 'sub-01_desc-lesions_FLAIR.svg', Layer(volume), [square])
    layer = Layer(volume, name='before')
    lesion = np.zeros(volume.data.shape, bool)
    lesion[10:20, 10:20, 3] = True
    outlined = Layer(volume, outlines=[(lesion, '#e69f00')])
    draw_mosaic(figures / 'sub-01_desc-plain_FLAIR.svg', outlined, cuts, columns=2)
    draw_mosaic(
        figures / 'sub-01_desc-flicker_FLAIR.svg',
        [layer, Layer(volume, name='after')],
        cuts,
        columns=2,
    )
    room = Room(
        name='wmh',
        title=HOSTILE,
        needs=('flair',),
        build='',
        methods='Made.',
        marker=True,
        inputs=declared().inputs,
        makes={'wmh_mask': Derivative(suffix='mask', description=''), 'wmh_lesions': LISTED},
        figures=tuple(
            Figure(
                desc=desc,
                suffix='FLAIR',
                title=f'{desc} {HOSTILE}',
                caption=HOSTILE,
                build='',
                takes=(),
                disease=desc == 'plain',
            )
            for desc in ('plain', 'flicker', 'lesions')
        ),
        measures=(
            Measure(name='wmh_ml', units=HOSTILE, description=HOSTILE, method='m', primary=True),
        ),
    )
    flair = Scan(
        name='flair', path='/a', uri=HOSTILE, digest=HOSTILE, metadata={'Manufacturer': HOSTILE}
    )
    plan = make_plan(
        VisitInput(
            visit=Visit('01'),
            scans={'flair': flair},
            notes=(HOSTILE,),
            refused=((HOSTILE, HOSTILE),),
        ),
        [room],
    )
    table = folder / 'lesions.tsv'
    table.write_text(f'index\tzone\n1\t{HOSTILE}\n')
    value = {
        'name': 'wmh_ml',
        'value': HOSTILE,
        'low': 1,
        'high': 2,
        'qc': 'warn',
        'reason': HOSTILE,
    }
    failure = Failure('wmh', HOSTILE, 'bug', HOSTILE, HOSTILE, HOSTILE)
    status = {
        'state': 'failed',
        'run_id': HOSTILE,
        'rooms': {'wmh': 'done'},
        'failures': [failure],
        'warnings': [HOSTILE],
    }
    return write_visit_report(
        output_dir=folder,
        plan=plan,
        values=[value],
        status=status,
        versions={'x': HOSTILE},
        lists=[(LISTED, table)],
    )


@pytest.fixture(scope='module')
def browser():
    if BROWSER is None:
        pytest.skip('no Chromium on this machine')
    playwright = pytest.importorskip('playwright.sync_api', reason='playwright is not installed')
    with playwright.sync_playwright() as running:
        # Runs of the app set TMPDIR; below a long one Chromium cannot open its socket.
        started = running.chromium.launch(
            executable_path=BROWSER,
            headless=True,
            args=FLAGS,
            env={**os.environ, 'TMPDIR': '/tmp'},
        )
        yield started
        started.close()


@pytest.fixture
def opened(browser, report):
    """Open the report; keep what the browser says and asks for."""
    page = browser.new_page(viewport={'width': 1366, 'height': 800})
    page.set_default_timeout(60_000)
    page.said, page.asked, page.missed = [], [], []
    page.on('console', lambda message: page.said.append(message.text))
    page.on('pageerror', lambda error: page.said.append(str(error)))
    page.on('dialog', lambda dialog: page.said.append(dialog.message) or dialog.dismiss())
    page.on('request', lambda request: page.asked.append(request.url))
    page.on('requestfailed', lambda request: page.missed.append(request.url))
    page.goto(report.as_uri())
    page.wait_for_timeout(800)
    yield page
    page.close()


def test_nothing_is_missing_said_or_fetched(opened, report):
    assert opened.said == []
    assert opened.missed == []
    assert all(url.startswith(('file://', 'data:')) for url in opened.asked)
    drawn = opened.evaluate(
        '[...document.querySelectorAll(".reportlet object")]'
        '.map(o => [o.data, o.getBoundingClientRect()])'
        '.map(([url, r]) => [url, r.width, r.height])'
    )
    assert len(drawn) == 3
    for url, width, height in drawn:
        assert url in opened.asked
        assert width > 900
        assert height > (200 if 'lesions' in url else 300)
    assert len([frame for frame in opened.frames if frame.url.endswith('.svg')]) == 3


def test_hostile_text_is_inert(opened):
    assert opened.evaluate('window.hacked') is None
    counts = {
        kind: opened.evaluate(f'document.querySelectorAll("{kind}").length')
        for kind in ('script', 'img', 'svg')
    }
    assert counts == {'script': 1, 'img': 2, 'svg': 0}
    assert opened.inner_text('main').count('window.hacked=1') >= 10


@pytest.mark.parametrize('width', [1366, 420])
def test_nothing_overflows(opened, width):
    opened.set_viewport_size({'width': width, 'height': 800})
    wide = opened.evaluate('document.documentElement.scrollWidth - window.innerWidth')
    assert wide <= 0


def test_outlines_go_and_come(opened):
    opened.locator('object[data*=plain]').first.scroll_into_view_if_needed()
    frame = next(f for f in opened.frames if 'plain' in f.url)

    def shown():
        return frame.evaluate('getComputedStyle(document.querySelector(".o")).display') != 'none'

    assert shown()
    frame.locator('a.hide').click()
    assert not shown()
    frame.locator('a.show').click()
    assert shown()


def test_a_picture_opens_large_and_closes(opened):
    dialog = opened.locator('dialog')
    assert not dialog.is_visible()
    opened.locator('.tiles a.large').first.click()
    assert dialog.is_visible()
    assert opened.locator('dialog object').get_attribute('data').endswith('desc-plain_FLAIR.svg')
    opened.keyboard.press('+')
    assert '150%' in opened.locator('dialog object').get_attribute('style')
    opened.keyboard.press('Escape')
    assert not dialog.is_visible()


def test_a_picture_of_a_lesion_says_how_the_desk_opens_at_it(opened, report):
    command = f"csvdprep review '{report.parent}' --at sub-01/WMH-1"
    assert command in opened.inner_text('main')
    opened.locator('a[data-lesion="WMH-1"] img').click()
    assert opened.inner_text('dialog code') == command
    assert opened.locator('dialog object').get_attribute('data').endswith('.svg#lesion-WMH-1')
    opened.keyboard.press('Escape')
    opened.locator('.tiles a.large').first.click()
    assert opened.inner_text('dialog code') == ''


@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_axe_finds_no_serious_fault(browser, report, scheme):
    with browser.new_context(color_scheme=scheme, bypass_csp=True) as context:
        page = context.new_page()
        page.goto(report.as_uri())
        page.evaluate(OPEN_ALL)
        assert serious_faults(page) == []


def test_axe_finds_a_fault_where_there_is_one(browser):
    with browser.new_context(bypass_csp=True) as context:
        page = context.new_page()
        text = '<p style="color: #ddd; background: #fff">Hardly to be seen.</p>' * 2
        page.set_content(f'<html lang="en"><title>A page</title><main><h1>A</h1>{text}</main>')
        assert [rule for rule, _ in serious_faults(page)] == ['color-contrast']


def test_the_flicker_follows_the_pointer(opened):
    frame = next(f for f in opened.frames if 'flicker' in f.url)

    def running():
        return frame.evaluate('getComputedStyle(document.querySelector(".front")).animationName')

    assert running() == 'none'
    opened.locator('object[data*=flicker]').scroll_into_view_if_needed()
    opened.locator('object[data*=flicker]').hover()
    opened.wait_for_timeout(300)
    assert running() == 'flicker'


def test_it_prints(opened, tmp_path):
    opened.pdf(path=tmp_path / 'report.pdf', prefer_css_page_size=True)
    pdf = (tmp_path / 'report.pdf').read_bytes()
    assert pdf.startswith(b'%PDF')
    assert pdf.count(b'/Subtype /Image') >= 2
    # The summary alone.
    assert len(re.findall(rb'/Type\s*/Page\b', pdf)) <= 2
    opened.emulate_media(media='print')
    assert not opened.locator('nav').is_visible()


@pytest.fixture
def group_file(tmp_path, monkeypatch):
    """Write the page of a group of three visits, one to be checked."""
    from csvdprep.core.settings import Settings
    from csvdprep.group import page as group
    from csvdprep.group.run import _write_tables
    from tests.builders import leave_visit

    monkeypatch.setattr(group, 'draw', lambda *given: '<svg></svg>')
    for label, ml in (('01', 9.5), ('02', 100.0), ('03', 20.0)):
        verdict = 'check' if label == '03' else 'ok'
        remarks = [('warn', f'Look. {HOSTILE}')] if label == '03' else ()
        leave_visit(
            tmp_path,
            Visit(label),
            value={'wmh_total_ml': ml, 'bpf': 0.8},
            verdict=verdict,
            remarks=remarks,
        )
    settings = Settings(bids_dir=tmp_path / 'raw', output_dir=tmp_path)
    gathered, _ = _write_tables(settings, tmp_path, lambda line: None)
    return group.write_page(gathered, tmp_path, group.Shown())


@pytest.fixture
def group_page(browser, group_file):
    """Open the page of the group; keep what the browser says."""
    page = browser.new_page(viewport={'width': 1366, 'height': 900})
    page.said = []
    page.on('console', lambda message: page.said.append(message.text))
    page.on('pageerror', lambda error: page.said.append(str(error)))
    page.goto(group_file.as_uri())
    yield page
    page.close()


@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_axe_finds_no_serious_fault_in_the_page_of_the_group(browser, group_file, scheme):
    with browser.new_context(color_scheme=scheme, bypass_csp=True) as context:
        page = context.new_page()
        page.goto(group_file.as_uri())
        page.evaluate(OPEN_ALL)
        assert serious_faults(page) == []


def test_the_list_of_visits_is_sorted_and_filtered(group_page):
    def visits():
        return group_page.locator('#visits tbody tr:visible td:first-child').all_inner_texts()

    assert visits() == ['sub-03', 'sub-01', 'sub-02']
    assert 'Finished, please check' in group_page.locator('#visits tbody tr').first.inner_text()
    column = group_page.locator('#visits th', has_text='White matter hyperintensities, mL')
    column.locator('button').click()
    assert visits() == ['sub-01', 'sub-03', 'sub-02']
    column.locator('button').click()
    assert visits() == ['sub-02', 'sub-03', 'sub-01']
    assert column.get_attribute('aria-sort') == 'descending'
    group_page.locator('#visits input').fill('please look')
    assert visits() == ['sub-03']
    assert group_page.said == []
    assert group_page.evaluate('window.hacked') is None
