"""The reviewing desk in a real browser: look, rate, draw, undo, reload."""

from __future__ import annotations

import json
import os
import re
import shutil
import threading

import nibabel as nib
import numpy as np
import pytest
from builders import write_image
from desk import AFFINE, HOSTILE, SHAPE, SPOTS, write_output

from csvdprep.bids.ratings import read_ratings
from csvdprep.review.desk import Desk
from csvdprep.review.export import export
from csvdprep.review.server import make_server
from csvdprep.review.store import Store

pytestmark = [pytest.mark.e2e, pytest.mark.browser, pytest.mark.timeout(600)]
BROWSER = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser'))), None)
FLAGS = [
    '--no-sandbox',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    # WebGL 2 without a graphics card.
    '--use-gl=angle',
    '--use-angle=swiftshader',
    '--enable-unsafe-swiftshader',
    '--ignore-gpu-blocklist',
]
LABEL = 'sub-01_ses-1'


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
def out(tmp_path):
    write_output(tmp_path / 'out')
    return write_output(tmp_path / 'out', '02', region=HOSTILE)


@pytest.fixture
def start(browser, out):
    """Open a desk; keep what the browser says, and where it asks."""
    opened = []

    def begin(**more):
        server = make_server(0, Desk(out, Store(out / 'ratings.tsv'), **more))
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        page = browser.new_page(viewport={'width': 1200, 'height': 700})
        page.set_default_timeout(120_000)
        page.said, page.asked = [], []
        page.on('console', lambda message: page.said.append(message.text))
        page.on('pageerror', lambda error: page.said.append(str(error)))
        page.on('request', lambda request: page.asked.append(request.url))
        page.goto(server.url + f'#visit={LABEL}&lesion=CMB-1')
        page.wait_for_selector('body[data-ready]')
        opened.append((server, page))
        return page

    yield begin
    for server, page in opened:
        page.close()
        server.shutdown()
        server.server_close()


def rated(out):
    return [
        (row.subject, row.marker, row.value, row.candidate)
        for row in read_ratings(out / 'ratings.tsv', pytest.fail)
    ]


def saves(page):
    """Wait until the next rating was saved."""
    return page.expect_response(lambda answer: '/api/rate' in answer.url and answer.ok)


def numbers(text):
    return [float(part) for part in re.search(r'x y z ([-\d. ]+) mm', text)[1].split()]


def test_candidates_are_paged_through_and_rated(start, out):
    page = start(rater='AB')
    assert page.locator('#rows button').count() == 3
    assert numbers(page.inner_text('#where')) == pytest.approx([6, 4, 2], abs=0.06)
    # Not the background alone: the image is drawn.
    assert page.evaluate('desk.nv.volumes.length') == 2
    page.keyboard.press('j')
    page.wait_for_selector('#rows li:nth-child(2) button[aria-current=true]')
    assert numbers(page.inner_text('#where')) == pytest.approx([-8, 2, 4], abs=0.06)
    page.keyboard.press('k')
    page.wait_for_selector('#rows li:nth-child(1) button[aria-current=true]')
    with saves(page):
        page.keyboard.press('a')
    page.wait_for_selector('#rows li:nth-child(2) button[aria-current=true]')
    with saves(page):
        page.keyboard.press('r')
    page.wait_for_selector('#rows li:nth-child(3) button[aria-current=true]')
    with saves(page):
        page.select_option('#kind', 'vein')
    assert rated(out) == [
        ('01', 'cmb_lesions', 'accept', '6.0 4.0 2.0'),
        ('01', 'cmb_lesions', 'reject', '-8.0 2.0 4.0'),
        ('01', 'cmb_lesions', 'vein', '4.0 -10.0 -6.0'),
    ]
    page.keyboard.press('i')
    with saves(page):
        page.get_by_role('button', name='infratentorial microbleed').click()
    page.wait_for_selector('#rows li:nth-child(4)')
    assert rated(out)[3][2:] == ('add infratentorial', '4.00 -10.00 -6.00')
    with saves(page):
        page.keyboard.press('u')
    page.wait_for_selector('#rows li:nth-child(4)', state='detached')
    assert len(rated(out)) == 3
    page.click('#tab-grades')
    with saves(page):
        page.check('input[name=fazekas_pv][value="3"]')
    page.click('input[name=decision][value=exclude]')
    page.wait_for_selector('#saved.bad')
    page.fill('#reason', HOSTILE)
    with saves(page):
        page.click('input[name=decision][value=exclude]')
    page.reload()
    page.wait_for_selector('body[data-ready]')
    assert 'vein' in page.inner_text('#rows li:nth-child(3)')
    page.click('#tab-grades')
    assert page.is_checked('input[name=fazekas_pv][value="3"]')
    assert page.input_value('#reason') == HOSTILE
    assert '1 of 2 visits decided, 3 of 6 candidates' in page.inner_text('#progress')
    assert page.said == []
    host = page.url.split('#')[0]
    assert all(url.startswith((host, 'data:', 'blob:')) for url in page.asked)
    assert 'token' not in page.url


def test_a_mask_is_drawn_saved_and_undone(start, out):
    page = start(rater='AB')
    page.wait_for_selector('body[data-whole]')
    page.keyboard.press('b')
    page.wait_for_selector('#brushbar:not([hidden])')
    # Of the list, one candidate counts.
    assert page.evaluate('desk.nv.drawBitmap.reduce((a, b) => a + b, 0)') == 1
    box = page.locator('#canvas').bounding_box()
    x, y = box['x'] + box['width'] * 0.2, box['y'] + box['height'] * 0.25
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y, steps=8)
    page.mouse.up()
    count = page.evaluate('desk.nv.drawBitmap.reduce((a, b) => a + (b > 0), 0)')
    assert count > 5
    drawn = np.array(page.evaluate('Array.from(desk.nv.drawBitmap)')).reshape(
        (24, 26, 22), order='F'
    )
    with page.expect_response(lambda answer: '/api/mask' in answer.url and answer.ok):
        page.keyboard.press('s')
    page.keyboard.press('Escape')
    page.wait_for_selector('#brushbar', state='hidden')
    ((_, marker, value, _),) = rated(out)
    assert marker == 'cmb_mask'
    kept = nib.as_closest_canonical(nib.load(out / value))
    assert np.array_equal(np.asanyarray(kept.dataobj), drawn > 0)
    with saves(page):
        page.keyboard.press('u')
    assert read_ratings(out / 'ratings.tsv', lambda line: None) == ()
    assert (out / value).is_file()
    assert page.said == []


def test_a_false_hyperintensity_is_taken_out_of_the_mask(start, out):
    anat = out / 'sub-01' / 'ses-1' / 'anat'
    mask = np.zeros(SHAPE, np.uint8)
    places = [tuple((np.linalg.inv(AFFINE) @ [*spot[0], 1])[:3].astype(int)) for spot in SPOTS]
    for place in places[:2]:
        mask[place] = 1
    write_image(anat / f'{LABEL}_space-T2starw_label-WMH_mask.nii.gz', mask, affine=AFFINE)
    rows = (anat / f'{LABEL}_label-CMB_lesions.tsv').read_text()
    (anat / f'{LABEL}_label-WMH_lesions.tsv').write_text(rows)
    page = start(rater='AB')
    page.wait_for_selector('body[data-whole]')
    page.click('#lists button:has-text("White matter hyperintensities")')
    page.wait_for_selector('#reject:has-text("Take out of mask")')
    assert page.is_disabled('#accept')
    with page.expect_response(lambda answer: '/api/mask' in answer.url and answer.ok):
        page.keyboard.press('r')
    page.wait_for_selector('#rows li:nth-child(1) .said.no')
    page.wait_for_selector('#rows li:nth-child(2) button[aria-current=true]')
    ((_, marker, value, _),) = rated(out)
    assert marker == 'wmh_mask'
    kept = np.asanyarray(nib.load(out / value).dataobj)
    assert (kept[places[0]], kept[places[1]], kept.sum()) == (0, 1, 1)
    # A mark that the mask does not have is told, and nothing is kept.
    page.click('#rows li:nth-child(3) button')
    page.keyboard.press('r')
    page.wait_for_selector('#saved.bad:has-text("nothing at the middle")')
    assert len(rated(out)) == 1
    with saves(page):
        page.keyboard.press('u')
    page.wait_for_selector('#rows li:nth-child(1) .said.no', state='detached')
    assert read_ratings(out / 'ratings.tsv', lambda line: None) == ()
    assert page.said == []


def test_a_picture_of_the_report_leads_to_its_lesion(start):
    page = start(rater='AB')
    page.wait_for_selector('body[data-whole]')
    page.goto(page.url.split('#')[0] + f'report/{LABEL}.html')
    picture = page.locator('a[data-lesion=CMB-2] img')
    assert picture.evaluate('image => image.decode().then(() => image.naturalWidth)') > 0
    picture.click()
    page.wait_for_selector('body[data-ready]')
    page.wait_for_selector('#rows li:nth-child(2) button[aria-current=true]')
    assert page.url.endswith(f'#visit={LABEL}&lesion=cmb_lesions-2')
    assert numbers(page.inner_text('#where')) == pytest.approx([-8, 2, 4], abs=0.06)


def test_hostile_texts_are_inert(start):
    page = start(rater='AB')
    page.click('#visits .visit:has-text("sub-02")')
    page.wait_for_selector('.remarks')
    assert page.evaluate('window.hacked') is None
    assert page.evaluate('document.querySelectorAll("#panel img, #panel script").length') == 0
    assert 'onerror' in page.inner_text('#rows')
    assert page.said == []


def test_a_blinded_reader_sees_no_opinion(start):
    page = start(rater='CD', blind=True)
    assert page.locator('#rows meter').count() == 0
    assert 'machine' not in page.inner_text('#panel')
    assert page.is_disabled('#brush')
    assert page.is_hidden('#agree')
    # The place is that of the image in which the candidate was found, and not of the reference.
    assert page.input_value('#image') == 'desc-preproc_T2starw'
    assert numbers(page.inner_text('#where')) == pytest.approx([6, 4, 2], abs=0.06)


def test_every_control_has_a_name(start):
    page = start(rater='AB')
    for tab in ('lesions', 'grades', 'layers'):
        page.click(f'#tab-{tab}')
        nameless = page.evaluate(
            """[...document.querySelectorAll('button, select, input')]
            .filter(e => !(e.labels && e.labels.length) && !e.textContent.trim()
                && !e.getAttribute('aria-label')).map(e => e.outerHTML)"""
        )
        assert nameless == []


def test_the_folder_works_without_a_server(browser, out, tmp_path):
    index = export(Desk(out, Store(out / 'ratings.tsv')), tmp_path / 'web folder')
    page = browser.new_page(viewport={'width': 1200, 'height': 700}, accept_downloads=True)
    page.set_default_timeout(120_000)
    said, asked = [], []
    page.on('console', lambda message: said.append(message.text))
    page.on('pageerror', lambda error: said.append(str(error)))
    page.on('request', lambda request: asked.append(request.url))
    page.goto(index.as_uri())
    page.wait_for_selector('body[data-ready]')
    page.wait_for_selector('body[data-whole]')
    assert page.evaluate('desk.nv.volumes.length') >= 1
    page.fill('#rater', 'AB')
    page.keyboard.press('Tab')
    page.wait_for_selector('#rows button')
    page.click('#reject')
    page.wait_for_selector('#rows .said.no')
    page.click('#tab-grades')
    with page.expect_download() as caught:
        page.click('text=Save ratings.tsv')
    table = tmp_path / 'taken.tsv'
    caught.value.save_as(table)
    (row,) = read_ratings(table, pytest.fail)
    assert (row.rater, row.value) == ('AB', 'reject')
    assert said == []
    assert all(url.startswith(('file:', 'data:', 'blob:')) for url in asked)
    assert page.evaluate('window.hacked') is None
    assert json.loads((index.parent / 'desk.json').read_text())
    page.close()
