"""Outcome models: what a visit tells of an outcome, in blocks, tested on other sites."""

from dataclasses import dataclass

from csvdprep.core.options import option
from csvdprep.core.room import Column, Derivative, Figure, Measure, Room


@dataclass(frozen=True)
class Options:
    """Knobs of outcome models."""

    column: str = option(
        '', 'Column of participants.tsv (or sessions.tsv) with the outcome; without, no model.'
    )
    kind: str = option(
        'auto',
        'Two kinds (logistic), grades (ordinal), or times to an event (cox); auto takes the '
        'number of different values, and cox where a time is given.',
        choices=('auto', 'logistic', 'ordinal', 'cox'),
    )
    time: str = option('', 'Column with the time to the event, or to the end of observation.')
    event: str = option(
        '',
        'Value of the outcome that is the event; by default the larger, or later in the alphabet.',
    )
    least_events: int = option(
        20, 'Fewest participants with, and without, the event; with fewer, no model.', least=10
    )
    cover: float = option(
        0.9, 'Share of conformal sets that are to hold the outcome.', least=0.5, most=0.99
    )


ROOM = Room(
    name='outcomes',
    title='Outcome models',
    level='dataset',
    needs=('group_measures', 'group_covariates', 'group_dictionary'),
    options=Options,
    resolve='csvdprep.dataset.outcomes.decide:resolve',
    makes={
        'outcome_list': Derivative(
            suffix='outcomes',
            extension='.tsv',
            lists='How good predictions are',
            rows='groups',
            description='Predictions of each site by a model of the other sites (of fifths of the '
            'participants, where there are fewer than three sites), compared with what took '
            'place: of all, and by site, sex, decade of age, and blocks of measures. n/a where '
            'there are fewer than ten events, or others.',
            columns=(
                Column(name='by', description='What groups differ in.'),
                Column(name='group', description='The group.'),
                Column(name='n', description='Participants with a prediction.'),
                Column(
                    name='events',
                    description='Events; of grades, those above the lowest. n/a where fewer '
                    'than ten of the group have it, or have it not.',
                ),
                Column(
                    name='c',
                    description='How often the one with the worse outcome has the higher '
                    'prediction: area under the curve, or C.',
                ),
                Column(name='c_low', description='Lower bound of its 95 % interval.'),
                Column(name='c_high', description='Upper bound of its 95 % interval.'),
                Column(name='slope', description='Slope of calibration; 1 is right.'),
                Column(
                    name='brier',
                    description='Mean squared error of the probability (of grades: ranked '
                    'probability score).',
                ),
                Column(
                    name='brier_without',
                    description='The same of a prediction by the frequency in all.',
                ),
                Column(name='covered_pct', description='Conformal sets that hold the outcome, %.'),
                Column(name='set_size', description='Mean number of outcomes in a set.'),
            ),
        ),
        'outcome_predictions': Derivative(
            suffix='predictions',
            extension='.tsv',
            description='Prediction of the first visit of each participant by a model that did '
            'not have its site. part_ columns are what each block contributes to the linear '
            'predictor, which is their sum. For research; no diagnosis.',
            columns=(
                Column(name='participant_id', description='Label of the participant.'),
                Column(
                    name='session_id', description='Label of the session, n/a where there is none.'
                ),
                Column(
                    name='left_out', description='Site, or fifth, that the model did not have.'
                ),
                Column(name='linear', description='Linear predictor: higher is worse.'),
                Column(
                    name='probability',
                    description='Probability of the event; of grades, of one above the lowest.',
                ),
                Column(name='set', description='Outcomes that cannot be ruled out.'),
                Column(name='blocks', description='Blocks that the visit has.'),
                *(
                    Column(name=f'part_{block}', description=f'What {block} contributes.')
                    for block in (
                        *('demographics', 'structure', 'microbleeds', 'diffusion'),
                        *('perfusion', 'permeability'),
                    )
                ),
            ),
        ),
        'outcome_model': Derivative(
            suffix='model',
            desc='outcomes',
            extension='.json',
            description='The model of all sites, as plain numbers, with its model card.',
        ),
    },
    figures=(
        Figure(
            desc='outcomes',
            suffix='performance',
            title='Calibration, decision, sites',
            caption='Predictions of sites that the model did not have. Left: observed against '
            'predicted share, by parts of up to a tenth. Middle: net benefit of acting by the '
            'model (blue), in all (grey), in none (0). Right: discrimination by site, with 95 % '
            'interval.',
            build='csvdprep.dataset.outcomes.figures:draw_performance',
            takes=('outcome_model', 'outcome_list'),
        ),
    ),
    measures=(
        Measure(
            name='outcome_c',
            units='1',
            method='late-fusion',
            description='Discrimination (area under the curve, or C) of the outcome model at '
            'sites that it did not have.',
            reference='hanley1982',
        ),
        Measure(
            name='outcome_c_worst',
            units='1',
            method='late-fusion',
            description='The same at the site where it is worst.',
            reference='hanley1982',
        ),
        Measure(
            name='outcome_slope',
            units='1',
            method='late-fusion',
            description='Slope of calibration at sites that the model did not have; 1 is right.',
        ),
        Measure(
            name='outcome_covered_pct',
            units='%',
            method='split-conformal',
            description='Conformal sets that hold the outcome, at sites that the model did not '
            'have.',
            reference='lei2018',
        ),
    ),
    version=2,
    build='csvdprep.dataset.outcomes.workflow:init_outcomes_wf',
    methods='The outcome ({o.column}, {o.kind}) was modelled by elastic nets [@friedman2010] for '
    'blocks of measures with age and sex, joined by late fusion; penalties were chosen, and '
    'predictions tested, by leaving sites out; net benefit [@vickers2006] and split conformal '
    'sets [@lei2018] are of sites that the model did not have.',
    references=('friedman2010', 'hanley1982', 'lei2018', 'vickers2006'),
)
