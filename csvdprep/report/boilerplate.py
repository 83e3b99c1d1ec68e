"""The Methods text of exactly what ran, with its references."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path

from csvdprep import __version__
from csvdprep.bids.files import atomic_write
from csvdprep.bids.names import fill
from csvdprep.core.plan import Plan
from csvdprep.report.references import Citations, bibliography, reference_html

_INTRO = (
    'Results come from csvdprep {version}, which reads and writes the Brain Imaging Data '
    'Structure [@gorgolewski2016] and runs on Nipype [@gorgolewski2011].'
)
_STYLE = (
    'body{font:16px/1.5 Georgia,serif;max-width:46em;margin:2em auto;padding:0 1em}'
    'h1,h2{font-family:Helvetica,Arial,sans-serif}'
)


def methods_text(plan: Plan) -> tuple[str, str, str]:
    """Write what was done to a visit, ready to be pasted into a paper.

    Parameters
    ----------
    plan : Plan
        Its rooms say what they did under their options.

    Returns
    -------
    markdown : str
        Methods and numbered references.
    html : str
        The same as a fragment of HTML, everything from the rooms escaped.
    bibtex : str
        The references cited.

    Examples
    --------
    >>> from csvdprep.core.plan import Visit, VisitInput, make_plan
    >>> empty = make_plan(VisitInput(visit=Visit('01'), scans={}), [])
    >>> text, _, bib = methods_text(empty)
    >>> 'Nipype [2]' in text, bib.count('@article')
    (True, 2)

    """
    cited = Citations()
    intro = cited.number(_INTRO.format(version=__version__), bibliography())
    paragraphs = [('', intro)]
    for step in plan.steps:
        known = {**bibliography(), **bibliography(step.room)}
        said = fill(step.room.describe(step.options), plan.context.hub)
        if step.decisions:
            said += ' Settings chosen from the scans: ' + '; '.join(map(str, step.decisions)) + '.'
        text = cited.number(' '.join(said.split()), known)
        entries = [known[key] for key in step.room.references if key in known]
        if more := [str(cited.add(entry)) for entry in entries if not cited.has(entry)]:
            text += f' See also [{", ".join(more)}].'
        if text:
            paragraphs.append((fill(step.room.title, plan.context.hub), text))
    return _markdown(paragraphs, cited), _html(paragraphs, cited), cited.bibtex()


def write_citation(plan: Plan, folder: Path) -> list[Path]:
    """Write ``CITATION.md``, ``CITATION.html`` and ``CITATION.bib``.

    Parameters
    ----------
    plan : Plan
        What ran.
    folder : Path
        Where to.

    Returns
    -------
    list of Path
        The three files.

    """
    markdown, html, bibtex = methods_text(plan)
    page = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Methods</title>'
        f'<style>{_STYLE}</style></head><body>\n<h1>Methods</h1>\n{html}\n</body></html>\n'
    )
    files = {'CITATION.md': markdown, 'CITATION.html': page, 'CITATION.bib': bibtex}
    for name, text in files.items():
        atomic_write(Path(folder) / name, text)
    return [Path(folder) / name for name in files]


def _markdown(paragraphs, cited: Citations) -> str:
    lines = ['# Methods', '']
    for title, text in paragraphs:
        lines += [f'**{title}.** {text}' if title else text, '']
    lines += ['# References', '']
    for number, entry in enumerate(cited.entries, 1):
        lines.append(f'{number}. {entry}' + (f' {entry.url}' if entry.url else ''))
    return '\n'.join(lines) + '\n'


def _html(paragraphs, cited: Citations) -> str:
    parts = []
    for title, text in paragraphs:
        head = f'<b>{escape(title)}.</b> ' if title else ''
        linked = re.sub(r'\[(\d+(?:, \d+)*)\]', _linked, escape(text))
        parts.append(f'<p>{head}{linked}</p>')
    items = ''.join(
        f'<li id="ref-{number}">{reference_html(entry)}</li>'
        for number, entry in enumerate(cited.entries, 1)
    )
    return '\n'.join(parts) + f'\n<h2>References</h2>\n<ol class="references">{items}</ol>'


def _linked(found: re.Match[str]) -> str:
    links = (f'<a href="#ref-{n}">{n}</a>' for n in found[1].split(', '))
    return f'[{", ".join(links)}]'
