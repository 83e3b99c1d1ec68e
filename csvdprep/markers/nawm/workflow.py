"""The graph of diffusion in white matter."""

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.markers.nawm.interfaces import WhiteMatterDiffusion


def init_nawm_wf(*, room, options, context):
    """Average diffusion measures in white matter.

    Inputs
    ------
    dwi_fa, dwi_md, dwi_ad, dwi_rd, dwi_fw, dwi_mask, tensors_values
        On the grid of the series, and how they were fitted.
    dwi_to_anat, flair_to_anat
        Transforms.
    wm_probseg, csf_probseg, structures_dseg
        On the anatomical reference.
    wmh_mask, zones_dseg
        On the FLAIR.

    Outputs
    -------
    nawm_values
        Measures.

    """
    interface = WhiteMatterDiffusion(margin_mm=options.margin_mm)
    return init_single_wf(interface, room=room, mem_gb=1.0)
