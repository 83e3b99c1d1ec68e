"""Everything a run was asked to do, in one immutable value."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import msgspec
from msgspec import Meta

from csvdprep.core.errors import UsageError
from csvdprep.core.words import choices


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What was asked on the command line, completed by a TOML file.

    ``options`` holds one table a room; everything else is a field of this class.
    """

    bids_dir: Path
    output_dir: Path
    analysis_level: Literal['participant', 'longitudinal', 'group'] = 'participant'
    participant_label: tuple[str, ...] = ()
    session_label: tuple[str, ...] = ()
    exclude_participant_label: tuple[str, ...] = ()
    exclude_session_label: tuple[str, ...] = ()
    visit: tuple[str, ...] = ()
    bids_filters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    skip_bids_validation: bool = False
    bids_database_dir: Path | None = None
    derivatives: Mapping[str, Path] = field(default_factory=dict)
    derivatives_optional: bool = False
    manual_ratings: Path | None = None
    b0_threshold: Annotated[float, Meta(ge=0)] = 100.0
    nprocs: Annotated[int, Meta(ge=1)] = 1
    omp_nthreads: Annotated[int, Meta(ge=1)] = 1
    mem_gb: Annotated[float, Meta(gt=0)] = 4.0
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
    rerun: Literal['stale', 'missing', 'all'] = 'stale'
    stop_on_first_crash: bool = False
    random_seed: int = 42
    write_graph: bool = False
    resource_monitor: bool = False
    verbose: int = 0
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def leaves_out(self, subject: str, session: str | None) -> bool:
        """Tell whether a visit is excluded by label.

        Examples
        --------
        >>> asked = Settings(bids_dir=Path('a'), output_dir=Path('b'),
        ...                  exclude_session_label=('2', 'sub-01_ses-3'))
        >>> [asked.leaves_out('01', s) for s in ('1', '2', '3', None)], asked.leaves_out('02', '3')
        ([False, True, True, False], False)

        """
        if subject in self.exclude_participant_label:
            return True
        labels = {session, f'sub-{subject}_ses-{session}'}
        return session is not None and not labels.isdisjoint(self.exclude_session_label)


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
            raise OSError('it is not an ordinary file')  # a pipe may wait for ever
        tables = tomllib.loads(path.read_text(encoding='utf-8'))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f'The configuration cannot be read: {error}.', file=path) from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(
            f'The configuration is not valid TOML: {error}.',
            file=path,
            remedy='Correct that line.',
        ) from error
    except RecursionError as error:
        raise UsageError('The configuration is nested too deeply.', file=path) from error
    known = {item.name for item in fields(Settings)} - {'options', 'bids_dir', 'output_dir'}
    options = {
        key: tables.pop(key)
        for key in list(tables)
        if isinstance(tables[key], dict) and key.replace('-', '_') not in known
    }
    asked = {key.replace('-', '_'): value for key, value in tables.items()}
    if unknown := sorted(set(asked) - known):
        raise UsageError(
            f'Unknown setting: {", ".join(unknown)}.',
            file=path,
            remedy=choices(unknown[0], sorted(known), 'The settings are')
            + ' They are the options of csvdprep --help, with underscores.',
        )
    hints = get_type_hints(Settings, include_extras=True)
    for name, value in asked.items():
        if wrong := _faulty(hints[name], value):
            raise UsageError(f'The setting is invalid: {wrong}.', file=path, field=name)
    return asked, options


def _faulty(hint: Any, value: Any) -> str:
    """Say what is wrong with the value of a setting; nothing if it may have it."""
    try:
        msgspec.convert(value, hint, dec_hook=_path)
    except msgspec.ValidationError as error:
        return str(error).replace('`', '')
    if isinstance(value, float) and not math.isfinite(value):
        return 'it is not finite'
    return ''


def _path(kind: type, value: Any) -> Any:
    if kind is not Path:
        raise NotImplementedError(kind)
    if not isinstance(value, str) or not value or '\0' in value:
        raise ValueError('Expected a path that is not empty')
    return Path(value)
