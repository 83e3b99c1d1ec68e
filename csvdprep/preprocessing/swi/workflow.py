"""The graph of the susceptibility-weighted image."""

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.preprocessing.swi.interfaces import Weight


def init_swi_wf(*, room, options, context):
    """Weight the magnitude by the phase.

    Inputs
    ------
    gre, gre_mag, gre_mask
        Echoes, magnitude, brain.
    gre_total
        Unwrapped field, where there is a phase.

    Outputs
    -------
    gre_swi, gre_minip
        Susceptibility-weighted image, and its minimum intensity projection.
    swi_values
        Measures.

    """
    interface = Weight(
        highpass_mm=options.highpass_mm, power=options.power, minip_mm=options.minip_mm
    )
    return init_single_wf(interface, room=room, mem_gb=1.5)
