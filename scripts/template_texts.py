"""Descriptions, licence and colours of the files in ``data/templates``."""

from __future__ import annotations

import colorsys

#: The notice that the ICBM 2009 templates are distributed with (it has to appear in all copies),
#: and that of what is derived from them here.
LICENCE = """\
Copyright (C) 1993-2004 Louis Collins, McConnell Brain
Imaging Centre, Montreal Neurological Institute, McGill University.
Permission to use, copy, modify, and distribute this software and
its documentation for any purpose and without fee is hereby granted,
provided that the above copyright notice appear in all copies.  The
authors and McGill University make no representations about the
suitability of this software for any purpose.  It is provided "as
is" without express or implied warranty.  The authors are not
responsible for any data loss, equipment damage, property loss, or
injury to subjects or patients resulting from the use or misuse of
this software package.

The label images named atlas-csvdprep are derived from the template above by
scripts/build_templates.py of csvdprep and are distributed under the same terms.
"""

#: The ITK transform that moves nothing, for a visit whose FLAIR is its own reference.
IDENTITY = """\
#Insight Transform File V1.0
#Transform 0
Transform: AffineTransform_double_3_3
Parameters: 1 0 0 0 1 0 0 0 1 0 0 0
FixedParameters: 0 0 0
"""

_ORIGIN = [-98.0, -134.0, -72.0]

DESCRIPTION = {
    'Authors': ['Fonov V', 'Evans AC', 'Botteron K', 'Almli CR', 'McKinstry RC', 'Collins DL'],
    'BIDSVersion': '1.1.0',
    'Curators': ['csvdprep developers'],
    'Identifier': 'MNI152NLin2009aSym',
    'License': 'See LICENSE file',
    'Name': 'ICBM 152 Nonlinear Symmetrical template version 2009a',
    'RRID': 'SCR_008796',
    'ReferencesAndLinks': [
        'https://doi.org/10.1016/j.neuroimage.2010.07.033',
        'https://doi.org/10.1016/S1053-8119(09)70884-5',
        'https://doi.org/10.1007/3-540-48714-X_16',
    ],
    'Species': 'Homo sapiens',
    'TemplateFlowVersion': '1.0.0',
    'res': {
        '01': {'origin': _ORIGIN, 'shape': [197, 233, 189], 'zooms': [1.0, 1.0, 1.0]},
        '02': {'origin': _ORIGIN, 'shape': [99, 117, 95], 'zooms': [2.0, 2.0, 2.0]},
    },
}

_LICENSE = 'Terms of the ICBM152 template; see LICENSE'
_COMMON = (
    ' Drawn on the right half of the exactly symmetric template and mirrored; the plane x = 0 mm'
    ' carries the labels of the right side.'
)

SIDECARS = {
    'structures': {
        'Name': 'csvdprep structures',
        'Description': 'Ventricles, deep grey matter, hippocampus, brainstem and cerebellum, by'
        ' marker-controlled watershed on the template T1w from hand-placed seeds, and planes'
        ' where the template has no contrast. Lateral ventricles include frontal, temporal and'
        ' occipital horn; third ventricle, cavum and velum interpositum are not part of them.'
        ' The septum label is a guard: septum pellucidum and fornix between the lateral'
        ' ventricles, including the plane x = 0 mm, where no lateral ventricle is labelled.'
        + _COMMON,
        'License': _LICENSE,
        'Curators': ['csvdprep developers'],
    },
    'lobes': {
        'Name': 'csvdprep lobes',
        'Description': 'Partition of the supratentorial brain mask. Lobar borders are surfaces'
        ' through landmarks of the central, Sylvian and parieto-occipital sulci, snapped to the'
        ' darkest sheet of cortex within 7 mm; white matter within 8 mm of cortex belongs to the'
        ' nearest cortex, deeper white matter to the surfaces. Deep grey matter with the capsules'
        ' between its nuclei has a label of its own. Cingulate gyrus is divided between frontal'
        ' and parietal lobe; there is no limbic lobe.' + _COMMON,
        'License': _LICENSE,
        'Curators': ['csvdprep developers'],
    },
    'territories': {
        'Name': 'csvdprep vascular territories',
        'Description': 'Partition of the brain mask into the territories of the anterior, middle'
        ' and posterior cerebral arteries and the infratentorial compartment, by planes after'
        ' published maps. Between persons the true borders vary by a centimetre or more. The'
        ' anterior choroidal artery is counted with the middle, thalamus and hippocampus with'
        ' the posterior, caudate nucleus and lentiform nucleus with the middle cerebral artery.'
        + _COMMON,
        'License': _LICENSE,
        'ReferencesAndLinks': [
            'https://doi.org/10.1212/WNL.50.6.1699',
            'https://doi.org/10.1161/STROKEAHA.118.023459',
        ],
        'Curators': ['csvdprep developers'],
    },
    'pvsregions': {
        'Name': 'csvdprep regions for perivascular spaces',
        'Description': 'Basal ganglia (deep grey matter, the capsules between, z >= -10 mm),'
        ' centrum semiovale (white matter above the roof of the lateral ventricles, at least'
        ' 2 mm from cortex), hippocampus and midbrain (brainstem above z = -22 mm).' + _COMMON,
        'License': _LICENSE,
        'ReferencesAndLinks': ['https://doi.org/10.1159/000375153'],
        'Curators': ['csvdprep developers'],
    },
}

# One hue per region; the left side is the darker twin.
_HUES = {
    'lateral ventricle': 0.58,
    'thalamus': 0.08,
    'caudate nucleus': 0.33,
    'putamen': 0.93,
    'pallidum': 0.75,
    'hippocampus': 0.13,
    'cerebellum': 0.05,
    'brainstem': 0.45,
    'third ventricle': 0.52,
    'fourth ventricle': 0.55,
    'septum pellucidum and fornix': 0.66,
    'frontal lobe': 0.60,
    'parietal lobe': 0.33,
    'temporal lobe': 0.13,
    'occipital lobe': 0.0,
    'insula': 0.80,
    'deep grey and capsules': 0.48,
    'anterior cerebral artery': 0.33,
    'middle cerebral artery': 0.0,
    'posterior cerebral artery': 0.60,
    'infratentorial': 0.13,
    'basal ganglia': 0.08,
    'centrum semiovale': 0.58,
    'midbrain': 0.45,
}


def colour(name: str) -> str:
    """Return a colour as ``#RRGGBB``; left and right of one region differ in brightness.

    Examples
    --------
    >>> colour('left thalamus'), colour('right thalamus')
    ('#996236', '#e6944a')

    """
    region = name.removeprefix('left ').removeprefix('right ')
    value = 0.6 if name.startswith('left ') else 0.9
    saturation = 0.65 if value < 0.7 else 0.68
    rgb = colorsys.hsv_to_rgb(_HUES[region], saturation, value)
    return '#' + ''.join(f'{round(255 * c):02x}' for c in rgb)
