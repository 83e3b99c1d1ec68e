"""The graph of the gradient echo."""

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.preprocessing.gre.interfaces import GradientEcho


def init_gre_wf(*, room, options, context):
    """Combine, correct and register gradient echoes.

    Inputs
    ------
    gre
        Echoes, or the scanner's SWI.
    anat_preproc, brain_mask
        Anatomical reference, and its brain.

    Outputs
    -------
    gre_mag, gre_mask, gre_to_anat, gre_r2star, gre_t2star
        Magnitude, brain, the way to the reference, relaxation.
    gre_values
        Measures.

    """
    return init_single_wf(GradientEcho(spline_mm=options.spline_mm), room=room, mem_gb=2.0)
