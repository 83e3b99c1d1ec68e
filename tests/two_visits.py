"""Heads scanned twice, as files, and the rooms that bring the visits together."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
from builders import write_image
from scipy import ndimage as ndi
from scipy.spatial.transform import Rotation

from csvdprep.bids.tsv import read_tsv
from csvdprep.imaging.transforms import write_linear
from csvdprep.longitudinal.halfway.interfaces import RegisterFlair
from csvdprep.longitudinal.wmh_change.interfaces import WmhChange

SHAPE, MM = (44, 52, 40), 3.0


def points():
    index = np.stack(np.indices(SHAPE), axis=-1).astype(float)
    return (index - (np.array(SHAPE) - 1) / 2) * MM


def affine():
    out = np.diag([MM, MM, MM, 1.0])
    out[:3, 3] = -MM * (np.array(SHAPE) - 1) / 2
    return out


TEXTURE = ndi.gaussian_filter(np.random.default_rng(5).normal(size=(70, 70, 70)), 2.5) * 5


def head(matrix=None, lesion_mm=9.0, second_mm=0.0, seed=0, noise=0.03):
    """Return FLAIR, brain and lesion of a head that lies where a matrix takes it."""
    back = np.linalg.inv(np.eye(4) if matrix is None else matrix)
    at = points() @ back[:3, :3].T + back[:3, 3]
    away = np.sqrt(((at / [52, 64, 46]) ** 2).sum(axis=-1))
    brain = away < 1
    coarse = (at / MM + 35).transpose(3, 0, 1, 2)
    image = np.where(brain, 100 + 12 * ndi.map_coordinates(TEXTURE, coarse, order=1), 0)
    image += np.where((away >= 1) & (away < 1.12), 60, 0)
    lesion = np.zeros(SHAPE, bool)
    for middle, radius in (((20, 10, 5), lesion_mm), ((-22, -12, 2), second_mm)):
        lesion |= np.linalg.norm(at - middle, axis=-1) < radius
    image = ndi.gaussian_filter(image + 55 * lesion, 0.5)
    image *= 1 + noise * np.random.default_rng(seed).normal(size=SHAPE)
    return np.maximum(image, 0).astype(np.float32), brain, lesion


def moved(turn, shift):
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler('xyz', turn, degrees=True).as_matrix()
    matrix[:3, 3] = shift
    return matrix


def write_visits(folder, heads, matrices):
    """Leave what two visits have of a FLAIR that is the reference."""
    files = {}
    for number, (image, brain, lesion) in enumerate(heads, 1):
        own = folder / f'ses-{number}'
        sets = {
            'flair_preproc': (image, 'FLAIR'),
            'flair_mask': (brain.astype('uint8'), 'mask'),
            'wmh_mask': (lesion.astype('uint8'), 'mask'),
            'wm_probseg': (brain.astype('float32'), 'probseg'),
            'gm_probseg': (np.zeros(SHAPE, 'float32'), 'probseg'),
            'csf_probseg': (np.zeros(SHAPE, 'float32'), 'probseg'),
            'lobes_dseg': (brain.astype('uint8'), 'dseg'),
        }
        for name, (data, suffix) in sets.items():
            path = write_image(own / f'{name}_{suffix}.nii.gz', data, affine=affine())
            files.setdefault(name, {})[f'ses-{number}'] = str(path)
        way = write_linear(np.eye(4), own / 'xfm.txt')
        files.setdefault('flair_to_anat', {})[f'ses-{number}'] = str(way)
    return files


def run_rooms(files, folder, visits, monkeypatch):
    folder.mkdir()
    monkeypatch.chdir(folder)
    measures = {'visits': [{'session': s, 'years': y, 'table': ''} for s, y in visits]}
    each = {f'each_{name}': {'visits': paths} for name, paths in files.items()}
    register = RegisterFlair(
        measures=measures,
        protocols={'visits': {}},
        each_flair_preproc=each['each_flair_preproc'],
        each_flair_mask=each['each_flair_mask'],
    ).run(cwd=str(folder))
    given = {
        n: getattr(register.outputs, n)
        for n in ('halfway_flair', 'halfway_flair_poses', 'halfway_flair_error')
    }
    options = {
        'least_z': 1.5,
        'least_mean_z': 2.5,
        'least_mm3': 10.0,
        'rescans': 1,
        'retest_sd_ml': 0.0,
    }
    del each['each_flair_preproc']
    change = WmhChange(measures=measures, options=options, **given, **each).run(cwd=str(folder))
    labels = np.asanyarray(nib.load(change.outputs.wmh_change_dseg).dataobj)
    values = json.loads(Path(change.outputs.wmh_change_values).read_text())
    rows = read_tsv(change.outputs.wmh_change_list).rows
    return labels, {name: item['value'] for name, item in values.items()}, rows, register.outputs
