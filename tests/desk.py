"""A small output folder for the reviewing desk."""

import json

import numpy as np
from builders import write_image

from csvdprep.imaging.transforms import write_linear
from csvdprep.interfaces.lists import draw_numbered
from csvdprep.report.pages import environment

COLUMNS = 'index volume_mm3 x y z x_mni y_mni z_mni region kind status probability side lobe'
HEAD = '\t'.join(COLUMNS.split()) + '\n'
#: Stored left to right reversed and upside down, 2 mm.
AFFINE = np.array([[-2.0, 0, 0, 22], [0, 2, 0, -24], [0, 0, -2, 20], [0, 0, 0, 1]])
SHAPE = (24, 26, 22)
#: Centres of the candidates, and what the list says of them.
SPOTS = (
    ((6.0, 4.0, 2.0), 'lobar', 'definite', 0.9),
    ((-8.0, 2.0, 4.0), 'deep', 'possible', 0.5),
    ((4.0, -10.0, -6.0), 'lobar', 'possible', 0.3),
)
HOSTILE = '<img src=x onerror=window.hacked=1>"\'</script><script>window.hacked=1</script>'


def write_output(out, subject='01', *, region=''):
    """Write what the desk reads of one visit: images, a mask, a list, a status, a report."""
    label = f'sub-{subject}_ses-1'
    folder = out / f'sub-{subject}' / 'ses-1'
    anat = folder / 'anat'
    rng = np.random.default_rng(0)
    ball = np.indices(SHAPE) - (np.array(SHAPE)[:, None, None, None] - 1) / 2
    inside = (ball**2).sum(axis=0) < 110
    data = (inside * 100 + rng.normal(0, 4, SHAPE) * inside).astype(np.float32)
    mask, numbers, rows = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8), []
    inverse = np.linalg.inv(AFFINE)
    for number, (place, where, status, sure) in enumerate(SPOTS, start=1):
        voxel = np.rint(inverse @ [*place, 1])[:3].astype(int)
        data[tuple(voxel)] = 10
        numbers[tuple(voxel)] = number
        if status == 'definite':
            mask[tuple(voxel)] = 1
        cells = [
            number,
            8,
            *place,
            *place,
            region or where,
            'spot',
            status,
            sure,
            'left',
            'left lobe',
        ]
        rows.append('\t'.join(map(str, cells)))
    write_image(anat / f'{label}_desc-preproc_T1w.nii.gz', data, affine=AFFINE)
    write_image(anat / f'{label}_desc-preproc_T2starw.nii.gz', data, affine=AFFINE)
    write_image(anat / f'{label}_space-T2starw_label-CMB_mask.nii.gz', mask, affine=AFFINE)
    write_image(anat / f'{label}_numbers.nii.gz', numbers, affine=AFFINE)
    write_image(anat / f'{label}_dseg.nii.gz', inside.astype(np.uint8), affine=AFFINE)
    shift = np.eye(4)
    shift[:3, 3] = -1, 0, 3
    write_linear(shift, anat / f'{label}_from-T2starw_to-T1w_mode-image_xfm.txt')
    (anat / f'{label}_label-CMB_lesions.tsv').write_text(HEAD + '\n'.join(rows) + '\n')
    sidecar = {'Description': 'Candidates.', 'x': {'Description': 'Centre.', 'Units': 'mm'}}
    (anat / f'{label}_label-CMB_lesions.json').write_text(json.dumps(sidecar))
    (folder / 'log').mkdir()
    status = {
        'visit': label,
        'run_id': 'run',
        'state': 'ok',
        'version': '0.1.0',
        'key': 'a' * 64,
        'verdict': 'check',
        'remarks': [['warn', f'Noise is high. {region}']],
    }
    (folder / 'log' / 'status.json').write_text(json.dumps(status))
    (folder / f'{label}_desc-csvdlong_measures.tsv').write_text(
        'participant_id\tsession_id\tmeasure\tvalue\n'
        f'sub-{subject}\tses-1\tcmb_n\t1\nsub-{subject}\tses-1\tfazekas_pv\t2\n'
    )
    (folder / 'figures').mkdir()
    (folder / 'figures' / f'{label}_desc-wmh_FLAIR.svg').write_text('<svg/>')
    gallery = f'sub-{subject}/ses-1/figures/{label}_desc-cmb_T2starw.svg'
    draw_numbered(
        out / gallery,
        anat / f'{label}_desc-preproc_T2starw.nii.gz',
        anat / f'{label}_numbers.nii.gz',
        anat / f'{label}_label-CMB_lesions.tsv',
        label='CMB',
    )
    (anat / f'{label}_numbers.nii.gz').unlink()
    listed = environment().get_template('lesions.html')
    page = listed.render(
        lists='Microbleeds',
        names=['index', 'region'],
        numbers=['index'],
        about={},
        rows=[{'index': n, 'region': spot[1]} for n, spot in enumerate(SPOTS, start=1)],
        total=len(SPOTS),
        what='candidates',
        label='CMB',
        visit=label,
        none='',
        href='x',
        file='x',
        pictures={f'CMB-{n}': f'./{gallery}#lesion-CMB-{n}' for n in (1, 2)},
    )
    page = f'<html lang="en"><body class="x">{page}</body></html>'
    (out / f'{label}.html').write_text(page)
    return out
