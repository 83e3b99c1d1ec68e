"""Look at arteries: projections from three sides, with and without what was found."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from csvdprep.bids.tsv import read_tsv
from csvdprep.imaging.drawing import COLOURS, Layer, draw_projections
from csvdprep.imaging.slices import Volume, extent, load_volume
from csvdprep.markers.arteries.science import below_skin
from csvdprep.science.still_tissue import tissue_level

#: Grey from black to white of the projections, in units of still tissue.
RANGE = (0.7, 4.0)
#: Colours of the labels.
KINDS = {
    1: ('Arteries', COLOURS['sky']),
    2: ('Circle of Willis', COLOURS['orange']),
    3: ('Lenticulostriate arteries', COLOURS['pink']),
}


def draw_arteries(
    *,
    out_file: str,
    tof_preproc: str,
    tof_mask: str,
    artery_mask: str,
    artery_list: str,
    artery_lines: str,
) -> None:
    """Flicker between projections of the angiogram and of the arteries.

    Parameters
    ----------
    out_file : str
        SVG to write.
    tof_preproc, tof_mask : str
        Corrected angiogram, and the head.
    artery_mask : str
        Lumen.
    artery_list, artery_lines : str
        Pieces, and the points of their middle lines.

    """
    image = load_volume(tof_preproc)
    head = load_volume(tof_mask, image, order=0).data > 0
    lumen = load_volume(artery_mask, image, order=0).data > 0
    tissue = max(tissue_level(image.data[head]), 1e-6)
    labels = lumen.astype(np.uint8)
    _tell(labels, image, artery_list, artery_lines)
    # Scalp and skull would hide what is behind them.
    shown = Volume(
        np.where(below_skin(head, np.asarray(image.zooms)), image.data / tissue, 0), image.affine
    )
    legend = {name: colour for value, (name, colour) in KINDS.items() if (labels == value).any()}
    draw_projections(
        out_file,
        Layer(
            shown,
            RANGE,
            labels=labels,
            colours={value: colour for value, (_, colour) in KINDS.items()},
            opacity=0.85,
        ),
        names=('Projection (MIP)', 'Arteries'),
        box=extent(head, image.zooms, 0.0),
        legend=legend,
        note='' if lumen.any() else 'No artery was found.',
    )


def _tell(labels: np.ndarray, image: Volume, pieces: str, points: str) -> None:
    """Label the lumen by the kind of the nearest piece; in place."""
    kinds = {}
    for row in read_tsv(pieces).rows:
        segment = row['segment']
        kinds[row['index']] = 3 if segment == 'LSA' else 1 if segment == 'n/a' else 2
    rows = list(read_tsv(points).rows)
    if not rows:
        return
    places = np.array([[float(row[axis]) for axis in 'xyz'] for row in rows])
    kind = np.array([kinds[row['index']] for row in rows])
    at = np.argwhere(labels > 0)
    world = at @ image.affine[:3, :3].T + image.affine[:3, 3]
    labels[tuple(at.T)] = kind[cKDTree(places).query(world)[1]]
