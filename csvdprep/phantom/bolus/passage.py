"""How a bolus passes an artery, tissue and the sagittal sinus: curves on a fine grid of times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import gamma
from typing import Any

import numpy as np
from scipy import ndimage as ndi
from scipy.signal import lfilter

from csvdprep.phantom.scanner.scan import Scan

#: Step of the grid of times, s, and of that of transit times, s.
STEP_S, TRANSIT_STEP_S = 0.05, 0.25
#: Longest transit time of the table, s.
LONGEST_S = 25.0
#: First pass in arterial blood: area (mmol/L s), order and scale (s) of its gamma variate.
FIRST = (50.0, 4.0, 1.5)
#: Recirculation: area, order, scale, and how much later it begins, s.
SECOND, LATER_S = (18.0, 5.0, 3.5), 9.0
#: What stays in the blood, mmol/L, and with what time constant it comes, s.
REST, REST_S = 0.5, 25.0


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """A DSC-MRI series: gradient-echo EPI.

    Attributes
    ----------
    scan : Scan
        Grid, coil, and noise relative to white matter before contrast agent.
    tr, te : float
        Time from volume to volume, s; echo time, ms.
    flip : float
        Flip angle, degrees.
    frames : int
        Number of volumes.
    arrival_s : float
        Arrival of the bolus in the large arteries since the start of the series, s.
    slice_s : float
        Time from one slice to the next, s; 0 for volumes read at once.
    residue : {'exponential', 'box'}
        How tissue washes out: well mixed, or plug flow.
    tissue_r2s, blood_r2s : float
        Rise of R2* with the concentration per volume of tissue, and per volume of blood, L/mmol/s;
        linear in both.
    relaxivity : float
        r1 of what has leaked, L/mmol/s.
    leak : float
        Factor on the head's PS.
    drain_s, drain_delay_s : float
        Mean transit time and delay of the sagittal sinus after the large arteries, s.
    motion : float
        How far the head moves: :func:`csvdprep.phantom.scanner.motion.walk`.
    entities : mapping
        ``acq`` and the like.
    fields : mapping
        Fields of the sidecar besides those that follow from the rest.
    """

    scan: Scan
    tr: float = 1.5
    te: float = 30.0
    flip: float = 70.0
    frames: int = 50
    arrival_s: float = 20.0
    slice_s: float = 0.0
    residue: str = 'exponential'
    tissue_r2s: float = 80.0
    blood_r2s: float = 8.0
    relaxivity: float = 4.5
    leak: float = 1.0
    drain_s: float = 3.0
    drain_delay_s: float = 2.0
    motion: float = 0.0
    entities: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)

    def slice_times(self) -> np.ndarray:
        """Return when each slice is read since the start of a volume, s, along the array."""
        return self.slice_s * np.arange(self.scan.grid()[0][self.scan.array_axis])

    @cached_property
    def passage(self) -> Passage:
        """Curves from the arrival on, for the length of the series."""
        return Passage(length_s=self.frames * self.tr + self.tr, residue=self.residue)


def arterial(time_s: np.ndarray) -> np.ndarray:
    """Concentration in arterial blood at times since arrival (s), mmol/L.

    Gamma variates for the first pass and for recirculation, and what stays in the blood. The
    first pass is 6 s wide at half of its height of 7.5 mmol/L, as after 0.1 mmol/kg at 5 mL/s.

    Examples
    --------
    >>> time = np.arange(0, 20, 0.1)
    >>> curve = arterial(time)
    >>> round(float(curve.max()), 1), round(float(time[curve.argmax()]), 1)
    (7.6, 4.5)
    """
    t = np.maximum(np.asarray(time_s, float), 0)
    passes = _gamma_variate(t, *FIRST) + _gamma_variate(np.maximum(t - LATER_S, 0), *SECOND)
    return passes + REST * -np.expm1(-t / REST_S)


def _gamma_variate(time_s, area: float, order: float, scale: float) -> np.ndarray:
    at = time_s / scale
    return area * at ** (order - 1) * np.exp(-at) / (gamma(order) * scale)


@dataclass(frozen=True, kw_only=True)
class Passage:
    """What a mean transit time makes of the arterial curve.

    Attributes
    ----------
    length_s : float
        Times that are asked for, s since arrival.
    residue : {'exponential', 'box'}
        Form of the residue function.
    """

    length_s: float
    residue: str = 'exponential'

    @cached_property
    def times(self) -> np.ndarray:
        """Grid of times since arrival, s."""
        return np.arange(int(np.ceil(self.length_s / STEP_S)) + 1) * STEP_S

    @cached_property
    def blood(self) -> np.ndarray:
        """Concentration in arterial blood on that grid, mmol/L."""
        return arterial(self.times)

    @cached_property
    def integral(self) -> np.ndarray:
        """Its integral, mmol/L s."""
        between = (self.blood[1:] + self.blood[:-1]) / 2 * STEP_S
        return np.concatenate([[0], np.cumsum(between)])

    def washed(self, transit_s: float) -> np.ndarray:
        """Convolve the arterial curve with the residue function of a transit time, mmol/L s.

        Parameters
        ----------
        transit_s : float
            Mean transit time, s.

        Returns
        -------
        ndarray, shape of :attr:`times`

        Examples
        --------
        >>> box = Passage(length_s=60, residue='box').washed(4.0)
        >>> round(float(box[-1] / 4 / Passage(length_s=60).blood[-1]), 2)
        1.0
        """
        if self.residue == 'box':
            return self.integral - np.interp(
                self.times - transit_s, self.times, self.integral, left=0.0
            )
        kept = np.exp(-STEP_S / transit_s)
        # Exact for a curve of straight lines from one time to the next.
        late = transit_s * (1 - transit_s / STEP_S * (1 - kept))
        early = transit_s * (1 - kept) - late
        fed = late * self.blood
        fed[1:] += early * self.blood[:-1]
        fed[0] = 0.0
        return lfilter([1.0], [1.0, -kept], fed)

    @cached_property
    def table(self) -> np.ndarray:
        """Return :meth:`washed` over transit times (first axis) from 0 on in steps."""
        transits = np.arange(1, int(LONGEST_S / TRANSIT_STEP_S) + 1) * TRANSIT_STEP_S
        return np.stack([np.zeros_like(self.times), *map(self.washed, transits)])

    def tissue(self, transit_s: np.ndarray, time_s: np.ndarray) -> np.ndarray:
        """Look up :meth:`washed` for many voxels at times since arrival in each of them, s.

        Returns
        -------
        ndarray, shape of ``transit_s``
            mmol/L s: times blood flow (1/s) it is the concentration per volume of tissue.
        """
        rows = np.clip(transit_s, 0, LONGEST_S) / TRANSIT_STEP_S
        at = np.stack([rows, np.clip(time_s, 0, self.times[-1]) / STEP_S])
        return ndi.map_coordinates(self.table, at, order=1, mode='nearest')

    def peak_s(self, transit_s: np.ndarray) -> np.ndarray:
        """Return when tissue of given transit times is darkest, s since arrival there.

        Examples
        --------
        >>> passage = Passage(length_s=60)
        >>> [round(float(t), 1) for t in passage.peak_s(np.array([0.25, 4.0]))]
        [4.8, 7.5]
        """
        peaks = self.times[np.argmax(self.table, axis=1)]
        peaks[0] = self.times[np.argmax(self.blood)]
        rows = np.arange(len(peaks)) * TRANSIT_STEP_S
        return np.interp(transit_s, rows, peaks)

    @property
    def artery_peak_s(self) -> float:
        """When the arterial curve is highest, s since arrival."""
        return float(self.times[np.argmax(self.blood)])
