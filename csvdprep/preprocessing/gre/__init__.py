"""Gradient echoes: a magnitude of all echoes, the brain, the way to the anatomy, R2*."""

from dataclasses import dataclass

from csvdprep.core.declared import Frame, Input
from csvdprep.core.options import option
from csvdprep.core.room import Derivative, Figure, Limits, Measure, Room
from csvdprep.resources import BRAIN


@dataclass(frozen=True)
class Options:
    """Bias field."""

    spline_mm: float = option(
        100.0, 'Distance of the knots of the bias field, halved twice.', unit='mm', least=20
    )


SEQUENCES = {
    'multi-echo': 'gradient echoes at several times',
    'single echo': 'one gradient echo',
    'weighted': 'susceptibility-weighted image of the scanner alone',
}

ROOM = Room(
    name='gre',
    title='Gradient echo',
    needs=('gre', 'anat_preproc', 'brain_mask'),
    inputs=(
        Input(
            name='gre',
            title='T2*w or SWI',
            datatype='anat',
            suffixes=('T2starw', 'MEGRE'),
            frame='gre',
            description='Gradient echoes, one or several, magnitude with or without phase '
            '(part-phase, or part-real and part-imag), or the SWI of the scanner (acq-swi, or '
            'files named swi in anat or swi).',
            reader='csvdprep.bids.gradient_echo:read_gradient_echo',
            also=('gre_phase',),
        ),
    ),
    frames=(
        Frame(
            name='gre',
            description='Grid of the gradient echo.',
            space='T2starw',
            source='gre',
            image='gre_mag',
            to_anat='gre_to_anat',
        ),
    ),
    makes={
        'gre_mag': Derivative(
            suffix='T2starw',
            desc='preproc',
            frame='gre',
            description='Magnitude, root of the mean square of all echoes, intensity-corrected '
            '(N4).',
        ),
        'gre_mask': Derivative(
            suffix='mask',
            desc='brain',
            frame='gre',
            description='Brain of the anatomical reference on the grid of the gradient echo, as '
            'far as that has signal there; voids within it are kept.',
        ),
        'gre_to_anat': Derivative(
            suffix='xfm',
            xfm=('T2starw', '{hub}'),
            extension='.txt',
            frame='gre',
            description='Resamples the gradient echo onto the {hub} (ITK, rigid, LPS mm).',
        ),
        'gre_r2star': Derivative(
            suffix='R2starmap',
            frame='gre',
            units='1/s',
            metadata={'SkullStripped': True},
            description='R2*, by weighted least squares of the logarithms of the magnitudes; 0 '
            'where fewer than three echoes were acquired.',
        ),
        'gre_t2star': Derivative(
            suffix='T2starmap',
            frame='gre',
            units='s',
            metadata={'SkullStripped': True},
            description='T2*, 1 over R2*; 0 where that is 0.',
        ),
    },
    figures=(
        Figure(
            desc='gre',
            suffix='T2starw',
            title='Gradient echo',
            caption='Magnitude of the gradient echo, with the brain of the anatomical reference '
            'brought onto it: the outline has to lie on the edge of the brain.',
            build='csvdprep.preprocessing.gre.figures:draw_magnitude',
            takes=('gre_mag', 'gre_mask'),
        ),
    ),
    measures=(
        Measure(
            name='gre_sequence',
            units='',
            method='input',
            levels=SEQUENCES,
            description='Which kind of gradient echo was measured.',
            table=False,
        ),
        Measure(
            name='gre_echoes_n',
            units='1',
            method='input',
            table=False,
            description='Number of echoes.',
        ),
        Measure(
            name='gre_slice_mm',
            units='mm',
            method='header',
            table=False,
            description='Largest voxel edge of the gradient echo.',
            limits=Limits(ok=(None, 2.5), warn=(None, 6)),
        ),
        Measure(
            name='qc_gre_snr',
            units='1',
            method='difference',
            description='Signal over noise of the combined magnitude, median of the brain; the '
            'noise from differences of neighbouring voxels along the three axes.',
            limits=Limits(ok=(15, None), warn=(8, None)),
        ),
        Measure(
            name='qc_gre_coverage_pct',
            units='%',
            method='overlap',
            description='Share of the brain of the anatomical reference that the gradient echo '
            'covers. What it does not cover was not searched.',
            limits=Limits(ok=(95, None)),
        ),
        Measure(
            name='qc_gre_anat_dice',
            units='1',
            method='dice',
            description='Agreement (Dice) of the brain found in the gradient echo with that of '
            'the anatomical reference, within what the gradient echo covers.',
            limits=Limits(ok=(0.85, None), warn=(0.7, None)),
        ),
    ),
    options=Options,
    resources=BRAIN,
    build='csvdprep.preprocessing.gre.workflow:init_gre_wf',
    methods='Magnitudes of the gradient echoes were combined (root of the mean square), '
    'intensity-corrected (N4) and registered to the anatomical reference (rigid, mutual '
    'information); R2* was fitted by weighted least squares where there are three echoes or more.',
)
