"""What is known of participants and sessions beside their images: site, age, sex."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from csvdprep.bids.raw import bare_label
from csvdprep.bids.spellings import BIRTH, UNKNOWN, UNUSUAL, sex_levels, sex_of, sexes_of
from csvdprep.bids.tsv import MISSING, Table, read_tsv
from csvdprep.core.errors import InputError, plain
from csvdprep.core.plan import Visit

#: Columns of participants.tsv and sessions.tsv that name the site and the age, best first.
SITE = ('site', 'site_id', 'centre', 'center', 'institution', 'cohort')
AGE = ('age', 'age_years', 'age_at_scan', 'age_at_visit')
SEX = ('sex', 'gender')
COLUMNS = {'site': SITE, 'age': AGE, 'sex': SEX}
#: Columns that tell controls from patients, and who is the same person under several labels.
GROUP = ('group', 'diagnosis', 'dx', 'participant_group', 'patient_group')
PERSON = ('travelling_subject_id', 'traveling_subject_id', 'travelling_id', 'person_id')
#: No person is older, years.
OLDEST = 130
#: Labels and values named in a message, and messages, before the rest is counted.
NAMED, TOLD = 5, 20

_AGE = re.compile(
    r'(?P<over>>=?|≥|over|above|older than|at least)?\s*(?P<number>\d+(?:[.,]\d+)?)\s*'
    r'(?P<more>\+)?\s*(?P<unit>y|yo|yrs?|years?(?: old)?|mo?|months?|w|weeks?|d|days?)?\.?\s*'
    r'(?P<older>\+|plus|(?:and|or|&) (?:older|above|over|up|more))?',
    re.IGNORECASE,
)
#: Parts of a year by the first letter of the unit, as DICOM has them.
_PARTS = {'y': 1.0, 'm': 12.0, 'w': 365.25 / 7, 'd': 365.25}


class Covariates:
    """Site, age and sex of each visit, as far as the raw dataset tells.

    Parameters
    ----------
    bids_dir : Path
        Root of the raw dataset; it may be missing.
    warn : callable
        Takes sentences about tables that cannot be read, and what they do not tell clearly.

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
        self._told: Counter = Counter()
        self._renamed: dict[str, str] = {}
        self._nowhere: set[str] = set()
        self._seen: set[str] = set()
        self._people = self._read(self._root / 'participants.tsv', 'sub', 'participant_id')
        self._sessions = lru_cache(1)(self._read)

    def __call__(self, visit: Visit) -> dict[str, str]:
        """Return ``site``, ``age`` and ``sex`` of a visit, 'n/a' where unknown.

        What a ``sessions.tsv`` says of the session prevails.
        """
        self._seen.add(visit.subject)
        facts = dict.fromkeys(COLUMNS, MISSING)
        found = self._people.of(visit.subject)
        if not found:
            self._nowhere.add(visit.subject)
        if visit.session:
            # Some tables have a row for each session.
            same = [row for row in found if _alike(row['session']) == _alike(visit.session)]
            facts |= self._agreed(same or found, self._people, visit.subject)
            name = f'sub-{visit.subject}'
            path = self._root / name / f'{name}_sessions.tsv'
            table = self._sessions(path, 'ses', 'session_id')
            said = self._agreed(table.of(visit.session), table, visit.session)
            return facts | {key: value for key, value in said.items() if value != MISSING}
        return facts | self._agreed(found, self._people, visit.subject)

    def others(self, visit: Visit) -> dict[str, str]:
        """Return what other columns say of a visit; what contradicts itself is left out.

        Examples
        --------
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> text = 'participant_id\\tage\\tGroup\\nsub-01\\t71\\tcontrol\\n'
        >>> _ = (root / 'participants.tsv').write_text(text)
        >>> Covariates(root).others(Visit('01', None))
        {'group': 'control'}
        """
        found = self._people.of(visit.subject)
        parts = [found]
        if visit.session:
            same = [row for row in found if _alike(row['session']) == _alike(visit.session)]
            name = f'sub-{visit.subject}'
            path = self._root / name / f'{name}_sessions.tsv'
            parts = [same or found, self._sessions(path, 'ses', 'session_id').of(visit.session)]
        out: dict[str, str] = {}
        for rows in parts:
            for column in dict.fromkeys(c for row in rows for c in row['others']):
                values = {row['others'].get(column, MISSING) for row in rows} - {MISSING}
                if len(values) == 1:
                    out[column] = values.pop()
                elif values and column in (*GROUP, *PERSON):
                    self._tell(
                        f'A table gives several values for the {column} of sub-{visit.subject}; '
                        'none is used. Keep only one row.'
                    )
        return out

    def finish(self) -> None:
        """Tell which visits that were asked for the tables do not name, or not by their label."""
        if self._renamed:
            pairs = [f'{given} is {label}' for label, given in sorted(self._renamed.items())]
            self._tell(
                'Labels in participants.tsv or sessions.tsv differ from the folder names '
                f'in case or in leading zeros; they were matched: {_listed(pairs)}.'
            )
        if self._people.name and self._nowhere:
            who = 'any' if self._nowhere == self._seen else f'{len(self._nowhere)}'
            self._tell(
                f'participants.tsv has no row for {who} of the {len(self._seen)} '
                f'participants (sub-{_listed(sorted(self._nowhere), ", sub-")}); it has '
                f'{_listed(self._people.rows) or "none"}. Their site, age and sex are '
                'unknown unless a sessions.tsv gives them. Correct the column '
                'participant_id.'
            )
        if (more := len(self._told) - TOLD) > 0:
            self._warn(f'{more} more notes about participants.tsv and sessions.tsv.')

    def _tell(self, sentence: str) -> None:
        self._told[sentence] += 1
        if self._told[sentence] == 1 and len(self._told) <= TOLD:
            self._warn(sentence)

    def _read(self, path: Path, prefix: str, column: str) -> _People:
        try:
            table = read_tsv(path)
        except FileNotFoundError:
            return _People()
        except InputError as error:
            self._tell(f'{path.name} cannot be used: {error}')
            return _People()
        for note in table.notes:
            self._tell(note)
        labels = table.named(column)
        if not labels:
            why = f'has no column {column} and is not used' if table.columns else 'is empty'
            self._tell(f'{path.name} {why}.')
            return _People()
        people = _People(path.name, path.parent, prefix, self._renamed)
        columns = {kind: table.named(*names) for kind, names in COLUMNS.items()}
        session = table.named('session_id', 'session') if prefix == 'sub' else []
        taken = {*labels, *session, *(name for names in columns.values() for name in names)}
        others = {
            column: re.sub(r'[^a-z0-9]+', '_', column.lower()).strip('_')
            for column in table.columns
            if column and column not in taken
        }
        sexes = self._sexes(path, table, columns['sex'])
        for row in table.rows:
            if label := bare_label(row[labels[0]], prefix):
                facts = {kind: _first(row, names) for kind, names in columns.items()}
                facts['sex'] = sexes.get(facts['sex'], facts['sex'])
                facts['session'] = bare_label(row[session[0]], 'ses') if session else ''
                facts['others'] = {
                    name: ' '.join(row[column].split())
                    for column, name in others.items()
                    if not _unknown(row[column])
                }
                people.add(label, facts)
        self._tell_doubles(path.name, table, columns)
        self._tell_unusual(path.name, table, columns['site'])
        return people

    def _sexes(self, path: Path, table: Table, columns: list[str]) -> dict[str, str]:
        """Tell what each way to write the sex stands for; codes nobody describes are told."""
        cells = [said for row in table.rows if (said := _first(row, columns)) != MISSING]
        if not cells:
            return {}
        sidecars = (path.with_suffix('.json'), self._root / 'participants.json')
        levels: dict[str, str] = {}
        for sidecar in dict.fromkeys(sidecars):
            levels = sex_levels(sidecar, columns) | levels
        meaning, note = sexes_of(cells, levels, path.name)
        if note:
            self._tell(note)
        return meaning

    def _tell_unusual(self, name: str, table: Table, columns: list[str]) -> None:
        """Tell of words that are taken for no site: a site might be called so."""
        found = Counter(row[c] for row in table.rows for c in columns[:1])
        odd = sorted(word for word in found if word.casefold() in UNUSUAL)
        if odd:
            self._tell(
                f'{name}: the site of {sum(found[word] for word in odd)} rows is written as '
                f'"{_listed(odd, chr(34) + ", " + chr(34))}", which is taken for not known. '
                'Write n/a, or another name of the site.'
            )

    def _tell_doubles(self, name: str, table: Table, columns: Mapping[str, list[str]]) -> None:
        """Tell of columns that mean the same and say different things."""
        for kind, names in columns.items():
            same = sex_of if kind == 'sex' else str
            if any(
                len({same(row[c]) for c in names if not _unknown(row[c])}) > 1
                for row in table.rows
            ):
                self._tell(
                    f'{name} gives the {kind} in several columns ({", ".join(names)}), '
                    f'which differ; {names[0]} is used where it has a value.'
                )

    def _agreed(
        self, rows: Iterable[Mapping[str, str]], people: _People, label: str
    ) -> dict[str, str]:
        """Return what all rows of somebody say; contradictions are told, and not used."""
        facts = {}
        for kind in COLUMNS:
            values = {row[kind] for row in rows} - {MISSING}
            facts[kind] = values.pop() if len(values) == 1 else MISSING
            if values:
                self._tell(
                    f'{people.name} gives several values for the {kind} of '
                    f'{people.prefix}-{label}; none is used. Keep only one row.'
                )
        return facts


@dataclass
class _People:
    """Rows of a table by label."""

    name: str = ''
    folder: Path = Path()
    prefix: str = ''
    renamed: dict[str, str] = field(default_factory=dict)
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    near: dict[str, set[str]] = field(default_factory=dict)

    def add(self, label: str, facts: dict[str, Any]) -> None:
        self.rows.setdefault(label, []).append(facts)
        self.near.setdefault(_alike(label), set()).add(label)

    def of(self, label: str) -> list[dict[str, Any]]:
        """Return the rows of a label, or of the one that a spreadsheet may have made of it."""
        if label in self.rows:
            return self.rows[label]
        near = [
            other
            for other in self.near.get(_alike(label), ())
            if not (self.folder / f'{self.prefix}-{other}').exists()
        ]
        if len(near) != 1:
            return []
        self.renamed[f'{self.prefix}-{label}'] = near[0]
        return self.rows[near[0]]


def _alike(label: str) -> str:
    """Return what stays of a label in a spreadsheet, which takes 01 for a number."""
    return label.casefold().lstrip('0')


def _unknown(text: str) -> bool:
    return text.casefold() in UNKNOWN


def _first(row: Mapping[str, str], columns: Iterable[str]) -> str:
    return next((' '.join(row[c].split()) for c in columns if not _unknown(row[c])), MISSING)


def _listed(names: Iterable[str], between: str = ', ') -> str:
    names = [plain(name)[:40] for name in names]
    rest = f' and {len(names) - NAMED} more' if len(names) > NAMED else ''
    return between.join(names[:NAMED]) + rest


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


def age_of(text: str) -> tuple[float | None, str]:
    """Read an age, as people, spreadsheets and scanners write it.

    Parameters
    ----------
    text : str
        Cell of a table.

    Returns
    -------
    years : float or None
        The age.
    kind : {'exact', 'bound', 'unknown', 'unclear'}
        Whether that is the age, or only the least that it can be, as where dates of birth are
        protected; without years, whether the cell is empty, or is not understood.

    Examples
    --------
    >>> [age_of(text)[0] for text in ('73.5', '73,5', '73 y', '073Y', '018M', '73.5 years')]
    [73.5, 73.5, 73.0, 73.0, 1.5, 73.5]
    >>> [age_of(text) for text in ('89+', '> 89', '90 or older', 'n/a', '70-79')]
    [(89.0, 'bound'), (89.0, 'bound'), (90.0, 'bound'), (None, 'unknown'), (None, 'unclear')]

    """
    text = ' '.join(text.split())
    if _unknown(text):
        return None, 'unknown'
    found = _AGE.fullmatch(text)
    if not found:
        return None, 'unclear'
    years = float(found['number'].replace(',', '.')) / _PARTS[(found['unit'] or 'y')[0].lower()]
    if years > OLDEST:
        return None, 'unclear'
    return years, 'bound' if found['over'] or found['more'] or found['older'] else 'exact'


def about_ages(texts: Iterable[str]) -> list[str]:
    """Say which ages of a group are bounds only, and which are not understood.

    Parameters
    ----------
    texts : iterable of str
        The age of each visit, as it is in the table.

    Returns
    -------
    list of str
        Sentences; none if all is clear.

    Examples
    --------
    >>> about_ages(['71', '70-79', 'n/a', '89+'])[0]
    '1 age is not a number of years and is not used ("70-79"): write years, or n/a.'
    >>> about_ages(['1950-03-02'])[0].split(':')[0]
    '1 age is a date or year of birth, which is not used, and not shown here'

    """
    kinds: dict[str, Counter] = {'unclear': Counter(), 'bound': Counter()}
    dates = 0
    for text in texts:
        kind = age_of(text)[1]
        if kind == 'unclear' and BIRTH.fullmatch(' '.join(text.split())):
            dates += 1
        elif kind in kinds:
            kinds[kind][f'"{text}"'] += 1
    notes = []
    if dates:
        many = (
            'age is a date or year of birth' if dates == 1 else 'ages are dates or years of birth'
        )
        notes.append(
            f'{dates} {many}, which {"is" if dates == 1 else "are"} not used, and not shown '
            'here: write years, or n/a, and keep dates of birth out of the dataset.'
        )
    if values := kinds['unclear']:
        many = 'age is not a number' if values.total() == 1 else 'ages are not numbers'
        verb = 'is' if values.total() == 1 else 'are'
        notes.append(
            f'{values.total()} {many} of years and {verb} not used ({_listed(values)}): '
            'write years, or n/a.'
        )
    if values := kinds['bound']:
        many = 'age is only a lower bound' if values.total() == 1 else 'ages are only lower bounds'
        notes.append(f'{values.total()} {many} ({_listed(values)}); the bound is used as the age.')
    return notes
