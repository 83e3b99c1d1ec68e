"""The graph of the T2w."""

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.preprocessing.t2w.interfaces import T2w


def init_t2w_wf(*, room, options, context):
    """Correct the T2w and bring it to the anatomical reference.

    Inputs
    ------
    t2w
        Image as acquired.
    anat_preproc, brain_mask
        Anatomical reference and its brain.

    Outputs
    -------
    t2w_preproc, t2w_mask
        Corrected T2w and its brain.
    t2w_to_anat
        Rigid transform.
    t2w_values
        Measures.

    """
    return init_single_wf(T2w(spline_mm=options.spline_mm), room=room, mem_gb=1.5)
