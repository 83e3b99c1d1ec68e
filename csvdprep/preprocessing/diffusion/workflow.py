"""The graph of the diffusion series."""

from nipype.interfaces import utility as niu
from nipype.pipeline import engine as pe

from csvdprep.preprocessing.diffusion.interfaces import Assemble, Correct, EstimateField


def init_diffusion_wf(*, room, options, context):
    """Take noise, ringing, motion, eddy currents, distortion and bias off a diffusion series.

    Inputs
    ------
    dwi
        Runs of the series, and what tells of the field.
    anat_preproc, brain_mask
        Anatomical reference and its brain, where there is no image of the field.

    Outputs
    -------
    dwi_preproc, dwi_bval, dwi_bvec, dwi_mask, dwi_b0, dwi_b0_raw, dwi_confounds, diffusion_values
        Corrected series with its gradients, brain, means, motion, measures.

    """
    workflow = pe.Workflow(name='diffusion_wf')
    takes, makes = [*room.asks], [*room.outputs()]
    inputnode = pe.Node(niu.IdentityInterface(fields=takes), name='inputnode')
    outputnode = pe.Node(niu.IdentityInterface(fields=makes), name='outputnode')
    join = pe.Node(
        Assemble(denoise=options.denoise, degibbs=options.degibbs), name='join', mem_gb=1.5
    )
    field = pe.Node(EstimateField(fieldmapless=options.fieldmapless), name='field', mem_gb=1.5)
    correct = pe.Node(Correct(), name='correct', mem_gb=2.5)
    workflow.connect(
        [
            (inputnode, join, [('dwi', 'dwi')]),
            (inputnode, field, [(name, name) for name in takes]),
            (join, field, [('series', 'series'), ('table', 'table'), ('rough', 'rough')]),
            (join, correct, [('series', 'series'), ('table', 'table'), ('rough', 'rough')]),
            (field, correct, [('shift', 'shift'), ('method', 'method'), ('reasons', 'reasons')]),
            (correct, outputnode, [(name, name) for name in makes]),
        ]
    )
    return workflow
