"""Filters of a ``--bids-filter-file``: which of several images is meant."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from csvdprep.bids.names import ENTITIES, INDICES, Name
from csvdprep.bids.raw import read_json
from csvdprep.core.declared import Declared
from csvdprep.core.errors import InputError, UsageError
from csvdprep.core.words import choices

#: Queries of other applications: a filter file shared with them may hold these.
OTHER_QUERIES = frozenset(
    {
        'pdw',
        'bold',
        'sbref',
        'fmap',
        'asl',
        'm0scan',
        'roi',
        'pet',
        'pepolar',
        'swi',
        't2starw',
        'megre',
        'angio',
        'dce',
        'dsc',
        'vfa',
    }
)
#: Short names of entities, as in file names, with those of pybids.
LONG_NAMES = {
    'sub': 'subject',
    'ses': 'session',
    'acq': 'acquisition',
    'nuc': 'nucleus',
    'voi': 'volume',
    'ce': 'ceagent',
    'trc': 'tracer',
    'stain': 'staining',
    'rec': 'reconstruction',
    'dir': 'direction',
    'mod': 'modality',
    'hemi': 'hemisphere',
    'seg': 'segmentation',
    'res': 'resolution',
    'den': 'density',
    'desc': 'description',
}
#: What a filter can hold, by the names of pybids.
FILTERABLE = {LONG_NAMES.get(key, key) for key in ENTITIES} | {'suffix', 'datatype', 'extension'}
#: Entities that usually tell two images of a kind apart.
USUAL = {'acquisition', 'run', 'reconstruction', 'ceagent', 'direction', 'echo', 'part', 'space'}


def read_filters(path: str | os.PathLike, declared: Declared) -> dict[str, dict[str, Any]]:
    """Read and check a ``--bids-filter-file``.

    Parameters
    ----------
    path : path-like
        JSON file ``{query: {entity: value}}``. A value is a text, a number or a list of them;
        null asks for files without the entity, ``"*"`` for files that have it.
    declared : Declared
        Inputs and results from outside: the queries that there are.

    Returns
    -------
    dict
        Filters of each query, entities by the names of pybids.

    Raises
    ------
    UsageError
        If the file is no such JSON, or names a query or an entity that does not exist.

    Examples
    --------
    >>> import tempfile
    >>> from csvdprep.core.declared import Input
    >>> t1w = Input(name='t1w', title='T1w', description='', datatype='anat', suffixes=('T1w',),
    ...             frame='anat')
    >>> file = Path(tempfile.mkdtemp()) / 'filter.json'
    >>> _ = file.write_text('{"t1w": {"acq": "mprage", "run": null}}')
    >>> read_filters(file, Declared((t1w,)))
    {'t1w': {'acquisition': 'mprage', 'run': None}}

    """
    try:
        content = read_json(Path(path))
    except InputError as error:
        raise UsageError(
            error.message, file=path, field='--bids-filter-file', remedy=error.remedy
        ) from error
    return check_filters(content, declared, path)


def check_filters(
    content: Mapping[str, Any], declared: Declared, path: str | os.PathLike | None = None
) -> dict[str, dict[str, Any]]:
    """Bring filters to one form, or raise UsageError that names what is wrong."""
    filters: dict[str, dict[str, Any]] = {}

    def refuse(message: str, remedy: str):
        raise UsageError(message, file=path, field='--bids-filter-file', remedy=remedy)

    for query, wanted in content.items():
        if query not in {*declared.names} | OTHER_QUERIES:
            refuse(
                f'There is no query "{query}".', choices(query, declared.names, 'The queries are')
            )
        if not isinstance(wanted, Mapping):
            refuse(
                f'The query "{query}" does not contain a table of entities.',
                f'Write {{"{query}": {{"acquisition": "mprage"}}}}.',
            )
        filters[query] = {}
        for entity, value in wanted.items():
            name = LONG_NAMES.get(entity, entity)
            if query in declared.names and name not in FILTERABLE:
                refuse(
                    f'BIDS has no entity "{entity}" that can filter {query}.',
                    choices(
                        entity, sorted(USUAL), 'Entities are, among others,', FILTERABLE | USUAL
                    ),
                )
            values = value if isinstance(value, list) else [value]
            if not all(item is None or isinstance(item, str | int) for item in values):
                refuse(
                    f'The value of "{entity}" in the query "{query}" is not text.',
                    'Give text, a number, null, "*", or a list of these.',
                )
            filters[query][name] = value
    return filters


def fits(name: Name, datatype: str, wanted: Mapping[str, Any]) -> bool:
    """Tell whether a file is what a filter asks for.

    pybids could tell, too, but looks for entities in the whole path: a dataset below a folder
    that is called ``sub-09`` or ``run-1`` would have that participant, or run, in all files.
    """
    has = {LONG_NAMES.get(key, key): value for key, value in name.entities.items()}
    has |= {'suffix': name.suffix, 'extension': name.extension, 'datatype': datatype}

    def same(value: str | None, asked: Any, entity: str) -> bool:
        if asked in (None, 'Query.NONE') or value is None:
            return value is None and asked in (None, 'Query.NONE')
        if asked in ('*', 'Query.ANY'):
            return True
        if entity in INDICES and value.isdecimal() and str(asked).isdecimal():
            # As texts, since there is no end to the digits that somebody may write.
            return value.lstrip('0') == str(asked).lstrip('0')
        return value.lstrip('.') == str(asked).lstrip('.')

    return all(
        any(
            same(has.get(entity), item, entity)
            for item in (asked if isinstance(asked, list) else [asked])
        )
        for entity, asked in wanted.items()
    )
