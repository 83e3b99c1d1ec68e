"""Files in, files out; the numbers are in the science."""

from pathlib import Path

import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, isdefined, traits

from csvdprep.interfaces.dwispace import DwiSpace, cerebral_white_matter
from csvdprep.interfaces.images import load
from csvdprep.interfaces.values import Value, read_values, write_values
from csvdprep.markers.nawm import MAPS, REGIONS, ZONES
from csvdprep.markers.nawm.science import LEAST_VOXELS, histogram_top, region_mean


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
        space = DwiSpace.read(given.dwi_fa, given.dwi_to_anat,
                              given.flair_to_anat if lesions else None)  # fmt: skip
        white = cerebral_white_matter(
            space, wm_probseg=given.wm_probseg, csf_probseg=given.csf_probseg,
            structures_dseg=given.structures_dseg, dwi_mask=given.dwi_mask,
        )  # fmt: skip
        regions = {'wm': white}
        if lesions:
            brain = np.asanyarray(load(given.dwi_mask).dataobj) > 0
            share = space.share(given.wmh_mask, flair=True)
            regions['nawm'] = white & (space.distance(share >= 0.05) > given.margin_mm)
            regions['wmh'] = brain & (share >= 0.5)
            if isdefined(given.zones_dseg):
                regions |= {name: brain & (space.share(given.zones_dseg, flair=True,
                                                       labels=[label]) >= 0.5)
                            for name, label in ZONES.items()}  # fmt: skip
        maps = {name: np.asanyarray(load(getattr(given, f'dwi_{name}')).dataobj,
                                    dtype=np.float32) for name in MAPS}  # fmt: skip
        water = read_values(given.tensors_values)['fw_method'].value != 'none'
        self._results['nawm_values'] = write_values(
            Path(runtime.cwd) / 'values.json', _values(maps, regions, water))  # fmt: skip
        return runtime


def _values(maps, regions, water):
    found = {}
    for region in REGIONS:
        for name, (_, _, factor) in MAPS.items():
            column = f'{name}_{region}'
            if name == 'fw' and not water:
                found[column] = Value(None, reason='free water needs a shell near 1000 s/mm², '
                                                   'or two shells')  # fmt: skip
            elif region not in regions:
                found[column] = Value(None, reason='hyperintensities were not segmented')
            else:
                mean, count = region_mean(maps[name], regions[region])
                found[column] = Value(None if mean is None else factor * mean, n=count,
                                      reason='' if mean is not None else
                                      f'fewer than {LEAST_VOXELS} voxels')  # fmt: skip
    top = histogram_top(maps['md'][regions['nawm']]) if 'nawm' in regions else None
    why = 'hyperintensities were not segmented' if 'nawm' not in regions else (
        'fewer than 500 voxels')  # fmt: skip
    place, height = (1e3 * top[0], top[1]) if top else (None, None)
    found['md_nawm_peak'] = Value(place, reason='' if top else why)
    found['md_nawm_peak_height'] = Value(height, reason='' if top else why)
    return found
