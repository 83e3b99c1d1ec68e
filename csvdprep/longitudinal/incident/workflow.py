"""The graph of incident lesions."""

from dataclasses import asdict

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.longitudinal.incident.interfaces import Incident


def init_incident_wf(*, room, options, context):
    """Match the lesions of the visits by place.

    Inputs
    ------
    measures, protocols
        Visits in the order of time, and how they were scanned.
    halfway_t1w_poses, halfway_t1w_error, halfway_flair_poses, halfway_flair_error
        Where the visits lie, and how well that is known.
    each_<product>
        Lists, candidates, images, brains and transforms of the visits.

    Outputs
    -------
    incident_list, incident_tiles, incident_values
        Table, slices for the picture, measures.

    """
    return init_single_wf(Incident(options=asdict(options)), room=room, mem_gb=3.0)
