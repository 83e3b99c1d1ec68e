"""The graph of the way to the anatomy."""

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.preprocessing.dwi_anatomy.interfaces import Align


def init_dwi_anatomy_wf(*, room, options, context):
    """Register the diffusion series to the anatomical reference.

    Inputs
    ------
    dwi_b0, dwi_mask
        Mean without gradient, and its brain.
    anat_preproc, brain_mask
        Anatomical reference, and its brain.

    Outputs
    -------
    dwi_to_anat, dwi_anatomy_values
        Transform and measures.

    """
    return init_single_wf(Align(), room=room, mem_gb=1.5)
