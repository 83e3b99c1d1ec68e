"""What the detection takes, gathered from files."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from csvdprep.imaging.atlas import label_names, labels_of
from csvdprep.imaging.frame import ImageFrame
from csvdprep.imaging.images import load

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
class TraceScan:
    """The frame of a trace image, its brain, and the place of each voxel.

    Attributes
    ----------
    frame : ImageFrame
        Grid of the trace image, and the way to the anatomical reference.
    brain : ndarray of bool
        Its brain.
    in_template : ndarray, shape (n, 3)
        Template position (mm) of each voxel of the brain, in the order of ``np.nonzero``.
    mirror : ndarray, shape (3, n)
        Voxel coordinates of the mirror image of each of them.
    """

    frame: ImageFrame
    brain: np.ndarray
    in_template: np.ndarray
    mirror: np.ndarray

    @classmethod
    def read(
        cls,
        trace: str,
        mask: str,
        trace_to_anat: str,
        mni_to_anat: str,
        anat_to_mni: str,
        flair_to_anat: str | None = None,
    ) -> TraceScan:
        """Read from files; transforms resample what their name begins with."""
        frame = ImageFrame.read(trace, trace_to_anat, {'flair': flair_to_anat})
        brain = np.asanyarray(load(mask).dataobj) > 0
        return cls(frame, brain, *frame.mirrored(brain, mni_to_anat, anat_to_mni))

    def near_air(self) -> np.ndarray:
        """Return how near each voxel is to air-filled bone: 1 beside it, 0 far from it."""
        found = np.zeros(self.brain.shape, np.float32)
        near = np.zeros(len(self.in_template))
        for centre, radius in AIR:
            away = np.linalg.norm(self.in_template - np.array(centre), axis=1)
            near = np.maximum(near, np.exp(-0.5 * (away / radius) ** 2))
        found[self.brain] = near
        return found


def nonzero_labels(mask: str) -> list[float]:
    """Return the values of a mask other than 0."""
    values = np.unique(np.nan_to_num(np.asanyarray(load(mask).dataobj)))
    return [value for value in values.tolist() if value]


def shares(frame: ImageFrame, gm: str, csf: str, structures: str) -> dict[str, np.ndarray]:
    """Bring fluid, cortex and cerebellum to the grid of the trace image.

    Parameters
    ----------
    frame : ImageFrame
        Where to.
    gm, csf, structures : str
        Probabilities and structures, on the reference.

    Returns
    -------
    dict of str to ndarray of float32
        ``fluid``, ``cortex`` and ``cerebellum``: share of each voxel. Cortex is grey matter
        outside of all structures.
    """
    names = [n for n in label_names('structures').values() if 'cerebell' in n]
    others = list(label_names('structures'))
    grey, inner = frame.share(gm), frame.share(structures, labels=others)
    return {
        'fluid': frame.share(csf),
        'cortex': np.clip(grey * (1 - inner), 0, 1).astype(np.float32),
        'cerebellum': frame.share(structures, labels=labels_of('structures', *names)),
    }
