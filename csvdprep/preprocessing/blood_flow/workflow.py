"""The graph of blood flow."""

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.preprocessing.blood_flow.interfaces import MapFlow


def init_blood_flow_wf(*, room, options, context):
    """Compute blood flow and arrival times.

    Inputs
    ------
    asl_preproc, asl_ref, asl_m0, asl_mask, asl_plan
        Aligned series, mean control, M0, brain, and how flow is computed.
    asl_to_anat, gm_probseg, wm_probseg, csf_probseg
        Way to the anatomical reference, and its tissues.
    cbf_given, att_given
        Maps of another tool.

    Outputs
    -------
    cbf, att, flow_kept
        Maps, and which pairs were averaged.
    blood_flow_values
        Measures.

    """
    interface = MapFlow(
        outliers=options.outliers, m0_smooth_mm=options.m0_smooth_mm, att_method=options.att
    )
    return init_single_wf(interface, room=room, mem_gb=2.0)
