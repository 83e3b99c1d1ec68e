"""Files in, files out; the numbers are in the science."""

from pathlib import Path

import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, isdefined, traits

from csvdprep.bids.tsv import write_tsv
from csvdprep.imaging.ants import apply_transform
from csvdprep.imaging.frame import ImageFrame
from csvdprep.imaging.images import load, resample
from csvdprep.interfaces.cerebrum import FLUID, as_free_water
from csvdprep.interfaces.values import Value, read_measure, write_values
from csvdprep.markers.penumbra import MAPS, ROOM
from csvdprep.markers.penumbra.science import (
    lesion_distances,
    ring_profile,
    split_lesions,
    surroundings,
)
from csvdprep.markers.penumbra.science.summary import adjusted_slope, summarise
from csvdprep.resources import resource

#: Intensity of FLAIR is given relative to white matter this far from lesions, mm.
REMOTE_MM = 10.0
COLUMNS = ('kind', 'map', 'units', 'ring', 'n_voxels', 'distance_mm', 'median', 'mean', 'se')


class _PenumbraInputSpec(TraitedSpec):
    dwi_fa = File(exists=True, mandatory=True, desc='fractional anisotropy')
    dwi_md = File(exists=True, mandatory=True, desc='mean diffusivity')
    dwi_fw = File(exists=True, mandatory=True, desc='free water')
    dwi_mask = File(exists=True, mandatory=True, desc='brain of the series')
    dwi_to_anat = File(exists=True, mandatory=True, desc='resamples series onto reference')
    gm_probseg = File(exists=True, mandatory=True, desc='probability of grey matter')
    csf_probseg = File(exists=True, mandatory=True, desc='probability of CSF')
    ventricles = File(exists=True, mandatory=True, desc='lateral ventricles')
    structures_dseg = File(exists=True, mandatory=True, desc='deep structures')
    wmh_mask = File(exists=True, mandatory=True, desc='hyperintensities, on the FLAIR')
    flair_preproc = File(exists=True, mandatory=True, desc='FLAIR')
    flair_to_anat = File(exists=True, mandatory=True, desc='resamples FLAIR onto reference')
    tensors_values = File(exists=True, mandatory=True, desc='how tensors were fitted')
    fa_to_dwi = File(exists=True, desc='resamples the FA template onto the series')
    periventricular_mm = traits.Float(10.0, usedefault=True, desc='where deep begins')


class _PenumbraOutputSpec(TraitedSpec):
    penumbra_profile = File(exists=True, desc='rings')
    penumbra_values = File(exists=True, desc='measures')


class Penumbra(SimpleInterface):
    """Measure diffusion by the distance from hyperintensities."""

    input_spec = _PenumbraInputSpec
    output_spec = _PenumbraOutputSpec

    def _run_interface(self, runtime):
        given, folder = self.inputs, Path(runtime.cwd)
        space = ImageFrame.read(given.dwi_fa, given.dwi_to_anat, {'flair': given.flair_to_anat})
        lesions = np.asanyarray(load(given.wmh_mask).dataobj) > 0
        if not lesions.any():
            none = Value(None, reason='there are no hyperintensities')
            self._results['penumbra_profile'] = _write([], folder / 'profile.tsv')
            self._results['penumbra_values'] = write_values(
                folder / 'values.json', {m.name: none for m in ROOM.measures}, ROOM
            )
            return runtime
        d_v = self._from_ventricles(lesions)
        distances = self._distances(space, lesions, d_v)
        maps = {
            name: np.asanyarray(load(getattr(given, f'dwi_{name}')).dataobj, dtype=np.float64)
            * factor
            for name, (_, _, factor) in MAPS.items()
        }
        water = read_measure(given.tensors_values, 'tensors.fw_method', ROOM).value
        if water == 'none':
            maps['fw'] = np.full(maps['fw'].shape, np.nan)
        others = self._covariates(space)
        profiled = {**maps, 'flair': self._flair(space, distances)}
        rows, values = [], {}
        for kind, distance in distances.items():
            for name, values_of in profiled.items():
                rows += _rows(kind, name, ring_profile(values_of, distance))
            for name in MAPS:
                found = _summary(name, kind, maps[name], distance, others)
                if name == 'fw':
                    found = {column: as_free_water(v, water) for column, v in found.items()}
                values |= found
        self._results['penumbra_profile'] = _write(rows, folder / 'profile.tsv')
        self._results['penumbra_values'] = write_values(
            folder / 'values.json', _absent(distances) | values, ROOM
        )
        return runtime

    def _from_ventricles(self, lesions):
        given = self.inputs
        ventricles = load(given.ventricles)
        inside = np.asanyarray(ventricles.dataobj) > 0
        flair = ImageFrame.read(given.flair_preproc, given.flair_to_anat)
        return flair.distance_from(inside, ventricles.affine, lesions, 'the lateral ventricles')

    def _distances(self, space, lesions, d_v):
        """Return distances in white matter from all, periventricular and deep lesions."""
        given = self.inputs
        brain = np.asanyarray(load(given.dwi_mask).dataobj) > 0
        structures = np.asanyarray(load(given.structures_dseg).dataobj)
        others = space.share(given.structures_dseg, labels=np.unique(structures[structures > 0]))
        share = space.share(given.wmh_mask, 'flair')
        where = surroundings(
            brain & (others <= FLUID),
            space.share(given.gm_probseg),
            space.share(given.csf_probseg),
            [share > FLUID],
        )
        flair = load(given.flair_preproc)
        affine = np.linalg.inv(space.ways['flair']) @ flair.affine
        parts = split_lesions(lesions, np.nan_to_num(d_v, nan=np.inf), given.periventricular_mm)
        parts = {f'_{name}': part for name, part in parts.items() if part.any()}
        found = lesion_distances({'': lesions}, affine, where, space.image.affine)
        return found | lesion_distances(parts, affine, where, space.image.affine)

    def _flair(self, space, distances):
        """Return the FLAIR on the grid of the series, relative to remote white matter."""
        flair = resample(load(self.inputs.flair_preproc), space.image, matrix=space.ways['flair'])
        remote = flair[np.nan_to_num(distances[''], nan=0) > REMOTE_MM]
        level = float(np.median(remote)) if len(remote) else np.nan
        return flair / level if level > 0 else np.full(flair.shape, np.nan)

    def _covariates(self, space):
        """Return what goes with the distance from lesions: ventricles, and the tract."""
        given = self.inputs
        near = space.distance(space.share(given.ventricles) >= 0.5)
        found = [np.where(np.isfinite(near), near, np.nan)]
        if isdefined(given.fa_to_dwi):
            moved = apply_transform(
                load(resource('fa_template')), load(given.dwi_fa), [given.fa_to_dwi]
            )
            found.append(np.asanyarray(moved.dataobj, dtype=np.float64))
        return found


def _absent(distances):
    """Say that there are no hyperintensities of a kind."""
    missing = Value(None, reason='there are no hyperintensities of this kind')
    return {
        measure.name: missing
        for measure in ROOM.measures
        for kind in ('_pv', '_deep')
        if kind in measure.name and kind not in distances
    }


def _summary(name, kind, values, distance, others):
    found = summarise(values, distance)
    said = found.reasons

    def value(stem, what):
        return Value(
            what,
            reason=''
            if what is not None
            else said.get(stem, 'the measure is not defined for this profile'),
        )

    slope, why = adjusted_slope(values, distance, others)
    return {
        f'pen_slope_{name}{kind}': value('slope', found.slope),
        f'pen_adj_slope_{name}{kind}': Value(slope, reason=why),
        f'pen_delta_{name}{kind}': value('delta', found.delta),
        f'pen_width_{name}{kind}_mm': value('width_mm', found.width_mm),
        f'pen_decay_{name}{kind}_mm': value('decay_mm', found.decay_mm),
    }


def _rows(kind, name, profile):
    units = MAPS[name][1] if name in MAPS else '1'
    label = {'': 'all', '_pv': 'periventricular', '_deep': 'deep'}[kind]
    return [
        (label, name, units, f'{ring}-{ring + 1}', *numbers)
        for ring, numbers in enumerate(
            zip(
                profile.voxels,
                profile.distance_mm,
                profile.median,
                profile.mean,
                profile.se,
                strict=True,
            )
        )
    ]


def _write(rows, path):
    write_tsv(path, [COLUMNS, *rows], digits=6)
    return str(path)
