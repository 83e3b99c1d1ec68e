"""Write the page that a reader of a visit opens first."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from csvdprep.bids.files import atomic_write
from csvdprep.bids.names import fill
from csvdprep.core.plan import Plan
from csvdprep.core.room import Derivative, Figure, Room
from csvdprep.graph.visit import figure_path
from csvdprep.imaging.drawing import nothing_in
from csvdprep.report import content, summary
from csvdprep.report.boilerplate import methods_text
from csvdprep.report.pages import environment
from csvdprep.report.spec import bootstrap_text, report_spec


@dataclass
class Part:
    """A part of a section: a figure, or what a template wrote."""

    html: str
    title: str = ''
    caption: str = ''
    id: str = ''


@dataclass
class Section:
    """What the page shows under one heading; folded, it is opened by the reader."""

    name: str
    parts: list[Part]
    folded: bool = False


def write_visit_report(
    *,
    output_dir: Path,
    plan: Plan,
    values: Sequence[Mapping[str, Any]],
    status: Mapping[str, Any],
    versions: Mapping[str, str],
    lists: Sequence[tuple[Derivative, str | Path]] = (),
    titles: Mapping[str, str] | None = None,
    rooms: Sequence[Room] = (),
    person: Mapping[str, str] | None = None,
    percentiles: Mapping[str, float] | None = None,
) -> Path:
    """Write ``<output_dir>/<visit>.html``, with links to the figures of the visit.

    Parameters
    ----------
    output_dir : Path
        Root of the derivatives; figures lie in ``<visit folder>/figures``.
    plan : Plan
        What was decided.
    values : sequence of mapping
        ``name, value, low, high, n, reason, qc, ungated`` of each measure.
    status : mapping
        ``state, run_id, started, finished, rooms, failures, warnings, verdict, remarks``.
    versions : mapping of str to str
        Version of each piece of software.
    lists : sequence of (Derivative, path-like), optional
        Lists of lesions, each with its declaration.
    titles : mapping of str to str, optional
        Titles of the rooms that did not run.
    rooms : sequence of Room, optional
        All rooms, so that the profile names the markers that have no place in the visit.
    person : mapping of str to str, optional
        ``age, sex, site, acquired``, as far as the tables of the dataset tell.
    percentiles : mapping of str to float, optional
        Percentile of measures for the person's age and sex.

    Returns
    -------
    Path
        The page. It is replaced at once; a reader never sees a part of it.

    """
    output_dir = Path(output_dir).resolve()
    drawn = _drawn(plan, output_dir)
    failed = content.failures(plan, status, output_dir)
    known = {value['name']: value for value in values}
    ran = {step.room.name for step in plan.steps}
    all_rooms = _in_order(rooms or [step.room for step in plan.steps])
    scans = content.scan_titles(plan.declared)
    markers, absent = summary.profile(
        all_rooms, ran, known, plan.context.hub, percentiles=percentiles
    )
    head = content.headline(plan, values, status) | {'who': summary.who(plan, person or {})}
    text = _render(
        'page',
        title=f'csvdprep: {plan.visit.label}',
        head=head,
        profile=markers,
        unmeasured=[(title, content.worded(why, scans)) for title, why in absent],
        burden=summary.burden(lists, all_rooms, known),
        look=summary.needs_look(plan, values, status),
        tiles=_tiles(plan, drawn, output_dir),
        sections=[
            *_sections(
                plan, values, status, versions, lists, titles or {}, failed, drawn, output_dir
            )
        ],
        **_STRIPS[bool(percentiles)],
    )
    page = output_dir / f'{plan.visit.label}.html'
    atomic_write(page, text)
    return page


#: Head of the column that shows where a value lies, and what to know of it.
_STRIPS = {
    True: {
        'strip_title': 'Percentile',
        'strip_note': 'Green bars: percentile among controls of the same age and sex, by the last '
        'run of the group level. Grey bars: range within which a value is plausible.',
    },
    False: {
        'strip_title': 'Plausible',
        'strip_note': 'The bar is the range within which a value is plausible; beyond it, a value '
        'is flagged. It is not a reference range of healthy people.',
    },
}


def _in_order(rooms: Iterable[Room]) -> list[Room]:
    return sorted(rooms, key=lambda room: room.order)


def _drawn(plan: Plan, output_dir: Path) -> dict[str, str]:
    """Return the captions of the figures that are there, by name, as nireports finds them."""
    from nireports.assembler.report import Report  # takes seconds

    with tempfile.TemporaryDirectory(dir=_scratch()) as folder:
        # nireports works on copies: it takes entities from the whole path, which may hold some
        # above the dataset, and it rewrites figures whose width and height it does not want.
        root, figures = Path(folder), Path(folder) / plan.visit.folder / 'figures'
        figures.mkdir(parents=True)
        for file in _figures(plan, output_dir):
            shutil.copyfile(file, figures / file.name)
        (root / 'spec.yml').write_text(bootstrap_text(report_spec(plan)), encoding='ascii')
        report = Report(
            root,
            None,
            bootstrap_file=root / 'spec.yml',
            out_filename='report.html',
            reportlets_dir=figures,
            plugins=[],
        )
    parts = (part for section in report.sections for part in section.reportlets)
    return {part.name: part.components[0][1] for part in parts if part.components}


def _tiles(plan: Plan, drawn: Mapping[str, str], output_dir: Path) -> list[dict[str, str]]:
    """Return the figures of the first screen."""
    tiles = []
    for step in sorted(plan.steps, key=lambda step: step.room.order):
        for figure in step.room.figures:
            if figure.disease and f'figure-{figure.desc}' in drawn:
                shown = _picture(figure, plan, output_dir)
                caption = fill(figure.caption, plan.context.hub)
                first = re.split(r'(?<=[.:;])\s', caption, maxsplit=1)[0]
                tiles.append(shown | {'caption': caption, 'note': first.rstrip(':;')})
    return tiles


def _picture(figure: Figure, plan: Plan, output_dir: Path) -> dict[str, Any]:
    path = figure_path(plan, figure, output_dir)
    return {
        'title': fill(figure.title, plan.context.hub),
        'href': content.href(content.relative(path, output_dir)),
        'file': path.name,
        'vector': figure.extension == '.svg',
        'why': '',
        'nothing': nothing_in(path) if figure.extension == '.svg' else '',
    }


def _scratch() -> str | None:
    """Return a folder for temporary files whose name is text: pybids can note no other."""
    for folder in (tempfile.gettempdir(), '/tmp', '/var/tmp', '/dev/shm'):
        with contextlib.suppress(UnicodeEncodeError):
            folder.encode()
            if os.access(folder, os.W_OK | os.X_OK):
                return folder
    return None


def _figures(plan: Plan, output_dir: Path) -> list[Path]:
    """Return the figures that the rooms of the plan declare and that are there."""
    paths = (figure_path(plan, f, output_dir) for step in plan.steps for f in step.room.figures)
    return [path for path in paths if path.is_file()]


#: By level: title of the section of lists, how many rows of one are shown, what they are, and what
#: an empty list says.
_LISTS = {
    'visit': ('Lesions', 30, 'lesions', 'No lesion was found.'),
    'participant': ('Change', 150, 'differences', 'No measure could be compared.'),
}


def _sections(
    plan, values, status, versions, lists, titles, failed, drawn, output_dir
) -> Iterator[Section]:
    """Yield the sections in the order of reading: markers, images and steps, provenance."""
    hub, level = plan.context.hub, plan.visit.level
    known = {value['name']: value for value in values}
    title, most, what, none = _LISTS[level]
    read = {
        id(item): (item, content.list_content(Path(path), output_dir, item, most))
        for item, path in lists
    }
    yield from (
        Section(fill(step.room.title, hub), parts)
        for step in sorted(plan.steps, key=lambda step: step.room.order)
        if (step.room.marker or level != 'visit')
        and (parts := _marker(step, plan, known, status, read, drawn, output_dir, what, none))
    )
    folder = output_dir / plan.visit.folder
    tables = [
        folder / f'{plan.visit.label}_desc-{desc}_measures.tsv' for desc in ('csvd', 'csvdlong')
    ]
    if files := [content.link(path, output_dir) for path in tables if path.is_file()]:
        yield Section('Files', [_part('files', files=files)])
    rest = [(item, found) for item, found in read.values() if found]
    if rest:
        parts = [
            _list_part(item, item.rows or what, none, found, visit=plan.visit.label)
            for item, found in rest
        ]
        yield Section(title, parts)
    if failed or status.get('warnings'):
        warnings = status.get('warnings') or []
        yield Section(
            'Failures and warnings', [_part('failures', failures=failed, warnings=warnings)], True
        )
    if checks := content.quality_rows(plan, known):
        yield Section('Quality control', [_part('quality', rows=checks)], True)
    if level == 'visit':
        for step in plan.steps:
            if not step.room.marker and (step.room.figures or step.room.measures):
                parts = _figure_parts(step, plan, status, drawn, output_dir)
                shown = content.measure_parts(step, known, hub)
                if any(shown.values()):
                    parts.append(_part('measures', **shown))
                yield Section(fill(step.room.title, hub), parts, True)
    yield Section(
        'Images and steps', [_part('plan', **content.plan_content(plan, status, titles))], True
    )
    text = f'<div class="methods">{methods_text(plan)[1]}</div>'
    yield Section('Methods', [Part(Markup(text))], True)
    facts = content.provenance(plan, status, versions, output_dir)
    yield Section('Software and provenance', [_part('software', **facts)], True)


def _marker(step, plan, known, status, read, drawn, output_dir, what, none) -> list[Part]:
    """Return the parts of a marker: measures, figures, lists."""
    shown = content.measure_parts(step, known, plan.context.hub)
    parts = [_part('measures', **shown)] if any(shown.values()) else []
    parts += _figure_parts(step, plan, status, drawn, output_dir)
    for item in step.room.makes.values():
        _, found = read.pop(id(item), (item, None))
        if found:
            what = item.rows or what
            seen = _lesion_pictures(step, plan, output_dir)
            label = plan.visit.label
            parts.append(_list_part(item, what, none, found, visit=label, pictures=seen))
    return parts


def _list_part(
    item: Derivative,
    what: str,
    none: str,
    found: Mapping[str, Any],
    *,
    visit: str = '',
    pictures: Mapping[str, str] | None = None,
) -> Part:
    """Return a list; its rows have names by which a reviewing desk leads to each lesion."""
    named = item.suffix == 'lesions' and not item.desc
    label = item.label or '' if named else ''
    facts = {'label': label, 'visit': visit, 'pictures': pictures or {}}
    return _part('lesions', lists=item.lists, what=what, none=none, **facts, **found)


#: The part of a gallery that shows one lesion.
_VIEW = re.compile(r'<view id="lesion-([A-Za-z]+-\d+)"')


def _lesion_pictures(step, plan: Plan, output_dir: Path) -> dict[str, str]:
    """Return the addresses of the pictures of lesions in the galleries of a step, by lesion."""
    found: dict[str, str] = {}
    for figure in step.room.figures:
        path = figure_path(plan, figure, output_dir)
        if figure.extension == '.svg' and path.is_file():
            address = content.href(content.relative(path, output_dir))
            names = _VIEW.findall(path.read_text('ascii', 'replace'))
            found |= {name: f'{address}#lesion-{name}' for name in names}
    return found


def _figure_parts(step, plan, status, drawn, output_dir) -> list[Part]:
    """Return the figures of a step; where one is not there, why."""
    parts = []
    for figure in step.room.figures:
        name = f'figure-{figure.desc}'
        shown = _picture(figure, plan, output_dir)
        if name not in drawn:
            shown['why'] = {'failed': 'the step failed', 'not run': 'the step was not run'}.get(
                (status.get('rooms') or {}).get(step.room.name, ''),
                'the image that it shows was not produced',
            )
        caption = str(drawn.get(name) or '')
        parts.append(
            Part(_render('figure', figure=shown), title=shown['title'], caption=caption, id=name)
        )
    return parts


def _part(template: str, **data: Any) -> Part:
    return Part(_render(template, **data))


def _render(template: str, **data: Any) -> str:
    text = environment().get_template(f'{template}.html').render(**data)
    # Names of files may hold bytes that are no text, which no page can hold.
    return Markup(text.encode('utf-8', 'backslashreplace').decode())
