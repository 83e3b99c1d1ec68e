"""The graph of the burden."""

from dataclasses import asdict

from csvdprep.dataset.burden.interfaces import Burden
from csvdprep.interfaces.wiring import init_single_wf


def init_burden_wf(*, room, options, context):
    """Add up what deviates from controls.

    Inputs
    ------
    group_measures, group_qc, group_covariates, group_intervals, harmonised_table
        Tables of the group; the last where sites were harmonised.

    Outputs
    -------
    burden_list, burden_model, burden_unseen, burden_values
        Index and its parts, model card, calibration at sites that are left out, and measures of
        the dataset.

    """
    return init_single_wf(Burden(options=asdict(options)), room=room, mem_gb=0.4)
