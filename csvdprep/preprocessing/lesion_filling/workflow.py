"""The graph of the filled T1w."""

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.preprocessing.lesion_filling.interfaces import FillFinal


def init_lesion_filling_wf(*, room, options, context):
    """Fill the final hyperintensities in the T1w.

    Inputs
    ------
    t1w
        Not read: says that the reference is a T1w.
    anat_preproc, brain_mask, csf_probseg, wm_probseg
        T1w, its brain and tissues.
    wmh_mask, flair_to_anat
        Hyperintensities, and the way from the FLAIR.

    Outputs
    -------
    t1w_filled
        The T1w without hyperintensities.

    """
    interface = FillFinal(share=options.share, seed=context.random_seed)
    return init_single_wf(interface, room=room, mem_gb=1.0)
