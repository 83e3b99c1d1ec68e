"""The graph of DTI-ALPS."""

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.markers.alps.interfaces import MeasureAlps


def init_alps_wf(*, room, options, context):
    """Measure the diffusivity ratio DTI-ALPS.

    Inputs
    ------
    dwi_tensor, dwi_fa, dwi_direction, dwi_mask
        On the grid of the series.
    fa_to_dwi, dwi_to_anat, flair_to_anat
        Transforms.
    wmh_mask
        Hyperintensities.
    dwi_denoise_values
        Whether the scanner interpolated.

    Outputs
    -------
    alps_regions, alps_kept, alps_values
        Regions, what of them was measured, measures.

    """
    interface = MeasureAlps(reorientation=options.reorientation)
    return init_single_wf(interface, room=room, mem_gb=1.0)
