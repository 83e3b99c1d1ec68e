"""Train the network on cases, and write it as ONNX.

Resumes where it stopped; one command and a seed give the same weights on the same machine::

    python -m training.fit CASES [CASES ...] OUT.pt [--steps 4000] [--batch 16] [--seed 1]
        [--base 12] [--without sub-01 sub-20] [--start WEIGHTS.pt] [--rate 2e-3]
        [--threads 2] [--onnx OUT.onnx] [--off rendered ...] [--skip labelled_ ...] [--until 500]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from csvdprep.markers.wmh.science.planes import CHANNELS
from csvdprep.science.planes import NEIGHBOUR_MM
from training.breadth import BREADTH, prepare
from training.cases import T1W_STEPS
from training.lesions import UNKNOWN
from training.network import UNet, shipped_weights

RATE = 2e-3
#: Batches on which kept-out cases are judged.
JUDGED = 10
#: Thickest slices that are made by averaging, mm.
THICKEST_MM = 9.0


def read_case(path: Path, coarse: int = 1) -> dict[str, np.ndarray]:
    """Read a case.

    Parameters
    ----------
    path : Path
        Of ``training.cases``.
    coarse : int
        So many pixels along each edge of a plane become one. Where half of them or more are not
        known, it is not known; else its share of lesion is the mean of those that are.

    Returns
    -------
    dict of ndarray
        As it is stored.
    """
    with np.load(path) as stored:
        item = {name: stored[name] for name in stored.files}
    if coarse == 1:
        return item

    def pooled(planes):
        parts = [planes[..., i::coarse, j::coarse] for i in range(coarse) for j in range(coarse)]
        return np.mean(np.stack(parts), 0, dtype=np.float32)

    unknown = item['share'] == UNKNOWN
    known = pooled(~unknown)
    share = np.rint(pooled(np.where(unknown, 0, item['share'])) / np.maximum(known, 0.1))
    out = item | {'share': np.where(known > 0.5, share, UNKNOWN).astype(np.uint8)}
    out |= {
        'flair': pooled(item['flair']).astype(np.float16),
        'brain': pooled(item['brain']) > 0.5,
    }
    for name in {'maps', 'lining', 't1w'} & set(item):
        out[name] = np.rint(pooled(item[name])).astype(np.uint8)
    return out


class Cases:
    """All cases in memory; draws batches of planes."""

    def __init__(self, paths: list[Path], coarse: int = 1):
        self.items = [read_case(path, coarse) for path in paths]

    def sample(self, rng: np.random.Generator, breadth: frozenset = BREADTH):
        """Return the layers of a slice (`training.breadth`) and its truth."""
        item = self.items[rng.integers(len(self.items))]
        count, own = len(item['flair']), float(item['thickness'])
        most = max(1, int(THICKEST_MM / own + 0.01))
        thick = int(rng.integers(1, most + 1)) if rng.random() < 0.6 else 1
        thick = thick if 'thick' in breadth else 1
        apart = thick + int(thick > 1 and 'gaps' in breadth and rng.random() < 0.25)
        here = int(rng.integers(0, max(1, count - thick + 1)))
        step = max(1, int(np.ceil(NEIGHBOUR_MM / (own * apart)))) * apart
        starts = [min(max(here + shift, 0), count - thick) for shift in (-step, 0, step)]

        def slab(planes, start):
            return planes[start : start + thick].astype(np.float32).mean(0)

        share = item['share']
        lesion = [
            slab(np.where(part == UNKNOWN, 0, part), 0) / 250
            for part in (share[k : k + thick] for k in starts)
        ]
        maps = item['maps'][:, here : here + thick].mean(1).astype(np.float32) / 255
        unknown = (share[here : here + thick] == UNKNOWN).mean(0) > 0.3
        lining = item['lining'][here : here + thick]
        if rng.random() < 0.15:
            maps[:3] = 0
        flat = np.ones_like(lesion[1])
        has_t1w = bool(item['has_t1w']) and rng.random() < 0.5
        t1w = slab(item['t1w'], here) / T1W_STEPS if 't1w' in item else -flat
        shown = np.stack(
            [
                *(slab(item['flair'], k) for k in starts),
                *(slab(item['maps'][3], k) / 255 for k in starts),
                *(slab(item['maps'][4], k) / 255 for k in starts),
                *lesion,
                slab(item['brain'], here) >= 0.5,
                *maps,
                t1w,
                flat * has_t1w,
                flat * min(own * apart, 10) / 10,
            ]
        )
        known = ~(unknown & (lesion[1] < 0.5))
        lined = lining.mean(0) / 250 if lining.any() else np.zeros_like(flat)
        return shown.astype(np.float32), np.stack([lesion[1], lined, known]).astype(np.float32)

    def batch(self, rng, size: int, breadth: frozenset = BREADTH):
        """Return a batch; planes with lesions are drawn somewhat more often."""
        x, y = [], []
        while len(x) < size:
            one = self.sample(rng, breadth)
            if one[1][0].max() > 0.5 or rng.random() < 0.6:
                x.append(one[0])
                y.append(one[1])
        return torch.from_numpy(np.stack(x)), torch.from_numpy(np.stack(y))


def objective(logits, truth):
    """Cross entropy over what is known, and Dice of the lesions."""
    target, lined, known = truth[:, 0], truth[:, 1], (truth[:, 2] > 0.5).float()
    sharp = ((target - 0.5) * 4 + 0.5).clamp(0, 1)
    lesion, lining = logits[:, 0], logits[:, 1]
    entropy = functional.binary_cross_entropy_with_logits(lesion, sharp, reduction='none')
    p = torch.sigmoid(lesion)
    both = (p * sharp * known).sum()
    dice = 1 - (2 * both + 20) / ((p * known).sum() + (sharp * known).sum() + 20)
    rim = functional.binary_cross_entropy_with_logits(
        lining, (lined > 0.5).float(), reduction='none'
    )
    return 3 * (entropy * known).mean() + dice + (rim * known).mean()


@torch.no_grad()
def judge(net, cases: Cases, batches: int = JUDGED) -> dict[str, float]:
    """Judge cases that were kept out, on the same batches each time.

    Returns
    -------
    dict
        ``loss`` with the breadth of training, ``plain`` on scans as they are; Dice of all planes
        of these together, ``dice_t1w`` and ``dice_flair``.
    """
    out = {}
    for name, breadth in (('loss', BREADTH), ('plain', frozenset())):
        rng, losses, sums = np.random.default_rng(99), [], {}
        for _ in range(batches):
            x, y = prepare(*cases.batch(rng, 16, breadth), rng, breadth)
            logits = net(x)
            losses.append(objective(logits, y).item())
            found, truth = (logits[:, 0] > 0) & (y[:, 2] > 0.5), y[:, 0] >= 0.5
            for one, t1w in enumerate(x[:, CHANNELS.index('has_t1w'), 0, 0] > 0.5):
                part = sums.setdefault('dice_t1w' if t1w else 'dice_flair', [0.0, 0.0])
                part[0] += float((found[one] & truth[one]).sum())
                part[1] += float(found[one].sum() + truth[one].sum())
        out[name] = float(np.mean(losses))
    return out | {name: 2 * both / max(each, 1) for name, (both, each) in sums.items()}


def widened(state: dict) -> dict:
    """Let weights made for fewer channels take all: what is new counts for nothing at first."""
    first = state['down.0.0.weight']
    more = len(CHANNELS) - first.shape[1]
    if more > 0:
        wide = torch.cat([first, first.new_zeros(len(first), more, *first.shape[2:])], 1)
        return state | {'down.0.0.weight': wide}
    return state


def train(given) -> torch.nn.Module:
    """Run the steps that are left."""
    torch.set_num_threads(given.threads)
    torch.manual_seed(given.seed)
    every = sorted(path for folder in given.cases for path in folder.glob('*.npz'))
    every = [path for path in every if not any(name in path.name for name in given.skip)]
    paths = [path for path in every if not any(name in path.name for name in given.without)]
    cases = Cases(paths, given.coarse)
    kept = Cases([path for path in every if path not in paths], given.coarse)
    breadth = BREADTH - set(given.off)
    net = UNet(given.base).to(memory_format=torch.channels_last)
    mean = UNet(given.base)
    mean.load_state_dict(net.state_dict())
    optimiser = torch.optim.AdamW(net.parameters(), given.rate, weight_decay=1e-4)
    first = 0
    if given.start and not given.out.exists():
        if given.start.suffix == '.onnx':
            state = shipped_weights(given.start)
        else:
            state = torch.load(given.start, weights_only=False)['mean']
        net.load_state_dict(widened(state))
        mean.load_state_dict(widened(state))
    if given.out.exists():
        stored = torch.load(given.out, weights_only=False)
        net.load_state_dict(stored['net'])
        mean.load_state_dict(stored['mean'])
        optimiser.load_state_dict(stored['optimiser'])
        first = stored['step']
    print(len(paths), 'cases;', sum(p.numel() for p in net.parameters()), 'parameters', flush=True)
    started, running = time.time(), None
    last = min(given.steps, given.until or given.steps)
    for step in range(first, last):
        rng = np.random.default_rng([given.seed, step])
        rate = (
            given.rate
            * min(1, (step + 1) / 60)
            * (0.5 * (1 + np.cos(np.pi * step / given.steps)) + 0.01)
        )
        for group in optimiser.param_groups:
            group['lr'] = rate
        x, y = prepare(*cases.batch(rng, given.batch, breadth), rng, breadth)
        loss = objective(net(x.contiguous(memory_format=torch.channels_last)), y)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        running = loss.item() if running is None else 0.98 * running + 0.02 * loss.item()
        with torch.no_grad():
            for a, b in zip(mean.parameters(), net.parameters(), strict=True):
                a.lerp_(b, 0.005 if step > 400 else 0.05)
        if step % 100 == 99 or step + 1 == last:
            held = ''
            if kept.items:
                held = ''.join(f' {k} {v:.3f}' for k, v in judge(mean, kept).items())
                held = f' kept:{held};'
            print(
                f'{step + 1} loss {running:.3f}{held} '
                f'{(time.time() - started) / (step + 1 - first):.2f} s a step',
                flush=True,
            )
            torch.save(
                {
                    'net': net.state_dict(),
                    'mean': mean.state_dict(),
                    'base': given.base,
                    'optimiser': optimiser.state_dict(),
                    'step': step + 1,
                },
                given.out,
            )
    return mean


def export(net: torch.nn.Module, path: Path) -> None:
    """Write probabilities as a function of planes, of any size that is a multiple of 16."""
    torch.onnx.export(
        torch.nn.Sequential(net, torch.nn.Sigmoid()).eval(),
        (torch.zeros(1, len(CHANNELS), 128, 160),),
        str(path),
        input_names=['planes'],
        output_names=['probability'],
        dynamo=False,
        opset_version=17,
        dynamic_axes={
            name: {0: 'n', 2: 'right', 3: 'anterior'} for name in ('planes', 'probability')
        },
    )


def arguments() -> argparse.ArgumentParser:
    """Return what the command takes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('cases', type=Path, nargs='+')
    parser.add_argument('out', type=Path)
    parser.add_argument(
        '--without', nargs='*', default=[], help='cases with such names are judged, not learned'
    )
    parser.add_argument(
        '--skip', nargs='*', default=[], help='cases with such names are left out altogether'
    )
    parser.add_argument('--start', type=Path, help='weights to begin with (.pt or .onnx)')
    parser.add_argument('--rate', type=float, default=RATE)
    parser.add_argument('--steps', type=int, default=4000)
    parser.add_argument(
        '--until', type=int, help='stop after this step; the rate falls as for all of --steps'
    )
    parser.add_argument('--batch', type=int, default=16)
    parser.add_argument(
        '--coarse', type=int, default=1, help='average so many pixels along each edge: for trials'
    )
    parser.add_argument('--base', type=int, default=12)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--onnx', type=Path)
    parser.add_argument(
        '--off', nargs='*', default=[], choices=sorted(BREADTH), help='breadth that is left out'
    )
    return parser


def main() -> None:
    """Train and export."""
    given = arguments().parse_args()
    net = train(given)
    if given.onnx:
        export(net, given.onnx)


if __name__ == '__main__':
    main()
