"""Write the page that a reader of a visit opens first."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from csvdprep.bids.files import atomic_write
from csvdprep.bids.names import fill
from csvdprep.core.plan import Plan, Step
from csvdprep.core.room import Derivative
from csvdprep.report import content
from csvdprep.report.boilerplate import methods_text
from csvdprep.report.spec import bootstrap_text, report_spec

_TEMPLATES = Path(__file__).parent / 'templates'
_FOOTER = (
    '<footer><p>Made by csvdprep, assembled with NiReports. For research; not a medical '
    'device. Check the figures before you use any value.</p></footer>'
)


@dataclass
class Piece:
    """A part of a section that is no figure: what nireports' template asks of a reportlet."""

    name: str
    components: list[tuple[str, str]] = field(default_factory=list)
    title: str = ''
    subtitle: str = ''
    description: str = ''


def write_visit_report(
    *,
    output_dir: Path,
    plan: Plan,
    values: Sequence[Mapping[str, Any]],
    status: Mapping[str, Any],
    versions: Mapping[str, str],
    lists: Sequence[tuple[Derivative, str | Path]] = (),
    titles: Mapping[str, str] | None = None,
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

    Returns
    -------
    Path
        The page. It is replaced at once; a reader never sees a part of it.

    """
    from nireports.assembler.report import Report, SubReport  # takes seconds

    output_dir = Path(output_dir).resolve()
    spec = report_spec(plan, template=str(_TEMPLATES / 'page.html'))
    with tempfile.TemporaryDirectory(dir=_scratch()) as folder:
        # nireports works on copies: it takes entities from the whole path, which may hold some
        # above the dataset, and it rewrites figures whose width and height it does not want.
        root, figures = Path(folder), Path(folder) / plan.visit.folder / 'figures'
        figures.mkdir(parents=True)
        for file in _figures(plan, output_dir):
            shutil.copyfile(file, figures / file.name)
        (root / 'spec.yml').write_text(bootstrap_text(spec), encoding='ascii')
        report = Report(
            root,
            None,
            bootstrap_file=root / 'spec.yml',
            out_filename='report.html',
            reportlets_dir=figures,
            plugins=[],
        )
        drawn = {part.name: part for section in report.sections for part in section.reportlets}
        failed = content.failures(plan, status, output_dir)
        head = content.headline(plan, values, status)
        report.header = [_render('header', head=head, failures=failed)]
        report.footer = [_FOOTER]
        report.sections = [
            SubReport(name, reportlets=pieces)
            for name, pieces in _sections(
                plan, values, status, versions, lists, titles or {}, failed, drawn, output_dir
            )
        ]
        report.generate_report()
        page = output_dir / f'{plan.visit.label}.html'
        atomic_write(page, report.out_filename.read_bytes())
    return page


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
    folder = output_dir / plan.visit.folder / 'figures'
    names = (
        f'{plan.visit.label}_desc-{figure.desc}_{fill(figure.suffix, plan.context.hub)}'
        f'{figure.extension}'
        for step in plan.steps
        for figure in step.room.figures
    )
    return [folder / name for name in names if (folder / name).is_file()]


#: By level: title of the section of lists, how many rows of one are shown, what they are, and what
#: an empty list says.
_LISTS = {
    'visit': ('Lesions', 30, 'lesions', 'No lesion was found.'),
    'participant': ('Change', 150, 'differences', 'No measure could be compared.'),
}


def _sections(plan, values, status, versions, lists, titles, failed, drawn, output_dir):
    """Yield name and pieces of each section, in the order of reading."""
    known = {value['name']: value for value in values}
    main = content.measure_groups(plan, known, main=True)
    more = content.measure_groups(plan, known, main=False)
    folder = output_dir / plan.visit.folder
    tables = [
        folder / f'{plan.visit.label}_desc-{desc}_measures.tsv' for desc in ('csvd', 'csvdlong')
    ]
    yield (
        'Measures',
        [
            _piece(
                'measures',
                main=main,
                more=more,
                count=sum(len(g['rows']) for g in more),
                files=[content.link(path, output_dir) for path in tables if path.is_file()],
            )
        ],
    )
    yield 'Plan', [_piece('plan', **content.plan_content(plan, status, titles))]
    yield (
        'Failures and warnings',
        [_piece('failures', failures=failed, warnings=status.get('warnings') or [])],
    )
    for step in plan.steps:
        if step.room.figures:
            yield (
                fill(step.room.title, plan.context.hub),
                [
                    drawn.get(f'figure-{figure.desc}') or _undrawn(figure, step, plan, status)
                    for figure in step.room.figures
                ],
            )
    title, most, what, none = _LISTS[plan.visit.level]
    read = [
        (item, content.list_content(Path(path), output_dir, item, most)) for item, path in lists
    ]
    pieces = {True: [], False: []}
    for item, found in read:
        if found:
            piece = _piece('lesions', lists=item.lists, what=item.rows or what, none=none, **found)
            pieces[bool(item.rows)].append(piece)
    if pieces[True]:
        yield 'Scores', pieces[True]
    if pieces[False]:
        yield title, pieces[False]
    if checks := content.quality_rows(plan, known):
        yield 'Quality control', [_piece('quality', rows=checks)]
    text = f'<div class="methods">{methods_text(plan)[1]}</div>'
    yield 'Methods', [Piece('methods', [(text, '')])]
    yield (
        'Software and provenance',
        [_piece('software', **content.provenance(plan, status, versions, output_dir))],
    )


def _undrawn(figure, step: Step, plan: Plan, status: Mapping[str, Any]) -> Piece:
    """Stand for a figure that is not there, and say why."""
    why = {'failed': 'the step failed', 'not run': 'the step was not run'}.get(
        (status.get('rooms') or {}).get(step.room.name, ''),
        'the image that it shows was not produced',
    )
    subtitle = fill(figure.title, plan.context.hub)
    return Piece(f'figure-{figure.desc}', [(_render('undrawn', why=why), '')], subtitle=subtitle)


def _piece(template: str, **data: Any) -> Piece:
    return Piece(template, [(_render(template, **data), '')])


def _render(template: str, **data: Any) -> str:
    text = _environment().get_template(f'{template}.html').render(**data)
    # Names of files may hold bytes that are no text, which no page can hold.
    return text.encode('utf-8', 'backslashreplace').decode()


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
