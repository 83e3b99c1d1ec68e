"""Scanners that differ from each other in a known way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Site:
    """A scanner, and how it distorts what it measures.

    Attributes
    ----------
    name : str
        Key.
    noise : float
        Factor on the noise of every scan.
    bias : float
        Factor on the spread of the coil's sensitivity.
    length : float
        Size that the scanner reports over true size: gradients are calibrated that well. Volumes
        are off by its third power.
    b_value : float
        True over nominal b-value: diffusivities appear larger by this factor.
    labelling : float
        True over assumed labelling efficiency: blood flow appears larger by this factor.
    protocol : str
        Name of the preset's protocol that is in use there; '' for that of the dataset.
    """

    name: str
    noise: float = 1.0
    bias: float = 1.0
    length: float = 1.0
    b_value: float = 1.0
    labelling: float = 1.0
    protocol: str = ''

    MEANING: ClassVar[Mapping[str, Any]] = {
        'name': {'Description': 'Site'},
        'noise': {'Description': 'Factor on the noise'},
        'bias': {'Description': 'Factor on the spread of the coil sensitivity'},
        'length': {'Description': 'Reported over true lengths; volumes go with its third power'},
        'b_value': {'Description': 'True over nominal b-value: factor on diffusivities'},
        'labelling': {'Description': 'True over assumed labelling efficiency: factor on flow'},
        'protocol': {'Description': 'Protocol in use there'},
    }

    def scan(self, protocol):
        """Return a protocol as this scanner carries it out."""
        scan = protocol.scan
        changed = replace(scan, noise=scan.noise * self.noise, bias=scan.bias * self.bias)
        effects = {'b_scale': self.b_value, 'label_scale': self.labelling}
        more = {name: value for name, value in effects.items() if hasattr(protocol, name)}
        if hasattr(protocol, 'snr'):
            more['snr'] = protocol.snr / self.noise
        return replace(protocol, scan=changed, **more)

    def row(self) -> dict[str, Any]:
        """Return its row in the table of sites."""
        return {name: value if value != '' else None for name, value in asdict(self).items()}


def draw_sites(count: int, seed: int, protocols: Sequence[str] = ('',)) -> list[Site]:
    """Draw scanners; the first is the reference, without effects of its own.

    Parameters
    ----------
    count : int
        How many.
    seed : int
        Decides their effects.
    protocols : sequence of str
        What they have in use, in turn.

    Returns
    -------
    list of Site

    Examples
    --------
    >>> sites = draw_sites(3, 1)
    >>> sites[0].length, [site.name for site in sites]
    (1.0, ['A', 'B', 'C'])
    """
    rng = np.random.default_rng([seed, 41])
    out = []
    for number in range(count):
        effects = np.exp(rng.standard_normal(5) * [0.25, 0.3, 0.004, 0.02, 0.08])
        names = ('noise', 'bias', 'length', 'b_value', 'labelling')
        known = dict(zip(names, map(float, effects), strict=True)) if number else {}
        protocol = protocols[number % len(protocols)]
        out.append(Site(name=_letters(number), protocol=protocol, **known))
    return out


def _letters(number: int) -> str:
    """Return A, B, ..., Z, AA, AB, ..."""
    text = ''
    while number >= 0:
        text = chr(65 + number % 26) + text
        number = number // 26 - 1
    return text
