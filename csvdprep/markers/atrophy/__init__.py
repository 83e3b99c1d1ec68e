"""Brain atrophy: tissue volumes, brain parenchymal fraction, Evans index."""

from csvdprep.core.room import Limits, Measure, Room


def _ml(name, description, **more):
    return Measure(
        name=f'{name}_ml', units='mL', method='em-atlas', description=description, **more
    )


def _pct(name, what):
    return Measure(
        name=f'{name}_pct_icv',
        units='%',
        method='em-atlas',
        table=False,
        description=f'{what} in percent of the intracranial volume.',
    )


ROOM = Room(
    name='atrophy',
    title='Atrophy',
    marker=True,
    order=30,
    needs=(
        't1w',
        'csf_probseg',
        'gm_probseg',
        'wm_probseg',
        'ventricles',
        'brain_mask',
        'structures_dseg',
        'mni_to_anat',
    ),
    wants=('wmh_mask', 'flair_to_anat'),
    makes={},
    measures=(
        _ml(
            'gm',
            'Volume of grey matter: cortical, deep and cerebellar.',
            limits=Limits(ok=(400, 900), warn=(300, 1100)),
        ),
        _ml(
            'wm',
            'Volume of white matter, including white matter hyperintensities.',
            limits=Limits(ok=(300, 750), warn=(200, 900)),
        ),
        _ml(
            'csf',
            'Volume of cerebrospinal fluid in and around the brain, within the brain mask.',
            limits=Limits(ok=(50, 700), warn=(20, 900)),
        ),
        _pct('gm', 'Grey matter'),
        _pct('wm', 'White matter, including hyperintensities,'),
        _pct('lv', 'Lateral ventricles'),
        *(
            _ml(
                f'hippocampus_{side}',
                f'Proxy of the {side} hippocampus: volume of grey matter within the '
                'hippocampus of the warped template; the hippocampus is not segmented.',
                table=False,
            )
            for side in ('left', 'right')
        ),
        _pct('hippocampus', 'Proxy of both hippocampi'),
        Measure(
            name='bpf',
            primary=True,
            units='1',
            method='em-atlas',
            description='Brain parenchymal fraction: volume of grey and white matter (with '
            'the cerebellum, without the brainstem below the pons) divided by the '
            'intracranial volume.',
            limits=Limits(ok=(0.6, 0.95), warn=(0.5, 0.98)),
        ),
        Measure(
            name='evans',
            units='1',
            method='geometry',
            reference='evans1942',
            description='Evans index: largest width of the frontal horns, divided by the '
            'largest inner width of the skull (here of the brain mask) in the '
            'same axial slice. The frontal horns are measured in front of the '
            'foramina of Monro and above the temporal horns. A value above 0.3 '
            'suggests enlarged ventricles.',
            limits=Limits(ok=(0.15, 0.45), warn=(0.1, 0.6)),
        ),
    ),
    version=3,
    build='csvdprep.markers.atrophy.workflow:init_atrophy_wf',
    methods=(
        'Volumes are sums of tissue fractions over voxels, with hyperintensities counted '
        'as white matter. The proxies of the hippocampi are the grey matter within the '
        'hippocampi of the warped template. The Evans index [@evans1942] was taken in '
        'slices parallel to the axial plane of the template.'
    ),
    references=('evans1942',),
)
