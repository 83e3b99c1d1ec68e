"""Peak width of skeletonised mean diffusivity (PSMD)."""

from csvdprep.core.room import Limits, Measure, Room


def _width(name, description, **more):
    return Measure(
        name=name,
        units='1e-4 mm2/s',
        method='ants-skel',
        reference='baykara2016',
        description=description,
        **more,
    )


WHAT = (
    'Peak width of skeletonised mean diffusivity: difference between the 95th and 5th '
    'percentiles on the white matter skeleton'
)
LIMITS = Limits(ok=(1.5, 6), warn=(1, 9))

ROOM = Room(
    name='psmd',
    title='PSMD',
    marker=True,
    pooled_t=(1.5, 3.0),
    needs=(
        'dwi_fa',
        'dwi_md',
        'dwi_mask',
        'dwi_bval',
        'dwi_bvec',
        'dwi_to_fa',
        'dwi_denoise_values',
        'tensors_values',
    ),
    wants=('wmh_mask', 'flair_to_anat', 'dwi_to_anat'),
    reads=('dwi_denoise.qc_dwi_snr_b0', 'tensors.dwi_tensor_shells'),
    makes={},
    measures=(
        _width(
            'psmd_1e4',
            f'{WHAT}, projected in the space of the FA template.',
            limits=LIMITS,
            title='PSMD',
            primary=True,
        ),
        _width('psmd_left_1e4', f'{WHAT}, left.', table=False),
        _width('psmd_right_1e4', f'{WHAT}, right.', table=False),
        _width('psmd_nonlesion_1e4', f'{WHAT}, without hyperintensities.', table=False),
        _width(
            'psmd_native_1e4',
            f'{WHAT}, sampled from the original voxels without interpolation.',
            limits=LIMITS,
        ),
        Measure(
            name='msmd_1e3',
            units='1e-3 mm2/s',
            method='ants-skel',
            description='Mean of mean diffusivity on the skeleton.',
            table=False,
            limits=Limits(ok=(0.6, 1.1), warn=(0.5, 1.4)),
        ),
        Measure(
            name='psmd_noise_pct',
            units='%',
            method='simulation',
            table=False,
            description='Expected widening of psmd_native_1e4 by noise. It is simulated for '
            'the volumes in the tensor fit and the signal-to-noise ratio of the '
            'original series, so it is an upper bound if the series was denoised.',
            limits=Limits(ok=(-10, 10), warn=(-30, 30)),
        ),
        Measure(
            name='qc_psmd_coverage_pct',
            units='%',
            method='ants-skel',
            description='Share of the skeleton that has values.',
            limits=Limits(ok=(75, None), warn=(50, None)),
        ),
        Measure(
            name='qc_psmd_fluid_pct',
            units='%',
            method='ants-skel',
            table=False,
            description='Share of the skeleton that is excluded as fluid (above 3e-3 mm²/s).',
            limits=Limits(ok=(None, 1), warn=(None, 5)),
        ),
        Measure(
            name='psmd_lesion_pct',
            units='%',
            method='ants-skel',
            table=False,
            description='Share of the skeleton that is hyperintense.',
        ),
    ),
    version=3,
    resources=('psmd_skeleton', 'skeleton_directions'),
    build='csvdprep.markers.psmd.workflow:init_psmd_wf',
    methods=(
        'PSMD [@baykara2016] was measured on a skeleton of the FA template of TractSeg '
        '[@wasserthal2018]: mean diffusivity was sampled where anisotropy is highest '
        'across the tract, as in tract-based spatial statistics [@smith2006]. The '
        'skeleton differs from that of the original tool, so values of the two must not '
        'be pooled.'
    ),
    references=('baykara2016', 'wasserthal2018', 'smith2006'),
)
