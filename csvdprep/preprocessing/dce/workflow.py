"""The graph of the dynamic series."""

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.preprocessing.dce.interfaces import DynamicSeries


def init_dce_wf(*, room, options, context):
    """Correct motion, register, map T1.

    Inputs
    ------
    dce
        Dynamic series, its protocol, images for T1.
    anat_preproc, brain_mask
        Anatomical reference, and its brain.

    Outputs
    -------
    dce_preproc, dce_baseline, dce_mask, dce_to_anat, dce_t1, dce_b1, dce_motion, dce_protocol
        Series at rest, mean before the contrast agent, brain, the way to the reference, T1, B1,
        motion, and what is known of the sequence.
    dce_values
        Measures.

    """
    interface = DynamicSeries(
        t1_fit=options.t1_fit,
        motion=options.motion,
        relaxivity=options.relaxivity,
        haematocrit=options.haematocrit,
    )
    return init_single_wf(interface, room=room, mem_gb=3.0)
