"""Hand the error that ended a node from the process that met it to the one that tells of it.

Nipype turns every error into the text of its traceback, and its plugins pass nothing else. So a
witness stands before the node and before the work of its interface. It judges the error where it
is still an error, notes the `Failure` on the node, for who runs in the same process, and leaves
it as a small file in the folder of the node, for who started the node elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from nipype.pipeline.engine.nodes import NodeExecutionError

from csvdprep.bids.checkpoints import json_text
from csvdprep.bids.files import atomic_write, read_text
from csvdprep.core.errors import plain
from csvdprep.core.failure import Failure
from csvdprep.graph.telling import harmless
from csvdprep.graph.visit import room_of

#: What a node that failed leaves in its folder.
LEFT = 'failure.json'
_LONGEST = 200


def watch(node) -> None:
    """Let a node note what ends it, in whatever process it will run.

    Parameters
    ----------
    node : nipype Node
        Its ``run`` and the work of its interface are stood before; nothing else changes.
    """
    if not isinstance(vars(node).get('run'), _Witness):
        node.failure = None
        node.run = _Witness(node, node, 'run')
        for work in ('_run_interface', 'aggregate_outputs'):
            setattr(node.interface, work, _Witness(node, node.interface, work))


def forget(node) -> None:
    """Remove what an earlier run of a node has left: it is about to begin."""
    node.failure = None
    harmless((Path(node.output_dir()) / LEFT).unlink)(missing_ok=True)


def noted(node, error: BaseException) -> Failure:
    """Return what was noted in this process when a node failed, or judge the error now.

    Parameters
    ----------
    node : nipype Node
        A node that has failed.
    error : BaseException
        What came out of it.
    """
    found = getattr(node, 'failure', None)
    return found or Failure.of(error, room=room_of(node), node=node.name)


def witnessed(node) -> Failure | None:
    """Return what was noted when a node failed, here or in another process.

    Parameters
    ----------
    node : nipype Node
        A node that has failed.

    Returns
    -------
    Failure or None
        None if the process left no word.
    """
    return getattr(node, 'failure', None) or harmless(_read)(node)


def lost(node, lines: Sequence[str] = ()) -> Failure:
    """Tell of a node of which nothing has come back but, perhaps, text.

    Parameters
    ----------
    node : nipype Node
        A node that has failed.
    lines : sequence of str, optional
        What its plugin wrote; the last line is quoted, and decides nothing.
    """
    last = next((line.strip() for line in reversed(lines) if line.strip()), '')
    heard = f'; its last output was: {plain(last[:_LONGEST])}' if last else '.'
    return Failure(
        room_of(node),
        node.name,
        'lost',
        f'The job of {node.name} ended without an error message{heard}',
        remedy='if the job was killed, give it more memory or time.',
    )


class _Witness:
    """Stand before a method of a node or of its interface, and note what ends it."""

    def __init__(self, node, owner, method: str):
        self.node, self.owner, self.method = node, owner, method

    def __call__(self, *args, **named):
        if self.owner is self.node:
            self.node.failure = None
        try:
            return getattr(type(self.owner), self.method)(self.owner, *args, **named)
        except BaseException as error:
            # What the interface met was noted; this is Nipype's text of it.
            if not (isinstance(error, NodeExecutionError) and self.node.failure):
                harmless(_note)(self.node, error)
            raise


def _note(node, error):
    node.failure = Failure.of(error, room=room_of(node), node=node.name)
    atomic_write(Path(node.output_dir()) / LEFT, json_text(vars(node.failure)))


def _read(node):
    return Failure.read(json.loads(read_text(Path(node.output_dir()) / LEFT)))
