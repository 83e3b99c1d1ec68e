import subprocess
import sys
from pathlib import Path

HEAVY = {'nipype', 'nibabel', 'numpy', 'bids', 'matplotlib', 'niworkflows', 'ants'}


def test_the_command_line_is_light():
    code = (
        'import sys; from csvdprep.cli.parser import get_parser; '
        'get_parser().format_help(); print(*sys.modules)'
    )
    loaded = subprocess.check_output([sys.executable, '-c', code], text=True).split()
    assert not HEAVY & set(loaded)


def test_import_contracts():
    # In a process of its own: the linter reconfigures logging.
    code = 'import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())'
    done = subprocess.run(
        [sys.executable, '-c', code],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert done.returncode == 0, done.stdout
