"""The graph of the tensor."""

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.preprocessing.tensors.interfaces import FitTensors


def init_tensors_wf(*, room, options, context):
    """Fit tensor and free water to the corrected series.

    Inputs
    ------
    dwi_preproc, dwi_bval, dwi_bvec, dwi_mask
        Series, gradients and brain.

    Outputs
    -------
    dwi_tensor, dwi_fa, dwi_md, dwi_ad, dwi_rd, dwi_mode, dwi_direction, dwi_fw, tensors_values
        Maps on the grid of the series, and measures.

    """
    interface = FitTensors(
        fit=options.fit, shells=options.shells, b_wanted=options.b_wanted, b_max=options.b_max
    )
    return init_single_wf(interface, room=room, mem_gb=1.5)
