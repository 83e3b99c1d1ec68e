"""The graph of the tissues."""

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.preprocessing.tissues.interfaces import SegmentTissues


def init_tissues_wf(*, room, options, context):
    """Segment tissues.

    Inputs
    ------
    anat_filled, anat_preproc, brain_mask, lesion_guess
        Anatomical reference with its lesions filled and as it is, its brain, and the lesions.
    mni_to_anat
        Resamples the template onto it.
    tissue_external
        Segmentation that was given.

    Outputs
    -------
    csf_probseg, gm_probseg, wm_probseg, tissue_dseg
        Tissues.
    tissues_values
        Measures.

    """
    return init_single_wf(
        SegmentTissues(hub=context.hub, engine=options.flair_engine), room=room, mem_gb=2.0
    )
