"""Bolus tracking by DSC-MRI: relative blood volume and flow, transit times, times to peak."""

from dataclasses import dataclass

from csvdprep.core.options import option
from csvdprep.core.regions import MAIN, REGIONS, TITLES
from csvdprep.core.room import Column, Derivative, Figure, Limits, Measure, Room


@dataclass(frozen=True)
class Options:
    """Leakage, deconvolution, regions."""

    leakage: bool = option(True, 'Whether blood volume is corrected for leakage.')
    deconvolution: str = option(
        'oscillation',
        'How singular values are cut off: by the oscillation of the residue function (oSVD), or '
        'at a threshold that is the same for all curves (cSVD).',
        choices=('oscillation', 'threshold'),
    )
    threshold: float = option(
        0.1, 'Threshold of cSVD, relative to the largest value.', unit='1', least=0.01, most=0.5
    )
    margin_mm: float = option(
        2.0,
        'White matter is normal-appearing if it is farther than this from hyperintensities.',
        unit='mm',
        least=0,
        most=20,
    )


#: Regions whose times to peak are described, and what they are.
TIMED = {
    'brain': 'the whole brain, vessels among it',
    'wm': 'normal-appearing white matter, what is near hyperintensities, and these',
    'nawm': REGIONS['nawm'],
    'wmh': REGIONS['wmh'],
}
_NAMES = {**TITLES, 'brain': 'brain', 'wm': 'white matter'}
_LIMITS = {
    'cbv': {
        'wmh': Limits(ok=(0.4, 1.8), warn=(0.2, 4)),
        'dgm': Limits(ok=(0.9, 3.5), warn=(0.5, 6)),
        'cgm': Limits(ok=(1.2, 4), warn=(0.7, 7)),
    },
    'cbf': {
        'wmh': Limits(ok=(0.3, 1.5), warn=(0.15, 3)),
        'dgm': Limits(ok=(1.0, 4), warn=(0.6, 7)),
        'cgm': Limits(ok=(1.2, 5), warn=(0.7, 8)),
    },
}


def _measures():
    for region, where in REGIONS.items():
        main, title = region in MAIN, TITLES.get(region, region)
        for name, text, words in (
            ('cbv', 'Blood volume', 'area of its curve, corrected for leakage'),
            ('cbf', 'Blood flow', 'height of its residue function'),
        ):
            if region == 'nawm':
                continue
            yield Measure(
                name=f'dsc_{name}_{region}_to_nawm',
                units='1',
                method='osvd' if name == 'cbf' else 'bsw',
                reference='wu2003' if name == 'cbf' else 'boxerman2006',
                table=main,
                title=f'{text} relative to NAWM, {title}',
                primary=name == 'cbv' and region == 'wmh',
                description=f'{text} of {where} ({words}), relative to that of normal-appearing '
                'white matter.',
                limits=_LIMITS[name].get(region),
            )
        yield Measure(
            name=f'dsc_mtt_{region}_s',
            units='s',
            method='osvd',
            reference='wu2003',
            table=main,
            title=f'Mean transit time, {title}',
            description=f'Mean transit time of {where}: volume (uncorrected) over flow. Truncated '
            'deconvolution is up to 45 % off, as the tissue washes out.',
            limits=Limits(ok=(2, 14), warn=(1, 25)) if main else None,
        )
        yield Measure(
            name=f'dsc_tmax_{region}_s',
            units='s',
            method='osvd',
            reference='wu2003',
            table=main,
            title=f'Tmax, {title}',
            description=f'Time at which the residue function of {where} is highest: delay after '
            'the artery, and half of the transit time or less, as the residue function is shaped.',
            limits=Limits(ok=(-1, 6), warn=(-3, 12)) if main else None,
        )
    for region, where in TIMED.items():
        main = region != 'brain'
        yield Measure(
            name=f'tdc_{region}_median_s',
            units='s',
            method='time-to-peak',
            reference='nasel2017',
            title=f'Time to peak after the artery, {_NAMES[region]}',
            primary=region == 'nawm',
            description=f'Median time from the peak of the artery to that of the voxels of '
            f'{where}.',
            limits=Limits(ok=(0.5, 8), warn=(-1, 15)) if main else None,
        )
        yield Measure(
            name=f'tdc_{region}_width_s',
            units='s',
            method='time-to-peak',
            reference='nasel2017',
            title=f'Width of times to peak, {_NAMES[region]}',
            description='Width of the distribution of times to peak, 10th to 90th percentile of '
            f'the voxels of {where}. Noise widens it.',
            limits=Limits(ok=(0.1, 8), warn=(0.02, 15)) if main else None,
        )
        yield Measure(
            name=f'tdc_{region}_skew',
            units='1',
            method='time-to-peak',
            reference='nasel2017',
            title=f'Skew of times to peak, {_NAMES[region]}',
            description='Skew of the distribution of times to peak: (p90 + p10 - 2 p50) / '
            f'(p90 - p10) of the voxels of {where}, positive where late ones reach farther.',
            limits=Limits(ok=(-0.7, 0.7), warn=(-0.95, 0.95)) if main else None,
        )
    yield Measure(
        name='tdc_avtt_s',
        units='s',
        method='time-to-peak',
        reference='nasel2017',
        title='Arteriovenous transit time',
        description='Time from the peak of the artery to that of the superior sagittal sinus.',
        limits=Limits(ok=(2, 8), warn=(0.5, 15)),
    )
    yield Measure(
        name='dsc_aif_voxels_n',
        units='1',
        method='cluster',
        table=False,
        description='Number of voxels in the arterial input function.',
    )
    yield Measure(
        name='dsc_sinus_voxels_n',
        units='1',
        method='cluster',
        table=False,
        description='Number of voxels of the superior sagittal sinus whose curve is averaged.',
    )
    yield Measure(
        name='qc_dsc_aif_width_s',
        units='s',
        method='cluster',
        description='Full width at half height of the arterial input function.',
        limits=Limits(ok=(3, 14), warn=(1.5, 25)),
    )
    yield Measure(
        name='qc_dsc_aif_lead_s',
        units='s',
        method='cluster',
        description='Time from the peak of the arterial input function to the median peak of the '
        'brain: an artery is before tissue.',
        limits=Limits(ok=(0.5, 8), warn=(0, 15)),
    )
    yield Measure(
        name='qc_dsc_aif_floor',
        units='1',
        method='cluster',
        description='Lowest signal of the arterial voxels, as a multiple of the noise: an artery '
        'that ends in noise is cut off (saturation).',
        limits=Limits(ok=(6, None), warn=(3, None)),
    )


_COLUMNS = (
    Column(name='region', description='Region', levels=REGIONS),
    Column(name='n_voxels', description='Number of voxels'),
    Column(name='cbv_to_nawm', description='Blood volume relative to NAWM, corrected for leakage'),
    Column(name='cbv_uncorrected_to_nawm', description='The same without correction of leakage'),
    Column(name='cbf_to_nawm', description='Blood flow relative to NAWM'),
    Column(name='mtt_s', description='Mean transit time', units='s'),
    Column(name='tmax_s', description='Time of the height of the residue function', units='s'),
    Column(name='k2_1000', description='Leakage K2', units='1e-3/s'),
    Column(
        name='threshold', description='Singular values below this share were left out', aside=True
    ),
    Column(name='ttp_median_s', description='Median time to peak after the artery', units='s'),
    Column(name='ttp_p10_s', description='10th percentile of it', units='s', aside=True),
    Column(name='ttp_p90_s', description='90th percentile of it', units='s', aside=True),
)

ROOM = Room(
    name='bolus',
    title='Bolus tracking',
    marker=True,
    pooled_t=(1.5, 3.0),
    needs=(
        'dsc_preproc',
        'dsc_baseline',
        'dsc_mask',
        'dsc_to_anat',
        'dsc_protocol',
        'gm_probseg',
        'wm_probseg',
        'csf_probseg',
        'structures_dseg',
        'mni_to_anat',
    ),
    wants=('wmh_mask', 'zones_dseg', 'flair_to_anat'),
    makes={
        'dsc_cbv': Derivative(
            suffix='cbvmap',
            desc='relative',
            frame='dsc',
            units='1',
            metadata={'SkullStripped': True},
            description='Blood volume of each voxel, corrected for leakage, relative to '
            'normal-appearing white matter.',
            resampled='linear',
        ),
        'dsc_cbf': Derivative(
            suffix='cbf',
            desc='relative',
            frame='dsc',
            units='1',
            metadata={'SkullStripped': True},
            description='Blood flow of each voxel relative to normal-appearing white matter.',
            resampled='linear',
        ),
        'dsc_mtt': Derivative(
            suffix='mttmap',
            desc='deconvolved',
            frame='dsc',
            units='s',
            metadata={'SkullStripped': True},
            description='Mean transit time of each voxel; 0 where there is none.',
            resampled='linear',
        ),
        'dsc_tmax': Derivative(
            suffix='tmaxmap',
            desc='deconvolved',
            frame='dsc',
            units='s',
            metadata={'SkullStripped': True},
            description='Time of the height of the residue function of each voxel.',
            resampled='linear',
        ),
        'dsc_ttp': Derivative(
            suffix='ttpmap',
            desc='arterial',
            frame='dsc',
            units='s',
            metadata={'SkullStripped': True},
            description='Time to the peak of each voxel after that of the artery; 0 where there '
            'is none.',
            resampled='linear',
        ),
        'dsc_vessels': Derivative(
            suffix='dseg',
            desc='boluscurves',
            frame='dsc',
            description='Voxels of the artery (arterial input function) and of the superior '
            'sagittal sinus.',
            table=(
                {'index': 1, 'name': 'artery', 'abbreviation': 'AIF', 'color': '#d55e00'},
                {
                    'index': 2,
                    'name': 'superior sagittal sinus',
                    'abbreviation': 'SSS',
                    'color': '#0072b2',
                },
            ),
        ),
        'dsc_regions': Derivative(
            suffix='dseg',
            desc='bolus',
            frame='dsc',
            description='Regions whose curves were deconvolved; of zones and rings the last that '
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
        'dsc_curves': Derivative(
            suffix='timeseries',
            desc='bolus',
            frame='dsc',
            space='',
            extension='.tsv',
            description='Change of R2* over time: artery, sinus, reference without leakage, '
            'regions.',
            columns=(
                Column(name='time_s', description='Start of the volume', units='s'),
                Column(name='artery', description='Arterial input function', units='1/s'),
                Column(name='sinus', description='Superior sagittal sinus', units='1/s'),
                Column(name='reference', description='Voxels without leakage', units='1/s'),
                *(
                    Column(name=name, description=f'Change of R2* of {text}', units='1/s')
                    for name, text in REGIONS.items()
                ),
            ),
        ),
        'dsc_times': Derivative(
            suffix='profile',
            desc='ttp',
            frame='dsc',
            space='',
            extension='.tsv',
            description='Distribution of times to peak after the artery: share of the voxels in '
            'each quarter of a second.',
            columns=(
                Column(name='time_s', description='Middle of the bin', units='s'),
                *(
                    Column(name=name, description=f'Share of the voxels of {text}', units='1/s')
                    for name, text in TIMED.items()
                ),
            ),
        ),
        'dsc_estimates': Derivative(
            suffix='measures',
            desc='bolus',
            frame='dsc',
            space='',
            extension='.tsv',
            description='What was found in each region.',
            columns=_COLUMNS,
            lists='Bolus tracking by region',
            rows='regions',
        ),
    },
    figures=(
        Figure(
            desc='aif',
            suffix='dsc',
            title='Artery and sinus',
            caption='Where blood was measured, on the volume in which the artery is darkest: the '
            'outlines have to lie in a large artery and in the superior sagittal sinus.',
            build='csvdprep.markers.bolus.figures:draw_vessels',
            takes=('dsc_preproc', 'dsc_vessels', 'dsc_mask', 'dsc_curves'),
        ),
        Figure(
            desc='boluscurves',
            suffix='dsc',
            title='Curves of the bolus',
            caption='Change of R2* in the artery and the sinus, and in regions.',
            build='csvdprep.markers.bolus.figures:draw_curves',
            takes=('dsc_curves',),
        ),
        Figure(
            desc='bolusmaps',
            suffix='dsc',
            title='Blood volume and flow',
            caption='Relative to normal-appearing white matter, 0 to 4; under the pointer blood '
            'flow, and the regions.',
            build='csvdprep.markers.bolus.figures:draw_maps',
            takes=('dsc_cbv', 'dsc_cbf', 'dsc_baseline', 'dsc_mask', 'dsc_regions'),
        ),
        Figure(
            desc='bolustimes',
            suffix='dsc',
            title='Times of the bolus',
            caption='Time to peak after the artery, 0 to 8 s; under the pointer Tmax (0 to 8 s) '
            'and mean transit time (0 to 15 s).',
            build='csvdprep.markers.bolus.figures:draw_times',
            takes=('dsc_ttp', 'dsc_tmax', 'dsc_mtt', 'dsc_baseline', 'dsc_mask'),
        ),
        Figure(
            desc='tdc',
            suffix='dsc',
            title='Distribution of times to peak',
            caption='Share of the voxels by time to peak after the artery; dots: median, 10th and '
            '90th percentile.',
            build='csvdprep.markers.bolus.figures:draw_distribution',
            takes=('dsc_times',),
        ),
    ),
    measures=tuple(_measures()),
    options=Options,
    build='csvdprep.markers.bolus.workflow:init_bolus_wf',
    methods='Signal of the bolus-tracking series was converted to the change of R2*. The arterial '
    'input function is the mean of a cluster of voxels that are early, high, narrow and not '
    'saturated. Blood volume was corrected for leakage ({o.leakage}) after Boxerman et al. '
    '[@boxerman2006], with delay and dispersion fitted beside. Curves of regions '
    'and of voxels were deconvolved by block-circulant singular value decomposition '
    '[@wu2003; @ostergaard1996], cut off by {o.deconvolution}. Blood volume and flow are relative '
    'to normal-appearing white matter. Times to peak and their distribution follow Nasel et al. '
    '[@nasel2017].',
    references=('boxerman2006', 'wu2003', 'ostergaard1996', 'nasel2017'),
    version=2,
)
