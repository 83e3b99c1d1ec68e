"""Read bibliographies, and turn citation keys into numbers and a list of references."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from csvdprep.core.room import Room

_ENTRY = re.compile(r'@(\w+)\s*\{\s*([^\s,{}"]+)\s*,')
_FIELD = re.compile(r'\s*,?\s*([\w-]+)\s*=\s*')
_CITATION = re.compile(r'\[(@[^\[\]]+)\]')
_KEY = re.compile(r'@([\w:.+/-]*\w)')


@dataclass(frozen=True)
class Entry:
    """One reference.

    Parameters
    ----------
    key : str
        Citation key.
    fields : mapping of str to str
        Lower-case names; braces taken away.
    source : str
        The entry as it is written in its file.
    """

    key: str
    fields: Mapping[str, str]
    source: str = ''

    def __str__(self) -> str:
        """Write the reference on one line, without its DOI."""
        get = self.fields.get
        names = [' '.join(name.split()) for name in re.split(r'\s+and\s+', get('author', ''))]
        who = ', '.join(names[:3]) + (' et al.' if len(names) > 3 else '')
        volume = get('volume', '') + (f'({get("number")})' if get('number') else '')
        pages = get('pages', '').replace('--', '\u2013')
        where = get('journal') or get('booktitle') or get('publisher') or ''
        parts = [
            who.rstrip('.'),
            get('title', '').rstrip('.'),
            where,
            ';'.join(p for p in (get('year', ''), volume) if p),
        ]
        text = '. '.join(part for part in parts if part)
        return text + (f':{pages}' if pages else '') + '.'

    @property
    def doi(self) -> str:
        """The DOI, empty if there is none."""
        return self.fields.get('doi', '').removeprefix('https://doi.org/')

    @property
    def url(self) -> str:
        """Where it is found: by its DOI, else in PubMed; empty if there is neither."""
        if self.doi:
            return f'https://doi.org/{quote(self.doi)}'
        pmid = self.fields.get('pmid', '')
        return f'https://pubmed.ncbi.nlm.nih.gov/{quote(pmid)}' if pmid else ''

    @property
    def identity(self) -> tuple[str, str]:
        """What tells two works apart: the DOI, or key and title."""
        return (self.doi.lower(), '') if self.doi else (self.key, self.fields.get('title', ''))


def parse_bib(text: str) -> dict[str, Entry]:
    """Read the entries of a BibTeX file.

    What is no entry is passed over; an entry that does not end is left out.

    Parameters
    ----------
    text : str
        Content of the file.

    Returns
    -------
    dict of str to Entry
        By citation key.

    Examples
    --------
    >>> entry = parse_bib('@article{x1, title = {A {B} c}, year = 2020, doi = "10.1/2"}')['x1']
    >>> entry.fields['title'], entry.fields['year'], entry.doi
    ('A B c', '2020', '10.1/2')

    """
    entries = {}
    for match in _ENTRY.finditer(text):
        end = _closing(text, text.index('{', match.start()))
        if end is None:
            continue
        source = text[match.start() : end + 1]
        fields = dict(_fields(text[match.end() : end]))
        entries.setdefault(match[2], Entry(match[2], fields, source))
    return entries


def _closing(text: str, start: int) -> int | None:
    """Find the brace that closes the one at ``start``."""
    depth = 0
    for place in range(start, len(text)):
        depth += {'{': 1, '}': -1}.get(text[place], 0)
        if depth == 0:
            return place
    return None


def _fields(body: str) -> Iterator[tuple[str, str]]:
    place = 0
    while match := _FIELD.match(body, place):
        start = match.end()
        opening = body[start : start + 1]
        if opening == '{':
            end = _closing(body, start)
            value, place = body[start + 1 : end], len(body) if end is None else end + 1
        elif opening == '"':
            end = body.find('"', start + 1)
            value, place = body[start + 1 : end], len(body) if end < 0 else end + 1
        else:
            value = re.match(r'[^,]*', body[start:])[0]
            place = start + len(value)
        yield match[1].lower(), ' '.join(re.sub(r'[{}]', '', value).split())


def bibliography(room: Room | None = None) -> dict[str, Entry]:
    """Read the ``references.bib`` of a room's package, or that of the application.

    Parameters
    ----------
    room : Room, optional
        Its package is where its ``build`` lives.

    Returns
    -------
    dict of str to Entry
        Empty if there is no such file.

    Examples
    --------
    >>> 'gorgolewski2011' in bibliography()
    True

    """
    if room is None:
        folder = Path(__file__).parent
    else:
        package = room.build.partition(':')[0].rpartition('.')[0]
        spec = find_spec(package) if package else None
        if spec is None or not spec.submodule_search_locations:
            return {}
        folder = Path(next(iter(spec.submodule_search_locations)))
    try:
        return parse_bib((folder / 'references.bib').read_text(encoding='utf-8'))
    except OSError:
        return {}


@dataclass
class Citations:
    """Numbers given to references in the order of their citation.

    Each text comes with the bibliography of its own room: two rooms may use one key for two
    works, and one work, told by its DOI, has one number whatever its keys.

    Examples
    --------
    >>> cited = Citations()
    >>> known = {'a': Entry('a', {}), 'b': Entry('b', {})}
    >>> cited.number('N4 was used [@b]. So was SyN [@a; @b].', known)
    'N4 was used [1]. So was SyN [2, 1].'

    """

    entries: list[Entry] = field(default_factory=list)

    def number(self, text: str, known: Mapping[str, Entry]) -> str:
        """Replace ``[@key; @key]`` by numbers; keys without entry stay as they are."""

        def numbers(found: re.Match[str]) -> str:
            keys = _KEY.findall(found[1])
            return f'[{", ".join(str(self.add(known[k])) if k in known else k for k in keys)}]'

        return _CITATION.sub(numbers, text)

    def add(self, entry: Entry) -> int:
        """Return the number of a reference."""
        for number, other in enumerate(self.entries, 1):
            if entry.identity == other.identity:
                return number
        self.entries.append(entry)
        return len(self.entries)

    def has(self, entry: Entry) -> bool:
        """Tell whether a reference has a number."""
        return any(entry.identity == other.identity for other in self.entries)

    def bibtex(self) -> str:
        """Write the references cited as BibTeX, keys made unique."""
        seen: dict[str, int] = {}
        parts = []
        for entry in self.entries:
            count = seen[entry.key] = seen.get(entry.key, 0) + 1
            key = entry.key if count == 1 else f'{entry.key}{chr(96 + count)}'
            parts.append(entry.source.replace(entry.key, key, 1))
        return '\n\n'.join(parts) + '\n'


def reference_html(entry: Entry) -> str:
    """Write a reference with a link to its DOI, or to PubMed.

    Examples
    --------
    >>> print(reference_html(Entry('x', {'author': 'A', 'title': '<b>', 'doi': '10.1/2'})))
    A. &lt;b&gt;. <a href="https://doi.org/10.1/2">doi:10.1/2</a>
    >>> print(reference_html(Entry('x', {'author': 'A', 'title': 'B', 'pmid': '12'})))
    A. B. <a href="https://pubmed.ncbi.nlm.nih.gov/12">PMID:12</a>

    """
    name = f'doi:{entry.doi}' if entry.doi else f'PMID:{entry.fields.get("pmid", "")}'
    link = f' <a href="{entry.url}">{escape(name)}</a>' if entry.url else ''
    return escape(str(entry)) + link
