import subprocess
import sys

HEAVY = {'nipype', 'nibabel', 'numpy', 'bids', 'matplotlib', 'niworkflows', 'ants'}


def test_the_command_line_is_light():
    code = (
        'import sys; from csvdprep.cli.parser import get_parser; '
        'get_parser().format_help(); print(*sys.modules)'
    )
    loaded = subprocess.check_output([sys.executable, '-c', code], text=True).split()
    assert not HEAVY & set(loaded)


def test_import_contracts():
    from importlinter.cli import lint_imports

    assert lint_imports(config_filename='pyproject.toml') == 0
