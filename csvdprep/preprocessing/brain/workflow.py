"""The graph of brain extraction."""

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.preprocessing.brain.interfaces import Brain


def init_brain_wf(*, room, options, context):
    """Find the brain of the anatomical reference and correct its intensity.

    Inputs
    ------
    anat
        Anatomical reference as acquired.
    brain_mask_external
        Mask to be used instead of our own.

    Outputs
    -------
    anat_preproc
        Intensity-corrected image.
    brain_mask
        Brain mask.
    brain_values
        Measures.

    """
    spline_mm = options.spline_mm_t1w if context.hub == 'T1w' else options.spline_mm_flair
    return init_single_wf(Brain(hub=context.hub, spline_mm=spline_mm), room=room, mem_gb=1.5)
