"""How Sphinx makes the pages: ``sphinx-build -W --keep-going docs build/docs``."""

import inspect
import os
import re
import tomllib
from pathlib import Path

from csvdprep import __version__

ROOT = Path(__file__).resolve().parents[1]
REPOSITORY = tomllib.loads((ROOT / 'pyproject.toml').read_text('utf-8'))['project']['urls'][
    'Repository'
]
#: Files at the top of the repository that are pages too.
PAGES = {
    'README.md': 'readme.md',
    'CONTRIBUTING.md': 'contributing.md',
    'CHANGES.md': 'changes.md',
}

project = 'csvdprep'
author = 'The csvdprep developers'
project_copyright = author
version = release = __version__

extensions = [
    'matplotlib.sphinxext.plot_directive',
    'myst_parser',
    'numpydoc',
    'sphinx.ext.autodoc',
    'sphinx.ext.autosummary',
    'sphinx.ext.linkcode',
]
templates_path = ['_templates']
exclude_patterns = ['img']
default_role = 'py:obj'
html_theme = 'furo'
html_title = f'csvdprep {release}'
html_copy_source = False
html_show_sourcelink = False

# Links to headings, as Git hosts make them.
myst_heading_anchors = 4

autodoc_default_options = {'members': True}
autodoc_member_order = 'bysource'
autodoc_typehints_format = 'short'
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 88
autosummary_generate = True
numpydoc_show_class_members = False
# Unknown sections, their order, parameters that do not exist, and colons without a space.
numpydoc_validation_checks = {'GL06', 'GL07', 'PR02', 'PR10'}

plot_formats = [('png', 120)]
plot_html_show_formats = False
plot_html_show_source_link = False
plot_include_source = True


def link_to_repository(path: Path, text: str) -> str:
    """Make links between files of the repository into links between pages, or to its URL.

    Parameters
    ----------
    path : Path
        Markdown file that holds the links, which are relative to it.
    text : str
        Its content.

    Returns
    -------
    str
        Links to what does not exist stay as they are: Sphinx warns of them.
    """

    def changed(found: re.Match) -> str:
        target = (path.parent / found['path']).resolve()
        if not target.exists() or not target.is_relative_to(ROOT):
            return found[0]
        name = target.relative_to(ROOT).as_posix()
        inside = PAGES.get(name) or name.removeprefix('docs/')
        if inside != name:
            # Files at the top are included by pages in the folder of pages.
            here = path.parent if path.is_relative_to(ROOT / 'docs') else ROOT / 'docs'
            return f']({os.path.relpath(ROOT / "docs" / inside, here)}{found["part"]})'
        kind = 'tree' if target.is_dir() else 'blob'
        return f']({REPOSITORY}/{kind}/HEAD/{name}{found["part"]})'

    return re.sub(r'\]\((?P<path>[^)\s:#]+)(?P<part>(?:#[^)\s]*)?)\)', changed, text)


def linkcode_resolve(domain: str, info: dict) -> str | None:
    """Link an object of the reference to the file of its module."""
    path = ROOT.joinpath(*info['module'].split('.'))
    path = path / '__init__.py' if path.is_dir() else path.with_suffix('.py')
    return f'{REPOSITORY}/blob/HEAD/{path.relative_to(ROOT).as_posix()}'


def on_source_read(app, docname, source):
    """Mend the links of a page."""
    path = Path(app.env.doc2path(docname))
    if path.suffix == '.md':
        source[0] = link_to_repository(path, source[0])


def on_include_read(app, path, docname, source):
    """Mend the links of a file that a page includes."""
    source[0] = link_to_repository((Path(app.srcdir) / path).resolve(), source[0])


def on_skip_member(app, what, name, obj, skip, options):
    """Leave out what modules import from other packages, and aliases of private classes."""
    if name in {'input_spec', 'output_spec'}:
        return True
    if inspect.isclass(obj) or inspect.isroutine(obj):
        origin = (getattr(obj, '__module__', None) or project).partition('.')[0]
        return True if origin != project else None
    return None


def setup(app):
    """Tell Sphinx what to call."""
    app.connect('autodoc-skip-member', on_skip_member)
    app.connect('source-read', on_source_read)
    app.connect('include-read', on_include_read)
