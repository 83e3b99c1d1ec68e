"""From tissue fractions to scanner images: contrast, sampling, coil, noise.

Signals are those of the Bloch equations for the sequence named; images are acquired in a
scanner's frame in which the head lies with a pose of its own in each scan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import nibabel as nib
import numpy as np
from scipy import ndimage as ndi
from scipy.spatial.transform import Rotation

from csvdprep.phantom.anatomy import Anatomy
from csvdprep.phantom.fields import resize, smooth_noise


@dataclass(frozen=True)
class Tissue:
    """Relaxation at 3 T: T1 and T2 in ms, proton density, relative texture, share of fat."""

    t1: float
    t2: float
    pd: float
    texture: float = 0.02
    fat: float = 0.0


#: Brain at 3 T is near Stanisz 2005 (doi:10.1002/mrm.20605) and older measurements, chosen within
#: their spread so that images have the contrast of clinical ones; the rest is plausible only.
TISSUES: dict[str, Tissue] = {
    'wm': Tissue(870, 70, 0.70),
    'gm': Tissue(1330, 88, 0.80, 0.03),
    'csf': Tissue(4300, 1200, 1.0, 0.0),
    'csf_spinal': Tissue(4300, 1200, 1.0, 0.0),
    'wmh': Tissue(1350, 112, 0.80, 0.04),
    'cord': Tissue(900, 75, 0.72),
    'vitreous': Tissue(4300, 1200, 1.0, 0.0),
    'dura': Tissue(1400, 40, 0.50, 0.1),
    'bone': Tissue(800, 5, 0.10, 0.3),
    'marrow': Tissue(450, 60, 0.55, 0.2, 0.5),
    'fat': Tissue(370, 120, 0.68, 0.12, 0.95),
    'muscle': Tissue(1400, 38, 0.75, 0.12),
    'skin': Tissue(1000, 35, 0.60, 0.1),
}


@dataclass(frozen=True, kw_only=True)
class Sequence:
    """What the scanner plays. Times in ms; ``kind`` is 'mprage' or 'flair'.

    ``fat_left`` is the share of the fat signal that survives its suppression.
    """

    kind: str
    tr: float
    ti: float
    te: float
    flip: float = 90.0
    effective_te: float | None = None
    fat_left: float = 1.0

    def signal(self, tissue: Tissue) -> float:
        """Return the magnitude of a tissue's signal, relative to fully relaxed protons.

        FLAIR is an inversion recovery read by a spin echo train,
        ``PD |1 - 2 exp(-TI/T1) + exp(-(TR-TE)/T1)| exp(-TE/T2)``; MPRAGE the same recovery
        read by small flip angles.

        Examples
        --------
        >>> flair = Sequence(kind='flair', tr=9000, ti=2500, te=90)
        >>> signals = [flair.signal(TISSUES[name]) for name in ('csf', 'wm', 'gm', 'wmh')]
        >>> signals == sorted(signals)
        True

        """
        if self.kind == 'flair':
            te = self.effective_te or self.te
            recovered = 1 - 2 * np.exp(-self.ti / tissue.t1) + np.exp(-(self.tr - te) / tissue.t1)
            size = tissue.pd * abs(recovered) * np.exp(-te / tissue.t2)
        elif self.kind == 'mprage':
            turned = 1 + np.exp(-self.tr / tissue.t1)
            recovered = abs(1 - 2 * np.exp(-self.ti / tissue.t1) / turned)
            size = tissue.pd * recovered * np.exp(-self.te / (0.6 * tissue.t2))
        else:
            raise ValueError(f'No such sequence: {self.kind}.')
        return float(size * (1 - tissue.fat * (1 - self.fat_left)))


@dataclass(frozen=True, kw_only=True)
class Scan:
    """How an image is taken: sequence, grid, pose, and what spoils it.

    Attributes
    ----------
    sequence : Sequence
        Contrast.
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
        Standard deviation of the noise relative to the signal of white matter.
    bias : float
        Spread of the coil's sensitivity over the head, relative.
    metadata : mapping
        Fields of the sidecar besides those that follow from the sequence.
    """

    sequence: Sequence
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
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def grid(self) -> tuple[tuple[int, int, int], np.ndarray]:
        """Return shape and affine (voxel to scanner mm) of the image as it is stored."""
        spacing = np.array(self.voxel, float)
        spacing[self.slices] += self.gap
        low, high = np.array(self.low, float), np.array(self.high, float)
        shape = np.maximum(np.round((high - low) / spacing), 1).astype(int)
        affine = np.eye(4)
        affine[:3, :3] = _turn(self.tilt) * spacing
        middle = (low + high) / 2
        affine[:3, 3] = middle - affine[:3, :3] @ ((shape - 1) / 2)
        wanted = nib.orientations.axcodes2ornt(tuple(self.stored))
        here = nib.orientations.axcodes2ornt(('R', 'A', 'S'))
        turn = nib.orientations.ornt_transform(here, wanted)
        stored = tuple(int(n) for n in shape[np.argsort(turn[:, 0])])
        return stored, affine @ nib.orientations.inv_ornt_aff(turn, tuple(shape))

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
        shape, stored = self.grid()
        matrix = self._to_head(affine)
        steps = np.linalg.norm(affine[:3, :3], axis=0)
        size = np.linalg.norm(stored[:3, :3], axis=0)
        across = self._array_axis()
        part = _covered(volume, matrix, shape)
        # In its plane a voxel is little larger than those of the head: smoothing does there.
        in_plane = max(size[axis] for axis in range(3) if axis != across)
        excess = np.sqrt(np.clip(in_plane**2 - steps**2, 0, None) / 12) / steps
        if excess.max() > 0.15:
            volume = ndi.gaussian_filter(volume, excess)
        thickness = self.voxel[self.slices]
        count = int(np.ceil(thickness / steps.min() - 0.01)) if thickness > in_plane else 1
        out = np.zeros(shape, np.float32)
        first = np.array([edge.start for edge in part])
        for offset in (np.arange(count) + 0.5) / count - 0.5:
            index = first.astype(float)
            index[across] += offset * thickness / size[across]
            out[part] += ndi.affine_transform(
                volume, matrix[:3, :3], matrix[:3, 3] + matrix[:3, :3] @ index,
                output_shape=out[part].shape, order=1, output=np.float32,
            )  # fmt: skip
        return out / count

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
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = _turn(self.rotation), self.shift
        return np.linalg.inv(pose @ affine) @ self.grid()[1]

    def _array_axis(self) -> int:
        """Return the axis of the stored array that runs across the slices."""
        along = np.linalg.inv(_turn(self.tilt)) @ self.grid()[1][:3, :3]
        return int(np.argmax(np.abs(along[self.slices])))

    def sidecar(self) -> dict[str, Any]:
        """Return the fields of the JSON sidecar (BIDS; times in s)."""
        known = {
            'Manufacturer': 'csvdprep', 'ManufacturersModelName': 'phantom',
            'MagneticFieldStrength': 3.0, 'MRAcquisitionType': '2D' if self._two_d else '3D',
            'EchoTime': self.sequence.te / 1000, 'InversionTime': self.sequence.ti / 1000,
            'RepetitionTime': self.sequence.tr / 1000, 'FlipAngle': self.sequence.flip,
            'SliceThickness': self.voxel[self.slices],
            'SpacingBetweenSlices': self.voxel[self.slices] + self.gap,
        }  # fmt: skip
        return {**known, **self.metadata}

    @property
    def _two_d(self) -> bool:
        return self.voxel[self.slices] > 2 * min(self.voxel)


def signal_map(
    anatomy: Anatomy, wmh: np.ndarray, sequence: Sequence, seed: int
) -> np.ndarray:
    """Give every voxel of the head its signal.

    Parameters
    ----------
    anatomy : Anatomy
        The head.
    wmh : ndarray, shape (nx, ny, nz)
        Share of each voxel that is lesion; it replaces white matter.
    sequence : Sequence
        Contrast.
    seed : int
        Decides the texture within tissues: the same head, the same texture.

    Returns
    -------
    ndarray of float32
        Signal relative to fully relaxed protons.
    """
    rng = np.random.default_rng([seed, 5])
    shape = wmh.shape
    texture = 0.6 * smooth_noise(shape, 1.0, rng) + 0.8 * smooth_noise(shape, 4.0, rng)
    out = np.zeros(shape, np.float32)
    shares = {**anatomy.fractions, 'wmh': wmh}
    for name, share in shares.items():
        tissue = TISSUES[name]
        share = share - wmh if name == 'wm' else share
        value = np.float32(sequence.signal(tissue))
        out += share * (value * (1 + np.float32(tissue.texture) * texture))
    return np.maximum(out, 0)


def acquire(
    anatomy: Anatomy, wmh: np.ndarray, scan: Scan, seed: int, noise_seed: int
) -> nib.Nifti1Image:
    """Scan the head.

    Parameters
    ----------
    anatomy : Anatomy
        The head.
    wmh : ndarray
        Share of each of its voxels that is lesion.
    scan : Scan
        How it is scanned.
    seed, noise_seed : int
        Decide the texture (a property of the head) and coil and noise (of the scan).

    Returns
    -------
    nibabel.Nifti1Image
        int16, white matter near 250, qform and sform in scanner coordinates.

    """
    rng = np.random.default_rng([noise_seed, 9])
    clean = scan.sample(signal_map(anatomy, wmh, scan.sequence, seed), anatomy.affine)
    unit = scan.sequence.signal(TISSUES['wm'])
    clean *= _coil(clean.shape, scan.bias, rng) / unit
    real = clean + scan.noise * rng.standard_normal(clean.shape, dtype=np.float32)
    imaginary = scan.noise * rng.standard_normal(clean.shape, dtype=np.float32)
    magnitude = np.hypot(real, imaginary)
    return to_nifti(np.round(250 * magnitude).clip(0, 32000).astype(np.int16), scan)


def to_nifti(data: np.ndarray, scan: Scan) -> nib.Nifti1Image:
    """Put voxels on the grid of a scan into a NIfTI image with complete header."""
    _, affine = scan.grid()
    image = nib.Nifti1Image(data, affine)
    image.header.set_xyzt_units('mm', 'sec')
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    return image


def _covered(volume: np.ndarray, matrix: np.ndarray, shape) -> tuple[slice, ...]:
    """Return the part of an image's grid that can see anything of a volume."""
    low, high = np.array(
        [np.flatnonzero(volume.any(axis=others))[[0, -1]] if volume.any() else (0, 0)
         for others in ((1, 2), (0, 2), (0, 1))]
    ).T  # fmt: skip
    corners = np.array(np.meshgrid(*zip(low - 2, high + 2, strict=True))).reshape(3, -1)
    seen = np.linalg.inv(matrix)[:3] @ np.vstack([corners, np.ones(8)])
    start = np.clip(np.floor(seen.min(axis=1)).astype(int) - 1, 0, np.array(shape) - 1)
    stop = np.clip(np.ceil(seen.max(axis=1)).astype(int) + 2, start + 1, shape)
    return tuple(slice(a, b) for a, b in zip(start, stop, strict=True))


def _coil(shape, spread: float, rng: np.random.Generator) -> np.ndarray:
    """Draw a coil's sensitivity: smooth, mean 1, brighter towards the surface of the head."""
    small = (9, 9, 9)
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in small], indexing='ij')
    rim = sum(axis**2 for axis in axes) / 3
    tilt = sum(rng.normal(0, 0.5) * axis for axis in axes)
    field_ = 0.8 * rim + 0.5 * tilt + 0.25 * ndi.gaussian_filter(rng.standard_normal(small), 1.5)
    field_ = (field_ - field_.mean()) / field_.std()
    return np.exp(resize(0.5 * spread * field_, shape)).astype(np.float32)


def _turn(degrees) -> np.ndarray:
    return Rotation.from_euler('xyz', degrees, degrees=True).as_matrix()
