"""What the detection takes, gathered from files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np

from csvdprep.interfaces.atlas import label_names, labels_of
from csvdprep.interfaces.dwispace import DwiSpace
from csvdprep.interfaces.images import load
from csvdprep.interfaces.points import map_points
from csvdprep.interfaces.transforms import read_linear

#: Where bone holds air, template (MNI, RAS+ mm): centre and radius of its influence. Sphenoid
#: and frontal sinus, both mastoids, both petrous bones.
AIR = (
    ((0.0, 42.0, -28.0), 22.0),
    ((0.0, 66.0, -14.0), 16.0),
    ((-14.0, 20.0, -34.0), 18.0),
    ((14.0, 20.0, -34.0), 18.0),
    ((-58.0, -36.0, -32.0), 20.0),
    ((58.0, -36.0, -32.0), 20.0),
    ((-38.0, -20.0, -36.0), 16.0),
    ((38.0, -20.0, -36.0), 16.0),
)


@dataclass(frozen=True, eq=False)
class TraceSpace:
    """The grid of a trace image and the ways to the anatomical reference and the template.

    Attributes
    ----------
    image : nibabel image
        The trace image.
    brain : ndarray of bool
        Its brain.
    to_anat : ndarray, shape (4, 4)
        World of the trace image to world of the reference, RAS+ mm.
    in_template : ndarray, shape (n, 3)
        Template position (mm) of each voxel of the brain, in the order of ``np.nonzero``.
    mirror : ndarray, shape (3, n)
        Voxel coordinates of the mirror image of each of them.
    """

    image: Any
    brain: np.ndarray
    to_anat: np.ndarray
    in_template: np.ndarray
    mirror: np.ndarray

    @classmethod
    def read(
        cls, trace: str, mask: str, trace_to_anat: str, mni_to_anat: str, anat_to_mni: str
    ) -> TraceSpace:
        """Read from files; transforms resample what their name begins with."""
        image = load(trace)
        brain = np.asanyarray(load(mask).dataobj) > 0
        to_anat = np.linalg.inv(read_linear(trace_to_anat))
        there = to_anat @ image.affine
        points = nib.affines.apply_affine(there, np.argwhere(brain))
        template = map_points(points, mni_to_anat)
        back = map_points(template * [-1, 1, 1], anat_to_mni)
        mirror = nib.affines.apply_affine(np.linalg.inv(there), back).T
        return cls(image, brain, to_anat, template, mirror)

    def to_template(self, mni_to_anat: str):
        """Return a function that takes positions of the trace image to the template, mm."""
        return lambda points: map_points(
            nib.affines.apply_affine(self.to_anat, points), mni_to_anat
        )

    def near_air(self) -> np.ndarray:
        """Return how near each voxel is to air-filled bone: 1 beside it, 0 far from it."""
        found = np.zeros(self.brain.shape, np.float32)
        near = np.zeros(len(self.in_template))
        for centre, radius in AIR:
            away = np.linalg.norm(self.in_template - np.array(centre), axis=1)
            near = np.maximum(near, np.exp(-0.5 * (away / radius) ** 2))
        found[self.brain] = near
        return found


def shares(space: TraceSpace, gm: str, csf: str, structures: str) -> dict[str, np.ndarray]:
    """Bring fluid, cortex and cerebellum to the grid of the trace image.

    Parameters
    ----------
    space : TraceSpace
        Where to.
    gm, csf, structures : str
        Probabilities and structures, on the reference.

    Returns
    -------
    dict of str to ndarray of float32
        ``fluid``, ``cortex`` and ``cerebellum``: share of each voxel. Cortex is grey matter
        outside of all structures.
    """
    world = DwiSpace(space.image, space.to_anat)
    names = [n for n in label_names('structures').values() if 'cerebell' in n]
    others = list(label_names('structures'))
    grey, inner = world.share(gm), world.share(structures, labels=others)
    return {
        'fluid': world.share(csf),
        'cortex': np.clip(grey * (1 - inner), 0, 1).astype(np.float32),
        'cerebellum': world.share(structures, labels=labels_of('structures', *names)),
    }
