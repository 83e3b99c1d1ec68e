"""The graphs of the output spaces."""

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.preprocessing.spaces.interfaces import IntoSpace, Register


def init_registration_wf(*, room, options, context):
    """Register the anatomical reference to a template.

    Inputs
    ------
    anat_preproc, anat_filled, brain_mask, lesion_guess
        Anatomical reference, also with its lesions filled, its brain, and the lesions.
    anat_to_mni
        The way to the shipped template.

    Outputs
    -------
    anat_to_<space>
        The way to the template.

    """
    interface = Register(spec=room.spec, output=next(iter(room.makes)), hub=context.hub)
    return init_single_wf(interface, room=room, mem_gb=2.0)


def init_space_wf(*, room, options, context):
    """Resample products of a room into a space.

    Inputs
    ------
    ``room.needs``
        The products, the transforms of ``room.ways``, and the image whose grid it is.

    Outputs
    -------
    ``room.makes``
        The products in that space.

    """
    interface = IntoSpace(
        takes=list(room.needs),
        spec=room.spec,
        target=room.target,
        images=list(room.images),
        ways=list(room.ways),
    )
    return init_single_wf(interface, room=room, mem_gb=1.5)
