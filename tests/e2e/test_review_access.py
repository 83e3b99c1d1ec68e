"""Nothing keeps people from using the reviewing desk: axe-core looks at it, light and dark."""

from __future__ import annotations

import os
import shutil
import threading

import pytest
from axe import serious_faults
from desk import write_output

from csvdprep.review.desk import Desk
from csvdprep.review.server import make_server
from csvdprep.review.store import Store

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
BROWSER = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser'))), None)
FLAGS = [
    '--no-sandbox',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    # WebGL 2 without a graphics card.
    '--use-gl=angle',
    '--use-angle=swiftshader',
    '--enable-unsafe-swiftshader',
    '--ignore-gpu-blocklist',
]


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


@pytest.fixture(scope='module')
def address(tmp_path_factory):
    out = write_output(tmp_path_factory.mktemp('desk') / 'out')
    server = make_server(0, Desk(out, Store(out / 'ratings.tsv'), rater='consensus'))
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server.url
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_axe_finds_no_serious_fault(browser, address, scheme):
    with browser.new_context(color_scheme=scheme, bypass_csp=True) as context:
        page = context.new_page()
        page.set_default_timeout(120_000)
        page.goto(address)
        page.wait_for_selector('body[data-ready]')
        assert page.evaluate('document.documentElement.dataset.theme') == scheme
        for tab in ('lesions', 'grades', 'layers'):
            page.click(f'#tab-{tab}')
            assert page.is_visible(f'#{tab}')
            assert serious_faults(page) == [], tab
        page.click('#help')
        assert serious_faults(page) == []
