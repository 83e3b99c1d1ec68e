"""The graph of bolus tracking."""

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.markers.bolus.interfaces import TrackBolus


def init_bolus_wf(*, room, options, context):
    """Find artery and sinus, deconvolve curves of regions and of voxels, describe times to peak.

    Inputs
    ------
    dsc_preproc, dsc_baseline, dsc_mask, dsc_to_anat, dsc_protocol
        Series at rest, mean before the contrast agent, brain, the way to the reference, what is
        known of the series.
    gm_probseg, wm_probseg, csf_probseg, structures_dseg
        Tissue and deep structures, on the reference.
    mni_to_anat
        The template on the reference.
    wmh_mask, zones_dseg, flair_to_anat
        Hyperintensities and their zones, on the FLAIR, and its way to the reference.

    Outputs
    -------
    dsc_cbv, dsc_cbf, dsc_mtt, dsc_tmax, dsc_ttp, dsc_vessels, dsc_regions, dsc_curves, dsc_times,
    dsc_estimates
        Maps, place of the curves of blood, regions, curves, distribution, what was found.
    bolus_values
        Measures.

    """
    interface = TrackBolus(
        leakage=options.leakage,
        deconvolution=options.deconvolution,
        threshold=options.threshold,
        margin_mm=options.margin_mm,
    )
    return init_single_wf(interface, room=room, mem_gb=2.0)
