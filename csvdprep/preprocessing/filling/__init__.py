"""First look for lesions, so that they do not disturb the anatomy."""

from dataclasses import dataclass

from csvdprep.core.options import option
from csvdprep.core.room import Derivative, Measure, Room


@dataclass(frozen=True)
class Options:
    """What is taken for a lesion before registration and segmentation of tissues."""

    seed: float = option(
        1.2,
        'Least brightness of the brightest part of a preliminary lesion, relative to the '
        'upper edge of the main histogram peak of the FLAIR.',
    )
    grow: float = option(
        1.05, 'Least brightness at the border of a preliminary lesion, relative to the same edge.'
    )
    depth_mm: float = option(
        8.0,
        'Least distance of preliminary lesions from the surface of the brain.',
        unit='mm',
        least=0,
    )

    def __post_init__(self):
        if not 1 < self.grow <= self.seed:
            raise ValueError('filling.grow must be above 1 and not above filling.seed')


ROOM = Room(
    name='filling',
    title='Preliminary lesions',
    needs=('anat_preproc', 'brain_mask'),
    wants=('flair_preproc', 'flair_mask', 'flair_to_anat'),
    makes={
        'lesion_guess': Derivative(
            suffix='mask',
            label='WMH',
            desc='preliminary',
            saved=False,
            description='Preliminary hyperintensities, excluded from registration and tissue '
            'segmentation.',
        ),
        'anat_filled': Derivative(
            suffix='{hub}',
            desc='prefilled',
            saved=False,
            description='{hub}, intensity-corrected, with preliminary hyperintensities filled '
            'with normal white matter.',
        ),
    },
    measures=(
        Measure(
            name='qc_filled_ml',
            units='mL',
            method='flair-histogram',
            table=False,
            description='Volume filled before registration and tissue segmentation.',
        ),
        Measure(
            name='qc_flair_bright_ml',
            units='mL',
            method='flair-histogram',
            table=False,
            description='Volume at least 8 mm inside the brain that is brighter on the FLAIR '
            'than 1.25 times the main peak of its histogram, after smoothing by 2 '
            'mm. It is compared with the volume of hyperintensities.',
        ),
        Measure(
            name='qc_flair_dark_ml',
            units='mL',
            method='flair-histogram',
            table=False,
            description='Volume at least 25 mm inside the brain that is darker on the FLAIR '
            'than half the main peak: mostly fluid of the ventricles. It is '
            'compared with the volume of the ventricles.',
        ),
    ),
    version=3,
    context=('random_seed',),
    build='csvdprep.preprocessing.filling.workflow:init_filling_wf',
    options=Options,
    methods=(
        'Voxels of the FLAIR more than {o.depth_mm:g} mm inside the brain and {o.grow:g} times as '
        'bright as the upper edge of the main histogram peak (seeded at {o.seed:g}) were filled '
        'with normal white matter in the anatomical reference before its registration and '
        'segmentation.'
    ),
)
