"""The graph of what is told of the motion in a diffusion series."""

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.preprocessing.dwi_confounds.interfaces import TellMotion


def init_dwi_confounds_wf(*, room, options, context):
    """Tell how the head moved, and which slices lost signal.

    Inputs
    ------
    dwi_volumes, dwi_motions
        What the volumes are, and how each moved.
    dwi_mask
        Brain: motion is told of its middle.

    Outputs
    -------
    dwi_confounds
        Table with a row for each volume.
    dwi_confounds_values
        Measures.

    """
    return init_single_wf(TellMotion(), room=room, mem_gb=0.5)
