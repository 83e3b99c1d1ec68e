"""Make phantoms that quality flags are judged on: sound scans, hard heads, and damaged scans.

Each visit has its truth in ``derivatives/truth``::

    python benchmarks/flag_phantoms.py RAW [sound hard damaged]
    csvdprep RAW OUT participant
    python benchmarks/flags.py OUT --truth RAW/derivatives/truth
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage as ndi

from csvdprep.phantom.dataset.make import make_phantom
from csvdprep.phantom.dataset.presets import get_preset
from csvdprep.phantom.disease.person import Disease, Person, State

#: Heads by name: volume of hyperintensities (mL), widening of ventricles (mm) and sulci.
SOUND = {
    'sound1': (0.5, 0, 0.3),
    'sound2': (2, 1, 0.4),
    'sound3': (5, 2, 0.5),
    'sound4': (8, 3, 0.7),
    'sound5': (12, 2, 0.8),
    'sound6': (18, 4, 0.9),
    'sound7': (25, 3, 0.6),
    'sound8': (35, 5, 1.0),
    'sound9': (45, 4, 1.1),
    'sound10': (60, 6, 1.2),
}
HARD = {
    'hard1': (80, 8, 1.4),
    'hard2': (100, 10, 1.4),
    'hard3': (120, 12, 1.5),
    'hard4': (128, 15, 1.5),
}
Scan = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def _noisy(data, rng):
    """Add noise a quarter as bright as the brain."""
    level = 0.25 * np.percentile(data, 90)
    return np.hypot(data + rng.normal(0, level, data.shape), rng.normal(0, level, data.shape))


def _band(data, rng):
    """Brighten a slab by half, as an artefact does."""
    data = data.copy()
    middle = slice(int(data.shape[1] * 0.45), int(data.shape[1] * 0.6))
    data[:, middle] *= 1.5
    return data


def _shaded(data, rng):
    """Halve the sensitivity of the coil from one end of the head to the other."""
    return data * np.linspace(0.35, 1.65, data.shape[0])[:, None, None]


def _flat(data, rng):
    """Take contrast off: what is left of the differences is 15 %."""
    middle = np.percentile(data[data > np.percentile(data, 60)], 50)
    soft = ndi.gaussian_filter(data, 1)
    return np.where(data > 0.3 * middle, middle + 0.15 * (soft - middle), data) + rng.normal(
        0, 0.08 * middle, data.shape
    )


def _cut(data, rng):
    """Blank the top third."""
    data = data.copy()
    used = np.flatnonzero(data.mean((0, 1)) > 0.1 * data.mean((0, 1)).max())
    data[..., int(np.quantile(used, 0.62)) :] = 0
    return data


#: Damage by name: which scan, and what is done to it (in RAS+ order of the axes).
DAMAGE: dict[str, tuple[str, Scan]] = {
    'noisy': ('FLAIR', _noisy),
    'band': ('FLAIR', _band),
    'shaded': ('FLAIR', _shaded),
    'flat': ('T1w', _flat),
    'cutflair': ('FLAIR', _cut),
    'cutt1w': ('T1w', _cut),
}
#: Files that took the place of another, and a header that is wrong.
SWAPS = ('t1wasflair', 'flairast1w', 'otherhead', 'upsidedown')
#: Heads that are damaged: hyperintensities, ventricles, sulci.
DAMAGED_HEADS = ((10, 2, 0.6), (40, 5, 1.0))


def persons(heads: dict[str, tuple[float, float, float]], seed: int) -> list[Person]:
    """Declare participants."""
    return [
        Person(
            label=name,
            seed=seed + number,
            size=(0.92 + 0.004 * (number % 5),) * 3,
            states=(State(ventricles_mm=wide, atrophy=atrophy, disease=Disease(wmh_ml=wmh)),),
        )
        for number, (name, (wmh, wide, atrophy)) in enumerate(heads.items())
    ]


def damaged_heads() -> dict[str, tuple[float, float, float]]:
    """Name a head for each damage."""
    return {
        f'{name}{number}': head
        for name in (*DAMAGE, *SWAPS)
        for number, head in enumerate(DAMAGED_HEADS, start=1)
    }


def damage(raw: Path) -> None:
    """Damage the images that are to be damaged."""
    rng = np.random.default_rng(0)
    for label in damaged_heads():
        name, images = label[:-1], dict(_images(raw, label))
        if name in DAMAGE:
            suffix, change = DAMAGE[name]
            image = nib.load(images[suffix])
            straight = nib.as_closest_canonical(image)
            data = change(straight.get_fdata(), rng)
            nib.save(nib.Nifti1Image(data.astype(np.float32), straight.affine), images[suffix])
        elif name == 't1wasflair':
            images['FLAIR'].write_bytes(images['T1w'].read_bytes())
        elif name == 'flairast1w':
            images['T1w'].write_bytes(images['FLAIR'].read_bytes())
        elif name == 'otherhead':
            other = dict(_images(raw, f'noisy{3 - int(label[-1])}'))
            images['T1w'].write_bytes(other['T1w'].read_bytes())
        else:  # upside down: the header has feet for head
            image = nib.as_closest_canonical(nib.load(images['T1w']))
            data = np.asanyarray(image.dataobj)[:, :, ::-1].copy()
            nib.save(nib.Nifti1Image(data, image.affine), images['T1w'])


def _images(raw: Path, label: str) -> Iterator[tuple[str, Path]]:
    for path in sorted((raw / f'sub-{label}').rglob('*.nii.gz')):
        yield path.name.rsplit('_', 1)[1].removesuffix('.nii.gz'), path


def main() -> None:
    """Make what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('raw', type=Path)
    parser.add_argument('kinds', nargs='*', default=['sound', 'hard', 'damaged'])
    parser.add_argument('--seed', type=int, default=100)
    given = parser.parse_args()
    heads = {}
    for kind, made in (('sound', SOUND), ('hard', HARD), ('damaged', damaged_heads())):
        heads |= made if kind in given.kinds else {}
    preset = get_preset('tiny')
    scans = {name: preset.protocols[name] for name in ('T1w', 'FLAIR')}
    scans['T1w'] = replace(scans['T1w'], scan=replace(scans['T1w'].scan, voxel=(1.5, 1.5, 1.5)))
    make_phantom(
        given.raw,
        persons(heads, given.seed),
        replace(preset, protocols=scans),
        seed=given.seed,
        nprocs=1,
        progress=print,
    )
    if 'damaged' in given.kinds:
        damage(given.raw)


if __name__ == '__main__':
    main()
