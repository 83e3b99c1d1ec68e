"""Where in the brain small lesions occur: candidate positions in the template, by region."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache

import nibabel as nib
import numpy as np
from scipy import ndimage as ndi

from csvdprep.bids.tsv import read_tsv
from csvdprep.resources import template_file

#: Spacing of the candidates, mm.
STEP = 2
#: Regions: atlas, and what the names of its labels end with.
REGIONS = {
    'basal ganglia': ('structures', ('caudate nucleus', 'putamen', 'pallidum')),
    'thalamus': ('structures', ('thalamus',)),
    'brainstem': ('structures', ('brainstem',)),
    'cerebellum': ('structures', ('cerebellum',)),
    'centrum semiovale': ('pvsregions', ('centrum semiovale',)),
    'frontal lobe': ('lobes', ('frontal lobe',)),
    'parietal lobe': ('lobes', ('parietal lobe',)),
    'temporal lobe': ('lobes', ('temporal lobe',)),
    'occipital lobe': ('lobes', ('occipital lobe',)),
}


@dataclass(frozen=True, eq=False)
class Sites:
    """The template on a coarse grid.

    Attributes
    ----------
    affine : ndarray, shape (4, 4)
        From its indices to mm.
    labels : dict of str to ndarray of uint8
        By atlas.
    names : dict of str to dict of int to str
        Names of the labels, by atlas.
    from_fluid : ndarray of float32
        Distance from fluid and from what is outside of the brain, mm.
    from_grey : ndarray of float32
        Distance of white matter from all else, mm.
    """

    affine: np.ndarray
    labels: dict[str, np.ndarray]
    names: dict[str, dict[int, str]]
    from_fluid: np.ndarray
    from_grey: np.ndarray

    @lru_cache(maxsize=64)  # noqa: B019 - there is one object, and it lives as long as the process
    def within(self, region: str, *, from_fluid: float = 0, from_grey: float = 0) -> np.ndarray:
        """Return the positions of a region that keep a distance.

        Parameters
        ----------
        region : str
            One of :data:`REGIONS`.
        from_fluid, from_grey : float
            Least distance from fluid and from grey matter, mm.

        Returns
        -------
        ndarray, shape (n, 3)
            mm in the template.

        Examples
        --------
        >>> points = sites().within('thalamus', from_fluid=4)
        >>> bool((abs(points[:, 0]) < 25).all())
        True
        """
        atlas, endings = REGIONS[region]
        wanted = [k for k, name in self.names[atlas].items() if name.endswith(endings)]
        where = np.isin(self.labels[atlas], wanted)
        where &= (self.from_fluid >= from_fluid) & (self.from_grey >= from_grey)
        return np.argwhere(where) @ self.affine[:3, :3].T + self.affine[:3, 3]

    def read(self, name: str, points: np.ndarray) -> np.ndarray:
        """Read a distance or the labels of an atlas at positions (n, 3) of the template, mm."""
        volume = self.labels[name] if name in self.labels else getattr(self, name)
        index = np.rint((np.asarray(points) - self.affine[:3, 3]) / STEP).astype(int)
        index = np.clip(index, 0, np.array(volume.shape) - 1)
        return volume[tuple(index.T)]

    def name_at(self, atlas: str, point: np.ndarray) -> str:
        """Return the name of the label at a position, '' where there is none."""
        return self.names[atlas].get(int(self.read(atlas, point[None])[0]), '')


@cache
def sites() -> Sites:
    """Read the template once.

    Examples
    --------
    >>> sites().name_at('structures', np.array([-12.0, -18, 8]))
    'left thalamus'
    """
    labels, names = {}, {}
    some = (slice(None, None, STEP),) * 3
    for atlas in ('structures', 'lobes', 'pvsregions', 'territories'):
        image = nib.load(template_file('dseg', atlas='csvdprep', desc=atlas))
        labels[atlas] = np.asanyarray(image.dataobj)[some].astype(np.uint8)
        table = template_file('dseg', atlas='csvdprep', desc=atlas, extension='.tsv')
        names[atlas] = {int(row['index']): row['name'] for row in read_tsv(table).rows}
    affine = image.affine.copy()
    affine[:3, :3] *= STEP
    white, grey = (
        nib.load(template_file('probseg', label=label)).get_fdata(dtype=np.float32)[some]
        for label in ('WM', 'GM')
    )
    deep = np.isin(labels['structures'], range(3, 11))
    fluid = (white + grey < 0.5) | np.isin(labels['structures'], (1, 2, 16, 17))
    # Beyond a box around the brain all is fluid, so that distances are 0 there.
    box = tuple(
        slice(max(edge.start - 1, 0), edge.stop + 1)
        for edge in ndi.find_objects((~fluid).astype(np.uint8))[0]
    )
    distances = [np.zeros(fluid.shape, np.float32) for _ in range(2)]
    for distance, mask in zip(distances, (~fluid, (white > 0.5) & ~deep), strict=True):
        distance[box] = STEP * ndi.distance_transform_edt(mask[box])
    return Sites(affine, labels, names, *distances)
