"""The graph of the ASL series."""

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.preprocessing.asl.interfaces import PrepareSeries


def init_asl_wf(*, room, options, context):
    """Align the volumes of an ASL series, and bring its M0 along.

    Inputs
    ------
    asl
        Series, what its volumes are, M0.

    Outputs
    -------
    asl_preproc, asl_ref, asl_m0, asl_mask
        Aligned series, mean control, M0, brain.
    asl_confounds, asl_plan, asl_values
        Motion, how flow is computed, measures.

    """
    return init_single_wf(PrepareSeries(motion=options.motion), room=room, mem_gb=2.0)
