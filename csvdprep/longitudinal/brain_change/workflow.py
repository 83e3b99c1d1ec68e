"""The graph of the change of brain volume."""

from dataclasses import asdict

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.longitudinal.brain_change.interfaces import BrainChange


def init_brain_change_wf(*, room, options, context):
    """Measure how the volume of the brain changed.

    Inputs
    ------
    measures
        Visits in the order of time.
    halfway_t1w, halfway_t1w_poses, halfway_t1w_error
        T1w of all visits in one space.
    each_brain_mask, each_wm_probseg, each_gm_probseg, each_csf_probseg, each_ventricles
        Products of the visits.

    Outputs
    -------
    brain_change_shift, brain_change_jacobian, brain_change_list, brain_change_values
        Maps from the first to the last visit, table of all pairs, measures.

    """
    return init_single_wf(BrainChange(options=asdict(options)), room=room, mem_gb=4.0)
