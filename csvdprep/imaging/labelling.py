"""An ASL series in the files in which rooms hand it on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np

from csvdprep.imaging.header import read_header
from csvdprep.imaging.images import canonical


def load_scaled(path: str):
    """Load an image or a series in the unit of its file, so that two can be divided.

    Parameters
    ----------
    path : path-like
        NIfTI file.

    Returns
    -------
    nibabel image, 4D
        float32, in canonical order, the scaling of the header applied; what is not finite is 0.
        Differences of control and label may be negative, and stay so.
    """
    grid = read_header(path, series=True)
    data = nib.load(path).get_fdata(dtype=np.float32).reshape((*grid.shape, grid.volumes))
    np.nan_to_num(data, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    return canonical(nib.Nifti1Image(data, grid.affine))


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a corrected series becomes blood flow.

    Attributes
    ----------
    labelling : str
        'PCASL', 'CASL' or 'PASL'.
    pairs : list of (int, int, float, float)
        Control and label volume (equal where it is a difference already), delay and duration, s.
    cbf : list of int
        Volumes that hold blood flow already.
    slice_axis : int
        Canonical axis across the slices.
    slice_times : list of float
        s, along that axis; empty for 3D.
    efficiency : float
        Of labelling, in all.
    blood_t1 : float
        s.
    m0_scale : float
        What the M0 image, which has not been corrected for it, is multiplied with: recovery.
    crushed : bool
        Whether signal of arteries was crushed.
    doubts : list of str
        What makes values uncertain.

    Examples
    --------
    >>> import tempfile
    >>> plan = Plan(labelling='PCASL', pairs=[(0, 1, 1.8, 1.8)], slice_times=[0.0, 0.5])
    >>> again = Plan.read(plan.write(f'{tempfile.mkdtemp()}/plan.json'))
    >>> again == plan, again.delay_map((1, 1, 2), 1.8).ravel().tolist()
    (True, [1.8, 2.3])
    """

    labelling: str
    pairs: list[tuple[int, int, float, float]] = field(default_factory=list)
    cbf: list[int] = field(default_factory=list)
    slice_axis: int = 2
    slice_times: list[float] = field(default_factory=list)
    efficiency: float = 0.85
    blood_t1: float = 1.65
    m0_scale: float = 1.0
    crushed: bool = False
    doubts: list[str] = field(default_factory=list)

    @property
    def settings(self) -> list[tuple[float, float]]:
        """Different delays with their durations, s, the shortest first."""
        return sorted({(delay, duration) for _, _, delay, duration in self.pairs})

    def delay_map(self, shape, delay: float) -> np.ndarray:
        """Return the delay of each voxel, s, with the time of its slice."""
        along = np.zeros(shape[self.slice_axis]) + delay
        if self.slice_times:
            along = along + np.asarray(self.slice_times)
        view = [1, 1, 1]
        view[self.slice_axis] = -1
        return np.broadcast_to(along.reshape(view), shape[:3])

    def write(self, path: str | Path) -> str:
        """Write it as JSON; return the path."""
        Path(path).write_text(json.dumps(asdict(self)), encoding='utf-8')
        return str(path)

    @classmethod
    def read(cls, path: str | Path) -> Plan:
        """Read what :meth:`write` wrote."""
        facts = json.loads(Path(path).read_text(encoding='utf-8'))
        return cls(**(facts | {'pairs': [tuple(pair) for pair in facts['pairs']]}))
