"""Files in, files out; the numbers are in the science."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, isdefined, traits

from csvdprep.bids.tsv import write_tsv
from csvdprep.imaging.atlas import DEEP_GREY, labels_of
from csvdprep.imaging.frame import ImageFrame
from csvdprep.imaging.images import load, save
from csvdprep.imaging.labelling import Plan, load_scaled
from csvdprep.interfaces.cerebrum import FLUID, PURE, Cerebrum
from csvdprep.interfaces.values import Value, read_measure, write_values
from csvdprep.markers.perfusion import ARTERIES, REGIONS, RINGS, ROOM, SNR_REGIONS, ZONES
from csvdprep.markers.perfusion.science.partial_volume import tissue_flows
from csvdprep.markers.perfusion.science.quality import judge_map, spatial_cov
from csvdprep.markers.perfusion.science.rings import ring_slope
from csvdprep.science.distances import distance_map
from csvdprep.science.labelled_blood import Labelling, fit_delays

#: Share of grey matter, or of deep structures, from which a voxel counts.
GREY = 0.7
#: Fewest voxels of a value.
LEAST_VOXELS = 10
#: Signal over noise below which a regional value asks for a look.
LEAST_SNR = 3.0
#: Times the median flow of grey matter from which label is in arteries.
ARTERIAL = 2.5
#: Arrival of the voxels of a region and that of its mean differences may differ by this, s.
LEANING_S = 0.2
COLUMNS = ('ring', 'n_voxels', 'distance_mm', 'mean', 'se')
#: What the end of the bolus may need to reach white matter, s: the delay that the consensus asks
#: for (Alsop 2015, doi:10.1002/mrm.25197); of PASL, from the cut-off to the read-out.
WHITE_S = 1.8
#: Measures of white matter.
WHITE = tuple(
    f'cbf_{name}'
    for name in (
        'wm',
        'nawm',
        'wmh',
        *ZONES,
        'wm_pvc',
        *(f'ring_{low}_{high}' for low, high in RINGS),
        'ring_slope',
        'gm_wm_ratio',
    )
)


class _InputSpec(TraitedSpec):
    cbf = File(exists=True, mandatory=True, desc='blood flow')
    att = File(exists=True, mandatory=True, desc='arrival time')
    flow_kept = File(exists=True, mandatory=True, desc='which pairs were averaged')
    blood_flow_values = File(exists=True, mandatory=True, desc='what the map is')
    asl_preproc = File(exists=True, mandatory=True, desc='aligned series')
    asl_plan = File(exists=True, mandatory=True, desc='its pairs')
    asl_mask = File(exists=True, mandatory=True, desc='its brain')
    asl_to_anat = File(exists=True, mandatory=True, desc='resamples it onto the reference')
    gm_probseg = File(exists=True, mandatory=True, desc='grey matter')
    wm_probseg = File(exists=True, mandatory=True, desc='white matter')
    csf_probseg = File(exists=True, mandatory=True, desc='fluid')
    structures_dseg = File(exists=True, mandatory=True, desc='deep structures')
    territories_dseg = File(exists=True, mandatory=True, desc='vascular territories')
    wmh_mask = File(exists=True, desc='hyperintensities')
    flair_to_anat = File(exists=True, desc='resamples the FLAIR onto the reference')
    zones_dseg = File(exists=True, desc='zones of hyperintensities')
    margin_mm = traits.Float(mandatory=True, desc='margin around hyperintensities')


class _OutputSpec(TraitedSpec):
    cbf_grey = File(exists=True, desc='flow of grey matter')
    cbf_white = File(exists=True, desc='flow of white matter')
    cbf_regions = File(exists=True, desc='regions')
    perfusion_profile = File(exists=True, desc='rings')
    perfusion_values = File(exists=True, desc='measures')


class MeasureFlow(SimpleInterface):
    """Average blood flow over tissues, territories and rings."""

    input_spec = _InputSpec
    output_spec = _OutputSpec

    def _run_interface(self, runtime):
        given, folder = self.inputs, Path(runtime.cwd)
        image = load(given.cbf)
        cbf = np.asanyarray(image.dataobj, dtype=np.float64)
        att = np.asanyarray(load(given.att).dataobj, dtype=np.float64)
        told = json.loads(Path(given.flow_kept).read_text(encoding='utf-8'))
        whole = read_measure(given.blood_flow_values, 'blood_flow.cbf_brain', ROOM)
        plan = Plan.read(given.asl_plan)
        others = {'flair': given.flair_to_anat} if isdefined(given.flair_to_anat) else {}
        frame = ImageFrame.read(given.cbf, given.asl_to_anat, others)
        tissue = Cerebrum.read(
            frame,
            wm_probseg=given.wm_probseg,
            csf_probseg=given.csf_probseg,
            structures_dseg=given.structures_dseg,
            dwi_mask=given.asl_mask,
        )
        known = tissue.brain & (cbf != 0)
        grey = frame.share(given.gm_probseg)
        places, distance = self._places(frame, tissue, grey, known)
        flows = tissue_flows(cbf, grey, tissue.white, known, plan.slice_axis)
        for name, array in zip(('cbf_grey', 'cbf_white'), flows, strict=True):
            self._results[name] = save(np.nan_to_num(array), image, folder / f'{name}.nii.gz')
        self._results['cbf_regions'] = save(_labels(places), image, folder / 'regions.nii.gz')

        noise = _Noise.read(given.asl_preproc, plan, told['kept'])
        leaning = _Arrival(noise, plan, att) if told['source'] == 'computed' else None
        doubt = whole.reason if whole.qc else ''
        values = {}
        for name in REGIONS:
            flow = self._mean(cbf, places, name, doubt)
            values[f'cbf_{name}'] = _doubted(flow, leaning, places[name])
        for name in SNR_REGIONS:
            snr = noise.of(places.get(name))
            values[f'cbf_snr_{name}'] = snr
            flow = values[f'cbf_{name}']
            if flow.value is not None and snr.value is not None and snr.value < LEAST_SNR:
                said = f'its signal is {snr.value:.1f} times its standard error'
                reason = '; '.join(part for part in (flow.reason, said) if part)
                values[f'cbf_{name}'] = replace(flow, qc='warn', reason=reason)
        for name, value in self._corrected(flows, grey, tissue.white, known, doubt).items():
            place = places['gm' if name == 'cbf_gm_pvc' else 'wm']
            values[name] = _doubted(value, leaning, place)
        values |= self._arteries(frame, cbf, att, places, leaning, doubt)
        values |= _grey_quality(cbf, places)
        rows, rings = _rings(cbf, distance, tissue, known, places, doubt)
        values |= rings
        early = _too_early(plan, places['wm']) if told['source'] == 'computed' else ''
        if early:
            values |= {
                name: replace(
                    values[name],
                    qc='warn',
                    reason='; '.join(filter(None, (values[name].reason, early))),
                )
                for name in WHITE
                if values[name].value is not None
            }
        write_tsv(folder / 'profile.tsv', [COLUMNS, *rows], digits=6)
        self._results['perfusion_profile'] = str(folder / 'profile.tsv')
        quality = judge_map(cbf, grey, tissue.white, tissue.fluid, known, frame.voxel_mm)
        values['qc_cbf_qei'] = Value(
            quality.index,
            n=int(known.sum()),
            reason='' if quality.index is not None else 'too little pure tissue is covered',
        )
        self._results['perfusion_values'] = write_values(folder / 'values.json', values, ROOM)
        return runtime

    def _places(self, frame, tissue, grey, known):
        """Return the voxels of each region (None: nobody knows), and distances from lesions."""
        given = self.inputs
        deep = frame.share(given.structures_dseg, labels=labels_of('structures', *DEEP_GREY))
        inner = known & (tissue.others <= FLUID)
        # What surrounds it dilutes white matter by next to nothing; fluid has no flow.
        white = inner & (tissue.white >= PURE) & (tissue.fluid <= FLUID)
        places = {
            'gm': inner & (grey >= GREY),
            'dgm': known & (deep >= GREY) & (tissue.fluid <= FLUID),
            'wm': white,
            **dict.fromkeys(('nawm', 'wmh', *ZONES)),
        }
        if not isdefined(given.wmh_mask) or not isdefined(given.flair_to_anat):
            return places, None
        lesions = load(given.wmh_mask)
        inside = np.asanyarray(lesions.dataobj) > 0
        share = frame.share(given.wmh_mask, 'flair')
        places['wmh'] = known & (share >= 0.5)
        distance = np.full(known.shape, np.inf)
        if inside.any():
            affine = np.linalg.inv(frame.ways['flair']) @ lesions.affine
            distance = distance_map(inside, affine, known.shape, frame.image.affine, where=known)
        places['nawm'] = white & (share < 0.01) & (distance > given.margin_mm)
        if isdefined(given.zones_dseg):
            for name, label in ZONES.items():
                places[name] = known & (
                    frame.share(given.zones_dseg, 'flair', labels=(label,)) >= 0.5
                )
        return places, np.where(known & (share < 0.05), distance, np.nan)

    def _mean(self, cbf, places, name, doubt) -> Value:
        place = places[name]
        if place is None and name in ZONES and places['wmh'] is not None:
            return Value(None, reason='the zones of hyperintensities are not known')
        if place is None:
            return Value(None, reason='hyperintensities are not known: no FLAIR')
        return _average(cbf, place, REGIONS[name], doubt)

    def _corrected(self, flows, grey, white, known, doubt):
        values = {}
        for name, flow, share in zip(('gm', 'wm'), flows, (grey, white), strict=True):
            place = known & (share >= 0.5) & np.isfinite(flow)
            values[f'cbf_{name}_pvc'] = _average(flow, place, 'half of this tissue', doubt)
        return values

    def _arteries(self, frame, cbf, att, places, leaning, doubt):
        """Return flow and arrival by artery and side, and the difference of the sides."""
        given, values = self.inputs, {}
        cortex = places['gm']
        several = att.any()
        single = Value(None, reason='one delay does not tell the arrival time')
        sides = {'left': np.zeros(cortex.shape, bool), 'right': np.zeros(cortex.shape, bool)}
        for name, (_, labels) in ARTERIES.items():
            for side, label in zip(('left', 'right'), labels, strict=True):
                place = cortex & (frame.share(given.territories_dseg, labels=(label,)) > 0.5)
                sides[side] |= place
                words = f'cortical grey matter of the {side} {name.upper()}'
                flow = _average(cbf, place, words, doubt)
                values[f'cbf_{name}_{side}'] = _doubted(flow, leaning, place)
                arrival = _median(att, place, words, doubt) if several else single
                values[f'att_{name}_{side}_s'] = _doubted(arrival, leaning, place)
        for name in ('gm', 'wm'):
            arrival = _median(att, places[name], REGIONS[name], doubt) if several else single
            values[f'att_{name}_s'] = _doubted(arrival, leaning, places[name])
        left, right = (_average(cbf, sides[side], f'the {side} side') for side in sides)
        value = Value(None, reason=left.reason or right.reason)
        if left.value is not None and right.value is not None and left.value + right.value > 0:
            both = left.value + right.value
            value = Value(200 * (left.value - right.value) / both, n=left.n + right.n)
        for place in sides.values():
            value = _doubted(value, leaning, place)
        values['cbf_gm_asymmetry_pct'] = value
        return values


class _Noise:
    """Differences of control and label over time, of any region."""

    def __init__(self, data, groups):
        self._data, self.groups = data, groups

    @classmethod
    def read(cls, path, plan, kept):
        """Read the series, and which of its pairs were averaged."""
        groups: dict = {}
        for n in kept:
            groups.setdefault(plan.pairs[n][2:], []).append(plan.pairs[n][:2])
        return cls(np.asanyarray(load_scaled(path).dataobj), groups)

    def differences(self, place) -> list[np.ndarray]:
        """Return the mean differences of a region, of each delay."""
        level = self._data[place].mean(axis=0, dtype=np.float64)
        return [
            np.array([level[c] - (0 if c == n else level[n]) for c, n in pairs])
            for pairs in self.groups.values()
        ]

    def of(self, place) -> Value:
        """Return the mean over the standard error of a region."""
        if place is None:
            return Value(None, reason='hyperintensities are not known: no FLAIR')
        if place.sum() < LEAST_VOXELS:
            return Value(None, reason='too few voxels')
        if sum(map(len, self.groups.values())) < 4:
            return Value(None, reason='fewer than four differences tell no standard error')
        total, squares, count = 0.0, 0.0, 0
        for found in self.differences(place):
            total += found.mean()
            squares += ((found - found.mean()) ** 2).sum()
            count += len(found) - 1
        if not count or not squares:
            return Value(None, reason='each delay has one difference only')
        error = np.sqrt(squares / count * sum(1 / len(pairs) for pairs in self.groups.values()))
        return Value(float(total / error), n=int(place.sum()))


def _too_early(plan, white) -> str:
    """Say that the end of the bolus had less time to reach white matter than it takes; or ''."""
    if len({delay for _, _, delay, _ in plan.pairs}) != 1 or white.sum() < LEAST_VOXELS:
        return ''
    _, _, delay, duration = plan.pairs[0]
    given = float(plan.delay_map(white.shape, delay)[white].mean())
    if plan.labelling == 'PASL':
        given -= duration
    if given >= WHITE_S:
        return ''
    return (
        f'the end of the bolus had {given:.2f} s to reach white matter, which takes up to '
        f'{WHITE_S:g} s: what had not arrived is missing'
    )


class _Arrival:
    """Whether noise moves the arrival times of the voxels of a region."""

    def __init__(self, noise, plan, att):
        self._noise, self._plan, self._att = noise, plan, att

    def doubt(self, place) -> str:
        """Say that voxels and mean differences of a region tell other arrival times; or ''."""
        groups, plan = self._noise.groups, self._plan
        found = self._att[place & (self._att > 0)]
        if len(groups) < 2 or len(found) < LEAST_VOXELS:
            return ''
        seen = [np.mean(own) for own in self._noise.differences(place)]
        delays = [plan.delay_map(place.shape, delay)[place].mean() for delay, _ in groups]
        durations = np.array([duration for _, duration in groups])
        how = Labelling(plan.labelling, plan.efficiency, plan.blood_t1)
        weights = [len(own) for own in groups.values()]
        fit = fit_delays([seen], delays, durations, how, weights)
        whole, voxels = float(fit.att[0]), float(np.median(found))
        if abs(whole - voxels) <= LEANING_S:
            return ''
        says = f'{whole:.2f} s' if np.isfinite(whole) else 'none'
        return (
            f'the arrival time of its voxels ({voxels:.2f} s) is not that of its mean '
            f'differences ({says}): with noise, flow and arrival lean on what was expected'
        )


def _doubted(value: Value, leaning: _Arrival | None, place) -> Value:
    """Flag a value of a region whose arrival times are not sure."""
    said = leaning.doubt(place) if leaning and value.value is not None else ''
    if not said:
        return value
    return replace(value, qc='warn', reason='; '.join(filter(None, (value.reason, said))))


def _average(values, place, words, doubt='') -> Value:
    """Return the mean of a place; n/a where too little of it is covered."""
    count = int(place.sum())
    if count < LEAST_VOXELS:
        return Value(None, reason=f'too few voxels ({count}) of these: {words}')
    return Value(
        float(values[place].mean(dtype=np.float64)),
        n=count,
        reason=doubt,
        qc='warn' if doubt else '',
    )


def _median(att, place, words, doubt='') -> Value:
    """Return the median arrival time of a place, where it is known."""
    found = att[place & (att > 0)]
    if len(found) < LEAST_VOXELS:
        return Value(
            None, reason=f'arrival is known in too few voxels ({len(found)}) of these: {words}'
        )
    return Value(float(np.median(found)), n=len(found), reason=doubt, qc='warn' if doubt else '')


def _labels(places) -> np.ndarray:
    labels = np.zeros(places['gm'].shape, np.uint8)
    for number, name in enumerate(('gm', 'dgm', 'wm', 'nawm', 'wmh'), 1):
        if places[name] is not None:
            labels[places[name]] = number
    return labels


def _grey_quality(cbf, places):
    """Return what the scatter of flow in grey matter says."""
    cortex, white = places['gm'], places['wm']
    few = Value(None, reason='too little cortical grey matter is covered')
    if cortex.sum() < 50:
        return dict.fromkeys(('cbf_gm_cov', 'cbf_arterial_pct', 'cbf_gm_wm_ratio'), few)
    found = cbf[cortex]
    scatter, middle = spatial_cov(found), float(np.median(found))
    count = int(cortex.sum())
    none = Value(None, reason='the mean flow of grey matter is not positive')
    ratio = Value(None, reason='too little white matter is covered, or it has no flow')
    if white.sum() >= LEAST_VOXELS and cbf[white].mean() > 0:
        ratio = Value(float(found.mean() / cbf[white].mean()), of=('cbf_gm', 'cbf_wm'))
    return {
        'cbf_gm_cov': none if scatter is None else Value(scatter, n=count),
        'cbf_arterial_pct': Value(100 * float((found > ARTERIAL * middle).mean()), n=count)
        if middle > 0
        else none,
        'cbf_gm_wm_ratio': ratio,
    }


def _rings(cbf, distance, tissue, known, places, doubt):
    """Return the rows of the profile, and its measures."""
    names = [f'cbf_ring_{low}_{high}' for low, high in RINGS]
    if distance is None or not np.isfinite(distance).any():
        why = 'there are no hyperintensities'
        if distance is None:
            why = 'hyperintensities are not known: no FLAIR'
        return [], dict.fromkeys((*names, 'cbf_ring_slope'), Value(None, reason=why))
    rows, values, points = [], {}, []
    for (low, high), name in zip(RINGS, names, strict=True):
        place = places['wm'] & (distance > low) & (distance <= high)
        values[name] = _average(cbf, place, f'white matter {low} to {high} mm away', doubt)
        count = int(place.sum())
        if count < LEAST_VOXELS:
            rows.append((f'{low}-{high}', count, None, None, None))
            continue
        mean, far = float(cbf[place].mean()), float(distance[place].mean())
        error = float(cbf[place].std(ddof=1) / np.sqrt(count))
        rows.append((f'{low}-{high}', count, far, mean, error))
        points.append((far, mean, count))
    slope = ring_slope(points)
    values['cbf_ring_slope'] = Value(
        slope,
        n=sum(count for _, _, count in points),
        reason=doubt if slope is not None else 'fewer than three rings have voxels enough',
        qc='warn' if doubt and slope is not None else '',
    )
    return rows, values
