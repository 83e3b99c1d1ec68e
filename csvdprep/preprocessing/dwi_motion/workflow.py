"""The graph of motion and eddy currents."""

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.preprocessing.dwi_motion.interfaces import CorrectMotion


def init_dwi_motion_wf(*, room, options, context):
    """Take motion, eddy currents and distortion off a diffusion series.

    Inputs
    ------
    dwi_denoised, dwi_volumes, dwi_mask_raw
        All volumes, what they are, and the brain as acquired.
    dwi_shift
        Distortion.

    Outputs
    -------
    dwi_realigned, dwi_bval, dwi_bvec
        Series with its gradients, the head at rest.
    dwi_motions, dwi_coverage
        How each volume moved, and where all of them hold signal.

    """
    return init_single_wf(CorrectMotion(), room=room, mem_gb=2.0)
