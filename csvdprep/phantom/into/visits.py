"""Visits of a BIDS dataset: their images, and the geometry that was derived from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from csvdprep.bids.names import parse
from csvdprep.bids.raw import metadata_of, sessions_of
from csvdprep.core.errors import InputError, PreflightError

#: Suffixes into which lesions are drawn, by folder.
SUFFIXES = {
    'anat': ('T1w', 'FLAIR', 'T2w', 'PDw', 'T2starw', 'MEGRE'),
    'swi': ('swi', 'GRE'),
    'dwi': ('dwi', 'trace', 'ADC'),
}
#: Folders whose files are taken over: what is in others would contradict the new scans.
TAKEN = ('anat', 'dwi', 'swi', 'fmap', 'perf')
#: Kinds of derived masks that are filled before lesions are inserted.
OWN_LESIONS = ('WMH', 'lacune', 'PVS', 'CMB', 'infarct', 'RSSI', 'lesion')
HOW = (
    'Run csvdprep on this dataset first: csvdprep BIDS_DIR DERIVATIVES participant '
    '--markers wmh; then give DERIVATIVES here.'
)


@dataclass(frozen=True, eq=False)
class Source:
    """An image of a visit.

    Attributes
    ----------
    path : Path
        Where it is.
    datatype, suffix : str
        'anat', 'T1w', ...
    entities : mapping of str to str
        Of its name.
    fields : mapping
        Its metadata, those of upper levels included.
    """

    path: Path
    datatype: str
    suffix: str
    entities: Mapping[str, str]
    fields: Mapping[str, Any]

    @property
    def extension(self) -> str:
        """'.nii' or '.nii.gz'."""
        return '.nii.gz' if self.path.name.endswith('.gz') else '.nii'

    @property
    def is_phase(self) -> bool:
        """Whether it is the phase of a complex image."""
        return self.entities.get('part') == 'phase'


@dataclass(frozen=True, eq=False)
class Visit:
    """A visit of the dataset.

    Attributes
    ----------
    root : Path
        The dataset.
    subject : str
        Label without prefix.
    session : str or None
        Label without prefix, None in a dataset without sessions.
    images : tuple of Source
        Images into which lesions can be drawn.
    others : tuple of Path
        All other files of the visit.
    """

    root: Path
    subject: str
    session: str | None
    images: tuple[Source, ...]
    others: tuple[Path, ...]

    @property
    def label(self) -> str:
        """Begin of the names of its files."""
        return f'sub-{self.subject}' + (f'_ses-{self.session}' if self.session else '')

    @property
    def place(self) -> Path:
        """Folder of the visit, relative to the root of a dataset."""
        return Path(f'sub-{self.subject}', *([f'ses-{self.session}'] if self.session else []))


@dataclass(frozen=True, eq=False)
class Given:
    """What was derived from the scans of a visit.

    Attributes
    ----------
    hub : str
        Suffix of the anatomical reference: 'T1w', or 'FLAIR' where there is none.
    tissues : mapping of str to Path
        Probabilities ``gm``, ``wm``, ``csf`` on the grid of the reference.
    brain, ventricles, structures : Path
        Mask and labels on the same grid.
    to_template, to_head : Path
        Transforms between the reference and the template: the first takes positions of the
        reference to the template.
    moves : mapping of str to Path
        Linear transforms that take positions of the reference to another scan, by the name of
        the scan in ``from-NAME_to-HUB``.
    lesions : tuple of (str, Path)
        Masks of the scan's own lesions, with the suffix of the image on whose grid they lie.
    """

    hub: str
    tissues: Mapping[str, Path]
    brain: Path
    ventricles: Path
    structures: Path
    to_template: Path
    to_head: Path
    moves: Mapping[str, Path]
    lesions: tuple[tuple[str, Path], ...]


def read_visits(root: Path, labels: Sequence[str] = ()) -> list[Visit]:
    """List the visits of a dataset that have a T1w or a FLAIR.

    Parameters
    ----------
    root : Path
        Raw BIDS dataset.
    labels : sequence of str, optional
        Participants, with or without ``sub-``; all by default.

    Returns
    -------
    list of Visit
        In the order of their labels.

    Raises
    ------
    PreflightError
        If the folder is no BIDS dataset, a participant is not in it, or there is no image.
    """
    if not (root / 'dataset_description.json').is_file():
        raise PreflightError(
            'This is no BIDS dataset: it has no dataset_description.json.',
            file=root,
            field='--into',
            remedy='Name the root of a raw dataset.',
        )
    there = sorted(
        path.name.removeprefix('sub-')
        for path in root.glob('sub-*')
        if path.is_dir() and path.name.removeprefix('sub-').isalnum()
    )
    asked = [label.removeprefix('sub-') for label in labels]
    if unknown := sorted(set(asked) - set(there)):
        raise PreflightError(
            f'The dataset has no participant {", ".join(unknown)}.',
            file=root,
            field='--participant-label',
            remedy=f'Participants are: {", ".join(there)}.',
        )
    visits = [
        _visit(root, subject, session)
        for subject in asked or there
        for session in sessions_of(root, subject)
    ]
    found = [v for v in visits if any(i.suffix in ('T1w', 'FLAIR') for i in v.images)]
    if not found:
        raise PreflightError(
            'No visit of this dataset has a T1w or a FLAIR.', file=root, field='--into'
        )
    return found


def _visit(root: Path, subject: str, session: str | None) -> Visit:
    folder = root / f'sub-{subject}' / (f'ses-{session}' if session else '')
    images, others = [], []
    for datatype in TAKEN:
        for path in sorted((folder / datatype).glob('sub-*')):
            source = _source(root, path, datatype)
            if source:
                images.append(source)
            elif path.is_file():
                others.append(path)
    return Visit(root, subject, session, tuple(images), tuple(others))


def _source(root: Path, path: Path, datatype: str) -> Source | None:
    """Read the name of an image; None for what is no image of a kind that is drawn into."""
    if not path.name.endswith(('.nii', '.nii.gz')):
        return None
    try:
        name = parse(path)
    except InputError:
        return None
    if name.suffix not in SUFFIXES.get(datatype, ()):
        return None
    fields, _ = metadata_of(root, path)
    return Source(path, datatype, name.suffix, dict(name.entities), fields)


def read_given(derivatives: Path, visit: Visit, lesions: Path | None = None) -> Given:
    """Find what was derived from the scans of a visit.

    Parameters
    ----------
    derivatives : Path
        BIDS derivative: an output of csvdprep, or files of the same names.
    visit : Visit
        The visit.
    lesions : Path, optional
        Another derivative whose lesion masks are to be filled, in place of these.

    Returns
    -------
    Given

    Raises
    ------
    PreflightError
        If something is missing.
    """
    folder = derivatives / visit.place
    stem = f'{visit.label}_'
    files = {path.name: path for path in sorted(folder.glob(f'*/{stem}*'))}
    if not files:
        raise PreflightError(
            f'There is nothing of {visit.label} in the derivatives.',
            file=derivatives,
            field='--with',
            remedy=HOW,
        )
    hub = 'T1w' if f'{stem}label-WM_probseg.nii.gz' in files else 'FLAIR'
    on_hub = stem if hub == 'T1w' else f'{stem}space-FLAIR_'

    def need(name: str) -> Path:
        if name not in files:
            raise PreflightError(
                f'The derivatives of {visit.label} lack a file.',
                file=folder / 'anat' / name,
                field='--with',
                remedy=HOW,
            )
        return files[name]

    def transform(start: str, end: str) -> Path:
        begin = f'{stem}from-{start}'
        found = [
            path
            for name, path in files.items()
            if name.startswith(begin)
            and f'_to-{end}' in name
            and name.endswith(('.h5', '.txt', '.mat'))
        ]
        return found[0] if found else need(f'{begin}_to-{end}_mode-image_xfm.h5')

    moves = {
        name.removeprefix(f'{stem}from-').split('_')[0]: path
        for name, path in files.items()
        if name.startswith(f'{stem}from-') and f'_to-{hub}_' in name and name.endswith('.txt')
    }
    return Given(
        hub=hub,
        tissues={
            name: need(f'{on_hub}label-{name.upper()}_probseg.nii.gz')
            for name in ('gm', 'wm', 'csf')
        },
        brain=need(f'{on_hub}desc-brain_mask.nii.gz'),
        ventricles=need(f'{on_hub}desc-ventricles_dseg.nii.gz'),
        structures=need(f'{on_hub}atlas-csvdprep_desc-structures_dseg.nii.gz'),
        to_template=transform('MNI', hub),
        to_head=transform(hub, 'MNI'),
        moves=moves,
        lesions=_own_lesions(lesions / visit.place if lesions else folder, stem, hub),
    )


def _own_lesions(folder: Path, stem: str, hub: str) -> tuple[tuple[str, Path], ...]:
    """Find masks of lesions; one without ``space`` lies on the reference.

    Copies in a template, or on the reference beside those on the scan itself, are left out.
    """
    found: dict[tuple, list[tuple[str, Path]]] = {}
    for path in sorted(folder.glob(f'*/{stem}*_mask.nii.gz')):
        entities = parse(path).entities
        if entities.get('label') in OWN_LESIONS and entities.get('desc') != 'preliminary':
            space = entities.get('space', 'dwi' if path.parent.name == 'dwi' else hub)
            if 'res' not in entities and not space.startswith('MNI'):
                kind = (entities['label'], entities.get('desc'))
                found.setdefault(kind, []).append((space, path))
    for kind, masks in found.items():
        elsewhere = [item for item in masks if item[0] != hub]
        found[kind] = elsewhere or masks
    return tuple(sorted((item for masks in found.values() for item in masks), key=lambda x: x[1]))
