"""Commands of the pages are taken by the real command line, and their links lead somewhere."""

import argparse
import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest

from csvdprep.cli import subcommands
from csvdprep.cli.parser import get_parser, to_settings

ROOT = Path(__file__).parents[2]
PAGES = [
    *sorted(ROOT.glob('docs/**/*.md')),
    *(ROOT / name for name in ('README.md', 'CONTRIBUTING.md', 'CHANGES.md')),
    *sorted(ROOT.glob('data/**/README.md')),
]
PAGES = [page for page in PAGES if page.is_file() and 'generated' not in page.parts]
if not PAGES:
    pytest.skip('no pages beside an installed package', allow_module_level=True)
each_page = pytest.mark.parametrize(
    'page', PAGES, ids=lambda page: page.relative_to(ROOT).as_posix()
)
#: What stands before the arguments: the command, or an image that runs it.
COMMAND = re.compile(r'(?:.*/)?csvdprep(?:-[0-9.]+)?(?:\.sif)?(?::[0-9.]+)?')
#: Options that name files which the page only supposes.
SUPPOSED = ('--config-file', '--bids-filter-file', '--use-plugin', '--manual-ratings')
ENDS = {'|', '>', '>>', '2>', '&&', '||', ';', '&', '('}


def shell_lines(text):
    """Yield the lines of shell blocks and the commands within sentences."""
    for block in re.findall(r'```(?:sh|bash)\n(.*?)```', text, re.DOTALL):
        yield from block.replace('\\\n', ' ').splitlines()
    prose = re.sub(r'```.*?```', '', text, flags=re.DOTALL)
    for code in re.findall(r'(?<!`)`(csvdprep [^`\n]+)`', prose):
        # "csvdprep status", "csvdprep options [STEP]": what is talked about, not a command.
        if re.search(r'[A-Z/]| -', code) and not re.search(r'\.\.\.|…|\[|\{|<', code):
            yield code


def commands(text):
    """Yield the arguments of every csvdprep command."""
    for line in shell_lines(text):
        if 'csvdprep' not in line:
            continue
        words = shlex.shlex(line, posix=True, punctuation_chars='&|;()<>')
        words.whitespace_split = True
        words.commenters = '#'
        words = list(words)
        for place, word in enumerate(words):
            before = words[:place]
            first = not before or before[-1] in ENDS or before[-1] in ('--', 'then', 'do')
            runs = any(w in ('docker', 'podman', 'apptainer') for w in before) and 'run' in before
            if not COMMAND.fullmatch(word) or not (first or runs):
                continue
            rest = words[place + 1 :]
            end = next((i for i, w in enumerate(rest) if w in ENDS), len(rest))
            if runs and rest[:1] in (['csvdprep'], []):
                continue
            rest = [re.sub(r'\$\{?visit\}?', 'sub-01', w) for w in rest[:end]]
            yield [re.sub(r'\$\{?\w+[^}]*\}?', '2', w) for w in rest]


def parsed(argv):
    """Parse as the command does; settings are checked, files are not."""
    if argv[0] in subcommands.NAMES:
        module = import_module(f'csvdprep.cli.{argv[0]}')
        parser = argparse.ArgumentParser(f'csvdprep {argv[0]}')
        module.configure(parser)
        own = getattr(module, 'parse', None)
        args = own(parser, argv[1:]) if own else parser.parse_args(argv[1:])
        if argv[0] == 'slurm':
            parsed(['bids', 'out', 'participant', *args.app_options])
        return
    args = get_parser().parse_args(argv)
    for option in SUPPOSED:
        if option in argv:
            setattr(args, option.strip('-').replace('-', '_'), None)
    to_settings(args)


@each_page
def test_commands_are_parsed(page):
    for argv in commands(page.read_text(encoding='utf-8')):
        if not argv or {'--version', '--help', '...'} & {*argv}:
            continue
        try:
            parsed(argv)
        except SystemExit as error:
            pytest.fail(f'csvdprep {shlex.join(argv)}: exit status {error.code}')


def test_there_are_commands_and_wrong_ones_are_found():
    found = [argv for page in PAGES for argv in commands(page.read_text(encoding='utf-8'))]
    assert len(found) > 40
    assert ['demo', 'DIR'] in found
    assert any(argv[:3] == ['/data', '/out', 'participant'] for argv in found)  # in a container
    text = '```sh\ncsvdprep BIDS OUT participant --no-such-option  # why\n```'
    (wrong,) = commands(text)
    with pytest.raises(SystemExit):
        parsed(wrong)


@each_page
def test_links_lead_somewhere(page):
    text = page.read_text(encoding='utf-8')
    text = re.sub(r'```.*?```', '', text, flags=re.DOTALL)
    for target, anchor in re.findall(r'\]\(([^)\s:#]*)(#[^)\s]*)?\)', text):
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), f'{target}{anchor}'
        if anchor and file.suffix == '.md':
            assert anchor[1:] in anchors(file), f'{target}{anchor}'


@each_page
def test_pages_of_the_index_exist_and_all_are_in_it(page):
    if page.parent.name not in ('docs', 'howto'):
        return
    index = (ROOT / 'docs' / 'index.md').read_text(encoding='utf-8')
    name = page.relative_to(ROOT / 'docs').with_suffix('').as_posix()
    assert name == 'index' or re.search(rf'^(.*<)?{re.escape(name)}>?$', index, re.MULTILINE)


def anchors(file):
    """Return the anchors of a page's headings, as Git hosts make them."""
    text = re.sub(r'```.*?```', '', file.read_text(encoding='utf-8'), flags=re.DOTALL)
    heads = re.findall(r'^#+ +(.+)$', text, re.MULTILINE)
    words = (re.sub(r'[^\w\- ]', '', re.sub(r'\[([^]]*)\]\([^)]*\)', r'\1', h)) for h in heads)
    return {word.strip().lower().replace(' ', '-') for word in words}


def test_the_page_of_failures_names_measures_that_exist():
    from fnmatch import fnmatch

    from csvdprep.graph.discover import discover

    page = ROOT / 'docs' / 'failures.md'
    measures = {m.name for room in discover(level='') for m in room.measures}
    table = page.read_text(encoding='utf-8').partition('## Reasons')[0]
    for name in re.findall(r'`([a-z0-9_*{},]+)`', table):
        head, _, rest = name.partition('{')
        parts, _, tail = rest.partition('}')
        for pattern in [head + part + tail for part in parts.split(',')] if rest else [name]:
            assert any(fnmatch(m, pattern) for m in measures), pattern
