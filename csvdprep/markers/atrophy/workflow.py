"""The graph of atrophy."""

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.markers.atrophy.interfaces import Atrophy


def init_atrophy_wf(*, room, options, context):
    """Measure volumes and widths of the brain.

    Inputs
    ------
    t1w
        T1w as acquired; the room has no place in a visit without.
    csf_probseg, gm_probseg, wm_probseg, ventricles, brain_mask, structures_dseg
        Tissues and regions.
    mni_to_anat
        Resamples the template onto the T1w.
    wmh_mask, flair_to_anat
        Hyperintensities, which are white matter, and the way to the T1w.

    Outputs
    -------
    atrophy_values
        Measures.

    """
    return init_single_wf(Atrophy(), room=room, mem_gb=1.5)
