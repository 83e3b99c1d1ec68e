"""The graph of the field."""

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.preprocessing.gre_field.interfaces import EstimateField


def init_gre_field_wf(*, room, options, context):
    """Fit the frequency to the phases, and take off its background.

    Inputs
    ------
    gre_phase
        Echoes with phase.
    gre_mag, gre_mask, gre_to_anat
        Magnitude, brain, the way to the reference.
    structures_dseg
        Deep structures, on the reference.

    Outputs
    -------
    gre_total, gre_local, gre_local_sd
        Field, its local part, its standard error.
    gre_field_values
        Measures.

    """
    return init_single_wf(EstimateField(background=options.background), room=room, mem_gb=3.0)
