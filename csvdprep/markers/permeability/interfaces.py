"""Files in, files out; the numbers are in the science."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, isdefined, traits
from scipy import ndimage as ndi

from csvdprep.bids.tsv import write_tsv
from csvdprep.core.errors import MeasureError
from csvdprep.core.regions import MAIN, REGIONS
from csvdprep.imaging.frame import ImageFrame
from csvdprep.imaging.images import load, save
from csvdprep.interfaces.contrast_regions import contrast_regions, unsegmented
from csvdprep.interfaces.values import Value, write_values
from csvdprep.markers.permeability import ROOM, TIMED
from csvdprep.markers.permeability.science import (
    LEAST_SHARE,
    estimate,
    find_drift,
    find_passage,
    find_sinus,
    fit_window,
    in_sinus,
    why_not,
    width_of,
)
from csvdprep.science.bolus import describe_times
from csvdprep.science.kinetics import describe_curve, leaking_volume, patlak_fit
from csvdprep.science.morphology import dilate
from csvdprep.science.spoiled_gradient import to_concentration

#: Fewest voxels of a region.
LEAST_VOXELS = 20
#: Share of the voxels, those of the highest v_p, that are vessels.
VESSELS = 0.02
#: PS is mapped in so many voxels at once.
BLOCK = 50_000
#: Blood is looked for where the neighbours of a voxel enhance most: width (FWHM) of their mean,
#: mm.
AROUND_MM = 6.0
#: The coil's sensitivity is taken from means of this width (FWHM), mm.
COIL_MM = 20.0
#: Arteries are looked for in the brain and so far around it, mm.
VESSELS_MM = 5.0
#: Share of fluid from which a voxel counts as pure.
PURE_FLUID = 0.95
#: Volumes shorter than this can tell a delay, s.
FAST_S = 15.0


class _InputSpec(TraitedSpec):
    dce_preproc = File(exists=True, mandatory=True, desc='series at rest')
    dce_baseline = File(exists=True, mandatory=True, desc='mean before the contrast agent')
    dce_mask = File(exists=True, mandatory=True, desc='brain')
    dce_to_anat = File(exists=True, mandatory=True, desc='resamples it onto the reference')
    dce_t1 = File(exists=True, mandatory=True, desc='T1')
    dce_b1 = File(exists=True, mandatory=True, desc='B1')
    dce_protocol = File(exists=True, mandatory=True, desc='what is known of the sequence')
    gm_probseg = File(exists=True, mandatory=True, desc='grey matter')
    wm_probseg = File(exists=True, mandatory=True, desc='white matter')
    csf_probseg = File(exists=True, mandatory=True, desc='fluid')
    structures_dseg = File(exists=True, mandatory=True, desc='deep structures')
    mni_to_anat = File(exists=True, mandatory=True, desc='resamples the template onto it')
    wmh_mask = File(exists=True, desc='hyperintensities, on the FLAIR')
    zones_dseg = File(exists=True, desc='their zones')
    flair_to_anat = File(exists=True, desc='resamples the FLAIR onto the reference')
    curve = traits.Enum('median', 'mean', mandatory=True, desc='curve of a region')
    delay = traits.Bool(mandatory=True, desc='whether the delay is fitted')
    margin_mm = traits.Float(mandatory=True, desc='from where white matter is normal')
    drift = traits.Enum('none', 'baseline', 'reference', usedefault=True, desc='drift taken out')


class _OutputSpec(TraitedSpec):
    dce_ps = File(exists=True, desc='PS')
    dce_vp = File(exists=True, desc='volume of plasma')
    dce_vif_mask = File(exists=True, desc='where blood was measured')
    dce_regions = File(exists=True, desc='regions')
    dce_curves = File(exists=True, desc='curves')
    dce_estimates = File(exists=True, desc='what was found')
    permeability_values = File(exists=True, desc='measures')


@dataclass(frozen=True, eq=False)
class _Series:
    """The dynamic series, and how it is converted."""

    data: np.ndarray
    t1: np.ndarray
    b1: np.ndarray
    known: dict[str, Any]

    @property
    def times(self) -> np.ndarray:
        return np.array(self.known['times_s'])

    @property
    def baseline(self) -> slice:
        return slice(*self.known['baseline'])

    def convert(self, signal, t1, b1=1.0) -> np.ndarray:
        return to_concentration(
            signal,
            t1,
            tr_s=self.known['tr_s'],
            flip_deg=self.known['flip_deg'],
            relaxivity=self.known['relaxivity'],
            baseline=self.baseline,
            b1=b1,
        )


class MapPermeability(SimpleInterface):
    """Find the input function, fit curves of regions and of voxels."""

    input_spec = _InputSpec
    output_spec = _OutputSpec

    def _run_interface(self, runtime):
        given, folder = self.inputs, Path(runtime.cwd)
        image = load(given.dce_preproc)
        data = np.asanyarray(image.dataobj, dtype=np.float32)
        series = _Series(
            data,
            np.asanyarray(load(given.dce_t1).dataobj, dtype=np.float32),
            np.asanyarray(load(given.dce_b1).dataobj, dtype=np.float32),
            json.loads(Path(given.dce_protocol).read_text(encoding='utf-8')),
        )
        others = {}
        if isdefined(given.wmh_mask) and isdefined(given.flair_to_anat):
            others['flair'] = given.flair_to_anat
        frame = ImageFrame.read(given.dce_baseline, given.dce_to_anat, others)
        brain = np.asanyarray(load(given.dce_mask).dataobj) > 0
        regions = contrast_regions(frame, brain, folder, given, given.margin_mm)
        use, short = fit_window(series.times, series.known['injection_s'])
        series, drift = self._without_drift(frame, series, brain, use)
        vif, plasma, why = None, None, ''
        if not (series.t1[brain] > 0).any():
            why = 'T1 is not known: give images of two flip angles (VFA) or a T1map'
        else:
            try:
                vif = self._input_function(frame, series, brain)
                plasma = vif.blood / (1 - series.known['haematocrit'])
            except MeasureError as error:
                why = f'{error.message} Remedy: {error.remedy}'
        delay = 0.0
        ps, vp = np.zeros(brain.shape, np.float32), np.zeros(brain.shape, np.float32)
        if plasma is not None and not short:
            delay = self._delay(series, plasma, use, brain)
            found = _map_voxels(series, plasma, use, brain & (series.t1 > 0), delay)
            ps, vp = found
            vessels = vp > np.quantile(vp[brain & (series.t1 > 0)], 1 - VESSELS)
            regions = {name: where & ~vessels for name, where in regions.items()}
        estimates = {}
        for name, where in regions.items():
            if plasma is None or short or (where & (series.t1 > 0)).sum() < LEAST_VOXELS:
                continue
            estimates[name] = estimate(
                series.data[where],
                series.t1[where],
                series.b1[where],
                time_s=series.times,
                plasma=plasma,
                use=use,
                baseline=series.baseline,
                convert=series.convert,
                injection_s=series.known['injection_s'],
                delay_s=delay,
                curve=given.curve,
            )
        place = np.zeros(brain.shape, bool)
        if vif is not None:
            place[vif.where] = True
        labels = np.zeros(brain.shape, np.uint8)
        for number, name in enumerate(MAIN, start=1):
            if name in regions:
                labels[regions[name]] = number
        for name, array in {
            'dce_ps': ps,
            'dce_vp': vp,
            'dce_vif_mask': place.astype(np.uint8),
            'dce_regions': labels,
        }.items():
            self._results[name] = save(array, image, folder / f'{name}.nii.gz')
        self._results['dce_curves'] = _write_curves(
            folder / 'curves.tsv', series, plasma, use, estimates
        )
        self._results['dce_estimates'] = _write_estimates(
            folder / 'estimates.tsv', series, regions, estimates
        )
        values = self._values(
            series, regions, estimates, vif, plasma, ps, delay, why or short, use
        )
        values['dce_drift_pct'] = drift
        values |= self._times_to_peak(series, regions, brain, vif, frame.voxel_mm)
        if not others:
            values = {
                name: unsegmented(name, value) if isinstance(value, Value) else value
                for name, value in values.items()
            }
        self._results['permeability_values'] = write_values(folder / 'values.json', values, ROOM)
        return runtime

    def _without_drift(self, frame, series, brain, use):
        """Take drift out of the series, and return what was found."""
        how = self.inputs.drift
        if how == 'none':
            return series, Value(None, reason='drift is not corrected (permeability.drift)')
        where = brain
        if how == 'reference':
            # The edge of fluid moves with the pulse, and sulci hold vessels.
            wet = frame.share(self.inputs.csf_probseg) >= PURE_FLUID
            where = ndi.binary_erosion(wet, iterations=1) & (series.data > 0).all(axis=-1)
        found, why = find_drift(series.data[where], series.times, series.baseline, use, how=how)
        if found is None:
            return series, Value(None, reason=f'drift is not corrected: {why}', qc='warn')
        low, high = (100 * (found.change + z * found.error) for z in (-1.96, 1.96))
        value = Value(100 * found.change, low=low, high=high, n=int(where.sum()))
        return replace(series, data=series.data / found.factors.astype(np.float32)), value

    def _times_to_peak(self, series, regions, brain, vif, voxel_mm):
        """Describe the first pass, where volumes are fast enough for it."""
        step = float(np.median(np.diff(series.times)))
        why = why_not(step, series.baseline.stop - series.baseline.start)
        found = None
        if not why:

            def convert(signal, at):
                return series.convert(signal, series.t1[at], series.b1[at])

            found, why = find_passage(
                series.data,
                series.times,
                series.baseline,
                series.known['injection_s'],
                brain,
                dilate(brain, voxel_mm, VESSELS_MM),
                None if vif is None else vif.blood,
                convert if (series.t1[brain] > 0).any() else None,
            )
        values = {}
        for name in TIMED:
            where = brain if name == 'brain' else regions.get(name)
            values |= _of_times(name, where, found, why)
        values['dce_tdc_avtt_s'] = (
            Value(found.sinus_s, n=len(vif.where[0]))
            if found is not None and vif is not None and np.isfinite(found.sinus_s)
            else Value(None, reason=why or 'the sagittal sinus has no peak')
        )
        return values

    def _input_function(self, frame, series, brain):
        """Find blood in the superior sagittal sinus; ``where`` are indices of voxels."""
        data = series.data
        first = data[..., series.baseline].mean(axis=-1)
        level = float(np.median(first[brain]))
        with np.errstate(all='ignore'):
            rise = data.max(axis=-1) / np.maximum(first, 0.02 * level) - 1
        there = (rise > 0.3) & (first > 0.02 * level) & (data > 0).all(axis=-1)
        # Late enhancement of the neighbours of a voxel, without itself: highest in the middle of
        # the vessel, and nothing of its own noise in it.
        late = np.clip(data[..., -max(4, data.shape[3] // 2) :].mean(axis=-1) - first, 0, None)
        around = ndi.gaussian_filter(first, COIL_MM / 2.355 / frame.voxel_mm)
        late = np.where(there, late / np.maximum(around, 0.02 * level), 0)
        depth = _of_neighbours(late, AROUND_MM / 2.355 / frame.voxel_mm)
        voxels = np.argwhere(there)
        if not len(voxels):
            raise MeasureError(
                'No voxel enhances as blood does: there is no input function.',
                remedy='Check that the series shows the bolus.',
            )
        world = nib.affines.apply_affine(frame.image.affine, voxels)
        points = frame.in_template(world, self.inputs.mni_to_anat)
        volume = float(np.prod(frame.voxel_mm)) / 1000
        failed = None
        for box in (0, 1):
            inside = voxels[in_sinus(points, box)]
            at = tuple(inside.T)
            try:
                found = find_sinus(
                    data[at],
                    series.t1[at],
                    volume,
                    series.baseline,
                    series.convert,
                    depth[at],
                    series.b1[at],
                    series.known.get('tesla'),
                )
            except MeasureError as error:
                failed = failed or error
                continue
            return replace(found, where=tuple(inside[found.where].T))
        raise failed

    def _delay(self, series, plasma, use, brain):
        """Fit the delay of the mean curve of the brain, where volumes are fast enough."""
        step = float(np.median(np.diff(series.times)))
        if not self.inputs.delay or step > FAST_S:
            return 0.0
        where = brain & (series.t1 > 0)
        signal = series.data[where]
        relative = np.median(signal / signal[:, series.baseline].mean(axis=1)[:, None], axis=0)
        tissue = series.convert(relative, float(np.median(series.t1[where])))
        found = patlak_fit(series.times, plasma, tissue, delay_s=(-step, step))
        return float(found.delay_s)

    def _values(self, series, regions, estimates, vif, plasma, ps, delay, why, use):
        values = {}
        for name in REGIONS:
            values |= _of_region(name, regions.get(name), estimates.get(name), why)
        for name in MAIN:
            found, reason = estimates.get(name), _missing(name, regions.get(name), why)
            if found is None:
                for stem in (f'ps_drift_sensitivity_{name}_1e4_permin', f'vl_{name}_pct'):
                    values[stem] = Value(None, reason=reason)
                values[f'ps_model_{name}'] = Value(None, reason=reason)
                continue
            values[f'ps_drift_sensitivity_{name}_1e4_permin'] = Value(
                1e4 * found.drift, n=found.voxels
            )
            share, error = leaking_volume(ps[regions[name] & (series.t1 > 0)])
            values[f'vl_{name}_pct'] = Value(
                100 * share,
                low=100 * (share - 1.96 * error),
                high=100 * (share + 1.96 * error),
                n=found.voxels,
            )
            values[f'ps_model_{name}'] = Value(found.best, n=found.voxels)
        values |= self._foundations(series, regions, estimates, vif, plasma, delay, why)
        return values

    def _foundations(self, series, regions, estimates, vif, plasma, delay, why):
        known = series.known
        white = regions.get('nawm')
        t1 = series.t1[white] if white is not None else np.zeros(0)
        t1 = t1[t1 > 0]
        values = {
            't1_nawm_s': Value(float(np.median(t1)), n=len(t1))
            if len(t1) >= LEAST_VOXELS
            else Value(None, reason=why or 'too little white matter is covered')
        }
        names = ('t1_blood_s', 'qc_vif_peak_mmol', 'qc_vif_tail_mmol', 'vif_voxels_n')
        if vif is None:
            reason = why or 'there is no input function'
            values |= {name: Value(None, reason=reason) for name in (*names, 'vif_delay_s')}
        else:
            after = series.times - known['injection_s']
            tail = (after >= 480) & (after <= 720)
            dose = known['dose'] or 0.1
            values |= {
                't1_blood_s': Value(vif.t1_s, reason=vif.doubt, qc='warn' if vif.doubt else ''),
                'qc_vif_peak_mmol': float(plasma.max()),
                'qc_vif_tail_mmol': Value(
                    float(plasma[tail].mean()) * 0.1 / dose,
                    reason='' if known['dose'] else 'the dose is not known: 0.1 mmol/kg is taken',
                )
                if tail.any()
                else Value(None, reason='the series ends before ten minutes'),
                'vif_voxels_n': len(vif.where[0]),
                'vif_delay_s': delay,
            }
        of = estimates.get('nawm')
        values['qc_ps_autocorrelation'] = (
            Value(float(of.fit.autocorrelation), n=of.fit.points)
            if of
            else Value(None, reason=_missing('nawm', white, why))
        )
        return values


def _of_times(name, where, found, why):
    """Return median, width and skew of the times to peak of a region."""
    columns = [f'dce_tdc_{name}_{kind}' for kind in ('median_s', 'width_s', 'skew')]
    if found is None or where is None or where.sum() < LEAST_VOXELS:
        reason = why or _missing(name, where, '')
        return {column: Value(None, reason=reason) for column in columns}
    times = found.times_s[where]
    share = float(np.isfinite(times).mean())
    told = describe_times(times)
    if told is None or share < LEAST_SHARE:
        reason = f'{100 * share:.0f} % of the voxels have a peak above the noise: half are needed'
        return {column: Value(None, reason=reason) for column in columns}
    width, noisy = width_of(told.width_s, found.noise_s[where])
    return {
        columns[0]: Value(told.median_s, n=told.voxels),
        columns[1]: Value(width, n=told.voxels, reason=noisy),
        columns[2]: Value(None if noisy else told.skew, n=told.voxels, reason=noisy),
    }


def _of_neighbours(data, sigma):
    """Average the neighbours of each voxel, weighted by a Gaussian, without the voxel."""
    point = np.zeros((9, 9, 9))
    point[4, 4, 4] = 1
    own = float(ndi.gaussian_filter(point, sigma, mode='constant')[4, 4, 4])
    return (ndi.gaussian_filter(data, sigma) - own * data) / (1 - own)


def _map_voxels(series, plasma, use, where, delay):
    """Fit Patlak to each voxel; 0 where there is no T1, or no concentration."""
    ps = np.zeros(where.shape, np.float32)
    vp = np.zeros(where.shape, np.float32)
    voxels = np.argwhere(where)
    for start in range(0, len(voxels), BLOCK):
        at = tuple(voxels[start : start + BLOCK].T)
        tissue = series.convert(series.data[at], series.t1[at], series.b1[at])
        good = np.isfinite(tissue).all(axis=1)
        tissue[~good] = 0
        found = patlak_fit(series.times, plasma, tissue, use=use, delay_s=delay)
        for out, name in ((ps, 'ps'), (vp, 'vp')):
            out[at] = np.where(good, np.nan_to_num(found.values[name]), 0)
    return ps, vp


def _missing(name, where, why) -> str:
    if why:
        return why
    if where is None:
        return 'hyperintensities were not segmented'
    return f'the region has {int(where.sum())} voxels, at least {LEAST_VOXELS} are needed'


def _of_region(name, where, found, why):
    """Return PS and v_p of a region, with intervals."""
    names = (f'ps_{name}_1e4_permin', f'vp_{name}_ml100ml')
    if found is None:
        reason = _missing(name, where, why)
        return {column: Value(None, reason=reason) for column in names}
    values = {}
    for column, key, factor in zip(names, ('ps', 'vp'), (1e4, 100.0), strict=True):
        low, high = found.fit.interval(key)
        value = float(found.fit.values[key])
        negative = key == 'vp' and value < 0
        values[column] = Value(
            factor * value,
            low=factor * float(low),
            high=factor * float(high),
            n=found.voxels,
            reason='the volume of plasma is negative: the fit is not to be believed'
            if negative
            else '',
            qc='warn' if negative else '',
        )
    return values


def _write_curves(path, series, plasma, use, estimates) -> str:
    """Write input function, curves and fits over time."""
    none = [None] * len(series.times)
    columns = {
        'time_s': series.times,
        'fitted': use.astype(int),
        'plasma': none if plasma is None else plasma,
    }
    columns |= {name: estimates[name].tissue if name in estimates else none for name in REGIONS}
    columns |= {
        f'{name}_patlak': estimates[name].fit.fitted if name in estimates else none
        for name in REGIONS
    }
    rows = zip(*columns.values(), strict=True)
    write_tsv(path, [tuple(columns), *rows], digits=6)
    return str(path)


def _write_estimates(path, series, regions, estimates) -> str:
    """Write what was found of each region; without T1 only the shape of its curve."""
    names = [column.name for column in ROOM.makes['dce_estimates'].columns]
    rows = []
    for name in REGIONS:
        where = regions.get(name)
        if where is None or where.sum() < LEAST_VOXELS:
            continue
        found = estimates.get(name)
        row = {'region': name, 'n_voxels': int(where.sum())}
        if found is None:
            signal = series.data[where]
            first = signal[:, series.baseline].mean(axis=1)
            relative = np.median(signal[first > 0] / first[first > 0, None], axis=0)
            shape = describe_curve(
                series.times, 100 * (relative - 1), series.baseline, series.known['injection_s']
            )
        else:
            shape = found.shape
            row |= _row(found)
        row |= {
            'ttp_s': shape.ttp_s,
            'wash_in_pct_permin': shape.wash_in,
            'wash_out_pct_permin': shape.wash_out,
            'auc_0to60s_pct_min': shape.auc_early,
            'auc_60to300s_pct_min': shape.auc_middle,
            'auc_300s_on_pct_min': shape.auc_late,
            'late_slope_pct_permin': shape.late_slope,
        }
        rows.append([row.get(column) for column in names])
    write_tsv(path, [names, *rows], digits=6)
    return str(path)


def _row(found) -> dict[str, Any]:
    fit, tofts = found.fit, found.others['extended-tofts'].values
    (ps_low, ps_high), (vp_low, vp_high) = fit.interval('ps'), fit.interval('vp')
    return {
        'n_voxels': found.voxels,
        't1_s': found.t1_s,
        'ps_1e4_permin': 1e4 * float(fit.values['ps']),
        'ps_low_1e4_permin': 1e4 * float(ps_low),
        'ps_high_1e4_permin': 1e4 * float(ps_high),
        'vp_ml100ml': 100 * float(fit.values['vp']),
        'vp_low_ml100ml': 100 * float(vp_low),
        'vp_high_ml100ml': 100 * float(vp_high),
        'ps_drift_sensitivity_1e4_permin': 1e4 * found.drift,
        'autocorrelation': float(fit.autocorrelation),
        'best_model': found.best,
        **{f'aic_{m.replace("-", "_")}': float(f.aic) for m, f in found.others.items()},
        'tofts_ktrans_1e4_permin': 1e4 * float(tofts['ps']),
        'tofts_vp_ml100ml': 100 * float(tofts['vp']),
        'tofts_kep_permin': float(tofts['kep']),
    }
