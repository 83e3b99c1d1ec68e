"""Incident lacunes, microbleeds and recent infarcts, by their place at the visits."""

from dataclasses import dataclass

from csvdprep.core.lesionlist import REGION
from csvdprep.core.options import option
from csvdprep.core.room import Column, Derivative, Figure, Measure, Room


@dataclass(frozen=True)
class Options:
    """When a lesion is the same, and when it is new."""

    tolerance_mm: float = option(
        4.0,
        'Largest distance of the centres of one lesion at two visits; lesions that overlap may '
        'lie further apart.',
        unit='mm',
        least=0.5,
        most=20,
    )
    least_cnr: float = option(
        3.0,
        'Ratio of contrast to noise that a lesion would need at the visit without it, to be '
        'called new or vanished.',
        least=0,
    )
    most_share: float = option(
        0.5,
        'Share of its contrast that the image of the visit without it may have there.',
        least=0,
        most=1,
    )
    most_error_mm: float = option(
        2.0,
        'Error of the registration of the visits up to which places are compared.',
        unit='mm',
        least=0,
    )


@dataclass(frozen=True)
class Kind:
    """A kind of lesion, and what the visits have of it.

    Attributes
    ----------
    name : str
        Value of the column ``lesion``.
    prefix : str
        Of its measures.
    words : str
        In sentences, plural.
    rows, labels : str
        Products: list, and image with the numbers of the list.
    image, brain : str
        Products: image in which they were found, and its brain.
    way : str
        Product: resamples that image onto the anatomical reference; empty if it is the reference.
    scans : tuple of str
        Scans whose protocol counts.
    fades : bool
        Whether such lesions are expected to vanish.
    """

    name: str
    prefix: str
    words: str
    rows: str
    labels: str
    image: str
    brain: str
    way: str
    scans: tuple[str, ...]
    fades: bool = False


KINDS = (
    Kind(
        'lacune',
        'lacune',
        'lacunes',
        'lacune_lesions',
        'cavity_candidates',
        'anat_preproc',
        'brain_mask',
        '',
        ('t1w',),
    ),
    Kind(
        'microbleed',
        'cmb',
        'microbleeds',
        'cmb_lesions',
        'cmb_candidates',
        'gre_mag',
        'gre_mask',
        'gre_to_anat',
        ('gre',),
    ),
    Kind(
        'recent infarct',
        'recent_infarct',
        'recent infarcts',
        'infarct_lesions',
        'infarct_candidates',
        'trace_preproc',
        'trace_mask',
        'trace_to_anat',
        ('trace', 'dwi'),
        fades=True,
    ),
)
CHANGES = {
    'new': 'counts at the later visit; the earlier one would have shown it, and did not',
    'persisting': 'counts at both visits',
    'vanished': 'counts at the earlier visit; the later one would have shown it, and does not',
    'cannot be told': 'counts at one visit; whether the other has it cannot be told',
}


def _column(name, description, units=''):
    return Column(name=name, description=description, units=units)


_COLUMNS = (
    _column('index', 'Number of the row.'),
    Column(name='lesion', description='Kind of lesion.', levels={k.name: k.words for k in KINDS}),
    _column('from_session', 'Earlier visit.'),
    _column('to_session', 'Later visit.'),
    _column('years', 'Time between the visits.', 'year'),
    Column(name='change', description='What became of it.', levels=CHANGES),
    _column('from_index', 'Its number in the list of the earlier visit.'),
    _column('to_index', 'Its number in the list of the later visit.'),
    _column('distance_mm', 'Distance of its centre between the visits.', 'mm'),
    _column('from_volume_mm3', 'Volume at the earlier visit.', 'mm3'),
    _column('to_volume_mm3', 'Volume at the later visit.', 'mm3'),
    _column('from_probability', 'Probability at the earlier visit.', '1'),
    _column('to_probability', 'Probability at the later visit.', '1'),
    _column(
        'from_cnr',
        'Contrast of the place at the earlier visit (at baseline) to its surroundings of 2 to '
        '8 mm, in robust SD of these; negative where it is dark.',
        '1',
    ),
    _column('to_cnr', 'The same at the later visit.', '1'),
    _column(
        'expected_cnr',
        'What that would be at the visit at which the lesion does not count, if it were there: '
        'its contrast, voxels and noise of that scan.',
        '1',
    ),
    _column('reason', 'Why nothing can be told.'),
    *(
        Column(
            name=axis,
            units='mm',
            description=f'Centroid, {axis} in scanner coordinates (RAS+) of the image of the '
            'later visit at which it counts.',
        )
        for axis in 'xyz'
    ),
    *(
        Column(
            name=f'{axis}_mni',
            units='mm',
            aside=True,
            description=f'Centroid, {axis} in the template (MNI152NLin2009aSym, RAS+).',
        )
        for axis in 'xyz'
    ),
    *REGION,
    Column(
        name='tile',
        aside=True,
        description='Number of its slices in the picture; n/a if it is not shown.',
    ),
)


def _measures(kind: Kind) -> tuple[Measure, ...]:
    when = (
        'in all pairs of consecutive visits, as they fade within weeks'
        if kind.fades
        else 'from the first to the last visit with them'
    )

    def measure(name, units, what, **more):
        return Measure(
            name=f'{kind.prefix}_{name}',
            units=units,
            method='places-matched',
            description=f'{what}, {when}.',
            **more,
        )

    return (
        measure(
            'new_n',
            '1',
            f'Number of new {kind.words}: definite ones, whose place the earlier visit shows well '
            'and without any',
        ),
        measure('new_n_per_year', '1/year', f'New {kind.words} divided by the years'),
        measure('vanished_n', '1', f'Number of definite {kind.words} that vanished'),
        measure(
            'persisting_n', '1', f'Number of definite {kind.words} at both visits', table=False
        ),
        measure(
            'untold_n',
            '1',
            f'Number of {kind.words} that are definite at one visit, and of which cannot be told '
            'whether the other has them',
            table=False,
        ),
    )


ROOM = Room(
    name='incident',
    title='New lacunes, microbleeds and infarcts',
    level='participant',
    needs=('measures', 'protocols'),
    wants=(
        'halfway_t1w_poses',
        'halfway_t1w_error',
        'halfway_flair_poses',
        'halfway_flair_error',
        'each_flair_to_anat',
        *dict.fromkeys(
            f'each_{name}'
            for kind in KINDS
            for name in (kind.rows, kind.labels, kind.image, kind.brain, kind.way)
            if name
        ),
    ),
    makes={
        'incident_list': Derivative(
            suffix='lesions',
            desc='incident',
            extension='.tsv',
            frame='participant',
            datatype='anat',
            lists='New, persisting and vanished lesions',
            description='Lacunes, microbleeds and recent infarcts that count at one of two visits '
            'at least, and what became of them: for consecutive visits, and for the first and the '
            'last.',
            columns=_COLUMNS,
        ),
        'incident_tiles': Derivative(
            suffix='tiles',
            desc='incident',
            frame='participant',
            datatype='anat',
            saved=False,
            description='Slices through lesions at both visits, over the intensity of their '
            'surroundings; row of the list, visit and outline along the third and fourth axis.',
        ),
    },
    figures=(
        Figure(
            desc='incident',
            suffix='tiles',
            title='New and vanished lesions',
            caption='Each lesion at the earlier (left) and the later visit (right), in the same '
            'place of the head. Orange: where a list has it; blue: the same place at the visit '
            'at which it does not count. A new lesion must be missing on the left.',
            build='csvdprep.longitudinal.incident.figures:draw_incident',
            takes=('incident_tiles', 'incident_list'),
            disease=True,
        ),
    ),
    measures=tuple(measure for kind in KINDS for measure in _measures(kind)),
    version=2,
    options=Options,
    resolve='csvdprep.longitudinal.incident.decide:resolve',
    build='csvdprep.longitudinal.incident.workflow:init_incident_wf',
    methods='Lacunes, microbleeds and recent infarcts of two visits were assigned to one another '
    'by place, one to one, in the space half-way between the visits: centres up to '
    '{o.tolerance_mm:g} mm apart, or overlapping. A definite lesion without a counterpart is new '
    '(or vanished) if the other visit covers its place, has no candidate there, would show it '
    'with a contrast-to-noise ratio of {o.least_cnr:g} at least, and has less than '
    '{o.most_share:g} of its contrast there; of others it cannot be told.',
)
