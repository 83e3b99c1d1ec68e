"""The graph of registration."""

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.preprocessing.registration.interfaces import Register


def init_registration_wf(*, room, options, context):
    """Register the anatomical reference to the template.

    Inputs
    ------
    anat_filled, brain_mask
        Anatomical reference with its lesions filled, and its brain.
    lesion_guess
        Lesions that must not drive the registration.
    anat_to_mni_external, mni_to_anat_external
        Transforms that were given.

    Outputs
    -------
    anat_to_mni, mni_to_anat
        Composite transforms.
    registration_values
        Measures.

    """
    resolution = 4.0 if context.sloppy else options.resolution_mm
    interface = Register(hub=context.hub, resolution_mm=resolution)
    return init_single_wf(interface, room=room, mem_gb=2.0)
