"""The graph of harmonisation."""

from dataclasses import asdict

from csvdprep.dataset.harmonisation.interfaces import Harmonise
from csvdprep.interfaces.wiring import init_single_wf


def init_harmonisation_wf(*, room, options, context):
    """Take effects of sites away.

    Inputs
    ------
    group_measures, group_covariates, group_dictionary
        Tables of the group.

    Outputs
    -------
    harmonised_table, harmonisation_list, harmonisation_model, harmonisation_values
        Measures, effects of sites, model, and measures of the dataset.

    """
    return init_single_wf(Harmonise(options=asdict(options)), room=room, mem_gb=0.4)
