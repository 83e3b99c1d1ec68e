"""The graphs of the review."""

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.markers.review.interfaces import Decision, ReviewedList


def init_review_wf(*, room, options, context):
    """Tell what persons decided on the visit.

    Inputs
    ------
    ratings
        What persons said.

    Outputs
    -------
    review_values
        Measures.

    """
    return init_single_wf(Decision(), room=room, mem_gb=0.2)


def init_review_list_wf(*, room, options, context):
    """Count and draw what is left of a list after its review.

    Inputs
    ------
    ratings
        What persons said.
    cmb_lesions, cmb_candidates (or those of lacunes)
        The list, and the image of its candidates.

    Outputs
    -------
    cmb_reviewed_mask, cmb_reviewed_lesions
        Mask and list of what is left.
    review_cmb_values
        Measures.

    """
    interface = ReviewedList(room, added_mm=options.added_mm)
    return init_single_wf(interface, room=room, mem_gb=0.5)
