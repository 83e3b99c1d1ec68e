"""The common shape of small rooms: one node between the names that come in and go out."""

from __future__ import annotations

from nipype.interfaces import utility as niu
from nipype.pipeline import engine as pe

from csvdprep.core.room import Room


def init_single_wf(interface, *, room: Room, mem_gb: float, name: str | None = None):
    """Wrap one interface whose inputs and outputs bear the names by which rooms exchange files.

    Parameters
    ----------
    interface : nipype interface
        Takes ``room.asks``; gives ``room.outputs()``.
    room : Room
        The declaration.
    mem_gb : float
        Peak memory measured, in GB.
    name : str, optional
        Name of the workflow.

    Returns
    -------
    nipype Workflow
        With ``inputnode`` and ``outputnode``.

    """
    name = name or f'{room.name}_wf'
    workflow = pe.Workflow(name=name)
    takes, makes = [*room.asks], [*room.outputs()]
    inputnode = pe.Node(niu.IdentityInterface(fields=takes), name='inputnode')
    outputnode = pe.Node(niu.IdentityInterface(fields=makes), name='outputnode')
    work = pe.Node(interface, name=room.name, mem_gb=mem_gb)
    workflow.connect(
        [
            (inputnode, work, [(field, field) for field in takes]),
            (work, outputnode, [(field, field) for field in makes]),
        ]
    )
    return workflow
