"""Look at the four regions of DTI-ALPS on the directions of fibres."""

from __future__ import annotations

import matplotlib
import nibabel as nb
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from csvdprep.imaging.drawing import COLOURS
from csvdprep.imaging.slices import Cut, Volume, as_volume, extent, plane

#: Colour and name of the regions on each side, in the order of the fourth axis.
REGIONS = ((COLOURS['white'], 'Projection fibres'), (COLOURS['yellow'], 'Association fibres'))
#: Field of the enlarged panels, mm.
_FIELD = 44.0
_STYLE = {
    'svg.hashsalt': 'csvdprep',
    'svg.fonttype': 'path',
    'font.family': 'sans-serif',
    'font.sans-serif': ['DejaVu Sans'],
    'font.size': 10,
    'text.color': 'white',
    'axes.titlecolor': 'white',
    'text.usetex': False,
}
_NOTE = (
    'Red: right-left, green: front-back, blue: up-down; dots: measured voxels. A ratio of '
    'diffusivities, not a measure of glymphatic flow. Left of the image is the patient’s '
    'right.'
)


def alps_figure(
    fa: np.ndarray,
    direction: np.ndarray,
    spheres: np.ndarray,
    kept: np.ndarray,
    affine: np.ndarray,
) -> Figure:
    """Draw the regions on colour-coded FA: axial and coronal through each pair, whole and close.

    Parameters
    ----------
    fa : ndarray, shape (nx, ny, nz)
        Axes of the array run to R, A and S, as `csvdprep.imaging.slices.Volume` has them.
    direction : ndarray, shape (nx, ny, nz, 3)
        Largest axis of the tensor in the world's axes; its sign does not matter.
    spheres, kept : ndarray, shape (nx, ny, nz, 4)
        Share of each voxel in the left projection, left association, right projection and right
        association region, before and after screening.
    affine : ndarray, shape (4, 4)
        From voxel indices to mm.

    Returns
    -------
    matplotlib.figure.Figure
        Patient's right on the left.

    Examples
    --------
    >>> fa = np.ones((20, 20, 20))
    >>> spheres = np.zeros((20, 20, 20, 4)); spheres[5, 10, 10, :2] = spheres[15, 10, 10, 2:] = 1
    >>> figure = alps_figure(fa, np.ones((20, 20, 20, 3)), spheres, spheres, np.eye(4))
    >>> len(figure.axes)
    8
    """
    volume = Volume(np.nan_to_num(fa), affine)
    bright = 1.25 * np.clip(volume.data, 0, 1)[..., None]
    colour = np.clip(np.abs(np.nan_to_num(direction)) * bright, 0, 1)
    box = extent(volume.data > 0.05, volume.zooms)
    # Of a tilted head, no one slice shows both sides.
    views = [
        (f'{name} {side}', axis, pair)
        for axis, name in ((2, 'Axial'), (1, 'Coronal'))
        for side, pair in (('right', slice(2, 4)), ('left', slice(0, 2)))
    ]
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(12, 6.6), facecolor='black')
        panels = figure.subplots(2, 4, height_ratios=(1.2, 1))
        for (whole, close), (title, axis, pair) in zip(panels.T, views, strict=True):
            own = spheres[..., pair]
            cut = _cut(own, axis)
            mm = f'{volume.position(cut.axis, cut.index):+.0f}'.replace('-', '\u2212')
            whole.set_title(f'{title} pair, {"xyz"[axis]} {mm} mm', size=11)
            _panel(whole, volume, colour, spheres, None, cut, box)
            _panel(close, volume, colour, spheres, kept, cut, _square(volume, own))
        figure.legend(
            handles=[Line2D([], [], color=c, label=name) for c, name in REGIONS],
            loc='lower left',
            bbox_to_anchor=(0, 0.03),
            ncols=2,
            frameon=False,
            labelcolor='white',
        )
        figure.text(0.99, 0.012, _NOTE, ha='right', va='bottom', size=9.5, color='#cccccc')
        figure.subplots_adjust(0.01, 0.1, 0.99, 0.95, wspace=0.03, hspace=0.04)
    return figure


def draw_alps(
    *, out_file: str, dwi_fa: str, dwi_direction: str, alps_regions: str, alps_kept: str | None
) -> None:
    """Draw the regions from files.

    Parameters
    ----------
    out_file : str
        SVG to write; the same files give the same bytes.
    dwi_fa : str
        FA.
    dwi_direction : str
        Largest axis of the tensor, three volumes, in the world's axes.
    alps_regions, alps_kept : str
        Share of each voxel in the four regions, four volumes, before and after screening. The
        latter may be missing.

    """
    fa = as_volume(nb.load(dwi_fa))
    direction, spheres = _volumes(dwi_direction), _volumes(alps_regions)
    kept = _volumes(alps_kept) if alps_kept else spheres
    figure = alps_figure(fa.data, direction, spheres, kept, fa.affine)
    with matplotlib.rc_context(_STYLE):
        figure.savefig(out_file, format='svg', facecolor='black', metadata={'Date': None})


def _volumes(path: str) -> np.ndarray:
    """Read all volumes with the axes of the array in the order R, A, S."""
    image = nb.as_closest_canonical(nb.load(path))
    data = np.asanyarray(image.dataobj, dtype=np.float32)
    # Vectors may be stored along a fifth axis.
    return np.nan_to_num(data.reshape(*data.shape[:3], -1))


def _cut(spheres: np.ndarray, axis: int) -> Cut:
    """Choose the slice that most of some regions lies in; the middle one if they lie outside."""
    others = tuple(other for other in range(4) if other != axis)
    amount = spheres.sum(axis=others)
    return Cut(axis, int(amount.argmax()) if amount.any() else spheres.shape[axis] // 2)


def _square(volume: Volume, spheres: np.ndarray) -> list[slice]:
    """Return the box around some regions, moved into the grid where it would leave it."""
    index = np.argwhere(spheres.any(axis=3))
    middle = index.mean(axis=0) if len(index) else (np.array(volume.data.shape) - 1) / 2
    box = []
    for size, zoom, centre in zip(volume.data.shape, volume.zooms, middle, strict=True):
        wide = min(max(round(_FIELD / zoom), 2), size)
        low = int(np.clip(round(centre - (wide - 1) / 2), 0, size - wide))
        box.append(slice(low, low + wide))
    return box


def _panel(axes, volume: Volume, colour, spheres, kept, cut: Cut, box) -> None:
    """Draw a slice, the outlines of the regions in it, and the voxels that count."""
    down, across = (1, 0) if cut.axis == 2 else (2, 0)
    pixels = np.stack([plane(colour[..., k], cut, box) for k in range(3)], axis=-1)
    axes.imshow(pixels, interpolation='nearest', aspect=volume.zooms[down] / volume.zooms[across])
    axes.set_axis_off()
    for number in range(spheres.shape[3]):
        share = plane(spheres[..., number], cut, box)
        most = share.max(initial=0)
        ink = REGIONS[number % 2][0]
        if most > 0 and min(share.shape) > 1:
            axes.contour(share, levels=[most / 2], colors=[ink], linewidths=1.6)
        if kept is not None:
            rows, columns = np.nonzero(plane(kept[..., number], cut, box) > 0)
            axes.scatter(columns, rows, s=7, color=ink, linewidths=0)
    for x, ha, side in ((0.015, 'left', 'R'), (0.985, 'right', 'L')):
        axes.text(x, 0.5, side, transform=axes.transAxes, ha=ha, va='center')
