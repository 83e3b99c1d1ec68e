"""The graph of the way from the ASL series to the anatomy."""

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.preprocessing.asl_anatomy.interfaces import Align


def init_asl_anatomy_wf(*, room, options, context):
    """Register the ASL series to the anatomical reference.

    Inputs
    ------
    asl_ref, asl_m0, asl_mask
        Mean control, M0, and the brain.
    anat_preproc, brain_mask
        Anatomical reference, and its brain.

    Outputs
    -------
    asl_to_anat, asl_anatomy_values
        Transform and measures.

    """
    return init_single_wf(Align(), room=room, mem_gb=1.5)
