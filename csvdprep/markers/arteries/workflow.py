"""The graph of arteries."""

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.markers.arteries.interfaces import MapArteries

#: Peak memory measured at 0.5 x 0.5 x 0.7 mm, GB.
MEM_GB = 2.0


def init_arteries_wf(*, room, options, context):
    """Find and measure arteries.

    Inputs
    ------
    tof, tof_preproc, tof_mask
        What the sidecar of the angiogram tells, the corrected angiogram, the head.
    tof_to_anat, mni_to_anat, brain_mask, territories_dseg
        Anatomical reference and template, where there are.

    Outputs
    -------
    artery_mask, artery_list, artery_lines
        Lumen, pieces, and middle lines.
    arteries_values
        Measures.

    """
    interface = MapArteries(
        strength=options.strength,
        surprise=options.surprise,
        least_mm=options.least_mm,
        spur_mm=options.spur_mm,
        lsa_coarsest_mm=options.lsa_coarsest_mm,
    )
    return init_single_wf(interface, room=room, mem_gb=MEM_GB)
