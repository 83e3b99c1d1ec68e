"""The graph of the way to the FA template."""

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.preprocessing.dwi_template.interfaces import Register


def init_dwi_template_wf(*, room, options, context):
    """Register fractional anisotropy to its template.

    Inputs
    ------
    dwi_fa, dwi_mask
        Map and brain.

    Outputs
    -------
    dwi_to_fa, fa_to_dwi, dwi_template_values
        Transforms and measures.

    """
    interface = Register(resolution_mm=max(options.resolution_mm, 4.0 if context.sloppy else 0))
    return init_single_wf(interface, room=room, mem_gb=1.5)
