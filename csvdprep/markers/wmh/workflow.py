"""The graph of white matter hyperintensities."""

from dataclasses import asdict

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.markers.wmh.interfaces import Wmh


def init_wmh_wf(*, room, options, context):
    """Segment white matter hyperintensities.

    Inputs
    ------
    flair_preproc, flair_mask
        FLAIR and its brain.
    flair_to_anat, mni_to_anat
        Transforms.
    brain_mask, csf_probseg, gm_probseg, wm_probseg, ventricles, structures_dseg, lobes_dseg
        On the grid of the anatomical reference.
    wmh_external
        Mask to be used instead of our own.
    infarct_external, lacune_external
        Masks of what is left out.

    Outputs
    -------
    wmh_mask, wmh_probseg, wmh_values
        Hyperintensities, their probability, measures.

    """
    interface = Wmh(hub=context.hub, seed=context.random_seed, options=asdict(options))
    return init_single_wf(interface, room=room, mem_gb=2.0)
