"""What is done to planes while the network learns: bent, drawn anew, dimmed, cut, blurred.

Each source of breadth has a name (`BREADTH`), so that one can be left out to see what it brings.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

#: Layers of what a case shows: below, here and above of the FLAIR, grey matter, fluid, lesion;
#: brain; five maps; T1w (below 0: none is stored); whether there is one; thickness.
FLAIR, GREY, FLUID, LESION = slice(0, 3), slice(3, 6), slice(6, 9), slice(9, 12)
BRAIN, MAPS, T1W, CONSTANT = slice(12, 13), slice(13, 18), slice(18, 19), slice(19, 21)
#: rendered: a FLAIR of random contrast drawn from the tissue maps; t1w_contrast: the same of the
#: T1w, and gamma and coil; lesion_contrast: lesions brighter or fainter; contrast: grey matter and
#: fluid brighter or darker, gamma; level: of the whole image and of slices; thick: slices are
#: averaged; gaps: between these; cut: field of view; residue: brain masks too large or too small;
#: ghosts: repetition along a line; field, noise, blur: as they say; turned: turned, scaled and
#: shifted; mirrored; moved: atlas and T1w against the FLAIR; bent: elastic.
BREADTH = frozenset(
    (
        'rendered',
        't1w_contrast',
        'lesion_contrast',
        'contrast',
        'level',
        'thick',
        'gaps',
        'cut',
        'residue',
        'ghosts',
        'field',
        'noise',
        'blur',
        'turned',
        'mirrored',
        'moved',
        'bent',
    )
)


class Draw:
    """Random numbers for each plane of a batch, as tensors."""

    def __init__(self, rng: np.random.Generator, size: int):
        self.rng, self.size = rng, size

    def uniform(self, low: float, high: float) -> torch.Tensor:
        """Return a number per plane, (planes, 1, 1, 1)."""
        return self._tensor(self.rng.uniform(low, high, (self.size, 1, 1, 1)))

    def often(self, share: float) -> torch.Tensor:
        """Return 1 in a share of the planes, else 0."""
        return self._tensor(self.rng.random((self.size, 1, 1, 1)) < share)

    def smooth(self, shape, coarse=(4, 5), layers: int = 1) -> torch.Tensor:
        """Return smooth fields of about SD 0.6, (planes, layers, *shape)."""
        lattice = self._tensor(self.rng.normal(0, 1, (self.size, layers, *coarse)))
        return functional.interpolate(lattice, shape, mode='bicubic', align_corners=False)

    def grain(self, shape) -> torch.Tensor:
        """Return white noise of SD 1."""
        return torch.from_numpy(self.rng.standard_normal(shape, dtype=np.float32))

    @staticmethod
    def _tensor(values) -> torch.Tensor:
        return torch.from_numpy(np.asarray(values, np.float32))


def bend(
    x: torch.Tensor,
    y: torch.Tensor,
    rng: np.random.Generator,
    breadth: frozenset,
    onto: tuple[tuple[int, int], tuple[float, float]] | None = None,
):
    """Turn, scale, mirror and bend planes; the atlas, and the T1w less, a little otherwise.

    Parameters
    ----------
    x, y : Tensor, shape (planes, 21, right, anterior), (planes, 3, right, anterior)
        Layers, and the truth: lesion, lining, what is known.
    rng : numpy.random.Generator
        Of all that is random.
    breadth : frozenset of str
        Elements of `BREADTH`.
    onto : (tuple of int, tuple of float), optional
        Pixels of the planes that are returned, and their extent relative to those that are given;
        the same if not given.

    Returns
    -------
    x, y : Tensor
        The same, moved.
    """
    size = len(x)
    shape, extent = onto or (tuple(x.shape[2:]), (1.0, 1.0))
    turn = torch.zeros(size, 2, 3)
    for k in range(size):
        angle, (wide, long) = rng.uniform(-0.25, 0.25), rng.uniform(0.85, 1.18, 2)
        cos, sin, flip = np.cos(angle), np.sin(angle), rng.choice([-1, 1])
        shift, ratio = rng.uniform(-0.08, 0.08, 2), x.shape[-1] / x.shape[-2]
        if 'turned' not in breadth:
            cos, sin, wide, long, shift = 1.0, 0.0, 1.0, 1.0, (0.0, 0.0)
        if 'mirrored' not in breadth:
            flip = 1
        turn[k] = torch.tensor(
            [
                [cos * long, -sin * flip / ratio, shift[0]],
                [sin * ratio * long, cos * flip * wide, shift[1]],
            ]
        )
    turn = turn * torch.tensor([extent[1], extent[0], 1.0])
    place = functional.affine_grid(turn, (size, 1, *shape), align_corners=False)
    lattice = torch.from_numpy(rng.normal(0, 0.018, (size, 2, 6, 7)).astype(np.float32))
    if 'bent' in breadth:
        place = place + functional.interpolate(lattice, shape, mode='bicubic').movedim(1, -1)

    def beside(sd):
        away = rng.normal(0, sd, (size, 1, 1, 2)) * rng.random((size, 1, 1, 1))
        return place + torch.from_numpy(away.astype(np.float32)) * ('moved' in breadth)

    def move(part, where):
        return functional.grid_sample(part, where, align_corners=False)

    first, tissue = x[:, : MAPS.start], x[:, MAPS.start + 3 : T1W.stop]
    moved = [
        move(first, place),
        move(x[:, MAPS.start : MAPS.start + 3], beside(0.016)),
        move(tissue, beside(0.006)),
        x[:, CONSTANT][..., :1, :1].expand(-1, -1, *shape),
    ]
    return torch.cat(moved, 1), move(y, place)


def rendered_flair(x: torch.Tensor, draw: Draw) -> torch.Tensor:
    """Draw a FLAIR of random contrast from the tissue and the lesions of planes."""
    grey, fluid, lesion = x[:, GREY], x[:, FLUID], x[:, LESION]
    white = (1 - grey - fluid).clamp(0, 1)
    mottle = 1 + draw.uniform(0, 0.05) * draw.smooth(x.shape[2:], (12, 15), 3)
    level = draw.uniform(0.92, 1.5)
    own = white * mottle[:, :1] + grey * level * mottle[:, 1:2] + fluid * draw.uniform(0.05, 0.8)
    # Lesions are brighter than grey matter, if not by much.
    bright = torch.maximum(level, torch.ones_like(level)) + draw.uniform(0.1, 0.65)
    bright = bright * (1 + 0.15 * mottle[:, 2:].sub(1) / 0.05)
    return own + (bright - own).clamp_min(0) * lesion


def rendered_t1w(x: torch.Tensor, draw: Draw) -> torch.Tensor:
    """Draw a T1w of random contrast: lesions from as bright as white matter to as dark as grey."""
    grey, fluid, lesion = x[:, GREY][:, 1:2], x[:, FLUID][:, 1:2], x[:, LESION][:, 1:2]
    white = (1 - grey - fluid).clamp(0, 1)
    own = white + grey * draw.uniform(0.5, 0.88) + fluid * draw.uniform(0.1, 0.45)
    own = own * (1 + draw.uniform(0, 0.04) * draw.smooth(x.shape[2:], (12, 15)))
    return own * (1 - draw.uniform(0, 0.4) * lesion)


def look(x: torch.Tensor, rng: np.random.Generator, breadth: frozenset):
    """Change contrast, coil, level, sharpness and noise of FLAIR and T1w.

    Parameters
    ----------
    x : Tensor, shape (planes, 21, right, anterior)
        Layers, of `bend`.
    rng : numpy.random.Generator
        Of all that is random.
    breadth : frozenset of str
        Elements of `BREADTH`.

    Returns
    -------
    flair, t1w : Tensor, shape (planes, 3 and 1, right, anterior)
        Relative to white matter, 0 outside the brain as it is masked.
    inside : Tensor
        The brain as it is masked, 0 or 1.
    rendered : Tensor, shape (planes, 1, 1, 1)
        1 where the FLAIR was drawn.
    """
    draw, shape = Draw(rng, len(x)), x.shape[2:]

    def on(name, share):
        chosen = draw.often(share)
        return chosen if name in breadth else torch.zeros_like(chosen)

    def factor(name, low, high):
        drawn = draw.uniform(low, high)
        return drawn if name in breadth else torch.ones_like(drawn)

    image, lesion = x[:, FLAIR], x[:, LESION]
    brain = (x[:, BRAIN] > 0.5).float()
    rendered = on('rendered', 0.22)
    image = torch.where(rendered > 0, rendered_flair(x, draw), image)
    image = image + on('lesion_contrast', 0.4) * draw.uniform(-0.1, 0.3) * lesion
    jitter = on('contrast', 0.6) * (1 - rendered)
    image = image + jitter * (
        x[:, GREY][:, 1:2] * draw.uniform(-0.12, 0.15)
        + x[:, FLUID][:, 1:2] * draw.uniform(-0.15, 0.25)
    )
    image = image.clamp_min(0) ** factor('contrast', 0.8, 1.25)
    drawn = rendered_t1w(x, draw)
    stored = (x[:, T1W] >= 0).flatten(1).all(1).view(-1, 1, 1, 1).float()
    t1w = torch.where((stored > 0) & (on('t1w_contrast', 0.2) < 1), x[:, T1W], drawn)
    t1w = t1w.clamp(0, 2) ** (1 + on('t1w_contrast', 0.7) * draw.uniform(-0.35, 0.5))
    t1w = t1w * (1 + on('t1w_contrast', 0.7) * draw.uniform(0, 0.08) * draw.smooth(shape))
    inside = brain
    image, t1w, inside = _residue(image, t1w, brain, draw, on)
    image = image * (1 + on('field', 1.0) * draw.uniform(0, 0.09) * draw.smooth(shape))
    image = image * factor('level', 0.88, 1.13)
    image = image * (1 + 0.015 * ('level' in breadth) * draw.grain((len(x), 3, 1, 1)))
    t1w = t1w * factor('level', 0.94, 1.06)
    blurred = functional.avg_pool2d(image, 3, 1, 1)
    image = image + (blurred - image) * on('blur', 0.4) * draw.uniform(0, 1)
    smeared = functional.avg_pool2d(image, 5, 1, 2)
    image = image + (smeared - image) * on('blur', 0.1) * draw.uniform(0.2, 0.8)
    smeared = functional.avg_pool2d(t1w, 3, 1, 1)
    t1w = t1w + (smeared - t1w) * on('blur', 0.3) * draw.uniform(0, 1)
    away, along = int(rng.integers(12, 50)), int(rng.choice([-2, -1]))
    image = image + on('ghosts', 0.12) * draw.uniform(0, 0.07) * image.roll(away, along)
    image = image + on('noise', 1.0) * draw.uniform(0, 1) ** 2 * 0.09 * _noise(image, draw)
    t1w = t1w + on('noise', 1.0) * draw.uniform(0, 1) ** 2 * 0.08 * _noise(t1w, draw)
    return image.clamp(0, 3) * inside, t1w.clamp(0, 2) * inside, inside, rendered


def _noise(image: torch.Tensor, draw: Draw) -> torch.Tensor:
    grain = draw.grain(tuple(image.shape))
    return torch.where(draw.often(0.5) > 0, grain, functional.avg_pool2d(grain, 3, 1, 1) * 2)


def _residue(image, t1w, brain, draw: Draw, on):
    """Let the brain mask hold bright remains around the brain, or lose its edge."""
    wide = int(draw.rng.integers(1, 4))
    larger = functional.max_pool2d(brain, 2 * wide + 1, 1, wide)
    smaller = 1 - functional.max_pool2d(1 - brain, 3, 1, 1)
    where = (draw.smooth(brain.shape[2:], (8, 10)) > draw.uniform(-0.8, 0.8)).float()
    ring = (larger - brain) * where * on('residue', 0.15)
    less = on('residue', 0.1)
    uneven = 1 + 0.3 * draw.smooth(brain.shape[2:], (20, 25))
    image = image * (1 - ring) + ring * (draw.uniform(0.1, 2.2) * uneven)
    t1w = t1w * (1 - ring) + ring * (draw.uniform(0.05, 1.4) * uneven)
    inside = torch.maximum(brain, ring)
    return image, t1w, less * smaller * brain + (1 - less) * inside


def cut_view(flair, t1w, inside, rng: np.random.Generator, breadth: frozenset):
    """End the field of view within the head: in the plane, or above or below it."""
    for k in range(len(flair)):
        part, where = rng.random(), rng.random()
        if 'cut' not in breadth:
            continue
        if part < 0.05:
            axis = 1 + int(where < 0.5)
            count = flair.shape[1 + axis]
            lost = int(rng.uniform(0.1, 0.35) * count)
            begin = 0 if where * 4 % 1 < 0.5 else count - lost
            for layers in (flair[k], t1w[k], inside[k]):
                layers.narrow(axis, begin, lost).zero_()
        elif part < 0.12:
            flair[k, 0 if where < 0.5 else 2] = flair[k, 1]


def prepare(x, y, rng: np.random.Generator, breadth: frozenset = BREADTH):
    """Return what the network takes of a batch, and the truth of it.

    Parameters
    ----------
    x, y : Tensor
        Of ``Cases.batch``.
    rng : numpy.random.Generator
        Of all that is random.
    breadth : frozenset of str
        Elements of `BREADTH`; what is not in it is left out.

    Returns
    -------
    planes : Tensor, shape (planes, 11, right, anterior)
        `csvdprep.markers.wmh.science.planes.CHANNELS`.
    truth : Tensor, shape (planes, 3, right, anterior)
        Lesion, lining, what is known.
    """
    x, truth = bend(x, y, rng, breadth)
    flair, t1w, inside, rendered = look(x, rng, breadth)
    cut_view(flair, t1w, inside, rng, breadth)
    maps, constant = x[:, MAPS], x[:, CONSTANT][..., :1, :1].expand(-1, -1, *x.shape[2:])
    has_t1w = constant[:, :1]
    maps = torch.cat([maps[:, :3], maps[:, 3:] * has_t1w], 1)
    # What is drawn has no lining; what the field of view or the mask has lost is not asked for.
    lined = truth[:, 1:2] * (1 - rendered)
    known = truth[:, 2:] * ((inside > 0) | (x[:, BRAIN] < 0.5))
    planes = torch.cat([flair - 1, maps, constant, t1w * has_t1w], 1)
    return planes, torch.cat([truth[:, :1], lined, known], 1)
