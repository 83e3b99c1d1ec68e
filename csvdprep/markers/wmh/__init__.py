"""White matter hyperintensities of presumed vascular origin."""

from dataclasses import dataclass

from csvdprep.core.room import Derivative, Figure, Limits, Measure, Room


@dataclass(frozen=True)
class Options:
    """Thresholds, in SD of normal-appearing white matter; see the science module.

    ``seed_z`` and ``seed_z_flair_only``: least excess of the brightest voxel of a lesion, with
    and without a T1w. ``border_z`` and ``greatest_border_z``: range of the excess at the border.
    ``chance``: share of voxels above the border that may be there by chance. ``peak_share``: least
    share of the nearby peak at the border. ``runs``: jittered runs for the range.
    """

    seed_z: float = 3.5
    seed_z_flair_only: float = 5.0
    border_z: float = 1.5
    greatest_border_z: float = 3.5
    chance: float = 0.25
    peak_share: float = 0.5
    runs: int = 20

    def __post_init__(self):
        if not 0 < self.border_z <= self.greatest_border_z:
            raise ValueError('wmh.border_z must be positive and not above wmh.greatest_border_z')
        if self.runs < 1:
            raise ValueError('wmh.runs must be 1 or more')


def _ml(name, description, **more):
    return Measure(name=f'wmh_{name}_ml', units='mL', method='outlier-hysteresis',
                   description=description, **more)  # fmt: skip


ROOM = Room(
    name='wmh',
    title='White matter hyperintensities',
    marker=True,
    needs=('flair_preproc', 'flair_mask', 'flair_to_anat', 'brain_mask', 'csf_probseg',
           'gm_probseg', 'wm_probseg', 'ventricles', 'structures_dseg', 'lobes_dseg',
           'mni_to_anat'),
    wants=('wmh_external',),
    makes={
        'wmh_mask': Derivative(
            suffix='mask', label='WMH', source='flair',
            description='White matter hyperintensities, on the FLAIR grid.'),
        'wmh_probseg': Derivative(
            suffix='probseg', label='WMH', source='flair', units='1',
            description='Degree of membership of white matter hyperintensity: mean of jittered '
                        'runs with a slope at the border; no calibrated probability.'),
    },
    figures=(
        Figure(desc='wmh', suffix='FLAIR', title='White matter hyperintensities',
               caption='Every slice of the FLAIR with the outline of the hyperintensities. '
                       'Cortex, choroid plexus, septum and pulsation artefacts must not be in it.',
               build='csvdprep.markers.wmh.figures:draw_wmh',
               takes=('flair_preproc', 'wmh_mask'), wants=('flair_mask',)),
    ),
    measures=(
        _ml('total', 'Volume of white matter hyperintensities; those of deep grey matter, '
                     'brainstem and cerebellum and around old infarcts are not in it.',
            reference='duering2023', limits=Limits(ok=(0, 150))),
        Measure(name='wmh_total_pct_icv', units='%', method='outlier-hysteresis',
                description='White matter hyperintensities in percent of the intracranial '
                            'volume.'),
        Measure(name='wmh_ln_pct_icv', units='1', method='outlier-hysteresis', table=False,
                description='Natural logarithm of wmh_total_pct_icv + 0.01, for statistics.'),
        Measure(name='wmh_volume_cv', units='1', method='outlier-hysteresis', table=False,
                description='Coefficient of variation of the volume over jittered runs.',
                limits=Limits(ok=(0, 0.3))),
        _ml('deepgrey', 'Hyperintensities of deep grey matter.', table=False),
        _ml('infratentorial', 'Hyperintensities of brainstem and cerebellum.', table=False),
        _ml('infarct', 'Hyperintensities around old infarcts, left out.', table=False,
            limits=Limits(ok=(0, 0.5))),
        Measure(name='wmh_origin', units='', method='plan', table=False,
                description='What made the mask.',
                levels={'csvdprep': 'this application',
                        'external': 'a mask given by --derivatives'}),
        Measure(name='qc_flair_noise', units='1', method='flair-histogram', qc_id='Q2',
                description='Width of the main peak of the FLAIR histogram over its position: '
                            'noise and non-uniformity.',
                limits=Limits(ok=(0, 0.2), warn=(0, 0.3))),
        Measure(name='qc_wmh_mean_z', units='1', method='outlier-hysteresis',
                description='Mean excess of the hyperintensities in SD of normal-appearing white '
                            'matter.', limits=Limits(ok=(2.5, None))),
        Measure(name='qc_wmh_at_border', units='', method='outlier-hysteresis',
                description='Whether the mask reaches the edge of the image.',
                levels={'yes': 'the image may be cut off', 'no': 'it does not'}),
    ),
    build='csvdprep.markers.wmh.workflow:init_wmh_wf',
    options=Options,
    methods=(
        'White matter hyperintensities [@duering2023] are outliers of the FLAIR with respect to '
        'what the tissue of each voxel would show, after the idea of the lesion growth algorithm '
        '[@schmidt2012]: seeds of at least {o.seed_z:g} SD of normal-appearing white matter '
        '({o.seed_z_flair_only:g} without a T1w) grow to a border set from the scan itself. The '
        'sensitivity range, no confidence interval, comes from {o.runs} runs with jittered '
        'thresholds and tissue.'
    ),
    references=('duering2023', 'schmidt2012'),
)  # fmt: skip
