"""Field of a gradient echo with phase: frequency of each voxel, and its local part."""

from dataclasses import dataclass

from csvdprep.core.options import option
from csvdprep.core.room import Derivative, Figure, Limits, Measure, Room


@dataclass(frozen=True)
class Options:
    """How the background is taken off."""

    background: str = option(
        'resharp',
        'RESHARP (spheres of 10, 5 and 3 mm, smallest local field), or V-SHARP, which is faster '
        'and less exact.',
        choices=('resharp', 'vsharp'),
    )


SIGNS = {
    'right-handed': 'the phase grows with the field, as it is used here',
    'left-handed': 'the phase falls with the field, and was turned',
    'unknown': 'neither deep grey matter nor dark voxels tell; taken as right-handed',
}

ROOM = Room(
    name='gre_field',
    title='Field of the gradient echo',
    needs=('gre_phase', 'gre_mag', 'gre_mask', 'gre_to_anat', 'structures_dseg'),
    makes={
        'gre_total': Derivative(
            suffix='fieldmap',
            desc='total',
            frame='gre',
            units='ppm',
            description='Relative shift of the field, unwrapped, phase of the receiver taken off.',
            saved=False,
        ),
        'gre_local': Derivative(
            suffix='fieldmap',
            desc='local',
            frame='gre',
            units='ppm',
            metadata={'SkullStripped': True},
            description='Relative shift of the field by what lies inside of the brain; '
            'paramagnetic matter is positive along the main field.',
        ),
        'gre_local_sd': Derivative(
            suffix='fieldmap',
            desc='noise',
            frame='gre',
            units='ppm',
            description='Standard error of the field by the noise of the images; 0 where it is '
            'not known.',
            saved=False,
        ),
    },
    figures=(
        Figure(
            desc='field',
            suffix='T2starw',
            title='Local field',
            caption='Relative shift of the field by what lies in the brain, -0.1 to 0.1 ppm, '
            'beside the magnitude. Stripes, jumps and broad shades are errors of the phase.',
            build='csvdprep.preprocessing.gre_field.figures:draw_field',
            takes=('gre_mag', 'gre_local', 'gre_mask'),
        ),
    ),
    measures=(
        Measure(
            name='gre_phase_unit',
            units='',
            method='range',
            table=False,
            description='How the stored phase was read, and what tells it.',
        ),
        Measure(
            name='gre_phase_sign',
            units='',
            method='dark-voxels',
            levels=SIGNS,
            table=False,
            description='Convention of the phase: found from deep grey matter and from dark '
            'voxels (veins, iron), which are paramagnetic.',
        ),
        Measure(
            name='gre_field_noise_ppb',
            units='ppb',
            method='noise',
            table=False,
            description='Standard error of the field by the noise of the images, median of the '
            'brain, in 1e-9 of the main field.',
            limits=Limits(ok=(None, 4), warn=(None, 10)),
        ),
        Measure(
            name='qc_phase_misfit_rad',
            units='rad',
            method='echo-fit',
            description='What the phases of the echoes are off the fit, weighted root mean '
            'square, median of the brain. Filtered, badly unwrapped or moved phases do not grow '
            'in proportion to time.',
            limits=Limits(ok=(None, 0.2), warn=(None, 0.5)),
        ),
        Measure(
            name='qc_field_kept_pct',
            units='%',
            method='background',
            description='Share of the brain in which the local field is known; what is left out '
            'lies at its edge.',
            limits=Limits(ok=(60, None), warn=(40, None)),
        ),
    ),
    options=Options,
    build='csvdprep.preprocessing.gre_field.workflow:init_gre_field_wf',
    methods='The unit of the stored phase was found from the range of its values. A first '
    'frequency, from differences of neighbouring echoes, was unwrapped along a minimum spanning '
    'tree of reliabilities [as in @dymerska2021]; the phase of the receiver was taken off '
    '[as in @eckstein2018], and all echoes were fitted, weighted by their power. The background '
    'field was taken off by {o.background} [@sun2014; @wu2012].',
    references=('dymerska2021', 'eckstein2018', 'sun2014', 'wu2012'),
    version=4,
)
