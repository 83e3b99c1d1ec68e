"""What diffusion rooms share: what the voxels of a series hold, and how free water was had."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from csvdprep.imaging.frame import ImageFrame
from csvdprep.imaging.images import load
from csvdprep.interfaces.values import Value

#: Share of tissue from which a voxel counts as pure.
PURE = 0.9
#: Share of fluid above which a voxel does not count as tissue.
FLUID = 0.05


@dataclass(frozen=True, eq=False)
class Cerebrum:
    """What the voxels of the series hold, by the anatomy.

    Parameters
    ----------
    space : ImageFrame
        Grid of the series.
    brain : ndarray of bool
        Brain in the series.
    white, fluid, others : ndarray of float32
        Share of each voxel that is white matter, CSF, and deep grey matter, brainstem or
        cerebellum.
    """

    space: ImageFrame
    brain: np.ndarray
    white: np.ndarray
    fluid: np.ndarray
    others: np.ndarray

    @classmethod
    def read(
        cls,
        space: ImageFrame,
        *,
        wm_probseg: str,
        csf_probseg: str,
        structures_dseg: str,
        dwi_mask: str,
    ) -> Cerebrum:
        """Read from files: probabilities and structures on the reference, brain of the series."""
        structures = np.asanyarray(load(structures_dseg).dataobj)
        labels = np.unique(structures[structures > 0])
        return cls(
            space,
            np.asanyarray(load(dwi_mask).dataobj) > 0,
            space.share(wm_probseg),
            space.share(csf_probseg),
            space.share(structures_dseg, labels=labels),
        )

    @property
    def tissue(self) -> np.ndarray:
        """Voxels of the cerebrum with next to no fluid and no other structure."""
        return self.brain & (self.fluid <= FLUID) & (self.others <= FLUID)

    @property
    def white_matter(self) -> np.ndarray:
        """Pure white matter of the cerebrum, hyperintense or not."""
        return self.tissue & (self.white >= PURE)


#: What the values of free water of one shell are.
ONE_SHELL = (
    'one shell does not determine free water: the mean diffusivity of tissue is assumed, '
    'so that this is a contrast and no measured fraction'
)


def as_free_water(value: Value, how: str) -> Value:
    """Say of a value of free water how it was had.

    Parameters
    ----------
    value : Value
        Mean, slope, ...
    how : str
        ``fw_method`` of the visit.

    Returns
    -------
    Value
        With it as its method and, where it rests on an assumption, a remark that says so.

    Examples
    --------
    >>> as_free_water(Value(0.2), 'two-compartment').method
    'two-compartment'
    >>> as_free_water(Value(0.2), 'single-shell-assumed-md').reason[:39]
    'one shell does not determine free water'
    """
    if value.value is None:
        return value
    said = [value.reason, ONE_SHELL if how.startswith('single-shell') else '']
    return replace(value, method=how, reason='; '.join(part for part in said if part))
