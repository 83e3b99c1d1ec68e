"""How bright tissues are in a FLAIR and a T1w of a patient, and where that misleads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from csvdprep.phantom.geometry.fields import resize, smooth_noise
from csvdprep.phantom.head.anatomy import Anatomy
from csvdprep.phantom.head.white import healthy_brightness
from csvdprep.phantom.patients.lesions import Lesions

#: Cortex that is bright on FLAIR in healthy people: centre and radii in the template, mm.
BRIGHT_CORTEX = (
    ((5, 30, 10), (10, 32, 34)),
    ((-5, 30, 10), (10, 32, 34)),  # cingulate and mesial frontal
    ((38, 5, 0), (10, 22, 16)),
    ((-38, 5, 0), (10, 22, 16)),  # insula
    ((20, 35, -16), (24, 26, 9)),
    ((-20, 35, -16), (24, 26, 9)),  # orbitofrontal
    ((24, -12, -22), (12, 22, 12)),
    ((-24, -12, -22), (12, 22, 12)),  # mesial temporal
)


@dataclass(frozen=True, kw_only=True)
class Look:
    """Brightness relative to normal white matter (FLAIR and T1w: 1).

    Attributes
    ----------
    csf, gm : float
        FLAIR.
    lesion : float
        FLAIR: how much brighter a lesion of full height is.
    lining : float
        The same of the lining of the ventricles.
    cortex : float
        How much brighter, relative to grey matter, cortex is in some places.
    white : float
        How bright the pyramidal tract and the surroundings of the posterior horns are, relative
        to the median of healthy people.
    mottle : float
        SD of slow variation within grey and white matter.
    flow : float
        Brightness of fluid where it moves or is not nulled.
    t1_csf, t1_gm, t1_lesion : float
        T1w.
    """

    csf: float = 0.25
    gm: float = 1.15
    lesion: float = 0.5
    lining: float = 0.35
    cortex: float = 0.1
    white: float = 1.0
    mottle: float = 0.02
    flow: float = 0.0
    t1_csf: float = 0.3
    t1_gm: float = 0.68
    t1_lesion: float = 0.8

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Look:
        """Draw what scanners and sequences make of a head.

        Examples
        --------
        >>> 1.0 < Look.draw(np.random.default_rng(0)).gm < 1.3
        True
        """
        u = rng.uniform
        grey = u(1.02, 1.28)
        # T2 of lesions is longer than that of grey matter, and so they are brighter.
        return cls(
            csf=u(0.1, 0.4),
            gm=grey,
            lesion=max(0.3, grey - 1 + u(0.15, 0.55)),
            lining=u(0.15, 0.5),
            cortex=u(0.05, 0.15),
            white=u(0.0, 1.6),
            mottle=u(0.01, 0.03),
            flow=rng.choice([0, u(0.3, 1.2)]),
            t1_csf=u(0.15, 0.4),
            t1_gm=u(0.6, 0.78),
            t1_lesion=u(0.65, 0.95),
        )


def flair(anatomy: Anatomy, lesions: Lesions, look: Look, rng) -> np.ndarray:
    """Return the FLAIR of a head, brain only, before the scanner.

    Parameters
    ----------
    anatomy : Anatomy
        The head.
    lesions : Lesions
        Its hyperintensities.
    look : Look
        Brightness.
    rng : numpy.random.Generator
        Of texture and flow.

    Returns
    -------
    ndarray of float32, shape (nx, ny, nz)
        Normal white matter is 1.

    Examples
    --------
    >>> from csvdprep.phantom.head.anatomy import make_anatomy
    >>> from csvdprep.phantom.patients.lesions import no_lesions
    >>> head = make_anatomy(1, spacing=4)
    >>> image = flair(head, no_lesions(head), Look(), np.random.default_rng(0))
    >>> bool(abs(np.median(image[head.fractions['wm'] > 0.95]) - 1) < 0.03)
    True
    """
    part, step = anatomy.fractions, anatomy.affine[0, 0]
    shape = part['wm'].shape
    uneven = 1 + look.mottle * smooth_noise(shape, 6 / step, rng)
    cortex = part['gm'] * (anatomy.structures == 0)
    grey = look.gm * (part['gm'] + look.cortex * cortex * _near(anatomy, BRIGHT_CORTEX))
    white = part['wm'] * (1 + look.white * healthy_brightness(anatomy))
    fluid = np.full(shape, look.csf, np.float32)
    if look.flow:
        fluid += look.flow * _flow(shape, step, rng)
    more = look.lesion * lesions.height
    more = np.maximum(more, look.lining * lesions.lining)
    return ((grey + white) * uneven + more + part['csf'] * fluid).astype(np.float32)


def t1w(anatomy: Anatomy, lesions: Lesions, look: Look, rng) -> np.ndarray:
    """Return the T1w of a head, brain only, before the scanner; see :func:`flair`."""
    part, step = anatomy.fractions, anatomy.affine[0, 0]
    uneven = 1 + look.mottle * smooth_noise(part['wm'].shape, 6 / step, rng)
    deep = anatomy.structures > 2
    grey = part['gm'] * (look.t1_gm + 0.08 * deep)
    less = (1 - look.t1_lesion) * np.clip(lesions.height, 0, 1)
    return ((grey + part['wm'] - less) * uneven + look.t1_csf * part['csf']).astype(np.float32)


def _near(anatomy: Anatomy, ellipsoids) -> np.ndarray:
    """Return 1 at the centre of ellipsoids of the template, falling to 0 at their surface."""
    coarse = np.zeros(anatomy.flow.shape[1:], np.float32)
    for centre, radii in ellipsoids:
        away = sum(((anatomy.flow[i] - centre[i]) / radii[i]) ** 2 for i in range(3))
        coarse = np.maximum(coarse, np.clip(1.5 - away, 0, 1))
    return resize(coarse, anatomy.fractions['wm'].shape)


def _flow(shape, step, rng) -> np.ndarray:
    """Return patches, 0 to 1, where fluid is bright."""
    return np.clip(smooth_noise(shape, 5 / step, rng) - 1, 0, 1)
