"""Files in, files out; the segmentation is in the science."""

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, isdefined, traits

from csvdprep.core.errors import MeasureError
from csvdprep.imaging.frame import ImageFrame
from csvdprep.imaging.images import load, load_mask_on, save
from csvdprep.interfaces.values import Value, write_values
from csvdprep.markers.wmh import ROOM
from csvdprep.markers.wmh.excluded import excluded_volume, load_excluded
from csvdprep.markers.wmh.inputs import deep_and_low, segmentation_inputs
from csvdprep.markers.wmh.learned import calibration_curves, learned_probability
from csvdprep.markers.wmh.science import WmhOptions, segment_wmh
from csvdprep.markers.wmh.science.calibration import calibrated

#: Voxels larger than this in two directions (mm): lesions and their borders fill too few of them.
COARSE_MM = 1.5
_EXTERNAL = 'the mask was made by another tool'
#: Identifier of the algorithm, by the engine whose mask counts.
METHODS = {'classical': 'contrast-hysteresis', 'network': 'unet', 'both': 'unet-contrast-vote'}


class _WmhInputSpec(TraitedSpec):
    flair_preproc = File(exists=True, mandatory=True, desc='FLAIR')
    flair_mask = File(exists=True, mandatory=True, desc='its brain')
    flair_to_anat = File(exists=True, mandatory=True, desc='resamples FLAIR onto reference')
    brain_mask = File(exists=True, mandatory=True, desc='brain of the reference')
    csf_probseg = File(exists=True, mandatory=True, desc='probability of CSF')
    gm_probseg = File(exists=True, mandatory=True, desc='probability of grey matter')
    wm_probseg = File(exists=True, mandatory=True, desc='probability of white matter')
    ventricles = File(exists=True, mandatory=True, desc='lateral ventricles')
    structures_dseg = File(exists=True, mandatory=True, desc='deep structures')
    lobes_dseg = File(exists=True, mandatory=True, desc='lobes')
    mni_to_anat = File(exists=True, mandatory=True, desc='resamples template onto reference')
    wmh_external = traits.Dict(desc='mask to be used instead of our own, and its image')
    infarct_external = traits.Dict(desc='mask of infarcts, and its image')
    lacune_external = traits.Dict(desc='mask of lacunes, and its image')
    infarct_mask = File(exists=True, desc='recent infarcts, on the trace image')
    trace_to_anat = File(exists=True, desc='resamples the trace image onto the reference')
    hub = traits.Enum('T1w', 'FLAIR', mandatory=True, desc='contrast of the reference')
    seed = traits.Int(42, usedefault=True, desc='of the jitter')
    options = traits.Dict(desc='thresholds')


class _WmhOutputSpec(TraitedSpec):
    wmh_mask = File(exists=True, desc='hyperintensities')
    wmh_probseg = File(exists=True, desc='probability')
    wmh_subcortical = File(exists=True, desc='deep grey matter, brainstem and cerebellum')
    wmh_values = File(exists=True, desc='measures')


class Wmh(SimpleInterface):
    """Segment white matter hyperintensities, or take over a mask."""

    input_spec = _WmhInputSpec
    output_spec = _WmhOutputSpec

    def _run_interface(self, runtime):
        given, folder = self.inputs, Path(runtime.cwd)
        space = ImageFrame.read(given.flair_preproc, given.flair_to_anat)
        brain = load(given.brain_mask)
        icv_ml = float(
            np.asanyarray(brain.dataobj).sum()
            * np.prod(nib.affines.voxel_sizes(brain.affine))
            / 1000
        )
        other = load_excluded(
            space,
            *(
                item if isdefined(item) else None
                for item in (given.infarct_external, given.lacune_external)
            ),
            recent=(given.infarct_mask, given.trace_to_anat) if _has_recent(given) else None,
        )
        if isdefined(given.wmh_external):
            mask, probability, values = self._take_over(space, folder, other)
        else:
            mask, probability, values = self._segment(space, folder, other)
        values['wmh_excluded_ml'] = excluded_volume(
            other, space.voxel_mm, looked=isdefined(given.infarct_mask)
        )
        values |= _relative(values['wmh_total_ml'], icv_ml)
        self._results['wmh_mask'] = save(mask, space.image, folder / 'wmh_mask.nii.gz')
        self._results['wmh_probseg'] = save(
            probability, space.image, folder / 'wmh_probseg.nii.gz'
        )
        self._results['wmh_values'] = write_values(folder / 'values.json', values, ROOM)
        return runtime

    def _segment(self, space, folder, other):
        given = self.inputs
        files = {
            name: getattr(given, name)
            for name in (
                'flair_mask',
                'csf_probseg',
                'gm_probseg',
                'wm_probseg',
                'ventricles',
                'structures_dseg',
                'lobes_dseg',
                'mni_to_anat',
            )
        }
        options = WmhOptions(**given.options)
        takes = segmentation_inputs(space, files, folder) | {'has_t1w': given.hub == 'T1w'}
        learned = (
            None
            if options.engine == 'classical'
            else learned_probability(takes, space.image.affine)
        )
        if learned is None and options.engine in ('network', 'both'):
            raise MeasureError(
                'The slices of the FLAIR are thick and not axial; the network was not '
                'trained on such images. Use wmh.engine = auto or classical.'
            )
        found = segment_wmh(
            **takes,
            exclude=other,
            learned=learned,
            options=replace(options, random_seed=given.seed),
        )
        self._results['wmh_subcortical'] = save(
            found.subcortical, space.image, folder / 'wmh_subcortical.nii.gz'
        )
        ml = float(np.prod(space.voxel_mm) / 1000)
        n = int(found.mask.sum())
        said = ', '.join(flag.replace('_', ' ') for flag in found.flags)
        if 'engines_differ' in found.flags:
            said += f' ({found.network_ml:.1f} and {found.classical_ml:.1f} mL)'
        said = ', '.join(words for words in (said, _coarse(space.voxel_mm)) if words)
        not_asked = Value(
            None,
            reason='the network was not run, because of wmh.engine or because the slices '
            'are thick and not axial',
        )
        values = {
            'wmh_total_ml': Value(
                found.volume_ml,
                *_interval(found, options),
                n=n,
                reason=said,
                qc='warn' if said else '',
                method=METHODS[found.engine],
            ),
            'wmh_volume_cv': Value(found.cv) if n else Value(None, reason='there are no lesions'),
            'wmh_range_low_ml': found.range_ml[0],
            'wmh_range_high_ml': found.range_ml[1],
            'wmh_partial_ml': found.partial_ml,
            'wmh_lining_ml': float(found.lining.sum() * ml),
            'wmh_deepgrey_ml': float((found.subcortical == 1).sum() * ml),
            'wmh_infratentorial_ml': float((found.subcortical == 2).sum() * ml),
            'wmh_infarct_ml': float(found.stroke.sum() * ml),
            'wmh_origin': 'csvdprep',
            'wmh_engine': found.engine,
            'wmh_classical_ml': found.classical_ml,
            'wmh_network_ml': (
                not_asked
                if found.network_ml is None
                else Value(found.network_ml, method=METHODS['network'])
            ),
            'qc_flair_noise': float(found.qc['noise_ratio']),
            'qc_wmh_mean_z': Value(
                found.qc['mean_z'], n=n, reason='' if n else 'there are no lesions'
            ),
            'qc_wmh_faint_ml': Value(
                found.qc['faint_ml'], qc='warn' if 'faint_parts_left_out' in found.flags else ''
            ),
            'qc_wmh_at_border': (
                Value('yes', qc='warn', reason='the hyperintensities reach the edge of the image')
                if found.qc['touches_border']
                else 'no'
            ),
        }
        probability = calibrated(
            found.probability, found.engine, takes['has_t1w'], calibration_curves()
        )
        return found.mask, probability, values

    def _take_over(self, space, folder, other):
        """Bring the mask of another tool to the FLAIR grid; it lies there or on the reference."""
        given = self.inputs
        matrix = None if given.wmh_external['on'] == 'flair' else space.to_anat
        mask = load_mask_on(
            given.wmh_external['mask'],
            space.image,
            matrix=matrix,
            labels=given.wmh_external.get('labels'),
        )
        if other is not None:
            mask = mask * ~other
        ml = float(np.prod(space.voxel_mm) / 1000)
        deep, low = deep_and_low(space, given.structures_dseg)
        white = mask.astype(bool) & ~deep & ~low
        others = np.select([deep, low], [1, 2], 0).astype(np.uint8) * (mask > 0)
        self._results['wmh_subcortical'] = save(
            others, space.image, folder / 'wmh_subcortical.nii.gz'
        )
        missing = Value(None, reason=_EXTERNAL)
        values = {
            'wmh_total_ml': Value(float(white.sum() * ml), n=int(white.sum()), reason=_EXTERNAL),
            'wmh_deepgrey_ml': float((mask.astype(bool) & deep).sum() * ml),
            'wmh_infratentorial_ml': float((mask.astype(bool) & low).sum() * ml),
            'wmh_origin': 'external',
            'wmh_engine': 'external',
            **dict.fromkeys(
                (
                    'wmh_classical_ml',
                    'wmh_network_ml',
                    'wmh_volume_cv',
                    'wmh_range_low_ml',
                    'wmh_range_high_ml',
                    'wmh_infarct_ml',
                    'wmh_partial_ml',
                    'wmh_lining_ml',
                    'qc_flair_noise',
                    'qc_wmh_mean_z',
                    'qc_wmh_faint_ml',
                    'qc_wmh_at_border',
                ),
                missing,
            ),
        }
        return mask, mask.astype(np.float32), values


def _has_recent(given) -> bool:
    # A mask that was given on FLAIR or T1w is left out as it is.
    external = isdefined(given.infarct_external) and given.infarct_external['on'] != 'trace'
    return isdefined(given.infarct_mask) and isdefined(given.trace_to_anat) and not external


def _interval(found, options: WmhOptions) -> tuple[float, ...]:
    """Return the interval, which was calibrated with the thresholds by default, or nothing."""
    return found.interval_ml if replace(options, engine='auto') == WmhOptions() else ()


def _coarse(voxel_mm) -> str:
    """Say what voxels cannot show that are large within slices, too; nothing of usual ones.

    Examples
    --------
    >>> _coarse((0.7, 0.7, 8)), _coarse((2, 2, 4))
    ('', 'voxels of 2 x 2 x 4 mm: small hyperintensities are missed, the volume is too low')
    """
    if sorted(voxel_mm)[1] <= COARSE_MM:
        return ''
    sizes = ' x '.join(f'{size:.3g}' for size in voxel_mm)
    return f'voxels of {sizes} mm: small hyperintensities are missed, the volume is too low'


def _relative(total: Value, icv_ml: float):
    percent = 100 * total.value / icv_ml
    bounds = [None if b is None else 100 * b / icv_ml for b in (total.low, total.high)]
    return {
        'wmh_total_pct_icv': Value(percent, *bounds, n=total.n),
        'wmh_ln_pct_icv': float(np.log(percent + 0.01)),
    }
