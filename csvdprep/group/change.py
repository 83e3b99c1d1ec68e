"""Differences between visits, of all participants in one table."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from csvdprep.bids.checkpoints import json_text
from csvdprep.bids.files import atomic_write
from csvdprep.bids.names import derivative_path
from csvdprep.bids.tsv import read_tsv, write_tsv
from csvdprep.core.declared import Declared
from csvdprep.core.errors import InputError
from csvdprep.core.plan import Visit
from csvdprep.graph.discover import discover
from csvdprep.group.visits import computed_participants, look_up

NAME = 'group_change.tsv'


def write_changes(
    output_dir: Path,
    wanted: Collection[str] = (),
    folder: Path | None = None,
    left_out: Callable[[str, str], bool] = lambda subject, session: False,
) -> Path | None:
    """Write ``group_change.tsv`` with a row for each participant, pair of visits and measure.

    Parameters
    ----------
    output_dir : Path
        Root of the derivatives.
    wanted : collection of str, optional
        Participants without ``sub-``; all if empty.
    folder : Path, optional
        Where to write, if not there.
    left_out : callable, optional
        Tells of participant and session, by label, whether the visit is excluded.

    Returns
    -------
    Path or None
        The table; None if no participant's visits were compared.
    """
    rooms = discover(level='participant')
    room = next(room for room in rooms if 'change_list' in room.makes)
    made, declared = room.makes['change_list'], Declared.of(rooms)
    names = [column.name for column in made.columns]
    rows = []
    for whole in computed_participants(output_dir):
        if wanted and whole.subject not in wanted:
            continue
        # A list of an earlier comparison is not that of the visits as they are now.
        if look_up(whole, output_dir).state != 'ok':
            continue
        path = output_dir / derivative_path(
            'change_list', made, visit=Visit(whole.subject), hub='', scans={}, declared=declared
        )
        try:
            table = read_tsv(path)
        except (OSError, InputError):
            continue
        rows += [
            [whole.label, *(row.get(name, 'n/a') for name in names)]
            for row in table.rows
            if not any(
                left_out(whole.subject, row.get(name, '').removeprefix('ses-'))
                for name in ('from_session', 'to_session')
            )
        ]
    if not rows:
        return None
    path = (folder or output_dir) / NAME
    write_tsv(path, [['participant_id', *names], *rows])
    described = {column.name: column.described() for column in made.columns}
    head = {'participant_id': {'Description': 'Label of the participant.'}}
    atomic_write(path.with_suffix('.json'), json_text(head | described))
    return path
