"""A small U-Net that sees a slice, its neighbours, the atlas and the tissue of the T1w."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from csvdprep.markers.wmh.science.planes import CHANNELS


def _block(given: int, made: int) -> nn.Sequential:
    layers = []
    for size in (given, made):
        layers += [
            nn.Conv2d(size, made, 3, padding=1, bias=False),
            nn.GroupNorm(4, made),
            nn.LeakyReLU(0.1, inplace=True),
        ]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """Five levels; the output is logits: of lesion and lining of the ventricles, or of tissues.

    Parameters
    ----------
    base : int
        Channels of the first level.
    given, made : int
        Channels of the planes, and logits.
    """

    def __init__(self, base: int = 12, given: int = len(CHANNELS), made: int = 2):
        super().__init__()
        widths = [base, 2 * base, 4 * base, 8 * base, 8 * base]
        before = [given, *widths]
        self.down = nn.ModuleList(_block(a, b) for a, b in zip(before, widths, strict=False))
        self.up = nn.ModuleList(_block(widths[k] + widths[k + 1], widths[k]) for k in range(4))
        self.out = nn.Conv2d(base, made, 1)

    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        """Return logits, (planes, made, right, anterior)."""
        kept = []
        for k, block in enumerate(self.down):
            planes = block(planes if k == 0 else functional.max_pool2d(planes, 2))
            kept.append(planes)
        for k in (3, 2, 1, 0):
            planes = functional.interpolate(planes, scale_factor=2.0, mode='nearest')
            planes = self.up[k](torch.cat([planes, kept[k]], 1))
        return self.out(planes)


def shipped_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read the weights of an exported network, so that they can be trained further.

    Parameters
    ----------
    path : Path
        File that ``training.fit --onnx`` wrote.

    Returns
    -------
    dict
        What ``UNet.load_state_dict`` takes, for as many channels as the file has.
    """
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(path).graph
    stored = {i.name: torch.tensor(numpy_helper.to_array(i)) for i in graph.initializer}
    state = {
        name.removeprefix('0.'): value for name, value in stored.items() if name.startswith('0.')
    }
    # The export keeps scale and offset of a normalisation without names, in the order of use.
    numbered = sorted(
        (int(found[1]), value)
        for name, value in stored.items()
        if (found := re.fullmatch(r'onnx::(?:Mul|Add)_(\d+)', name))
    )
    blocks = [f'down.{k}' for k in range(5)] + [f'up.{k}' for k in (3, 2, 1, 0)]
    wanted = [
        f'{block}.{layer}.{part}'
        for block in blocks
        for layer in (1, 4)
        for part in ('weight', 'bias')
    ]
    return state | {
        name: value.flatten() for name, (_, value) in zip(wanted, numbered, strict=True)
    }
