"""Write phantoms as BIDS datasets, with their truth as a derivative."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from csvdprep.phantom.anatomy import Anatomy, make_anatomy
from csvdprep.phantom.images import Scan, acquire, to_nifti
from csvdprep.phantom.images import Sequence as Pulses
from csvdprep.phantom.lesions import lesion_growth

BIDS_VERSION = '1.10.0'
MPRAGE = Pulses(kind='mprage', tr=2300, ti=1400, te=3.0, flip=9)
FLAIR_2D = Pulses(kind='flair', tr=9000, ti=2650, te=95, flip=150, fat_left=0.15)
FLAIR_3D = Pulses(kind='flair', tr=5000, ti=1850, te=380, effective_te=130, flip=120,
                  fat_left=0.1)  # fmt: skip
#: Columns of the table of truth with their descriptions.
TRUTH = {
    'wmh_ml': 'Volume of the hyperintensities in the head itself: sum of their shares',
    'wmh_flair_ml': 'Sum of the shares of the FLAIR voxels that are hyperintensity, times the '
    'volume per voxel (gap included)',
    'wmh_mask_ml': 'Volume of the mask: FLAIR voxels at least half of which are hyperintensity',
    'gm_ml': 'Grey matter, cerebellum and brainstem included',
    'wm_ml': 'White matter, hyperintensities included',
    'csf_ml': 'Cerebrospinal fluid inside the skull',
    'icv_ml': 'Intracranial volume: sum of the three',
    'ventricles_ml': 'Lateral ventricles',
}

LABELS = ((1, 'cerebrospinal fluid', 'CSF'), (2, 'grey matter', 'GM'), (3, 'white matter', 'WM'))


@dataclass(frozen=True, kw_only=True)
class Person:
    """One participant: head, scans, and the course of the disease.

    Attributes
    ----------
    label : str
        BIDS label.
    age, sex : float, str
        At the first visit, years; 'F' or 'M'.
    head : mapping
        Arguments of :func:`csvdprep.phantom.anatomy.make_anatomy`.
    scans : mapping of str to Scan
        By BIDS suffix.
    wmh_ml : sequence of float
        Lesion volume at each visit, mL.
    years : float
        Time between visits.
    """

    label: str
    age: float
    sex: str
    head: Mapping[str, Any]
    scans: Mapping[str, Scan]
    wmh_ml: Sequence[float]
    years: float = 2.0


T1W_3D = Scan(sequence=MPRAGE, voxel=(1, 1, 1), slices=0, stored='PSR', noise=0.022, bias=0.25,
              low=(-92, -124, -104), high=(92, 112, 104))  # fmt: skip
THICK = Scan(sequence=FLAIR_2D, voxel=(0.9, 0.9, 5), gap=0.5, stored='LPS', tilt=(9, 2, -1),
             low=(-104, -112, -74), high=(104, 112, 92), noise=0.03)  # fmt: skip
THIN = Scan(sequence=FLAIR_3D, voxel=(1, 1, 1), slices=0, stored='PSR', noise=0.04, bias=0.3,
            low=(-86, -108, -96), high=(86, 110, 98))  # fmt: skip

PERSONS = (
    Person(label='01', age=71, sex='M', wmh_ml=(14.0, 20.0), scans={'T1w': T1W_3D, 'FLAIR': THICK},
           head={'ventricles_mm': 3.5, 'atrophy': 0.8, 'size': (0.93, 0.94, 0.93)}),
    Person(label='02', age=66, sex='F', wmh_ml=(6.0, 9.0), scans={'T1w': T1W_3D, 'FLAIR': THIN},
           head={'ventricles_mm': 2.0, 'atrophy': 0.5, 'size': (0.90, 0.91, 0.91)}),
)  # fmt: skip
TINY = (
    Person(
        label='01', age=70, sex='F', wmh_ml=(10.0,),
        head={'ventricles_mm': 3.0, 'atrophy': 0.7, 'spacing': 2.0},
        scans={'T1w': replace(T1W_3D, voxel=(2.2, 2.2, 2.2)),
               'FLAIR': replace(THICK, voxel=(2, 2, 4), gap=0)},
    ),
)  # fmt: skip


def make_demo(
    out_dir: Path, *, seed: int = 42, progress: Callable[[str], None] | None = None
) -> Path:
    """Make the demonstration dataset: two participants with two visits each.

    The FLAIR of sub-01 has thick, oblique 2D slices with gaps, that of sub-02 is 3D and stored
    sagittally. Lesions grow between visits; ``derivatives/truth`` says where they are and what
    every volume is.

    Parameters
    ----------
    out_dir : Path
        Folder of the dataset; made where it does not exist.
    seed : int
        The same seed gives the same bytes.
    progress : callable, optional
        Told what is being made.

    Returns
    -------
    Path
        ``out_dir``.

    """
    return _make(Path(out_dir), PERSONS, seed, progress)


def make_tiny(
    out_dir: Path, *, seed: int = 42, visits: int = 1,
    progress: Callable[[str], None] | None = None,
) -> Path:  # fmt: skip
    """Make a dataset of one participant with coarse voxels, for quick tests.

    Parameters
    ----------
    out_dir, seed, progress
        As in :func:`make_demo`.
    visits : int
        Number of visits.

    Returns
    -------
    Path
        ``out_dir``.

    """
    persons = [replace(p, wmh_ml=[10.0 + 4 * visit for visit in range(visits)]) for p in TINY]
    return _make(Path(out_dir), persons, seed, progress)


def _make(out: Path, persons, seed: int, progress) -> Path:
    say = progress or (lambda text: None)
    truth = out / 'derivatives' / 'truth'
    jobs = [(out, truth, person, seed, number) for number, person in enumerate(persons)]
    rows = []
    # Each person has a random stream of its own, so that the bytes do not depend on the workers.
    workers = min(len(jobs), len(os.sched_getaffinity(0)))
    with ProcessPoolExecutor(workers, mp_context=get_context('fork')) as pool:
        for person, found in zip(persons, pool.map(_make_person, *zip(*jobs, strict=True)),
                                 strict=True):  # fmt: skip
            say(f'sub-{person.label}: {len(found)} visits made')
            rows += found
    _describe(out, truth, persons, rows, seed)
    return out


def _make_person(out: Path, truth: Path, person: Person, seed: int, number: int) -> list[dict]:
    """Write the images of one participant; return a row of truth for each visit."""
    rng = np.random.default_rng([seed, number])
    own = int(rng.integers(2**31))
    anatomy = make_anatomy(own, **person.head)
    growth = lesion_growth(anatomy, own)
    rows = []
    for visit, wanted in enumerate(person.wmh_ml):
        wmh = growth.fraction(wanted)
        name = f'sub-{person.label}_ses-{visit + 1}'
        row = {'participant_id': f'sub-{person.label}', 'session_id': f'ses-{visit + 1}'}
        for suffix, scan in person.scans.items():
            scan = replace(
                scan, rotation=tuple(rng.normal(0, 3, 3)), shift=tuple(rng.normal(0, 4, 3))
            )
            place = Path(f'sub-{person.label}', f'ses-{visit + 1}', 'anat')
            image = acquire(anatomy, wmh, scan, own, int(rng.integers(2**31)))
            save(image, out / place / f'{name}_{suffix}.nii.gz')
            _json(out / place / f'{name}_{suffix}.json', scan.sidecar())
            row |= _save_truth(anatomy, wmh, scan, suffix, truth / place, name)
        row |= _volumes(anatomy, wmh)
        rows.append(row)
    return rows


def _save_truth(anatomy: Anatomy, wmh, scan: Scan, suffix: str, folder: Path, name: str) -> dict:
    """Write what is in the voxels of a scan and return the lesion volumes seen by a FLAIR."""
    raw = f'bids:raw:{folder.relative_to(folder.parents[2]).as_posix()}/{name}_{suffix}.nii.gz'
    source = {'Sources': [raw], 'SpatialReference': raw}
    stem = f'{name}_space-{suffix}'
    inside = scan.sample(anatomy.intracranial, anatomy.affine) >= 0.5
    files = {'desc-brain_mask': (inside, {'Type': 'Brain'})}
    volumes = {}
    if suffix == 'T1w':
        files['dseg'] = (scan.labels(anatomy.tissue_labels(), anatomy.affine), {})
        _table(folder / f'{stem}_dseg.tsv', [
            {'index': i, 'name': text, 'abbreviation': short}
            for i, text, short in LABELS
        ])  # fmt: skip
    if suffix == 'FLAIR':
        share = scan.sample(wmh, anatomy.affine)
        files['label-WMH_mask'] = (share >= 0.5, {'Type': 'Lesion'})
        voxel_ml = abs(np.linalg.det(scan.grid()[1][:3, :3])) / 1000
        volumes = {
            'wmh_flair_ml': float(share.sum(dtype=np.float64)) * voxel_ml,
            'wmh_mask_ml': int((share >= 0.5).sum()) * voxel_ml,
        }
    for ending, (data, fields) in files.items():
        save(to_nifti(data.astype(np.uint8), scan), folder / f'{stem}_{ending}.nii.gz')
        _json(folder / f'{stem}_{ending}.json', {**fields, **source})
    return volumes


def _volumes(anatomy: Anatomy, wmh: np.ndarray) -> dict[str, float]:
    """Return the volumes in the head itself, mL."""
    parts = {f'{name}_ml': anatomy.volume_ml(name) for name in ('gm', 'wm', 'csf')}
    return {
        'wmh_ml': float(wmh.sum(dtype=np.float64)) * anatomy.voxel_ml,
        **parts,
        'icv_ml': sum(parts.values()),
        'ventricles_ml': anatomy.volume_ml('ventricles'),
    }


def _describe(out: Path, truth: Path, persons, rows, seed: int) -> None:
    """Write everything of the two datasets that is no image."""
    from csvdprep import __version__

    made = [{'Name': 'csvdprep', 'Version': __version__, 'Description': f'Phantom, seed {seed}'}]
    _json(out / 'dataset_description.json', {
        'Name': 'csvdprep demonstration: digital phantom of small vessel disease',
        'BIDSVersion': BIDS_VERSION, 'DatasetType': 'raw', 'License': 'CC0',
        'Authors': ['csvdprep developers'], 'GeneratedBy': made,
    })  # fmt: skip
    _text(out / 'README', (
        'Digital phantom of cerebral small vessel disease. Nobody was scanned: heads are random\n'
        'deformations of the ICBM152 2009a symmetric template, with lesions of known extent.\n'
        'Masks and volumes are in derivatives/truth.\n'
    ))  # fmt: skip
    ages = {p.label: p.age for p in persons}
    _table(out / 'participants.tsv', [
        {'participant_id': f'sub-{p.label}', 'age': p.age, 'sex': p.sex} for p in persons
    ])  # fmt: skip
    _json(out / 'participants.json', {
        'age': {'Description': 'Age at the first visit', 'Units': 'year'},
        'sex': {'Description': 'Sex', 'Levels': {'F': 'female', 'M': 'male'}},
    })  # fmt: skip
    for person in persons:
        stem = out / f'sub-{person.label}' / f'sub-{person.label}_sessions'
        _table(stem.with_suffix('.tsv'), [
            {'session_id': f'ses-{visit + 1}', 'age': ages[person.label] + visit * person.years}
            for visit in range(len(person.wmh_ml))
        ])  # fmt: skip
        _json(stem.with_suffix('.json'), {'age': {'Description': 'Age', 'Units': 'year'}})
    _json(truth / 'dataset_description.json', {
        'Name': 'Truth of the csvdprep phantom', 'BIDSVersion': BIDS_VERSION,
        'DatasetType': 'derivative', 'License': 'CC0', 'GeneratedBy': made,
        'SourceDatasets': [{'URL': 'file://../..'}], 'DatasetLinks': {'raw': '../..'},
    })  # fmt: skip
    _text(truth / 'README', (
        'What the phantom is made of. volumes.tsv: exact volumes; *_label-WMH_mask: FLAIR voxels\n'
        'at least half of which are lesion; *_dseg: 1 CSF, 2 GM, 3 WM (lesions included).\n'
    ))  # fmt: skip
    _text(truth / '.bidsignore', 'volumes.*\n')
    order = ['participant_id', 'session_id', *TRUTH]
    _table(truth / 'volumes.tsv', [
        {key: row[key] if key.endswith('_id') else f'{row[key]:.4f}' for key in order}
        for row in rows
    ])  # fmt: skip
    _json(truth / 'volumes.json', {
        key: {'Description': text, 'Units': 'mL'} for key, text in TRUTH.items()
    })  # fmt: skip


def save(image: nib.Nifti1Image, path: Path) -> None:
    """Write a compressed NIfTI image whose bytes depend on nothing but the image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(image.to_bytes(), 3, mtime=0))


def _json(path: Path, fields: Mapping[str, Any]) -> None:
    _text(path, json.dumps(fields, indent=2) + '\n')


def _table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    lines = ['\t'.join(rows[0])] + ['\t'.join(map(str, row.values())) for row in rows]
    _text(path, '\n'.join(lines) + '\n')


def _text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding='utf-8')
