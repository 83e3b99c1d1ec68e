"""The graph of the registration of visits."""

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.longitudinal.halfway.interfaces import RegisterFlair, RegisterT1w

#: Peak memory, GB: of what there is once, of each visit (all images are held), and at least.
#: Scaled from 4.05 million voxels (0.43 and 0.056 GB) to 25 million (0.8 mm, 240 x 320 x 320).
BASE_GB, VISIT_GB, LEAST_GB = 1.2, 0.35, 3.0


def init_halfway_wf(*, room, options, context):
    """Register the images of all visits to the space half-way between them.

    Inputs
    ------
    measures, protocols
        Visits in the order of time, and how they were scanned.
    each_flair_preproc, each_flair_mask, or each_anat_preproc, each_brain_mask
        Images and brains by visit.

    Outputs
    -------
    halfway_<contrast>, halfway_<contrast>_poses, halfway_<contrast>_error,
    halfway_<contrast>_values
        Images on one grid, poses, error of the registration, measures.

    """
    interface = RegisterFlair() if room.contrast == 'FLAIR' else RegisterT1w()
    # Before the visits are looked at, nothing is known of their number.
    mem_gb = max(LEAST_GB, BASE_GB + VISIT_GB * getattr(options, 'visits', 2))
    return init_single_wf(interface, room=room, mem_gb=mem_gb)
