"""The graphs of the output spaces."""

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.preprocessing.spaces.interfaces import IntoSpace, WmhIntoSpace


def init_space_wf(*, room, options, context):
    """Resample the anatomical reference into a space.

    Inputs
    ------
    anat_preproc, anat_filled, brain_mask, lesion_guess
        Anatomical reference, also with its lesions filled, its brain, and the lesions.
    anat_to_mni
        The way to the shipped template.

    Outputs
    -------
    anat_to_<space>
        The way to another template.
    anat_in_<space>, brain_in_<space>
        Reference and brain mask.

    """
    interface = IntoSpace(spec=room.spec, outputs=list(room.outputs()), hub=context.hub)
    return init_single_wf(interface, room=room, mem_gb=2.0)


def init_space_wmh_wf(*, room, options, context):
    """Resample FLAIR and hyperintensities into a space.

    Inputs
    ------
    flair_preproc, flair_to_anat, wmh_mask, wmh_probseg
        On the FLAIR grid.
    anat_to_mni or anat_to_<space>
        The way to the template.

    Outputs
    -------
    flair_in_<space>, wmh_in_<space>, wmhprob_in_<space>
        FLAIR, mask and degree of membership.

    """
    interface = WmhIntoSpace(spec=room.spec, outputs=list(room.outputs()), way=room.needs[-1])
    return init_single_wf(interface, room=room, mem_gb=1.5)
