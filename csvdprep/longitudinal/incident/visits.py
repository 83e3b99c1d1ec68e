"""What the visits left of a kind of lesion, in one space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import ndimage as ndi

from csvdprep.bids.tsv import read_tsv
from csvdprep.core.errors import InputError
from csvdprep.imaging.images import load
from csvdprep.imaging.transforms import read_linear
from csvdprep.interfaces.visits import read_poses
from csvdprep.longitudinal.incident import Kind
from csvdprep.longitudinal.incident.science import Lesion, Scan
from csvdprep.longitudinal.incident.science.contrast import points_of

#: Values of ``status`` that count.
COUNTS = ('definite', 'external')


@dataclass(frozen=True, eq=False)
class VisitLesions:
    """Lesions of a kind at a visit.

    Attributes
    ----------
    session : str
        The visit.
    scan : Scan
        In which they were found.
    lesions : tuple of Lesion
        All candidates of the list.
    rows : dict of int to mapping
        The list, by ``index``.
    """

    session: str
    scan: Scan
    lesions: tuple[Lesion, ...]
    rows: dict[int, Mapping[str, str]]

    @property
    def origin(self) -> str:
        """'external' if the lesions that count are from a mask that was given."""
        given = any(row['status'] == 'external' for row in self.rows.values())
        return 'external' if given else 'csvdprep'


class Space:
    """A space half-way between visits, and the ways from it to the visits' references.

    Parameters
    ----------
    poses : path-like
        Table of poses.
    error : path-like, optional
        Map of the error of the registration.
    to_reference : mapping of str to path-like, optional
        By session, the transform that resamples the image of the poses onto the anatomical
        reference; where it is None, that image is the reference.
    """

    def __init__(self, poses, error=None, to_reference=None):
        self.ways = read_poses(poses)
        if to_reference is not None:
            self.ways = {
                name: np.linalg.inv(read_linear(to_reference[name])) @ pose
                for name, pose in self.ways.items()
                if name in to_reference
            }
        self.error = load(error) if error else None

    def error_at(self, points: np.ndarray) -> float:
        """Return the error of the registration (mm) at the middle of points of this space."""
        if self.error is None:
            return 0.0
        matrix = np.linalg.inv(self.error.affine)
        index = np.rint(matrix[:3, :3] @ points.mean(axis=0) + matrix[:3, 3]).astype(int)
        data = np.asanyarray(self.error.dataobj)
        inside = all(0 <= k < n for k, n in zip(index, data.shape, strict=True))
        return float(data[tuple(index)]) if inside else 0.0


class Visits:
    """The visits that were searched for a kind of lesion.

    Parameters
    ----------
    kind : Kind
        Which.
    files : mapping of str to mapping of str to str
        Products, each by session.
    spaces : sequence of Space
        The one that holds most visits counts, the first if several do.
    order : sequence of str
        Sessions in the order of time.
    """

    def __init__(self, kind: Kind, files, spaces, order):
        self.kind, self._files = kind, files
        wanted = [name for name in (kind.labels, kind.image, kind.brain, kind.way) if name]
        self.listed = [name for name in order if name in files[kind.rows]]
        have = [n for n in self.listed if all(n in files[product] for product in wanted)]
        placed = [[name for name in have if name in space.ways] for space in spaces]
        best = max(range(len(spaces)), key=lambda k: len(placed[k])) if spaces else None
        self.sessions = placed[best] if spaces else []
        self.space = spaces[best] if spaces else None
        # A visit is read for the pair before it and for the one after it.
        self.read = lru_cache(maxsize=2)(self._read)

    def voxels(self) -> dict[str, tuple[float, ...]]:
        """Return the voxel sizes of the images, by session."""
        files = self._files[self.kind.image]
        return {name: load(files[name]).header.get_zooms()[:3] for name in self.sessions}

    def _read(self, session: str) -> VisitLesions:
        kind, files = self.kind, self._files
        image = load(files[kind.image][session])
        labels_file = files[kind.labels][session]
        labels = np.rint(np.asanyarray(load(labels_file).dataobj)).astype(np.int32)
        brain = np.asanyarray(load(files[kind.brain][session]).dataobj) > 0
        if not labels.shape == brain.shape == image.shape[:3]:
            raise InputError(
                f'The candidates of {session} do not lie on the grid of the image that they were '
                'found in.',
                file=labels_file,
                remedy='Process the visit again.',
            )
        way = self.space.ways[session]
        if kind.way:
            way = read_linear(files[kind.way][session]) @ way
        data = np.asanyarray(image.dataobj, dtype=np.float32)
        scan = Scan(data, image.affine, brain, labels, way)
        rows = {int(row['index']): row for row in read_tsv(files[kind.rows][session]).rows}
        boxes, back = ndi.find_objects(labels), np.linalg.inv(way)
        lesions = []
        for index, row in rows.items():
            if index > len(boxes) or boxes[index - 1] is None:
                raise InputError(
                    f'Lesion {index} of the list is not in the image of candidates.',
                    file=labels_file,
                    remedy='Process the visit again.',
                )
            points, mm3 = points_of(labels, index, boxes[index - 1], image.affine)
            points = points @ back[:3, :3].T + back[:3, 3]
            lesions.append(
                Lesion(
                    index,
                    row['status'] in COUNTS,
                    points,
                    mm3,
                    _said(index, row),
                    self.space.error_at(points),
                )
            )
        return VisitLesions(session, scan, tuple(lesions), rows)


def _said(index: int, row: Mapping[str, str]) -> str:
    sure = row.get('probability', 'n/a')
    return f'#{index}, {row["status"]}' + (f', probability {sure}' if sure != 'n/a' else '')
