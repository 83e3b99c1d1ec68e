"""Which visits there are, and which of them need a look."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from csvdprep.bids.ratings import Row
from csvdprep.bids.tsv import read_tsv
from csvdprep.core.errors import CsvdprepError
from csvdprep.core.plan import Visit
from csvdprep.core.ratings import DECISION, LISTS
from csvdprep.group.visits import computed_visits
from csvdprep.review.lists import LABELS

__all__ = ['Glance', 'glances', 'order']

_THREADS = 8
#: Folders of a visit that have lists.
_KINDS = ('anat', 'dwi', 'swi')
_RANK = {'failed': 3, 'lost': 3, 'interrupted': 2, 'running': 1, 'ok': 0}
_VERDICT = {'failed': 3, 'check': 2, 'n/a': 2, 'ok': 0}


@dataclass(frozen=True)
class Glance:
    """What is seen of a visit before it is opened.

    Attributes
    ----------
    visit : Visit
        Participant and session.
    state, verdict : str
        As in its status.
    remarks : int
        Number of things that a reader has to mind.
    unsure : int
        Candidates that are neither clearly lesions nor clearly none.
    candidates : int
        Candidates of all lists that can be reviewed.
    report : bool
        Whether there is a report.
    """

    visit: Visit
    state: str
    verdict: str
    remarks: int
    unsure: int
    candidates: int
    report: bool


def glances(output_dir: Path) -> list[Glance]:
    """Look at every visit of an output folder.

    Examples
    --------
    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> (root / 'sub-01' / 'log').mkdir(parents=True)
    >>> text = '{"state": "ok", "verdict": "check", "remarks": [["warn", "Noise."]]}'
    >>> _ = (root / 'sub-01' / 'log' / 'status.json').write_text(text)
    >>> found = glances(root)[0]
    >>> found.visit.label, found.verdict, found.remarks
    ('sub-01', 'check', 1)
    """
    output_dir = Path(output_dir)
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(
            pool.map(lambda visit: _glance(output_dir, visit), computed_visits(output_dir))
        )


def _glance(output_dir: Path, visit: Visit) -> Glance:
    try:
        status = json.loads((output_dir / visit.log / 'status.json').read_text('utf-8'))
    except (OSError, ValueError):
        status = {}
    status = status if isinstance(status, dict) else {}
    remarks = status.get('remarks')
    count = unsure = 0
    for label in (LABELS[name] for name in LISTS):
        for row in _rows(output_dir / visit.folder, label):
            count += 1
            unsure += _is_unsure(row)
    return Glance(
        visit,
        str(status.get('state', 'waiting')),
        str(status.get('verdict', 'n/a')),
        len(remarks) if isinstance(remarks, list) else 0,
        unsure,
        count,
        (output_dir / f'{visit.label}.html').is_file(),
    )


def _rows(folder: Path, label: str) -> list[dict[str, str]]:
    try:
        files = [
            item.path
            for kind in _KINDS
            if os.path.isdir(folder / kind)
            for item in os.scandir(folder / kind)
            if re.search(rf'_label-{label}_lesions\.tsv$', item.name)
        ]
        return [row for path in sorted(files)[:1] for row in read_tsv(Path(path)).rows]
    except (OSError, CsvdprepError):
        return []


def _is_unsure(row: dict[str, str]) -> bool:
    return row.get('status') == 'possible'


def order(found: Iterable[Glance], rows: Iterable[Row], rater: str) -> list[dict[str, Any]]:
    """Sort visits: what is not yet decided and needs a look comes first.

    Parameters
    ----------
    found : iterable of Glance
        Visits.
    rows : iterable of Row
        What holds, of all raters.
    rater : str
        Whose progress is told.

    Returns
    -------
    list of dict
        ``visit, state, verdict, remarks, unsure, candidates, done, decision, report``.
    """
    done: dict[tuple, int] = {}
    decided: dict[tuple, str] = {}
    for row in rows:
        if row.rater != rater:
            continue
        key = (row.subject, row.session or None)
        if row.marker in LISTS:
            done[key] = done.get(key, 0) + 1
        elif row.marker == DECISION:
            decided[key] = str(row.value)

    def need(item: Glance) -> tuple:
        key = (item.visit.subject, item.visit.session)
        return (
            key in decided,
            -_RANK.get(item.state, 2),
            -_VERDICT.get(item.verdict, 2),
            -item.unsure,
            -item.remarks,
            item.visit.label,
        )

    return [
        {
            'visit': item.visit.label,
            'state': item.state,
            'verdict': item.verdict,
            'remarks': item.remarks,
            'unsure': item.unsure,
            'candidates': item.candidates,
            'done': done.get((item.visit.subject, item.visit.session), 0),
            'decision': decided.get((item.visit.subject, item.visit.session), ''),
            'report': item.report,
        }
        for item in sorted(found, key=need)
    ]
