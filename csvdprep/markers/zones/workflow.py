"""The graph of the zones."""

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.markers.zones.interfaces import Zones


def init_zones_wf(*, room, options, context):
    """Divide the hyperintensities by zone and region.

    Inputs
    ------
    wmh_mask, wmh_probseg, wmh_subcortical, flair_preproc
        On the FLAIR grid.
    flair_to_anat, mni_to_anat
        Transforms.
    brain_mask, ventricles, csf_probseg, gm_probseg, structures_dseg, lobes_dseg, territories_dseg
        On the grid of the anatomical reference.

    Outputs
    -------
    zones_dseg, wmh_numbers, wmh_lesions, wmh_bullseye, zones_values
        Labels, index of each lesion, list of lesions, volumes by lobe and depth, measures.

    """
    interface = Zones(scheme=options.scheme, minimum_mm3=options.minimum_mm3)
    return init_single_wf(interface, room=room, mem_gb=1.5)
