"""Train the network on cases, and write it as ONNX.

Resumes where it stopped; one command and a seed give the same weights on the same machine::

    python -m training.fit CASES OUT.pt [--steps 4000] [--batch 16] [--base 12] [--seed 1]
        [--without sub-01 sub-20] [--start WEIGHTS.pt] [--rate 2e-3] [--threads 2]
        [--onnx OUT.onnx]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from csvdprep.markers.wmh.science.planes import CHANNELS, NEIGHBOUR_MM
from training.lesions import UNKNOWN
from training.network import UNet

RATE = 2e-3
#: Thickest slices that are made by averaging, mm.
THICKEST_MM = 9.0


class Cases:
    """All cases in memory; draws batches of planes."""

    def __init__(self, paths: list[Path]):
        self.items = []
        for path in paths:
            with np.load(path) as stored:
                item = {name: stored[name] for name in stored.files}
            item['weight'] = (item['share'] > 125).sum((1, 2))
            self.items.append(item)

    def sample(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return the channels and the truth of one plane, thick as drawn."""
        item = self.items[rng.integers(len(self.items))]
        count, own = len(item['flair']), float(item['thickness'])
        most = max(1, int(THICKEST_MM / own + 0.01))
        thick = int(rng.integers(1, most + 1)) if rng.random() < 0.6 else 1
        here = int(rng.integers(0, max(1, count - thick + 1)))
        step = max(1, int(np.ceil(NEIGHBOUR_MM / (own * thick)))) * thick
        starts = [min(max(here + shift, 0), count - thick) for shift in (-step, 0, step)]
        planes = [item['flair'][k : k + thick].astype(np.float32).mean(0) for k in starts]
        inside = item['brain'][here : here + thick].mean(0) >= 0.5
        maps = item['maps'][:, here : here + thick].mean(1).astype(np.float32) / 255
        share, lining = item['share'][here : here + thick], item['lining'][here : here + thick]
        unknown = (share == UNKNOWN).mean(0) > 0.3
        target = np.where(share == UNKNOWN, 0, share).mean(0) / 250
        lined = lining.mean(0) / 250 if lining.any() else np.zeros_like(target)
        if rng.random() < 0.15:
            maps[:3] = 0
        has_t1w = bool(item['has_t1w']) and rng.random() < 0.5
        maps[3:] *= has_t1w
        known = ~(unknown & (target < 0.5))
        tissue = item['maps'][3:, here : here + thick].mean(1).astype(np.float32) / 255
        flat = np.full_like(target, 1.0)
        return (
            np.stack(
                [*planes, *maps, flat * has_t1w, flat * min(own * thick, 10) / 10, *tissue, inside]
            ).astype(np.float32),
            np.stack([target, lined, known]).astype(np.float32),
        )

    def batch(self, rng, size: int):
        """Return a batch; planes with lesions are drawn somewhat more often."""
        x, y = [], []
        while len(x) < size:
            one = self.sample(rng)
            if one[1][0].max() > 0.5 or rng.random() < 0.6:
                x.append(one[0])
                y.append(one[1])
        return torch.from_numpy(np.stack(x)), torch.from_numpy(np.stack(y))


def bend(x, y, rng):
    """Turn, scale, mirror and bend planes; maps a little otherwise than the FLAIR."""
    size = len(x)
    turn = torch.zeros(size, 2, 3)
    for k in range(size):
        angle, (wide, long) = rng.uniform(-0.25, 0.25), rng.uniform(0.85, 1.18, 2)
        cos, sin, flip = np.cos(angle), np.sin(angle), rng.choice([-1, 1])
        ratio = x.shape[-1] / x.shape[-2]
        turn[k] = torch.tensor(
            [
                [cos * long, -sin * flip / ratio, rng.uniform(-0.08, 0.08)],
                [sin * ratio * long, cos * flip * wide, rng.uniform(-0.08, 0.08)],
            ]
        )
    place = functional.affine_grid(turn, (size, 1, *x.shape[2:]), align_corners=False)
    lattice = torch.from_numpy(rng.normal(0, 0.018, (size, 2, 6, 7)).astype(np.float32))
    place = place + functional.interpolate(lattice, x.shape[2:], mode='bicubic').movedim(1, -1)
    beside = place + torch.from_numpy(
        (rng.normal(0, 0.012, (size, 1, 1, 2)) * rng.random((size, 1, 1, 1))).astype(np.float32)
    )
    # 0-2 FLAIR, 3-7 maps, 8-9 constants, 10-11 true tissue, 12 brain
    moved = functional.grid_sample(x[:, [0, 1, 2, 10, 11, 12]], place, align_corners=False)
    maps = functional.grid_sample(x[:, 3:8], beside, align_corners=False)
    truth = functional.grid_sample(y, place, align_corners=False)
    return moved, maps, x[:, 8:10], truth


def look(moved, rng):
    """Change contrast, coil, level, sharpness and noise of the FLAIR."""
    size = len(moved)

    def draw(low, high, shape=(1, 1, 1)):
        return torch.from_numpy(rng.uniform(low, high, (size, *shape)).astype(np.float32))

    image, grey, fluid, brain = moved[:, :3], moved[:, 3:4], moved[:, 4:5], moved[:, 5:6]
    often = (draw(0, 1) < 0.6).float()
    image = image + often * (grey * draw(-0.12, 0.15) + fluid * draw(-0.15, 0.25))
    image = image.clamp_min(0) ** draw(0.8, 1.25)
    coil = torch.from_numpy(rng.normal(0, 1, (size, 1, 4, 5)).astype(np.float32))
    image = image * (
        1 + draw(0, 0.07) * functional.interpolate(coil, image.shape[2:], mode='bicubic')
    )
    image = (
        image
        * draw(0.88, 1.13)
        * (1 + 0.015 * torch.from_numpy(rng.normal(0, 1, (size, 3, 1, 1)).astype(np.float32)))
    )
    blurred = functional.avg_pool2d(image, 3, 1, 1)
    image = image + (blurred - image) * (draw(0, 1) < 0.4).float() * draw(0, 1)
    noise = draw(0, 1) ** 2 * 0.09
    grain = torch.from_numpy(rng.standard_normal(image.shape, dtype=np.float32))
    coarse = functional.avg_pool2d(grain, 3, 1, 1) * 2
    image = image + noise * torch.where(draw(0, 1) < 0.5, grain, coarse)
    image = image.clamp(0, 3) * (brain > 0.5)
    return image - 1


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


def prepare(x, y, rng):
    """Return what the network takes and the truth of a batch, augmented."""
    moved, maps, constant, truth = bend(x, y, rng)
    constant = constant[..., :1, :1].expand(-1, -1, *maps.shape[2:])
    return torch.cat([look(moved, rng), maps, constant], 1), truth


@torch.no_grad()
def judge(net, cases: Cases, batches: int = 6) -> float:
    """Return the loss on cases that were kept out, on the same batches each time."""
    rng = np.random.default_rng(99)
    return float(
        np.mean(
            [
                objective(net(x), y).item()
                for x, y in (prepare(*cases.batch(rng, 16), rng) for _ in range(batches))
            ]
        )
    )


def train(given) -> torch.nn.Module:
    """Run the steps that are left."""
    torch.set_num_threads(given.threads)
    torch.manual_seed(given.seed)
    paths = [
        path
        for path in sorted(given.cases.glob('*.npz'))
        if not any(name in path.name for name in given.without)
    ]
    cases = Cases(paths)
    kept = Cases([path for path in sorted(given.cases.glob('*.npz')) if path not in paths])
    net = UNet(given.base).to(memory_format=torch.channels_last)
    mean = UNet(given.base)
    mean.load_state_dict(net.state_dict())
    optimiser = torch.optim.AdamW(net.parameters(), given.rate, weight_decay=1e-4)
    first = 0
    if given.start and not given.out.exists():
        stored = torch.load(given.start, weights_only=False)
        net.load_state_dict(stored['mean'])
        mean.load_state_dict(stored['mean'])
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
        rate = (
            given.rate
            * min(1, (step + 1) / 60)
            * (0.5 * (1 + np.cos(np.pi * step / given.steps)) + 0.01)
        )
        for group in optimiser.param_groups:
            group['lr'] = rate
        x, y = prepare(*cases.batch(rng, given.batch), rng)
        loss = objective(net(x.contiguous(memory_format=torch.channels_last)), y)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        running = loss.item() if running is None else 0.98 * running + 0.02 * loss.item()
        with torch.no_grad():
            for a, b in zip(mean.parameters(), net.parameters(), strict=True):
                a.lerp_(b, 0.005 if step > 400 else 0.05)
        if step % 100 == 99 or step + 1 == given.steps:
            held = f' kept {judge(mean, kept):.3f}' if kept.items else ''
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


def main() -> None:
    """Train and export."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('cases', type=Path)
    parser.add_argument('out', type=Path)
    parser.add_argument(
        '--without', nargs='*', default=[], help='cases with such names are judged, not learned'
    )
    parser.add_argument('--start', type=Path, help='weights to begin with')
    parser.add_argument('--rate', type=float, default=RATE)
    parser.add_argument('--steps', type=int, default=4000)
    parser.add_argument('--batch', type=int, default=16)
    parser.add_argument('--base', type=int, default=12)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--onnx', type=Path)
    given = parser.parse_args()
    net = train(given)
    if given.onnx:
        export(net, given.onnx)


if __name__ == '__main__':
    main()
