"""The graph of the audit."""

from csvdprep.dataset.site_audit.interfaces import Audit
from csvdprep.interfaces.wiring import init_single_wf


def init_site_audit_wf(*, room, options, context):
    """Count failures by group, and compare sites by the persons whom they share.

    Inputs
    ------
    group_measures, group_qc, group_covariates, group_dictionary, harmonised_table
        Tables of the group; the last where sites were harmonised.

    Outputs
    -------
    audit_list, travelling_list, site_audit_values
        Failures by group, shared persons, and measures of the dataset.

    """
    work = Audit(least_n=options.least_n, apart_years=options.apart_years)
    return init_single_wf(work, room=room, mem_gb=0.4)
