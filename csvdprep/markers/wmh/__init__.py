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
        'What makes the mask: the network, the classical engine, both (the mean of their '
        'maps), or auto: both where slices are thin or axial, else the classical engine.',
        choices=('auto', 'both', 'network', 'classical'),
    )
    network_cut: float = option(
        0.5, 'Network: probability from which a voxel is a lesion.', least=0.01, most=0.99
    )
    both_cut: float = option(
        0.4,
        'Both: mean of the maps of the two from which a voxel is a lesion.',
        least=0.01,
        most=0.99,
    )
    seed_contrast: float = option(
        0.20, 'Classical: least contrast of the brightest part of a lesion, with a T1w.'
    )
    seed_contrast_flair_only: float = option(0.25, 'Classical: the same without a T1w.')
    border_contrast: float = option(0.12, 'Classical: least contrast at the border.')
    seed_noise: float = option(
        5.0,
        'Classical: seeds are not below so many SD of normal white matter after denoising, '
        'up to a contrast of 0.30.',
        least=0,
    )
    border_noise: float = option(4.0, 'Classical: the same for borders, up to 0.20.', least=0)
    above_grey: float = option(
        0.20, 'Classical: contrast above grey matter that a seed needs where that is near.'
    )
    peak_share: float = option(
        0.5,
        'Classical: least contrast at the border, as a share of that of the lesion nearby.',
        least=0,
        most=1,
    )
    runs: int = option(20, 'Jittered runs for the sensitivity range.', least=1)

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
        External(
            name='lacune_external',
            title='lacune mask',
            description='Mask of lacunes made by another tool or by hand.',
            grids=('flair', 't1w'),
            words=r'lacun',
            rows=r'lacun',
        ),
    ),
    makes={
        'wmh_mask': Derivative(
            suffix='mask',
            label='WMH',
            frame='flair',
            description='White matter hyperintensities, on the FLAIR grid.',
        ),
        'wmh_probseg': Derivative(
            suffix='probseg',
            label='WMH',
            frame='flair',
            units='1',
            description='Degree of membership of white matter hyperintensity: of the classical '
            'engine the mean of jittered runs with a slope at the border, of the network its '
            'probability, of both the weighted mean (wmh_engine tells); not calibrated.',
        ),
        'wmh_subcortical': Derivative(
            suffix='dseg',
            desc='subcortical',
            frame='flair',
            description="Hyperintensities that are not counted as white matter's, on the FLAIR "
            'grid.',
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
            desc='wmh',
            suffix='FLAIR',
            title='White matter hyperintensities',
            caption='Every slice of the FLAIR with the outline of the hyperintensities. '
            'Cortex, choroid plexus, septum and pulsation artefacts must not be in it.',
            build='csvdprep.markers.wmh.figures:draw_wmh',
            takes=('flair_preproc', 'wmh_mask'),
            wants=('flair_mask',),
        ),
    ),
    measures=(
        _ml(
            'total',
            'Volume of white matter hyperintensities; those of deep grey matter, '
            'brainstem and cerebellum and around old infarcts are not in it.',
            reference='duering2023',
            limits=Limits(ok=(0, 150)),
        ),
        Measure(
            name='wmh_total_pct_icv',
            units='%',
            method='contrast-hysteresis',
            description='White matter hyperintensities in percent of the intracranial volume.',
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
            description='Coefficient of variation of the volume over jittered runs.',
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
            'The same by partial volume: voxels at the border of lesions count by the '
            'share that lesion fills, as their brightness tells.',
            table=False,
        ),
        _ml(
            'lining',
            'Part of the total that is a thin (3 mm) lining of the lateral ventricles, '
            'which some call normal.',
            table=False,
        ),
        _ml('deepgrey', 'Hyperintensities of deep grey matter.', table=False),
        _ml('infratentorial', 'Hyperintensities of brainstem and cerebellum.', table=False),
        _ml(
            'infarct',
            'Hyperintensities around old infarcts, left out.',
            table=False,
            limits=Limits(ok=(0, 0.5)),
        ),
        Measure(
            name='wmh_excluded_ml',
            units='mL',
            method='infarcts-and-masks',
            table=False,
            description='Volume, on the FLAIR, of recent infarcts that diffusion shows, with 2 mm '
            'around them, and of the infarcts and lacunes that masks of --derivatives name. No '
            'hyperintensity is counted there. Lacunes without a mask, and recent infarcts without '
            'trace image and ADC or a diffusion series, are not looked for.',
        ),
        _ml('network', 'Volume that the network finds, whichever engine counts.', table=False),
        _ml(
            'classical',
            'Volume that the classical engine finds, whichever engine counts.',
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
            description='Spread of normal white matter on the FLAIR over its level: noise, '
            'texture and non-uniformity.',
            limits=Limits(ok=(0, 0.15), warn=(0, 0.25)),
        ),
        Measure(
            name='qc_wmh_mean_z',
            units='1',
            method='contrast-hysteresis',
            description='Mean excess of the hyperintensities in SD of normal-appearing white '
            'matter.',
            limits=Limits(ok=(2.5, None)),
        ),
        Measure(
            name='qc_wmh_faint_ml',
            units='mL',
            method='contrast-hysteresis',
            description='Depth of white matter that is a tenth brighter than normal without '
            'a bright part: not counted, so that soft, faint hyperintensities '
            'may be missed.',
        ),
        Measure(
            name='qc_wmh_at_border',
            units='',
            method='contrast-hysteresis',
            description='Whether the mask reaches the edge of the image.',
            levels={'yes': 'the image may be cut off', 'no': 'it does not'},
        ),
    ),
    version=6,
    context=('hub', 'random_seed'),
    build='csvdprep.markers.wmh.workflow:init_wmh_wf',
    options=Options,
    resolve='csvdprep.markers.wmh.resolve:resolve',
    methods=(
        'White matter hyperintensities [@duering2023] were segmented by two engines, of which '
        'one or both count (see the decision below). For the classical engine they are brighter '
        'on the FLAIR than what the tissue of each voxel would show, after the idea of the lesion '
        'growth algorithm [@schmidt2012]. Level and slow variation of normal tissue were '
        'estimated together with lesion candidates, from the mode of white matter and from grey '
        'matter; how much brighter healthy white matter is in some places is a map of the '
        'template, made from the scans of [@lesjak2016]. Seeds at least {o.seed_contrast:g} times '
        'the level of white matter brighter than that ({o.seed_contrast_flair_only:g} without a '
        'T1w), and brighter than grey matter, grow to half of their height, to no less than '
        '{o.border_contrast:g}. The network is a U-Net on axial slices, trained on lesions drawn '
        'into real scans (some of [@lesjak2016]) and phantoms; alone it is cut at a probability '
        'of {o.network_cut:g}, with the classical engine at {o.both_cut:g} of the weighted mean '
        'of both maps. The range comes from {o.runs} runs with jittered thresholds. Recent '
        'infarcts that diffusion shows, and infarcts and lacunes of which a mask was given, are '
        'left out (wmh_excluded_ml).'
    ),
    references=('duering2023', 'lesjak2016', 'schmidt2012'),
)
