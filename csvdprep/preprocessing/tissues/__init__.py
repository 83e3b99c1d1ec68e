"""Tissues of the anatomical reference."""

from csvdprep.core.declared import External
from csvdprep.core.room import Derivative, Limits, Measure, Room

_TISSUES = (
    {'index': 1, 'name': 'cerebrospinal fluid', 'abbreviation': 'CSF', 'color': '#0072b2'},
    {'index': 2, 'name': 'grey matter', 'abbreviation': 'GM', 'color': '#999999'},
    {'index': 3, 'name': 'white matter', 'abbreviation': 'WM', 'color': '#f0e442'},
)


def _tissue(label, name):
    return Derivative(
        suffix='probseg',
        label=label,
        units='1',
        description=f'Share of each voxel expected to be {name}.',
    )


ROOM = Room(
    name='tissues',
    title='Tissues',
    needs=('anat_filled', 'brain_mask', 'mni_to_anat'),
    wants=('lesion_guess', 'tissue_external'),
    externals=(
        External(
            name='tissue_external',
            title='tissue segmentation',
            lesion=False,
            description='Segmentation into cerebrospinal fluid, grey and white matter, or into '
            'structures whose names tell which they are, with its look-up table.',
            grids=('t1w', 'flair'),
            words='dseg',
            classes={
                'csf': r'csf|cerebrospinal|vent(ricles?|s)?([^a-z]|$)|choroid',
                'wm': r'white|(^|[^a-z])wm([^a-z]|$)|callosum|^cc[^a-z]|hyp(o|er)intens|'
                r'brain.?stem|wmh|lesion',
                'gm': r'gr[ae]y|cortex|^ctx|(^|[^a-z])gm([^a-z]|$)|thalamus|caudate|putamen|'
                r'pallidum|hippocampus|amygdala|accumbens|ventral.?dc|claustrum',
            },
        ),
    ),
    makes={
        'csf_probseg': _tissue('CSF', 'cerebrospinal fluid'),
        'gm_probseg': _tissue('GM', 'grey matter'),
        'wm_probseg': _tissue('WM', 'white matter, preliminary hyperintensities included'),
        'tissue_dseg': Derivative(
            suffix='dseg', description='Most probable tissue.', table=_TISSUES
        ),
    },
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
    resolve='csvdprep.preprocessing.tissues.resolve:resolve',
    build='csvdprep.preprocessing.tissues.workflow:init_tissues_wf',
    methods=(
        'How much of each voxel is cerebrospinal fluid, grey and white matter was estimated by '
        'expectation maximisation of a mixture of pure voxels and voxels of two tissues '
        '[@vanleemput2003], its place priors from the neighbours and, less, from the tissue maps '
        'of the template; preliminary hyperintensities were taken as white matter. '
        'Where a segmentation was given, its classes were taken instead.'
    ),
    references=('vanleemput2003',),
    version=3,
)
