"""Scores of small vessel disease that clinicians quote, with the ratings of persons."""

from dataclasses import dataclass

from csvdprep.core.options import option
from csvdprep.core.ratings import MARKERS
from csvdprep.core.room import Column, Derivative, Measure, Room
from csvdprep.markers.scores.sources import SOURCES, WMH_LIST

#: Values of ``bgpvs_threshold``.
THRESHOLDS = (10, 20)


@dataclass(frozen=True)
class Options:
    """Variants of the rules, and draws."""

    bgpvs_threshold: int = option(
        10,
        'Perivascular spaces of the basal ganglia (worst slice and side) above which the item of '
        'the total score counts: 10 (Staals 2014) or 20 (as reviews print it; Lau 2017).',
        least=10,
        most=20,
    )
    experimental: bool = option(
        False,
        'Also give scores whose item table is not checked against the paper (Amin Al Olama 2020).',
    )
    draws: int = option(
        4000,
        'Draws of which candidates are lesions, and how many are missed, for the probability of '
        'each total.',
        least=100,
        most=100000,
    )

    def __post_init__(self):
        if self.bgpvs_threshold not in THRESHOLDS:
            raise ValueError('scores.bgpvs_threshold must be 10 or 20')


@dataclass(frozen=True)
class _Scale:
    name: str
    most: int
    about: str
    reference: str | None = None
    table: bool = True
    title: str = ''
    primary: bool = False


#: Scores that are sums of points.
SCALES = (
    _Scale(
        'svd_staals',
        4,
        'Total score of small vessel disease, one point each for lacunes, microbleeds, more than '
        '10 (by option 20) perivascular spaces in the basal ganglia, and hyperintensities of '
        'Fazekas grade deep 2 or periventricular 3',
        'staals2014',
        title='Total SVD score',
        primary=True,
    ),
    _Scale(
        'svd_lau',
        6,
        'Modified total score: lacunes 1; 1 microbleed 1, 5 or more 2; more than 20 perivascular '
        'spaces in the basal ganglia 1; sum of the Fazekas grades 3 or 4 1, 5 or 6 2',
        'lau2017',
        title='Modified total SVD score',
    ),
    _Scale(
        'caa_score',
        6,
        'Total score of cerebral amyloid angiopathy: 2 to 4 lobar microbleeds 1, 5 or more 2; '
        'cortical superficial siderosis focal 1, disseminated 2; more than 20 perivascular spaces '
        'in the centrum semiovale 1; Fazekas grade deep 2 or periventricular 3 1',
        'charidimou2016',
        title='Total CAA score',
        primary=True,
    ),
    _Scale(
        'ha_score',
        4,
        'Score of hypertensive arteriopathy, one point each for deep lacunes, deep microbleeds, '
        'more than 10 perivascular spaces in the basal ganglia, and deep Fazekas grade 2',
    ),
    _Scale(
        'caa4_score',
        4,
        'Score of amyloid angiopathy of four items, one point each for lobar lacunes, lobar '
        'microbleeds, more than 10 perivascular spaces in the centrum semiovale, and Fazekas '
        'grade deep 2 or periventricular 3',
        table=False,
    ),
    _Scale(
        'svd_amin_simple',
        3,
        'Experimental: simple score, one point each for lacunes, microbleeds, and a Fazekas grade '
        'of 2',
        'aminalolama2020',
        table=False,
    ),
    _Scale(
        'svd_amin_amended',
        7,
        'Experimental: amended score; lacunes 1, from 3 on 2, above 5 3; microbleeds 1; the '
        'higher Fazekas grade',
        'aminalolama2020',
        table=False,
    ),
)
#: Said of everything of the Boston criteria.
NO_DIAGNOSIS = 'imaging pattern only, not a diagnosis; age of 50 or more is not checked'
_PATTERNS = {
    'none': 'neither',
    'possible': 'no deep haemorrhage, and one lobar lesion or a white-matter feature',
    'probable': 'no deep haemorrhage, and two lobar lesions, or one with a white-matter feature',
}


def _measures(scale: _Scale) -> tuple[Measure, ...]:
    def one(end, text, table=False, **more):
        return Measure(
            **more,
            name=f'{scale.name}{end}',
            units='1',
            method='rules',
            reference=scale.reference,
            table=table,
            description=text,
        )

    return (
        one(
            '',
            f'{scale.about}; 0 to {scale.most}.',
            scale.table,
            title=scale.title,
            primary=scale.primary,
        ),
        one('_min', f'The least that {scale.name} can be; its value where no input is missing.'),
        one('_max', f'The most that {scale.name} can be; its value where no input is missing.'),
        one('_items_n', f'Number of items of {scale.name} whose points are certain.'),
        one(
            '_prob',
            f'Probability of {scale.name} as given, by the probability of each candidate lesion '
            'and by the share of lesions that detectors do not list; grades are taken as they '
            'are.',
        ),
    )


def _boston(name, text, units='', table=False, levels=None):
    return Measure(
        name=f'boston2_{name}',
        units=units,
        method='rules',
        reference='charidimou2022',
        table=table,
        levels=levels,
        description=f'{text} Imaging pattern only, not a diagnosis.',
    )


def _rated(name: str) -> Measure:
    marker = MARKERS[name]
    kind = 'Number of' if name.endswith('_n') else 'Extent of'
    return Measure(
        name=name,
        units='' if marker.levels else '1',
        method='rated',
        table=False,
        levels={word: word for word in marker.levels} or None,
        description=f'{kind} {marker.title}, as rated by a person; nothing here finds them.',
    )


_N_A = 'n/a where it is not certain'

ROOM = Room(
    name='scores',
    title='Burden scores',
    marker=True,
    order=90,
    needs=(),
    either=(('ratings',), *((source.values,) for source in reversed(SOURCES))),
    wants=(
        'ratings',
        WMH_LIST,
        *(source.values for source in SOURCES),
        *(source.list for source in SOURCES if source.list),
    ),
    reads=tuple(
        f'{source.room}.{name}'
        for source in SOURCES
        for name in (*source.markers, *filter(None, (source.thick[0], source.origin)))
    ),
    version=4,
    makes={
        'svd_points': Derivative(
            suffix='scores',
            label='SVD',
            desc='points',
            extension='.tsv',
            description='Points of each item of each score, where they come from, and the lesions '
            'behind them.',
            lists='Points of the scores',
            rows='items',
            columns=(
                Column(name='score', description='Measure of the score.'),
                Column(name='item', description='Item.'),
                Column(name='points', description=f'Points; {_N_A}. Of boston2, what it counts.'),
                Column(name='points_min', description='Fewest points that it can have.'),
                Column(name='points_max', description='Most points that it can have.'),
                Column(name='max', description='Most points of the item.'),
                Column(name='value', description='What is known of each marker of the item.'),
                Column(
                    name='source',
                    description='Where it comes from: machine, rater:NAME, several of these, or '
                    'missing.',
                ),
                Column(name='reason', description='Why it is not certain, or what to mind.'),
                Column(
                    name='lesions', description='Lesions behind it, by the numbers of their lists.'
                ),
            ),
        ),
        'svd_totals': Derivative(
            suffix='scores',
            label='SVD',
            desc='probability',
            extension='.tsv',
            description='Probability of each total of each score: each candidate lesion is one '
            'with its own probability, independent of the others, and there are lesions that the '
            'lists do not have, by the share that detectors list of phantoms; grades stay as they '
            'are.',
            columns=(
                Column(name='score', description='Measure of the score.'),
                Column(
                    name='bound',
                    description='Of what.',
                    levels={
                        'total': 'the score',
                        'min': 'the least that it can be, where an input is missing',
                        'max': 'the most that it can be, where an input is missing',
                    },
                ),
                Column(
                    name='varied',
                    description='Lesions that were drawn.',
                    levels={
                        'all': 'those of all lists',
                        'microbleeds': 'microbleeds alone',
                        'lacunes': 'lacunes alone',
                    },
                ),
                Column(name='total', description='Total.'),
                Column(name='probability', description='Share of the draws.', units='1'),
            ),
        ),
        'svd_ratings': Derivative(
            suffix='scores',
            desc='ratings',
            # Its name is to be known without the plan of the visit.
            source='ratings',
            extension='.tsv',
            description='What persons rated (--manual-ratings), beside what was measured.',
            columns=(
                Column(name='marker', description='Marker, or list of candidates.'),
                Column(name='rater', description='Who rated.'),
                Column(name='value', description='Rating.'),
                Column(name='candidate', description='Candidate of the list.'),
                Column(name='measured', description='What was measured, without any rating.'),
            ),
        ),
    },
    measures=(
        *(measure for scale in SCALES for measure in _measures(scale)),
        _boston(
            'lobar_n',
            'Strictly lobar haemorrhagic lesions: microbleeds, haemorrhages, and foci of cortical '
            'superficial siderosis (focal counts one, disseminated two); 0 where there is a deep '
            'one.',
            units='1',
        ),
        _boston(
            'wm_feature',
            'Whether there are more than 20 perivascular spaces in one centrum semiovale, or more '
            'than 10 small hyperintensities in the subcortical white matter of both sides.',
            levels={'yes': 'there are', 'no': 'there are not'},
        ),
        _boston('pattern', 'Pattern of the Boston criteria 2.0.', table=True, levels=_PATTERNS),
        _boston('pattern_min', 'The least that the pattern can be.', levels=_PATTERNS),
        _boston('pattern_max', 'The most that the pattern can be.', levels=_PATTERNS),
        _rated('css'),
        _rated('ich_lobar_n'),
        _rated('ich_deep_n'),
        _rated('microinfarct_n'),
    ),
    build='csvdprep.markers.scores.workflow:init_scores_wf',
    options=Options,
    context=('random_seed',),
    methods=(
        'The total score of small vessel disease [@staals2014] (perivascular spaces of the basal '
        'ganglia: more than {o.bgpvs_threshold}), its modification [@lau2017], the score of '
        'cerebral amyloid angiopathy [@charidimou2016], that of hypertensive arteriopathy and the '
        'imaging pattern of the Boston criteria 2.0 [@charidimou2022] were computed from the '
        'markers; ratings by persons, where there were any, went before them. A score of which an '
        'input is missing is a range. The probability of each total was estimated by '
        '{o.draws} draws of which candidate lesions are real, and how many the detectors did not '
        'list. The score of [@aminalolama2020] is '
        'experimental.'
    ),
    references=('staals2014', 'lau2017', 'charidimou2016', 'charidimou2022', 'aminalolama2020'),
)
