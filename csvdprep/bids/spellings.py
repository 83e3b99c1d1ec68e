"""How people write the sex, the site, a date, and that something is not known."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from csvdprep.bids.files import read_any_text
from csvdprep.core.errors import plain

MISSING = 'n/a'
#: Words (in lower case) for a value that is not known.
UNKNOWN = frozenset(
    {'', MISSING, 'nan', 'na', 'none', 'null', 'unknown', 'missing', '.', '-', '?', '#n/a', 'n.a.'}
)
#: Those that no standard has, and that are told: they might be the name of something.
UNUSUAL = UNKNOWN - {'', MISSING, 'nan'}
#: Words (in lower case) for a sex.
SEXES = {'m': 'M', 'male': 'M', 'man': 'M', 'f': 'F', 'female': 'F', 'woman': 'F', 'w': 'F'}
#: Ways to write a date.
DATE = re.compile(
    r'\d{4}[-/.]\d{1,2}[-/.]\d{1,2}.*|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}|\d{8}'
    r'|\d{1,2}[-. ]+[A-Za-z]{3,9}[-. ]+\d{2,4}|[A-Za-z]{3,9}\.? \d{1,2},? \d{4}'
)
#: Ways to write when somebody was born where an age is due: a date, its month, its year.
BIRTH = re.compile(
    rf'{DATE.pattern}|(?:18|19|20)\d{{2}}(?:[-/.]\d{{1,2}})?|\d{{1,2}}[-/.](?:18|19|20)\d{{2}}'
)
_CODE = re.compile(r'-?\d+(?:[.,]0+)?')
#: What stands before a name and tells nothing.
_PREFIX = re.compile(r'^(?:site|centre|center)(?=.)')


def sex_of(text: str) -> str:
    """Return 'F' or 'M' where a word says so, else the text.

    Examples
    --------
    >>> sex_of('Female'), sex_of('m'), sex_of('other')
    ('F', 'M', 'other')
    """
    return SEXES.get(text.casefold(), text)


def sexes_of(
    cells: Iterable[str], levels: Mapping[str, str], name: str
) -> tuple[dict[str, str], str]:
    """Tell what each way to write the sex in a column stands for.

    Parameters
    ----------
    cells : iterable of str
        The column.
    levels : mapping of str to str
        'F' or 'M' by code, as :func:`sex_levels` reads them.
    name : str
        What a message calls the table.

    Returns
    -------
    meaning : dict of str to str
        For each text of the column what is to be used in its place: 'F' or 'M' of a code that is
        described; 'n/a' of a number that is not, beside words; the text of all others.
    note : str
        A sentence about numbers that nobody describes; '' if there are none.

    Examples
    --------
    >>> sexes_of(['1', '2', 'n/a'], {'1': 'M', '2': 'F'}, 'participants.tsv')
    ({'1': 'M', '2': 'F', 'n/a': 'n/a'}, '')
    >>> meaning, note = sexes_of(['1', 'F', '1'], {}, 'participants.tsv')
    >>> meaning, note.split(':')[0]
    ({'1': 'n/a', 'F': 'F'}, 'participants.tsv writes the sex of 2 rows as a number ("1"), ...
    """
    found = Counter(' '.join(cell.split()) for cell in cells)
    meaning = {text: _described(text, levels) for text in found}
    codes = sorted(text for text, said in meaning.items() if _CODE.fullmatch(said))
    if not codes:
        return meaning, ''
    words = any(sex_of(said) in ('F', 'M') for said in meaning.values())
    told = ', '.join(f'"{code}"' for code in codes[:5])
    if words:
        meaning |= dict.fromkeys(codes, MISSING)
    many = sum(found[code] for code in codes)
    note = (
        f'{name} writes the sex of {many} row{"s" if many > 1 else ""} as a number ({told}), and '
        'nothing says which is female: '
        + (
            'it is not used, as others are words. '
            if words
            else 'numbers are groups of their own; norms and the index of burden go without. '
        )
        + f'Write F and M, or describe the numbers by Levels in {Path(name).stem}.json.'
    )
    return meaning, note


def _described(text: str, levels: Mapping[str, str]) -> str:
    if text.casefold() in SEXES:
        return text
    return levels.get(text) or levels.get(re.sub(r'[.,]0+$', '', text)) or text


def sex_levels(path: Path, columns: Iterable[str]) -> dict[str, str]:
    """Read what the codes of a column for the sex mean from the sidecar of its table.

    Parameters
    ----------
    path : Path
        ``participants.json``; it may be missing.
    columns : iterable of str
        Names of the column.

    Returns
    -------
    dict of str to {'F', 'M'}
        Codes whose description names one sex.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / 'participants.json'
    >>> _ = file.write_text('{"sex": {"Levels": {"0": "Female", "1": "Male", "2": "not asked"}}}')
    >>> sex_levels(file, ['sex'])
    {'0': 'F', '1': 'M'}
    """
    try:
        facts = json.loads(read_any_text(path)[0])
    except (OSError, ValueError):
        return {}
    out = {}
    for column in columns:
        described = facts.get(column) if isinstance(facts, dict) else None
        levels = described.get('Levels') if isinstance(described, dict) else None
        for code, text in levels.items() if isinstance(levels, dict) else ():
            if (sex := _named(text)) and str(code) not in out:
                out[str(code)] = sex
    return out


def _named(text: Any) -> str:
    """Return the sex that a description names; '' if it names none or both."""
    if isinstance(text, dict):
        text = text.get('Description', '')
    words = re.findall(r'[a-z]+', str(text).casefold())
    found = {SEXES[word] for word in words if word in SEXES}
    return found.pop() if len(found) == 1 else ''


def look_alike(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Return the names that may be one: they differ in case, blanks, signs, zeros, or 'site'.

    Parameters
    ----------
    names : iterable of str
        As written.

    Returns
    -------
    list of tuple of str
        Each with two names or more.

    Examples
    --------
    >>> look_alike(['A', 'a', 'Site A', 'B', 'S01', 'S1', 'S10'])
    [('A', 'Site A', 'a'), ('S01', 'S1')]
    """
    spelt: dict[str, set[str]] = {}
    for name in names:
        key = re.sub(r'[\W_]+', '', str(name)).casefold()
        key = re.sub(r'(?<!\d)0+(?=\d)', '', _PREFIX.sub('', key))
        spelt.setdefault(key, set()).add(str(name))
    return [tuple(sorted(same)) for same in spelt.values() if len(same) > 1]


def about_sites(names: Iterable[str]) -> list[str]:
    """Say which sites may be one, spelt in several ways.

    Parameters
    ----------
    names : iterable of str
        Site of each row; 'n/a' where it is not known.

    Returns
    -------
    list of str
        Sentences; none if all is clear.

    Examples
    --------
    >>> about_sites(['A', 'a', 'n/a'])[0].split(':')[0]
    'A and a may be one site'
    """
    found = look_alike(set(names) - {MISSING})
    return [
        f'{plain(" and ".join(same))} may be one site: they count as several. Write a site in '
        'one way.'
        for same in found
    ]
