"""A copy of the desk that needs no server: pages and small images in a folder."""

from __future__ import annotations

import base64
import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from csvdprep.bids.files import atomic_write
from csvdprep.core.errors import UsageError
from csvdprep.core.plan import Visit
from csvdprep.review.desk import Desk
from csvdprep.review.layers import Layer, find_layers, voxels
from csvdprep.review.server import PAGE, STATIC

__all__ = ['export']

#: Voxels of an image up to which it is exported as it is.
_MOST = 2_500_000
#: File by which an exported folder is known.
_SIGN = 'desk.json'


def export(desk: Desk, folder: Path, *, say: Callable[[str], None] = lambda line: None) -> Path:
    """Write the pages and the images of all visits into a folder.

    Parameters
    ----------
    desk : Desk
        What is exported; what persons said is not.
    folder : Path
        New or empty folder, or one that was written before.
    say : callable, optional
        Takes a line about each visit.

    Returns
    -------
    Path
        Page to open.

    Raises
    ------
    UsageError
        If the folder holds something else.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / _SIGN).is_file():
        raise UsageError(
            'The folder holds something else.',
            file=folder,
            field='--export',
            remedy='Give a new or an empty folder.',
        )
    (folder / 'static').mkdir(parents=True, exist_ok=True)
    (folder / 'visits').mkdir(exist_ok=True)
    for name in PAGE:
        if name != 'index.html':
            shutil.copyfile(STATIC / name, folder / 'static' / name)
    shutil.copyfile(STATIC / 'NIIVUE-LICENSES.txt', folder / 'static' / 'NIIVUE-LICENSES.txt')
    about = desk.about() | {'rater': ''}
    visits = desk.visits('')['visits']
    for item in visits:
        _export_visit(desk, item['visit'], folder)
        say(f'{item["visit"]} exported')
    shown = [item | {'done': 0, 'decision': '', 'report': False} for item in visits]
    _write_script(folder / 'data.js', 'window.CSVDPREP_EXPORT', {'about': about, 'visits': shown})
    page = (STATIC / 'index.html').read_text('utf-8')
    head, mark, rest = page.partition('<script src="static/desk.js">')
    atomic_write(folder / 'index.html', f'{head}<script src="data.js"></script>\n{mark}{rest}')
    atomic_write(folder / _SIGN, json.dumps({'GeneratedBy': 'csvdprep review'}) + '\n')
    return folder / 'index.html'


def _export_visit(desk: Desk, label: str, folder: Path) -> None:
    told = desk.visit(label, '') | {'report': False, 'said': []}
    keys = {item['key'] for item in told['layers']}
    layers = [item for item in find_layers(desk.output_dir, Visit.of(label)) if item.key in keys]
    volumes = {item.key: _packed(item) for item in layers}
    known = f'(window.CSVDPREP_VISITS = window.CSVDPREP_VISITS || {{}})[{json.dumps(label)}]'
    _write_script(folder / 'visits' / f'{label}.js', known, {'visit': told, 'volumes': volumes})


def _packed(layer: Layer) -> str:
    """Return an image as text, coarser where it is large; masks and labels keep their grid."""
    size = 1
    for length in layer.shape:
        size *= length
    coarse = layer.kind in ('image', 'map') and size > _MOST
    data = voxels(layer, step=2 if coarse else 1)
    return base64.b64encode(gzip.compress(data, 6, mtime=0)).decode()


def _write_script(path: Path, name: str, value: Any) -> None:
    # A script cannot be ended from within a text that has no "<".
    text = json.dumps(value, allow_nan=False, default=float).replace('<', '\\u003c')
    text = text.replace('\u2028', '\\u2028').replace('\u2029', '\\u2029')
    atomic_write(path, f'{name} = {text};\n')
