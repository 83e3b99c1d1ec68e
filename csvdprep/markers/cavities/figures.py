"""Look at lacunes one by one, and at perivascular spaces slice by slice."""

from __future__ import annotations

from csvdprep.imaging.drawing import COLOURS, Layer, draw_mosaic
from csvdprep.imaging.slices import every, extent, load_volume, slice_axis, window
from csvdprep.interfaces.lists import draw_numbered
from csvdprep.markers.cavities import SHORT

_MOST = 42


def draw_lacunes(
    *, out_file: str, anat_preproc: str, cavity_candidates: str, lacune_lesions: str
) -> None:
    """Draw the lacunes of the list, each in the slice where it is widest.

    Parameters
    ----------
    out_file : str
        SVG to write.
    anat_preproc, cavity_candidates : str
        Image, and the numbers of the lists.
    lacune_lesions : str
        List.

    """
    draw_numbered(
        out_file,
        anat_preproc,
        cavity_candidates,
        lacune_lesions,
        label='lacune',
        what='lacune',
        kinds=SHORT,
    )


def draw_spaces(
    *, out_file: str, anat_preproc: str, brain_mask: str, pvs_mask: str, lacune_mask: str
) -> None:
    """Draw slices with the outlines of perivascular spaces and lacunes.

    Parameters
    ----------
    out_file : str
        SVG to write.
    anat_preproc, brain_mask : str
        Image, and its brain.
    pvs_mask, lacune_mask : str
        What counts.

    """
    image = load_volume(anat_preproc)
    brain, spaces, lacunes = (
        load_volume(path, image, order=0).data > 0 for path in (brain_mask, pvs_mask, lacune_mask)
    )
    shown = spaces | lacunes
    axis = slice_axis(image)
    cuts, step = every(shown if shown.any() else brain, axis, _MOST)
    outlines = [(spaces, COLOURS['sky']), (lacunes, COLOURS['orange'])]
    layer = Layer(image, window(image, brain, high=99.5), outlines=outlines, stroke=1.4)
    note = 'Every slice' if step == 1 else f'One slice in {step}'
    draw_mosaic(
        out_file,
        layer,
        cuts,
        box=extent(brain, image.zooms),
        columns=6,
        legend={'Perivascular spaces': COLOURS['sky'], 'Lacunes': COLOURS['orange']},
        note=f'{note}, {step * image.zooms[axis]:.1f} mm apart.'
        + ('' if shown.any() else ' Nothing found.'),
    )
