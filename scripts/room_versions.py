"""Note with which code the version of each room was last looked at.

    python scripts/room_versions.py                 # which rooms have other code than noted
    python scripts/room_versions.py --same wmh ...  # their results are the same: note their code
    python scripts/room_versions.py --raised        # note rooms whose version was raised

Results of a room are kept until its inputs, its options or its version change. Who changes code
that a room runs (its folder, and what that imports of ``science``, ``imaging`` and ``interfaces``)
either raises its version, or says by ``--same`` that results stay. Comments, docstrings, layout,
declarations and figures do not count; templates and models are noted as ``data``. Syntax trees are
those of Python 3.11: notes are made, and compared, with that.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: Whose syntax trees are digested.
PYTHON = (3, 11)
NOTED = ROOT / 'tests' / 'contract' / 'room_versions.json'
#: Modules of a room that do not make its results.
ASIDE = ('__init__', 'figures', 'references')
SHARED = ('csvdprep.science', 'csvdprep.imaging', 'csvdprep.interfaces')


def main() -> int:
    """Compare, or note."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--same', nargs='+', default=[], metavar='ROOM')
    parser.add_argument('--raised', action='store_true')
    asked = parser.parse_args()
    if sys.version_info[:2] != PYTHON:
        parser.error('this takes Python 3.11')
    noted = read_noted()
    now = current()
    for name, item in now.items():
        raised = asked.raised and item['version'] > noted.get(name, {'version': 0})['version']
        if name in asked.same or raised:
            noted[name] = item
    noted = {name: item for name, item in noted.items() if name in now}
    NOTED.write_text(json.dumps(noted, indent=1, sort_keys=True) + '\n', encoding='utf-8')
    changed = differing(noted, now)
    for name in changed:
        print(f'{name}: code, or version, is not what was noted')
    return bool(changed)


def read_noted() -> dict[str, dict]:
    """Read what was noted."""
    return json.loads(NOTED.read_text(encoding='utf-8')) if NOTED.is_file() else {}


def differing(noted: dict[str, dict], now: dict[str, dict]) -> list[str]:
    """Name rooms whose code or version differs from what was noted."""
    return sorted(name for name in now if noted.get(name) != now[name])


def current() -> dict[str, dict]:
    """Return version and digest of the code of each room, and the digest of the data."""
    from csvdprep.graph.discover import discover

    found = {
        room.name: {'version': room.version, 'code': code_digest(room.build.rsplit('.', 1)[0])}
        for room in discover(level='')
    }
    files = sorted(p for p in (ROOT / 'data').rglob('*') if p.is_file() and p.suffix != '.md')
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    return found | {'data': {'version': 1, 'code': digest.hexdigest()[:16]}}


def code_digest(package: str) -> str:
    """Digest the syntax trees of a room's modules and of what they import."""
    folder = ROOT / package.replace('.', '/')
    todo = [
        f'{package}.{path.stem}' for path in sorted(folder.glob('*.py')) if path.stem not in ASIDE
    ]
    seen: dict[str, str] = {}
    while todo:
        module = todo.pop()
        path = _file_of(module)
        if module in seen or path is None:
            continue
        tree = without_docstrings(ast.parse(path.read_text(encoding='utf-8')))
        seen[module] = ast.dump(tree)
        todo += [
            name
            for name in imported(tree)
            if name.startswith(SHARED) or name.startswith(f'{package}.')
        ]
    text = json.dumps(sorted(seen.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _file_of(module: str) -> Path | None:
    """Return the file of a module, or of a package's own code; None of what is no module."""
    base = ROOT / module.replace('.', '/')
    for path in (base.with_suffix('.py'), base / '__init__.py'):
        if path.is_file():
            return path
    return None


def imported(tree: ast.AST) -> list[str]:
    """Name the modules that are imported, wherever."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
            found += [f'{node.module}.{alias.name}' for alias in node.names]
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
    return found


def without_docstrings(tree: ast.Module) -> ast.Module:
    """Remove docstrings and other bare strings."""
    for node in ast.walk(tree):
        if hasattr(node, 'body') and isinstance(node.body, list):
            node.body = [
                item
                for item in node.body
                if not (
                    isinstance(item, ast.Expr)
                    and isinstance(item.value, ast.Constant)
                    and isinstance(item.value.value, str)
                )
            ]
    return tree


if __name__ == '__main__':
    raise SystemExit(main())
