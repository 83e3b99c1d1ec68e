"""axe-core, which finds what keeps people from using a page."""

import importlib.util
from pathlib import Path

import pytest

#: Faults that are not accepted.
GRAVE = ('serious', 'critical')


def serious_faults(page):
    """Return the rules that a page breaks gravely, each with the first element that does.

    The page must have been opened with ``bypass_csp``. What hangs in a frame is not looked at.
    """
    found = importlib.util.find_spec('axe_playwright_python')
    if found is None:
        pytest.skip('axe_playwright_python, which has a copy of axe-core, is not installed')
    page.evaluate(Path(found.origin).with_name('axe.min.js').read_text(encoding='utf-8'))
    told = page.evaluate('axe.run(document, {iframes: false})')
    assert len(told['passes']) > 10, 'axe-core saw no page'
    return [
        (fault['id'], fault['nodes'][0]['html'])
        for fault in told['violations']
        if fault['impact'] in GRAVE
    ]
