"""What engines are given, and what they give."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Smallest lesion, mm3, in images of near-cubic voxels and of thick slices.
LEAST_MM3, LEAST_MM3_THICK = 5.0, 10.0
#: Ratio of slice thickness to in-plane voxel size above which slices are thick.
THICK = 2.0


@dataclass(frozen=True)
class WmhOptions:
    """Settings; contrast is excess as a share of the level of normal white matter.

    Parameters
    ----------
    engine : {'auto', 'both', 'network', 'classical'}
        What makes the mask; auto: both where the network has seen such slices, else the classical
        engine.
    network_cut, both_cut : float
        Probability of the network, and mean of it and the map of the classical engine, from which
        a voxel is a lesion.
    seed_contrast : float
        Least contrast of the brightest part of a lesion with a T1w.
    seed_contrast_flair_only : float
        The same without a T1w, where tissue is less well known.
    border_contrast : float
        Least contrast at the border of a lesion.
    seed_noise, border_noise : float
        Neither is below this many SD of what noise leaves after denoising.
    above_grey : float
        Contrast above that of grey matter that a seed needs where grey matter is in reach.
    peak_share : float
        Least contrast at the border of a lesion, as a share of the height of the lesion nearby.
    runs : int
        Jittered runs for the range of the volume.
    random_seed : int
        Of the jitter.

    """

    engine: str = 'auto'
    network_cut: float = 0.5
    both_cut: float = 0.5
    seed_contrast: float = 0.20
    seed_contrast_flair_only: float = 0.25
    border_contrast: float = 0.12
    seed_noise: float = 5.0
    border_noise: float = 4.0
    above_grey: float = 0.20
    peak_share: float = 0.5
    runs: int = 20
    random_seed: int = 42

    def chosen(self, has_network: bool) -> str:
        """Return the engine whose mask counts."""
        if self.engine == 'classical' or not has_network:
            return 'classical'
        return 'network' if self.engine == 'network' else 'both'


@dataclass(frozen=True, kw_only=True)
class Head:
    """A head on the grid of the FLAIR, cut to the brain; arrays are (I, J, K).

    Parameters
    ----------
    brain : ndarray of bool
        Brain.
    wm : ndarray of float32
        Probability of white matter as classified.
    atlas : ndarray of float32, shape (3, I, J, K), optional
        CSF, GM and WM of the warped template.
    ventricles : ndarray of uint8, optional
        Lateral ventricles, 1 left and 2 right.
    deep, low, exclude, apex : ndarray of bool, optional
        Deep grey matter; brainstem and cerebellum; lesions of another kind; top of the head.
    voxel_mm : ndarray, shape (3,)
        Voxel size, mm.
    has_t1w : bool
        Whether tissue stands on a T1w.
    """

    brain: np.ndarray
    wm: np.ndarray
    voxel_mm: np.ndarray
    has_t1w: bool
    atlas: np.ndarray | None = None
    ventricles: np.ndarray | None = None
    deep: np.ndarray | None = None
    low: np.ndarray | None = None
    exclude: np.ndarray | None = None
    apex: np.ndarray | None = None

    @property
    def counted(self) -> np.ndarray:
        """Brain in which a hyperintensity counts as one of white matter."""
        out = self.brain.copy()
        for other in (self.deep, self.low, self.exclude, self.apex):
            if other is not None:
                out &= ~other
        return out

    @property
    def least_mm3(self) -> float:
        """Volume of the smallest lesion, mm3."""
        thick = self.voxel_mm.max() > THICK * self.voxel_mm.min()
        return LEAST_MM3_THICK if thick else LEAST_MM3


@dataclass(frozen=True, kw_only=True)
class Cut:
    """What an engine found; arrays are (I, J, K).

    Parameters
    ----------
    mask : ndarray of bool
        Hyperintensities.
    probability, share : ndarray of float32
        Membership, and the share of a voxel that lesion fills.
    deep : ndarray of bool
        Depth of white matter, where faint parts are looked for.
    runs : tuple of ndarray of int
        Voxels, as places in the flattened array, that each jittered run found.
    """

    mask: np.ndarray
    probability: np.ndarray
    share: np.ndarray
    deep: np.ndarray
    runs: tuple[np.ndarray, ...]

    def volumes(self, within: np.ndarray) -> np.ndarray:
        """Return how many voxels of a mask each run found; one 0 where there were no runs."""
        flat = within.ravel()
        return np.array([np.count_nonzero(flat[run]) for run in self.runs] or [0], float)
