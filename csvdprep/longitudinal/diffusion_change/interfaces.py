"""Maps of visits in, means by what became of the tissue out."""

from pathlib import Path

import nibabel as nib
import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, isdefined, traits

from csvdprep.bids.tsv import read_tsv
from csvdprep.core.errors import MeasureError
from csvdprep.imaging.frame import ImageFrame
from csvdprep.imaging.images import load, resample, save
from csvdprep.imaging.transforms import read_linear
from csvdprep.interfaces.cerebrum import FLUID
from csvdprep.interfaces.lists import write_rows
from csvdprep.interfaces.values import write_values
from csvdprep.interfaces.visits import read_poses, years_between
from csvdprep.longitudinal.diffusion_change import CLASSES, MAPS, ROOM
from csvdprep.longitudinal.diffusion_change.measures import measures_of
from csvdprep.longitudinal.diffusion_change.science import Mean, class_mean, tissue_classes
from csvdprep.science.protocols import protocol_differences

#: What a visit needs for its diffusion to be measured.
_SERIES = ('dwi_fa', 'dwi_md', 'dwi_fw', 'dwi_mask', 'dwi_to_anat', 'flair_to_anat')


class _InputSpec(TraitedSpec):
    measures = traits.Dict(mandatory=True, desc='visits in the order of time')
    protocols = traits.Dict(mandatory=True, desc='how they were scanned')
    halfway_flair_poses = File(exists=True, mandatory=True, desc='where visits lie')
    wmh_change_dseg = File(exists=True, mandatory=True, desc='change of hyperintensities')
    each_wmh_mask = traits.Dict(desc='hyperintensities by visit')
    each_flair_to_anat = traits.Dict(desc='transforms of FLAIR onto reference')
    each_wm_probseg = traits.Dict(desc='white matter')
    each_csf_probseg = traits.Dict(desc='fluid')
    each_structures_dseg = traits.Dict(desc='deep structures')
    each_dwi_fa = traits.Dict(desc='fractional anisotropy')
    each_dwi_md = traits.Dict(desc='mean diffusivity')
    each_dwi_fw = traits.Dict(desc='free water')
    each_dwi_mask = traits.Dict(desc='brain of the series')
    each_dwi_to_anat = traits.Dict(desc='transforms of series onto reference')
    options = traits.Dict(mandatory=True, desc='where the penumbra is')


class _OutputSpec(TraitedSpec):
    diffusion_change_dseg = File(exists=True, desc='classes')
    diffusion_change_list = File(exists=True, desc='means')
    diffusion_change_values = File(exists=True, desc='measures')


class DiffusionChange(SimpleInterface):
    """Average diffusion in tissue by what became of it."""

    input_spec = _InputSpec
    output_spec = _OutputSpec

    def _run_interface(self, runtime):
        folder, given = Path(runtime.cwd), self.inputs
        self._poses = read_poses(given.halfway_flair_poses)
        self._each = {
            name.removeprefix('each_'): self._files(name)
            for name in ROOM.asks
            if name.startswith('each_')
        }
        compared = [name for name in self._poses if name in self._each['wmh_mask']]
        if len(compared) < 2:
            raise MeasureError('Fewer than two visits have FLAIR and hyperintensities.')
        ends = compared[0], compared[-1]
        labels, other = self._classes(ends, folder)
        years = {v['session']: v['years'] for v in given.measures['visits']}
        have = [name for name in self._poses if all(name in self._each[n] for n in _SERIES)]
        waters = {name: self._water(name) for name in have}
        means = {name: self._means(name, labels, other, waters[name]) for name in have}
        rows = [
            row
            for name in have
            for row in _rows(name, means[name], means.get(ends[0]), years, ends[0])
        ]
        self._results['diffusion_change_list'] = write_rows(
            rows, ROOM.makes['diffusion_change_list'].columns, folder / 'means.tsv', digits=6
        )
        self._results['diffusion_change_values'] = write_values(
            folder / 'values.json',
            measures_of(means, waters, ends, self._protocols(ends), given.options['least_voxels']),
            ROOM,
        )
        return runtime

    def _files(self, name: str) -> dict[str, str]:
        given = getattr(self.inputs, name)
        return dict(given['visits']) if isdefined(given) else {}

    def _to_anat(self, session) -> np.ndarray:
        """Return the way from the half-way space to the reference of a visit."""
        flair = read_linear(self._each['flair_to_anat'][session])
        return np.linalg.inv(flair) @ self._poses[session]

    def _classes(self, ends, folder) -> tuple[str, str]:
        """Class the tissue; save the classes, and where there is other tissue at either end."""
        change = load(self.inputs.wmh_change_dseg)
        white, other, count = 0.0, np.zeros(change.shape, np.float32), 0
        for name in ends:
            products = ('wm_probseg', 'csf_probseg', 'structures_dseg', 'flair_to_anat')
            if not all(name in self._each[product] for product in products):
                continue
            way, count = self._to_anat(name), count + 1
            white = white + resample(load(self._each['wm_probseg'][name]), change, matrix=way)
            fluid = resample(load(self._each['csf_probseg'][name]), change, matrix=way)
            deep = load(self._each['structures_dseg'][name])
            deep = nib.Nifti1Image(
                (np.asanyarray(deep.dataobj) > 0).astype(np.float32), deep.affine
            )
            deep = resample(deep, change, matrix=way)
            other = np.maximum(other, np.minimum(fluid + deep, 1))
        if not count:
            raise MeasureError(
                f'Neither {ends[0]} nor {ends[1]} has maps of tissues, so that no white matter is '
                'known.'
            )
        found = tissue_classes(
            np.asanyarray(change.dataobj),
            white / count,
            other,
            nib.affines.voxel_sizes(change.affine),
            self.inputs.options['penumbra_mm'],
        )
        self._results['diffusion_change_dseg'] = save(found, change, folder / 'classes.nii.gz')
        return self._results['diffusion_change_dseg'], save(other, change, folder / 'other.nii.gz')

    def _means(self, session, labels, other, water) -> dict[tuple[str, str], Mean]:
        """Average the maps of a visit in all classes, on the grid of its series."""
        files = {name: self._each[name][session] for name in _SERIES}
        way = read_linear(files['dwi_to_anat']) @ self._to_anat(session)
        space = ImageFrame(load(files['dwi_fa']), {'halfway': np.linalg.inv(way)})
        usable = np.asanyarray(load(files['dwi_mask']).dataobj) > 0
        usable &= space.share(other, 'halfway') <= FLUID
        maps = {
            name: np.asanyarray(load(files[f'dwi_{name}']).dataobj, dtype=np.float32) * factor
            for name, (_, _, factor) in MAPS.items()
            if not (name == 'fw' and water == 'none')
        }
        least, found = self.inputs.options['least_voxels'], {}
        for kind, (_, values) in CLASSES.items():
            where = usable & (space.share(labels, 'halfway', labels=values) >= 0.5)
            for name, data in maps.items():
                found[kind, name] = class_mean(data, where, least)
        return found

    def _water(self, session) -> str:
        """Return how free water of a visit was had; 'none' if it was not."""
        visits = {v['session']: v for v in self.inputs.measures['visits']}
        table = visits[session]['table']
        rows = read_tsv(table).rows if table else ()
        return next((r['value'] for r in rows if r.get('measure') == 'fw_method'), 'none')

    def _protocols(self, ends) -> str:
        """Say in what the diffusion scans of both ends differ."""
        files = self._each['dwi_fa']
        if not all(name in files for name in ends):
            return ''
        told = self.inputs.protocols['visits']
        return protocol_differences(
            {name: told.get(name, {}) for name in ends},
            {name: load(files[name]).header.get_zooms()[:3] for name in ends},
            'dwi',
        )


def _rows(session, means, first, years, start) -> list[dict]:
    """Write the means of a visit, and their differences to the first."""
    since = 0.0 if session == start else years_between(years, start, session)
    since = None if years.get(session) is None else since
    rows = []
    for (kind, name), found in means.items():
        before = first[kind, name].mean if first and (kind, name) in first else None
        known = session != start and None not in (before, found.mean)
        difference = found.mean - before if known else None
        rows.append(
            {
                'session': session,
                'years': since,
                'tissue': kind,
                'map': name,
                'units': MAPS[name][1],
                'n_voxels': found.count,
                'mean': found.mean,
                'sd': found.sd,
                'difference': difference,
                'per_year': difference / since if known and since else None,
            }
        )
    return rows
