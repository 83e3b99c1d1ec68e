"""What is left of a visit after persons reviewed it; one room for each list of candidates."""

from __future__ import annotations

import re
from dataclasses import dataclass

from csvdprep.core.lesionlist import IDENTITY
from csvdprep.core.options import option
from csvdprep.core.ratings import COUNTED, DECIDED, DECISIONS, KINDS, LISTS, REVIEWED, Family
from csvdprep.core.room import Column, Derivative, Measure, Room


@dataclass(frozen=True)
class Options:
    """How lesions are drawn that a person added."""

    added_mm: float = option(
        4.0,
        'Diameter of the ball that stands in the mask for a lesion that a person added by its '
        'position.',
        unit='mm',
        least=1,
        most=20,
    )


@dataclass(frozen=True, kw_only=True)
class ListRoom(Room):
    """A room of one list of candidates, whose family it knows."""

    family: Family


STATUS = {'lesion': 'counts', 'no lesion': 'does not count'}
SOURCES = {
    'machine': 'nobody looked at it, or raters disagree: as the detector has it',
    'rater': 'a person looked at it',
    'added': 'a person added it to the list',
}
#: Image of candidates of each list, and the grid of both.
_IMAGES = {
    'cmb_lesions': ('cmb_candidates', 'gre', 'CMB'),
    'lacune_lesions': ('cavity_candidates', 'anat', 'lacune'),
    'infarct_lesions': ('infarct_candidates', 'trace', 'infarct'),
}


#: Column of the reviewed list that tells the part of the count, by that of the list.
PARTS = {
    'region': Column(name='region', description='Where it lies.'),
    'kind': Column(name='part', description='Which kind of lesion of the list it is.'),
}


def rooms_for(specs: tuple[str, ...] = (), rooms: tuple[Room, ...] = ()) -> tuple[Room, ...]:
    """Declare the rooms: the decision on the visit, and each list of candidates.

    Examples
    --------
    >>> [room.name for room in rooms_for()]
    ['review', 'review_cmb', 'review_lacune', 'review_infarct']
    """
    return (_DECISION, *map(_room, REVIEWED))


def _room(family: Family) -> ListRoom:
    image, frame, label = _IMAGES[family.list]
    stem, what = label.lower(), LISTS[family.list]
    kinds = {kind.name: kind.title for kind in KINDS[family.list] if not kind.counts}
    return ListRoom(
        name=f'review_{stem}',
        title=f'Reviewed {what}',
        marker=True,
        family=family,
        needs=('ratings', family.list, image),
        makes={
            f'{stem}_reviewed_mask': Derivative(
                suffix='mask',
                label=label,
                desc='reviewed',
                frame=frame,
                metadata={'Type': 'Lesion'},
                description=f'The {what} that count after persons looked at the candidates '
                '(--manual-ratings). A ball stands for what a person added.',
            ),
            f'{stem}_reviewed_lesions': Derivative(
                suffix='lesions',
                label=label,
                desc='reviewed',
                extension='.tsv',
                frame=frame,
                description=f'Candidates of the list of {what} after persons looked at them.',
                lists=f'{what[:1].upper()}{what[1:]} after review',
                columns=(
                    Column(
                        name='index',
                        description='Number of the candidate in the list; of those that a person '
                        'added, the next numbers.',
                    ),
                    *IDENTITY[2:5],
                    Column(name='status', description='Whether it counts.', levels=STATUS),
                    Column(name='source', description='Who says so.', levels=SOURCES),
                    Column(name='rater', description='Who looked at it.'),
                    PARTS[family.column],
                    Column(
                        name='kind',
                        description='What it is, where a person says that it is no lesion of the '
                        'list.',
                        levels=kinds,
                    ),
                    Column(
                        name='probability',
                        units='1',
                        description='Probability that the detector gave it.',
                    ),
                ),
            ),
        },
        measures=tuple(
            Measure(
                name=reviewed_name(name),
                units='1',
                method='rated',
                table=False,
                description=f'Number of {COUNTED[name]} after persons looked at the '
                'candidates of the list. Candidates at which nobody looked are as the detector '
                f'has them; {name} stays what the detector says.',
            )
            for name in (family.total, *family.parts)
        ),
        options=Options,
        build='csvdprep.markers.review.workflow:init_review_list_wf',
        methods=(
            f'Candidates of the list of {what} were looked at by persons. What they accepted, '
            'rejected and added is counted apart from what was measured; a ball of '
            '{o.added_mm:g} mm stands in the reviewed mask for a lesion that was added.'
        ),
    )


def reviewed_name(name: str) -> str:
    """Name the measure of a marker after review.

    Examples
    --------
    >>> reviewed_name('cmb_n'), reviewed_name('cmb_lobar_n')
    ('cmb_reviewed_n', 'cmb_reviewed_lobar_n')
    >>> reviewed_name('recent_infarct_n')
    'recent_infarct_reviewed_n'
    """
    return re.sub(r'^(recent_infarct|[a-z]+)_', r'\1_reviewed_', name)


_DECISION = Room(
    name='review',
    title='Review of the visit',
    marker=True,
    needs=('ratings',),
    makes={},
    measures=(
        Measure(
            name=DECIDED,
            units='',
            method='rated',
            description='Whether persons say that the visit may be used. Where they disagree, '
            'the most cautious holds, unless the rater consensus settles it.',
            levels=DECISIONS,
        ),
    ),
    build='csvdprep.markers.review.workflow:init_review_wf',
    methods='Persons looked at the images and results, and decided on the use of the visit.',
)
