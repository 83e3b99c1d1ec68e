"""Leakage of the blood-brain barrier from DCE-MRI: Patlak on curves of regions."""

from dataclasses import dataclass

from csvdprep.core.options import option
from csvdprep.core.regions import MAIN, REGIONS, TITLES
from csvdprep.core.room import Column, Derivative, Figure, Limits, Measure, Room


@dataclass(frozen=True)
class Options:
    """Curves and regions."""

    curve: str = option(
        'median', 'Curve of a region, over its voxels.', choices=('median', 'mean')
    )
    delay: bool = option(
        False,
        'Whether the delay between sagittal sinus and tissue is fitted, up to a volume; only of '
        'use where volumes take less than 15 s.',
    )
    margin_mm: float = option(
        2.0,
        'White matter is normal-appearing if it is farther than this from hyperintensities.',
        unit='mm',
        least=0,
        most=20,
    )
    drift: str = option(
        'none',
        'Drift of the signal that is taken out: the slope before the contrast agent (four minutes '
        'at least), or that of fluid deep in the ventricles (which must not take up contrast '
        'agent).',
        choices=('none', 'baseline', 'reference'),
    )


MODELS = {
    'plasma': 'plasma alone, no leakage',
    'patlak': 'Patlak: leakage without return',
    'extended-tofts': 'extended Tofts: leakage with return',
    'two-compartment': 'two-compartment exchange',
}
_PS = {
    'nawm': Limits(ok=(-0.5, 8), warn=(-4, 25)),
    'wmh': Limits(ok=(-0.5, 15), warn=(-4, 50)),
    'dgm': Limits(ok=(0, 15), warn=(-4, 50)),
    'cgm': Limits(ok=(0, 20), warn=(-4, 60)),
}
_VP = {
    'nawm': Limits(ok=(0.2, 2), warn=(0, 5)),
    'wmh': Limits(ok=(0.1, 2), warn=(0, 5)),
    'dgm': Limits(ok=(0.4, 4), warn=(0, 8)),
    'cgm': Limits(ok=(0.4, 6), warn=(0, 12)),
}


def _measures():
    for region, where in REGIONS.items():
        main = region in MAIN
        yield Measure(
            name=f'ps_{region}_1e4_permin',
            units='1e-4/min',
            method='patlak',
            reference='patlak1983',
            table=main,
            title=f'Permeability PS, {TITLES.get(region, region)}',
            primary=region == 'nawm',
            description=f'Permeability surface area product (CAPLEX PS, Q.PH1.004), Patlak fit to '
            f'the curve of {where}. Not cut at 0. 1e-4/min are 0.01 mL/min/100 mL.',
            limits=_PS.get(region),
        )
        yield Measure(
            name=f'vp_{region}_ml100ml',
            units='mL/100 mL',
            method='patlak',
            reference='patlak1983',
            table=main,
            description=f'Volume of plasma (CAPLEX v_p, Q.PH1.001), Patlak fit to the curve of '
            f'{where}.',
            limits=_VP.get(region),
        )
    for region in MAIN:
        where = REGIONS[region]
        yield Measure(
            name=f'ps_drift_sensitivity_{region}_1e4_permin',
            units='1e-4/min',
            method='refit',
            table=False,
            description=f'By how much PS of {where} rises if the signal drifts up by 0.1 % over '
            'the series.',
        )
        yield Measure(
            name=f'vl_{region}_pct',
            units='%',
            method='mirrored-histogram',
            reference='vandehaar2016',
            table=False,
            description=f'Leaking volume: share of the voxels of {where} whose PS is above 0, '
            'less the share below 0, which is noise.',
        )
        yield Measure(
            name=f'ps_model_{region}',
            units='',
            method='aic',
            table=False,
            levels=MODELS,
            description=f'Model that describes the curve of {where} best (AIC, corrected for '
            'small samples), of those fitted to the same volumes.',
        )
    yield Measure(
        name='t1_nawm_s',
        units='s',
        method='median',
        qc_id='Q10',
        description='T1 of normal-appearing white matter before the contrast agent, median.',
        limits=Limits(ok=(0.75, 1.2), warn=(0.6, 1.5)),
    )
    yield Measure(
        name='t1_blood_s',
        units='s',
        method='median',
        table=False,
        description='T1 of blood that was taken for the input function: measured in the sagittal '
        'sinus if that is within 20 % of what the field strength lets expect, else that.',
    )
    yield from _passage()
    yield Measure(
        name='dce_drift_pct',
        units='%',
        method='line',
        table=False,
        description='Linear change of the signal over the series that was taken out '
        '(permeability.drift).',
        limits=Limits(ok=(-2, 2), warn=(-10, 10)),
    )
    yield Measure(
        name='qc_vif_peak_mmol',
        units='mmol/L',
        method='sagittal-sinus',
        qc_id='Q9',
        description='Highest concentration in plasma of the input function. Long volumes lower '
        'it.',
        limits=Limits(ok=(1.2, 10), warn=(0.6, 14)),
    )
    yield Measure(
        name='qc_vif_tail_mmol',
        units='mmol/L',
        method='sagittal-sinus',
        description='Concentration in plasma of the input function about ten minutes after the '
        'injection, per 0.1 mmol/kg of contrast agent. PS and v_p are inversely proportional to '
        'it.',
        limits=Limits(ok=(0.5, 1.5), warn=(0.25, 2.5)),
    )
    yield Measure(
        name='vif_voxels_n',
        units='1',
        method='sagittal-sinus',
        table=False,
        description='Number of voxels of the superior sagittal sinus in the input function.',
    )
    yield Measure(
        name='vif_delay_s',
        units='s',
        method='fit',
        table=False,
        description='Delay of the tissue against the sagittal sinus that was taken.',
    )
    yield Measure(
        name='qc_ps_autocorrelation',
        units='1',
        method='residuals',
        description='Autocorrelation of what the fit leaves of the curve of white matter, from '
        'volume to volume: motion, drift or a wrong input function.',
        limits=Limits(ok=(None, 0.6), warn=(None, 0.8)),
    )


#: Regions whose times to peak are described.
TIMED = {
    'brain': 'the whole brain, vessels among it',
    'nawm': REGIONS['nawm'],
    'wmh': REGIONS['wmh'],
}


def _passage():
    """Declare times to peak of fast series."""
    for region, where in TIMED.items():
        yield Measure(
            name=f'dce_tdc_{region}_median_s',
            units='s',
            method='time-to-peak',
            reference='nasel2017',
            table=False,
            description='Median time from the peak of the arteries to that of the voxels of '
            f'{where}; of series with volumes of 2.5 s at most.',
            limits=Limits(ok=(-0.5, 8), warn=(-3, 15)),
        )
        yield Measure(
            name=f'dce_tdc_{region}_width_s',
            units='s',
            method='time-to-peak',
            reference='nasel2017',
            table=False,
            description='Width of the distribution of times to peak, 10th to 90th percentile of '
            f'the voxels of {where}, without what noise makes of it.',
        )
        yield Measure(
            name=f'dce_tdc_{region}_skew',
            units='1',
            method='time-to-peak',
            reference='nasel2017',
            table=False,
            description='Skew of times to peak: (p90 + p10 - 2 p50) / (p90 - p10) of the voxels '
            f'of {where}.',
        )
    yield Measure(
        name='dce_tdc_avtt_s',
        units='s',
        method='time-to-peak',
        reference='nasel2017',
        table=False,
        description='Time from the peak of the arteries to that of the superior sagittal sinus.',
        limits=Limits(ok=(2, 8), warn=(0.5, 15)),
    )


_PS_UNIT, _VP_UNIT = '1e-4/min', 'mL/100 mL'
_COLUMNS = (
    Column(name='region', description='Region', levels=REGIONS),
    Column(name='n_voxels', description='Number of voxels'),
    Column(name='t1_s', description='T1 before the contrast agent, median', units='s'),
    Column(
        name='ps_1e4_permin',
        description='Permeability surface area product, Patlak',
        units=_PS_UNIT,
    ),
    Column(
        name='ps_low_1e4_permin', description='Lower bound of its 95 % interval', units=_PS_UNIT
    ),
    Column(
        name='ps_high_1e4_permin', description='Upper bound of its 95 % interval', units=_PS_UNIT
    ),
    Column(name='vp_ml100ml', description='Volume of plasma, Patlak', units=_VP_UNIT),
    Column(name='vp_low_ml100ml', description='Lower bound of its 95 % interval', units=_VP_UNIT),
    Column(name='vp_high_ml100ml', description='Upper bound of its 95 % interval', units=_VP_UNIT),
    Column(
        name='ps_drift_sensitivity_1e4_permin',
        description='Change of PS with 0.1 % of drift up',
        units=_PS_UNIT,
    ),
    Column(name='best_model', description='Model of the least AIC', levels=MODELS),
    Column(
        name='autocorrelation',
        description='Of what the fit leaves, from volume to volume',
        aside=True,
    ),
    *(
        Column(
            name=f'aic_{name.replace("-", "_")}',
            description=f'AIC of the model: {text}',
            aside=True,
        )
        for name, text in MODELS.items()
    ),
    Column(
        name='tofts_ktrans_1e4_permin',
        description='K^trans of the extended Tofts model',
        units=_PS_UNIT,
        aside=True,
    ),
    Column(
        name='tofts_vp_ml100ml',
        description='v_p of the extended Tofts model',
        units=_VP_UNIT,
        aside=True,
    ),
    Column(
        name='tofts_kep_permin',
        description='k_ep of the extended Tofts model',
        units='1/min',
        aside=True,
    ),
    Column(
        name='ttp_s', description='Time from the injection to the peak (CAPLEX TTP)', units='s'
    ),
    Column(
        name='wash_in_pct_permin',
        description='Slope from baseline to peak (CAPLEX wash-in slope)',
        units='%/min',
        aside=True,
    ),
    Column(
        name='wash_out_pct_permin',
        description='Slope from peak to end (CAPLEX wash-out slope): negative where it falls',
        units='%/min',
        aside=True,
    ),
    Column(
        name='auc_0to60s_pct_min',
        description='Area under the first minute',
        units='% min',
        aside=True,
    ),
    Column(
        name='auc_60to300s_pct_min',
        description='Area under minutes 2 to 5',
        units='% min',
        aside=True,
    ),
    Column(
        name='auc_300s_on_pct_min',
        description='Area from minute 5 to the end',
        units='% min',
        aside=True,
    ),
    Column(
        name='late_slope_pct_permin',
        description='Slope from minute 5 to the end',
        units='%/min',
        aside=True,
    ),
)

ROOM = Room(
    name='permeability',
    title='Blood-brain barrier',
    marker=True,
    pooled_t=(1.5, 3.0),
    needs=(
        'dce_preproc',
        'dce_baseline',
        'dce_mask',
        'dce_to_anat',
        'dce_t1',
        'dce_b1',
        'dce_protocol',
        'gm_probseg',
        'wm_probseg',
        'csf_probseg',
        'structures_dseg',
        'mni_to_anat',
    ),
    wants=('wmh_mask', 'zones_dseg', 'flair_to_anat'),
    makes={
        'dce_ps': Derivative(
            suffix='PSmap',
            desc='patlak',
            frame='dce',
            units='1/min',
            metadata={'SkullStripped': True},
            description='Permeability surface area product of each voxel, Patlak; not cut at 0. '
            'For the eye: means of voxels are noisier than fits to the curves of regions.',
            resampled='linear',
        ),
        'dce_vp': Derivative(
            suffix='vpmap',
            desc='patlak',
            frame='dce',
            units='mL/mL',
            metadata={'SkullStripped': True},
            description='Volume of plasma of each voxel, Patlak.',
            resampled='linear',
        ),
        'dce_vif_mask': Derivative(
            suffix='mask',
            label='SSS',
            frame='dce',
            description='Voxels of the superior sagittal sinus that the input function is the '
            'mean of.',
        ),
        'dce_regions': Derivative(
            suffix='dseg',
            desc='permeability',
            frame='dce',
            description='Regions whose curves were fitted; of zones and rings the last that '
            'holds a voxel.',
            table=tuple(
                {'index': k, 'name': text, 'abbreviation': name, 'color': colour}
                for k, ((name, text), colour) in enumerate(
                    zip(
                        ((n, t) for n, t in REGIONS.items() if n in MAIN),
                        ('#56b4e9', '#d55e00', '#009e73', '#f0e442'),
                        strict=True,
                    ),
                    start=1,
                )
            ),
        ),
        'dce_curves': Derivative(
            suffix='timeseries',
            desc='permeability',
            frame='dce',
            space='',
            extension='.tsv',
            description='Input function and curves of regions over time, with what Patlak fitted.',
            columns=(
                Column(name='time_s', description='Middle of the volume', units='s'),
                Column(name='fitted', description='Whether the volume takes part in the fit'),
                Column(name='plasma', description='Concentration in plasma', units='mmol/L'),
                *(
                    Column(name=name, description=f'Concentration in {text}', units='mmol/L')
                    for name, text in REGIONS.items()
                ),
                *(
                    Column(
                        name=f'{name}_patlak',
                        description=f'What Patlak fitted to {text}',
                        units='mmol/L',
                    )
                    for name, text in REGIONS.items()
                ),
            ),
        ),
        'dce_estimates': Derivative(
            suffix='measures',
            desc='permeability',
            frame='dce',
            space='',
            extension='.tsv',
            description='What was found in each region: Patlak with intervals, other models, '
            'semi-quantitative measures (of relative enhancement).',
            columns=_COLUMNS,
            lists='Permeability by region',
            rows='regions',
        ),
    },
    figures=(
        Figure(
            desc='vif',
            suffix='dce',
            title='Input function',
            caption='Where blood was measured: the outline has to lie in the superior sagittal '
            'sinus, which is bright after the bolus.',
            build='csvdprep.markers.permeability.figures:draw_place',
            takes=('dce_preproc', 'dce_vif_mask', 'dce_mask'),
        ),
        Figure(
            desc='patlak',
            suffix='dce',
            title='Curves and Patlak fit',
            caption='Concentration in plasma, and in tissue with what Patlak fitted (lines); '
            'volumes in grey are left out of the fit. Leakage makes the curve rise late.',
            build='csvdprep.markers.permeability.figures:draw_curves',
            takes=('dce_curves',),
            disease=True,
        ),
        Figure(
            desc='ps',
            suffix='dce',
            title='Permeability surface area product',
            caption='PS of each voxel, -5 to 20 1e-4/min, noisy where one voxel does not tell; '
            'under the pointer the regions whose curves were fitted.',
            build='csvdprep.markers.permeability.figures:draw_permeability',
            takes=('dce_ps', 'dce_baseline', 'dce_mask', 'dce_regions'),
        ),
        Figure(
            desc='vp',
            suffix='dce',
            title='Volume of plasma',
            caption='Volume of plasma of each voxel, 0 to 3 mL/100 mL; vessels and cortex are '
            'bright.',
            build='csvdprep.markers.permeability.figures:draw_plasma',
            takes=('dce_vp', 'dce_baseline', 'dce_mask'),
        ),
    ),
    measures=tuple(_measures()),
    options=Options,
    build='csvdprep.markers.permeability.workflow:init_permeability_wf',
    methods='Signal was converted to concentration by the equation of the spoiled gradient echo, '
    'without linearisation. The input function is the mean of voxels of the superior sagittal '
    "sinus, over 1 - haematocrit. Patlak's model [@patlak1983] was fitted by linear regression to "
    'the {o.curve} curve of each region from two minutes after the injection on, as the consensus '
    'for subtle leakage recommends [@thrippleton2019]; the extended Tofts and the two-compartment '
    'exchange model were fitted beside it. The leaking volume is after [@vandehaar2016]. '
    'Times to peak of the first pass were taken from series of 2.5 s a volume or less '
    '[@nasel2017].',
    references=('patlak1983', 'thrippleton2019', 'vandehaar2016', 'nasel2017'),
    version=5,
)
