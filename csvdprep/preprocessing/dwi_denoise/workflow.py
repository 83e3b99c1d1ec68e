"""The graph of noise and ringing."""

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.preprocessing.dwi_denoise.interfaces import Denoise


def init_dwi_denoise_wf(*, room, options, context):
    """Put the runs of a diffusion series together, and take noise and ringing off them.

    Inputs
    ------
    dwi
        Runs of the series.

    Outputs
    -------
    dwi_denoised, dwi_volumes, dwi_mask_raw, dwi_b0_raw
        All volumes, what they are, brain and first volume without gradient as acquired.
    dwi_denoise_values
        Measures.

    """
    interface = Denoise(method=options.method, unring=options.unring)
    return init_single_wf(interface, room=room, mem_gb=1.5)
