"""The way from the diffusion series to the FA template and back."""

from dataclasses import dataclass

from csvdprep.core.options import option
from csvdprep.core.room import Derivative, Figure, Limits, Measure, Room

SPACE = 'TractSegFA'


@dataclass(frozen=True)
class Options:
    """Registration."""

    resolution_mm: float = option(
        2.0, 'Finest resolution of the registration.', unit='mm', least=1, most=6
    )


ROOM = Room(
    name='dwi_template',
    title='Registration of FA to its template',
    needs=('dwi_fa', 'dwi_mask'),
    makes={
        'dwi_to_fa': Derivative(
            suffix='xfm',
            xfm=('dwi', SPACE),
            extension='.h5',
            frame='dwi',
            description='Resamples the diffusion series into the FA template (ITK composite, '
            'LPS mm).',
        ),
        'fa_to_dwi': Derivative(
            suffix='xfm',
            xfm=(SPACE, 'dwi'),
            extension='.h5',
            frame='dwi',
            description='Resamples the FA template onto the diffusion series (ITK composite, '
            'LPS mm).',
        ),
    },
    figures=(
        Figure(
            desc='fatemplate',
            suffix='dwi',
            title='FA and its template',
            caption='Fractional anisotropy and, under the mouse pointer, the warped template. '
            'Tracts should not move.',
            build='csvdprep.preprocessing.dwi_template.figures:draw_registration',
            takes=('dwi_fa', 'dwi_mask', 'fa_to_dwi'),
        ),
    ),
    measures=(
        Measure(
            name='qc_fa_template_r',
            units='1',
            method='correlation',
            description='Correlation of FA with the warped template, within the brain.',
            limits=Limits(ok=(0.6, None), warn=(0.45, None)),
        ),
    ),
    version=2,
    context=('sloppy',),
    resources=('fa_template',),
    build='csvdprep.preprocessing.dwi_template.workflow:init_dwi_template_wf',
    options=Options,
    methods=(
        'Fractional anisotropy was registered to the FA template of TractSeg [@wasserthal2018] by '
        'rigid, affine and diffeomorphic (SyN) transforms [@avants2008].'
    ),
    references=('wasserthal2018', 'avants2008'),
)
