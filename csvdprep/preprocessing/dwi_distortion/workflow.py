"""The graph of the distortion by the field."""

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.preprocessing.dwi_distortion.interfaces import EstimateDistortion


def init_dwi_distortion_wf(*, room, options, context):
    """Estimate how the field distorts a diffusion series; it is taken off with the motion.

    Inputs
    ------
    dwi
        What tells of the field.
    dwi_denoised, dwi_volumes, dwi_mask_raw
        All volumes, what they are, and the brain as acquired.
    anat_preproc, brain_mask
        Anatomical reference and its brain, where there is no image of the field.

    Outputs
    -------
    dwi_shift
        Voxels along the axis of encoding.
    dwi_distortion_values
        Measures.

    """
    interface = EstimateDistortion(fieldmapless=options.fieldmapless)
    return init_single_wf(interface, room=room, mem_gb=1.0)
