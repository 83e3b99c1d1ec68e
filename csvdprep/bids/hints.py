"""Files that are nearly what is looked for: why they are not used, and what would help."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

#: Formats of images other than NIfTI, by the ends of their names.
FORMATS = (
    '.mgz',
    '.mgh',
    '.img',
    '.hdr',
    '.nrrd',
    '.nhdr',
    '.mha',
    '.mhd',
    '.mnc',
    '.dcm',
    '.nii.bz2',
    '.nii.xz',
    '.nii.zst',
    '.nii.zip',
    '.nii.z',
)
#: Ends of the names of what stands beside an image.
BESIDE = ('.json', '.bval', '.bvec')
_NAME = re.compile(r'(?P<stem>.*)_(?P<suffix>[A-Za-z0-9]+)(?P<end>(\.[A-Za-z0-9]+)+)')


def near_misses(
    files: Iterable[Path],
    folder: Path,
    queries: Mapping[str, tuple[str, str]],
    found: Collection[str],
) -> list[tuple[Path, str]]:
    """Explain files of a visit that look like images which were not found.

    Parameters
    ----------
    files : iterable of Path
        Files of the participant.
    folder : Path
        Folder of the visit.
    queries : mapping of str to (str, str)
        Folder and suffix of what is looked for, by the name of the input.
    found : collection of str
        Names under which images were found: what resembles them is no news.

    Returns
    -------
    list of (Path, str)
        File, and a sentence with the remedy.

    Examples
    --------
    >>> files = [Path('sub-01/anat/sub-01_T1w.NII.GZ'), Path('sub-01/anat/sub-01_flair.nii.gz')]
    >>> queries = {'t1w': ('anat', 'T1w'), 'flair': ('anat', 'FLAIR')}
    >>> for file, why in near_misses(files, Path('sub-01'), queries, ()):
    ...     print(why)
    The name ends in .NII.GZ, but the name of an image must end in .nii or .nii.gz. Remedy: \
rename it to sub-01_T1w.nii.gz.
    In BIDS, the suffix flair is spelled FLAIR. Remedy: rename it to sub-01_FLAIR.nii.gz.
    """
    told = []
    for path in sorted(files):
        inside = path.relative_to(folder).parts if path.is_relative_to(folder) else ()
        if not inside or inside[0].startswith('ses-'):
            continue
        match = _NAME.fullmatch(path.name)
        if match and (why := _why(path, match, inside, queries, found)):
            told.append((path, why))
    return told


def _why(path: Path, match: re.Match, inside: tuple[str, ...], queries, found) -> str:
    suffix, end = match['suffix'], match['end']
    kinds = {place[1].lower(): kind for kind, place in queries.items()}
    if suffix == 'UNIT1' and end.lower() in ('.nii', '.nii.gz') and 't1w' not in found:
        return (
            'This is the uniform image (UNI) of MP2RAGE. It is not used as a T1w, because '
            'its background is noise. Remedy: remove the background noise (e.g. with the '
            'robust combination of both inversions), and save the image as '
            f'{match["stem"]}_T1w.nii.gz.'
        )
    kind = kinds.get(suffix.lower())
    if kind is not None and end.lower() in BESIDE and end != end.lower():
        return (
            f'The name ends in {end}; sidecar files are only found with the ending '
            f'{end.lower()}. Remedy: rename it to {match["stem"]}_{suffix}{end.lower()}.'
        )
    if kind is None or kind in found:
        return ''
    datatype, right = queries[kind]
    if end.lower() in FORMATS:
        return (
            f'Images must be NIfTI, not {end}. Remedy: convert it to '
            f'{match["stem"]}_{right}.nii.gz.'
        )
    if end.lower() not in ('.nii', '.nii.gz'):
        return ''
    name = f'{match["stem"]}_{right}{end.lower()}'
    if end != end.lower():
        return (
            f'The name ends in {end}, but the name of an image must end in .nii or .nii.gz. '
            f'Remedy: rename it to {name}.'
        )
    if suffix != right:
        return f'In BIDS, the suffix {suffix} is spelled {right}. Remedy: rename it to {name}.'
    if inside[:-1] != (datatype,):
        return (
            f'It is in the folder {"/".join(inside[:-1]) or "of the visit itself"}, but '
            f'BIDS puts such images in {datatype}/. Remedy: move it there.'
        )
    return ''
