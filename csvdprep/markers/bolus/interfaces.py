"""Files in, files out; the numbers are in the science."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, isdefined, traits

from csvdprep.bids.tsv import write_tsv
from csvdprep.core.errors import MeasureError
from csvdprep.core.regions import MAIN, REGIONS
from csvdprep.imaging.frame import ImageFrame
from csvdprep.imaging.images import load, save
from csvdprep.interfaces.contrast_regions import contrast_regions, unsegmented
from csvdprep.interfaces.values import Value, write_values
from csvdprep.markers.bolus import ROOM, TIMED
from csvdprep.science.bolus import (
    correct_leakage,
    deconvolve,
    describe_times,
    find_arteries,
    reference_curve,
    time_to_peak,
    to_relaxation,
)
from csvdprep.science.bolus.arteries import find_drain
from csvdprep.science.morphology import dilate
from csvdprep.science.sinus import in_sinus

#: Fewest voxels of a region.
LEAST_VOXELS = 20
#: Share of the voxels, those of the highest blood volume, that are vessels.
VESSELS = 0.02
#: The first pass is over so long after the lowest mean signal, s.
PASS_S = 15.0
#: Arteries are looked for in the brain and so far around it, the sinus farther, mm.
ARTERIES_MM, SINUS_MM = 5.0, 15.0
#: Share of the signal of the brain from which a voxel counts as head.
HEAD = 0.1
#: Bins of the distribution of times to peak, s.
BIN_S, TIMES_S = 0.25, (-2.0, 14.0)


class _InputSpec(TraitedSpec):
    dsc_preproc = File(exists=True, mandatory=True, desc='series at rest')
    dsc_baseline = File(exists=True, mandatory=True, desc='mean before the contrast agent')
    dsc_mask = File(exists=True, mandatory=True, desc='brain')
    dsc_to_anat = File(exists=True, mandatory=True, desc='resamples it onto the reference')
    dsc_protocol = File(exists=True, mandatory=True, desc='what is known of the series')
    gm_probseg = File(exists=True, mandatory=True, desc='grey matter')
    wm_probseg = File(exists=True, mandatory=True, desc='white matter')
    csf_probseg = File(exists=True, mandatory=True, desc='fluid')
    structures_dseg = File(exists=True, mandatory=True, desc='deep structures')
    mni_to_anat = File(exists=True, mandatory=True, desc='resamples the template onto it')
    wmh_mask = File(exists=True, desc='hyperintensities, on the FLAIR')
    zones_dseg = File(exists=True, desc='their zones')
    flair_to_anat = File(exists=True, desc='resamples the FLAIR onto the reference')
    leakage = traits.Bool(mandatory=True, desc='whether leakage is corrected')
    deconvolution = traits.Enum('oscillation', 'threshold', mandatory=True, desc='cut-off')
    threshold = traits.Float(mandatory=True, desc='of cSVD')
    margin_mm = traits.Float(mandatory=True, desc='from where white matter is normal')


class _OutputSpec(TraitedSpec):
    dsc_cbv = File(exists=True, desc='relative blood volume')
    dsc_cbf = File(exists=True, desc='relative blood flow')
    dsc_mtt = File(exists=True, desc='mean transit time')
    dsc_tmax = File(exists=True, desc='time of the height of the residue function')
    dsc_ttp = File(exists=True, desc='time to peak after the artery')
    dsc_vessels = File(exists=True, desc='where blood was measured')
    dsc_regions = File(exists=True, desc='regions')
    dsc_curves = File(exists=True, desc='curves')
    dsc_times = File(exists=True, desc='distribution of times to peak')
    dsc_estimates = File(exists=True, desc='what was found')
    bolus_values = File(exists=True, desc='measures')


@dataclass(frozen=True, eq=False)
class _Series:
    """The change of R2* of the voxels near the brain, and when each is read."""

    where: np.ndarray
    curves: np.ndarray
    lowest: np.ndarray
    late_s: np.ndarray
    known: dict[str, Any]

    @property
    def step_s(self) -> float:
        return self.known['step_s']

    @property
    def baseline(self) -> slice:
        return slice(*self.known['baseline'])

    @property
    def last(self) -> int:
        """Volume after the first pass."""
        after = int(np.ceil(PASS_S / self.step_s))
        return min(self.curves.shape[1], self.known['peak'] + after + 1)

    @property
    def doubt(self) -> str:
        """Why times of different slices cannot be compared; empty where they can."""
        if self.known['slices_known']:
            return ''
        return f'times of slices are not known: off by up to {self.step_s:.2g} s between slices'

    def peaks(self, curves: np.ndarray) -> np.ndarray:
        """Return times to peak within the first pass, s since the first volume."""
        return time_to_peak(curves, self.step_s, max(self.baseline.stop - 1, 0), self.last)

    def peak_of(self, found) -> float:
        """Return when an artery or a vein is highest, s since the start of the series."""
        return float(self.peaks(found.curve[None])[0] + self.late_s[found.where].mean())

    def of(self, mask: np.ndarray) -> np.ndarray:
        """Return which rows lie in a mask of the grid."""
        return mask[self.where]


@dataclass(frozen=True, eq=False)
class _Region:
    """What was found of a region."""

    voxels: int
    cbv: float
    uncorrected: float
    cbf: float
    mtt_s: float
    tmax_s: float
    k2: float
    threshold: float


class TrackBolus(SimpleInterface):
    """Find artery and sinus, deconvolve, describe times to peak."""

    input_spec = _InputSpec
    output_spec = _OutputSpec

    def _run_interface(self, runtime):
        given, folder = self.inputs, Path(runtime.cwd)
        image = load(given.dsc_preproc)
        brain = np.asanyarray(load(given.dsc_mask).dataobj) > 0
        others = {}
        if isdefined(given.wmh_mask) and isdefined(given.flair_to_anat):
            others['flair'] = given.flair_to_anat
        frame = ImageFrame.read(given.dsc_baseline, given.dsc_to_anat, others)
        series = self._series(image, brain, frame)
        inside = series.of(brain)
        regions = contrast_regions(frame, brain, folder, given, given.margin_mm)
        aif, why = None, ''
        try:
            aif = self._artery(series, frame, brain)
        except MeasureError as error:
            why = f'{error.message} Remedy: {error.remedy}'
        sinus, no_sinus = self._sinus(series, frame, brain)
        reference = reference_curve(series.curves[inside], series.baseline)
        corrected, k2 = series.curves, np.zeros(len(series.curves))
        if given.leakage:
            corrected, k2 = correct_leakage(series.curves, reference, series.step_s)
        area = np.trapezoid(corrected, axis=1) * series.step_s
        vessels = np.zeros(brain.shape, bool)
        vessels[series.where] = area > np.quantile(area[inside], 1 - VESSELS)
        regions = {name: mask & ~vessels for name, mask in regions.items()}
        maps, found, ttp = {}, {}, None
        if aif is not None:
            maps = self._maps(series, aif, area, inside)
            found = self._regions(series, aif, corrected, k2, regions)
            ttp = series.peaks(series.curves) + series.late_s - series.peak_of(aif)
        timed = self._timed(series, regions, ttp, brain)
        base = found.get('nawm')
        self._save_maps(image, folder, series, maps, ttp, base, inside)
        self._save_labels(image, folder, series, aif, sinus, regions, brain)
        self._results['dsc_curves'] = _write_curves(
            folder / 'curves.tsv', series, aif, sinus, reference, regions
        )
        self._results['dsc_times'] = _write_times(folder / 'times.tsv', timed)
        self._results['dsc_estimates'] = _write_estimates(
            folder / 'estimates.tsv', found, base, regions, series, ttp
        )
        segmented = 'flair' in frame.ways
        values = _of_regions(found, base, regions, why, series.doubt)
        values |= _of_times(timed, why, series, segmented)
        if not segmented:
            values = {name: unsegmented(name, value) for name, value in values.items()}
        values |= _of_vessels(series, aif, sinus, no_sinus, timed, why)
        self._results['bolus_values'] = write_values(folder / 'values.json', values, ROOM)
        return runtime

    def _series(self, image, brain, frame) -> _Series:
        """Convert what lies in and around the brain to the change of R2*."""
        known = json.loads(Path(self.inputs.dsc_protocol).read_text(encoding='utf-8'))
        data = np.asanyarray(image.dataobj, dtype=np.float32)
        baseline = slice(*known['baseline'])
        first = data[..., baseline].mean(axis=-1)
        around = dilate(brain, frame.voxel_mm, SINUS_MM)
        around &= first > HEAD * float(np.median(first[brain]))
        around |= brain
        where = np.nonzero(around & (first > 0))
        signal = data[where]
        noise = known['noise'] or 0.0
        curves = to_relaxation(signal, baseline, known['te_s'], noise)
        lowest = signal.min(axis=1) / noise if noise else np.full(len(signal), np.inf)
        times = np.asarray(known['slice_s'] or np.zeros(data.shape[known['slice_axis']]))
        return _Series(where, curves, lowest, times[where[known['slice_axis']]], known)

    def _artery(self, series, frame, brain):
        """Find the arterial input function among voxels in and near the brain."""
        near = series.of(dilate(brain, frame.voxel_mm, ARTERIES_MM))
        rows = np.flatnonzero(near)
        places = nib.affines.apply_affine(
            frame.image.affine, np.stack([axis[rows] for axis in series.where], axis=1)
        )
        found = find_arteries(
            series.curves[rows],
            series.lowest[rows],
            places,
            series.baseline,
            series.step_s,
            series.last,
            series.late_s[rows],
        )
        return found.of(rows)

    def _sinus(self, series, frame, brain):
        """Find the superior sagittal sinus; the reason without it."""
        places = nib.affines.apply_affine(frame.image.affine, np.stack(series.where, axis=1))
        points = frame.in_template(places, self.inputs.mni_to_anat)
        volume = float(np.prod(frame.voxel_mm)) / 1000
        failed = ''
        for box in (0, 1):
            rows = np.flatnonzero(in_sinus(points, box))
            try:
                found = find_drain(
                    series.curves[rows],
                    series.lowest[rows],
                    series.baseline,
                    series.step_s,
                    series.last,
                    volume,
                )
                return found.of(rows), ''
            except MeasureError as error:
                failed = failed or f'{error.message} Remedy: {error.remedy}'
        return None, failed

    def _deconvolve(self, series, aif, curves):
        given = self.inputs
        more = {'oscillation': None, 'threshold': given.threshold}
        return deconvolve(
            aif.curve,
            curves,
            series.step_s,
            **(more if given.deconvolution == 'threshold' else {}),
        )

    def _maps(self, series, aif, area, inside):
        """Deconvolve the voxels of the brain; the area of their curves is that without leakage."""
        found = self._deconvolve(series, aif, series.curves[inside])
        shift = series.late_s[inside] - float(series.late_s[aif.where].mean())
        return {
            'cbv': area[inside] / (np.trapezoid(aif.curve) * series.step_s),
            'cbf': found.flow,
            'mtt': np.nan_to_num(found.mtt_s),
            'tmax': found.tmax_s + shift,
        }

    def _regions(self, series, aif, corrected, k2, regions):
        """Deconvolve the mean curves of regions: means of voxels would keep what noise does.

        Correction of leakage takes some of a long transit for leakage: only blood volume has it.
        """
        out = {}
        first = float(series.late_s[aif.where].mean())
        whole = float(np.trapezoid(aif.curve))
        for name, mask in regions.items():
            rows = series.of(mask)
            if rows.sum() < LEAST_VOXELS:
                continue
            found = self._deconvolve(
                series, aif, series.curves[rows].mean(axis=0, dtype=np.float64)
            )
            out[name] = _Region(
                voxels=int(rows.sum()),
                cbv=float(np.trapezoid(corrected[rows].mean(axis=0, dtype=np.float64))) / whole,
                uncorrected=float(found.volume),
                cbf=float(found.flow),
                mtt_s=float(found.mtt_s),
                tmax_s=float(found.tmax_s) + float(series.late_s[rows].mean()) - first,
                k2=float(k2[rows].mean()),
                threshold=float(found.threshold),
            )
        return out

    def _timed(self, series, regions, ttp, brain):
        """Return the times to peak of each region that is described."""
        if ttp is None:
            return {}
        wide = regions['nawm'].copy()
        for name, mask in regions.items():
            if name == 'wmh' or name.startswith('pen_'):
                wide |= mask
        masks = {'brain': brain, 'wm': wide, 'nawm': regions['nawm'], 'wmh': regions.get('wmh')}
        return {name: ttp[series.of(mask)] for name, mask in masks.items() if mask is not None}

    def _save_maps(self, image, folder, series, maps, ttp, base, inside):
        """Write maps; those of volume and flow relative to NAWM, 0 without it."""
        scale = {'cbv': base.cbv if base else 0, 'cbf': base.cbf if base else 0}
        at = tuple(axis[inside] for axis in series.where)
        for name in ('cbv', 'cbf', 'mtt', 'tmax', 'ttp'):
            array = np.zeros(image.shape[:3], np.float32)
            if name == 'ttp' and ttp is not None:
                array[at] = np.nan_to_num(ttp[inside])
            elif name in maps:
                factor = 1.0
                if name in scale:
                    factor = 1 / scale[name] if scale[name] > 0 else 0.0
                array[at] = maps[name] * factor
            self._results[f'dsc_{name}'] = save(array, image, folder / f'{name}.nii.gz')

    def _save_labels(self, image, folder, series, aif, sinus, regions, brain):
        vessels = np.zeros(brain.shape, np.uint8)
        for label, found in ((2, sinus), (1, aif)):
            if found is not None:
                vessels[tuple(axis[found.where] for axis in series.where)] = label
        labels = np.zeros(brain.shape, np.uint8)
        for number, name in enumerate(MAIN, start=1):
            if name in regions:
                labels[regions[name]] = number
        self._results['dsc_vessels'] = save(vessels, image, folder / 'vessels.nii.gz')
        self._results['dsc_regions'] = save(labels, image, folder / 'regions.nii.gz')


_NONE = {'cbv': 'blood volume', 'cbf': 'blood flow'}


def _missing(name, mask, why) -> str:
    if why:
        return why
    if mask is None:
        return 'hyperintensities were not segmented'
    return f'the region has {int(mask.sum())} voxels, at least {LEAST_VOXELS} are needed'


def _of_regions(found, base, regions, why, doubt):
    values = {}
    for name in REGIONS:
        of, reason = found.get(name), _missing(name, regions.get(name), why)
        for key in () if name == 'nawm' else ('cbv', 'cbf'):
            column = f'dsc_{key}_{name}_to_nawm'
            if of is None:
                values[column] = Value(None, reason=reason)
            elif base is None:
                values[column] = Value(
                    None, reason=_missing('nawm', regions.get('nawm'), why) + ' (NAWM)'
                )
            elif not (getattr(base, key) > 0 and getattr(of, key) > 0):
                where = 'of the region' if getattr(base, key) > 0 else 'of NAWM'
                values[column] = Value(None, reason=f'{_NONE[key]} {where} is not above 0')
            else:
                values[column] = Value(getattr(of, key) / getattr(base, key), n=of.voxels)
        good = of is not None and of.mtt_s > 0
        lost = reason if of is None else 'the curve has no area, or no flow'
        values[f'dsc_mtt_{name}_s'] = (
            Value(of.mtt_s, n=of.voxels) if good else Value(None, reason=lost)
        )
        values[f'dsc_tmax_{name}_s'] = (
            Value(of.tmax_s, n=of.voxels, reason=doubt, qc='warn' if doubt else '')
            if good
            else Value(None, reason=lost)
        )
    return values


def _of_times(timed, why, series, segmented):
    values = {}
    doubt = series.doubt
    for name in TIMED:
        found = describe_times(timed[name]) if name in timed else None
        columns = (f'tdc_{name}_median_s', f'tdc_{name}_width_s', f'tdc_{name}_skew')
        if found is None:
            reason = why or (
                'hyperintensities were not segmented'
                if name == 'wmh' and not segmented
                else f'fewer than {LEAST_VOXELS} voxels have a time to peak'
            )
            values |= {column: Value(None, reason=reason) for column in columns}
            continue
        for column, value in zip(
            columns, (found.median_s, found.width_s, found.skew), strict=True
        ):
            values[column] = Value(value, n=found.voxels, reason=doubt, qc='warn' if doubt else '')
    return values


def _of_vessels(series, aif, sinus, no_sinus, timed, why):
    values = {}
    if aif is None or sinus is None:
        values['tdc_avtt_s'] = Value(None, reason=why or no_sinus)
    else:
        transit = series.peak_of(sinus) - series.peak_of(aif)
        values['tdc_avtt_s'] = (
            Value(
                transit, n=len(sinus.where), reason=series.doubt, qc='warn' if series.doubt else ''
            )
            if np.isfinite(transit)
            else Value(None, reason='artery or sinus has no peak within the first pass')
        )
    values['dsc_sinus_voxels_n'] = (
        len(sinus.where) if sinus is not None else Value(None, reason=no_sinus)
    )
    if aif is None:
        names = ('dsc_aif_voxels_n', 'qc_dsc_aif_width_s', 'qc_dsc_aif_floor', 'qc_dsc_aif_lead_s')
        return values | {name: Value(None, reason=why) for name in names}
    whole = describe_times(timed['brain'])
    return values | {
        'dsc_aif_voxels_n': len(aif.where),
        'qc_dsc_aif_width_s': aif.width_s
        if np.isfinite(aif.width_s)
        else Value(None, reason='the arterial curve does not fall to half of its height'),
        'qc_dsc_aif_floor': Value(
            aif.floor,
            reason=f'{aif.saturated} saturated voxels were left out' if aif.saturated else '',
        )
        if np.isfinite(aif.floor)
        else Value(None, reason='the noise is not known'),
        'qc_dsc_aif_lead_s': whole.median_s
        if whole
        else Value(None, reason='no times to peak were found'),
    }


def _write_curves(path, series, aif, sinus, reference, regions) -> str:
    count = series.curves.shape[1]
    none = [None] * count
    columns = {
        'time_s': np.arange(count) * series.step_s,
        'artery': none if aif is None else aif.curve,
        'sinus': none if sinus is None else sinus.curve,
        'reference': reference,
    }
    for name in REGIONS:
        mask = regions.get(name)
        there = mask is not None and mask.sum() >= LEAST_VOXELS
        columns[name] = series.curves[series.of(mask)].mean(axis=0) if there else none
    write_tsv(path, [tuple(columns), *zip(*columns.values(), strict=True)], digits=6)
    return str(path)


def _write_times(path, timed) -> str:
    edges = np.arange(TIMES_S[0], TIMES_S[1] + BIN_S / 2, BIN_S)
    columns = {'time_s': (edges[1:] + edges[:-1]) / 2}
    for name in TIMED:
        times = timed.get(name, np.zeros(0))
        times = times[np.isfinite(times)]
        if len(times) < LEAST_VOXELS:
            columns[name] = [None] * (len(edges) - 1)
        else:
            columns[name] = np.histogram(times, edges)[0] / (len(times) * BIN_S)
    write_tsv(path, [tuple(columns), *zip(*columns.values(), strict=True)], digits=6)
    return str(path)


def _write_estimates(path, found, base, regions, series, ttp) -> str:
    names = [column.name for column in ROOM.makes['dsc_estimates'].columns]
    rows = []
    for name in REGIONS:
        mask = regions.get(name)
        if mask is None or mask.sum() < LEAST_VOXELS:
            continue
        row = {'region': name, 'n_voxels': int(mask.sum())}
        of = found.get(name)
        if of is not None:
            row |= {
                'mtt_s': of.mtt_s,
                'tmax_s': of.tmax_s,
                'k2_1000': 1e3 * of.k2,
                'threshold': of.threshold,
            }
            if base is not None and base.cbv > 0 and base.cbf > 0:
                row |= {
                    'cbv_to_nawm': of.cbv / base.cbv,
                    'cbv_uncorrected_to_nawm': of.uncorrected / base.uncorrected
                    if base.uncorrected > 0
                    else None,
                    'cbf_to_nawm': of.cbf / base.cbf,
                }
        if ttp is not None:
            times = ttp[series.of(mask)]
            times = times[np.isfinite(times)]
            if len(times) >= LEAST_VOXELS:
                low, middle, high = np.quantile(times, (0.1, 0.5, 0.9))
                row |= {'ttp_median_s': middle, 'ttp_p10_s': low, 'ttp_p90_s': high}
        rows.append([row.get(column) for column in names])
    write_tsv(path, [names, *rows], digits=6)
    return str(path)
