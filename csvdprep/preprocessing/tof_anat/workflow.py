"""The graph of the angiogram on the reference."""

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.preprocessing.tof_anat.interfaces import AngiogramToReference


def init_tof_anat_wf(*, room, options, context):
    """Register the angiogram to the anatomical reference.

    Inputs
    ------
    tof_preproc, tof_mask
        Corrected angiogram, and the head.
    anat_preproc, brain_mask
        Anatomical reference, and its brain.

    Outputs
    -------
    tof_to_anat
        Rigid transform.
    tof_anat_values
        Measures.

    """
    return init_single_wf(AngiogramToReference(), room=room, mem_gb=1.5)
