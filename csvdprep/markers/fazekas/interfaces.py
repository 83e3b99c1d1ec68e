"""Files in, files out; the rules are in the science."""

from pathlib import Path

import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, traits

from csvdprep.imaging.frame import ImageFrame
from csvdprep.imaging.images import load
from csvdprep.interfaces.values import Value, write_values
from csvdprep.markers.fazekas import ROOM
from csvdprep.markers.fazekas.science import grade
from csvdprep.science.walls import check_ventricles, find_wall

#: Labels of the zone image that are no white matter: deep grey matter, infratentorial.
_NOT_WHITE = (5, 6)


class _FazekasInputSpec(TraitedSpec):
    zones_dseg = File(exists=True, mandatory=True, desc='hyperintensities by zone')
    flair_preproc = File(exists=True, mandatory=True, desc='FLAIR')
    flair_to_anat = File(exists=True, mandatory=True, desc='resamples FLAIR onto reference')
    ventricles = File(exists=True, mandatory=True, desc='lateral ventricles')
    rule = traits.Str('ladis', usedefault=True, desc='rule for the size of deep lesions')


class _FazekasOutputSpec(TraitedSpec):
    fazekas_values = File(exists=True, desc='measures')


class Fazekas(SimpleInterface):
    """Grade the hyperintensities."""

    input_spec = _FazekasInputSpec
    output_spec = _FazekasOutputSpec

    def _run_interface(self, runtime):
        space = ImageFrame.read(self.inputs.flair_preproc, self.inputs.flair_to_anat)
        zones = np.asanyarray(load(self.inputs.zones_dseg).dataobj)
        lesion = (zones > 0) & ~np.isin(zones, _NOT_WHITE)
        ventricles = load(self.inputs.ventricles)
        inside = np.asanyarray(ventricles.dataobj) > 0
        check_ventricles(inside, ventricles.affine)
        d_v = space.distance_from(inside, ventricles.affine, lesion, 'the lateral ventricles')
        wall = find_wall(inside, np.linalg.inv(space.to_anat) @ ventricles.affine)
        found = grade(lesion, d_v, space.image.affine, wall, rule=self.inputs.rule).as_dict()
        values = {measure.name: found[measure.name] for measure in ROOM.measures}
        if found['fazekas_volcheck'] == 'warn':
            said = f'the volume suggests grade {found["fazekas_by_volume"]}'
            values['fazekas_total'] = Value(found['fazekas_total'], qc='warn', reason=said)
        self._results['fazekas_values'] = write_values(
            Path(runtime.cwd) / 'values.json', values, ROOM
        )
        return runtime
