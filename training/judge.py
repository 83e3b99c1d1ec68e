"""What each source of breadth costs weights, on cases that were kept out.

A network that was trained with a source loses less when kept-out planes are changed by it::

    python -m training.judge CASES [CASES ...] --nets OLD.pt NEW.pt --only sub-01 sub-20
        [--batches 6]

Prints loss and Dice on planes as they are, changed by each source alone, and by all; every network
sees the same planes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from csvdprep.markers.wmh.science.planes import CHANNELS
from training.breadth import BREADTH, prepare
from training.fit import Cases, objective, widened
from training.network import UNet


def conditions() -> dict[str, frozenset]:
    """Return what is done to kept-out planes, by name."""
    each = {f'{name} alone': frozenset({name}) for name in sorted(BREADTH)}
    return {'as they are': frozenset(), **each, 'all': BREADTH}


@torch.no_grad()
def losses(net, cases: Cases, breadth: frozenset, batches: int, blind: str = '') -> tuple:
    """Return the mean loss and the Dice of all planes together.

    Parameters
    ----------
    net : UNet
        Weights.
    cases : Cases
        Cases that were kept out.
    breadth : frozenset of str
        What is done to planes.
    batches : int
        Of 16 planes.
    blind : str
        Channel that is not shown.
    """
    rng, out, both, each = np.random.default_rng(98), [], 0.0, 0.0
    for _ in range(batches):
        x, y = prepare(*cases.batch(rng, 16, breadth), rng, breadth)
        if blind:
            x[:, CHANNELS.index(blind)] = 0
        logits = net(x)
        out.append(objective(logits, y).item())
        known = y[:, 2] > 0.5
        found, truth = (logits[:, 0] > 0) & known, (y[:, 0] >= 0.5) & known
        both += float((found & truth).sum())
        each += float(found.sum() + truth.sum())
    return float(np.mean(out)), 2 * both / max(each, 1)


def main() -> None:
    """Judge all weights."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('cases', type=Path, nargs='+')
    parser.add_argument('--nets', type=Path, nargs='+', required=True)
    parser.add_argument('--only', nargs='+', required=True, help='names of kept-out cases')
    parser.add_argument('--batches', type=int, default=6)
    parser.add_argument('--threads', type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    every = sorted(path for folder in given.cases for path in folder.glob('*.npz'))
    cases = Cases([path for path in every if any(name in path.name for name in given.only)])
    nets = {}
    for path in given.nets:
        stored = torch.load(path, weights_only=False)
        nets[path.stem] = UNet(stored['base'])
        nets[path.stem].load_state_dict(widened(stored['mean']))
    print(f'{len(cases.items)} cases; loss and Dice of', ', '.join(nets))
    for name, breadth in conditions().items():
        row = [losses(net, cases, breadth, given.batches) for net in nets.values()]
        print(f'{name:24}', '  '.join(f'{a:.3f} {b:.3f}' for a, b in row), flush=True)
    for channel in ('t1w', 'grey', 'fluid', 'atlas_white'):
        row = [losses(n, cases, frozenset(), given.batches, channel) for n in nets.values()]
        text = '  '.join(f'{a:.3f} {b:.3f}' for a, b in row)
        print(f'{"without " + channel:24}', text, flush=True)


if __name__ == '__main__':
    main()
