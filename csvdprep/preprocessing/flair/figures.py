"""Look at the alignment of the FLAIR with the anatomical reference."""

from __future__ import annotations

from csvdprep.imaging.coregistration import draw_on_reference


def draw_coregistration(
    *, out_file: str, anat_preproc: str, flair_preproc: str, flair_to_anat: str, brain_mask: str
) -> None:
    """Flicker between the anatomical reference and the FLAIR brought onto it.

    Parameters
    ----------
    out_file : str
        SVG to write.
    anat_preproc, flair_preproc : str
        The two images, each on its own grid.
    flair_to_anat : str
        Rigid transform (ITK) that resamples the FLAIR onto the reference.
    brain_mask : str
        Mask of the reference.

    """
    draw_on_reference(
        out_file,
        reference=anat_preproc,
        brain_mask=brain_mask,
        moving=flair_preproc,
        transform=flair_to_anat,
        name='FLAIR',
    )
