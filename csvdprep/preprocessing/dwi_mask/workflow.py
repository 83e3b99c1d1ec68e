"""The graph of the brain and the bias field of a diffusion series."""

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.preprocessing.dwi_mask.interfaces import MaskAndUnbias


def init_dwi_mask_wf(*, room, options, context):
    """Find the brain of a diffusion series, and take the bias field off.

    Inputs
    ------
    dwi_realigned, dwi_volumes
        Series, the head at rest, and what its volumes are.
    dwi_coverage
        Where all volumes hold signal.

    Outputs
    -------
    dwi_preproc, dwi_b0, dwi_mask
        Corrected series, its mean without gradient, its brain.

    """
    return init_single_wf(MaskAndUnbias(), room=room, mem_gb=1.8)
