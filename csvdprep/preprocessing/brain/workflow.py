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
    interface = Brain(hub=context.hub, spline_mm=options.spline_mm)
    return init_single_wf(interface, room=room, mem_gb=1.5)
