"""Write phantoms as BIDS datasets, with their truth as a derivative. Streams to disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from csvdprep.core.errors import PreflightError
from csvdprep.phantom.dataset.modalities import MODALITIES, OPTIONAL
from csvdprep.phantom.dataset.presets import Preset
from csvdprep.phantom.dataset.sites import Site
from csvdprep.phantom.diffusion.fibres import template_shape, vein_shape
from csvdprep.phantom.diffusion.skeleton import skeleton
from csvdprep.phantom.disease.person import Person, make_scene
from csvdprep.phantom.disease.scores import true_scores
from csvdprep.phantom.head import placement
from csvdprep.phantom.head.anatomy import make_anatomy
from csvdprep.phantom.scanner.recorder import Recorder, write_json, write_table, write_text
from csvdprep.phantom.scanner.scene import Scene
from csvdprep.phantom.structural.truth import record_anatomy

BIDS_VERSION = '1.10.0'
#: What BIDS has no name for: contrast-enhanced series; the second where they are asked for.
RAW_IGNORED = ('perf/*_dce*', '**/perf/*_dce*')
OPTIONAL_IGNORED = {'dsc': ('perf/*_dsc*', '**/perf/*_dsc*')}
TRUTH_IGNORED = (
    '*_lesions.*',
    '*_vessels.*',
    '*_fieldmap.*',
    '*_measures.*',
    '*_dwimap.*',
    '*_timeseries.*',
    'measures.*',
    'sites.*',
    'design.*',
    '**/perf/*_cbf.*',
    '**/perf/*_att.*',
    '**/perf/*map.*',
)
COVARIATES = {
    'age': {'Description': 'Age at the first visit', 'Units': 'year'},
    'sex': {'Description': 'Sex', 'Levels': {'F': 'female', 'M': 'male'}},
    'hypertension': {'Description': 'Hypertension', 'Levels': {'0': 'no', '1': 'yes'}},
    'education': {'Description': 'Years of education', 'Units': 'year'},
    'site': {'Description': 'Site of the first visit'},
}


def make_phantom(
    out_dir: Path,
    persons: Sequence[Person],
    preset: Preset,
    *,
    seed: int = 42,
    modalities: Iterable[str] | None = None,
    sites: Sequence[Site] = (),
    presets: Mapping[str, Preset] | None = None,
    nprocs: int | None = None,
    progress: Callable[[str], None] | None = None,
    design: dict[str, Any] | None = None,
) -> Path:
    """Make a raw BIDS dataset of phantoms and, in ``derivatives/truth``, what is true of them.

    Parameters
    ----------
    out_dir : Path
        Folder of the dataset; made where it does not exist.
    persons : sequence of Person
        Participants, with a state for each visit.
    preset : Preset
        Resolution and protocols.
    seed : int
        Decides poses and noise; persons have seeds of their own. Same seed, same bytes, whatever
        the number of processes.
    modalities : iterable of str, optional
        Which of the preset's scans to make; by default all but
        :data:`csvdprep.phantom.dataset.modalities.OPTIONAL`.
    sites : sequence of Site, optional
        Scanners, by the key that the persons' states name.
    presets : mapping of str to Preset, optional
        Protocols of the sites that have one of their own, by name.
    nprocs : int, optional
        Visits made at once; all processors by default.
    progress : callable, optional
        Told a line for each visit made.
    design : dict, optional
        How the persons were drawn; written beside the truth.

    Returns
    -------
    Path
        ``out_dir``.

    """
    out, say = Path(out_dir), progress or (lambda text: None)
    usual = tuple(name for name in preset.protocols if name not in OPTIONAL)
    wanted = tuple(modalities) if modalities else usual
    scanners = {site.name: (site, (presets or {}).get(site.protocol, preset)) for site in sites}
    jobs = [
        (out, person, number, wanted, seed, *scanners.get(state.site, (None, preset)))
        for person in persons
        for number, state in enumerate(person.states)
    ]
    workers = max(1, nprocs or len(os.sched_getaffinity(0)))
    # With fewer visits than processors the scans of a visit are made side by side instead.
    inner = workers if len(jobs) < workers else 1
    if inner == 1:
        warm_up(wanted)
    rows = []
    for done, row in enumerate(_run(jobs, workers if inner == 1 else 1, inner), start=1):
        rows.append(row)
        say(f'{row["participant_id"]} {row["session_id"]}: made ({done} of {len(jobs)})')
    ignored = [rule for name in wanted for rule in OPTIONAL_IGNORED.get(name, ())]
    describe(out, persons, rows, seed, preset, sites, design or {}, ignored)
    return out


def warm_up(modalities: Iterable[str]) -> None:
    """Prepare once what depends on the template alone; forked processes then share it."""
    make_anatomy(0, spacing=8)
    placement.sites()
    if 'dwi' in modalities:
        template_shape()
        vein_shape()
        skeleton()


def _run(jobs, workers: int, inner: int) -> Iterator[dict[str, Any]]:
    """Make the visits, in order; each has random streams of its own, so workers do not matter."""
    make = partial(_make_visit, workers=inner)
    if workers == 1:
        yield from map(make, jobs)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context('fork')) as pool:
        yield from pool.map(make, jobs)


def _make_visit(job, workers: int) -> dict[str, Any]:
    """Write the images of one visit; return its row of true measures."""
    out, person, number, wanted, seed, site, preset = job
    rng = np.random.default_rng([seed, person.seed, number])
    scene = _scene(person, number, preset, rng)
    recorder = Recorder(out, person.label, str(number + 1), site.length if site else 1.0)
    found = record_anatomy(scene, recorder)
    tasks = []
    for name, protocol in preset.protocols.items():
        noise_seed = int(rng.integers(2**31))
        if name in wanted and name in (person.states[number].modalities or wanted):
            tasks.append((name, site.scan(protocol) if site else protocol, noise_seed))
    for measures in _make_scans(_Head(scene, found, recorder), tasks, workers):
        recorder.measures |= measures
    known = {name: value for name, (value, *_) in recorder.measures.items()}
    for name, (value, meaning) in true_scores(known).items():
        recorder.measure(name, value, '', meaning)
    return recorder.close()


@dataclass(frozen=True, eq=False)
class _Head:
    """What all scans of a visit share."""

    scene: Scene
    found: Mapping[str, Any]
    recorder: Recorder

    def make(self, name: str, protocol, noise_seed: int) -> dict[str, Any]:
        """Write a scan; return the measures that it adds."""
        own = self.recorder.empty()
        MODALITIES[name](self.scene, protocol, own, noise_seed, self.found)
        return own.measures


def _make_scans(head: _Head, tasks, workers: int) -> Iterator[dict[str, Any]]:
    """Make the scans of a visit, in order, the longest started first."""
    if workers == 1 or len(tasks) < 2:
        yield from (head.make(*task) for task in tasks)
        return
    # Forked processes find the head here: it is too large to be sent to them.
    _SHARED['head'] = head
    try:
        with ProcessPoolExecutor(workers, mp_context=get_context('fork')) as pool:
            order = sorted(tasks, key=lambda task: LONGEST.index(task[0]))
            begun = {task[0]: pool.submit(_make_scan, *task) for task in order}
            yield from (begun[name].result() for name, *_ in tasks)
    finally:
        del _SHARED['head']


def _make_scan(name: str, protocol, noise_seed: int) -> dict[str, Any]:
    return _SHARED['head'].make(name, protocol, noise_seed)


_SHARED: dict[str, _Head] = {}
#: Scans in the order of the time that they take.
LONGEST = ('dwi', 'MEGRE', 'T2w', 'T1w', 'FLAIR', 'angio', 'dsc', 'dce', 'asl')


def _scene(person: Person, number: int, preset: Preset, rng) -> Scene:
    """Build what a visit finds, or tell why it cannot be."""
    try:
        return make_scene(
            person,
            person.states[number],
            spacing=preset.spacing,
            tesla=preset.tesla,
            rotation=tuple(rng.normal(0, (4, 2, 3))),
            shift=tuple(rng.normal(0, 3, 3)),
        )
    except ValueError as error:
        raise PreflightError(
            f'sub-{person.label} ses-{number + 1} cannot be made: {error}',
            remedy='Ask for fewer lesions, or for another --seed.',
        ) from error


def describe(
    out: Path,
    persons: Sequence[Person],
    rows: Sequence[dict],
    seed: int,
    preset: Preset,
    sites: Sequence[Site],
    design: dict[str, Any],
    ignored: Sequence[str] = (),
) -> None:
    """Write everything of the two datasets that belongs to no visit."""
    from csvdprep import __version__

    made = [
        {
            'Name': 'csvdprep',
            'Version': __version__,
            'Description': f'csvdprep phantom, preset {preset.name}, seed {seed}',
        }
    ]
    write_json(
        out / 'dataset_description.json',
        {
            'Name': 'Digital phantom of cerebral small vessel disease',
            'BIDSVersion': BIDS_VERSION,
            'DatasetType': 'raw',
            'License': 'CC0',
            'Authors': ['csvdprep developers'],
            'GeneratedBy': made,
        },
    )
    write_text(out / 'README', README)
    write_text(out / '.bidsignore', '\n'.join((*RAW_IGNORED, *ignored)) + '\n')
    _participants(out, persons)
    truth = out / 'derivatives' / 'truth'
    write_json(
        truth / 'dataset_description.json',
        {
            'Name': 'Truth of the csvdprep phantom',
            'BIDSVersion': BIDS_VERSION,
            'DatasetType': 'derivative',
            'License': 'CC0',
            'GeneratedBy': made,
            'SourceDatasets': [{'URL': 'file://../..'}],
            'DatasetLinks': {'raw': '../..'},
        },
    )
    write_text(truth / 'README', TRUTH_README)
    write_text(truth / '.bidsignore', '\n'.join(TRUTH_IGNORED) + '\n')
    columns = list(dict.fromkeys(name for row in rows for name in row))
    write_table(
        truth / 'measures.tsv', [[row.get(name) for name in columns] for row in rows], columns
    )
    write_json(truth / 'design.json', {'Seed': seed, 'Preset': preset.name, **design})
    if sites:
        known = [site.row() for site in sites]
        write_table(truth / 'sites.tsv', [list(row.values()) for row in known], list(known[0]))
        write_json(truth / 'sites.json', Site.MEANING)


def _participants(out: Path, persons: Sequence[Person]) -> None:
    """Write the tables of participants and of their visits."""
    names = list(dict.fromkeys(name for p in persons for name in p.covariates))
    write_table(
        out / 'participants.tsv',
        [[f'sub-{p.label}', *(p.covariates.get(name) for name in names)] for p in persons],
        ['participant_id', *names],
    )
    write_json(out / 'participants.json', {name: COVARIATES[name] for name in names})
    for person in persons:
        stem = out / f'sub-{person.label}' / f'sub-{person.label}_sessions'
        age = person.covariates.get('age')
        write_table(
            stem.with_suffix('.tsv'),
            [
                [
                    f'ses-{number}',
                    None if age is None else round(age + state.years, 2),
                    state.site or None,
                ]
                for number, state in enumerate(person.states, start=1)
            ],
            ['session_id', 'age', 'site'],
        )
        write_json(
            stem.with_suffix('.json'),
            {
                'age': {'Description': 'Age', 'Units': 'year'},
                'site': {'Description': 'Where the visit took place'},
            },
        )


README = """\
Digital phantom of cerebral small vessel disease, made by csvdprep. Nobody was scanned: heads are
random deformations of the ICBM152 2009a symmetric template with lesions of known extent, seen
through the physics of each sequence. What is true of them is in derivatives/truth.
"""
TRUTH_README = """\
What the phantom is made of.

sub-*/ses-*/*_desc-csvd_measures.tsv  true value of each measure, under the names of the
                                      application; the JSON beside it says what exactly is true
*_space-X_label-L_mask.nii.gz         lesions on the grid of image X of that visit
*_space-X_label-L_lesions.tsv         each lesion with position, size, region, kind; kinds other
                                      than L are what may be taken for it
measures.tsv                          all visits
design.json, sites.tsv                how persons and scanners were drawn
"""
