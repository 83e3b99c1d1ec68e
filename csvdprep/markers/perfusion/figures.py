"""Look at the regions of blood flow, and at its profile around hyperintensities."""

from __future__ import annotations

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from csvdprep.bids.tsv import read_tsv
from csvdprep.imaging.drawing import Layer, draw_mosaic
from csvdprep.imaging.slices import every, extent, load_volume, slice_axis
from csvdprep.markers.perfusion import ROOM

_STYLE = {'svg.hashsalt': 'csvdprep', 'svg.fonttype': 'path'}
_MOST = 21
_RANGE = (0.0, 100.0)


def draw_regions(*, out_file: str, cbf: str, cbf_regions: str, asl_mask: str) -> None:
    """Draw the regions on the map of blood flow.

    Parameters
    ----------
    out_file : str
        SVG to write.
    cbf, cbf_regions, asl_mask : str
        Blood flow (mL/100 g/min), label image of regions, brain.

    """
    image = load_volume(cbf)
    mask = load_volume(asl_mask, image, order=0).data > 0
    labels = np.rint(load_volume(cbf_regions, image, order=0).data).astype(np.uint8)
    rows = ROOM.makes['cbf_regions'].table
    colours = {row['index']: row['color'] for row in rows}
    cuts, step = every(mask, slice_axis(image), _MOST)
    draw_mosaic(
        out_file,
        [
            Layer(image, _RANGE, labels=labels, colours=colours, name='Regions'),
            Layer(image, _RANGE, name='Blood flow'),
        ],
        cuts,
        box=extent(mask, image.zooms, 10.0),
        columns=7,
        legend={row['name']: row['color'] for row in rows},
        note=f'Slices {step * image.zooms[slice_axis(image)]:.1f} mm apart.',
    )


def draw_profile(*, out_file: str, perfusion_profile: str) -> None:
    """Draw blood flow by the distance from hyperintensities.

    Parameters
    ----------
    out_file : str
        SVG to write.
    perfusion_profile : str
        Table of rings.

    """
    rows = [row for row in read_tsv(perfusion_profile).rows if row['mean'] != 'n/a']
    figure = Figure((6, 3.4), layout='constrained')
    axes = figure.subplots()
    if rows:
        axes.errorbar(
            [float(row['distance_mm']) for row in rows],
            [float(row['mean']) for row in rows],
            [float(row['se']) for row in rows],
            color='#0072b2',
            marker='o',
            lw=1.4,
            elinewidth=0.8,
        )
    else:
        axes.text(0.5, 0.5, 'No hyperintensities are known.', ha='center', color='0.4')
    axes.set(xlabel='distance from WMH, mm', ylabel='blood flow, mL/100 g/min', xlim=(0, 15))
    axes.spines[['top', 'right']].set_visible(False)
    with matplotlib.rc_context(_STYLE):
        figure.savefig(out_file, format='svg', metadata={'Date': None})
