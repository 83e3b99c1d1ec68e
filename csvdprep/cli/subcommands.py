"""Commands beside the BIDS App's own."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib import import_module

from csvdprep.cli.environment import hold_threads

#: Each module has ``configure(parser)``, ``run(args)`` and perhaps ``parse(parser, argv)``.
NAMES = {
    'demo': 'make a small phantom dataset and run the app on it',
    'phantom': 'make a synthetic BIDS dataset with the truth of every marker',
    'compare': 'score lesion masks by the WMH Challenge measures',
    'score': "compare an app's output with a phantom's truth",
    'review': 'look at results in a browser, and keep what persons say of them',
    'harmonise': 'bring measures of several sites onto one scale, or apply a model that does',
    'federate': 'harmonise sites that share sums, and no values',
    'norms': 'apply saved norms of controls to other visits',
    'predict': 'apply a saved outcome model to other visits',
    'slurm': 'write an array job with one visit per task, and submit it',
    'status': 'show the state of each visit',
    'options': 'list the options of the steps',
    'doctor': 'check the installation',
}


def show_defaults(parser: argparse.ArgumentParser) -> None:
    """Let the help of each option end with its default, where it does not say it.

    Examples
    --------
    >>> parser = argparse.ArgumentParser()
    >>> option = parser.add_argument('--seed', default=3, help='seed')
    >>> flag = parser.add_argument('--all', action='store_true', help='all of it')
    >>> show_defaults(parser)
    >>> option.help, flag.help
    ('seed (default: 3)', 'all of it (default: off)')

    """
    for action in parser._actions:
        told = action.help or ''
        if not action.option_strings or action.default == argparse.SUPPRESS or 'default' in told:
            continue
        value = 'off' if action.default is False else action.default
        if isinstance(value, list | tuple):
            value = ' '.join(map(str, value))
        value = str(value).replace('%', '%%') if value not in (None, '') else 'none'
        action.help = f'{told} (default: {value})'.strip()


def run(name: str, argv: list[str], *, app: Callable[[list[str]], int]) -> int:
    """Parse and carry out a subcommand.

    Parameters
    ----------
    name : str
        One of :data:`NAMES`.
    argv : list of str
        Its arguments.
    app : callable
        Runs the BIDS App on a list of arguments.

    Returns
    -------
    int
        Exit status.

    """
    hold_threads()
    module = import_module(f'csvdprep.cli.{name}')
    said = NAMES[name].capitalize() + '.'
    parser = argparse.ArgumentParser(f'csvdprep {name}', description=said)
    module.configure(parser)
    show_defaults(parser)
    # A module that hands options on to the app takes them apart itself.
    parse = getattr(module, 'parse', None)
    args = parse(parser, argv) if parse else parser.parse_args(argv)
    args.app = app
    return module.run(args)
