"""Whether visits were scanned alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

#: What sidecars tell, in words; numbers may differ by this share.
WORDS = {
    'Manufacturer': 'manufacturer',
    'ManufacturersModelName': 'scanner',
    'MagneticFieldStrength': 'field strength (T)',
    'ReceiveCoilName': 'coil',
    'MRAcquisitionType': 'acquisition',
    'RepetitionTime': 'repetition time (s)',
    'EchoTime': 'echo time (s)',
    'InversionTime': 'inversion time (s)',
    'FlipAngle': 'flip angle (degree)',
}
SHARE = 0.03
#: Voxel sizes may differ by this, mm.
VOXEL_MM = 0.06


def protocol_differences(
    sidecars: Mapping[str, Mapping[str, Mapping[str, Any]]],
    voxels: Mapping[str, Sequence[float]],
    contrast: str,
) -> str:
    """Say in what the scans of visits differ.

    Parameters
    ----------
    sidecars : mapping
        By session and scan: fields of the sidecar.
    voxels : mapping
        By session: voxel size, mm.
    contrast : str
        Scan that is meant, as rooms name it: 'FLAIR', 'T1w', 'gre', ...

    Returns
    -------
    str
        Empty if nothing is known to differ.

    Examples
    --------
    >>> scans = {'ses-1': {'flair': {'MagneticFieldStrength': 1.5}},
    ...          'ses-2': {'flair': {'MagneticFieldStrength': 3.0}}}
    >>> protocol_differences(scans, {'ses-1': (1, 1, 3), 'ses-2': (3, 1, 1)}, 'FLAIR')
    'field strength (T): 1.5 (ses-1), 3 (ses-2)'
    """
    found = []
    sizes = {name: sorted(map(float, size)) for name, size in voxels.items()}
    first = next(iter(sizes.values()))
    if any(
        abs(a - b) > VOXEL_MM for size in sizes.values() for a, b in zip(size, first, strict=True)
    ):
        said = (f'{" x ".join(f"{s:.2g}" for s in size)} ({name})' for name, size in sizes.items())
        found.append(f'voxel size (mm): {", ".join(said)}')
    for field, word in WORDS.items():
        known = {
            name: scans.get(contrast.lower(), {}).get(field) for name, scans in sidecars.items()
        }
        known = {name: value for name, value in known.items() if value is not None}
        if len(known) > 1 and _differ(list(known.values())):
            said = ', '.join(
                f'{value:g} ({name})' if isinstance(value, int | float) else f'{value} ({name})'
                for name, value in known.items()
            )
            found.append(f'{word}: {said}')
    return '; '.join(found)


def _differ(values: list) -> bool:
    if all(isinstance(value, int | float) for value in values):
        return max(values) - min(values) > SHARE * max(map(abs, values))
    return len({str(value).strip().lower() for value in values}) > 1
