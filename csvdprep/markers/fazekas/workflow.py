"""The graph of the Fazekas grades."""

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.markers.fazekas.interfaces import Fazekas


def init_fazekas_wf(*, room, options, context):
    """Grade the hyperintensities.

    Inputs
    ------
    zones_dseg, flair_preproc
        On the FLAIR grid.
    flair_to_anat, ventricles
        The way to the anatomical reference, and its lateral ventricles.

    Outputs
    -------
    fazekas_values
        Measures.

    """
    return init_single_wf(Fazekas(rule=options.rule), room=room, mem_gb=1.0)
