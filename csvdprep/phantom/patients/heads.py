"""The brain of a head on a grid that ends where it ends."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from csvdprep.phantom.geometry.fields import pull
from csvdprep.phantom.head.anatomy import Anatomy


def brain_only(anatomy: Anatomy) -> Anatomy:
    """Leave out all that is not brain or fluid.

    Parameters
    ----------
    anatomy : Anatomy
        A head.

    Returns
    -------
    Anatomy
        Its fractions of gm, wm and csf, on the part of the grid that holds them.

    Examples
    --------
    >>> from csvdprep.phantom.head.anatomy import make_anatomy
    >>> whole = make_anatomy(1, spacing=4)
    >>> brain = brain_only(whole)
    >>> abs(brain.volume_ml('gm') - whole.volume_ml('gm')) < 1
    True
    >>> point = np.array([[20.0, -10, 5]])
    >>> bool(np.abs(brain.to_template(point) - whole.to_template(point)).max() < 0.1)
    True
    """
    box = anatomy.brain_box()
    affine = anatomy.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [edge.start for edge in box]
    shape = np.array([edge.stop - edge.start for edge in box])
    steps = np.diag(affine)[:3]
    coarse = np.maximum(np.round(shape * steps / np.diag(anatomy.flow_affine)[:3]), 4).astype(int)
    lines = [affine[i, 3] + np.linspace(0, (shape[i] - 1) * steps[i], coarse[i]) for i in range(3)]
    at = np.stack(np.meshgrid(*lines, indexing='ij'))
    return replace(
        anatomy,
        affine=affine,
        structures=anatomy.structures[box],
        fractions={name: anatomy.fractions[name][box] for name in ('gm', 'wm', 'csf')},
        regions={name: part[box] for name, part in anatomy.regions.items()},
        flow=np.stack([pull(part, anatomy.flow_affine, at) for part in anatomy.flow]),
    )
