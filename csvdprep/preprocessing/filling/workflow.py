"""The graph of the preliminary lesions."""

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.preprocessing.filling.interfaces import Fill


def init_filling_wf(*, room, options, context):
    """Fill what looks like lesions in the anatomical reference.

    Inputs
    ------
    anat_preproc, brain_mask
        Anatomical reference and its brain.
    flair_preproc, flair_mask, flair_to_anat
        FLAIR, its brain, and the way to the reference.

    Outputs
    -------
    lesion_guess, anat_filled
        Preliminary lesions, and the reference without them.
    filling_values
        Measures.

    """
    interface = Fill(
        seed_from=options.seed,
        grow_from=options.grow,
        depth_mm=options.depth_mm,
        seed=context.random_seed,
    )
    return init_single_wf(interface, room=room, mem_gb=1.0)
