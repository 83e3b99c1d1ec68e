"""The graph of susceptibility."""

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.markers.qsm.interfaces import MapSusceptibility


def init_qsm_wf(*, room, options, context):
    """Invert the local field, and measure deep grey matter.

    Inputs
    ------
    gre_local, gre_local_sd, gre_field_values
        Local field, its standard error, how the phase was read.
    gre_mag, gre_mask, gre_to_anat, gre_r2star
        Magnitude, brain, the way to the reference, R2*.
    structures_dseg, wm_probseg, ventricles
        Deep structures, white matter and lateral ventricles, on the reference.
    wmh_mask, flair_to_anat
        Hyperintensities, on the FLAIR, and its way to the reference.
    nigra_external, ruber_external, dentate_external
        Segmentations of nuclei that the atlas lacks, where they are given.

    Outputs
    -------
    gre_chi
        Susceptibility.
    qsm_values
        Measures.

    """
    interface = MapSusceptibility(
        method=options.method, strength=options.strength, rounds=options.rounds
    )
    return init_single_wf(interface, room=room, mem_gb=2.5)
