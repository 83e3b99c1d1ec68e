"""Where a visit lies among the norms that the last group level left."""

from __future__ import annotations

from pathlib import Path

from csvdprep.bids.covariates import number
from csvdprep.bids.names import dataset_file
from csvdprep.bids.tsv import read_tsv
from csvdprep.core.errors import InputError
from csvdprep.core.plan import Visit
from csvdprep.graph.discover import discover


def percentiles_of(visit: Visit, output_dir: Path) -> dict[str, float]:
    """Return the percentiles of a visit's measures, from tables that rooms declare as such.

    Parameters
    ----------
    visit : Visit
        Participant and session.
    output_dir : Path
        Root of the derivatives.

    Returns
    -------
    dict of str to float
        0 to 100, by measure; empty where no group level has left any.
    """
    who = (f'sub-{visit.subject}', f'ses-{visit.session}' if visit.session else 'n/a')
    found: dict[str, float] = {}
    for room in discover(level='dataset'):
        for name, made in room.makes.items():
            if not made.percentiles:
                continue
            try:
                rows = read_tsv(Path(output_dir) / dataset_file(name, made)).rows
            except (OSError, InputError):
                continue
            for row in rows:
                if (row.get('participant_id'), row.get('session_id', 'n/a')) == who:
                    values = {key: number(cell) for key, cell in row.items()}
                    found |= {k: v for k, v in values.items() if v is not None and 0 <= v <= 100}
    return found
