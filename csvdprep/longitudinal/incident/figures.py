"""Look at new and vanished lesions at both visits."""

from __future__ import annotations

import nibabel as nib
import numpy as np

from csvdprep.bids.tsv import read_tsv
from csvdprep.imaging.drawing import COLOURS, Closeup, Layer, draw_gallery
from csvdprep.imaging.slices import Cut, Volume

#: Intensities drawn black and white, of the surroundings.
_LIMITS = (0.0, 1.9)


def draw_incident(*, out_file: str, incident_tiles: str, incident_list: str) -> None:
    """Draw lesions at the earlier and the later visit, side by side.

    Parameters
    ----------
    out_file : str
        SVG to write.
    incident_tiles : str
        Slices through them.
    incident_list : str
        List, whose column ``tile`` says which slices are of which row.

    """
    image = nib.load(incident_tiles)
    data = np.asanyarray(image.dataobj, dtype=np.float32)
    volume = Volume(data[..., 0], image.affine)
    side = data.shape[0]
    middle, field = (side - 1) / 2, side * float(image.affine[0, 0])
    rows = list(read_tsv(incident_list).rows)
    shown = [row for row in rows if row['tile'] != 'n/a']
    closeups, missing = [], np.zeros(volume.data.shape, bool)
    for row in shown:
        for k, end in enumerate(('from', 'to')):
            slice_ = 2 * int(row['tile']) + k
            outline = data[..., slice_, 1]
            mask = np.zeros(volume.data.shape, bool)
            mask[..., slice_] = outline == 1
            missing[..., slice_] = outline == 2
            lines = (
                f'#{row["index"]} {row["lesion"]}: {row["change"]}' if k == 0 else ' ',
                row[f'{end}_session'],
                _cnr(row[f'{end}_cnr']),
            )
            closeups.append(
                Closeup(
                    Cut(2, slice_),
                    (middle, middle, slice_),
                    field,
                    lines,
                    mask if mask.any() else None,
                )
            )
    layer = Layer(volume, _LIMITS, outlines=[(missing, COLOURS['sky'])], stroke=1.4)
    legend = {'A list has it': COLOURS['orange'], 'It does not count': COLOURS['sky']}
    note = f'{len(shown)} of {len(rows)} rows of the list.' if len(rows) > len(shown) else ''
    draw_gallery(
        out_file,
        layer,
        closeups,
        note=note if closeups else 'No lesion of these kinds counts at any visit.',
        legend=legend if closeups else {},
        positions=False,
    )


def _cnr(text: str) -> str:
    return f'CNR {float(text):.1f}' if text != 'n/a' else 'CNR n/a'
