"""Masks and lists of lesions that are shapes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from csvdprep.phantom.geometry.features import Ellipsoid, Feature, Tube
from csvdprep.phantom.scanner.recorder import Recorder
from csvdprep.phantom.scanner.scan import Scan
from csvdprep.phantom.scanner.scene import Scene

#: Columns of the lists.
COLUMNS = {
    'index': 'Number of the lesion',
    'kind': 'What it is',
    'x': 'Centre, mm, in the frame of the image named by space',
    'y': 'Centre, mm',
    'z': 'Centre, mm',
    'x_mni': 'Centre in MNI152NLin2009aSym, mm',
    'y_mni': 'Centre in MNI152NLin2009aSym, mm',
    'z_mni': 'Centre in MNI152NLin2009aSym, mm',
    'diameter_mm': 'Longest diameter; of tubes the width',
    'length_mm': 'Length along the middle line of tubes',
    'volume_mm3': 'Volume of the shape itself',
    'side': 'left or right',
    'region': 'Part of the brain',
    'rim_mm': 'Thickness of the gliotic rim; 0 for none',
    'new': '1 of a lesion that was not there at the first visit, else 0; n/a of hyperintensities',
    'contrast': 'Signal in the image over that of white matter, minus 1',
}


def record_shapes(
    scene: Scene,
    scan: Scan,
    space: str,
    source: str,
    recorder: Recorder,
    label: str,
    datatype: str,
    contrast: Mapping[str, float],
) -> None:
    """Write mask and list of lesions that are shapes.

    The mask holds the voxels at least half of which are lesion and, of lesions too small for
    that, the voxel with the largest share.

    Parameters
    ----------
    scene : Scene
        The head.
    scan : Scan
        Its grid and pose.
    space : str
        Name of the image in whose grid and frame they are given.
    source : str
        Its BIDS URI.
    recorder : Recorder
        Where to write.
    label : str
        Kind of the features, which is the label in the file name too.
    datatype : str
        'anat' or 'dwi'.
    contrast : mapping of str to float
        Of each tissue, as :data:`COLUMNS` says.
    """
    chosen = [f for f in scene.features if f.kind == label]
    share, owner = scan.draw(chosen)
    mask = (share >= 0.5).astype(np.uint8)
    for number in range(1, len(chosen) + 1):
        own = owner == number
        if own.any() and not mask[own].any():
            mask[np.unravel_index(np.argmax(np.where(own, share, 0)), mask.shape)] = 1
    said = 'At least half of the voxel is lesion, or it holds the largest part of a small one'
    recorder.truth(
        mask,
        scan.grid()[1],
        datatype,
        'mask',
        source,
        {'Type': 'Lesion', 'Description': said},
        space=space,
        label=label,
    )
    rows = [
        row(number, feature, scan) | {'contrast': contrast.get(feature.tissue)}
        for number, feature in enumerate(chosen, start=1)
    ]
    recorder.table(rows, COLUMNS, datatype, 'lesions', space=space, label=label)


def row(number: int, feature: Feature, scan: Scan) -> dict:
    """Return the row of a small lesion in a list, without its contrast.

    Parameters
    ----------
    number : int
        Its index.
    feature : Feature
        The lesion, in the frame of the head.
    scan : Scan
        In whose frame it is listed.
    """
    world = scan.pose[:3, :3] @ feature.centre + scan.pose[:3, 3]
    mni = feature.facts['mni']
    return {
        'index': number,
        'kind': feature.kind,
        **named('', world),
        **named('_mni', mni[len(mni) // 2]),
        'diameter_mm': feature.diameter_mm,
        'length_mm': feature.length_mm if isinstance(feature, Tube) else None,
        'volume_mm3': feature.volume_mm3,
        'side': feature.facts['side'],
        'region': feature.facts['region'],
        'rim_mm': feature.facts.get('rim_mm') if isinstance(feature, Ellipsoid) else None,
        'new': feature.facts.get('new', 0),
    }


def named(ending: str, point: np.ndarray) -> dict[str, float]:
    """Return a position by the names of its columns.

    Examples
    --------
    >>> named('_mni', np.array([1.0, 2.0, 3.0]))
    {'x_mni': 1.0, 'y_mni': 2.0, 'z_mni': 3.0}
    """
    return {axis + ending: float(value) for axis, value in zip('xyz', point, strict=True)}
