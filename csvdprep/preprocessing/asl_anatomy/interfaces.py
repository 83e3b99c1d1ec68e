"""Files in, files out; the registration is ANTs'."""

from pathlib import Path

import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec

from csvdprep.core.errors import MeasureError
from csvdprep.imaging.ants import n4, rigid
from csvdprep.imaging.frame import ImageFrame
from csvdprep.imaging.images import like, load, load_mask_on
from csvdprep.imaging.transforms import read_linear, write_linear
from csvdprep.interfaces.values import Value, write_values
from csvdprep.preprocessing.asl_anatomy import ROOM
from csvdprep.science.quality import edge_overlap


class _AlignInputSpec(TraitedSpec):
    asl_ref = File(exists=True, mandatory=True, desc='mean control')
    asl_m0 = File(exists=True, mandatory=True, desc='M0')
    asl_mask = File(exists=True, mandatory=True, desc='brain of the series')
    anat_preproc = File(exists=True, mandatory=True, desc='anatomical reference')
    brain_mask = File(exists=True, mandatory=True, desc='its brain')


class _AlignOutputSpec(TraitedSpec):
    asl_to_anat = File(exists=True, desc='resamples the series onto the reference')
    asl_anatomy_values = File(exists=True, desc='measures')


class Align(SimpleInterface):
    """Register the ASL series to the anatomical reference."""

    input_spec = _AlignInputSpec
    output_spec = _AlignOutputSpec

    def _run_interface(self, runtime):
        given, folder = self.inputs, Path(runtime.cwd)
        anat, m0, mask = load(given.anat_preproc), load(given.asl_m0), load(given.asl_mask)
        inside = np.asanyarray(mask.dataobj) > 0
        whole = np.asanyarray(load(given.brain_mask).dataobj) > 0
        seen = np.asanyarray(m0.dataobj, dtype=np.float32)
        if not np.ptp(seen[inside]) > 0:
            m0 = load(given.asl_ref)
            seen = np.asanyarray(m0.dataobj, dtype=np.float32)
        own = n4(like(np.maximum(seen, 0), m0), inside, spline_mm=100.0)
        way = rigid(own, anat, folder / 'anat_to_asl.txt', fixed_mask=inside, moving_mask=whole)
        back = read_linear(way)
        matrix = np.linalg.inv(back)
        self._results['asl_to_anat'] = str(write_linear(matrix, folder / 'asl_to_anat.txt'))
        there = load_mask_on(given.brain_mask, own, matrix=back) > 0
        if not (inside & there).any():
            raise MeasureError(
                'The ASL series and the anatomical reference have no brain in common: '
                'registration failed.',
                remedy='Look at both images; leave the series out by --ignore asl.',
            )
        frame = ImageFrame(own, {'anat': back})
        sampled = frame.sample(given.anat_preproc)
        covered = frame.share(given.brain_mask).sum() * np.prod(frame.voxel_mm)
        volume = whole.sum() * abs(np.linalg.det(anat.affine[:3, :3]))
        values = {
            'qc_asl_anat_dice': Value(
                float(2 * (inside & there).sum() / (inside.sum() + there.sum())),
                n=int(inside.sum()),
            ),
            'qc_asl_anat_edges': edge_overlap(
                sampled, np.asanyarray(own.dataobj), inside & there, frame.voxel_mm
            ),
            'qc_asl_coverage_pct': min(100.0, 100 * float(covered / volume)),
        }
        self._results['asl_anatomy_values'] = write_values(folder / 'values.json', values, ROOM)
        return runtime
