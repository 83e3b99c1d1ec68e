"""No dependency is declared that nothing imports."""

from __future__ import annotations

import ast
import re
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import csvdprep

ROOT = Path(__file__).parents[2]


def normal(name):
    """Write the name of a distribution as indexes do: PyYAML and py_yaml may be one."""
    return re.sub(r'[-_.]+', '-', name).lower()


def declared():
    project = tomllib.loads((ROOT / 'pyproject.toml').read_text(encoding='utf-8'))['project']
    return [normal(re.match(r'[\w.-]+', text)[0]) for text in project['dependencies']]


def imported(folder):
    """Find the packages that the modules of a folder import, at their top or when needed.

    Names given to ``import_module`` count, so that what takes seconds may be imported late.
    """
    found = set()
    for path in folder.rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(node.module)
            elif isinstance(node, ast.Call) and node.args:
                called = getattr(node.func, 'id', getattr(node.func, 'attr', ''))
                first = getattr(node.args[0], 'value', None)
                if called == 'import_module' and isinstance(first, str):
                    found.add(first)
    return {name.partition('.')[0] for name in found}


@pytest.fixture(scope='module')
def used():
    return imported(Path(csvdprep.__file__).parent)


@pytest.mark.parametrize('name', declared())
def test_every_dependency_is_imported(name, used):
    modules = {
        module
        for module, distributions in packages_distributions().items()
        if name in map(normal, distributions)
    }
    assert modules, f'{name} is not installed'
    assert modules & used, f'no module of csvdprep imports {name}: drop it'


def test_imports_are_found_where_they_stand(tmp_path):
    (tmp_path / 'a.py').write_text(
        'import one.two\n'
        'def late():\n'
        '    from three.four import five\n'
        '    from . import six\n'
        "    import_module('seven.eight')\n"
        "    load('nine')\n"
    )
    assert imported(tmp_path) == {'one', 'three', 'seven'}
