"""Files in, files out; the numbers are in the science."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, isdefined, traits

from csvdprep.core.errors import MeasureError
from csvdprep.imaging.frame import ImageFrame
from csvdprep.imaging.images import like, load, resample, save
from csvdprep.imaging.labelling import Plan, load_scaled
from csvdprep.interfaces.values import Value, write_values
from csvdprep.preprocessing.blood_flow import ROOM
from csvdprep.preprocessing.blood_flow.science.outliers import kept_pairs
from csvdprep.science.labelled_blood import (
    Labelling,
    difference,
    fit_delays,
    flow_single,
    residual_noise,
    weighted_delay,
)
from csvdprep.science.smoothing import smoothed

#: Share of the median M0 of the brain below which flow cannot be computed.
LEAST_M0 = 0.2
#: Share of a tissue from which a voxel takes part in the search for outlying pairs.
PURE = 0.7
#: Flow that no tissue has, mL/100 g/min; means of the brain that no living person has.
HIGH, POSSIBLE = 150.0, (2.0, 160.0)


class _InputSpec(TraitedSpec):
    asl_preproc = File(exists=True, mandatory=True, desc='aligned series')
    asl_ref = File(exists=True, mandatory=True, desc='mean control')
    asl_m0 = File(exists=True, mandatory=True, desc='M0')
    asl_mask = File(exists=True, mandatory=True, desc='brain')
    asl_plan = File(exists=True, mandatory=True, desc='how flow is computed')
    asl_to_anat = File(exists=True, desc='resamples the series onto the reference')
    gm_probseg = File(exists=True, desc='grey matter')
    wm_probseg = File(exists=True, desc='white matter')
    csf_probseg = File(exists=True, desc='fluid')
    cbf_given = traits.Dict(desc='blood flow of another tool')
    att_given = traits.Dict(desc='arrival times of another tool')
    outliers = traits.Bool(mandatory=True, desc='whether pairs are left out')
    m0_smooth_mm = traits.Float(mandatory=True, desc='smoothing of M0')
    att_method = traits.Enum('least-squares', 'weighted-delay', mandatory=True, desc='how')


class _OutputSpec(TraitedSpec):
    cbf = File(exists=True, desc='blood flow')
    att = File(exists=True, desc='arrival time')
    flow_kept = File(exists=True, desc='which pairs were averaged')
    blood_flow_values = File(exists=True, desc='measures')


class MapFlow(SimpleInterface):
    """Compute blood flow and arrival times, and judge the map as a whole."""

    input_spec = _InputSpec
    output_spec = _OutputSpec

    def _run_interface(self, runtime):
        given, folder = self.inputs, Path(runtime.cwd)
        plan = Plan.read(given.asl_plan)
        image, mask = load_scaled(given.asl_preproc), load(given.asl_mask)
        data, brain = np.asanyarray(image.dataobj), np.asanyarray(mask.dataobj) > 0
        doubts = list(plan.doubts)
        kept: list[int] = []
        snr = Value(None, reason='there are no differences of control and label')
        if isdefined(given.cbf_given):
            cbf, source = self._given(given.cbf_given, mask), 'given'
            att = self._given(given.att_given, mask) if isdefined(given.att_given) else 0 * cbf
            known = brain & (cbf != 0)
        elif plan.cbf:
            cbf, att, source = data[..., plan.cbf].mean(axis=3), np.zeros(brain.shape), 'scanner'
            known = brain & (cbf != 0)
            doubts.append('flow is as the scanner computed it, in units that nobody says')
        else:
            pairs = np.stack([_subtracted(data, pair) for pair in plan.pairs])
            m0, known = self._m0(plan, brain, nib.affines.voxel_sizes(mask.affine))
            kept = self._kept(plan, pairs, known, mask)
            cbf, att = self._flow(plan, pairs, kept, m0, known, doubts)
            snr = _snr(plan, pairs, kept, known)
            source = 'computed'
        cbf, att = np.where(known, cbf, 0), np.where(known, np.nan_to_num(att), 0)
        level = float(cbf[known].mean()) if known.any() else 0.0
        _check(level, known, source)
        self._results['cbf'] = save(cbf.astype(np.float32), mask, folder / 'cbf.nii.gz')
        self._results['att'] = save(att.astype(np.float32), mask, folder / 'att.nii.gz')
        path = folder / 'kept.json'
        path.write_text(
            json.dumps({'kept': kept, 'doubts': doubts, 'source': source}), encoding='utf-8'
        )
        self._results['flow_kept'] = str(path)
        doubt = '; '.join(doubts)
        count = Value(len(kept), reason=f'{len(plan.pairs) - len(kept)} were left out')
        if source != 'computed':
            count = Value(None, reason='flow was not computed from pairs')
        self._results['blood_flow_values'] = write_values(
            folder / 'values.json',
            {
                'cbf_source': source,
                'cbf_brain': Value(
                    level, n=int(known.sum()), reason=doubt, qc='warn' if doubt else ''
                ),
                'cbf_pairs_kept_n': count,
                'qc_cbf_snr': snr,
                'qc_cbf_negative_pct': 100 * float((cbf[known] < 0).mean()),
                'qc_cbf_high_pct': 100 * float((cbf[known] > HIGH).mean()),
            },
            ROOM,
        )
        return runtime

    def _given(self, told, mask) -> np.ndarray:
        """Bring a map of another tool to the grid of the series."""
        found = load_scaled(told['mask'])
        found = like(np.asanyarray(found.dataobj).mean(axis=3), found)
        if told['on'] == 'asl':
            return resample(found, mask)
        if not isdefined(self.inputs.asl_to_anat):
            raise MeasureError(
                'A map in the space of the T1w was given, but the way to it is not known.',
                remedy='Give the map on the grid of the ASL series, or a T1w.',
            )
        frame = ImageFrame.read(self.inputs.asl_mask, self.inputs.asl_to_anat)
        return resample(found, mask, matrix=frame.to_anat)

    def _m0(self, plan, brain, voxel_mm):
        """Return M0 as it is divided by, and where it is known."""
        m0 = np.asanyarray(load(self.inputs.asl_m0).dataobj, dtype=np.float32)
        middle = float(np.median(m0[brain]))
        if not middle > 0:
            raise MeasureError(
                'M0 is empty in the brain: blood flow has no scale.',
                remedy='Look at the M0 scan; convert it again, or give another.',
            )
        known = brain & (m0 > LEAST_M0 * middle)
        if self.inputs.m0_smooth_mm > 0:
            m0 = smoothed(m0, known, self.inputs.m0_smooth_mm, voxel_mm)
        return m0 * np.float32(plan.m0_scale), known

    def _tissue(self, brain, mask) -> np.ndarray:
        """Return the tissue of each voxel (1 to 3); 1 everywhere where no anatomy tells it."""
        given = self.inputs
        maps = (given.gm_probseg, given.wm_probseg, given.csf_probseg)
        if not isdefined(given.asl_to_anat) or not all(map(isdefined, maps)):
            return brain.astype(np.uint8)
        frame = ImageFrame.read(given.asl_mask, given.asl_to_anat)
        tissue = np.zeros(brain.shape, np.uint8)
        for number, path in enumerate(maps, 1):
            tissue[brain & (frame.share(path) > PURE)] = number
        return tissue if (tissue == 1).sum() >= 50 else brain.astype(np.uint8)

    def _kept(self, plan, pairs, known, mask) -> list[int]:
        if not self.inputs.outliers or len(pairs) < 3:
            return list(range(len(pairs)))
        tissue = self._tissue(known, mask)[known]
        group = [plan.settings.index((d, t)) for _, _, d, t in plan.pairs]
        return np.flatnonzero(kept_pairs(pairs[:, known], tissue, group)).tolist()

    def _flow(self, plan, pairs, kept, m0, known, doubts):
        """Return flow and arrival of each voxel."""
        how = Labelling(plan.labelling, plan.efficiency, plan.blood_t1)
        groups = _groups(plan, kept)
        shape = known.shape
        means = {key: pairs[own].mean(axis=0)[known] / m0[known] for key, own in groups.items()}
        delays = {key: plan.delay_map(shape, key[0])[known] for key in groups}
        cbf, att = np.zeros(shape), np.full(shape, np.nan)
        if len(groups) == 1:
            ((key, ratio),) = means.items()
            cbf[known] = flow_single(ratio, delays[key], key[1], how)
            return cbf, att
        keys = sorted(groups)
        ratios = np.stack([means[key] for key in keys], axis=1)
        times = np.stack([delays[key] for key in keys], axis=1)
        durations = np.array([key[1] for key in keys])
        weights = np.array([len(groups[key]) for key in keys])
        if self.inputs.att_method == 'least-squares':
            noise = _noise(pairs, list(groups.values()), known)
            if noise is None and len(keys) > 2:
                noise = residual_noise(ratios, times, durations, how, m0[known])
            elif noise is None:
                noise = _noise_of_neighbours(pairs, known)
                doubts.append(
                    'each of two delays has one difference: its noise is not known, but judged by '
                    'neighbours'
                )
            noise = noise / m0[known]
            fit = fit_delays(ratios, times, durations, how, weights, noise)
            cbf[known], att[known] = fit.cbf, fit.att
            return cbf, att
        arrival, late = np.full(len(ratios), np.nan), times[:, 0] - keys[0][0]
        for extra in np.unique(late):
            own = late == extra
            first = times[own][0]
            arrival[own] = weighted_delay(ratios[own], first, durations, how)
        middle = np.nanmedian(arrival) if np.isfinite(arrival).any() else 1.0
        model = difference(np.nan_to_num(arrival, nan=middle)[:, None], times, durations, how)
        size = (weights * model**2).sum(axis=1)
        cbf[known] = (weights * model * ratios).sum(axis=1) / np.maximum(size, 1e-24)
        att[known] = arrival
        return cbf, att


def _subtracted(data, pair) -> np.ndarray:
    control, label = pair[0], pair[1]
    return data[..., control] if control == label else data[..., control] - data[..., label]


def _groups(plan, kept) -> dict[tuple[float, float], list[int]]:
    """Return the pairs of each delay and duration."""
    groups: dict[tuple[float, float], list[int]] = {}
    for n in kept:
        groups.setdefault(plan.pairs[n][2:], []).append(n)
    return groups


def _noise(pairs, groups, known) -> np.ndarray | None:
    """Return the standard deviation of a single difference; None where each delay has one only."""
    squares, count = 0.0, 0
    for own in groups:
        some = pairs[own][:, known]
        squares = squares + ((some - some.mean(axis=0)) ** 2).sum(axis=0)
        count += len(own) - 1
    return np.sqrt(squares / count) if count else None


def _noise_of_neighbours(pairs, known) -> float:
    """Return the scatter of a voxel about the mean of the two beside it, as of a single one."""
    inner = known[2:] & known[1:-1] & known[:-2]
    apart = [(p[1:-1] - (p[2:] + p[:-2]) / 2)[inner] for p in pairs]
    found = np.abs(np.concatenate(apart))
    return 1.4826 * float(np.median(found)) / np.sqrt(1.5) if found.size else 0.0


def _snr(plan, pairs, kept, known) -> Value:
    """Return the median over voxels of the mean difference over its standard error."""
    if len(kept) < 4:
        return Value(None, reason='fewer than four differences tell no standard error')
    groups = list(_groups(plan, kept).values())
    mean, variance, count = 0.0, 0.0, 0
    for own in groups:
        some = pairs[own][:, known]
        mean = mean + some.mean(axis=0) / len(groups)
        variance = variance + ((some - some.mean(axis=0)) ** 2).sum(axis=0)
        count += len(own) - 1
    if not count:
        return Value(None, reason='each delay has one difference only')
    error = np.sqrt(variance / count * sum(1 / len(own) for own in groups)) / len(groups)
    return Value(float(np.median(mean / np.maximum(error, 1e-12))), n=int(known.sum()))


def _check(level: float, known: np.ndarray, source: str) -> None:
    """Refuse a map that no living brain has."""
    low, high = POSSIBLE
    if known.any() and low <= level <= high:
        return
    if source != 'computed':
        raise MeasureError(
            f'The map of blood flow ({source}) has a mean of {level:.3g} in the brain, which is '
            'not in mL/100 g/min.',
            remedy='Look at the map and at its unit.',
        )
    raise MeasureError(
        f'Blood flow of the brain would be {level:.3g} mL/100 g/min, which is impossible.',
        remedy='Check that series and M0 are stored with one scale, M0Type, the efficiency of '
        'labelling, and the delays.',
    )
