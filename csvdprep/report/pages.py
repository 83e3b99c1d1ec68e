"""What all pages share: templates, one style sheet, one script."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path

import jinja2
from markupsafe import Markup

TEMPLATES = Path(__file__).parent / 'templates'


@cache
def environment(*folders: Path) -> jinja2.Environment:
    """Return the templates of a page; what they are given is escaped.

    Parameters
    ----------
    *folders : Path
        Templates of the page itself, which extend ``base.html`` and use ``parts.html``.

    Notes
    -----
    The policy of a page (``Content-Security-Policy``) names the digest of its one script: no
    other script can run, whatever text a page shows. Nothing is loaded from elsewhere.

    Examples
    --------
    >>> page = environment().from_string("{% extends 'base.html' %}").render()
    >>> page.count('<script>'), "script-src 'sha256-" in page
    (1, True)
    """
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader([*folders, TEMPLATES]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    script = (TEMPLATES / 'page.js').read_text(encoding='utf-8')
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    found.globals |= {'script': Markup(script), 'script_source': Markup(f"'sha256-{digest}'")}
    return found
