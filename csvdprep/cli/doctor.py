"""``csvdprep doctor``: check the installation, the templates, write access, memory and disk.

With ``--bidsignore`` it adds rules for names that BIDS has not settled to a dataset.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from csvdprep.cli.parser import allowed_memory_gb, allowed_processors
from csvdprep.cli.paths import path


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        '-w', '--work-dir', type=path, default=Path('work'), help='working directory to check'
    )
    parser.add_argument(
        '--bidsignore',
        type=path,
        metavar='BIDS_DIR',
        help='instead of the checks: add rules to .bidsignore of this dataset for images whose '
        'names BIDS has not settled (DCE, DSC, SWI), so that validators pass them',
    )


def run(args: argparse.Namespace) -> int:
    """Print a line a check; the status is 0 if all is well, 3 otherwise."""
    if args.bidsignore is not None:
        return _ignore(args.bidsignore)
    checks: dict[str, Callable[[], str]] = {
        'libraries': _libraries,
        'templates': _templates,
        'networks': _networks,
        'working directory': lambda: _writable(args.work_dir),
        'processors': lambda: f'{allowed_processors()} available',
        'memory': _memory,
        'disk': lambda: _disk(args.work_dir),
    }
    failed = False
    for name, check in checks.items():
        try:
            print(f'ok    {name}: {check()}')
        except Exception as error:  # each check tells its own fault
            failed = True
            print(f'FAIL  {name}: {error}')
    return 3 if failed else 0


def _ignore(folder: Path) -> int:
    """Write rules, and say which."""
    from csvdprep.bids.bidsignore import write_rules

    rules = write_rules(folder)
    for rule, count in rules.items():
        print(f'added {rule} ({count} files)')
    if not rules:
        print('nothing to add: every name is settled, or left out already')
    return 0


def _libraries() -> str:
    from importlib import import_module
    from importlib.metadata import version

    names = {
        'ants': 'antspyx',
        'nipype': 'nipype',
        'nibabel': 'nibabel',
        'bids': 'pybids',
        'onnxruntime': 'onnxruntime',
        'nireports': 'nireports',
    }
    os.environ.setdefault('NO_ET', '1')
    for module in names:
        import_module(module)
    return ', '.join(f'{package} {version(package)}' for package in names.values())


def _templates() -> str:
    from csvdprep.resources import template_file

    return str(template_file(suffix='T1w', desc='brain').parent)


def _networks() -> str:
    from csvdprep.imaging.brain import model_folder

    return str(model_folder())


def _writable(folder: Path) -> str:
    folder = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
    with tempfile.TemporaryFile(dir=folder):
        return f'{folder} is writable'


def _memory() -> str:
    found = allowed_memory_gb()
    if found < 4:
        raise MemoryError(f'{found:.1f} GB available, 4 GB are needed')
    return f'{found:.1f} GB available'


def _disk(folder: Path) -> str:
    folder = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
    free = shutil.disk_usage(folder).free / 1e9
    if free < 2:
        raise OSError(f'{free:.1f} GB free, 2 GB are needed')
    return f'{free:.0f} GB free'
