"""The graph of the bolus-tracking series."""

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.preprocessing.dsc.interfaces import BolusSeries


def init_dsc_wf(*, room, options, context):
    """Find the first pass, correct motion, register.

    Inputs
    ------
    dsc
        Series and its protocol.
    anat_preproc, brain_mask
        Anatomical reference, and its brain.

    Outputs
    -------
    dsc_preproc, dsc_baseline, dsc_mask, dsc_to_anat, dsc_motion, dsc_protocol
        Series at rest, mean before the contrast agent, brain, the way to the reference, motion,
        and what is known of the series.
    dsc_values
        Measures.

    """
    interface = BolusSeries(motion=options.motion, echoes=options.echoes)
    return init_single_wf(interface, room=room, mem_gb=2.0)
