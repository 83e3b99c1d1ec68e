"""Build label maps of the cortex of several real people, in the space of the template.

    csvdprep BIDS_DIR DERIVATIVES participant --markers atrophy     # visits with a T1w
    python scripts/build_gyri.py STEM [STEM ...]     # .../sub-01/anat/sub-01, one a person
    python scripts/build_gyri.py STEM [STEM ...] --check            # builds and compares checksums
    python scripts/build_gyri.py STEM [STEM ...] --picture      # also docs/img/templates_gyri.png

Registration to the template leaves each cortex its own folds; the phantom bends them like its own.
Tissue is that of the visit; grey matter where the template has next to none, as lesions cause it,
is white matter.
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
from csvdprep.resources import template_file
from csvdprep.science.normalise import smooth

FOLDER = ROOT / 'data' / 'templates' / 'tpl-MNI152NLin2009aSym'
NAME = 'tpl-MNI152NLin2009aSym_res-01_atlas-gyri_desc-{}_dseg'
#: Share of grey matter in the tissue of the template within 2 mm below which grey matter is not
#: believed.
BELIEVED = 0.25
LJUBLJANA = (
    'Longitudinal MR image database of multiple sclerosis patients, Laboratory of Imaging '
    'Technologies, Ljubljana; Lesjak Z et al. 2016, doi:10.1007/s12021-016-9301-1; patient '
)
VOLUNTEER = 'T1w of a volunteer, https://github.com/neurolabusc/'
#: Where each person is from, and the licence, in the order in which they are given.
SOURCES = (
    (VOLUNTEER + 'dcm_qa_uih (images by S. C. Young)', 'BSD-2-Clause'),
    (VOLUNTEER + 'dcm_qa_xa30 (H. Cheng, I. Innis, D. Levitas)', 'BSD-2-Clause'),
    *[(LJUBLJANA + number, 'CC-BY 4.0') for number in ('03', '04', '12', '19')],
)
DESCRIPTION = "Tissue of one person, registered to the template: folds are the person's own"
TABLE = """\
index\tname\tabbreviation\tcolor
1\tcerebrospinal fluid\tCSF\t#4c72b0
2\tgrey matter\tGM\t#937860
3\twhite matter\tWM\t#dddddd
"""


def labels(stem: str) -> nib.Nifti1Image:
    """Return tissue of a person on the template: 1 CSF, 2 GM, 3 WM."""
    found = list(Path(stem).parent.glob(f'{Path(stem).name}_from-T1w_to-MNI*_xfm.h5'))
    if len(found) != 1:
        raise SystemExit(f'{stem}: one transform to the template is needed, found {len(found)}.')
    like = nib.load(template_file('probseg', label='WM'))
    grey, white = (
        nib.load(template_file('probseg', label=name)).get_fdata(dtype=np.float32)
        for name in ('GM', 'WM')
    )
    csf, gm, wm = (
        apply_transform(
            nib.load(f'{stem}_label-{name}_probseg.nii.gz'), like, [str(found[0])]
        ).get_fdata(dtype=np.float32)
        for name in ('CSF', 'GM', 'WM')
    )
    near = [smooth(part, (1, 1, 1), 2.0) for part in (grey, white)]
    strange = near[0] < BELIEVED * (near[0] + near[1])
    wm, gm = np.where(strange, wm + gm, wm), np.where(strange, 0, gm)
    seen = csf + gm + wm > 0.5
    best = (1 + np.argmax(np.stack([csf, gm, wm]), axis=0)) * seen
    image = nib.Nifti1Image(best.astype(np.uint8), like.affine)
    image.header.set_xyzt_units('mm')
    image.set_sform(like.affine, 4)
    image.set_qform(like.affine, 4)
    return image


def main() -> None:
    """Build, and write or compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('stems', nargs='+')
    parser.add_argument('--check', action='store_true')
    parser.add_argument('--picture', action='store_true')
    given = parser.parse_args()
    sums_file = FOLDER.parent / 'checksums.json'
    sums = json.loads(sums_file.read_text('utf-8'))
    made = {}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) if given.check else FOLDER
        for number, stem in enumerate(given.stems, 1):
            name = NAME.format(f'person{number}')
            nib.save(labels(stem), place / f'{name}.nii.gz')
            source, licence = SOURCES[number - 1]
            (place / f'{name}.json').write_text(
                json.dumps(
                    {
                        'Name': f'csvdprep gyri, person {number}',
                        'Description': DESCRIPTION,
                        'License': licence,
                        'Sources': [source],
                        'SpatialReference': 'tpl-MNI152NLin2009aSym_res-01_desc-brain_T1w.nii.gz',
                    },
                    indent=2,
                )
                + '\n',
                'utf-8',
            )
            (place / f'{name}.tsv').write_text(TABLE, 'utf-8')
            made |= {
                f'{FOLDER.name}/{name}{end}': digest(place / f'{name}{end}')
                for end in ('.json', '.nii.gz', '.tsv')
            }
    if given.check:
        differ = [name for name, value in made.items() if sums.get(name) != value]
        raise SystemExit(f'differ: {", ".join(differ)}' if differ else 0)
    sums_file.write_text(json.dumps(dict(sorted((sums | made).items())), indent=2) + '\n', 'utf-8')
    if given.picture:
        picture(len(given.stems))


def picture(count: int) -> None:
    """Draw three levels of each."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(3, count, figsize=(2 * count, 6.6), layout='constrained')
    for column, number in zip(axes.T, range(1, count + 1), strict=True):
        image = nib.load(FOLDER / f'{NAME.format(f"person{number}")}.nii.gz')
        for axis, mm in zip(column, (4, 24, 46), strict=True):
            level = round(mm - image.affine[2, 3])
            axis.imshow(np.asarray(image.dataobj)[..., level].T, origin='lower', cmap='gray')
            axis.axis('off')
        column[0].set_title(f'person {number}', fontsize=8)
    figure.savefig(ROOT / 'docs' / 'img' / 'templates_gyri.png', dpi=70)


if __name__ == '__main__':
    main()
