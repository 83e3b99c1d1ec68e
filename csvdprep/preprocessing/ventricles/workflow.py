"""The graph of the lateral ventricles."""

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.preprocessing.ventricles.interfaces import FindVentricles


def init_ventricles_wf(*, room, options, context):
    """Find the lateral ventricles.

    Inputs
    ------
    csf_probseg, brain_mask, structures_dseg
        Fluid, brain, and structures of the template on the reference.
    mni_to_anat
        Resamples the template onto it.

    Outputs
    -------
    ventricles
        1 left, 2 right.
    ventricles_values
        Measures.

    """
    return init_single_wf(FindVentricles(hub=context.hub), room=room, mem_gb=1.0)
