"""Tissues of the anatomical reference."""

from dataclasses import dataclass

from csvdprep.core.declared import External
from csvdprep.core.options import option
from csvdprep.core.room import Derivative, Limits, Measure, Room


@dataclass(frozen=True)
class Options:
    """What tells grey from white matter where there is no T1w."""

    flair_engine: str = option(
        'auto',
        'What divides the brain into grey and white matter on a FLAIR without a T1w: network, '
        'template (the warped template alone), or auto. auto is the network if slices are thin '
        'or axial, else the template.',
        choices=('auto', 'network', 'template'),
    )


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
        description=f'Estimated fraction of {name} in each voxel.',
    )


ROOM = Room(
    name='tissues',
    title='Tissues',
    needs=('anat_filled', 'anat_preproc', 'brain_mask', 'mni_to_anat'),
    wants=('lesion_guess', 'tissue_external'),
    externals=(
        External(
            name='tissue_external',
            title='tissue segmentation',
            lesion=False,
            description='Segmentation into cerebrospinal fluid, grey and white matter, or '
            'into structures with recognisable names, with its look-up table.',
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
        'wm_probseg': _tissue('WM', 'white matter, including preliminary hyperintensities'),
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
            description='Contrast between grey and white matter in the anatomical reference, '
            'in units of their noise.',
            limits=Limits(ok=(1.8, None), warn=(1.2, None)),
        ),
        Measure(
            name='qc_grey_dice',
            units='1',
            method='overlap',
            table=False,
            description='Without a T1w: agreement (Dice of shares) of the grey matter of the '
            'network with that of the warped template.',
            limits=Limits(ok=(0.6, None)),
        ),
        Measure(
            name='icv_ml',
            units='mL',
            method='brain-mask',
            description='Intracranial volume: volume of the brain mask, which holds the brain '
            'and the cerebrospinal fluid in and around it, but not the fluid between mask and '
            'skull. It is the denominator of every measure in percent of the intracranial volume.',
            primary=True,
            limits=Limits(ok=(1000, 2000), warn=(800, 2300)),
        ),
        Measure(
            name='icv_template_ml',
            units='mL',
            method='template-warp',
            table=False,
            description='Intracranial volume from the mask of the template, warped to the '
            'patient.',
        ),
    ),
    context=('hub',),
    options=Options,
    resolve='csvdprep.preprocessing.tissues.resolve:resolve',
    resources=(
        'template_csf',
        'template_gm',
        'template_wm',
        'template_mask',
        'models/tissue/network.onnx',
    ),
    build='csvdprep.preprocessing.tissues.workflow:init_tissues_wf',
    methods=(
        'The fractions of cerebrospinal fluid, grey and white matter in each voxel were '
        'estimated by expectation maximisation of a mixture of pure voxels and voxels of '
        'two tissues [@vanleemput2003]. Spatial priors came from the neighbours and, with '
        'less weight, from the tissue maps of the template. Preliminary hyperintensities '
        'were counted as white matter. On a FLAIR without a T1w, what is no fluid was divided '
        'between grey and white matter by a small convolutional network that sees the FLAIR and '
        'the warped template, or by the template alone ({o.flair_engine}). '
        'If a segmentation was given, its classes were used instead.'
    ),
    references=('vanleemput2003',),
    version=4,
)
