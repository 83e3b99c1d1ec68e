"""A head at one visit: anatomy, disease, and the values that follow from both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from csvdprep.phantom.geometry.features import Feature
from csvdprep.phantom.geometry.fields import smooth_noise
from csvdprep.phantom.head.anatomy import Anatomy, structure_names
from csvdprep.phantom.head.tissues import NUCLEI, TISSUES, Nucleus
from csvdprep.phantom.scanner.scan import Scan

#: Order in which small things are drawn: what comes later covers what came before.
PAINT = ('gliosis', 'infarct', 'csf', 'vein', 'artery', 'calcium', 'haemosiderin')


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """What lies in the scanner.

    Attributes
    ----------
    anatomy : Anatomy
        The head.
    wmh : ndarray of float32, shape (nx, ny, nz)
        Share of each of its voxels that is white matter hyperintensity; it replaces white matter.
    features : sequence of Feature
        Small lesions and vessels, in mm of the head's frame.
    seed : int
        Decides what belongs to the person: texture.
    tesla : float
        Field strength: 1.5, 3 or 7.
    factors : mapping of str to float
        How the person differs from the table of tissues, by property: ``{'cbf': 0.9}``.
    rotation, shift : tuple of float
        Pose in which the head lies at this visit: degrees about x, y, z; mm.
    """

    anatomy: Anatomy
    wmh: np.ndarray
    features: Sequence[Feature] = ()
    seed: int = 0
    tesla: float = 3.0
    factors: Mapping[str, float] = field(default_factory=dict)
    rotation: tuple[float, float, float] = (0, 0, 0)
    shift: tuple[float, float, float] = (0, 0, 0)

    @property
    def affine(self) -> np.ndarray:
        """Grid of the head: from voxel indices to mm of its frame."""
        return self.anatomy.affine

    def shares(self) -> Iterator[tuple[str, np.ndarray]]:
        """Give each tissue and its share of every voxel of the head, hyperintensities apart."""
        for name, share in self.anatomy.fractions.items():
            yield name, (share - self.wmh if name == 'wm' else share)
        yield 'wmh', self.wmh

    def value(self, tissue: str, name: str) -> float:
        """Return a property of a tissue in this person."""
        return getattr(TISSUES[tissue], name) * self.factors.get(name, 1.0)

    def property_map(self, name: str, box: tuple[slice, ...] | None = None) -> np.ndarray:
        """Give every voxel the mean of a property over what it holds; air has 0.

        Parameters
        ----------
        name : str
            Attribute of :class:`csvdprep.phantom.head.tissues.Tissue`; where
            :class:`~csvdprep.phantom.head.tissues.Nucleus` has it too, nuclei have their own.
        box : tuple of slice, optional
            Part of the head's grid.

        Returns
        -------
        ndarray of float32
        """
        box = box or (slice(None),) * 3
        out = sum(
            np.float32(self.value(tissue, name)) * share[box] for tissue, share in self.shares()
        )
        if name not in Nucleus.__dataclass_fields__:
            return out
        for where, nucleus in self.nuclei(box):
            solid = sum(self.anatomy.fractions[t][box][where] for t in ('gm', 'wm'))
            own = getattr(nucleus, name) * self.factors.get(name, 1.0)
            fluid = self.anatomy.fractions['csf'][box][where] * self.value('csf', name)
            out[where] = solid * own + fluid
        return out

    def texture(self) -> np.ndarray:
        """Return the person's texture of tissue, the same in each sequence: mean 0, variance 1."""
        rng = np.random.default_rng([self.seed, 5])
        spacing = float(self.affine[0, 0])
        out = np.float32(0.6) * smooth_noise(self.wmh.shape, 1.0 / spacing, rng)
        out += np.float32(0.8) * smooth_noise(self.wmh.shape, 4.0 / spacing, rng)
        return out

    def nuclei(self, box: tuple[slice, ...]) -> Iterator[tuple[tuple[np.ndarray, ...], Nucleus]]:
        """Give the voxels of each grey nucleus within a part of the grid."""
        structures = self.anatomy.structures[box]
        for name, nucleus in NUCLEI.items():
            labels = [
                label
                for label, text in structure_names().items()
                if text.removeprefix('left ').removeprefix('right ') == name
            ]
            yield np.nonzero(np.isin(structures, labels)), nucleus

    def lay(self, protocol, rng: np.random.Generator):
        """Return a protocol with the head in its scan, moved a little since the visit began.

        What makes a scan begins with this: protocols have no pose before. Where one says that it
        is ``still``, the head lies exactly as it did when the visit began.
        """
        size = 0.0 if getattr(protocol, 'still', False) else 1.0
        return replace(protocol, scan=self.place(protocol.scan, rng, size, size))

    def place(self, scan: Scan, rng: np.random.Generator, degrees=1.0, millimetres=1.0) -> Scan:
        """Put the head into a scan: the visit's pose, and how it has moved since.

        Parameters
        ----------
        scan : Scan
            Without pose.
        rng : numpy.random.Generator
            Decides how the head has moved.
        degrees, millimetres : float
            Standard deviation of that; 0 for none.
        """
        placed = scan.after(self.rotation, self.shift)
        turn, move = rng.normal(0, 1, (2, 3))
        if not degrees and not millimetres:
            return placed
        return placed.after(tuple(degrees * turn), tuple(millimetres * move))

    def paint(
        self,
        image: np.ndarray,
        scan: Scan,
        values: Mapping[str, float],
        kinds: Sequence[str] | None = None,
    ) -> np.ndarray:
        """Draw the small things over an image.

        Parameters
        ----------
        image : ndarray, shape of the scan's grid
            Values without them.
        scan : Scan
            How the head is seen.
        values : mapping of str to float
            Value of each tissue; what fills a feature but is not in here is not drawn.
        kinds : sequence of str, optional
            Kinds of features to draw; all by default.

        Returns
        -------
        ndarray, as ``image``
        """
        for tissue in PAINT:
            chosen = [
                f
                for f in self.features
                if f.tissue == tissue and (kinds is None or f.kind in kinds)
            ]
            if tissue not in values or not chosen:
                continue
            share, _ = scan.draw(chosen)
            image = image + share * (np.float32(values[tissue]) - image)
        return image
