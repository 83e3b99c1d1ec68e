"""Paint lesions into structural scans: signal from the scan's own tissue, its noise left as is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from csvdprep.phantom.geometry.features import Feature
from csvdprep.phantom.into.grid import RealScan
from csvdprep.phantom.into.lesions import Drawn
from csvdprep.phantom.into.tissue import Tissue

#: Contrast of hyperintensities at full height where a scan has too few of its own to learn from:
#: how it is counted, and the usual value. ``white``: in parts of the signal of white matter;
#: ``gm``, ``csf``: in parts of the way from white matter to that tissue.
USUAL = {'FLAIR': ('white', 0.45), 'T1w': ('gm', 1.0), 'T2w': ('csf', 0.32), 'PDw': ('white', 0.2)}
#: Spread of the contrast over cases, relative, and its limits relative to the usual.
SPREAD, LEAST, MOST = 0.25, 0.5, 1.8
#: Voxels of own lesions, at least four fifths of them lesion, that tell the contrast, and which
#: part of them has more of it (full height is seen in the middle of a lesion only).
TELLING, PART = 40, 0.7
#: Least contrast that is learned, in parts of the usual: on a FLAIR, and on other scans.
BRIGHTER, SEEN = 0.3, 0.1
#: Contrast of rims and of recent infarcts in parts of that of hyperintensities.
RIM, INFARCT = 0.8, 0.5
#: Fluid in cavities within hyperintensities shows so much of itself.
CAVITY = 0.7


@dataclass(frozen=True, eq=False)
class Painted:
    """A scan with lesions.

    Attributes
    ----------
    image : ndarray of float32
        The scan.
    change : ndarray of float32
        What was added, in parts of the signal of white matter there.
    contrast : dict of str to float
        Signal over that of white matter, minus 1, of ``wmh``, ``gliosis``, ``infarct``, ``csf``.
    """

    image: np.ndarray
    change: np.ndarray
    contrast: dict[str, float]


def usual_contrast(suffix: str, image, tissue: Tissue, own: np.ndarray) -> tuple[float, str]:
    """Learn the contrast of hyperintensities from the scan's own.

    Parameters
    ----------
    suffix : str
        'T1w', 'FLAIR', 'T2w' or 'PDw'.
    image : ndarray, shape (I, J, K)
        The scan before anything was filled.
    tissue : Tissue
        Its normal tissue.
    own : ndarray of float32
        Share of each voxel that is lesion of its own.

    Returns
    -------
    contrast : float
        Signal over that of white matter, minus 1.
    how : str
        'learned' or 'usual'.
    """
    brain = tissue.brain
    white = float(np.median(tissue.white[brain]))
    how, value = USUAL[suffix]
    if how != 'white':
        other = float(np.median(tissue.levels[how][brain]))
        value = value * (other / white - 1)
    core = (own > 0.8) & brain
    if core.sum() < TELLING:
        return value, 'usual'
    ratio = image[core] / np.maximum(tissue.white[core], 1e-6) - 1
    found = float(np.quantile(ratio, PART if value > 0 else 1 - PART))
    least = BRIGHTER if suffix == 'FLAIR' else SEEN
    if found / value >= least:
        return found, 'learned'
    # A FLAIR on which lesions are not bright has a mask of something else; on others it may be.
    return (value, 'usual') if suffix == 'FLAIR' else (SEEN * value, 'learned')


def paint(
    scan: RealScan, image: np.ndarray, tissue: Tissue, drawn: Drawn, affine, usual: float
) -> Painted:
    """Paint the lesions of a case into a scan.

    Parameters
    ----------
    scan : RealScan
        Its grid.
    image : ndarray, shape of the scan
        The scan, own lesions filled.
    tissue : Tissue
        Its normal tissue.
    drawn : Drawn
        Lesions.
    affine : ndarray, shape (4, 4)
        Of the head's grid.
    usual : float
        Usual contrast of hyperintensities in this scan.

    Returns
    -------
    Painted
    """
    before, white, fluid = tissue.expected, tissue.white, tissue.levels['csf']
    contrast = usual * float(np.clip(np.exp(SPREAD * drawn.deviate), LEAST, MOST))
    after = before.copy()
    if drawn.strength.any():
        height = scan.sample(drawn.height, affine)
        strength = scan.sample(drawn.strength, affine)
        after += strength * contrast * white + np.minimum(height, strength) * (white - before)
    if drawn.cavity.any():
        after += CAVITY * scan.sample(drawn.cavity, affine) * (fluid - after)
    signals = {
        'gliosis': white * (1 + RIM * contrast),
        'infarct': white * (1 + INFARCT * contrast),
        'csf': fluid,
    }
    for name, signal in signals.items():
        share = seen(scan, [f for f in drawn.features if f.tissue == name])
        if share is not None:
            after += share * (signal - after)
    change = (after - before) * tissue.brain
    brain = tissue.brain
    middle = {
        name: float(np.median((signal / np.maximum(white, 1e-6))[brain])) - 1
        for name, signal in signals.items()
    }
    return Painted(
        image=np.maximum(image + change, 0).astype(np.float32),
        change=(change / np.maximum(white, 1e-6)).astype(np.float32),
        contrast={'wmh': contrast, **middle},
    )


def seen(scan: RealScan, features: list[Feature]) -> np.ndarray | None:
    """Return how much of the contrast of shapes each voxel shows; None without any."""
    if not features:
        return None
    share, owner = scan.draw(features)
    strength = np.array([0.0, *(f.facts.get('strength', 1.0) for f in features)], np.float32)
    return scan.soften(share * strength[owner])
