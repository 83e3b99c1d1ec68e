"""The new dataset: names, files that are taken over, tables, descriptions."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from csvdprep.bids.names import compose
from csvdprep.bids.tsv import read_tsv
from csvdprep.core.errors import InputError
from csvdprep.phantom.dataset.make import BIDS_VERSION, TRUTH_IGNORED
from csvdprep.phantom.into import images
from csvdprep.phantom.into.diffusion import USUAL_B
from csvdprep.phantom.into.visits import Source, Visit
from csvdprep.phantom.scanner.recorder import Recorder, write_json, write_table, write_text

#: Files at the root that describe the dataset as a whole, and are written anew.
OWN = ('dataset_description.json', 'participants.tsv', 'participants.json', 'README', 'CHANGES')
#: Texts in which the label of a participant stands, and is replaced.
TEXTS = ('.json', '.tsv')
SAID = {
    'participant_id': 'Case: participant of the dataset, and number',
    'session_id': 'Session; with "atrophy" at its end, or 2, after a known warp',
    'source_participant_id': 'Participant whose scans these are',
    'source_session_id': 'Session of the scans',
    'label': 'Kind of lesion',
    'space': 'Scan on whose grid its truth lies',
}


def ids(subject: str, session: str | None) -> dict[str, str | None]:
    """Return the columns that name a visit."""
    return {
        'participant_id': f'sub-{subject}',
        'session_id': f'ses-{session}' if session else None,
    }


def source_ids(visit: Visit) -> dict[str, str | None]:
    """Return the columns that name the visit from which the scans are."""
    named = ids(visit.subject, visit.session)
    return {f'source_{name}': value for name, value in named.items()}


def name_of(source: Source, recorder: Recorder) -> Path:
    """Return the path of a scan of a case, relative to the root."""
    entities = {**source.entities, **recorder.entities}
    return recorder.folder / source.datatype / compose(entities, source.suffix, '.nii.gz')


def write_image(job, scan, after: np.ndarray, recorder: Recorder) -> None:
    """Write a scan and what belongs to it: sidecar, b-values, directions."""
    source: Source = scan.source
    path = job.out / name_of(source, recorder)
    images.write(scan.stored, after, path)
    stem = source.path.name.removesuffix(source.extension)
    for extension in ('.json', '.bval', '.bvec'):
        beside = source.path.with_name(stem + extension)
        if beside.is_file():
            target = path.with_name(path.name.removesuffix('.nii.gz') + extension)
            _copy(beside, target, job.visit, recorder.entities['sub'], recorder.entities['ses'])


def copy_rest(
    out: Path,
    visit: Visit,
    subject: str,
    sessions: Sequence[str | None],
    painted: Collection[Path],
) -> None:
    """Take over the other files of a visit, into the first session of the case.

    Images into which lesions should have been drawn, but were not, are left out with what belongs
    to them: they would contradict the truth.
    """
    unpainted = {
        source.path.name.removesuffix(source.extension)
        for source in visit.images
        if source.path not in painted
    }
    written = {
        source.path.name.removesuffix(source.extension)
        for source in visit.images
        if source.path in painted
    }
    for path in visit.others:
        stem = path.name.split('.')[0]
        if stem in unpainted or stem in written:
            continue
        name = _renamed(path.name, visit, subject, sessions[0])
        folder = Path(f'sub-{subject}', *([f'ses-{sessions[0]}'] if sessions[0] else []))
        target = out / folder / path.parent.name / name
        _copy(path, target, visit, subject, sessions[0])


def _renamed(text: str, visit: Visit, subject: str, session: str | None) -> str:
    """Put the label of a case for that of its participant, in names and in paths."""
    old, new = f'sub-{visit.subject}', f'sub-{subject}'
    for end in ('_', '/'):
        text = text.replace(old + end, new + end)
    if session and session != visit.session:
        if visit.session:
            for end in ('_', '/'):
                text = text.replace(f'ses-{visit.session}{end}', f'ses-{session}{end}')
        else:
            text = text.replace(f'{new}_', f'{new}_ses-{session}_')
            text = text.replace(f'{new}/', f'{new}/ses-{session}/')
    return text


def _copy(path: Path, target: Path, visit: Visit, subject: str, session: str | None) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix in TEXTS:
        text = path.read_text(encoding='utf-8', errors='replace')
        write_text(target, _renamed(text, visit, subject, session))
    else:
        shutil.copyfile(path, target)


def bvals_of(source: Source, count: int) -> np.ndarray:
    """Read the b-values of a series.

    Raises
    ------
    InputError
        If they are missing or are not as many as the volumes.
    """
    path = source.path.with_name(source.path.name.removesuffix(source.extension) + '.bval')
    values = np.loadtxt(path).ravel() if path.is_file() else np.zeros(0)
    if len(values) != count:
        raise InputError(
            f'The series has {count} volumes and {len(values)} b-values.',
            file=path,
            remedy='Leave recent infarcts out with --kinds, or correct the file.',
        )
    return values


def b_of(source: Source) -> float:
    """Return the b-value of a trace image, s/mm²; 1000 where the sidecar has none."""
    for name in ('DiffusionBValue', 'bvalue', 'BValue'):
        value = source.fields.get(name)
        if isinstance(value, (int, float)) and value > 0:
            return float(value)
    return USUAL_B


def inserted_rows(recorder: Recorder, frames, made, visit_ids: Mapping) -> list[dict]:
    """Return the lists of a case's lesions as rows of one table."""
    rows = []
    for label, space in frames.items():
        stem = compose({**recorder.entities, 'space': space, 'label': label}, 'lesions', '.tsv')
        path = recorder.truth_dir / recorder.folder / made[space].datatype / stem
        for row in read_tsv(path).rows:
            if row['kind'].casefold() == label.casefold():
                rows.append({**visit_ids, 'label': label, 'space': space, **row})
    return rows


def describe(
    out: Path, root: Path, rows: Mapping[str, list[dict]], design: Mapping[str, Any]
) -> None:
    """Write everything of the dataset and of its truth that belongs to no visit."""
    from csvdprep import __version__

    maker = {'Name': 'csvdprep', 'Version': __version__, 'Description': 'csvdprep phantom --into'}
    source = json.loads((root / 'dataset_description.json').read_text(encoding='utf-8'))
    name = str(source.get('Name', root.name))
    kept = {
        key: source[key]
        for key in (
            'License',
            'Authors',
            'Acknowledgements',
            'HowToAcknowledge',
            'ReferencesAndLinks',
            'DatasetDOI',
            'EthicsApprovals',
            'Funding',
        )
        if key in source
    }
    write_json(
        out / 'dataset_description.json',
        {
            'Name': f'{name}, with lesions of known truth inserted',
            'BIDSVersion': str(source.get('BIDSVersion', BIDS_VERSION)),
            'DatasetType': 'raw',
            **kept,
            'GeneratedBy': [maker],
            'SourceDatasets': [{'URL': str(source.get('DatasetDOI') or f'file://{root.name}')}],
        },
    )
    write_text(out / 'README', README.format(name=name))
    for path in sorted(root.iterdir()):
        if path.is_file() and path.name not in OWN and path.suffix == '.json':
            shutil.copyfile(path, out / path.name)
    ignored = root / '.bidsignore'
    lines = ignored.read_text(encoding='utf-8').splitlines() if ignored.is_file() else []
    if lines:
        write_text(out / '.bidsignore', '\n'.join(dict.fromkeys(lines)) + '\n')
    _participants(out, root, rows['cases'])
    _truth(out / 'derivatives' / 'truth', rows, design, maker)


def _truth(truth: Path, rows: Mapping[str, list[dict]], design, maker) -> None:
    write_json(
        truth / 'dataset_description.json',
        {
            'Name': 'Truth of lesions inserted by csvdprep phantom --into',
            'BIDSVersion': BIDS_VERSION,
            'DatasetType': 'derivative',
            'GeneratedBy': [maker],
            'SourceDatasets': [{'URL': 'file://../..'}],
            'DatasetLinks': {'raw': '../..'},
        },
    )
    write_text(truth / 'README', TRUTH_README)
    ignored = (*TRUTH_IGNORED, 'inserted.*', 'cases.*', 'scans.*')
    write_text(truth / '.bidsignore', '\n'.join(ignored) + '\n')
    for name in ('measures', 'inserted', 'cases', 'scans'):
        _table(truth / f'{name}.tsv', rows[name])
    write_json(truth / 'inserted.json', {k: {'Description': v} for k, v in SAID.items()})
    write_json(truth / 'design.json', dict(design))


def _table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    if columns:
        write_table(path, [[row.get(name) for name in columns] for row in rows], columns)


def _participants(out: Path, root: Path, cases: Sequence[Mapping[str, Any]]) -> None:
    """Write the table of participants: what is known of each person, once for each case."""
    known: dict[str, dict[str, str]] = {}
    columns: list[str] = []
    path = root / 'participants.tsv'
    if path.is_file():
        table = read_tsv(path)
        columns = [name for name in table.columns if name != 'participant_id']
        known = {row.get('participant_id', ''): dict(row) for row in table.rows}
    rows = {}
    for case in cases:
        person = case['source_participant_id']
        own = [known.get(person, {}).get(name) for name in columns]
        rows[case['participant_id']] = [case['participant_id'], person, *own]
    names = ['participant_id', 'source_participant_id', *columns]
    write_table(out / 'participants.tsv', list(rows.values()), names)
    described = {}
    sidecar = root / 'participants.json'
    if sidecar.is_file():
        described = json.loads(sidecar.read_text(encoding='utf-8'))
    described['source_participant_id'] = {'Description': SAID['source_participant_id']}
    write_json(out / 'participants.json', described)


README = """\
Scans of the dataset "{name}" into which csvdprep has inserted lesions; none of these lesions was
ever there. Each participant is a case: one visit of one person with lesions of one draw. Lesions
that the scans had were filled where a mask was given. What was inserted is in derivatives/truth.
Perfusion scans and field maps are copied as they were.
"""
TRUTH_README = """\
What was inserted, on the grid of the scan named by space, in the form of csvdprep phantom.

sub-*/*_label-L_mask.nii.gz     voxels at least half of which are lesion
sub-*/*_label-L_lesions.tsv     each lesion with position, size, region, contrast; kinds other than
                                L are what may be taken for it
sub-*/*_measures.tsv            volumes and counts of what was inserted
inserted.tsv                    all lesions of all cases
cases.tsv                       what was drawn for each case, and what could not be drawn as asked
scans.tsv                       what was learned of each scan: contrast, noise, sharpness
measures.tsv, design.json       all visits; how it was called

Lesions that the scans had and that no mask held are still there and count as false positives.
"""
