"""Lateral ventricles."""

from csvdprep.core.room import Derivative, Figure, Limits, Measure, Room

_VENTRICLES = (
    {'index': 1, 'name': 'left lateral ventricle', 'abbreviation': 'LV_L', 'color': '#0072b2'},
    {'index': 2, 'name': 'right lateral ventricle', 'abbreviation': 'LV_R', 'color': '#56b4e9'},
)


ROOM = Room(
    name='ventricles',
    title='Lateral ventricles',
    needs=('csf_probseg', 'brain_mask', 'structures_dseg', 'mni_to_anat'),
    makes={
        'ventricles': Derivative(
            suffix='dseg', desc='ventricles', table=_VENTRICLES, description='Lateral ventricles.'
        )
    },
    figures=(
        Figure(
            desc='tissues',
            suffix='{hub}',
            title='Tissues and lateral ventricles',
            caption='Outlines of white matter, grey matter and the lateral ventricles. The '
            'lateral ventricles must not include the third ventricle or the cisterns.',
            build='csvdprep.preprocessing.ventricles.figures:draw_tissues',
            takes=('anat_preproc', 'brain_mask', 'tissue_dseg', 'ventricles'),
        ),
    ),
    measures=(
        Measure(
            name='lv_ml',
            units='mL',
            method='em-atlas',
            qc_id='Q4',
            description='Volume of the lateral ventricles.',
            title='Lateral ventricles',
            primary=True,
            limits=Limits(ok=(6, 120), warn=(4, 180)),
        ),
        Measure(
            name='lv_left_ml',
            units='mL',
            method='em-atlas',
            table=False,
            description='Volume of the left lateral ventricle.',
        ),
        Measure(
            name='lv_right_ml',
            units='mL',
            method='em-atlas',
            table=False,
            description='Volume of the right lateral ventricle.',
        ),
        Measure(
            name='qc_lv_asymmetry',
            units='1',
            method='em-atlas',
            description='Difference between the volumes of the left and right lateral '
            'ventricles, divided by their sum.',
            limits=Limits(ok=(0, 0.6)),
        ),
    ),
    context=('hub',),
    resources=('template_csf',),
    build='csvdprep.preprocessing.ventricles.workflow:init_ventricles_wf',
    methods='The lateral ventricles were segmented as the fluid that is more easily reached, '
    'through wide passages, from the lateral ventricles of the warped template than '
    'from its other fluid spaces.',
)
