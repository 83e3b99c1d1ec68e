"""Distortion: how the field displaces the signal of a diffusion series."""

from dataclasses import dataclass

from csvdprep.core.options import option
from csvdprep.core.room import Derivative, Measure, Room


@dataclass(frozen=True)
class Options:
    """From what the distortion may be found; the same in all participants of a study."""

    fieldmapless: bool = option(
        True,
        'Without images of opposite polarity and field map, correct '
        'distortion by registration to the anatomy.',
    )


SDC = {
    'pepolar': 'from images of opposite polarity',
    'fieldmap': 'from a field map',
    'syn': 'from registration to the anatomical reference, which is less exact',
    'none': 'not corrected',
    'given': 'corrected before',
}

ROOM = Room(
    name='dwi_distortion',
    title='Distortion of the diffusion series',
    needs=('dwi', 'dwi_denoised', 'dwi_volumes', 'dwi_mask_raw'),
    wants=('anat_preproc', 'brain_mask'),
    makes={
        'dwi_shift': Derivative(
            suffix='shift',
            frame='dwi',
            saved=False,
            description='Distortion of the first volume: voxels along the axis of phase encoding '
            'by which what belongs at a voxel is displaced; 0 where it is not corrected.',
        )
    },
    measures=(
        Measure(
            name='dwi_sdc',
            units='',
            method='see-value',
            levels=SDC,
            description='How distortion by the field was corrected. Do not mix kinds within '
            'a study.',
        ),
    ),
    build='csvdprep.preprocessing.dwi_distortion.workflow:init_dwi_distortion_wf',
    options=Options,
    resolve='csvdprep.preprocessing.dwi_distortion.resolve:resolve',
    methods='Distortion of the diffusion series was found by the field from images of opposite '
    'polarity, as HySCO does it [@ruthotto2012], a field map, or registration.',
    references=('ruthotto2012',),
)
