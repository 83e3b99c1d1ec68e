"""The graph of differences between visits."""

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.longitudinal.change.interfaces import Change


def init_change_wf(*, room, options, context):
    """Subtract the measures of visits.

    Inputs
    ------
    measures
        Tables of the visits in the order of time.

    Outputs
    -------
    change_list, change_values
        Differences, and measures of the participant.

    """
    return init_single_wf(Change(), room=room, mem_gb=0.3)
