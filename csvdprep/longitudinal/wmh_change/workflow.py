"""The graph of the change of hyperintensities."""

from dataclasses import asdict

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.longitudinal.wmh_change.interfaces import WmhChange


def init_wmh_change_wf(*, room, options, context):
    """Judge where hyperintensities grew or shrank.

    Inputs
    ------
    measures
        Visits in the order of time.
    halfway_flair, halfway_flair_poses, halfway_flair_error
        FLAIR of all visits in one space.
    each_wmh_mask, each_wmh_probseg, each_flair_mask, each_flair_to_anat, each_wm_probseg,
    each_gm_probseg, each_csf_probseg, each_zones_dseg, each_lobes_dseg
        Products of the visits.

    Outputs
    -------
    wmh_change_dseg, wmh_change_z, wmh_change_list, wmh_change_values
        Maps from the first to the last visit, table of all pairs, measures.

    """
    return init_single_wf(WmhChange(options=asdict(options)), room=room, mem_gb=3.0)
