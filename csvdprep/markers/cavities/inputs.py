"""What the detection takes, gathered from files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from scipy import ndimage as ndi

from csvdprep.core.errors import MeasureError
from csvdprep.imaging.atlas import DEEP_GREY, label_names, labels_of, warped_template
from csvdprep.imaging.images import load
from csvdprep.imaging.transforms import read_linear
from csvdprep.markers.cavities.science.candidates import Head
from csvdprep.markers.cavities.science.fluid import Share, fluid_share
from csvdprep.science.morphology import bounding_box

#: Kinds of images that there may be besides the T1w.
OTHERS = ('flair', 't2w')
#: Margin around the brain that is looked at, mm.
MARGIN_MM = 6.0
#: A T2w whose voxels are longer than those of the reference, by more than this factor, is no
#: place to look for tubes.
COARSER = 1.2
#: Least share of the brain that an image has to cover to be used.
LEAST_COVER = 0.8


@dataclass(frozen=True, eq=False)
class Place:
    """Where things lie on the grid of the reference, cut to the brain.

    Attributes
    ----------
    image : nibabel image
        The reference, whole.
    box : tuple of slice
        Part of it that is kept.
    brain, fluid, ventricles, tissue, white : ndarray of bool, shape (I, J, K)
        Brain; voxels of nothing but fluid; ventricles and cisterns; tissue without fluid and
        hyperintensities; normal-appearing white matter.
    maps : mapping of str to ndarray
        ``grey``, ``cortex``, ``wmh``, ``template_fluid``, ``template_grey``.
    structures, lobes, territories, regions : ndarray of uint8
        Labels of the template.
    """

    image: Any
    box: tuple[slice, ...]
    brain: np.ndarray
    fluid: np.ndarray
    ventricles: np.ndarray
    tissue: np.ndarray
    white: np.ndarray
    maps: Mapping[str, np.ndarray] = field(default_factory=dict)
    structures: np.ndarray | None = None
    lobes: np.ndarray | None = None
    territories: np.ndarray | None = None
    regions: np.ndarray | None = None

    @property
    def affine(self) -> np.ndarray:
        """Voxel to world of the part, RAS+ mm."""
        shift = np.eye(4)
        shift[:3, 3] = [part.start for part in self.box]
        return self.image.affine @ shift

    @property
    def voxel_mm(self) -> np.ndarray:
        """Edges of a voxel, mm."""
        return nib.affines.voxel_sizes(self.image.affine)

    def whole(self, part: np.ndarray) -> np.ndarray:
        """Put a part back into the grid of the reference."""
        out = np.zeros(self.image.shape[:3], part.dtype)
        out[self.box] = part
        return out


def read_place(files: Mapping[str, str]) -> Place:
    """Read anatomy.

    Parameters
    ----------
    files : mapping of str to path
        ``anat_preproc``, ``brain_mask``, ``csf_probseg``, ``gm_probseg``, ``wm_probseg``,
        ``ventricles``, ``structures_dseg``, ``lobes_dseg``, ``territories_dseg``,
        ``mni_to_anat``; ``wmh_mask`` with ``flair_to_anat`` where there are hyperintensities.

    Returns
    -------
    Place
    """
    image = load(files['anat_preproc'])
    voxel_mm = nib.affines.voxel_sizes(image.affine)
    whole = np.asanyarray(load(files['brain_mask']).dataobj) > 0
    margin = int(np.ceil(MARGIN_MM / voxel_mm.min()))
    box = bounding_box(whole, margin)

    def read(name: str, kind=np.float32) -> np.ndarray:
        return np.asanyarray(load(files[name]).dataobj)[box].astype(kind)

    brain = whole[box]
    csf, grey, wm = (read(f'{name}_probseg') for name in ('csf', 'gm', 'wm'))
    structures = read('structures_dseg', np.uint8)
    way = files['mni_to_anat']
    template_fluid, template_grey = (
        np.asarray(warped_template(f'template_{n}', image, way))[box].astype(np.float32)
        for n in ('csf', 'gm')
    )
    regions = warped_template('template_pvsregions', image, way, 'label')[box].astype(np.uint8)
    wmh = np.zeros(brain.shape, np.float32)
    if files.get('wmh_mask'):
        wmh = brought(load(files['wmh_mask']), image, files['flair_to_anat'], order=1)[box]
    wet = csf > 0.5
    ventricles = read('ventricles', np.uint8) > 0
    ventricles |= wet & np.isin(structures, labels_of('structures', 'third', 'fourth'))
    ventricles |= wet & (template_fluid > 0.6)
    near_wmh = ndi.binary_dilation(wmh > 0.1, iterations=1)
    tissue = brain & (csf < 0.3) & ~ventricles & ~near_wmh
    inner = np.isin(structures, [*label_names('structures')])
    white = ndi.binary_erosion((wm > 0.9) & ~near_wmh & ~inner & brain)
    fluid = _pure(ventricles & brain, csf, brain, voxel_mm)
    return Place(
        image=image,
        box=box,
        brain=brain,
        fluid=fluid,
        ventricles=ventricles,
        tissue=tissue,
        white=white,
        maps={
            'grey': grey,
            'cortex': np.clip(grey * ~inner, 0, 1).astype(np.float32),
            'wmh': wmh,
            'template_fluid': ndi.gaussian_filter(template_fluid, 1.5 / voxel_mm),
            'template_grey': template_grey,
        },
        structures=structures,
        lobes=read('lobes_dseg', np.uint8),
        territories=read('territories_dseg', np.uint8),
        regions=regions,
    )


def _pure(ventricles, csf, brain, voxel_mm) -> np.ndarray:
    """Return voxels of nothing but fluid: the inner part of the ventricles, or else of sulci."""
    flat = np.ones((3, 3, 3), bool)
    if voxel_mm.max() > 2:
        axis = int(np.argmax(voxel_mm))
        outer = [slice(None)] * 3
        for end in (0, 2):
            outer[axis] = end
            flat[tuple(outer)] = False
    inner = ndi.binary_erosion(ventricles & (csf > 0.8), flat)
    return inner if inner.sum() >= 200 else brain & (csf > 0.95)


def brought(image, like, transform: str | None, *, order: int = 3) -> np.ndarray:
    """Bring an image to the grid of the reference.

    Parameters
    ----------
    image : nibabel image
        What is brought.
    like : nibabel image
        The reference.
    transform : str, optional
        Linear transform (ITK) that resamples the image onto the reference.
    order : int
        Of the spline.

    Returns
    -------
    ndarray of float32
        0 outside.
    """
    world = read_linear(transform) if transform else np.eye(4)
    matrix = np.linalg.inv(image.affine) @ world @ like.affine
    return ndi.affine_transform(
        np.asanyarray(image.dataobj, dtype=np.float32),
        matrix[:3, :3],
        matrix[:3, 3],
        output_shape=like.shape[:3],
        order=order,
        mode='grid-constant',
        output=np.float32,
    )


def read_images(files: Mapping[str, str]) -> dict[str, tuple[Any, str | None]]:
    """Read the images of a visit: each, and the transform that resamples it onto the reference."""
    found = {'t1w': (load(files['anat_preproc']), None)}
    for name in OTHERS:
        if files.get(f'{name}_preproc'):
            found[name] = (load(files[f'{name}_preproc']), files[f'{name}_to_anat'])
    return found


def make_head(
    place: Place, images: Mapping[str, tuple[Any, str | None]]
) -> tuple[Head, list[str]]:
    """Hold the images against tissue and fluid.

    Parameters
    ----------
    place : Place
        Anatomy.
    images : mapping of str to tuple
        As `read_images` gives.

    Returns
    -------
    head : Head
        What is searched.
    told : list of str
        Why an image was not used.
    """
    told: list[str] = []
    shares: dict[str, Share] = {}
    for name, (image, transform) in images.items():
        data = brought(image, place.image, transform) if transform else image.dataobj
        data = np.asanyarray(data, dtype=np.float32)[place.box]
        seen = data > 0
        if name != 't1w' and (seen & place.brain).sum() < LEAST_COVER * place.brain.sum():
            told.append(f'the {name.upper()} covers too little of the brain')
            continue
        try:
            shares[name] = fluid_share(
                data, place.tissue & seen, place.fluid & seen, place.white & seen, place.voxel_mm
            )
        except MeasureError as error:
            if name == 't1w':
                raise
            told.append(f'{name.upper()}: {error}')
            continue
        if name != 't1w':
            shares[name].share[~seen] = 0
    labels = {
        'deep_grey': np.isin(place.structures, labels_of('structures', *DEEP_GREY)),
        'low': np.isin(place.structures, labels_of('structures', 'brainstem', 'cerebellum')),
        'centrum': np.isin(place.regions, labels_of('pvsregions', 'centrum')),
        'basal': np.isin(place.regions, labels_of('pvsregions', 'basal')),
        'hippocampus': np.isin(place.regions, labels_of('pvsregions', 'hippocampus')),
    }
    fine = False
    if 't2w' in shares:
        size = nib.affines.voxel_sizes(images['t2w'][0].affine).max()
        fine = bool(size <= COARSER * place.voxel_mm.max())
    head = Head(
        **shares,
        brain=place.brain,
        ventricles=place.ventricles,
        white=place.white,
        regions=labels,
        affine=place.affine,
        use_t2w=fine,
        **place.maps,
    )
    return head, told


def visit_files(stem: str, t2w: Path | None = None) -> dict[str, str]:
    """Name what a visit left, for `read_place` and `read_images`.

    Parameters
    ----------
    stem : str
        Path of a visit's files in ``anat``, up to ``sub-01_ses-1``; its reference is a T1w.
    t2w : Path, optional
        Folder with ``t2w_preproc.nii.gz`` and ``t2w_to_anat.txt``, where the visit has none.

    Returns
    -------
    dict of str to str
    """
    names = {
        'anat_preproc': '_desc-preproc_T1w.nii.gz',
        'brain_mask': '_desc-brain_mask.nii.gz',
        **{f'{n}_probseg': f'_label-{n.upper()}_probseg.nii.gz' for n in ('csf', 'gm', 'wm')},
        'ventricles': '_desc-ventricles_dseg.nii.gz',
        **{
            f'{n}_dseg': f'_atlas-csvdprep_desc-{n}_dseg.nii.gz'
            for n in ('structures', 'lobes', 'territories')
        },
        'mni_to_anat': '_from-MNI152NLin2009aSym_to-T1w_mode-image_xfm.h5',
        'anat_to_mni': '_from-T1w_to-MNI152NLin2009aSym_mode-image_xfm.h5',
        'flair_preproc': '_desc-preproc_FLAIR.nii.gz',
        'flair_to_anat': '_from-FLAIR_to-T1w_mode-image_xfm.txt',
        'wmh_mask': '_space-FLAIR_label-WMH_mask.nii.gz',
        't2w_preproc': '_desc-preproc_T2w.nii.gz',
        't2w_to_anat': '_from-T2w_to-T1w_mode-image_xfm.txt',
    }
    found = {name: f'{stem}{end}' for name, end in names.items() if Path(f'{stem}{end}').exists()}
    if t2w is not None and (t2w / 't2w_preproc.nii.gz').exists():
        found |= {n: str(next(t2w.glob(f'{n}.*'))) for n in ('t2w_preproc', 't2w_to_anat')}
    return found
