"""Brain of the anatomical reference: intensity correction and brain mask."""

from dataclasses import dataclass

from csvdprep.core.declared import External, Frame, Input
from csvdprep.core.options import option
from csvdprep.core.room import Derivative, Figure, Limits, Measure, Room
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
    name='brain',
    title='Brain extraction',
    needs=('anat',),
    wants=('brain_mask_external',),
    inputs=(
        Input(
            name='t1w',
            title='T1w',
            description='T1-weighted image as acquired.',
            datatype='anat',
            suffixes=('T1w',),
            frame='anat',
            reference=1,
        ),
    ),
    externals=(
        External(
            name='brain_mask_external',
            title='brain mask',
            lesion=False,
            description='Brain mask made by another tool or by hand.',
            grids=('t1w', 'flair'),
            labels=('brain',),
            words=r'brain[_-]?mask|desc-brain[^_]*_mask|label-brain_mask',
        ),
    ),
    frames=(
        Frame(
            name='anat',
            space='{hub}',
            image='anat_preproc',
            description='Grid of the anatomical reference: of the T1w if there is one, else of '
            'the FLAIR.',
        ),
    ),
    makes={
        'anat_preproc': Derivative(
            suffix='{hub}',
            desc='preproc',
            description='{hub}, intensity-corrected (N4), on its own grid. Intensities are '
            'scaled so that 2 % of the voxels above zero were brighter than 1000 '
            'before the correction.',
            resampled='linear',
        ),
        'brain_mask': Derivative(
            suffix='mask',
            desc='brain',
            description='Brain mask of the {hub}.',
            resampled='nearest',
        ),
    },
    figures=(
        Figure(
            desc='brain',
            suffix='{hub}',
            title='Brain mask',
            caption='The outline should follow the surface of the brain in every slice, with '
            'no eye, scalp or dura inside and no cortex outside.',
            build='csvdprep.preprocessing.brain.figures:draw_brain_mask',
            takes=('anat_preproc', 'brain_mask'),
        ),
    ),
    measures=(
        Measure(
            name='qc_brain_ml',
            units='mL',
            method='deepbet-onnx',
            reference='fisch2024',
            description='Volume of the brain mask of the anatomical reference, including the '
            'cerebrospinal fluid around the brain.',
            limits=Limits(ok=(1000, 2000), warn=(800, 2300)),
        ),
        Measure(
            name='qc_reference',
            units='',
            method='plan',
            description='Image that is the anatomical reference of the visit.',
            levels={
                'T1w': 'T1-weighted image',
                'FLAIR': 'FLAIR, because there is no T1w: fewer measures, and less reliable '
                'tissues',
            },
        ),
        Measure(
            name='qc_stripped',
            units='',
            method='deepbet-onnx',
            description='Whether the image was skull-stripped before.',
            levels={'yes': 'already skull-stripped', 'no': 'whole head'},
        ),
    ),
    context=('hub',),
    resources=BRAIN,
    build='csvdprep.preprocessing.brain.workflow:init_brain_wf',
    options=Options,
    resolve='csvdprep.preprocessing.brain.resolve:resolve',
    version=3,
    methods=(
        'The brain was found in the anatomical reference with the networks of deepbet '
        '[@fisch2024], and intensity non-uniformity was corrected inside it with N4 '
        '[@tustison2010] (knot distance {o.spline_mm:g} mm, halved twice).'
    ),
    references=('fisch2024', 'tustison2010'),
)
