"""Time-of-flight angiogram: steps between slabs and bias taken out, and where the head is."""

from dataclasses import dataclass

from csvdprep.core.declared import Frame, Input
from csvdprep.core.options import option
from csvdprep.core.room import Derivative, Figure, Limits, Measure, Room


@dataclass(frozen=True)
class Options:
    """Bias field."""

    spline_mm: float = option(
        100.0, 'Distance of the knots of the bias field, halved twice.', unit='mm', least=20
    )


ROOM = Room(
    name='tof',
    title='Angiogram',
    needs=('tof',),
    inputs=(
        Input(
            name='tof',
            title='TOF angiogram',
            datatype='anat',
            suffixes=('angio',),
            frame='tof',
            description='Time-of-flight angiogram, a slab of the head or a crop of one. Phase '
            'contrast, venograms and projections (MIP) are told and not used.',
            reader='csvdprep.bids.angiography:read_angiogram',
        ),
    ),
    frames=(
        Frame(
            name='tof',
            description='Grid of the angiogram.',
            space='angio',
            source='tof',
            image='tof_preproc',
            to_anat='tof_to_anat',
        ),
    ),
    makes={
        'tof_preproc': Derivative(
            suffix='angio',
            desc='preproc',
            frame='tof',
            description='Angiogram with the gain of its slices (slabs, ramps) and its bias field '
            '(N4) taken out.',
        ),
        'tof_mask': Derivative(
            suffix='mask',
            desc='head',
            frame='tof',
            description='Head, as far as the angiogram shows it.',
        ),
    },
    figures=(
        Figure(
            desc='tof',
            suffix='angio',
            title='Angiogram',
            caption='Coronal and sagittal slices before and after correction change places under '
            'the pointer: bands and ramps from slab to slab have to vanish, blood stays bright.',
            build='csvdprep.preprocessing.tof.figures:draw_equalised',
            takes=('tof', 'tof_preproc', 'tof_mask'),
        ),
    ),
    measures=(
        Measure(
            name='tof_voxel_mm',
            units='mm',
            method='header',
            table=False,
            description='Largest voxel edge of the angiogram, as acquired where the sidecar tells '
            'it.',
            limits=Limits(ok=(None, 0.8), warn=(None, 1.6)),
        ),
        Measure(
            name='tof_inplane_mm',
            units='mm',
            method='header',
            table=False,
            description='Smallest voxel edge of the angiogram, as acquired where the sidecar '
            'tells it.',
        ),
        Measure(
            name='tof_field_t',
            units='T',
            method='sidecar',
            table=False,
            description='Field strength of the angiogram.',
        ),
        Measure(
            name='tof_slab_mm',
            units='mm',
            method='header',
            table=False,
            description='Extent of the angiogram across its slices.',
        ),
        Measure(
            name='qc_tof_slabs_pct',
            units='%',
            method='slice-gains',
            description='How much the gain varied from slice to slice beyond a straight line, '
            'before it was taken out: steps and ramps of slabs.',
            limits=Limits(ok=(None, 40), warn=(None, 100)),
        ),
        Measure(
            name='qc_tof_snr',
            units='1',
            method='difference',
            description='Signal over noise of still tissue; the noise from differences of '
            'neighbouring voxels along the three axes.',
            limits=Limits(ok=(6, None), warn=(3, None)),
        ),
    ),
    options=Options,
    build='csvdprep.preprocessing.tof.workflow:init_tof_wf',
    methods='The gain of each slice of the angiogram was estimated from the ratio of '
    'neighbouring voxels of still tissue and taken out, which removes steps and ramps of slabs; '
    'the rest of the intensity drift was corrected with N4 [@tustison2010] (knots '
    '{o.spline_mm:g} mm apart, halved twice), arteries left out.',
    references=('tustison2010',),
    version=2,
)
