"""Small synthetic data for tests."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np

#: A head of 160 mm: large enough for every check, small enough to be written in milliseconds.
SHAPE, ZOOMS = (40, 48, 40), (4.5, 4.5, 4.5)


def head(shape=SHAPE, *, dtype='int16', seed=0) -> np.ndarray:
    """Return a noisy box of tissue in air."""
    rng = np.random.default_rng(seed)
    data = np.zeros(shape, dtype=dtype)
    inner = tuple(slice(n // 6, n - n // 6) for n in shape)
    data[inner] = rng.integers(50, 200, data[inner].shape)
    return data


def write_image(path, data=None, *, zooms=ZOOMS, affine=None, codes=(1, 1), header=None) -> Path:
    """Write a NIfTI file; ``codes`` are those of sform and qform, ``header`` sets raw fields."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    data = head() if data is None else data
    if affine is None:
        affine = np.diag([*zooms, 1.0])
        affine[:3, 3] = -np.array(zooms) * (np.array(data.shape[:3]) - 1) / 2
    image = nib.Nifti1Image(data, affine)
    image.set_sform(affine, code=codes[0])
    image.set_qform(affine, code=codes[1], strip_shears=True)
    image.header.set_xyzt_units('mm')
    nib.save(image, path)
    if header:
        patch_header(path, **header)
    return path


def patch_header(path, **fields) -> None:
    """Set fields of the header of an uncompressed file, bypassing all checks of nibabel."""
    content = bytearray(Path(path).read_bytes())
    raw = nib.Nifti1Header(bytes(content[:348]), check=False)
    for name, value in fields.items():
        if isinstance(value, dict):
            for index, item in value.items():
                raw[name][index] = item
        else:
            raw[name] = value
    content[:348] = raw.binaryblock
    Path(path).write_bytes(bytes(content))


def write_dataset(root, files=('sub-01/anat/sub-01_T1w', 'sub-01/anat/sub-01_FLAIR'), **options):
    """Write a raw BIDS dataset with the same head under each name (given without extension)."""
    root = Path(root)
    root.mkdir(parents=True, exist_ok=True)
    description = {'Name': 'test', 'BIDSVersion': '1.10.0', 'DatasetType': 'raw'}
    (root / 'dataset_description.json').write_text(json.dumps(description))
    for file in files:
        write_image(root / f'{file}.nii.gz', **options)
    return root


#: Coarse and quick, with an output space.
APP_OPTIONS = ('--sloppy', '--output-spaces', 'MNI152NLin2009aSym:res-2')


def app(raw, out, work, *more) -> int:
    """Run the participant level."""
    from csvdprep.cli.run import run

    return run([str(raw), str(out), 'participant', '-w', str(work), *APP_OPTIONS, *more])


def leave_visit(out, visit, state='ok', *, value=10.0, failures=(), scanner=None, **more):
    """Write what the participant level leaves of a visit: one value for all, or by name."""
    from csvdprep.graph.discover import discover
    from csvdprep.graph.judging import Judged
    from csvdprep.graph.status import Status
    from csvdprep.graph.tables import collect, write_tables

    rooms = discover()
    status = Status(
        visit.label,
        'run',
        state,
        '0.1.0',
        'key',
        '2026-01-01T00:00:00+00:00',
        '2026-01-01T00:10:00+00:00',
        failures=list(failures),
        nodes=9,
        inputs={'t1w': f'bids:raw:{visit.folder}/anat/{visit.label}_T1w.nii.gz'},
        origins={room.name: ('flair', 't1w') for room in rooms},
        scanner=scanner or {'manufacturer': 'M', 'model': 'X', 'field_t': '3'},
        **more,
    )
    status.write(out, visit)
    rows = collect(rooms, {}, {})
    for row in rows:
        found = value.get(row['name']) if isinstance(value, dict) else value
        row |= {'value': found, 'qc': 'ok', 'reason': None, 'ungated': None}
    write_tables(visit, Judged(rows), rooms, out)
