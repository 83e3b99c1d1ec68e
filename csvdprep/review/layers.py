"""Images of a visit in one space, and their voxels as a browser takes them."""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from csvdprep.bids.names import Name, parse
from csvdprep.bids.tsv import read_tsv
from csvdprep.core.declared import Declared
from csvdprep.core.errors import CsvdprepError
from csvdprep.core.plan import Visit
from csvdprep.core.ratings import MASKS
from csvdprep.core.room import Derivative
from csvdprep.graph.discover import discover
from csvdprep.imaging.transforms import read_linear

__all__ = ['Layer', 'find_layers', 'mask_array', 'to_mni', 'voxels']

#: Suffixes of images that a reader looks at, in the order in which they are offered.
IMAGES = (
    'FLAIR',
    'T1w',
    'T2w',
    'T2starw',
    'swi',
    'minIP',
    'trace',
    'ADC',
    'dwiref',
    'angio',
    'dce',
    'dsc',
    'asl',
    'm0scan',
)
#: Suffixes of maps that are shown over them, and the colours of each.
MAPS = {
    'probseg': 'warm',
    'Chimap': 'blue2red',
    'R2starmap': 'viridis',
    'T2starmap': 'viridis',
    'fieldmap': 'blue2red',
    'dwimap': 'viridis',
    'T1map': 'viridis',
    'TB1map': 'viridis',
    'PSmap': 'viridis',
    'vpmap': 'viridis',
    'cbvmap': 'viridis',
    'mttmap': 'viridis',
    'tmaxmap': 'viridis',
    'ttpmap': 'viridis',
    'cbf': 'viridis',
    'att': 'viridis',
}
#: Colours of masks by their label (Okabe and Ito).
COLOURS = {
    'WMH': '#e69f00',
    'CMB': '#cc79a7',
    'lacune': '#56b4e9',
    'PVS': '#009e73',
    'RSSI': '#d55e00',
    'infarct': '#d55e00',
}
#: Colours of labels whose table has none.
_CYCLE = ('#e69f00', '#56b4e9', '#009e73', '#f0e442', '#0072b2', '#d55e00', '#cc79a7', '#999999')
_PREVIEW = 2_000_000
_MOST_VOXELS = 256_000_000
#: What tells the machine's opinion of lesions.
_OPINION = re.compile(
    r'label-(WMH|CMB|lacune|PVS|RSSI|infarct)|wmhzone|microbleeds|cavities|subcort'
)


@dataclass(frozen=True)
class Layer:
    """An image of a visit.

    Attributes
    ----------
    key : str
        How the page calls it: the file name without the visit and the extension.
    file : Path
        NIfTI.
    kind : {'image', 'map', 'mask', 'labels'}
        How it is shown.
    frame : str
        Name of its grid: 'FLAIR', 'T1w', 'dwi', ...
    title, description : str
        In words.
    shape : tuple of int
        Voxels.
    to_hub : ndarray, shape (4, 4)
        From its scanner coordinates to those of the anatomical reference, RAS+ mm.
    name : Name
        Parts of the file name.
    """

    key: str
    file: Path
    kind: str
    frame: str
    title: str
    description: str
    shape: tuple[int, ...]
    to_hub: np.ndarray
    name: Name

    @property
    def opinion(self) -> bool:
        """Whether it shows what the machine holds for lesions."""
        return _OPINION.search(self.key) is not None

    @property
    def mask(self) -> str:
        """Name by which a rater may edit it; empty if it is no mask of a list of ratings."""
        label = self.name.entities.get('label', '').lower()
        name = f'{label}_mask'
        plain = self.name.suffix == 'mask' and 'desc' not in self.name.entities
        return name if plain and name in MASKS else ''

    def shown(self) -> dict[str, Any]:
        """Return what the page needs."""
        label = self.name.entities.get('label', '')
        return {
            'key': self.key,
            'title': self.title,
            'description': self.description,
            'kind': self.kind,
            'frame': self.frame,
            'grid': _WORDS.get(self.frame, self.frame),
            'voxels': int(math.prod(self.shape)),
            'preview': math.prod(self.shape) > _PREVIEW,
            'toHub': self.to_hub.tolist(),
            'mask': self.mask,
            'label': label,
            'colour': COLOURS.get(label, '#f0e442'),
            'map': MAPS.get(self.name.suffix, 'gray'),
            'table': _table(self.file) if self.kind == 'labels' else [],
        }


def find_layers(output_dir: Path, visit: Visit) -> list[Layer]:
    """Find the images of a visit; those that are looked at first, then what lies over them.

    Parameters
    ----------
    output_dir : Path
        Root of the derivatives.
    visit : Visit
        Participant and session.

    Returns
    -------
    list of Layer
        Images of three dimensions whose grid has a way to that of the anatomical reference.
    """
    folder = Path(output_dir) / visit.folder
    files = sorted(folder.glob('*/*.nii.gz'))
    names = {}
    for file in files:
        try:
            names[file] = parse(file)
        except CsvdprepError:
            continue
    hub = 'T1w' if any(_is_reference(name, 'T1w') for name in names.values()) else 'FLAIR'
    ways = _ways(folder, hub)
    found = []
    for file, name in names.items():
        kind = _kind(name)
        if not kind or file.parent.name in ('figures', 'log'):
            continue
        frame = _frame(file, name, hub)
        try:
            shape = nib.load(file).shape
        except Exception:  # readers raise anything on a damaged file
            continue
        if name.entities.get('space') == hub:
            continue  # the same as on its own grid, resampled
        if frame not in ways or len(shape) != 3 or math.prod(shape) > _MOST_VOXELS:
            continue
        found.append(
            Layer(
                _key(file, visit),
                file,
                kind,
                frame,
                _title(name),
                _description(file),
                tuple(shape),
                ways[frame],
                name,
            )
        )
    ranks = {'image': 0, 'mask': 1, 'labels': 2, 'map': 3}
    return sorted(found, key=lambda item: (ranks[item.kind], _rank(item.name), item.key))


def _is_reference(name: Name, suffix: str) -> bool:
    return name.suffix == suffix and name.entities.get('desc') == 'preproc'


def _kind(name: Name) -> str:
    desc = name.entities.get('desc', '')
    if name.suffix in IMAGES:
        # What was filled or made for computing is nothing to look at.
        return 'image' if desc in ('', 'preproc', 'b0', 'baseline') else ''
    if name.suffix == 'mask':
        return 'mask'
    if name.suffix == 'dseg':
        return 'labels'
    return 'map' if name.suffix in MAPS else ''


def _rank(name: Name) -> tuple[int, str]:
    at = IMAGES.index(name.suffix) if name.suffix in IMAGES else len(IMAGES)
    lesion = name.entities.get('label', '') in COLOURS
    return (at - lesion, name.suffix)


def _frame(file: Path, name: Name, hub: str) -> str:
    if space := name.entities.get('space'):
        return space
    said = tuple(name.entities.get(key) for key in ('label', 'desc', 'param'))
    found = _grids().get((name.suffix, *said))
    if found is None:
        found = name.suffix if name.suffix in IMAGES else '{hub}'
    return 'dwi' if file.parent.name == 'dwi' and not found else found.replace('{hub}', hub)


@cache
def _grids() -> dict[tuple, str]:
    """Return the grid of each product whose file name need not tell it."""
    rooms = discover()
    spaces = {frame.name: frame.space or '' for frame in Declared.of(rooms).frames}
    found: dict[tuple, str] = {}
    for made in (made for room in rooms for made in room.makes.values()):
        if made.saved and made.extension == '.nii.gz':
            key, grid = _said(made), spaces.get(made.frame, '')
            # Where several grids have such a file, the reference is the one without its name.
            found[key] = grid if key not in found or grid == '{hub}' else found[key]
    return found


def _said(made: Derivative) -> tuple:
    return made.suffix, made.label, made.desc, made.param


def _ways(folder: Path, hub: str) -> dict[str, np.ndarray]:
    """Return how positions of each grid are taken to the reference."""
    ways = {hub: np.eye(4)}
    for file in sorted(folder.glob(f'*/*_to-{hub}_mode-image_xfm.txt')):
        found = re.search(r'_from-([A-Za-z0-9]+)_to-', file.name)
        try:
            # A transform takes points of the reference to those of the image it resamples.
            ways.setdefault(found[1], np.linalg.inv(read_linear(file)))
        except (CsvdprepError, OSError, ValueError, np.linalg.LinAlgError, TypeError):
            continue
    return ways


def _key(file: Path, visit: Visit) -> str:
    return file.name.removeprefix(f'{visit.label}_').removesuffix('.nii.gz')


_WORDS = {
    'mask': 'mask',
    'probseg': 'probability',
    'Chimap': 'susceptibility',
    'R2starmap': 'R2*',
    'T2starmap': 'T2*',
    'T2starw': 'T2*w',
    'swi': 'SWI',
    'fieldmap': 'field',
    'dwiref': 'b = 0',
    'dwimap': '',
}


#: What values of ``desc`` mean.
_DESCS = {
    'preproc': '',
    'b0': '',
    'baseline': '',
    'wmhzone': 'WMH zones',
    'subcortical': 'subcortical hyperintensities',
    'microbleeds': 'microbleed candidates',
    'cavities': 'lacune and PVS candidates',
    'infarcts': 'infarct candidates',
}


def _word(name: Name) -> str:
    if name.suffix == 'dseg':
        return '' if 'desc' in name.entities else 'tissues'
    return _WORDS.get(name.suffix, name.suffix)


def _title(name: Name) -> str:
    label, desc, param = (name.entities.get(key, '') for key in ('label', 'desc', 'param'))
    parts = [
        label,
        param.upper() if len(param) < 4 else param,
        _DESCS.get(desc, desc),
        _word(name),
    ]
    return ' '.join(part for part in parts if part)


def _description(file: Path) -> str:
    try:
        told = json.loads(file.with_name(file.name.replace('.nii.gz', '.json')).read_text('utf-8'))
        return str(told.get('Description', ''))
    except (OSError, ValueError, AttributeError):
        return ''


def _table(file: Path) -> list[dict[str, Any]]:
    """Return number, name and colour of each label."""
    try:
        rows = read_tsv(file.with_name(file.name.replace('.nii.gz', '.tsv'))).rows
    except (OSError, CsvdprepError):
        rows = ()
    found = []
    for row in rows:
        if not row.get('index', '').isdecimal():
            continue
        number = int(row['index'])
        colour = row.get('color', '')
        if not re.fullmatch(r'#[0-9a-fA-F]{6}', colour):
            colour = _CYCLE[number % len(_CYCLE)]
        found.append({'index': number, 'name': row.get('name', str(number)), 'colour': colour})
    return found


def voxels(layer: Layer, *, step: int = 1) -> bytes:
    """Return an image as uncompressed NIfTI, placed in the coordinates of the reference.

    Parameters
    ----------
    layer : Layer
        The image.
    step : int, optional
        Voxels that are put together along each axis.

    Returns
    -------
    bytes
        Canonical order of axes; masks and labels as integers, others scaled to 16 bits, with the
        window in ``cal_min`` and ``cal_max``.
    """
    image = nib.as_closest_canonical(nib.load(layer.file))
    affine = layer.to_hub @ image.affine
    data = np.asanyarray(image.dataobj)
    if step > 1:
        # Averages of blocks would be smoother, but take a second for an image of 1 mm.
        data = data[::step, ::step, ::step]
        affine = affine @ np.diag([step, step, step, 1.0])
    if layer.kind not in ('mask', 'labels'):
        data = data.astype(np.float32, copy=False)
    return _nifti(data, affine, layer.kind)


def _nifti(data: np.ndarray, affine: np.ndarray, kind: str) -> bytes:
    header = nib.Nifti1Header()
    if kind in ('mask', 'labels'):
        data = np.rint(np.nan_to_num(data))
        data = (data > 0).astype(np.uint8) if kind == 'mask' else data
        top = data.max(initial=0)
        data = data.astype(np.uint8 if top < 256 else np.int16)
        low, high, slope, inter = 0.0, float(top), 1.0, 0.0
    else:
        if not np.isfinite(data).all():
            data = np.nan_to_num(data, nan=0.0, posinf=0.0, neginf=0.0)
        low, high = _window(data, kind)
        bottom, top = float(data.min(initial=0)), float(data.max(initial=0))
        slope = (top - bottom) / 65000 or 1.0
        inter = bottom + 32500 * slope
        data = np.rint((data - inter) / slope).astype(np.int16)
    header.set_data_dtype(data.dtype)
    header.set_data_shape(data.shape)
    header.set_xyzt_units('mm')
    header.set_sform(affine, code=1)
    header.set_qform(affine, code=0, strip_shears=True)
    header['cal_min'], header['cal_max'] = low, high
    header['scl_slope'], header['scl_inter'] = slope, inter
    header['vox_offset'] = 352
    header['magic'] = b'n+1'
    return header.binaryblock + b'\0\0\0\0' + data.tobytes(order='F')


def _window(data: np.ndarray, kind: str) -> tuple[float, float]:
    """Choose the window: of images from dark to the brightest 0.5 %, of maps all but outliers."""
    sample = data[::3, ::3, ::3].ravel()
    sample = sample[sample != 0]
    if not sample.size:
        return 0.0, 1.0
    if kind == 'map' and sample.min() < 0:
        high = float(np.percentile(np.abs(sample), 99))
        return -high, high or 1.0
    low = 0.0 if kind == 'map' else float(np.percentile(sample, 1))
    return min(low, 0.0) if low < 0 else 0.0, float(np.percentile(sample, 99.5)) or 1.0


def mask_array(layer: Layer, data: bytes) -> tuple[bytes, int]:
    """Turn voxels that a rater drew into a file on the grid of the mask that was edited.

    Parameters
    ----------
    layer : Layer
        The mask that was edited.
    data : bytes
        One byte a voxel, first axis fastest, in the order of :func:`voxels`.

    Returns
    -------
    bytes
        NIfTI, compressed; the same voxels give the same bytes.
    int
        Voxels of the mask.

    Raises
    ------
    ValueError
        If there are more or fewer voxels than the mask has.
    """
    import gzip

    from nibabel.orientations import apply_orientation, io_orientation, ornt_transform

    stored = nib.load(layer.file)
    canonical = nib.as_closest_canonical(stored)
    if len(data) != math.prod(canonical.shape):
        raise ValueError(
            f'{len(data)} voxels were sent, the mask has {math.prod(canonical.shape)}'
        )
    drawn = np.frombuffer(data, np.uint8).reshape(canonical.shape, order='F') > 0
    there, back = io_orientation(canonical.affine), io_orientation(stored.affine)
    turned = apply_orientation(drawn.astype(np.uint8), ornt_transform(there, back))
    image = nib.Nifti1Image(np.ascontiguousarray(turned), stored.affine)
    image.header.set_xyzt_units('mm')
    for form in ('sform', 'qform'):
        getattr(image, f'set_{form}')(stored.affine, int(stored.header[f'{form}_code']) or 1)
    return gzip.compress(image.to_bytes(), 6, mtime=0), int(drawn.sum())


def digest(file: Path) -> str:
    """Return the first digits of the SHA-256 of a file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()[:12]


def to_mni(output_dir: Path, visit: Visit, point: list[float]) -> list[float] | None:
    """Take a position of the anatomical reference to the template; None if there is no way.

    Parameters
    ----------
    output_dir : Path
        Root of the derivatives.
    visit : Visit
        Participant and session.
    point : list of float
        x, y and z, RAS+ mm, in the reference.

    Returns
    -------
    list of float or None
        x, y and z in MNI152NLin2009aSym.
    """
    folder = Path(output_dir) / visit.folder
    # Points go the other way than images: by the transform that resamples the template.
    files = sorted(folder.glob('*/*_from-MNI152NLin2009aSym_to-*_mode-image_xfm.h5'))
    files = [file for file in files if re.search(r'_to-(T1w|FLAIR)_', file.name)]
    if not files:
        return None
    from csvdprep.imaging.points import map_points

    moved = map_points(np.array([point], float), str(files[0]))[0]
    return [round(float(value), 1) for value in moved]


@lru_cache(maxsize=4096)
def cached_mni(output_dir: Path, visit: Visit, point: tuple[float, ...]) -> list[float] | None:
    """Remember what :func:`to_mni` found."""
    return to_mni(output_dir, visit, list(point))
