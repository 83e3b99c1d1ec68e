"""Score any application against the truth of the phantom: masks, detection, numbers, changes."""

from __future__ import annotations

from pathlib import Path

from csvdprep.bids.own import check_replaceable
from csvdprep.bids.tsv import tsv_text
from csvdprep.core.errors import InputError
from csvdprep.scoring import find, masks, scalars
from csvdprep.scoring.columns import TABLES
from csvdprep.scoring.detection import froc, operating_points
from csvdprep.scoring.groups import error_rows, facts_of, raw_of
from csvdprep.scoring.lesions import Scan, lesion_labels, match
from csvdprep.scoring.limits import lesion_outcomes, limits
from csvdprep.scoring.result import Scores

__all__ = ['Scores', 'check_folder', 'score', 'write']

#: Tables that are written as files of their own.
_FILES = ('masks', 'detection', 'limits', 'lesions', 'froc', 'scalars', 'changes', 'groups')


def score(derivatives: Path, truth: Path, bids_dir: Path | None = None) -> Scores:
    """Compare what an application wrote with the truth.

    Parameters
    ----------
    derivatives : Path
        BIDS derivative of any application: masks, lists of lesions, tables.
    truth : Path
        BIDS derivative with the truth, as a phantom has it.
    bids_dir : Path, optional
        Dataset of the images, whose participants.tsv tells site, age and sex: errors are compared
        between these. Without it, that around ``derivatives/truth``.

    Returns
    -------
    Scores
        All tables; ``str()`` of it is a summary.

    Raises
    ------
    csvdprep.core.errors.InputError
        If a folder is no BIDS derivative, no visit is in both, or a file cannot be read.
    """
    derivatives, truth = Path(derivatives), Path(truth)
    app_about, truth_about = find.description(derivatives), find.description(truth)
    visits = {visit: find.files_of(truth, visit) for visit in find.visits_of(truth)}
    app = {visit: find.files_of(derivatives, visit) for visit in visits}
    true = scalars.true_values(visits)
    found = scalars.app_values(derivatives, truth, list(visits), set(true.measures))
    present = {visit for visit in visits if app[visit]} | {visit for visit, _ in found.values}
    _check_common(list(visits), present, derivatives, truth)
    scans, unmatched = _scans(visits, app, present)
    raw = raw_of(truth, None if bids_dir is None else Path(bids_dir))
    facts, odd = facts_of(raw, [visit for visit in visits if visit in present])
    compared = _mask_tables(visits, app) | _number_tables(true, found)
    return Scores(
        app=_maker(app_about) or derivatives.resolve().name,
        truth=str(truth_about.get('Name') or truth.resolve().name),
        visits=tuple(visit.label for visit in visits if visit in present),
        missing=tuple(visit.label for visit in visits if visit not in present),
        notes=(*_absent(true, found), *found.notes, *unmatched, *odd),
        about=true.about,
        detection=[row for label in scans for row in operating_points(label, scans[label])],
        lesions=[row for label in scans for row in lesion_outcomes(label, scans[label])],
        limits=[row for label in scans for row in limits(label, scans[label])],
        froc=[{'label': label} | point for label in scans for point in froc(scans[label])],
        groups=error_rows(facts, compared['pairs'], compared['masks'], true.about),
        **compared,
    )


def check_folder(out_dir: Path, *, field: str) -> None:
    """Raise UsageError if `write` would replace files that it did not write.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> check_folder(folder, field='--out')
    >>> _ = (folder / 'masks.tsv').write_text('mine')
    >>> check_folder(folder, field='--out')
    Traceback (most recent call last):
    csvdprep.core.errors.UsageError: A file of another kind exists and is not replaced. ...

    """
    signs = {f'{name}.tsv': tsv_text([TABLES[name]]).rstrip() for name in _FILES}
    signs |= {
        'score.json': '"Agreement of an application with the truth',
        'score.html': '<meta name="generator" content="csvdprep score">',
    }
    for name, sign in signs.items():
        check_replaceable(Path(out_dir) / name, sign, field=field)


def write(scores: Scores, out_dir: Path) -> Path:
    """Write the tables, ``score.json`` and ``score.html``.

    Parameters
    ----------
    scores : Scores
        From `score`.
    out_dir : Path
        Folder, made if need be.

    Returns
    -------
    Path
        The page.
    """
    from csvdprep.bids.files import atomic_write
    from csvdprep.scoring.page import render  # takes matplotlib, which is slow to import

    contents = {f'{name}.tsv': scores.tsv(name) for name in _FILES}
    contents |= {'score.json': scores.json(), 'score.html': render(scores)}
    for name, content in contents.items():
        atomic_write(Path(out_dir) / name, content)
    return Path(out_dir) / 'score.html'


def _check_common(visits: list, present: set, derivatives: Path, truth: Path) -> None:
    if not visits:
        raise InputError('The truth has no visit (no folder sub-*).', file=truth)
    if not present:
        raise InputError(
            f'No visit of the truth ({", ".join(visit.label for visit in visits)}) is among the '
            'output.',
            file=derivatives,
            remedy='Run the application on the dataset to which this truth belongs.',
        )


def _mask_tables(visits: dict, app: dict) -> dict[str, list[dict]]:
    rows = [
        row
        for visit, files in visits.items()
        for row in masks.compare_masks(visit, files, app[visit])
    ]
    return {'masks': rows, 'mask_summary': masks.summarise(rows)}


def _number_tables(true: scalars.Values, found: scalars.Values) -> dict[str, list[dict]]:
    joined = scalars.pairs(true, found)
    changes = scalars.changes(true, found)
    return {
        'scalars': scalars.agreements(joined, true.about),
        'changes': changes,
        'change_summary': scalars.change_agreements(changes, true.about),
        'pairs': [
            visit.columns | {'measure': name, 'truth': one, 'found': other}
            for name, triples in joined.items()
            for visit, one, other in triples
        ],
    }


def _scans(visits: dict, app: dict, present: set) -> tuple[dict[str, list[Scan]], list[str]]:
    """Match the lesions of each label in all visits; tell where that cannot be."""
    scans: dict[str, list[Scan]] = {}
    notes = []
    for visit, files in visits.items():
        for label in lesion_labels(files) if visit in present else ():
            matched = match(visit, label, files, app[visit])
            if isinstance(matched, Scan):
                scans.setdefault(label, []).append(matched)
            else:
                notes.append(f'{visit.label}: {label} is not in the detection, {matched}.')
    return dict(sorted(scans.items())), notes


def _absent(true: scalars.Values, found: scalars.Values) -> list[str]:
    known = set(found.measures)
    absent = [name for name in true.measures if name not in known]
    return [f'The app has no column for: {", ".join(absent)}.'] if absent else []


def _maker(description: dict) -> str:
    """Give name and version of the application that made a derivative, '' if not told."""
    makers = description.get('GeneratedBy')
    maker = makers[0] if isinstance(makers, list) and makers else None
    if not isinstance(maker, dict):
        return str(description.get('Name', ''))
    return ' '.join(str(maker[key]) for key in ('Name', 'Version') if maker.get(key))
