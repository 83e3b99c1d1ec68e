"""How a scanner sees a head: grid, pose, voxels, coil, noise.

Images are acquired in a scanner's frame in which the head lies with a pose of its own in each
scan. What the signal is, the modules of the modalities say.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import nibabel as nib
import numpy as np
from scipy import ndimage as ndi
from scipy.spatial.transform import Rotation

from csvdprep.phantom.geometry.features import Feature, draw
from csvdprep.phantom.geometry.fields import resize


@dataclass(frozen=True, kw_only=True)
class Scan:
    """How an image is taken: grid, pose, and what spoils it.

    Attributes
    ----------
    voxel : tuple of float
        Voxel size along left-right, posterior-anterior, inferior-superior, mm (the thickness
        of slices across them).
    gap : float
        Gap between slices, mm.
    slices : int
        Anatomical axis across the slices: 0 left-right, 1 front-back, 2 up-down.
    stored : str
        Axis codes of the stored array, e.g. 'LPS'.
    tilt : tuple of float
        Obliquity of the grid: rotations about x, y, z in degrees.
    rotation, shift : tuple of float
        Pose of the head in the scanner: degrees about x, y, z; mm.
    low, high : tuple of float
        Field of view around the head's centre, mm.
    noise : float
        Standard deviation of the noise in each of the two channels, relative to the signal that
        the modality names.
    bias : float
        Spread of the coil's sensitivity over the head, relative.
    """

    voxel: tuple[float, float, float]
    gap: float = 0.0
    slices: int = 2
    stored: str = 'RAS'
    tilt: tuple[float, float, float] = (0, 0, 0)
    rotation: tuple[float, float, float] = (0, 0, 0)
    shift: tuple[float, float, float] = (0, 0, 0)
    low: tuple[float, float, float] = (-92, -122, -100)
    high: tuple[float, float, float] = (92, 108, 98)
    noise: float = 0.03
    bias: float = 0.2

    def grid(self) -> tuple[tuple[int, int, int], np.ndarray]:
        """Return shape and affine (voxel to scanner mm) of the image as it is stored."""
        spacing = np.array(self.voxel, float)
        spacing[self.slices] += self.gap
        low, high = np.array(self.low, float), np.array(self.high, float)
        shape = np.maximum(np.round((high - low) / spacing), 1).astype(int)
        affine = np.eye(4)
        affine[:3, :3] = turn(self.tilt) * spacing
        middle = (low + high) / 2
        affine[:3, 3] = middle - affine[:3, :3] @ ((shape - 1) / 2)
        wanted = nib.orientations.axcodes2ornt(tuple(self.stored))
        here = nib.orientations.axcodes2ornt(('R', 'A', 'S'))
        change = nib.orientations.ornt_transform(here, wanted)
        stored = tuple(int(n) for n in shape[np.argsort(change[:, 0])])
        return stored, affine @ nib.orientations.inv_ornt_aff(change, tuple(shape))

    def sample(self, volume: np.ndarray, affine: np.ndarray) -> np.ndarray:
        """See a volume of the head through the voxels of this scan.

        Signals are averaged over the slice's thickness (not over gaps) on steps of at most a
        millimetre, and over the voxel in its plane.

        Parameters
        ----------
        volume : ndarray, shape (nx, ny, nz)
            Values in the head's own frame.
        affine : ndarray, shape (4, 4)
            From indices of ``volume`` to mm of that frame.

        Returns
        -------
        ndarray of float32, shape of :meth:`grid`
        """
        return self.read(self.blur(volume, affine), affine)

    def blur(self, volume: np.ndarray, affine: np.ndarray) -> np.ndarray:
        """Average a volume of the head over the voxels of this scan in their plane.

        Parameters
        ----------
        volume, affine
            As in :meth:`sample`.

        Returns
        -------
        ndarray, shape of ``volume``
            To be seen by :meth:`read`, in several poses if the head moves.
        """
        steps = np.linalg.norm(affine[:3, :3], axis=0)
        # In its plane a voxel is little larger than those of the head: smoothing does there.
        excess = np.sqrt(np.clip(self._in_plane**2 - steps**2, 0, None) / 12) / steps
        return ndi.gaussian_filter(volume, excess) if excess.max() > 0.15 else volume

    def read(self, volume: np.ndarray, affine: np.ndarray) -> np.ndarray:
        """See a volume that :meth:`blur` has prepared; parameters and result as in :meth:`sample`.

        Only the average over the thickness of the slices is left to take.
        """
        shape, stored = self.grid()
        matrix = self._to_head(affine)
        steps = np.linalg.norm(affine[:3, :3], axis=0)
        size = np.linalg.norm(stored[:3, :3], axis=0)
        across = self.array_axis
        part = _covered(volume, matrix, shape)
        thickness = self.voxel[self.slices]
        thick = thickness > self._in_plane
        count = int(np.ceil(thickness / steps.min() - 0.01)) if thick else 1
        out = np.zeros(shape, np.float32)
        first = np.array([edge.start for edge in part])
        for offset in (np.arange(count) + 0.5) / count - 0.5:
            index = first.astype(float)
            index[across] += offset * thickness / size[across]
            out[part] += ndi.affine_transform(
                volume,
                matrix[:3, :3],
                matrix[:3, 3] + matrix[:3, :3] @ index,
                output_shape=out[part].shape,
                order=1,
                output=np.float32,
            )
        return out / count

    @property
    def _in_plane(self) -> float:
        """Size of a voxel in the plane of its slice, mm: the larger of the two."""
        return max(size for axis, size in enumerate(self.voxel) if axis != self.slices)

    def labels(self, volume: np.ndarray, affine: np.ndarray) -> np.ndarray:
        """See labels of the head at the centres of this scan's voxels.

        Parameters
        ----------
        volume : ndarray of int, shape (nx, ny, nz)
            Labels in the head's own frame.
        affine : ndarray, shape (4, 4)
            From indices of ``volume`` to mm of that frame.

        Returns
        -------
        ndarray of int, shape of :meth:`grid`
        """
        matrix = self._to_head(affine)
        return ndi.affine_transform(
            volume, matrix[:3, :3], matrix[:3, 3], output_shape=self.grid()[0], order=0
        )

    def _to_head(self, affine: np.ndarray) -> np.ndarray:
        """Return the matrix from voxels of the stored image to voxels of the head."""
        return np.linalg.inv(self.pose @ affine) @ self.grid()[1]

    @property
    def pose(self) -> np.ndarray:
        """Matrix (4, 4) from mm of the head's frame to mm of the scanner's."""
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = turn(self.rotation), self.shift
        return pose

    def after(self, rotation, shift) -> Scan:
        """Return the same scan after the head has turned (degrees) and moved (mm) a little more.

        Examples
        --------
        >>> Scan(voxel=(1, 1, 1), shift=(1, 0, 0)).after((0, 0, 0), (2, 0, 0)).shift
        (3.0, 0.0, 0.0)
        """
        more = np.eye(4)
        more[:3, :3], more[:3, 3] = turn(rotation), shift
        pose = more @ self.pose
        angles = Rotation.from_matrix(pose[:3, :3]).as_euler('xyz', degrees=True)
        return replace(self, rotation=tuple(map(float, angles)), shift=tuple(pose[:3, 3].tolist()))

    def edges(self) -> np.ndarray:
        """Return the edges of a voxel along the axes of the stored array, mm, without gaps."""
        size = np.linalg.norm(self.grid()[1][:3, :3], axis=0)
        size[self.array_axis] -= self.gap
        return size

    def draw(self, features: Iterable[Feature]) -> tuple[np.ndarray, np.ndarray]:
        """See shapes of the head's frame: share and owner, as :func:`features.draw` gives them."""
        shape, affine = self.grid()
        return draw([f.moved(self.pose) for f in features], shape, affine, thickness=self.edges())

    @property
    def array_axis(self) -> int:
        """Axis of the stored array that runs across the slices."""
        along = np.linalg.inv(turn(self.tilt)) @ self.grid()[1][:3, :3]
        return int(np.argmax(np.abs(along[self.slices])))

    @property
    def acquisition(self) -> str:
        """Whether slices are taken one by one ('2D') or the volume as a whole ('3D')."""
        return '2D' if self.voxel[self.slices] > 2 * min(self.voxel) or self.gap else '3D'


def _covered(volume: np.ndarray, matrix: np.ndarray, shape) -> tuple[slice, ...]:
    """Return the part of an image's grid that can see anything of a volume."""
    low, high = np.array(
        [
            np.flatnonzero(volume.any(axis=others))[[0, -1]] if volume.any() else (0, 0)
            for others in ((1, 2), (0, 2), (0, 1))
        ]
    ).T
    corners = np.array(np.meshgrid(*zip(low - 2, high + 2, strict=True))).reshape(3, -1)
    seen = np.linalg.inv(matrix)[:3] @ np.vstack([corners, np.ones(8)])
    start = np.clip(np.floor(seen.min(axis=1)).astype(int) - 1, 0, np.array(shape) - 1)
    stop = np.clip(np.ceil(seen.max(axis=1)).astype(int) + 2, start + 1, shape)
    return tuple(slice(a, b) for a, b in zip(start, stop, strict=True))


def coil(shape, spread: float, rng: np.random.Generator) -> np.ndarray:
    """Draw a coil's sensitivity: smooth, mean 1, brighter towards the surface of the head.

    Parameters
    ----------
    shape : tuple of int
        Grid of the image.
    spread : float
        Relative standard deviation, times two.
    rng : numpy.random.Generator
        Source of its form.

    Returns
    -------
    ndarray of float32, shape ``shape``
    """
    small = (9, 9, 9)
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in small], indexing='ij')
    rim = sum(axis**2 for axis in axes) / 3
    tilt = sum(rng.normal(0, 0.5) * axis for axis in axes)
    field_ = 0.8 * rim + 0.5 * tilt + 0.25 * ndi.gaussian_filter(rng.standard_normal(small), 1.5)
    field_ = (field_ - field_.mean()) / field_.std()
    return np.exp(resize(0.5 * spread * field_, shape)).astype(np.float32)


def turn(degrees) -> np.ndarray:
    """Return the rotation (3, 3) about x, then y, then z, by angles in degrees."""
    return Rotation.from_euler('xyz', degrees, degrees=True).as_matrix()


def rician(signal: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Return the magnitude of a signal with noise in both channels (Gudbjartsson 1995).

    Parameters
    ----------
    signal : ndarray
        Magnitude or complex signal without noise.
    sigma : float
        Standard deviation of the noise in each channel.
    rng : numpy.random.Generator
        Source of the noise.

    Returns
    -------
    ndarray of float32

    References
    ----------
    .. [1] Gudbjartsson H., Patz S. (1995) The Rician distribution of noisy MRI data.
       doi:10.1002/mrm.1910340618

    Examples
    --------
    >>> air = rician(np.zeros(100_000), 1.0, np.random.default_rng(0))
    >>> round(float(air.mean()), 2)
    1.25
    """
    real = np.real(signal) + sigma * rng.standard_normal(signal.shape, dtype=np.float32)
    imaginary = np.imag(signal) + sigma * rng.standard_normal(signal.shape, dtype=np.float32)
    return np.hypot(real, imaginary).astype(np.float32)


def ghosts(
    image: np.ndarray, axis: int, millimetres: float, edge: float, rng: np.random.Generator
) -> np.ndarray:
    """Blur and repeat an image along its phase-encoding axis, as breathing does.

    Each line of k-space is taken with the head displaced along that axis: by a slow oscillation
    of some lines' period and by a few jerks. A displacement is a phase there, so this is exact.

    Parameters
    ----------
    image : ndarray
        Real or complex.
    axis : int
        Phase-encoding axis of the array.
    millimetres : float
        Amplitude of the motion, mm.
    edge : float
        Size of a voxel along the axis, mm.
    rng : numpy.random.Generator
        Decides period, phase and jerks.

    Returns
    -------
    ndarray of float32 or complex64, as ``image``

    Examples
    --------
    >>> still = np.zeros((4, 64, 4)); still[:, 20:40] = 1
    >>> moved = ghosts(still, 1, 1.0, 1.0, np.random.default_rng(0))
    >>> bool(moved[:, 50:].max() > 0.01), bool(abs(moved.sum() / still.sum() - 1) < 0.3)
    (True, True)
    """
    lines = image.shape[axis]
    order = np.arange(lines)
    shift = millimetres * np.sin(2 * np.pi * (order / rng.uniform(5, 11) + rng.random()))
    for _ in range(2):
        shift[int(rng.integers(lines)) :] += millimetres * 0.5 * rng.standard_normal()
    shift -= shift[lines // 2]
    k = np.fft.fftshift(np.fft.fftfreq(lines))
    phase = np.fft.ifftshift(np.exp(-2j * np.pi * k * shift / edge))
    along = [-1 if other == axis else 1 for other in range(image.ndim)]
    spectrum = np.fft.fft(image, axis=axis) * phase.reshape(along)
    moved = np.fft.ifft(spectrum, axis=axis)
    if np.iscomplexobj(image):
        return moved.astype(np.complex64)
    return np.abs(moved).astype(np.float32)
