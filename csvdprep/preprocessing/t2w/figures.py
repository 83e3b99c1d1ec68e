"""Look at the alignment of the T2w with the anatomical reference."""

from __future__ import annotations

from csvdprep.imaging.coregistration import draw_on_reference


def draw_coregistration(
    *, out_file: str, anat_preproc: str, t2w_preproc: str, t2w_to_anat: str, brain_mask: str
) -> None:
    """Flicker between the anatomical reference and the T2w brought onto it.

    Parameters
    ----------
    out_file : str
        SVG to write.
    anat_preproc, t2w_preproc : str
        The two images, each on its own grid.
    t2w_to_anat : str
        Rigid transform (ITK) that resamples the T2w onto the reference.
    brain_mask : str
        Mask of the reference.

    """
    draw_on_reference(
        out_file,
        reference=anat_preproc,
        brain_mask=brain_mask,
        moving=t2w_preproc,
        transform=t2w_to_anat,
        name='T2w',
    )
