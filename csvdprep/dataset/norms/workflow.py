"""The graph of norms."""

from csvdprep.dataset.norms.interfaces import Norms
from csvdprep.interfaces.wiring import init_single_wf


def init_norms_wf(*, room, options, context):
    """Fit norms to controls, and apply them.

    Inputs
    ------
    group_measures, group_covariates, group_dictionary, harmonised_table
        Tables of the group; the last where sites were harmonised.

    Outputs
    -------
    norm_curves, norm_model, percentiles, norm_scores, norm_unseen, norms_values
        Curves, model, percentiles and deviates of all visits, calibration at sites that are left
        out, and measures of the dataset.

    """
    work = Norms(controls=options.controls, least_n=options.least_n, harmonised=options.harmonised)
    return init_single_wf(work, room=room, mem_gb=0.4)
