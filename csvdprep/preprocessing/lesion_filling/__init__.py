"""T1w with the final hyperintensities filled, for tools that take them for grey matter."""

from dataclasses import dataclass

from csvdprep.core.options import option
from csvdprep.core.room import Derivative, Figure, Room


@dataclass(frozen=True)
class Options:
    """What is filled."""

    share: float = option(
        0.3,
        'Least share of a T1w voxel that lies in hyperintensities, for it to be filled.',
        least=0.05,
        most=1,
    )


ROOM = Room(
    name='lesion_filling',
    title='T1w with hyperintensities filled',
    needs=(
        't1w',
        'anat_preproc',
        'brain_mask',
        'csf_probseg',
        'wm_probseg',
        'wmh_mask',
        'flair_to_anat',
    ),
    makes={
        't1w_filled': Derivative(
            suffix='T1w',
            desc='filled',
            description='T1w, intensity-corrected, with the white matter hyperintensities of the '
            'final mask filled with what normal white matter around them looks like.',
        )
    },
    figures=(
        Figure(
            desc='lesionfilling',
            suffix='T1w',
            title='T1w with hyperintensities filled',
            caption='The T1w and, under the pointer, the same with hyperintensities filled: '
            'nothing but white matter must change.',
            build='csvdprep.preprocessing.lesion_filling.figures:draw_filling',
            takes=('anat_preproc', 't1w_filled', 'brain_mask', 'wmh_mask', 'flair_to_anat'),
        ),
    ),
    context=('random_seed',),
    build='csvdprep.preprocessing.lesion_filling.workflow:init_lesion_filling_wf',
    options=Options,
    methods=(
        'A T1w with lesions filled was made for tools that segment tissues without a model of '
        'lesions: voxels with at least {o.share:g} of their volume in the final mask of '
        'hyperintensities were given samples of the normal white matter within 6 mm.'
    ),
)
