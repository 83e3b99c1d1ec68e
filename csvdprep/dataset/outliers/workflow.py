"""The graph of values that lie far from the others."""

from csvdprep.dataset.outliers.interfaces import Outliers
from csvdprep.interfaces.wiring import init_single_wf


def init_outliers_wf(*, room, options, context):
    """List the values that lie far from the others.

    Inputs
    ------
    group_measures, group_covariates, group_dictionary
        Tables of the group.

    Outputs
    -------
    outliers_list, outliers_values
        List, and their number.

    """
    work = Outliers(by=options.by, far=options.far, fewest=options.fewest)
    return init_single_wf(work, room=room, mem_gb=0.3)
