"""The graph of the FLAIR."""

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.preprocessing.flair.interfaces import Flair


def init_flair_wf(*, room, options, context):
    """Correct the FLAIR and bring it to the T1w.

    Inputs
    ------
    flair, t1w
        Images as acquired.
    anat_preproc, brain_mask
        Anatomical reference (the T1w) and its brain.

    Outputs
    -------
    flair_preproc, flair_mask
        Corrected FLAIR and its brain.
    flair_to_anat
        Rigid transform.
    flair_values
        Measures.

    """
    return init_single_wf(Flair(spline_mm=options.spline_mm), room=room, mem_gb=1.5)
