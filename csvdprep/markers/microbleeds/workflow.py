"""The graph of microbleeds."""

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.markers.microbleeds.interfaces import Microbleeds


def init_microbleeds_wf(*, room, options, context):
    """Find microbleeds.

    Inputs
    ------
    gre, gre_mag, gre_mask, gre_to_anat
        Echo times, magnitude, brain, and the way to the anatomical reference.
    gm_probseg, csf_probseg, structures_dseg, lobes_dseg, territories_dseg, mni_to_anat
        Anatomy, and the way from the template.
    gre_chi
        Map of susceptibility, where there is phase.
    cmb_external, flair_to_anat
        Mask that was given, and the way from the FLAIR, where it may lie.

    Outputs
    -------
    cmb_mask, cmb_candidates, cmb_lesions
        Mask, numbered candidates, and their list.
    microbleeds_values
        Measures.

    """
    interface = Microbleeds(
        definite=options.definite,
        definite_swi=options.definite_swi,
        possible=options.possible,
        deep_mm=options.deep_mm,
        largest_mm=options.largest_mm,
    )
    return init_single_wf(interface, room=room, mem_gb=MEM_GB)


#: Peak memory measured at 0.6 x 0.6 x 1.2 mm, GB.
MEM_GB = 1.6
