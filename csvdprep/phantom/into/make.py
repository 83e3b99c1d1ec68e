"""Insert lesions into the scans of a BIDS dataset and write it anew, with the truth beside it."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from csvdprep.core.errors import InputError
from csvdprep.phantom.into import atrophy, bleeds, dataset, diffusion, images
from csvdprep.phantom.into.fill import fill, unmasked
from csvdprep.phantom.into.grid import RealScan
from csvdprep.phantom.into.head import Head, pose_of, read_head, same_frame, with_own
from csvdprep.phantom.into.lesions import Case, Drawn, draw_case
from csvdprep.phantom.into.own import without_own
from csvdprep.phantom.into.paint import USUAL, Painted, paint, usual_contrast
from csvdprep.phantom.into.tissue import Tissue, learn
from csvdprep.phantom.into.truth import Made, record_truth
from csvdprep.phantom.into.visits import Given, Source, Visit, read_given, read_visits
from csvdprep.phantom.scanner.recorder import Recorder

#: Suffixes of structural scans that are painted, and of gradient echoes.
STRUCTURAL = tuple(USUAL)
ECHOES = ('T2starw', 'MEGRE', 'swi', 'GRE')
DIFFUSION = ('dwi', 'trace', 'ADC')
#: Loads of hyperintensities, mL, are spread evenly in logarithms over this range.
LOADS_ML = (0.3, 60.0)
#: Ranges of the numbers of small lesions, and of the growth of the ventricles, percent.
NUMBERS = {
    'lacune': (3, 7),
    'BG': (4, 14),
    'CSO': (5, 22),
    'microbleed': (1, 4),
    'infarct': (1, 2),
}
GROWTH_PCT = (3.0, 25.0)
#: Step of a sequence that fills an interval evenly, however long it is.
GOLDEN = 0.6180339887


@dataclass(frozen=True, eq=False)
class Loaded:
    """A scan of a visit that is ready to be painted.

    Attributes
    ----------
    source : Source
        Its name and metadata.
    stored : images.Stored
        As it is stored.
    scan : RealScan
        Its grid.
    image : ndarray or None
        The signal with own lesions filled; None where nothing is.
    tissue : Tissue or None
        Structural scans and gradient echoes: normal tissue.
    usual : float
        Contrast of hyperintensities.
    facts : dict
        What was learned, for the table of scans.
    """

    source: Source
    stored: images.Stored
    scan: RealScan
    image: np.ndarray | None = None
    tissue: Tissue | None = None
    usual: float = 0.0
    facts: dict[str, Any] | None = None

    @property
    def signal(self) -> np.ndarray:
        """The signal without own lesions."""
        return self.stored.volume if self.image is None else self.image


def make_inserted(
    out_dir: Path,
    root: Path,
    derivatives: Path,
    *,
    lesions: Path | None = None,
    participants: Sequence[str] = (),
    kinds: Collection[str] | None = None,
    cases: int = 2,
    loads: Sequence[float] = (),
    seed: int = 42,
    nprocs: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> int:
    """Insert lesions of known truth into the scans of a dataset.

    Parameters
    ----------
    out_dir : Path
        Folder of the new dataset; its truth lies in ``derivatives/truth``.
    root : Path
        Raw BIDS dataset; it is only read.
    derivatives : Path
        Output of csvdprep for the same scans, for the geometry.
    lesions : Path, optional
        Derivative with masks of the scans' own lesions, instead of those in ``derivatives``.
    participants : sequence of str, optional
        Labels; all by default.
    kinds : collection of str, optional
        Of :data:`csvdprep.phantom.into.lesions.KINDS`; all that the scans of a visit can show,
        but no atrophy, by default.
    cases : int
        How often each visit is used.
    loads : sequence of float, optional
        Volumes of hyperintensities, mL, that cases have in turn; drawn by default.
    seed : int
        Same seed, same bytes, whatever the number of processes.
    nprocs : int, optional
        Visits worked on at once; all processors by default.
    progress : callable, optional
        Told a line for each visit.

    Returns
    -------
    int
        How many cases were made.

    Raises
    ------
    PreflightError
        If data or derivatives are not what is needed.
    """
    visits = read_visits(root, participants)
    givens = [read_given(derivatives, visit, lesions) for visit in visits]
    persons = [visit.subject for visit in visits]
    jobs = [
        _Job(
            out=out_dir,
            visit=visit,
            given=given,
            kinds=tuple(kinds) if kinds else None,
            cases=cases,
            loads=tuple(loads),
            seed=seed,
            number=number,
            several=persons.count(visit.subject) > 1,
        )
        for number, (visit, given) in enumerate(zip(visits, givens, strict=True))
    ]
    rows: dict[str, list[dict]] = {'measures': [], 'inserted': [], 'scans': [], 'cases': []}
    say = progress or (lambda text: None)
    for done, (job, made) in enumerate(zip(jobs, _run(jobs, nprocs), strict=True), start=1):
        for name, more in made.items():
            rows[name] += more
        say(f'{job.visit.label}: {len(made["cases"])} made ({done} of {len(jobs)})')
    design = {
        'Seed': seed,
        'Kinds': sorted(kinds) if kinds else 'all that the scans of a visit can show',
        'Cases': cases,
        'Loads': list(loads) or f'{LOADS_ML[0]} to {LOADS_ML[1]} mL, even in logarithms',
    }
    dataset.describe(out_dir, root, rows, design)
    return len(rows['cases'])


@dataclass(frozen=True, eq=False)
class _Job:
    """A visit and what is to be made of it."""

    out: Path
    visit: Visit
    given: Given
    kinds: tuple[str, ...] | None
    cases: int
    loads: tuple[float, ...]
    seed: int
    number: int
    several: bool

    @property
    def label(self) -> str:
        """Begin of the labels of its cases. Visits of one person do not follow each other."""
        apart = f'v{self.visit.session}' if self.several and self.visit.session else ''
        return f'{self.visit.subject}{apart}'


def _run(jobs: list[_Job], nprocs: int | None) -> Iterator[dict[str, list[dict]]]:
    workers = min(nprocs or len(os.sched_getaffinity(0)), len(jobs))
    if workers <= 1:
        yield from map(_insert, jobs)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context('fork')) as pool:
        yield from pool.map(_insert, jobs)


def _insert(job: _Job) -> dict[str, list[dict]]:
    """Make the cases of a visit; return their rows of the tables."""
    head, loaded, notes = _prepare(job)
    kinds = _shown(job.kinds, loaded)
    rows: dict[str, list[dict]] = {
        'measures': [],
        'inserted': [],
        'cases': [],
        'scans': [_scan_row(job.visit, scan) for scan in loaded if scan.facts is not None],
    }
    key = [job.seed, *job.visit.label.encode()]
    for number in range(1, job.cases + 1):
        case = _case(job, kinds, number)
        drawn = draw_case(head, case, [*key, number])
        rng = np.random.default_rng([*key, number, 5])
        diffusion.strengthen([f for f in drawn.features if f.kind == 'RSSI'], rng)
        label = f'{job.label}case{number:02d}'
        first = job.visit.session or ('1' if case.atrophy_pct else None)
        sessions = [(first, head, drawn, loaded, None)]
        more = list(notes) + list(drawn.notes)
        if case.atrophy_pct:
            second = f'{job.visit.session}atrophy' if job.visit.session else '2'
            try:
                warp = atrophy.enlarge(head, case.atrophy_pct)
            except ValueError as error:
                more.append(str(error))
            else:
                sessions[0] = (first, head, drawn, loaded, warp.before_ml)
                sessions.append((second, *_after(head, drawn, loaded, warp, rng)))
        for session, place, lesions, scans, ventricles in sessions:
            recorder = Recorder(job.out, label, session)
            made = _write(job, scans, lesions, place, recorder, rng)
            frames = record_truth(place, lesions, made, kinds, recorder)
            if ventricles is not None:
                recorder.measure('lv_ml', ventricles, 'mL', LV_MEANING)
            rows['measures'].append(recorder.close())
            visit_ids = dataset.ids(label, session) | dataset.source_ids(job.visit)
            rows['inserted'] += dataset.inserted_rows(recorder, frames, made, visit_ids)
            rows['cases'].append(
                visit_ids
                | {
                    'wmh_ml': case.wmh_ml if 'wmh' in kinds else None,
                    'atrophy_pct': case.atrophy_pct or None,
                    **drawn.looks,
                    'deviate': drawn.deviate,
                    'notes': '; '.join(more) or None,
                }
            )
        dataset.copy_rest(job.out, job.visit, label, [s for s, *_ in sessions], _painted(loaded))
    return rows


LV_MEANING = (
    'Lateral ventricles of the mask given with --with, before or after a known warp: the change '
    'from the first session to the second is true, whatever the error of the mask'
)


def _prepare(job: _Job) -> tuple[Head, list[Loaded], list[str]]:
    """Read scans and head of a visit, fill its lesions, learn its tissue."""
    visit, given = job.visit, job.given
    notes: list[str] = []
    brain = nib.load(given.brain)
    stored = {source: images.read(source.path) for source in visit.images}
    chosen = _primary(visit.images, stored, given, brain)
    if given.hub not in chosen:
        raise InputError(
            f'No {given.hub} of this visit has the grid of its brain mask.',
            file=given.brain,
            field='--with',
            remedy='Give the derivatives of this dataset.',
        )
    mask = np.asanyarray(brain.dataobj) > 0
    grids: dict[Source, RealScan] = {}
    frames: dict[tuple, np.ndarray] = {}
    # Phases and ADC maps have the pose of what they were taken or computed with.
    for source in sorted(visit.images, key=lambda s: s.is_phase or s.suffix == 'ADC'):
        pose = pose_of(given, _frame(source)) if chosen.get(source.suffix) is source else None
        group = _group(source)
        if pose is None:
            pose = frames.get(group)
        if pose is None:
            pose, overlap = images.register(
                stored[chosen[given.hub]],
                mask,
                stored[source],
                0 if stored[source].volume.ndim > 3 else None,
            )
            if overlap < images.LEAST_OVERLAP:
                notes.append(
                    f'{source.path.name} is left out: its edges meet those of the {given.hub} '
                    f'by {overlap:.2f} only'
                )
                continue
        frames[group] = pose
        thickness = source.fields.get('SliceThickness')
        thickness = float(thickness) if isinstance(thickness, (int, float)) else None
        grids[source] = images.scan_of(stored[source], pose, thickness)
    by_suffix = {s: grids[source] for s, source in chosen.items() if source in grids}
    head = read_head(given, by_suffix)
    if 'FLAIR' in by_suffix:
        flair = stored[chosen['FLAIR']].volume
        scan = by_suffix['FLAIR']
        tissue = _tissue(flair, scan, head)
        own = scan.sample(head.own, head.anatomy.affine) > 0.3
        more = unmasked(flair, tissue, own, scan.voxel_mm)
        anatomy = head.anatomy
        head = with_own(head, scan.back(more, anatomy.fractions['wm'].shape, anatomy.affine))
    loaded = [_load(job, source, stored[source], scan, head) for source, scan in grids.items()]
    loaded = _without_own(job, loaded, head)
    return head, loaded, [*notes, *_left_out(loaded)]


def _without_own(job: _Job, loaded: list[Loaded], head: Head) -> list[Loaded]:
    """Fill own bleeds in gradient echoes and own infarcts in diffusion scans."""
    frames = {scan.source.suffix: scan.scan for scan in reversed(loaded)}
    anatomy = head.anatomy
    matter = anatomy.fractions['gm'] + anatomy.fractions['wm']
    return without_own(
        loaded,
        _echoes(loaded),
        [(same_frame(frame, frames), path) for frame, path in job.given.lesions],
        frames,
        lambda scan: scan.sample(matter, anatomy.affine),
        [job.seed],
    )


def _load(job: _Job, source: Source, stored, scan: RealScan, head: Head) -> Loaded:
    """Learn the tissue of a scan and fill its own lesions."""
    if source.suffix in DIFFUSION or source.is_phase or stored.volume.ndim > 3:
        return Loaded(source, stored, scan)
    volume = stored.volume
    tissue = _tissue(volume, scan, head)
    scan = replace(scan, blur_mm=tissue.blur_mm)
    own = scan.sample(head.own, head.anatomy.affine)
    if source.suffix not in STRUCTURAL:
        return Loaded(source, stored, scan, volume, tissue)
    usual, how = usual_contrast(source.suffix, volume, tissue, own)
    rng = np.random.default_rng([job.seed, *source.path.name.encode()])
    filled = fill(volume, tissue, own, scan.voxel_mm, rng)
    facts = {
        'wmh_contrast': usual,
        'wmh_contrast_from': how,
        'noise': tissue.noise,
        'blur_mm': tissue.blur_mm,
        'filled_ml': float((own > 0.5).sum()) * scan.voxel_ml,
    }
    return Loaded(source, stored, scan, filled, tissue, usual, facts)


def _tissue(volume: np.ndarray, scan: RealScan, head: Head) -> Tissue:
    anatomy = head.anatomy
    shares = {
        name: np.clip(scan.sample(part, anatomy.affine), 0, 1)
        for name, part in anatomy.fractions.items()
    }
    unusual = scan.sample(head.own, anatomy.affine) > 0.05
    return learn(volume, shares, unusual, scan.voxel_mm)


def _primary(sources, stored, given: Given, brain) -> dict[str, Source]:
    """Choose, of several scans of a suffix, the one that the derivatives were made of."""
    out: dict[str, Source] = {}
    for source in sources:
        if source.is_phase:
            continue
        if source.suffix == given.hub:
            same = images.scan_of(stored[source], np.eye(4), None)
            if same.shape != brain.shape[:3] or not np.allclose(
                same.affine, brain.affine, atol=1e-2
            ):
                continue
        out.setdefault(source.suffix, source)
    return out


def _frame(source: Source) -> str:
    """Name the frame of a scan as transforms do."""
    return 'trace' if source.suffix == 'ADC' else source.suffix


def _group(source: Source) -> tuple:
    """Tell which images were taken together: they share the pose of the first."""
    apart = ('part', 'echo')
    entities = tuple((k, v) for k, v in source.entities.items() if k not in apart)
    return (_frame(source), *entities)


def _shown(kinds, loaded: Sequence[Loaded]) -> tuple[str, ...]:
    """Keep the kinds that the scans of a visit can show; all but atrophy without a choice."""
    suffixes = {scan.source.suffix for scan in loaded}
    echo = any(_echo_ms(s.source) for s in loaded if s.source.suffix in ECHOES)
    able = {
        'wmh': True,
        'lacune': True,
        'pvs': True,
        'microbleed': echo,
        'infarct': bool(suffixes & {'dwi', 'trace'}),
        'atrophy': bool(kinds),
    }
    return tuple(kind for kind, can in able.items() if can and (not kinds or kind in kinds))


def _case(job: _Job, kinds: Collection[str], number: int) -> Case:
    """Decide what a case has."""
    rng = np.random.default_rng([job.seed, *job.visit.label.encode(), number, 3])
    index = job.number * job.cases + number - 1
    if job.loads:
        load = float(job.loads[index % len(job.loads)])
    else:
        even = (np.random.default_rng(job.seed).random() + index * GOLDEN) % 1
        load = float(np.exp(np.log(LOADS_ML[0]) + even * np.log(LOADS_ML[1] / LOADS_ML[0])))

    def count(kind: str, key: str | None = None) -> int:
        low, high = NUMBERS[key or kind]
        drawn = int(rng.integers(low, high + 1))
        return drawn if kind in kinds else 0

    return Case(
        wmh_ml=load if 'wmh' in kinds else 0.0,
        lacunes=count('lacune'),
        pvs=(count('pvs', 'BG'), count('pvs', 'CSO')),
        microbleeds=tuple(count('microbleed') for _ in range(3)),
        infarcts=count('infarct'),
        atrophy_pct=float(rng.uniform(*GROWTH_PCT)) if 'atrophy' in kinds else 0.0,
    )


def _after(head: Head, drawn: Drawn, loaded, warp: atrophy.Warp, rng):
    """Return head, lesions and structural scans of the visit after atrophy."""
    later = atrophy.warped_head(head, warp)
    scans = []
    for scan in loaded:
        if scan.source.suffix in STRUCTURAL and scan.image is not None:
            image = atrophy.warped_scan(scan.scan, scan.image, scan.tissue, warp, rng)
            tissue = _tissue(image, scan.scan, later)
            scans.append(replace(scan, image=image, tissue=tissue))
    return later, atrophy.warped_lesions(drawn, warp), scans, warp.after_ml


def _write(
    job: _Job, loaded: Sequence[Loaded], drawn: Drawn, head: Head, recorder: Recorder, rng
) -> dict[str, Made]:
    """Paint and write the scans of a visit; return those on whose grids truth may lie."""
    made: dict[str, Made] = {}
    uris = {}
    for scan in loaded:
        name = dataset.name_of(scan.source, recorder)
        uris[scan.source] = f'bids:raw:{name.as_posix()}'
    for scan in loaded:
        if scan.source.suffix in STRUCTURAL and scan.image is not None:
            found = paint(
                scan.scan, scan.image, scan.tissue, drawn, head.anatomy.affine, scan.usual
            )
            dataset.write_image(job, scan, found.image, recorder)
            made.setdefault(scan.source.suffix, _made(scan, uris, found))
    bleed = [f for f in drawn.features if f.kind == 'CMB']
    infarcts = [f for f in drawn.features if f.kind == 'RSSI']
    _write_echoes(job, loaded, bleed, recorder, uris, made, rng)
    _write_diffusion(job, loaded, infarcts, recorder, uris, made)
    return made


def _made(scan: Loaded, uris: Mapping, found: Painted | None = None) -> Made:
    source = scan.source
    return Made(
        scan.scan,
        source.datatype,
        uris[source],
        found.contrast if found else {},
        found.change if found else None,
    )


def _echoes(
    loaded: Sequence[Loaded],
) -> list[tuple[Loaded, Loaded | None, tuple[float, float] | None]]:
    """Return magnitude and phase of each echo, and what makes radians of the phase."""
    pairs: dict[tuple, dict[bool, Loaded]] = {}
    for scan in loaded:
        if scan.source.suffix in ECHOES:
            parts = tuple((k, v) for k, v in scan.source.entities.items() if k != 'part')
            pairs.setdefault((scan.source.suffix, *parts), {})[scan.source.is_phase] = scan
    out = []
    for pair in pairs.values():
        magnitude, phase = pair.get(False), pair.get(True)
        if magnitude is None or magnitude.stored.volume.ndim > 3:
            continue
        scale = None
        if phase is not None and phase.stored.volume.shape == magnitude.stored.volume.shape:
            scale = bleeds.radians(phase.stored.volume, phase.source.fields.get('Units'))
        out.append((magnitude, phase if scale else None, scale))
    return out


def _write_echoes(job, loaded, bleed, recorder, uris, made, rng) -> None:
    """Put microbleeds into gradient echoes, magnitude and phase of an echo together."""
    for magnitude, phase, scale in _echoes(loaded):
        echo = _echo_ms(magnitude.source)
        if not echo:
            continue
        tesla = magnitude.source.fields.get('MagneticFieldStrength')
        tesla = float(tesla) if isinstance(tesla, (int, float)) else 3.0
        seen = bleeds.factor(magnitude.scan, bleed, echo, tesla)
        signal = magnitude.signal
        noise = bleeds.channel_noise(signal, magnitude.tissue.brain)
        turned = None if phase is None else phase.signal * scale[0] + scale[1]
        after, turned = bleeds.into_echo(signal, turned, seen, noise, rng)
        dataset.write_image(job, magnitude, after, recorder)
        if turned is not None:
            back = (turned - scale[1]) / scale[0]
            same = np.abs(seen - 1) <= 1e-3
            back[same] = phase.signal[same]
            dataset.write_image(job, phase, back, recorder)
        made.setdefault(magnitude.source.suffix, _made(magnitude, uris))


def _left_out(loaded: Sequence[Loaded]) -> list[str]:
    """Say which gradient echoes have no case, and why."""
    pairs = _echoes(loaded)
    magnitudes = [m for m, _, _ in pairs if _echo_ms(m.source)]
    phases = [p for m, p, _ in pairs if p is not None and _echo_ms(m.source)]
    out = []
    for scan in loaded:
        source = scan.source
        if source.suffix not in ECHOES or scan in magnitudes or scan in phases:
            continue
        if source.is_phase:
            why = 'a phase of the same size beside a magnitude with an EchoTime is needed'
        elif scan.stored.volume.ndim > 3:
            why = 'several volumes in one file; give one file for each echo'
        else:
            why = 'EchoTime is missing in its sidecar; add it, in seconds'
        out.append(f'{source.path.name} is left out: {why}')
    return out


def _write_diffusion(job, loaded, infarcts, recorder, uris, made) -> None:
    """Put recent infarcts into series, and into trace images with their ADC maps."""
    maps = {scan.source.suffix: scan for scan in loaded if scan.source.suffix in ('trace', 'ADC')}
    for scan in loaded:
        if scan.source.suffix == 'dwi' and scan.stored.volume.ndim == 4:
            bvals = dataset.bvals_of(scan.source, scan.stored.volume.shape[3])
            after = diffusion.into_series(scan.scan, scan.signal, bvals, infarcts)
            dataset.write_image(job, scan, after, recorder)
            made.setdefault('dwi', _made(scan, uris))
    if 'trace' not in maps:
        return
    trace, adc = maps['trace'], maps.get('ADC')
    if adc is not None and adc.stored.volume.shape != trace.stored.volume.shape:
        adc = None
    values, scale = None, 1.0
    if adc is not None:
        scale = diffusion.adc_scale(adc.stored.volume)
        values = adc.signal * scale
    bright, slow = diffusion.into_trace(
        trace.scan, trace.signal, values, dataset.b_of(trace.source), infarcts
    )
    dataset.write_image(job, trace, bright, recorder)
    if adc is not None:
        after = np.where(slow == values, adc.signal, slow / scale)
        dataset.write_image(job, adc, after, recorder)
    made.setdefault('trace', _made(trace, uris))


def _echo_ms(source: Source) -> float | None:
    """Return the echo time, ms, where the sidecar has one."""
    value = source.fields.get('EchoTime')
    return 1000 * float(value) if isinstance(value, (int, float)) and value > 0 else None


def _painted(loaded: Sequence[Loaded]) -> set[Path]:
    return {scan.source.path for scan in loaded}


def _scan_row(visit: Visit, scan: Loaded) -> dict:
    return dataset.source_ids(visit) | {'scan': scan.source.path.name} | (scan.facts or {})
