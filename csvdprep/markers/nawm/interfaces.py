"""Files in, files out; the numbers are in the science."""

from pathlib import Path

import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, isdefined, traits

from csvdprep.imaging.frame import ImageFrame
from csvdprep.imaging.images import load
from csvdprep.interfaces.cerebrum import Cerebrum, as_free_water
from csvdprep.interfaces.values import Value, read_measure, write_values
from csvdprep.markers.nawm import MAPS, REGIONS, ROOM, ZONES
from csvdprep.markers.nawm.science import LEAST_VOXELS, histogram_top, region_mean

_ABSENT = 'hyperintensities were not segmented'


class _NawmInputSpec(TraitedSpec):
    dwi_fa = File(exists=True, mandatory=True, desc='fractional anisotropy')
    dwi_md = File(exists=True, mandatory=True, desc='mean diffusivity')
    dwi_ad = File(exists=True, mandatory=True, desc='axial diffusivity')
    dwi_rd = File(exists=True, mandatory=True, desc='radial diffusivity')
    dwi_fw = File(exists=True, mandatory=True, desc='free water')
    dwi_mask = File(exists=True, mandatory=True, desc='brain of the series')
    dwi_to_anat = File(exists=True, mandatory=True, desc='resamples series onto reference')
    wm_probseg = File(exists=True, mandatory=True, desc='probability of white matter')
    csf_probseg = File(exists=True, mandatory=True, desc='probability of CSF')
    structures_dseg = File(exists=True, mandatory=True, desc='deep structures')
    tensors_values = File(exists=True, mandatory=True, desc='how tensors were fitted')
    wmh_mask = File(exists=True, desc='hyperintensities, on the FLAIR')
    zones_dseg = File(exists=True, desc='their zones')
    flair_to_anat = File(exists=True, desc='resamples FLAIR onto reference')
    margin_mm = traits.Float(2.0, usedefault=True, desc='from where white matter is normal')


class _NawmOutputSpec(TraitedSpec):
    nawm_values = File(exists=True, desc='measures')


class WhiteMatterDiffusion(SimpleInterface):
    """Average diffusion measures in white matter."""

    input_spec = _NawmInputSpec
    output_spec = _NawmOutputSpec

    def _run_interface(self, runtime):
        given = self.inputs
        lesions = isdefined(given.wmh_mask) and isdefined(given.flair_to_anat)
        space = ImageFrame.read(
            given.dwi_fa, given.dwi_to_anat, {'flair': given.flair_to_anat} if lesions else None
        )
        cerebrum = Cerebrum.read(
            space,
            wm_probseg=given.wm_probseg,
            csf_probseg=given.csf_probseg,
            structures_dseg=given.structures_dseg,
            dwi_mask=given.dwi_mask,
        )
        regions = {'wm': cerebrum.white_matter}
        whole = {}
        if lesions:
            share = space.share(given.wmh_mask, 'flair')
            away = space.distance(share >= 0.05) > given.margin_mm
            regions['nawm'] = cerebrum.white_matter & away
            whole = {'wmh': cerebrum.brain & (share >= 0.5)}
            if isdefined(given.zones_dseg):
                whole |= {
                    name: cerebrum.brain
                    & (space.share(given.zones_dseg, 'flair', labels=[label]) >= 0.5)
                    for name, label in ZONES.items()
                }
            regions |= {name: region & cerebrum.tissue for name, region in whole.items()}
        maps = {
            name: np.asanyarray(load(getattr(given, f'dwi_{name}')).dataobj, dtype=np.float32)
            for name in MAPS
        }
        water = read_measure(given.tensors_values, 'tensors.fw_method', ROOM).value
        values = _means(maps, regions, whole, water) | _peak(maps['md'], regions)
        values['wmh_fluid_pct'] = _left_out(regions, whole)
        self._results['nawm_values'] = write_values(
            Path(runtime.cwd) / 'values.json', values, ROOM
        )
        return runtime


def _means(maps, regions, whole, water):
    """Average each map over each region."""
    found = {}
    for region in REGIONS:
        for name, (_, _, factor) in MAPS.items():
            column = f'{name}_{region}'
            if name == 'fw' and water == 'none':
                found[column] = Value(
                    None,
                    reason='free water cannot be estimated without a shell near 1000 '
                    's/mm² or two shells',
                )
            elif region not in regions:
                found[column] = Value(None, reason=_ABSENT)
            else:
                mean, count = region_mean(maps[name], regions[region])
                found[column] = Value(
                    None if mean is None else factor * mean,
                    n=count,
                    reason='' if mean is not None else _too_few(count, whole.get(region)),
                )
                if name == 'fw':
                    found[column] = as_free_water(found[column], water)
    return found


def _too_few(count, whole):
    """Say how few voxels are left, and of how many."""
    said = f'the region has fewer than {LEAST_VOXELS} voxels'
    if whole is not None and whole.sum() > count:
        said += f': of {int(whole.sum())} voxels {count} are without fluid and deep grey matter'
    return said


def _left_out(regions, whole):
    """Say how much of the hyperintense voxels is not measured."""
    if 'wmh' not in regions:
        return Value(None, reason=_ABSENT)
    count = int(whole['wmh'].sum())
    if not count:
        return Value(None, n=0, reason='no voxel of the series is hyperintense')
    return Value(100 * (1 - float(regions['wmh'].sum()) / count), n=count)


def _peak(md, regions):
    """Find the peak of the histogram of mean diffusivity."""
    top = histogram_top(md[regions['nawm']]) if 'nawm' in regions else None
    why = (
        _ABSENT
        if 'nawm' not in regions
        else 'normal-appearing white matter has fewer than 500 voxels'
    )
    place, height = (1e3 * top[0], top[1]) if top else (None, None)
    return {
        'md_nawm_peak': Value(place, reason='' if top else why),
        'md_nawm_peak_height': Value(height, reason='' if top else why),
    }
