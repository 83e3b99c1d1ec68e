"""The graph of diffusion before and after hyperintensity."""

from dataclasses import asdict

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.longitudinal.diffusion_change.interfaces import DiffusionChange


def init_diffusion_change_wf(*, room, options, context):
    """Average diffusion in tissue by what became of it.

    Inputs
    ------
    measures, protocols
        Visits in the order of time, and how they were scanned.
    halfway_flair_poses, wmh_change_dseg
        Where the visits lie, and what became of hyperintensities.
    each_<product>
        Tissue, structures, diffusion maps and transforms of the visits.

    Outputs
    -------
    diffusion_change_dseg, diffusion_change_list, diffusion_change_values
        Classes, means of the visits, measures.

    """
    return init_single_wf(DiffusionChange(options=asdict(options)), room=room, mem_gb=2.0)
