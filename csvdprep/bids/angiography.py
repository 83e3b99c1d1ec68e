"""Time-of-flight angiograms of a visit, and what is stored like one and is none."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from csvdprep.bids.metadata import MHZ_PER_T, Facts, plain_number
from csvdprep.bids.offer import Candidate, Dataset, Report
from csvdprep.core.declared import Input
from csvdprep.core.plan import Scan, Visit

#: Suffixes in use beside that of BIDS, by folder.
LEGACY = {
    'anat': ('TOF', 'tof', 'TOFMRA', 'MRA', 'mra', 'ToF'),
    'angio': ('angio', 'TOF', 'tof', 'MRA', 'mra'),
}
#: Fewest slices, and least extent (mm), of a volume in which an artery can be followed.
LEAST_SLICES, LEAST_MM = 10, 5.0
#: Fewest voxels along the other axes.
LEAST_VOXELS = 24
#: Edge of a voxel (mm) beyond which arteries are lost between slices.
THICK_MM = 3.0
#: Least ratio of the stored to the acquired matrix at which the difference is told.
INTERPOLATED = 1.05
#: Texts of sidecars that say what an image is.
_FIELDS = (
    'PulseSequenceType',
    'ScanningSequence',
    'SequenceName',
    'PulseSequenceDetails',
    'SeriesDescription',
    'ProtocolName',
    'ImageType',
    'ImageTypeText',
)
_TOF = re.compile(r'\btof|time of flight')
#: What is left out of texts before: planes and territories, flow compensation, what is denied.
_OTHER = re.compile(
    r'\bac ?pc\b|\b([am]ca|vba?) (and )?pca\b|\bpca (and )?[am]ca\b|'
    r'\b(velocity|flow) comp\w*|\b(no|not|non|without)( an?| any)? (mips?|projections?)\b|'
    r'\brotat\w* (to|onto|into|along|about|by)\b'
)
_PHASE_CONTRAST = re.compile(
    r'phase[ _-]?contrast|\bpca?[ _-]?(mra|mrv|angio)|\bpca?[23]d|[23]d[ _-]?pca?\b|venc|'
    r'fl_?[23]d\d?[_ ]?pc|mra[_ ]pc\b'
)
#: Words of phase contrast that mean other things where something says time of flight.
_PERHAPS = re.compile(r'\bpca?\b|veloc')
_PROJECTION = re.compile(
    r'\bm(in?|n)?ip|\bmax(imum)? ?(int|ip)|projection|\bpjn\b|collapse|\brotat'
)
_VEINS = re.compile(r'\bmrv\b|venogra|\btofv\b')
#: Words at which BIDS entities tell the same.
_NAMED = ((_PHASE_CONTRAST, 'phase contrast'), (_PROJECTION, 'projection'), (_VEINS, 'venogram'))
_WHY = {
    'phase contrast': (
        'It is a phase-contrast angiogram ({where}), whose background is suppressed and whose '
        'intensity is velocity: arteries are sought in time-of-flight angiograms only. Remedy: '
        'give the time-of-flight angiogram.'
    ),
    'projection': (
        'It is a projection (MIP) of an angiogram ({where}), from which depth is lost. Remedy: '
        'give the source images of the angiogram, not its projections.'
    ),
    'venogram': (
        'It is an angiogram of veins ({where}). Remedy: give the angiogram of arteries, whose '
        'veins are saturated.'
    ),
}


def read_angiogram(
    dataset: Dataset, visit: Visit, declared: Input, report: Report
) -> dict[str, Scan]:
    """Choose the time-of-flight angiogram of a visit.

    Parameters
    ----------
    dataset : Dataset
        Where from.
    visit : Visit
        Participant and session.
    declared : Input
        What is looked for.
    report : Report
        Takes what there is to say.

    Returns
    -------
    dict of str to Scan
        By the name of the input, with ``content``: ``image`` (path), ``tesla`` (or None),
        ``slices`` ('3D' or '2D'), ``finest_mm`` (edges of the voxels as acquired), ``doubts``
        (sentences). Empty without an angiogram. Of several, the finest is taken; one with contrast
        agent only where there is no other.
    """
    candidates = dataset.candidates(visit, declared, report, maps=True)
    for datatype, suffixes in LEGACY.items():
        place = replace(declared, datatype=datatype, suffixes=suffixes)
        candidates += dataset.candidates(visit, place, report, maps=True)
    usable = []
    for item in candidates:
        metadata = dataset.metadata(item, Report())
        if why := unusable(item, metadata):
            report.refused.append((item.shown, why))
        else:
            usable.append((_contrast_agent(item, metadata), item.rank, item))
    if not usable:
        return {}
    best, *others = (item for *_, item in sorted(usable, key=lambda entry: entry[:2]))
    if others:
        rest = ', '.join(item.path.name for item in others)
        report.notes.append(
            f'{declared.name}: {best.path.name} (finest as acquired) is used, not {rest}.'
        )
    report.facts[declared.name] = best.facts
    report.notes += [f'{best.path.name}: {text}' for text in best.facts.warnings]
    scan = dataset.scan(declared.name, best, report)
    content, notes = described(best, scan.metadata)
    report.notes += [f'{best.shown}: {text}' for text in notes]
    content['image'] = scan.path
    told = {key: value for key, value in content.items() if key != 'image'}
    digest = hashlib.sha256(json.dumps([scan.digest, told], default=str).encode()).hexdigest()
    return {declared.name: replace(scan, digest=digest, content=content)}


def unusable(item: Candidate, metadata: Mapping[str, Any]) -> str:
    """Say why a file is no time-of-flight angiogram; '' if it may be one."""
    facts = item.facts
    if facts.levels < 3 or not facts.low < facts.high:
        return (
            'The image has two values at most: it is a mask, or empty. Remedy: give the angiogram '
            'itself.'
        )
    shape = sorted(facts.shape[:3])
    extent = min(n * zoom for n, zoom in zip(facts.shape, facts.zooms, strict=False))
    if named := _another(item, metadata):
        return named
    if shape[0] < LEAST_SLICES or extent < LEAST_MM or shape[1] < LEAST_VOXELS:
        size = ' x '.join(str(n) for n in facts.shape[:3])
        return (
            f'The volume of {size} voxels is too small to follow an artery ({LEAST_SLICES} slices '
            f'and {LEAST_MM:g} mm at least), or it is a set of projections. Remedy: give the '
            'source images of the angiogram.'
        )
    if max(facts.zooms) > THICK_MM:
        return (
            f'Voxels of {max(facts.zooms):.1f} mm are too thick to follow arteries '
            f'({THICK_MM:g} mm at most). Remedy: use a three-dimensional angiogram.'
        )
    return ''


def _another(item: Candidate, metadata: Mapping[str, Any]) -> str:
    """Say what else an image is by name or sidecar; '' if it may be an angiogram of arteries."""
    texts = _told(item, metadata)
    flight = item.name.suffix.lower().startswith('tof') or any(map(_TOF.search, texts.values()))
    for field, text in texts.items():
        words = _OTHER.sub(' ', text)
        # Free text may name a plane or a territory; the type of an image and a label do not.
        decides = not flight or field.startswith('ImageType') or '-' in field
        perhaps = ((_PERHAPS, 'phase contrast'),) if decides and not _TOF.search(words) else ()
        for pattern, kind in (*_NAMED, *perhaps):
            if pattern.search(words):
                return _WHY[kind].format(where=f'{field}: {text[:60]}')
    return ''


def _told(item: Candidate, metadata: Mapping[str, Any]) -> dict[str, str]:
    """Return texts that may say what an image is, in lower case, by where they stand."""
    texts = {}
    for name in ('acq', 'rec', 'desc', 'label', 'proc'):
        if value := item.name.entities.get(name):
            # Words of a label are joined: acq-tofMIP.
            words = re.sub(r'(?<=[a-z0-9])(?=[A-Z])', ' ', value)
            texts[f'{name}-{value}'] = words.lower()
    for field in _FIELDS:
        value = metadata.get(field)
        items = value if isinstance(value, list) else [value]
        words = [text for text in items if isinstance(text, str)]
        if words:
            texts[field] = re.sub(r'[^a-z0-9]+', ' ', ' '.join(words).lower())
    return texts


def _contrast_agent(item: Candidate, metadata: Mapping[str, Any]) -> bool:
    agent = metadata.get('ContrastBolusAgent') or metadata.get('ContrastBolusIngredient')
    return 'ce' in item.name.entities or bool(agent and str(agent).lower() not in ('none', 'n/a'))


def described(item: Candidate, metadata: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Read what the arteries are judged by.

    Returns
    -------
    content : dict
        See :func:`read_angiogram`.
    notes : list of str
        What was odd or missing, with the remedy.
    """
    facts, doubts = Facts(metadata), []
    tesla = facts.number('MagneticFieldStrength')
    notes: list[str] = []
    if tesla is None and (frequency := facts.number('ImagingFrequency')) is not None:
        tesla = round(frequency / MHZ_PER_T, 2)
        notes.append(
            f'MagneticFieldStrength is missing; {tesla:g} T follow from the ImagingFrequency.'
        )
    elif tesla is None:
        notes.append(
            'MagneticFieldStrength is missing: whether lenticulostriate arteries can be seen is '
            'judged by the voxels alone. Remedy: MagneticFieldStrength (T) in the sidecar.'
        )
        doubts.append('the field strength is not known')
    frequency = facts.number('ImagingFrequency')
    if tesla and frequency and not 0.9 < frequency / (MHZ_PER_T * tesla) < 1.1:
        notes.append(
            f'MagneticFieldStrength ({tesla:g} T) and ImagingFrequency ({frequency:g} MHz) '
            'contradict each other. Remedy: correct the sidecar.'
        )
        doubts.append('field strength and imaging frequency contradict each other')
    for field in ('EchoTime', 'RepetitionTime'):
        facts.number(field)
    time = facts.number('EchoTime')
    if time is not None and time > 0.015:
        notes.append(
            f'An EchoTime of {1000 * time:.1f} ms is long for an angiogram: fast blood loses its '
            'signal. Remedy: check the sidecar.'
        )
        doubts.append(f'the echo time is long ({1000 * time:.1f} ms)')
    kind = str(metadata.get('MRAcquisitionType', '')).strip().upper()
    if kind not in ('2D', '3D'):
        kind = '3D'
    if kind == '2D':
        notes.append(
            'A two-dimensional angiogram: vessels within the slices lose their signal, and veins '
            'are as bright as arteries.'
        )
        doubts.append('the angiogram is two-dimensional')
    if _contrast_agent(item, metadata):
        notes.append('It was acquired with contrast agent: veins are bright, too.')
        doubts.append('with contrast agent veins are bright, too')
    edges, said = _acquired(item, metadata)
    notes += [*said, *facts.notes]
    return {'tesla': tesla, 'slices': kind, 'finest_mm': edges, 'doubts': doubts}, notes


def _acquired(item: Candidate, metadata: Mapping[str, Any]) -> tuple[list[float], list[str]]:
    """Return the edges of voxels as acquired: scanners interpolate."""
    edges = [round(float(zoom), 4) for zoom in item.facts.zooms[:3]]
    stored = plain_number(metadata.get('ReconMatrixPE'))
    acquired = plain_number(metadata.get('AcquisitionMatrixPE'))
    if stored is None or acquired is None or not 32 <= acquired <= 2048:
        return edges, []
    ratio = stored / acquired
    if not INTERPOLATED < ratio <= 4:
        return edges, []
    fine = min(edges)
    edges = [round(e * ratio, 4) if e < 1.2 * fine else e for e in edges]
    return edges, [
        (
            f'{fine:.2f} mm is interpolated from {max(fine * ratio, fine):.2f} mm '
            f'(AcquisitionMatrixPE {acquired:g} of {stored:g}).'
        )
    ]
