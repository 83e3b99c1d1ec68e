"""Slices, outlines and labels as small SVG files that look the same on every machine.

Pictures are embedded at the resolution of the voxels and stretched to millimetres by the viewer,
so thick slices keep their aspect without any resampling here. Outlines are vectors. Nothing but
the data enters the file (no date, no random identifier): same input, same bytes.

All views are radiological: the patient's right is on the left of the picture.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape, unescape
from io import BytesIO
from itertools import groupby
from pathlib import Path

import numpy as np
from PIL import Image
from skimage.measure import find_contours

from csvdprep.imaging.slices import Cut, Volume, plane, window

#: Colours that people with any colour vision tell apart (Okabe and Ito).
COLOURS = {
    'orange': '#e69f00',
    'sky': '#56b4e9',
    'green': '#009e73',
    'yellow': '#f0e442',
    'blue': '#0072b2',
    'red': '#d55e00',
    'pink': '#cc79a7',
    'white': '#ffffff',
}
WIDTH = 1200
_SIDES = (('A', 'P'), ('R', 'L'), ('R', 'L'))
_LETTERS = 'xyz'
_QUALITY = 88
_HINT = 'Point here to flicker.'
#: Panels of a row that the view ``#key`` shows.
_KEY = 3


def outline(mask: np.ndarray, width: float, height: float) -> str:
    """Trace a 2D mask as the path data of an SVG, stretched to ``width`` x ``height``.

    Examples
    --------
    >>> outline(np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]]), 30, 30)
    'M15 20L10 15L15 10L20 15Z'

    """
    if not np.any(mask):
        return ''
    scale = np.array([height / mask.shape[0], width / mask.shape[1]])
    parts = []
    for line in find_contours(np.pad(np.asarray(mask, dtype=float), 1), 0.5):
        points = (line[:-1] - 0.5) * scale
        parts.append('M' + 'L'.join(f'{x:.1f} {y:.1f}' for y, x in points) + 'Z')
    return ''.join(parts).replace('.0', '')


def grey(pixels: np.ndarray, limits: tuple[float, float]) -> str:
    """Encode a slice as the data URI of a greyscale JPEG."""
    low, high = limits
    levels = np.clip((pixels - low) / (high - low), 0, 1) * 255
    return _encode(Image.fromarray(np.ascontiguousarray(levels.astype(np.uint8))), 'jpeg')


def tint(labels: np.ndarray, colours: Mapping[int, str], opacity: float) -> str:
    """Encode a slice of labels as the data URI of a PNG, transparent where there is none."""
    rgba = np.zeros((*labels.shape, 4), np.uint8)
    for value, colour in colours.items():
        rgb = [int(colour[k : k + 2], 16) for k in (1, 3, 5)]
        rgba[labels == value] = (*rgb, round(255 * opacity))
    return _encode(Image.fromarray(rgba), 'png')


def _encode(image: Image.Image, kind: str) -> str:
    stream = BytesIO()
    image.save(stream, kind, quality=_QUALITY, optimize=True)
    return f'data:image/{kind};base64,' + base64.b64encode(stream.getvalue()).decode()


@dataclass
class Layer:
    """What is drawn in each panel: a grey image, coloured labels, outlines.

    Parameters
    ----------
    image : Volume
        Grey background.
    limits : tuple of float, optional
        Intensities drawn black and white; from the image if not given.
    labels : numpy.ndarray, optional
        Labels on the grid of the image, filled with ``colours``.
    outlines : list of (numpy.ndarray, str)
        Masks on the grid of the image, with the colours of their outlines.
    name : str
        Written into the corner of the figure if there are several layers.
    """

    image: Volume
    limits: tuple[float, float] | None = None
    labels: np.ndarray | None = None
    colours: Mapping[int, str] = field(default_factory=dict)
    opacity: float = 0.6
    outlines: Sequence[tuple[np.ndarray, str]] = ()
    stroke: float = 2.0
    name: str = ''


def draw_mosaic(
    out_file: str | Path,
    layers: Layer | Sequence[Layer],
    cuts: Iterable[Cut],
    *,
    box: Sequence[slice] | None = None,
    columns: int = 7,
    legend: Mapping[str, str] | None = None,
    note: str = '',
) -> None:
    """Draw slices side by side; with two layers, the second flickers over the first.

    Parameters
    ----------
    out_file : path-like
        SVG to write.
    layers : Layer or sequence of Layer
        One, or the two states between which the figure flickers under the pointer. In print,
        the second shows through every other field of a chessboard.
    cuts : iterable of Cut
        Slices; those of one axis follow one another.
    box : sequence of slice, optional
        Part of the grid to be shown.
    columns : int
        Axial panels in a row.
    legend : mapping of str to str, optional
        Colour of each name.
    note : str
        Line under the picture.

    """
    layers = [layers] if isinstance(layers, Layer) else list(layers)
    first, cuts = layers[0].image, list(cuts)
    box = list(box or (slice(0, n) for n in first.data.shape[:3]))
    sizes = _panel_sizes(first, box)
    scale = WIDTH / (columns * max(sizes[cuts[0].axis][0], 1e-6))
    top = 22 if len(layers) > 1 else 0
    places, bottom = _flow(cuts, sizes, scale, top)
    limits = [layer.limits or window(layer.image) for layer in layers]
    drawn = []
    for layer, limit in zip(layers, limits, strict=True):
        parts = [
            _panel(layer, limit, cut, box, *place) for cut, place in zip(cuts, places, strict=True)
        ]
        drawn.append(''.join(parts))
    marks = ''.join(_marks(first, cut, *place) for cut, place in zip(cuts, places, strict=True))
    foot, height = _foot(bottom, legend or {}, note)
    write_svg(
        out_file,
        (*drawn, marks + foot),
        height,
        flicker=[layer.name for layer in layers] if len(layers) > 1 else None,
        views={'key': _key([_shown(layers[-1], cut, box) for cut in cuts], places)},
    )


def _shown(layer: Layer, cut: Cut, box: Sequence[slice]) -> int:
    """Count the voxels of a slice that are outlined or coloured."""
    area = sum(np.count_nonzero(plane(mask, cut, box)) for mask, _ in layer.outlines)
    if layer.labels is not None:
        area += np.count_nonzero(np.isin(plane(layer.labels, cut, box), list(layer.colours)))
    return area


def _key(areas: Sequence[int], places: Sequence[tuple[float, float, float, float]]):
    """Return the frame of the panels that show most: neighbours in one row.

    Examples
    --------
    >>> _key([0, 1, 9, 2, 0], [(x, 5, 10, 10) for x in (0, 10, 20, 30, 40)])
    (10, 5, 30, 10)
    """
    if not places:
        return None
    best = int(np.argmax(areas)) if any(areas) else len(places) // 2
    row = [place for place in places if place[1] == places[best][1]]
    at = row.index(places[best])
    first = max(min(at - _KEY // 2, len(row) - _KEY), 0)
    part = row[first : first + _KEY]
    wide = part[-1][0] + part[-1][2] - part[0][0]
    return part[0][0], part[0][1], wide, part[0][3]


def draw_projections(
    out_file: str | Path,
    layer: Layer,
    *,
    names: tuple[str, str],
    box: Sequence[slice] | None = None,
    legend: Mapping[str, str] | None = None,
    note: str = '',
) -> None:
    """Draw maximum intensity projections from three sides; labels flicker over them.

    Parameters
    ----------
    out_file : path-like
        SVG to write.
    layer : Layer
        Image and labels; of labels behind one another the greatest is drawn.
    names : (str, str)
        What the two states between which the figure flickers show.
    box : sequence of slice, optional
        Part of the grid to be shown.
    legend : mapping of str to str, optional
        Colour of each name.
    note : str
        Line under the picture.

    """
    volume = layer.image
    box = tuple(box or (slice(0, n) for n in volume.data.shape[:3]))
    sizes = _panel_sizes(volume, box)
    sides = [sizes[axis] for axis in (2, 1, 0)]
    scale = (WIDTH - 4) / sum(wide for wide, _ in sides)
    limits = layer.limits or window(volume)
    grids, top = [], 22.0
    back, front, marks = [], [], []
    x = 0.0
    for axis, (wide, tall) in zip((2, 1, 0), sides, strict=True):
        projected = np.expand_dims(volume.data[box].max(axis=axis), axis)
        labels = np.expand_dims(np.asarray(layer.labels)[box].max(axis=axis), axis)
        flat = [slice(0, n) for n in projected.shape]
        panel = replace(layer, image=Volume(projected, volume.affine), labels=None, outlines=())
        place = (x, top, wide * scale, tall * scale)
        back.append(_panel(panel, limits, Cut(axis, 0), flat, *place))
        front.append(_panel(replace(panel, labels=labels), limits, Cut(axis, 0), flat, *place))
        left, right = _SIDES[axis]
        middle = top + place[3] / 2 + 4
        marks.append(
            _text(x + 5, middle, left) + _text(x + place[2] - 5, middle, right, anchor='end')
        )
        grids.append(top + place[3])
        x += place[2] + 2
    foot, height = _foot(max(grids), legend or {}, note)
    write_svg(
        out_file, (''.join(back), ''.join(front), ''.join(marks) + foot), height, flicker=names
    )


@dataclass(frozen=True)
class Closeup:
    """A small square of a slice around a point.

    Parameters
    ----------
    cut : Cut
        The slice.
    centre : sequence of float
        Voxel (x, y, z) in the middle.
    field : float
        Side of the square, mm.
    lines : tuple of str
        Written under the picture, the first brighter than the others.
    mask : numpy.ndarray, optional
        What the close-up is about, outlined in orange.
    name : str
        ``file.svg#name`` shows the picture of this close-up alone; letters, digits, hyphens.
    """

    cut: Cut
    centre: Sequence[float]
    field: float
    lines: tuple[str, ...] = ()
    mask: np.ndarray | None = None
    name: str = ''


def draw_gallery(
    out_file: str | Path,
    layer: Layer,
    closeups: Sequence[Closeup],
    *,
    columns: int = 6,
    legend: Mapping[str, str] | None = None,
    note: str = '',
    positions: bool = True,
) -> None:
    """Draw close-ups side by side, each with what is written under it and a bar of 10 mm.

    Parameters
    ----------
    out_file : path-like
        SVG to write.
    layer : Layer
        What is drawn.
    closeups : sequence of Closeup
        In the order of reading.
    columns : int
        Close-ups in a row.
    legend : mapping of str to str, optional
        Colour of each name.
    note : str
        Line under the picture; without close-ups what there is to say (see :func:`nothing_in`).
    positions : bool
        Whether slices lie one beside another in the image, so that their position says something.

    """
    gap = 8.0
    side = (WIDTH - gap * (columns + 1)) / columns
    most = max((len(item.lines) for item in closeups), default=0)
    tall = side + 8 + 17 * most + gap
    limits = layer.limits or window(layer.image)
    parts, views = [], {}
    for number, item in enumerate(closeups):
        x, y = gap + (number % columns) * (side + gap), gap + (number // columns) * tall
        if item.name:
            views.setdefault(item.name, (x, y, side, side))
        box = _square(layer.image, item)
        own = [] if item.mask is None else [(item.mask, COLOURS['orange'])]
        shown = replace(layer, outlines=[*layer.outlines, *own])
        parts.append(_panel(shown, limits, item.cut, box, x, y, side, side))
        parts.append(_marks(layer.image, item.cut, x, y, side, side, position=positions))
        bar = 10 * side / item.field
        parts.append(
            f'<path d="M{x + side - 8 - bar:.1f} {y + side - 8:.1f}h{bar:.1f}" '
            'stroke="#fff" stroke-width="3"/>'
        )
        parts += [
            _text(
                x + 2,
                y + side + 17 * (k + 1),
                line,
                size=14 if k == 0 else 13,
                fill='#fff' if k == 0 else '#bbb',
            )
            for k, line in enumerate(item.lines)
        ]
    rows = -(-len(closeups) // columns)
    foot, height = _foot(rows * tall, legend or {}, note)
    if not closeups and note:
        foot = f'<title id="nothing">{escape(note)}</title>{foot}'
    shown = min(len(closeups), columns, _KEY)
    if shown:
        views['key'] = 0, 0, gap + shown * (side + gap), tall
    write_svg(out_file, (''.join(parts), foot), height, views=views)


def nothing_in(svg: str | Path) -> str:
    """Return what a gallery without close-ups says; '' of any other picture.

    Parameters
    ----------
    svg : path-like
        File of :func:`draw_gallery`, or another one.

    """
    try:
        found = _NOTHING.search(Path(svg).read_text('ascii', 'replace'))
    except OSError:
        return ''
    return unescape(found[1]) if found else ''


_NOTHING = re.compile(r'<title id="nothing">(.*?)</title>')


def _square(volume: Volume, item: Closeup) -> list[slice]:
    """Return the box of a close-up, moved into the grid where it would leave it."""
    box = []
    for size, zoom, middle in zip(volume.data.shape, volume.zooms, item.centre, strict=True):
        wide = min(round(item.field / zoom), size)
        low = int(np.clip(round(middle - (wide - 1) / 2), 0, size - wide))
        box.append(slice(low, low + wide))
    return box


def _panel_sizes(volume: Volume, box: Sequence[slice]) -> list[tuple[float, float]]:
    """Return width and height (mm) of a panel perpendicular to each axis."""
    mm = [(part.stop - part.start) * zoom for part, zoom in zip(box, volume.zooms, strict=True)]
    return [(mm[1], mm[2]), (mm[0], mm[2]), (mm[0], mm[1])]


def _flow(cuts, sizes, scale, top):
    """Set panels in centred rows of even length, a new row for every axis.

    Returns the place (x, y, width, height) of each and where the last row ends.
    """
    places, y = [], float(top)
    for axis, group in groupby(cuts, key=lambda cut: cut.axis):
        wide, tall = (side * scale for side in sizes[axis])
        left = len(list(group))
        rows = -(-left // max(int((WIDTH + 1) // wide), 1))
        while left:
            here = -(-left // rows)
            x = (WIDTH - wide * here) / 2
            places += [(x + k * wide, y, wide, tall) for k in range(here)]
            left, rows, y = left - here, rows - 1, y + tall + 2
    return places, y


def _panel(layer, limits, cut, box, x, y, wide, tall) -> str:
    pixels = plane(layer.image.data, cut, box)
    parts = [
        f'<g transform="translate({x:.1f} {y:.1f})">',
        _image(grey(pixels, limits), wide, tall),
    ]
    if layer.labels is not None:
        labels = plane(layer.labels, cut, box)
        if np.isin(labels, list(layer.colours)).any():
            picture = tint(labels, layer.colours, layer.opacity)
            parts.append(_image(picture, wide, tall, sharp=True))
    for mask, colour in layer.outlines:
        if path := outline(plane(mask, cut, box), wide, tall):
            parts.append(
                f'<path class="o" d="{path}" fill="none" stroke="{colour}" '
                f'stroke-width="{layer.stroke:g}" stroke-linejoin="round"/>'
            )
    return ''.join(parts) + '</g>'


def _image(uri: str, wide: float, tall: float, *, sharp: bool = False) -> str:
    style = ' style="image-rendering:pixelated"' if sharp else ''
    return (
        f'<image width="{wide:.1f}" height="{tall:.1f}" preserveAspectRatio="none"{style} '
        f'xlink:href="{uri}"/>'
    )


def _marks(
    volume: Volume, cut: Cut, x: float, y: float, wide: float, tall: float, *, position=True
) -> str:
    """Letter the sides and the position of a panel."""
    left, right = _SIDES[cut.axis]
    place = round(volume.position(cut.axis, cut.index))
    where = f'{_LETTERS[cut.axis]} {place:+d}' if place else f'{_LETTERS[cut.axis]} 0'
    sides = _text(x + 5, y + tall / 2 + 4, left, size=12)
    sides += _text(x + wide - 5, y + tall / 2 + 4, right, size=12, anchor='end')
    if not position:
        return sides
    where = where.replace('-', '\N{MINUS SIGN}')
    return sides + _text(x + 6, y + tall - 6, where, size=11, fill='#bbb')


def _foot(y: float, legend: Mapping[str, str], note: str) -> tuple[str, float]:
    """Write legend and note on one line under the picture."""
    x, parts, line = 12.0, [], y + 24
    for name, colour in legend.items():
        parts.append(
            f'<rect x="{x:.0f}" y="{line - 11:.0f}" width="14" height="14" rx="2" '
            f'fill="{colour}"/>' + _text(x + 20, line + 1, name, size=14)
        )
        x += 44 + 7.2 * len(name)
    if legend and note and x + 6.4 * len(note) > WIDTH:
        line += 22
    said = f'{note} ' if note else ''
    parts.append(
        _text(
            WIDTH - 12,
            line + 1,
            f'{said}Patient\u2019s right on the left.',
            size=13,
            anchor='end',
            fill='#ccc',
        )
    )
    return ''.join(parts), line + 14


def _text(x, y, text, *, size=12, anchor='start', fill='#fff') -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
        f'fill="{fill}">{escape(text)}</text>'
    )


_STYLE = (
    'text{font-family:Helvetica,Arial,"DejaVu Sans",sans-serif;paint-order:stroke;stroke:#000;'
    'stroke-width:2.5px;stroke-linejoin:round}'
)
_FLICKER = (
    '.front,.paper{opacity:0}'
    'svg:hover .front{animation:flicker 1.6s infinite}'
    'svg:hover .under{animation:flicker 1.6s infinite;animation-delay:-0.8s}'
    '@keyframes flicker{0%,40%{opacity:0}50%,90%{opacity:1}100%{opacity:0}}'
    '@media (prefers-reduced-motion:reduce){svg:hover .front{animation:none;opacity:1}'
    'svg:hover .under{animation:none;opacity:0}}'
    '@media print{.front,.under{animation:none;opacity:0}.paper{opacity:1}'
    '.front.chess{opacity:1;clip-path:url(#chess)}}'
)
#: Outlines go and come by a link within the picture, without script.
_SWITCH = (
    '.show,#plain:target~g .o,#plain:target~.hide{display:none}'
    '#plain:target~.show{display:inline}a text{text-decoration:underline}'
    '@media print{.hide,#plain:target~.show{display:none}}'
)


def write_svg(
    out_file: str | Path,
    groups: Sequence[str],
    height: float,
    *,
    flicker: Sequence[str] | None = None,
    views: Mapping[str, tuple[float, float, float, float] | None] | None = None,
) -> None:
    """Wrap groups of elements into an SVG file in ASCII.

    Parameters
    ----------
    out_file : path-like
        File to write.
    groups : sequence of str
        Elements; with ``flicker``, the second group appears over the first under the pointer.
    height : float
        Height of the picture, in units of which its width has 1200.
    flicker : sequence of str, optional
        Names of the first two groups if they change places.
    views : mapping of str to tuple of float, optional
        Frames (x, y, width, height) of parts by name: ``file.svg#name`` shows that part alone.
        ``key`` is what shows most; None is left out.

    Notes
    -----
    Outlines (class ``o``) of a picture that does not flicker can be switched off in the picture.

    """
    switched = not flicker and any('class="o"' in group for group in groups)
    strip = 22.0 if switched else 0.0
    height = float(np.ceil(height)) + strip
    chess = ''
    if flicker:
        side = WIDTH / 28
        fields = ''.join(
            f'M{c * side:.1f} {r * side:.1f}h{side:.1f}v{side:.1f}h-{side:.1f}z'
            for r in range(int(height / side) + 1)
            for c in range(28)
            if (r + c) % 2
        )
        chess = f'<clipPath id="chess"><path d="{fields}"/></clipPath>'
    classes = ['back', 'front chess'] if flicker else []
    body = ''.join(
        f'<g class="{classes[k] if k < len(classes) else "panel"}">{group}</g>'
        for k, group in enumerate(groups)
    )
    if flicker:
        both = f'{flicker[0]} and {flicker[1]}, in turn from field to field'
        for kind, name in (('under', flicker[0]), ('front', flicker[1]), ('paper', both)):
            title = _text(WIDTH / 2, 16, name, size=14, anchor='middle')
            body += f'<g class="{kind}">{title}</g>'
        body += f'<g class="under">{_text(WIDTH - 12, 16, _HINT, anchor="end", fill="#ccc")}</g>'
    if switched:
        links = ''.join(
            f'<a class="{kind}" href="{target}">'
            f'{_text(WIDTH - 12, 16, words, size=14, anchor="end", fill="#9cf")}</a>'
            for kind, target, words in (
                ('hide', '#plain', 'Hide outlines'),
                ('show', '#', 'Show outlines'),
            )
        )
        body = f'<g id="plain"/><g transform="translate(0 {strip:g})">{body}</g>{links}'
    for name, frame in (views or {}).items():
        if frame:
            x, y, wide, tall = frame
            place = f'{x:.1f} {y + strip:.1f} {wide:.1f} {tall:.1f}'
            body = f'<view id="{escape(name)}" viewBox="{place}"/>{body}'
    # The comment before the element keeps report assemblers from rewriting the file in place.
    text = (
        '<!-- csvdprep --><svg xmlns="http://www.w3.org/2000/svg" '
        'xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="0 0 {WIDTH} {height:g}" preserveAspectRatio="xMidYMid meet">'
        f'<style>{_STYLE}{_FLICKER if flicker else ""}{_SWITCH if switched else ""}</style>'
        f'<defs>{chess}</defs>'
        f'<rect width="{WIDTH}" height="{height:g}" fill="#000"/>{body}</svg>\n'
    )
    Path(out_file).write_bytes(text.encode('ascii', 'xmlcharrefreplace'))
