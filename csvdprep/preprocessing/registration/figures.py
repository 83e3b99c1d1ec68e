"""Look at the alignment of the anatomical reference with the template."""

from __future__ import annotations

from collections.abc import Callable

import h5py
import numpy as np
from scipy import ndimage

from csvdprep.imaging.drawing import COLOURS, Layer, draw_mosaic
from csvdprep.imaging.slices import Cut, Volume, extent, load_volume, spread, window
from csvdprep.imaging.transforms import LPS
from csvdprep.resources import resource


def draw_registration(
    *, out_file: str, anat_filled: str, anat_to_mni: str, brain_mask: str
) -> None:
    """Flicker between the template and the anatomical reference warped onto it.

    Parameters
    ----------
    out_file : str
        SVG to write.
    anat_filled : str
        Anatomical reference.
    anat_to_mni : str
        Transform (ITK) that resamples it into the template.
    brain_mask : str
        Mask of the reference: only what lies inside is shown, as the template is a bare brain.

    """
    template = load_volume(resource('template'))
    brain = load_volume(resource('template_mask'), template, order=0).data > 0
    cuts = [*spread(brain, 2, 12), *spread(brain, 1, 6)]
    warped = _warped(anat_filled, brain_mask, anat_to_mni, template, cuts)
    white = load_volume(resource('template_wm'), template).data > 0.5
    outlines = [(brain, COLOURS['orange']), (white, COLOURS['sky'])]
    layers = [
        Layer(template, window(template), outlines=outlines, name='Template', stroke=1.1),
        Layer(warped, window(warped), outlines=outlines, name='Participant, aligned', stroke=1.1),
    ]
    draw_mosaic(
        out_file,
        layers,
        cuts,
        box=extent(brain, template.zooms, 10.0),
        columns=6,
        legend={
            'Brain of the template': COLOURS['orange'],
            'White matter of the template': COLOURS['sky'],
        },
    )


def _warped(image: str, mask: str, transform: str, template: Volume, cuts: list[Cut]) -> Volume:
    """Resample what lies within the mask onto the slices of the template that are shown.

    ANTs would do it as well, but takes longer to be imported than all figures to be drawn.
    """
    moving = load_volume(image)
    bare = np.where(load_volume(mask, moving, order=0).data > 0, moving.data, 0)
    back = np.linalg.inv(moving.affine)
    steps = _steps(transform)
    data = np.zeros(template.data.shape, np.float32)
    for cut in cuts:
        where = [slice(0, n) for n in data.shape]
        where[cut.axis] = slice(cut.index, cut.index + 1)
        voxels = np.mgrid[tuple(where)]
        points = _apply(LPS @ template.affine, voxels.reshape(3, -1))
        for step in steps:
            points = step(points)
        data[tuple(where)] = ndimage.map_coordinates(
            bare, _apply(back @ LPS, points), order=1
        ).reshape(voxels.shape[1:])
    return Volume(data, template.affine)


def _steps(path: str) -> list[Callable[[np.ndarray], np.ndarray]]:
    """Read an ITK composite transform as functions of points (3, n), LPS mm, first one first."""
    with h5py.File(path) as file:
        group = file['TransformGroup']
        parts = [
            tuple(group[key][f'Transform{what}'][()] for what in ('FixedParameters', 'Parameters'))
            for key in sorted(group, key=int, reverse=True)
            if 'TransformParameters' in group[key]
        ]
    return [_linear(*part) if len(part[1]) == 12 else _field(*part) for part in parts]


def _linear(fixed: np.ndarray, parameters: np.ndarray):
    matrix, centre = np.eye(4), np.asarray(fixed, float)[:3]
    matrix[:3, :3] = np.reshape(parameters[:9], (3, 3))
    matrix[:3, 3] = parameters[9:] + centre - matrix[:3, :3] @ centre
    return lambda points: _apply(matrix, points)


def _field(fixed: np.ndarray, parameters: np.ndarray):
    size = fixed[:3].astype(int)
    affine = np.eye(4)
    affine[:3, :3] = fixed[9:18].reshape(3, 3) * fixed[6:9]
    affine[:3, 3] = fixed[3:6]
    shifts = np.reshape(parameters, (*size[::-1], 3)).transpose(3, 2, 1, 0)
    back = np.linalg.inv(affine)

    def move(points: np.ndarray) -> np.ndarray:
        at = _apply(back, points)
        return points + np.array([ndimage.map_coordinates(shift, at, order=1) for shift in shifts])

    return move


def _apply(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    return matrix[:3, :3] @ points + matrix[:3, 3:]
