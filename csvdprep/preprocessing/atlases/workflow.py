"""The graph of the regions of the template."""

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.preprocessing.atlases.interfaces import WarpAtlases


def init_atlases_wf(*, room, options, context):
    """Bring the regions of the template to the patient.

    Inputs
    ------
    anat_filled
        Anatomical reference, for its grid.
    mni_to_anat
        Resamples the template onto it.

    Outputs
    -------
    structures_dseg, lobes_dseg, territories_dseg
        Regions of the template.

    """
    return init_single_wf(WarpAtlases(), room=room, mem_gb=1.0)
