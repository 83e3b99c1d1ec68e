"""Tissues, lateral ventricles and regions of the anatomical reference."""

from csvdprep.core.room import Derivative, Figure, Limits, Measure, Room

_TISSUES = (
    {'index': 1, 'name': 'cerebrospinal fluid', 'abbreviation': 'CSF', 'color': '#0072b2'},
    {'index': 2, 'name': 'grey matter', 'abbreviation': 'GM', 'color': '#999999'},
    {'index': 3, 'name': 'white matter', 'abbreviation': 'WM', 'color': '#f0e442'},
)
_VENTRICLES = (
    {'index': 1, 'name': 'left lateral ventricle', 'abbreviation': 'LV_L', 'color': '#0072b2'},
    {'index': 2, 'name': 'right lateral ventricle', 'abbreviation': 'LV_R', 'color': '#56b4e9'},
)


def _tissue(label, name):
    return Derivative(
        suffix='probseg',
        label=label,
        units='1',
        description=f'Share of each voxel expected to be {name}.',
    )


def _atlas(desc, name):
    return Derivative(
        suffix='dseg',
        atlas='csvdprep',
        desc=desc,
        table=f'template_{desc}',
        description=f'{name} of the template on the {{hub}}.',
    )


ROOM = Room(
    name='tissues',
    title='Tissues and ventricles',
    needs=('anat_filled', 'brain_mask', 'mni_to_anat'),
    wants=('lesion_guess',),
    makes={
        'csf_probseg': _tissue('CSF', 'cerebrospinal fluid'),
        'gm_probseg': _tissue('GM', 'grey matter'),
        'wm_probseg': _tissue('WM', 'white matter, preliminary hyperintensities included'),
        'tissue_dseg': Derivative(
            suffix='dseg', description='Most probable tissue.', table=_TISSUES
        ),
        'ventricles': Derivative(
            suffix='dseg', desc='ventricles', table=_VENTRICLES, description='Lateral ventricles.'
        ),
        'structures_dseg': _atlas('structures', 'Deep structures, brainstem and cerebellum'),
        'lobes_dseg': _atlas('lobes', 'Lobes'),
        'territories_dseg': _atlas('territories', 'Vascular territories'),
    },
    figures=(
        Figure(
            desc='tissues',
            suffix='{hub}',
            title='Tissues and lateral ventricles',
            caption='Lines follow white matter, grey matter and the lateral ventricles. Third '
            'ventricle and cisterns must not belong to the lateral ventricles.',
            build='csvdprep.preprocessing.tissues.figures:draw_tissues',
            takes=('anat_preproc', 'brain_mask', 'tissue_dseg', 'ventricles'),
        ),
    ),
    measures=(
        Measure(
            name='qc_cnr',
            units='1',
            method='em-atlas',
            qc_id='Q1',
            description='Contrast of grey to white matter of the anatomical reference, in '
            'units of their noise.',
            limits=Limits(ok=(1.8, None), warn=(1.2, None)),
        ),
        Measure(
            name='lv_ml',
            units='mL',
            method='em-atlas',
            qc_id='Q4',
            description='Volume of the lateral ventricles.',
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
            description='Difference of the lateral ventricles of both sides, over their sum.',
            limits=Limits(ok=(0, 0.6)),
        ),
        Measure(
            name='icv_ml',
            units='mL',
            method='brain-mask',
            description='Intracranial volume: brain with its inner and outer cerebrospinal '
            'fluid, as far as the brain mask holds it.',
            limits=Limits(ok=(1000, 2000), warn=(800, 2300)),
        ),
        Measure(
            name='icv_template_ml',
            units='mL',
            method='template-warp',
            table=False,
            description='Intracranial volume by the mask of the template, warped to the patient.',
        ),
    ),
    context=('hub',),
    build='csvdprep.preprocessing.tissues.workflow:init_tissues_wf',
    methods=(
        'How much of each voxel is cerebrospinal fluid, grey and white matter was estimated by '
        'expectation maximisation of a mixture of pure voxels and voxels of two tissues '
        '[@vanleemput2003], its place priors from the neighbours and, less, from the tissue maps '
        'of the template; preliminary hyperintensities were taken as white matter. The lateral '
        'ventricles are the fluid that is reached more easily, by wide passages, from those of '
        'the template than from its other fluid spaces.'
    ),
    references=('vanleemput2003',),
    version=3,
)
