"""The kinds of scans that a phantom can have: name of each, and what makes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from csvdprep.phantom.angiography import tof
from csvdprep.phantom.bolus import series as bolus
from csvdprep.phantom.diffusion import series as diffusion
from csvdprep.phantom.perfusion import series as perfusion
from csvdprep.phantom.permeability import series as permeability
from csvdprep.phantom.scanner.recorder import Recorder
from csvdprep.phantom.scanner.scene import Scene
from csvdprep.phantom.structural import images as structural
from csvdprep.phantom.structural.truth import record_masks
from csvdprep.phantom.susceptibility import gre

#: Lesions whose truth is written on the grid of a scan.
LESIONS = {'T1w': ('lacune',), 'FLAIR': ('WMH',), 'T2w': ('PVS',)}


def _structural(scene, protocol, recorder, noise_seed, found) -> None:
    source, protocol = structural.record(scene, protocol, recorder, noise_seed)
    record_masks(scene, protocol, source, recorder, found['zones'], LESIONS[protocol.suffix])


def _plain(record: Callable) -> Callable:
    """Adapt what needs to know nothing but the scene."""

    def make(scene, protocol, recorder, noise_seed, found) -> None:
        record(scene, protocol, recorder, noise_seed)

    return make


#: Scans that are made only where they are asked for.
OPTIONAL = ('dsc',)
#: What makes each scan, given scene, protocol, recorder, seed and what is known of the head.
MODALITIES: Mapping[str, Callable[[Scene, Any, Recorder, int, Mapping[str, Any]], None]] = {
    'T1w': _structural,
    'FLAIR': _structural,
    'T2w': _structural,
    'MEGRE': _plain(gre.record),
    'dwi': _plain(diffusion.record),
    'dce': _plain(permeability.record),
    'asl': _plain(perfusion.record),
    'angio': _plain(tof.record),
    'dsc': _plain(bolus.record),
}
