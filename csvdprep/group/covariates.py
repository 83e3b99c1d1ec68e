"""What is known of participants and sessions beside their images: site, age, sex."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from pathlib import Path

from csvdprep.bids.files import read_text
from csvdprep.core.plan import Visit

#: Columns of participants.tsv and sessions.tsv that name the site and the age, best first.
SITE = ('site', 'site_id', 'centre', 'center', 'institution', 'cohort')
AGE = ('age', 'age_years', 'age_at_scan', 'age_at_visit')
SEX = ('sex', 'gender')


class Covariates:
    """Site, age and sex of each visit, as far as the raw dataset tells.

    Parameters
    ----------
    bids_dir : Path
        Root of the raw dataset; it may be missing.
    warn : callable
        Takes sentences about tables that cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> text = 'participant_id\\tage\\tsite\\nsub-01\\t71\\tA\\n'
    >>> _ = (root / 'participants.tsv').write_text(text)
    >>> Covariates(root)(Visit('01', '2'))
    {'site': 'A', 'age': '71', 'sex': 'n/a'}

    """

    def __init__(self, bids_dir: Path, warn: Callable[[str], None] = lambda line: None):
        self._root, self._warn = Path(bids_dir), warn
        self._people = self._read(self._root / 'participants.tsv', 'participant_id', 'sub-')

    def __call__(self, visit: Visit) -> dict[str, str]:
        """Return ``site``, ``age`` and ``sex`` of a visit, 'n/a' where unknown.

        What a ``sessions.tsv`` says of the session prevails.
        """
        facts = dict(self._people.get(visit.subject, {}))
        if visit.session:
            name = f'sub-{visit.subject}'
            table = self._root / name / f'{name}_sessions.tsv'
            said = self._read(table, 'session_id', 'ses-').get(visit.session, {})
            facts |= {key: value for key, value in said.items() if value != 'n/a'}
        return {'site': _first(facts, SITE), 'age': _first(facts, AGE), 'sex': _first(facts, SEX)}

    def _read(self, path: Path, column: str, prefix: str) -> dict[str, Mapping[str, str]]:
        try:
            rows = list(csv.DictReader(read_text(path).splitlines(), delimiter='\t'))
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            self._warn(f'{path.name} cannot be read ({error}).')
            return {}
        return {
            (row.get(column) or '').strip().removeprefix(prefix): {
                key.strip().lower(): ' '.join(value.split())
                for key, value in row.items()
                if isinstance(key, str) and isinstance(value, str)
            }
            for row in rows
        }


def _first(facts: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((facts[name] for name in names if facts.get(name)), 'n/a')


def number(text: str) -> float | None:
    """Read a number of a table; None where there is none.

    Examples
    --------
    >>> number('71.5'), number('n/a'), number('nan'), number('90+')
    (71.5, None, None, None)

    """
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return value if abs(value) < float('inf') else None
