"""The graph of recent infarcts."""

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.markers.infarcts.interfaces import Infarcts


def init_infarcts_wf(*, room, options, context):
    """Find recent infarcts.

    Inputs
    ------
    trace_preproc, adc_preproc, trace_mask, trace_to_anat
        Trace image, ADC, brain, and the way to the anatomical reference.
    gm_probseg, csf_probseg, structures_dseg, lobes_dseg, territories_dseg
        Anatomy.
    mni_to_anat, anat_to_mni
        Ways from and to the template.
    infarct_external, flair_to_anat
        Mask that was given, and the way from the FLAIR, where it may lie.

    Outputs
    -------
    infarct_mask, rssi_mask, infarct_candidates, infarct_lesions
        Masks, numbered candidates, and their list.
    infarcts_values
        Measures.

    """
    interface = Infarcts(
        definite=options.definite, possible=options.possible, rssi_mm=options.rssi_mm
    )
    return init_single_wf(interface, room=room, mem_gb=1.0)
