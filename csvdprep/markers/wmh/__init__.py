"""White matter hyperintensities of presumed vascular origin."""

from dataclasses import dataclass

from csvdprep.core.declared import External
from csvdprep.core.options import option
from csvdprep.core.room import Derivative, Figure, Limits, Measure, Room


@dataclass(frozen=True)
class Options:
    """What makes the mask, and thresholds.

    Contrast is excess over normal white matter, as a share of its level.
    """

    engine: str = option(
        'auto',
        'Engine that segments the mask: network, classical, both (mean of the two maps), '
        'or auto. auto uses both if slices are thin or axial, else the classical engine.',
        choices=('auto', 'both', 'network', 'classical'),
    )
    network_cut: float = option(
        0.5, 'Network: least probability of a lesion voxel.', least=0.01, most=0.99
    )
    both_cut: float = option(
        0.5,
        'Both: least value of a lesion voxel in the mean of the two maps.',
        least=0.01,
        most=0.99,
    )
    seed_contrast: float = option(
        0.20, 'Classical: least contrast of the brightest part of a lesion, if there is a T1w.'
    )
    seed_contrast_flair_only: float = option(0.25, 'Classical: the same if there is no T1w.')
    border_contrast: float = option(0.12, 'Classical: least contrast at the border of a lesion.')
    seed_noise: float = option(
        5.0,
        'Classical: least contrast of seeds in SD of normal white matter after denoising, '
        'up to a contrast of 0.30.',
        least=0,
    )
    border_noise: float = option(
        4.0, 'Classical: the same for borders, up to a contrast of 0.20.', least=0
    )
    above_grey: float = option(
        0.20, 'Classical: least contrast of a seed to grey matter, if that is nearby.'
    )
    peak_share: float = option(
        0.5,
        'Classical: least contrast at the border, as a share of the contrast of the '
        'nearby lesion.',
        least=0,
        most=1,
    )
    runs: int = option(
        20, 'Number of runs with jittered thresholds for the sensitivity range.', least=1
    )

    def __post_init__(self):
        least = min(self.seed_contrast, self.seed_contrast_flair_only)
        if not 0 < self.border_contrast <= least:
            raise ValueError(
                'wmh.border_contrast must be positive and not above the contrast of seeds'
            )


def _ml(name, description, **more):
    return Measure(
        name=f'wmh_{name}_ml',
        units='mL',
        method='contrast-hysteresis',
        description=description,
        **more,
    )


ROOM = Room(
    name='wmh',
    title='White matter hyperintensities',
    marker=True,
    order=10,
    needs=(
        'flair_preproc',
        'flair_mask',
        'flair_to_anat',
        'brain_mask',
        'csf_probseg',
        'gm_probseg',
        'wm_probseg',
        'ventricles',
        'structures_dseg',
        'lobes_dseg',
        'mni_to_anat',
    ),
    wants=('wmh_external', 'infarct_external', 'lacune_external', 'infarct_mask', 'trace_to_anat'),
    externals=(
        External(
            name='wmh_external',
            title='WMH mask',
            description='WMH mask made by another tool or by hand.',
            grids=('flair', 't1w'),
            labels=('wmh', 'wml', 'lesion'),
            otherwise=True,
            words=r'wmh|wml|wmsa|lesion|leuko|hyperintens|(^|[_-])lst',
            rows=r'wmh|white matter hyperintens|wm.?hypo|wm.?hyper|lesion',
        ),
    ),
    makes={
        'wmh_mask': Derivative(
            suffix='mask',
            label='WMH',
            frame='flair',
            description='White matter hyperintensities.',
            resampled='nearest',
        ),
        'wmh_probseg': Derivative(
            suffix='probseg',
            label='WMH',
            frame='flair',
            units='1',
            description='Probability of white matter hyperintensity: the map of the engine that '
            'made the mask, calibrated on lesions of known place. The measure wmh_engine states '
            'which engine was used; masks of other tools are passed on as they are.',
            resampled='linear',
        ),
        'wmh_subcortical': Derivative(
            suffix='dseg',
            desc='subcortical',
            frame='flair',
            description='Hyperintensities outside cerebral white matter, not counted as WMH, '
            'on the FLAIR grid.',
            table=(
                {'index': 1, 'name': 'deep grey matter', 'abbreviation': 'DG', 'color': '#cc79a7'},
                {
                    'index': 2,
                    'name': 'brainstem and cerebellum',
                    'abbreviation': 'IT',
                    'color': '#f0e442',
                },
            ),
        ),
    },
    figures=(
        Figure(
            desc='wmhlevels',
            suffix='FLAIR',
            title='Hyperintensities at three levels',
            caption='FLAIR at the level of the basal ganglia, of the bodies of the lateral '
            'ventricles and of the centrum semiovale, with the outline of the hyperintensities.',
            build='csvdprep.markers.wmh.figures:draw_levels',
            takes=('flair_preproc', 'wmh_mask'),
            wants=('flair_mask',),
            disease=True,
        ),
        Figure(
            desc='wmh',
            suffix='FLAIR',
            title='White matter hyperintensities',
            caption='Every slice of the FLAIR that has hyperintensities, and one on either side, '
            'with their outline. It must not include cortex, choroid plexus, septum or '
            'pulsation artefacts.',
            build='csvdprep.markers.wmh.figures:draw_wmh',
            takes=('flair_preproc', 'wmh_mask'),
            wants=('flair_mask',),
        ),
    ),
    measures=(
        _ml(
            'total',
            'Volume of white matter hyperintensities, without those in deep grey matter, '
            'brainstem and cerebellum and around old infarcts.',
            reference='duering2023',
            limits=Limits(ok=(0, 150)),
            title='White matter hyperintensities',
            primary=True,
            interval=True,
        ),
        Measure(
            name='wmh_total_pct_icv',
            units='%',
            method='contrast-hysteresis',
            description='White matter hyperintensities in percent of the intracranial volume.',
            title='White matter hyperintensities, share of ICV',
            primary=True,
            interval=True,
        ),
        Measure(
            name='wmh_ln_pct_icv',
            units='1',
            method='contrast-hysteresis',
            table=False,
            description='Natural logarithm of wmh_total_pct_icv + 0.01, for statistics.',
        ),
        Measure(
            name='wmh_volume_cv',
            units='1',
            method='contrast-hysteresis',
            table=False,
            description='Coefficient of variation of the WMH volume over jittered runs.',
            limits=Limits(ok=(0, 0.3)),
        ),
        _ml(
            'range_low',
            'Lower bound of the sensitivity range: 2.5th percentile of runs with '
            'jittered thresholds.',
            table=False,
        ),
        _ml(
            'range_high',
            'Upper bound of the sensitivity range: 97.5th percentile of runs with '
            'jittered thresholds.',
            table=False,
        ),
        _ml(
            'partial',
            'Volume of white matter hyperintensities with partial volume: a voxel at the '
            'border counts by the lesion fraction estimated from its brightness.',
            table=False,
        ),
        _ml(
            'lining',
            'Part of the WMH volume that is a thin lining of the lateral ventricles, which some '
            'raters consider normal: as labelled by the network, or, if that was not run, what '
            'is thinner than 3 mm.',
            table=False,
        ),
        _ml('deepgrey', 'Volume of hyperintensities in deep grey matter.', table=False),
        _ml(
            'infratentorial',
            'Volume of hyperintensities in brainstem and cerebellum.',
            table=False,
        ),
        _ml(
            'infarct',
            'Volume of hyperintensities around old infarcts, not counted as WMH.',
            table=False,
            limits=Limits(ok=(0, 0.5)),
        ),
        Measure(
            name='wmh_excluded_ml',
            units='mL',
            method='infarcts-and-masks',
            table=False,
            description='Volume on the FLAIR in which no hyperintensities are counted: recent '
            'infarcts found on diffusion, with a margin of 2 mm, and infarcts and '
            'lacunes from masks given by --derivatives. Lacunes are not detected '
            'without a mask, and recent infarcts not without a trace image and '
            'ADC map or a diffusion series.',
        ),
        _ml(
            'network',
            'WMH volume found by the network, whichever engine makes the final mask.',
            table=False,
        ),
        _ml(
            'classical',
            'WMH volume found by the classical engine, whichever engine makes the final mask.',
            table=False,
        ),
        Measure(
            name='wmh_engine',
            units='',
            method='plan',
            table=False,
            description='What made the mask.',
            levels={
                'both': 'network and classical engine',
                'network': 'the network',
                'classical': 'the classical engine',
                'external': 'a mask given by --derivatives',
            },
        ),
        Measure(
            name='wmh_origin',
            units='',
            method='plan',
            table=False,
            description='What made the mask.',
            levels={'csvdprep': 'this application', 'external': 'a mask given by --derivatives'},
        ),
        Measure(
            name='qc_flair_noise',
            units='1',
            method='flair-histogram',
            qc_id='Q2',
            description='Spread of the intensity of normal white matter on the FLAIR, divided '
            'by its level: noise, texture and non-uniformity.',
            limits=Limits(ok=(0, 0.15), warn=(0, 0.25)),
        ),
        Measure(
            name='qc_wmh_mean_z',
            units='1',
            method='contrast-hysteresis',
            description='Mean contrast of the hyperintensities to normal-appearing white '
            'matter, in SD of the latter.',
            limits=Limits(ok=(2.5, None)),
        ),
        Measure(
            name='qc_wmh_faint_ml',
            units='mL',
            method='contrast-hysteresis',
            description='Volume of deep white matter that is at least 10 % brighter than '
            'normal but has no bright part. It is not counted, so soft, faint '
            'hyperintensities may be missed.',
        ),
        Measure(
            name='qc_wmh_at_border',
            units='',
            method='contrast-hysteresis',
            description='Whether the WMH mask reaches the edge of the image.',
            levels={'yes': 'the image may be cut off', 'no': 'it does not'},
        ),
    ),
    version=9,
    context=('hub', 'random_seed'),
    resources=(
        'template_csf',
        'template_gm',
        'template_wm',
        'template_flair',
        'models/wmh/network.onnx',
        'models/wmh/calibration.json',
    ),
    build='csvdprep.markers.wmh.workflow:init_wmh_wf',
    options=Options,
    resolve='csvdprep.markers.wmh.resolve:resolve',
    methods=(
        'White matter hyperintensities [@duering2023] were segmented by one or both of '
        'two engines (see the settings below). The classical engine looks for voxels that '
        'are brighter on the FLAIR than expected from their tissue, after the idea of the '
        'lesion growth algorithm [@schmidt2012]. The level and slow variation of normal '
        'tissue were estimated together with lesion candidates, from the mode of white '
        'matter and from grey matter. A map in template space, made from the scans of '
        '[@lesjak2016], gives how much brighter healthy white matter is in some places. '
        'Seeds at least {o.seed_contrast:g} times the level of white matter brighter than '
        'expected ({o.seed_contrast_flair_only:g} without a T1w), and brighter than grey '
        'matter, grow down to half of their contrast, but not below '
        '{o.border_contrast:g}. The network is a U-Net on axial slices, trained on '
        'lesions drawn into real scans (some of [@lesjak2016]) and phantoms; used alone, '
        'its threshold is a probability of {o.network_cut:g}; used with the classical '
        'engine, the threshold is {o.both_cut:g} on the weighted mean of both maps. The '
        'sensitivity range comes from {o.runs} runs with jittered thresholds. Recent '
        'infarcts found on diffusion, and infarcts and lacunes with a given mask, are '
        'excluded (wmh_excluded_ml).'
    ),
    references=('duering2023', 'lesjak2016', 'schmidt2012'),
)
