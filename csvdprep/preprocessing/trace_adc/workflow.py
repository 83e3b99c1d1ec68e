"""The graph of trace image and ADC."""

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.preprocessing.trace_adc.interfaces import TraceAdc


def init_trace_adc_wf(*, room, options, context):
    """Take over trace image and ADC, or compute them.

    Inputs
    ------
    trace
        Maps of the scanner, or
    dwi_preproc, dwi_bval, dwi_mask, dwi_to_anat
        the series.
    anat_preproc, brain_mask
        Anatomical reference, and its brain.

    Outputs
    -------
    trace_preproc, adc_preproc, trace_mask, trace_to_anat
        Maps, brain, and the way to the reference.
    trace_adc_values
        Measures.

    """
    return init_single_wf(TraceAdc(), room=room, mem_gb=1.5)
