"""The graph of the penumbra."""

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.markers.penumbra.interfaces import Penumbra


def init_penumbra_wf(*, room, options, context):
    """Measure diffusion by the distance from hyperintensities.

    Inputs
    ------
    dwi_fa, dwi_md, dwi_fw, dwi_mask, tensors_values
        On the grid of the series, and how they were fitted.
    dwi_to_anat, flair_to_anat, fa_to_dwi
        Transforms.
    gm_probseg, csf_probseg, ventricles, structures_dseg
        On the anatomical reference.
    wmh_mask, flair_preproc
        On the FLAIR.

    Outputs
    -------
    penumbra_profile, penumbra_values
        Rings and measures.

    """
    interface = Penumbra(periventricular_mm=options.periventricular_mm)
    return init_single_wf(interface, room=room, mem_gb=1.0)
