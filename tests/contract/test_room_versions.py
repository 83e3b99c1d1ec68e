"""Who changes what a room computes raises its version; results of former code are not kept."""

import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / 'scripts' / 'room_versions.py'
spec = importlib.util.spec_from_file_location('room_versions', SCRIPT)
room_versions = importlib.util.module_from_spec(spec)
spec.loader.exec_module(room_versions)
NOW = room_versions.current()
same_python = pytest.mark.skipif(
    sys.version_info[:2] != room_versions.PYTHON, reason='syntax trees of another Python'
)


@same_python
@pytest.mark.parametrize('name', sorted(NOW))
def test_code_and_version_of_a_room_are_as_noted(name):
    noted = room_versions.read_noted().get(name)
    assert noted == NOW[name], (
        f'The code of {name} changed. Raise its version if its results may change (then run '
        'scripts/room_versions.py --raised), or say that they do not (--same).'
    )


def test_comments_docstrings_and_layout_do_not_count(tmp_path, monkeypatch):
    monkeypatch.setattr(room_versions, 'ROOT', tmp_path)
    folder = tmp_path / 'csvdprep' / 'markers' / 'glow'
    folder.mkdir(parents=True)
    shared = tmp_path / 'csvdprep' / 'science'
    shared.mkdir()
    (folder / 'science.py').write_text('from csvdprep.science.shapes import f\n\nA = f(1)\n')
    (shared / 'shapes.py').write_text('def f(x):\n    return x\n')
    package = 'csvdprep.markers.glow'
    before = room_versions.code_digest(package)
    (folder / 'science.py').write_text(
        '"""Words."""\nfrom csvdprep.science.shapes import (\n    f,\n)\n# more\nA = f( 1 )\n'
    )
    (folder / 'figures.py').write_text('B = 2\n')
    assert room_versions.code_digest(package) == before
    (shared / 'shapes.py').write_text('def f(x):\n    """Double."""\n    return 2 * x\n')
    assert room_versions.code_digest(package) != before
