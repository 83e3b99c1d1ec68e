"""T2w beside the anatomical reference: intensity correction, brain mask, and the way there."""

from dataclasses import dataclass

from csvdprep.core.declared import Frame, Input
from csvdprep.core.options import option
from csvdprep.core.room import Derivative, Figure, Limits, Measure, Room
from csvdprep.resources import BRAIN


@dataclass(frozen=True)
class Options:
    """Bias field."""

    spline_mm: float = option(
        200.0, 'Distance of the knots of the bias field, halved twice.', unit='mm', least=20
    )


ROOM = Room(
    name='t2w',
    title='T2w to the reference',
    needs=('t2w', 'anat_preproc', 'brain_mask'),
    inputs=(
        Input(
            name='t2w',
            title='T2w',
            description='T2w as acquired.',
            datatype='anat',
            suffixes=('T2w',),
            frame='t2w',
        ),
    ),
    frames=(
        Frame(
            name='t2w',
            description='Grid of the T2w.',
            space='T2w',
            source='t2w',
            image='t2w_preproc',
            to_anat='t2w_to_anat',
        ),
    ),
    makes={
        't2w_preproc': Derivative(
            suffix='T2w',
            desc='preproc',
            frame='t2w',
            description='T2w, intensity-corrected (N4), on its own grid.',
        ),
        't2w_mask': Derivative(
            suffix='mask', desc='brain', frame='t2w', description='Brain mask on the T2w grid.'
        ),
        't2w_to_anat': Derivative(
            suffix='xfm',
            xfm=('T2w', '{hub}'),
            extension='.txt',
            frame='t2w',
            description='Rigid transform that resamples the T2w onto the {hub} (ITK, LPS mm).',
        ),
    },
    figures=(
        Figure(
            desc='coregt2w',
            suffix='T2w',
            title='T2w on the reference',
            caption='The two images change places under the pointer: ventricles, sulci and '
            'the edge of the brain should not move.',
            build='csvdprep.preprocessing.t2w.figures:draw_coregistration',
            takes=('anat_preproc', 't2w_preproc', 't2w_to_anat', 'brain_mask'),
        ),
    ),
    measures=(
        Measure(
            name='qc_t2w_anat_edges',
            units='1',
            method='edge-overlap',
            description='Share of the strong edges of the T2w that lie on edges of the '
            'anatomical reference after registration; all of them would mean one image twice.',
            limits=Limits(ok=(0.5, 0.98), warn=(0.4, 0.995)),
        ),
        Measure(
            name='qc_t2w_coverage_pct',
            units='%',
            method='overlap',
            description='Share of the brain of the anatomical reference that the T2w covers.',
            limits=Limits(ok=(95, None), warn=(80, None)),
        ),
    ),
    resources=BRAIN,
    build='csvdprep.preprocessing.t2w.workflow:init_t2w_wf',
    options=Options,
    methods=(
        'The T2w was corrected for intensity non-uniformity with N4 [@tustison2010] (knots '
        '{o.spline_mm:g} mm apart, halved twice) and registered to the anatomical reference by a '
        'rigid transform (mutual information, 32 bins) with ANTs [@avants2011ants].'
    ),
    references=('tustison2010', 'avants2011ants'),
)
