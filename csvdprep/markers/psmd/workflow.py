"""The graph of PSMD."""

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.markers.psmd.interfaces import Psmd


def init_psmd_wf(*, room, options, context):
    """Measure the peak width of skeletonised mean diffusivity.

    Inputs
    ------
    dwi_fa, dwi_md, dwi_mask, dwi_bval, dwi_bvec, dwi_denoise_values, tensors_values
        Maps, brain, gradients and quality of the series, and what the tensor stands on.
    dwi_to_fa, dwi_to_anat, flair_to_anat
        Transforms.
    wmh_mask
        Hyperintensities.

    Outputs
    -------
    psmd_values
        Measures.

    """
    return init_single_wf(Psmd(), room=room, mem_gb=1.5)
