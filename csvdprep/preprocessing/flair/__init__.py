"""FLAIR beside a T1w: intensity correction, brain mask, and the way to the T1w."""

from dataclasses import dataclass

from csvdprep.core.declared import Frame, Input
from csvdprep.core.options import option
from csvdprep.core.room import Derivative, Figure, Limits, Measure, Otherwise, Room
from csvdprep.resources import BRAIN


@dataclass(frozen=True)
class Options:
    """Bias field."""

    spline_mm: float = option(
        200.0,
        'Initial distance of the B-spline knots of the bias field; it is halved twice.',
        unit='mm',
        least=20,
    )


ROOM = Room(
    name='flair',
    title='FLAIR to T1w',
    needs=('flair', 't1w', 'anat_preproc', 'brain_mask'),
    inputs=(
        Input(
            name='flair',
            title='FLAIR',
            description='FLAIR as acquired.',
            datatype='anat',
            suffixes=('FLAIR',),
            frame='flair',
            reference=2,
        ),
    ),
    frames=(
        Frame(
            name='flair',
            description='Grid of the FLAIR.',
            space='FLAIR',
            source='flair',
            image='flair_preproc',
            to_anat='flair_to_anat',
        ),
    ),
    makes={
        'flair_preproc': Derivative(
            suffix='FLAIR',
            desc='preproc',
            frame='flair',
            description='FLAIR, intensity-corrected (N4), on its own grid.',
            resampled='linear',
        ),
        'flair_mask': Derivative(
            suffix='mask', desc='brain', frame='flair', description='Brain mask on the FLAIR grid.'
        ),
        'flair_to_anat': Derivative(
            suffix='xfm',
            xfm=('FLAIR', 'T1w'),
            extension='.txt',
            frame='flair',
            description='Rigid transform that resamples the FLAIR onto the T1w (ITK, LPS mm).',
        ),
    },
    figures=(
        Figure(
            desc='coreg',
            suffix='FLAIR',
            title='FLAIR on T1w',
            caption='The mouse pointer switches between the two images. The ventricles, the '
            'sulci and the edge of the brain should not move.',
            build='csvdprep.preprocessing.flair.figures:draw_coregistration',
            takes=('anat_preproc', 'flair_preproc', 'flair_to_anat', 'brain_mask'),
        ),
    ),
    measures=(
        Measure(
            name='qc_flair_t1w_edges',
            units='1',
            qc_id='Q3',
            method='edge-overlap',
            description='Share of the strong edges of the FLAIR that coincide with edges of '
            'the T1w after registration; 100 % would mean that the two images are '
            'the same.',
            limits=Limits(ok=(0.6, 0.98), warn=(0.5, 0.995)),
        ),
        Measure(
            name='qc_flair_mask_dice',
            units='1',
            method='dice',
            description='Agreement (Dice) of the brain masks of the FLAIR and the T1w, within '
            'the part covered by both images.',
            limits=Limits(ok=(0.93, None), warn=(0.85, None)),
        ),
    ),
    otherwise=Otherwise(
        given=('flair',),
        names={
            'flair_preproc': 'anat_preproc',
            'flair_mask': 'brain_mask',
            'flair_to_anat': 'resource:identity.txt',
        },
    ),
    resources=BRAIN,
    build='csvdprep.preprocessing.flair.workflow:init_flair_wf',
    options=Options,
    version=2,
    methods=(
        'The FLAIR was corrected for intensity non-uniformity with N4 [@tustison2010] '
        '(knot distance {o.spline_mm:g} mm, halved twice) and registered to the T1w by a '
        'rigid transform (mutual information, 32 bins) with ANTs [@avants2011ants].'
    ),
    references=('tustison2010', 'avants2011ants'),
)
