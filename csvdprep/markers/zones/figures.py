"""Look at the zones of the white matter hyperintensities, and at the largest one by one."""

from __future__ import annotations

import numpy as np

from csvdprep.imaging.drawing import Layer, draw_mosaic
from csvdprep.imaging.slices import every, extent, head, load_volume, slice_axis, window
from csvdprep.interfaces.lists import draw_list
from csvdprep.markers.zones import ROOM, ZONE_NAMES

_MOST = 28


def draw_zones(
    *, out_file: str, flair_preproc: str, zones_dseg: str, flair_mask: str | None = None
) -> None:
    """Colour the hyperintensities by their zone, in every slice that has any.

    Parameters
    ----------
    out_file : str
        SVG to write.
    flair_preproc, zones_dseg : str
        Image and its zones, numbered and coloured as in the table of the room.
    flair_mask : str, optional
        Brain mask; decides which part of the image is shown.

    """
    image = load_volume(flair_preproc)
    zones = np.rint(load_volume(zones_dseg, image, order=0).data).astype(np.uint8)
    brain = load_volume(flair_mask, image, order=0).data > 0 if flair_mask else head(image)
    axis = slice_axis(image)
    cuts, step = every(zones if zones.any() else brain, axis, _MOST)
    table = ROOM.makes['zones_dseg'].table
    colours = {row['index']: row['color'] for row in table}
    there = set(np.unique(zones)) | {1, 2, 3, 4}
    legend = {row['name'].capitalize(): row['color'] for row in table if row['index'] in there}
    # An outline of the same colour keeps a lesion of few voxels in sight.
    outlines = [(zones == value, colours[value]) for value in sorted(there & set(colours))]
    layer = Layer(
        image,
        window(image, brain, high=99.9),
        labels=zones,
        colours=colours,
        opacity=0.6,
        outlines=outlines,
        stroke=1.6,
    )
    apart = f'{step * image.zooms[axis]:.1f} mm apart'
    note = f'Slices with WMH, {apart}.' if zones.any() else f'No WMH were found; slices {apart}.'
    draw_mosaic(
        out_file, layer, cuts, box=extent(brain, image.zooms), columns=7, legend=legend, note=note
    )


def draw_lesions(
    *, out_file: str, flair_preproc: str, wmh_mask: str, wmh_lesions: str | None = None
) -> None:
    """Draw the largest lesions, each in the slice where it is widest.

    Parameters
    ----------
    out_file : str
        SVG to write.
    flair_preproc, wmh_mask : str
        Image and lesion mask.
    wmh_lesions : str, optional
        Table of lesions, whose rows name what the pictures show.

    """
    draw_list(
        out_file, flair_preproc, wmh_mask, wmh_lesions, label='WMH', what='WMH', kinds=ZONE_NAMES
    )
