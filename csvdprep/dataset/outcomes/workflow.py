"""The graph of outcome models."""

from dataclasses import asdict

from csvdprep.dataset.outcomes.interfaces import Outcomes
from csvdprep.interfaces.wiring import init_single_wf


def init_outcomes_wf(*, room, options, context):
    """Fit outcome models, and test them on sites that they did not have.

    Inputs
    ------
    group_measures, group_covariates, group_dictionary
        Tables of the group.

    Outputs
    -------
    outcome_list, outcome_predictions, outcome_model, outcomes_values
        Performance, predictions, the model with its card, and measures of the dataset.

    """
    return init_single_wf(Outcomes(options=asdict(options)), room=room, mem_gb=0.4)
