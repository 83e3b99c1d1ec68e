"""Susceptibility-weighted image: made of magnitude and phase, or the scanner's."""

from dataclasses import dataclass

from csvdprep.core.options import option
from csvdprep.core.room import Derivative, Figure, Measure, Room


@dataclass(frozen=True)
class Options:
    """How the phase weights the magnitude."""

    highpass_mm: float = option(
        4.0, 'Width (SD) of the high-pass filter of the phase.', unit='mm', least=1, most=20
    )
    power: int = option(4, 'How often the phase mask is multiplied.', least=1, most=8)
    minip_mm: float = option(
        8.0, 'Thickness of the minimum intensity projection.', unit='mm', least=1, most=40
    )


SOURCES = {'computed': 'magnitude weighted by the phase', 'scanner': 'made by the scanner'}

ROOM = Room(
    name='swi',
    title='Susceptibility-weighted image',
    marker=True,
    needs=('gre', 'gre_mag', 'gre_mask'),
    wants=('gre_total',),
    makes={
        'gre_swi': Derivative(
            suffix='swi',
            desc='preproc',
            frame='gre',
            description='Susceptibility-weighted image: veins, iron and bleeds are dark. Where '
            'there is no phase it is the magnitude.',
        ),
        'gre_minip': Derivative(
            suffix='minIP',
            frame='gre',
            metadata={'SkullStripped': False},
            description='Minimum intensity projection of the susceptibility-weighted image over '
            'neighbouring slices.',
        ),
    },
    figures=(
        Figure(
            desc='swi',
            suffix='T2starw',
            title='Susceptibility-weighted image',
            caption='Minimum intensity projection and, under the pointer, single slices. Veins '
            'have to be dark: bright ones tell that the sign of the phase is wrong.',
            build='csvdprep.preprocessing.swi.figures:draw_swi',
            takes=('gre_swi', 'gre_minip', 'gre_mask'),
        ),
    ),
    measures=(
        Measure(
            name='swi_source',
            units='',
            method='input',
            levels=SOURCES,
            table=False,
            description='Where the susceptibility-weighted image is from.',
        ),
    ),
    options=Options,
    build='csvdprep.preprocessing.swi.workflow:init_swi_wf',
    methods='The susceptibility-weighted image is the magnitude times a mask of the phase at the '
    'effective echo time, high-passed ({o.highpass_mm:g} mm), to the power of {o.power} '
    '[@haacke2004; as in @eckstein2021], or that of the scanner.',
    references=('haacke2004', 'eckstein2021'),
)
