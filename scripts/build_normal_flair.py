"""Build the map of how bright healthy white matter is on FLAIR, from scans of patients.

    csvdprep BIDS_DIR DERIVATIVES participant --keep-workdir
    python scripts/build_normal_flair.py DERIVATIVES            # writes it beside the templates
    python scripts/build_normal_flair.py DERIVATIVES --check    # builds it and compares checksums
    python scripts/build_normal_flair.py DERIVATIVES --picture  # also docs/img/templates_flair.png

White matter is brighter than elsewhere around the posterior horns and in the pyramidal tract, in
everybody. The map is the median over persons and their mirror images of brightness over the level
of white matter, lesions left out, smoothed by 3 mm. The one shipped stands on the ten FLAIR images
(six persons, 3 to 4 mm slices) of the longitudinal data of the Laboratory of Imaging Technologies,
Ljubljana (CC-BY; Lesjak et al. 2016, doi:10.1007/s12021-016-9301-1).
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
from build_templates import ROOT, digest

from csvdprep.imaging.ants import apply_transform
from csvdprep.markers.wmh.inputs import read_derivatives, visits_of
from csvdprep.markers.wmh.science.model import excess_over_normal
from csvdprep.resources import template_file
from csvdprep.science.normalise import smooth

NAME = 'tpl-MNI152NLin2009aSym_res-02_desc-normalwhite_FLAIR'
FOLDER = ROOT / 'data' / 'templates' / 'tpl-MNI152NLin2009aSym'
#: Smoothing, mm; registration is not better.
SMOOTH_MM = 3.0
#: Brighter than this is lesion, darker is partial volume: both take no part.
LESION, DARK = 0.45, -0.25
#: Least share of white matter.
PURE = 0.9
#: Steps of the stored values, and the largest: more is disease.
STEP, MOST = 0.002, 0.3
SIDECAR = {
    'Description': 'Brightness of healthy white matter on FLAIR above its level, as a share of '
    'the level; median of six persons (ten scans) and their mirror images, '
    'negative values set to 0',
    'Units': '1',
    'SpatialReference': 'tpl-MNI152NLin2009aSym_res-02_desc-brain_T1w.nii.gz',
    'License': 'CC-BY 4.0',
    'Attribution': 'Derived from the longitudinal MR image database of multiple sclerosis '
    'patients, Laboratory of Imaging Technologies, Ljubljana. Lesjak Z, Pernus F, '
    'Likar B, Spiclin Z. Neuroinformatics 2016, doi:10.1007/s12021-016-9301-1',
}


def scans(derivatives: Path) -> dict[str, list[str]]:
    """Return the stems of the files of each scan, by participant."""
    found: dict[str, list[str]] = {}
    for stem in visits_of(derivatives):
        found.setdefault(Path(stem).name.split('_')[0], []).append(stem)
    return found


def brightness(stem: str, like) -> tuple[np.ndarray, np.ndarray]:
    """Return brightness times weight, and weight, of normal white matter in the template."""
    with tempfile.TemporaryDirectory() as folder:
        space, takes, back = read_derivatives(stem, Path(folder))
    found = excess_over_normal(
        *(takes[name] for name in ('flair', 'mask', 'csf', 'gm', 'wm', 'voxel_mm')),
        atlas=takes['atlas'],
    )
    above = found.normal.image / found.normal.white - 1
    weight = ((found.white > PURE) & found.tissue & (above > DARK)).astype(np.float32)

    def there(values):
        image = nib.Nifti1Image(values.astype(np.float32), space.image.affine)
        return apply_transform(image, like, back).get_fdata(dtype=np.float32)

    return there(above * weight), there(weight)


def build(derivatives: Path) -> nib.Nifti1Image:
    """Return the map."""
    like = nib.load(template_file('probseg', label='WM', resolution=2))
    step_mm = nib.affines.voxel_sizes(like.affine)
    maps = []
    for person, stems in scans(derivatives).items():
        print(person, len(stems))
        both = [brightness(stem, like) for stem in stems]
        sure = [(w > 0.3) & (v < LESION * np.maximum(w, 1e-3)) for v, w in both]
        value, weight = (
            np.sum([pair[k] * ok for pair, ok in zip(both, sure, strict=True)], 0) for k in (0, 1)
        )
        for mirror in (slice(None), slice(None, None, -1)):
            v, w = (smooth(part[mirror], step_mm, SMOOTH_MM) for part in (value, weight))
            maps.append(np.where(w > 0.05, v / np.maximum(w, 1e-3), np.nan))
    seen = np.isfinite(maps).any(0)
    middle = np.nanmedian(np.where(seen, maps, 0), axis=0)
    middle = (middle + middle[::-1]) / 2
    stored = np.rint(np.clip(middle, 0, MOST) / STEP).astype(np.uint8)
    image = nib.Nifti1Image(stored, like.affine)
    image.header.set_slope_inter(STEP, 0)
    image.header.set_xyzt_units('mm')
    image.set_sform(like.affine, 4)
    image.set_qform(like.affine, 4)
    return image


def main() -> None:
    """Build, and write or compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('derivatives', type=Path)
    parser.add_argument('--check', action='store_true')
    parser.add_argument('--picture', action='store_true')
    given = parser.parse_args()
    sums_file = FOLDER.parent / 'checksums.json'
    sums = json.loads(sums_file.read_text('utf-8'))
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) if given.check else FOLDER
        nib.save(build(given.derivatives), place / f'{NAME}.nii.gz')
        (place / f'{NAME}.json').write_text(json.dumps(SIDECAR, indent=2) + '\n', 'utf-8')
        made = {
            f'{FOLDER.name}/{NAME}{end}': digest(place / f'{NAME}{end}')
            for end in ('.json', '.nii.gz')
        }
    if given.check:
        differ = [name for name, value in made.items() if sums.get(name) != value]
        raise SystemExit(f'differ: {", ".join(differ)}' if differ else 0)
    sums_file.write_text(json.dumps(dict(sorted((sums | made).items())), indent=2) + '\n', 'utf-8')
    if given.picture:
        picture()


def picture() -> None:
    """Draw the map over the white matter of the template."""
    import matplotlib.pyplot as plt

    values = nib.load(FOLDER / f'{NAME}.nii.gz')
    white = nib.load(template_file('probseg', label='WM', resolution=2)).get_fdata()
    shown = np.where(white > 0.4, values.get_fdata(), np.nan)
    figure, axes = plt.subplots(1, 7, figsize=(14, 2.6), layout='constrained')
    for axis, mm in zip(axes, (-6, 2, 10, 18, 26, 34, 44), strict=True):
        level = round((mm - values.affine[2, 3]) / values.affine[2, 2])
        axis.imshow(white[..., level].T, origin='lower', cmap='gray')
        drawn = axis.imshow(shown[..., level].T, origin='lower', cmap='viridis', vmin=0, vmax=0.2)
        axis.set_title(f'z = {mm} mm', fontsize=8)
        axis.axis('off')
    figure.colorbar(drawn, ax=axes, label='above the level')
    figure.savefig(ROOT / 'docs' / 'img' / 'templates_flair.png', dpi=90)


if __name__ == '__main__':
    main()
