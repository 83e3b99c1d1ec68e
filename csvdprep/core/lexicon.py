"""The names by which rooms exchange files: each has one meaning, one unit and one grid.

A room may take and make nothing that is not written here. As CAPLEX does for perfusion, the
lexicon keeps two rooms from calling one thing by two names, or two things by one.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Term:
    """Meaning of one exchanged name.

    Parameters
    ----------
    definition : str
        What the file holds.
    grid : {'anat', 'flair', 'dwi', 'mni', 'own', ''}
        On whose voxels the file is given; empty for what is no image.
    units : str
        Unit of the voxels, empty where arbitrary or categorical.
    """

    definition: str
    grid: str = ''
    units: str = ''


#: Images as they come from the raw dataset.
SCANS: dict[str, Term] = {
    't1w': Term('T1-weighted image as acquired', 'anat'),
    'flair': Term('FLAIR image as acquired', 'flair'),
    'anat': Term('anatomical reference of the visit: the T1w if there is one, else the FLAIR',
                 'anat'),
    'dwi': Term('runs of the diffusion series as acquired, and what maps the field', 'dwi'),
    'wmh_external': Term('WMH mask made by another tool or by hand', 'own'),
    'infarct_external': Term('mask of infarcts made by another tool or by hand', 'own'),
    'lacune_external': Term('mask of lacunes made by another tool or by hand', 'own'),
    'brain_mask_external': Term('brain mask made by another tool or by hand', 'own'),
}  # fmt: skip

#: Files that rooms make.
PRODUCTS: dict[str, Term] = {
    'anat_preproc': Term('anatomical reference, intensity-corrected (N4)', 'anat'),
    'brain_mask': Term('brain mask of the anatomical reference', 'anat'),
    'flair_preproc': Term('FLAIR, intensity-corrected (N4)', 'flair'),
    'flair_mask': Term('brain mask on the FLAIR grid', 'flair'),
    'flair_to_anat': Term('rigid transform that resamples the FLAIR onto the reference (ITK)'),
    'lesion_guess': Term('preliminary hyperintensities, to be left out of the anatomy', 'anat'),
    'anat_filled': Term('anatomical reference with hyperintensities filled as normal WM', 'anat'),
    'anat_to_mni': Term('transform that resamples the reference into the template (ITK)'),
    'mni_to_anat': Term('transform that resamples the template onto the reference (ITK)'),
    'csf_probseg': Term('share of cerebrospinal fluid', 'anat', '1'),
    'gm_probseg': Term('share of grey matter', 'anat', '1'),
    'wm_probseg': Term('share of white matter, hyperintensities included', 'anat', '1'),
    'tissue_dseg': Term('most probable tissue: 1 CSF, 2 GM, 3 WM', 'anat'),
    'ventricles': Term('lateral ventricles: 1 left, 2 right', 'anat'),
    'structures_dseg': Term('deep structures, brainstem and cerebellum from the template',
                            'anat'),
    'lobes_dseg': Term('lobes from the template', 'anat'),
    'territories_dseg': Term('vascular territories from the template', 'anat'),
    'wmh_mask': Term('white matter hyperintensities', 'flair'),
    'wmh_probseg': Term('degree of membership of white matter hyperintensity', 'flair', '1'),
    'zones_dseg': Term('WMH by zone: 1 juxtaventricular, 2 periventricular, 3 deep, '
                       '4 juxtacortical', 'flair'),
    'dwi_preproc': Term('diffusion series, corrected', 'dwi'),
    'dwi_bval': Term('b-values of the corrected series (FSL)', '', 's/mm2'),
    'dwi_bvec': Term('gradients of the corrected series (FSL)'),
    'dwi_b0': Term('mean of the corrected volumes without gradient', 'dwi'),
    'dwi_b0_raw': Term('first volume without gradient before correction', 'dwi'),
    'dwi_mask': Term('brain mask of the corrected series', 'dwi'),
    'dwi_confounds': Term('motion and lost slices, one volume a row'),
    'dwi_tensor': Term('diffusion tensor in world axes: xx, xy, xz, yy, yz, zz', 'dwi', 'mm2/s'),
    'dwi_fa': Term('fractional anisotropy', 'dwi', '1'),
    'dwi_md': Term('mean diffusivity', 'dwi', 'mm2/s'),
    'dwi_ad': Term('axial diffusivity', 'dwi', 'mm2/s'),
    'dwi_rd': Term('radial diffusivity', 'dwi', 'mm2/s'),
    'dwi_mode': Term('mode of the tensor', 'dwi', '1'),
    'dwi_direction': Term('main direction of diffusion, world axes', 'dwi'),
    'dwi_fw': Term('volume fraction of free water', 'dwi', '1'),
    'dwi_to_anat': Term('rigid transform that resamples the diffusion series onto the '
                        'reference (ITK)'),
    'dwi_to_fa': Term('transform that resamples the diffusion series into the FA template (ITK)'),
    'fa_to_dwi': Term('transform that resamples the FA template onto the diffusion series (ITK)'),
    'alps_regions': Term('regions of DTI-ALPS, share of each voxel', 'dwi', '1'),
    'alps_kept': Term('what of the regions of DTI-ALPS was measured', 'dwi', '1'),
    'penumbra_profile': Term('measures by distance from the hyperintensities, one ring a row'),
    'wmh_lesions': Term('list of WMH lesions, one a row'),
    'wmh_bullseye': Term('volume of WMH by side, lobe and depth'),
    'wmh_subcortical': Term('hyperintensities outside of the white matter: 1 deep grey matter, '
                            '2 brainstem and cerebellum', 'flair'),
}  # fmt: skip

#: What may be resampled into a space that the user asks for, as ``<name>_in_<space>``.
RESAMPLED: dict[str, str] = {
    'anat': 'anatomical reference', 'brain': 'brain mask', 'flair': 'FLAIR',
    'wmh': 'white matter hyperintensities', 'wmhprob': 'degree of membership of WMH',
}  # fmt: skip


def term(name: str) -> Term:
    """Look a name up.

    Parameters
    ----------
    name : str
        A scan, a product, ``<room>_values`` (the measures of a room), or what is resampled
        into a space (``wmh_in_<space>``, ``anat_to_<space>``).

    Returns
    -------
    Term
        Its meaning.

    Raises
    ------
    KeyError
        If the lexicon does not know the name.

    Examples
    --------
    >>> term('wmh_mask').grid
    'flair'

    """
    if name.endswith('_values'):
        return Term(f'measures of the room {name.removesuffix("_values")}')
    what, found, space = name.partition('_in_')
    if found and what in RESAMPLED:
        return Term(f'{RESAMPLED[what]}, in {space}', 'mni')
    if name.startswith('anat_to_') and name not in PRODUCTS:
        return Term(f'transform that resamples the reference into {name[8:]} (ITK)')
    return {**SCANS, **PRODUCTS}[name]
