"""The graph of lacunes and perivascular spaces."""

from dataclasses import asdict

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.markers.cavities.interfaces import Cavities


def init_cavities_wf(*, room, options, context):
    """Find lacunes and perivascular spaces.

    Inputs
    ------
    anat_preproc, brain_mask, csf_probseg, gm_probseg, wm_probseg, ventricles
        T1w, the anatomical reference, and its tissues.
    structures_dseg, lobes_dseg, territories_dseg, mni_to_anat
        Regions, and the way from the template.
    flair_preproc, flair_to_anat, wmh_mask
        FLAIR, the way to the reference, and hyperintensities on its grid.
    t2w_preproc, t2w_to_anat
        T2w, and the way to the reference.
    lacune_external, pvs_external
        Masks to be used instead of our own.

    Outputs
    -------
    lacune_mask, pvs_mask, cavity_candidates, lacune_lesions, pvs_lesions
        Masks, numbered candidates, and their lists.
    cavities_values
        Measures.

    """
    return init_single_wf(Cavities(options=asdict(options)), room=room, mem_gb=2.0)
