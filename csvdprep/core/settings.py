"""Everything a run was asked to do, in one immutable value."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from csvdprep.core.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What was asked on the command line, completed by a TOML file.

    ``options`` holds one table a room; everything else is a field of this class.
    """

    bids_dir: Path
    output_dir: Path
    analysis_level: str = 'participant'
    participant_label: tuple[str, ...] = ()
    session_label: tuple[str, ...] = ()
    visit: tuple[str, ...] = ()
    bids_filters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    skip_bids_validation: bool = False
    bids_database_dir: Path | None = None
    derivatives: Mapping[str, Path] = field(default_factory=dict)
    b0_threshold: float = 100.0
    nprocs: int = 1
    omp_nthreads: int = 1
    mem_gb: float = 4.0
    low_mem: bool = False
    use_plugin: Path | None = None
    markers: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    output_spaces: tuple[str, ...] = ()
    dry_run: bool = False
    sloppy: bool = False
    reports_only: bool = False
    boilerplate_only: bool = False
    work_dir: Path = Path('work')
    clean_workdir: bool = False
    keep_workdir: bool = False
    rerun: str = 'stale'
    stop_on_first_crash: bool = False
    random_seed: int = 42
    write_graph: bool = False
    resource_monitor: bool = False
    verbose: int = 0
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def read_config(path: Path) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Read a TOML file of settings.

    Parameters
    ----------
    path : Path
        File with settings at the top level and one table a room.

    Returns
    -------
    asked : dict
        Fields of :class:`Settings`.
    options : dict
        Table of options of each room.

    Raises
    ------
    UsageError
        If the file cannot be read, is no TOML, or names a setting that does not exist.

    """
    try:
        if path.exists() and not path.is_file():
            raise OSError('it is no ordinary file')  # a pipe may wait for ever
        tables = tomllib.loads(path.read_text(encoding='utf-8'))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f'The configuration cannot be read: {error}.', file=path) from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f'The configuration is not valid TOML: {error}.', file=path,
                         remedy='Correct that line.') from error  # fmt: skip
    except RecursionError as error:
        raise UsageError('The configuration is nested too deep.', file=path) from error
    known = {item.name for item in fields(Settings)} - {'options', 'bids_dir', 'output_dir'}
    options = {key: tables.pop(key) for key in list(tables)
               if isinstance(tables[key], dict) and key.replace('-', '_') not in known}
    asked = {key.replace('-', '_'): value for key, value in tables.items()}
    if unknown := sorted(set(asked) - known):
        raise UsageError(f'Unknown setting: {", ".join(unknown)}.', file=path,
                         remedy=f'Known settings are: {", ".join(sorted(known))}.')  # fmt: skip
    for item in fields(Settings):
        if item.name in asked and (wanted := _lacks(item.name, item.type, asked[item.name])):
            raise UsageError(f'The setting has to be {wanted}.', file=path, field=item.name)
    return asked, options


def _lacks(name: str, kind: str, value: Any) -> str:
    """Say what a setting has to be; nothing if it is."""
    if kind.startswith('tuple'):
        good = isinstance(value, list) and all(isinstance(part, str) for part in value)
        return '' if good else 'a list of texts'
    if kind == 'bool':
        return '' if isinstance(value, bool) else 'true or false'
    if kind in ('int', 'float'):
        good = isinstance(value, (int, float) if kind == 'float' else int)
        good = good and not isinstance(value, bool)
        if name in ('nprocs', 'omp_nthreads', 'mem_gb'):
            return '' if good and 0 < value < math.inf else 'a number above zero'
        if name == 'b0_threshold':
            return '' if good and 0 <= value < math.inf else 'a number from zero on'
        return '' if good else 'a whole number'
    if name == 'derivatives':
        good = isinstance(value, dict) and all(_is_text(v) and v for v in value.values())
        return '' if good else 'a table of names and folders'
    if kind.startswith('Mapping'):
        return '' if isinstance(value, dict) else 'a table'
    choices = {'rerun': ('stale', 'failed', 'all'), 'analysis_level': ('participant', 'group')}
    if name in choices:
        return '' if value in choices[name] else f'one of {", ".join(choices[name])}'
    if kind.startswith('Path'):
        return '' if _is_text(value) and value else 'a path, which is not empty'
    return '' if _is_text(value) else 'a text'


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and '\0' not in value
