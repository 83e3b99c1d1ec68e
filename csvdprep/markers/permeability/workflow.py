"""The graph of permeability."""

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.markers.permeability.interfaces import MapPermeability


def init_permeability_wf(*, room, options, context):
    """Find the input function, fit curves of regions and of voxels.

    Inputs
    ------
    dce_preproc, dce_baseline, dce_mask, dce_to_anat, dce_t1, dce_b1, dce_protocol
        Series at rest, mean before the contrast agent, brain, the way to the reference, T1, B1,
        what is known of the sequence.
    gm_probseg, wm_probseg, csf_probseg, structures_dseg
        Tissue and deep structures, on the reference.
    mni_to_anat
        The template on the reference.
    wmh_mask, zones_dseg, flair_to_anat
        Hyperintensities and their zones, on the FLAIR, and its way to the reference.

    Outputs
    -------
    dce_ps, dce_vp, dce_vif_mask, dce_regions, dce_curves, dce_estimates
        Maps, place of the input function, regions, curves, what was found.
    permeability_values
        Measures.

    """
    interface = MapPermeability(
        curve=options.curve, delay=options.delay, margin_mm=options.margin_mm, drift=options.drift
    )
    return init_single_wf(interface, room=room, mem_gb=3.0)
