"""The graph of the angiogram."""

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.preprocessing.tof.interfaces import Angiogram

#: Peak memory measured at 0.5 x 0.5 x 0.7 mm, GB.
MEM_GB = 1.5


def init_tof_wf(*, room, options, context):
    """Correct the angiogram.

    Inputs
    ------
    tof
        Image as acquired, and what its sidecar tells.

    Outputs
    -------
    tof_preproc, tof_mask
        Corrected angiogram, and the head.
    tof_values
        Measures.

    """
    return init_single_wf(Angiogram(spline_mm=options.spline_mm), room=room, mem_gb=MEM_GB)
