"""Files in, files out; the rules are in the science."""

from pathlib import Path

import nibabel as nib
import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, isdefined, traits

from csvdprep.imaging.atlas import (
    DEEP_GREY,
    INFRATENTORIAL,
    label_names,
    labels_of,
    labels_on,
    sides,
)
from csvdprep.imaging.frame import ImageFrame
from csvdprep.imaging.images import load, resample, save
from csvdprep.interfaces.lists import write_rows
from csvdprep.interfaces.values import Value, write_values
from csvdprep.markers.zones import ARTERIES, ARWMC, ROOM
from csvdprep.markers.zones.science import (
    bullseye,
    cortical_ribbon,
    label_zones,
    measure_zones,
    region_volumes,
)
from csvdprep.markers.zones.science.arwmc import basal_ganglia_grade, white_matter_grade
from csvdprep.markers.zones.science.lesions import lesion_table, size_classes
from csvdprep.science.walls import check_ventricles

#: Lesions this close to the cortex (mm) are suspect when they are many.
NEAR_MM = 2.0
#: Caps and bands, which ARWMC does not count, end this far from the ventricles (mm).
BAND_MM = 5.0
#: Lobes of the regions of ARWMC.
_REGION_LOBES = {
    'frontal': ('frontal',),
    'parieto_occipital': ('parietal', 'occipital'),
    'temporal': ('temporal',),
    'basal_ganglia': ('deep grey', 'insula'),
}


class _ZonesInputSpec(TraitedSpec):
    wmh_mask = File(exists=True, mandatory=True, desc='hyperintensities')
    wmh_probseg = File(exists=True, desc='degree of membership')
    flair_preproc = File(exists=True, mandatory=True, desc='FLAIR')
    flair_to_anat = File(exists=True, mandatory=True, desc='resamples FLAIR onto reference')
    brain_mask = File(exists=True, mandatory=True, desc='brain')
    ventricles = File(exists=True, mandatory=True, desc='lateral ventricles')
    csf_probseg = File(exists=True, mandatory=True, desc='probability of CSF')
    gm_probseg = File(exists=True, mandatory=True, desc='probability of grey matter')
    structures_dseg = File(exists=True, mandatory=True, desc='deep structures')
    lobes_dseg = File(exists=True, mandatory=True, desc='lobes')
    territories_dseg = File(exists=True, mandatory=True, desc='vascular territories')
    mni_to_anat = File(exists=True, mandatory=True, desc='resamples template onto reference')
    wmh_subcortical = File(
        exists=True,
        mandatory=True,
        desc='hyperintensities of deep grey matter, brainstem, cerebellum',
    )
    scheme = traits.Str('kim', usedefault=True, desc='rule')
    minimum_mm3 = traits.Float(5.0, usedefault=True, desc='smallest lesion of the table')


class _ZonesOutputSpec(TraitedSpec):
    zones_dseg = File(exists=True, desc='zone of each voxel')
    wmh_numbers = File(exists=True, desc='index of each lesion')
    wmh_lesions = File(exists=True, desc='list of lesions')
    wmh_bullseye = File(exists=True, desc='volumes by lobe and depth')
    zones_values = File(exists=True, desc='measures')


class Zones(SimpleInterface):
    """Divide hyperintensities by zone and region."""

    input_spec = _ZonesInputSpec
    output_spec = _ZonesOutputSpec

    def _run_interface(self, runtime):
        given, folder = self.inputs, Path(runtime.cwd)
        space = ImageFrame.read(given.flair_preproc, given.flair_to_anat)
        affine = space.image.affine
        lesion = np.asanyarray(load(given.wmh_mask).dataobj) > 0
        d_v, d_j = self._distances(space, lesion)
        structures = labels_on(given.structures_dseg, space.image, matrix=space.to_anat)
        lobes = labels_on(given.lobes_dseg, space.image, matrix=space.to_anat)
        territories = labels_on(given.territories_dseg, space.image, matrix=space.to_anat)
        zones = label_zones(
            lesion,
            d_v,
            d_j,
            scheme=given.scheme,
            deep_grey=np.isin(structures, labels_of('structures', *DEEP_GREY)),
            infratentorial=np.isin(structures, labels_of('structures', *INFRATENTORIAL)),
        )
        brain = load(given.brain_mask)
        icv_ml = np.asanyarray(brain.dataobj).sum() * np.prod(brain.header.get_zooms()[:3]) / 1000
        found = measure_zones(
            zones, d_v, d_j, affine, scheme=given.scheme, icv_ml=float(icv_ml), side=sides(lobes)
        )
        probability = None
        if isdefined(given.wmh_probseg):
            probability = np.asanyarray(load(given.wmh_probseg).dataobj, dtype=np.float32)
        rows, numbers = lesion_table(
            zones,
            affine,
            d_v=d_v,
            side=sides(lobes),
            probability=probability,
            to_mni=lambda points: space.in_template(points, given.mni_to_anat),
            lobes=(lobes, label_names('lobes')),
            territories=(territories, label_names('territories')),
            minimum_mm3=given.minimum_mm3,
        )
        white = (zones > 0) & ~np.isin(zones, (5, 6))
        for name, (count, ml) in size_classes(white, affine).items():
            found |= {f'wmh_n_{name}': count, f'wmh_{name}_ml': ml}
        found |= self._arwmc(space, white, d_v, structures, lobes)
        self._results['wmh_bullseye'] = _write_bullseye(
            bullseye(white, d_v, d_j, lobes, affine, label_names('lobes')), folder / 'bullseye.tsv'
        )
        self._results['zones_dseg'] = save(zones, space.image, folder / 'zones.nii.gz')
        self._results['wmh_numbers'] = save(
            numbers.astype(np.uint16), space.image, folder / 'lesions.nii.gz'
        )
        self._results['wmh_lesions'] = write_rows(
            rows, ROOM.makes['wmh_lesions'].columns, folder / 'lesions.tsv'
        )
        self._results['zones_values'] = write_values(
            folder / 'values.json',
            _values(found, white, d_j, lobes, territories, affine, given.scheme),
            ROOM,
        )
        return runtime

    def _arwmc(self, space, white, d_v, structures, lobes):
        """Grade by region."""
        given, affine = self.inputs, space.image.affine
        subcortical = np.asanyarray(load(given.wmh_subcortical).dataobj) > 0
        lesion = white & (np.nan_to_num(d_v) > BAND_MM) | subcortical
        fluid_and_grey = space.sample(given.gm_probseg) + space.sample(given.csf_probseg)
        tissue = labels_on(given.brain_mask, space.image, matrix=space.to_anat) > 0
        matter = tissue & (fluid_and_grey < 0.5)
        low = np.isin(structures, labels_of('structures', *INFRATENTORIAL))
        low_side = np.zeros(low.shape, np.uint8)
        world = nib.affines.apply_affine(affine, np.argwhere(low))
        low_side[low] = np.where(space.in_template(world, given.mni_to_anat)[:, 0] < 0, 1, 2)
        grades = {}
        for side, number in (('left', 1), ('right', 2)):
            for region in ARWMC:
                where = low_side == number
                if region in _REGION_LOBES:
                    names = [f'{side} {lobe}' for lobe in _REGION_LOBES[region]]
                    where = np.isin(lobes, labels_of('lobes', *names)) & ~low
                grades[f'arwmc_{region}_{side}'] = (
                    basal_ganglia_grade(lesion, where, affine)
                    if region == 'basal_ganglia'
                    else white_matter_grade(lesion, where, matter, affine)
                )
        return {**grades, 'arwmc_total': sum(grades.values())}

    def _distances(self, space, lesion):
        """Measure from the lateral ventricles and from the cortex."""
        given = self.inputs
        ventricles = load(given.ventricles)
        inside = np.asanyarray(ventricles.dataobj) > 0
        check_ventricles(inside, ventricles.affine)
        gm, csf = (
            np.asanyarray(load(file).dataobj, dtype=np.float32)
            for file in (given.gm_probseg, given.csf_probseg)
        )
        brain = np.asanyarray(load(given.brain_mask).dataobj) > 0
        structures = np.asanyarray(load(given.structures_dseg).dataobj)
        # Lesions, dark on T1w, may be labelled grey matter there.
        moved = resample(
            nib.Nifti1Image(lesion.astype(np.float32), space.image.affine),
            ventricles,
            matrix=np.linalg.inv(space.to_anat),
        )
        cortex = cortical_ribbon(
            gm,
            csf,
            brain,
            ventricles.affine,
            ventricles=inside,
            exclude=(structures > 0) | (moved > 0.5),
        )
        return (
            space.distance_from(inside, ventricles.affine, lesion, 'the lateral ventricles'),
            space.distance_from(cortex, ventricles.affine, lesion, 'the cortex'),
        )


def _values(found, white, d_j, lobes, territories, affine, scheme):
    """Give every declared measure its value."""
    names = {
        label: f'wmh_{name.split()[1]}_{name.split()[0]}_ml'
        for label, name in label_names('lobes').items()
    }
    keys = {artery: key for key, artery in ARTERIES.items()}
    names_of_territories = {
        label: f'wmh_{keys[name.split()[1]]}_{name.split()[0]}_ml'
        for label, name in label_names('territories').items()
        if name.split()[0] in ('left', 'right')
    }
    all_found = {
        **found,
        **region_volumes(white, lobes, affine, names),
        **region_volumes(white, territories, affine, names_of_territories),
    }
    low, high = sorted((found['wmh_left_ml'], found['wmh_right_ml']))
    n = int(white.sum())
    all_found['qc_wmh_side_ratio'] = (
        high / low
        if low > 0.1
        else Value(None, reason='the lesion volume is too small for a ratio')
    )
    all_found['qc_wmh_cortex_pct'] = (
        Value(100 * float((d_j[white] <= NEAR_MM).sum()) / n, n=n)
        if n
        else Value(None, reason='there are no lesions')
    )
    why = f'the rule {scheme} has no such zone' if n else 'there are no lesions'
    return {
        measure.name: Value(None, reason=why) if value is None else value
        for measure in ROOM.measures
        for value in (all_found[measure.name],)
    }


def _write_bullseye(rows, path):
    table = [
        {**row, **dict(zip(('side', 'lobe'), row['lobe'].split()[:2], strict=True))}
        for row in rows
    ]
    return write_rows(table, ROOM.makes['wmh_bullseye'].columns, path, digits=6)
