"""Train the network for tissue on a FLAIR alone, and write it as ONNX.

Resumes where it stopped; one command and a seed give the same weights on the same machine::

    python -m training.tissue_fit CASES OUT.pt [--steps 1200] [--batch 8] [--seed 1] [--base 8]
        [--without sub-01 sub-20] [--rate 3e-3] [--threads 1] [--onnx OUT.onnx]

The network says which share of a pixel is fluid outside of the lateral ventricles, grey matter,
white matter (with its hyperintensities) and lateral ventricle: cross entropy with the true shares.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from csvdprep.science.planes import NEIGHBOUR_MM
from training.breadth import BREADTH, CONSTANT, MAPS, bend, cut_view, look
from training.network import UNet
from training.tissue_cases import PIXEL_MM as CASE_MM

#: What the network sees: the slice and its neighbours, fluid, grey and white matter of the warped
#: template, the brain mask, thickness.
CHANNELS = 8
#: What it says, in this order.
CLASSES = ('fluid', 'grey', 'white', 'ventricle')
#: Weight of each class in the cross entropy: few pixels are ventricle.
WEIGHTS = (1.0, 1.0, 1.0, 2.0)
#: Thickest slices that are made by averaging, mm; in so many planes the template is not shown.
THICKEST_MM, BLIND = 8.0, 0.2
#: Planes of training: pixels, and their edge, mm (those of cases: `training.tissue_cases`).
SHAPE, PIXEL_MM = (80, 96), 2.0
#: Sources of breadth that say something about a T1w are of no use here.
USED = BREADTH - {'t1w_contrast'}


class Cases:
    """All cases in memory; draws batches of planes."""

    def __init__(self, paths: list[Path]):
        self.items = []
        for path in paths:
            with np.load(path) as stored:
                self.items.append({name: stored[name] for name in stored.files})

    def sample(self, rng: np.random.Generator):
        """Return the layers of a slice (`training.breadth`) and its truth.

        Returns
        -------
        shown : ndarray of float32, shape (21, right, anterior)
        truth : ndarray of float32, shape (4, right, anterior)
            Fluid, grey matter, ventricle, brain.
        """
        item = self.items[rng.integers(len(self.items))]
        count, own = len(item['flair']), float(item['thickness'])
        most = max(1, int(THICKEST_MM / own + 0.01))
        thick = int(rng.integers(1, most + 1)) if rng.random() < 0.6 else 1
        apart = thick + int(thick > 1 and rng.random() < 0.25)
        here = self._start(item, count - thick + 1, rng)
        step = max(1, int(np.ceil(NEIGHBOUR_MM / (own * apart)))) * apart
        starts = [min(max(here + shift, 0), count - thick) for shift in (-step, 0, step)]

        def slab(planes, start):
            return planes[start : start + thick].astype(np.float32).mean(0)

        fluid, grey, ventricle, lesion, *atlas = item['maps']
        brain = (slab(item['brain'], here) >= 0.5).astype(np.float32)
        seen = 0.0 if rng.random() < BLIND else 1 / 255
        flat = np.ones_like(brain)
        shown = np.stack(
            [
                *(slab(item['flair'], k) for k in starts),
                *(slab(part, k) / 255 for part in (grey, fluid, lesion) for k in starts),
                brain,
                *(slab(part, here) * seen for part in atlas),
                0 * flat,
                0 * flat,
                -flat,
                0 * flat,
                flat * min(own * apart, 10) / 10,
            ]
        )
        truth = [slab(part, here) / 255 for part in (fluid, grey, ventricle)]
        return shown.astype(np.float32), np.stack([*truth, brain]).astype(np.float32)

    @staticmethod
    def _start(item, starts: int, rng) -> int:
        """Choose a slice, those with ventricles more often."""
        here = int(rng.integers(0, max(1, starts)))
        if rng.random() < 0.4 and item['maps'][2, here].max() < 128:
            here = int(rng.integers(0, max(1, starts)))
        return here

    def batch(self, rng, size: int):
        """Return a batch."""
        pairs = [self.sample(rng) for _ in range(size)]
        return tuple(torch.from_numpy(np.stack(part)) for part in zip(*pairs, strict=True))


def prepare(x, y, rng: np.random.Generator, breadth: frozenset = USED):
    """Return what the network takes of a batch, and the truth of it.

    Parameters
    ----------
    x, y : Tensor
        Of `Cases.batch`.
    rng : numpy.random.Generator
        Of all that is random.
    breadth : frozenset of str
        Elements of `training.breadth.BREADTH`.

    Returns
    -------
    planes : Tensor, shape (planes, 8, right, anterior)
    truth : Tensor, shape (planes, 4, right, anterior)
        Share of each of `CLASSES`; they add up to 1.
    known : Tensor, shape (planes, right, anterior)
        1 where the brain is shown.
    """
    extent = tuple(n * PIXEL_MM / (m * CASE_MM) for n, m in zip(SHAPE, x.shape[2:], strict=True))
    x, y = bend(x, y, rng, breadth, (SHAPE, extent))
    flair, t1w, inside, _ = look(x, rng, breadth)
    cut_view(flair, t1w, inside, rng, breadth)
    thick = x[:, CONSTANT][:, 1:, :1, :1].expand(-1, -1, *SHAPE)
    atlas = x[:, MAPS][:, :3]
    planes = torch.cat([flair - 1, atlas * inside, inside, thick], 1)
    fluid, grey, ventricle = (y[:, k].clamp(0, 1) for k in range(3))
    ventricle = torch.minimum(ventricle, fluid)
    truth = torch.stack([fluid - ventricle, grey, (1 - fluid - grey).clamp(0, 1), ventricle], 1)
    truth = truth / truth.sum(1, keepdim=True).clamp_min(1e-6)
    return planes, truth, ((y[:, 3] > 0.9) & (inside[:, 0] > 0)).float()


def objective(logits, truth, known):
    """Cross entropy with the true shares, and Dice of shares of each class."""
    weight = truth.new_tensor(WEIGHTS)[:, None, None]
    entropy = -(functional.log_softmax(logits, 1) * truth * weight).sum(1)
    entropy = (entropy * known).sum() / known.sum().clamp_min(1)
    p = torch.softmax(logits, 1) * known[:, None]
    true = truth * known[:, None]
    both = torch.minimum(p, true).sum((0, 2, 3))
    dice = (2 * both + 10) / ((p + true).sum((0, 2, 3)) + 10)
    return entropy + (1 - dice).mean() + (1 - dice[3])


@torch.no_grad()
def judge(net, cases: Cases, batches: int = 6) -> str:
    """Return Dice of shares of each class on cases kept out, on the same batches each time."""
    rng, sums = np.random.default_rng(99), torch.zeros(2, len(CLASSES))
    for _ in range(batches):
        planes, truth, known = prepare(*cases.batch(rng, 8), rng, frozenset())
        p = torch.softmax(net(planes), 1) * known[:, None]
        true = truth * known[:, None]
        sums[0] += 2 * torch.minimum(p, true).sum((0, 2, 3))
        sums[1] += (p + true).sum((0, 2, 3))
    dice = (sums[0] / sums[1].clamp_min(1)).tolist()
    return ' '.join(f'{name} {value:.3f}' for name, value in zip(CLASSES, dice, strict=True))


def train(given) -> torch.nn.Module:
    """Run the steps that are left."""
    torch.set_num_threads(given.threads)
    torch.manual_seed(given.seed)
    every = sorted(given.cases.glob('*.npz'))
    paths = [path for path in every if not any(name in path.name for name in given.without)]
    cases, kept = Cases(paths), Cases([path for path in every if path not in paths])
    net = UNet(given.base, CHANNELS, len(CLASSES)).to(memory_format=torch.channels_last)
    mean = UNet(given.base, CHANNELS, len(CLASSES))
    mean.load_state_dict(net.state_dict())
    optimiser = torch.optim.AdamW(net.parameters(), given.rate, weight_decay=1e-4)
    first = 0
    if given.out.exists():
        stored = torch.load(given.out, weights_only=False)
        net.load_state_dict(stored['net'])
        mean.load_state_dict(stored['mean'])
        optimiser.load_state_dict(stored['optimiser'])
        first = stored['step']
    print(len(paths), 'cases;', sum(p.numel() for p in net.parameters()), 'parameters', flush=True)
    started, running = time.time(), None
    for step in range(first, given.steps):
        rng = np.random.default_rng([given.seed, step])
        rate = min(1, (step + 1) / 50) * (0.5 * (1 + np.cos(np.pi * step / given.steps)) + 0.01)
        for group in optimiser.param_groups:
            group['lr'] = given.rate * rate
        planes, truth, known = prepare(*cases.batch(rng, given.batch), rng)
        loss = objective(net(planes.contiguous(memory_format=torch.channels_last)), truth, known)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        running = loss.item() if running is None else 0.98 * running + 0.02 * loss.item()
        with torch.no_grad():
            for a, b in zip(mean.parameters(), net.parameters(), strict=True):
                a.lerp_(b, 0.01 if step > 300 else 0.05)
        if step % 50 == 49 or step + 1 == given.steps:
            held = f'kept: {judge(mean, kept)};' if kept.items and step % 200 == 199 else ''
            seconds = (time.time() - started) / (step + 1 - first)
            print(f'{step + 1} loss {running:.3f} {held} {seconds:.2f} s a step', flush=True)
            stored = {
                'net': net.state_dict(),
                'mean': mean.state_dict(),
                'base': given.base,
                'optimiser': optimiser.state_dict(),
                'step': step + 1,
            }
            torch.save(stored, given.out.with_suffix('.new'))
            given.out.with_suffix('.new').replace(given.out)
    return mean


def export(net: torch.nn.Module, path: Path) -> None:
    """Write shares as a function of planes, of any size that is a multiple of 16."""
    torch.onnx.export(
        torch.nn.Sequential(net, torch.nn.Softmax(1)).eval(),
        (torch.zeros(1, CHANNELS, *SHAPE),),
        str(path),
        input_names=['planes'],
        output_names=['share'],
        dynamo=False,
        opset_version=17,
        dynamic_axes={name: {0: 'n', 2: 'right', 3: 'anterior'} for name in ('planes', 'share')},
    )


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    out = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    out.add_argument('cases', type=Path)
    out.add_argument('out', type=Path)
    out.add_argument(
        '--without', nargs='*', default=[], help='cases with such names are judged, not learned'
    )
    out.add_argument('--rate', type=float, default=3e-3)
    out.add_argument('--steps', type=int, default=1200)
    out.add_argument('--batch', type=int, default=8)
    out.add_argument('--base', type=int, default=8)
    out.add_argument('--seed', type=int, default=1)
    out.add_argument('--threads', type=int, default=1)
    out.add_argument('--onnx', type=Path)
    return out


def main() -> None:
    """Train and export."""
    given = parser().parse_args()
    net = train(given)
    if given.onnx:
        export(net, given.onnx)


if __name__ == '__main__':
    main()
