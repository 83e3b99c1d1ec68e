"""The graph of blood flow by region."""

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.markers.perfusion.interfaces import MeasureFlow


def init_perfusion_wf(*, room, options, context):
    """Average blood flow over tissues, territories and rings.

    Inputs
    ------
    cbf, att, flow_kept, blood_flow_values
        Blood flow, arrival time, pairs that were averaged, what the map as a whole is.
    asl_preproc, asl_plan, asl_mask, asl_to_anat
        Aligned series, its pairs, its brain, the way to the reference.
    gm_probseg, wm_probseg, csf_probseg, structures_dseg, territories_dseg
        Tissues, deep structures and territories, on the reference.
    wmh_mask, flair_to_anat, zones_dseg
        Hyperintensities and their zones, on the FLAIR, and its way to the reference.

    Outputs
    -------
    cbf_grey, cbf_white, cbf_regions, perfusion_profile
        Maps corrected for partial volume, regions, rings.
    perfusion_values
        Measures.

    """
    return init_single_wf(MeasureFlow(margin_mm=options.margin_mm), room=room, mem_gb=1.5)
