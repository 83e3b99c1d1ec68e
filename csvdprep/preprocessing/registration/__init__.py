"""The way to the template and back."""

from dataclasses import dataclass

from csvdprep.core.declared import External, Frame
from csvdprep.core.options import option
from csvdprep.core.room import Derivative, Figure, Limits, Measure, Room

SPACE = 'MNI152NLin2009aSym'


@dataclass(frozen=True)
class Options:
    """Registration."""

    resolution_mm: float = option(
        2.0, 'Finest resolution of the registration.', unit='mm', least=1, most=6
    )


ROOM = Room(
    name='registration',
    title='Registration to the template',
    needs=('anat_filled', 'brain_mask'),
    wants=('lesion_guess', 'anat_to_mni_external', 'mni_to_anat_external'),
    externals=(
        External(
            name='anat_to_mni_external',
            title='transform to the template',
            description=f'Transform of the reference to {SPACE} (ITK composite, .h5), made by '
            'another tool or corrected by hand; the transforms in both directions '
            'are needed.',
            lesion=False,
            grids=(),
            words='xfm',
            transform=('{hub}', SPACE),
        ),
        External(
            name='mni_to_anat_external',
            title='transform from the template',
            description=f'Transform from {SPACE} to the reference, as above.',
            lesion=False,
            grids=(),
            words='xfm',
            transform=(SPACE, '{hub}'),
        ),
    ),
    frames=(Frame(name='mni', description='Grid of a template.', space=None),),
    makes={
        'anat_to_mni': Derivative(
            suffix='xfm',
            xfm=('{hub}', SPACE),
            extension='.h5',
            description='Resamples the {hub} into the template (ITK composite, LPS mm).',
        ),
        'mni_to_anat': Derivative(
            suffix='xfm',
            xfm=(SPACE, '{hub}'),
            extension='.h5',
            description='Resamples the template onto the {hub} (ITK composite, LPS mm).',
        ),
    },
    figures=(
        Figure(
            desc='registration',
            suffix='{hub}',
            title='{hub} in the template',
            caption='The mouse pointer switches between the template and the patient. The '
            'ventricles, the sulci and the edge of the brain should not move.',
            build='csvdprep.preprocessing.registration.figures:draw_registration',
            takes=('anat_filled', 'anat_to_mni', 'brain_mask'),
        ),
    ),
    measures=(
        Measure(
            name='qc_template_dice',
            units='1',
            method='dice',
            description='Agreement (Dice) of the brain mask with that of the template after '
            'registration.',
            limits=Limits(ok=(0.93, None), warn=(0.88, None)),
        ),
        Measure(
            name='qc_template_edges',
            units='1',
            method='edge-overlap',
            description="Share of the strong edges of the patient's image that coincide with "
            'edges of the template after registration.',
        ),
        Measure(
            name='head_scale',
            units='1',
            method='affine-determinant',
            description='Volume of the brain relative to that of the template: determinant of '
            'the affine part of the registration.',
            limits=Limits(ok=(0.55, 1.3), warn=(0.4, 1.6)),
            table=False,
        ),
    ),
    context=('hub', 'sloppy'),
    resources=('template', 'template_mask', 'template_csf', 'template_gm', 'template_wm'),
    build='csvdprep.preprocessing.registration.workflow:init_registration_wf',
    options=Options,
    resolve='csvdprep.preprocessing.registration.resolve:resolve',
    methods=(
        'The anatomical reference, with lesions filled and excluded from the metric, was '
        'registered to the ICBM 152 2009a symmetric template [@fonov2009; @fonov2011] by '
        'rigid, affine and diffeomorphic (SyN) transforms [@avants2008], '
        '{o.resolution_mm:g} mm at the finest level, unless transforms were given.'
    ),
    references=('fonov2009', 'fonov2011', 'avants2008'),
)
