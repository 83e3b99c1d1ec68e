"""Take the pictures of the pages that the documentation shows.

    csvdprep demo DIR
    python scripts/page_pictures.py DIR docs/img

Needs playwright and Chromium.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from csvdprep.core.plan import Visit
from csvdprep.review.desk import Desk
from csvdprep.review.server import make_server
from csvdprep.review.store import Store

FLAGS = [
    '--no-sandbox',
    '--use-gl=angle',
    '--use-angle=swiftshader',
    '--enable-unsafe-swiftshader',
    '--ignore-gpu-blocklist',
]
#: Colours of a picture: pages have few.
COLOURS = 128
VISIT = Visit('01', '1')
#: What is said of the first microbleeds of the list.
SAID = ('accept', 'accept', 'vein')


def main() -> None:
    """Open each page, and keep what it shows."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('demo', type=Path, help='folder of csvdprep demo')
    parser.add_argument('into', type=Path, help='folder of the pictures')
    asked = parser.parse_args()
    out, into = asked.demo.resolve() / 'derivatives', asked.into
    browser = shutil.which('chromium') or shutil.which('chromium-browser')
    with sync_playwright() as running:
        opened = running.chromium.launch(executable_path=browser, args=FLAGS)
        for name, file, goal, size, scheme in (
            ('report', f'{VISIT.label}.html', '', (1240, 900), 'light'),
            ('report_lesions', f'{VISIT.label}.html', 'td.picture', (1093, 560), ''),
            ('report_participant', 'sub-01.html', '', (1093, 700), 'light'),
            ('report_group', 'group.html', '#visits', (1093, 560), 'light'),
            ('report_score', '../score/score.html', '', (1093, 680), 'dark'),
        ):
            page = _page(opened, size, scheme or 'light')
            page.goto((out / file).resolve().as_uri())
            page.wait_for_timeout(1500)
            if goal:
                page.evaluate('document.documentElement.style.scrollBehavior = "auto"')
                page.locator(goal).first.evaluate(
                    'goal => (goal.closest(".part, section") ?? goal).scrollIntoView()'
                )
                page.wait_for_timeout(1500)
            _keep(page, into / f'{name}.png')
        with _desk(out) as address:
            _take_desk(opened, address, into)
        opened.close()


def _page(opened, size: tuple[int, int], scheme: str) -> Page:
    page = opened.new_page(viewport={'width': size[0], 'height': size[1]}, color_scheme=scheme)
    page.set_default_timeout(180_000)
    return page


def _take_desk(opened, address: str, into: Path) -> None:
    """Rate the first microbleeds, and show lists and grades."""
    page = _page(opened, (1200, 740), 'light')
    page.goto(f'{address}#visit={VISIT.label}&lesion=CMB-1')
    page.wait_for_selector('body[data-ready]')
    page.wait_for_selector('body[data-whole]')
    for value in SAID:
        with page.expect_response(lambda answer: '/api/rate' in answer.url and answer.ok):
            if value == 'accept':
                page.keyboard.press('a')
            else:
                page.select_option('#kind', value)
        page.wait_for_timeout(400)
    page.locator('#rows button').first.click()
    page.keyboard.press('+')
    page.wait_for_timeout(2500)
    _keep(page, into / 'review.png')
    page = _page(opened, (1200, 740), 'dark')
    page.goto(f'{address}#visit={VISIT.label}&lesion=WMH-1')
    page.wait_for_selector('body[data-ready]')
    page.wait_for_selector('body[data-whole]')
    page.click('#tab-grades')
    with page.expect_response(lambda answer: '/api/rate' in answer.url and answer.ok):
        page.check('input[name=fazekas_pv][value="2"]')
    page.wait_for_timeout(2500)
    _keep(page, into / 'review_grades.png')


@contextmanager
def _desk(out: Path) -> Iterator[str]:
    """Serve a desk whose ratings are thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / 'ratings.tsv')
        server = make_server(0, Desk(out, store, rater='AB'))
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server.url
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def _keep(page: Page, file: Path) -> None:
    """Write what a page shows, with few colours."""
    shown = Image.open(BytesIO(page.screenshot())).convert('RGB')
    small = shown.quantize(COLOURS, dither=Image.Dither.NONE)
    small.save(file, optimize=True)
    print(f'{file}: {file.stat().st_size / 1000:.0f} kB')
    page.close()


if __name__ == '__main__':
    main()
