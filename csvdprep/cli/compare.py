"""``csvdprep compare``: score lesion masks against a reference by the WMH Challenge measures."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from csvdprep.bids.own import check_replaceable
from csvdprep.cli.paths import filled, path
from csvdprep.core.errors import InputError, UsageError

DESCRIPTION = """\
Score lesion masks against a reference mask by the measures of the WMH Segmentation Challenge.

The reference holds 1 for lesions and 2 for other pathology, which is ignored. A prediction is a
mask or a probability map, on the voxel grid of the reference.
"""

# Name, heading, decimals.
COLUMNS = (
    ('dice', 'Dice', 4),
    ('hd95', 'HD95 mm', 2),
    ('avd', 'AVD %', 2),
    ('recall', 'Recall', 4),
    ('f1', 'F1', 4),
    ('precision', 'Precision', 4),
    ('reference_ml', 'Ref. mL', 3),
    ('prediction_ml', 'Pred. mL', 3),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``csvdprep compare``.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Parser of the subcommand.
    """
    parser.description = DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument('reference', metavar='REFERENCE', type=path, help='mask to compare with')
    parser.add_argument('predictions', metavar='PREDICTION', type=path, nargs='+', help='masks')
    parser.add_argument(
        '--threshold',
        type=_threshold,
        default=0.5,
        metavar='P',
        help='threshold for floating-point predictions, as in the challenge (default: 0.5)',
    )
    parser.add_argument(
        '--json',
        metavar='FILE',
        type=filled,
        help='write JSON to this file; - means standard output',
    )
    parser.add_argument(
        '--tsv',
        metavar='FILE',
        type=filled,
        help='write TSV to this file; - means standard output',
    )


def run(args: argparse.Namespace) -> int:
    """Compare the masks and print the measures.

    Parameters
    ----------
    args : argparse.Namespace
        From a parser that went through `configure`.

    Returns
    -------
    int
        0 if all was compared, 3 if a file could not be read, compared or written.
    """
    import numpy as np

    from csvdprep.science.overlap import evaluate

    _check_targets(args)
    try:
        image = _load(args.reference)
        reference = np.asanyarray(image.dataobj)
        rows = []
        for path in args.predictions:
            other = _load(path)
            _check_grid(args.reference, image, path, other)
            result = evaluate(
                reference, np.asanyarray(other.dataobj), image.affine, threshold=args.threshold
            )
            rows.append({'prediction': str(path), **result.as_dict()})
        if not np.isin(reference, (0, 1, 2)).all():
            print(
                f'warning: {args.reference} contains values other than 0, 1 and 2; only '
                'values between 0.5 and 1.5 count as lesion.',
                file=sys.stderr,
            )
        document = {'reference': str(args.reference), 'threshold': args.threshold, 'results': rows}
        if args.json:
            _write(args.json, json.dumps(document, indent=2) + '\n')
        if args.tsv:
            _write(args.tsv, _tsv(rows))
        if '-' not in (args.json, args.tsv):
            print(_table(rows))
    except InputError as error:
        print(f'csvdprep compare: {error}', file=sys.stderr)
        return 3
    return 0


def _check_targets(args: argparse.Namespace) -> None:
    """Refuse to write over a mask, or over anything but an earlier table of this command."""
    files = {
        option: Path(name)
        for option, name in (('--json', args.json), ('--tsv', args.tsv))
        if name and name != '-'
    }
    if len({os.path.realpath(file) for file in files.values()}) < len(files):
        raise UsageError(
            'The JSON and TSV tables would be written to the same file.',
            file=args.tsv,
            field='--tsv',
            remedy='Give two different files.',
        )
    for option, file in files.items():
        sign = '"reference": ' if option == '--json' else 'prediction\tdice\t'
        check_replaceable(file, sign, field=option)


def _threshold(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError('must be more than 0 and at most 1')
    return value


def _load(path: Path):
    """Load a mask in canonical order of its axes: files may be stored in several."""
    import nibabel as nib
    import numpy as np

    from csvdprep.bids.files import FETCH, content_missing

    if said := content_missing(path):
        raise InputError(said, file=path, remedy=FETCH)
    if not path.is_file():
        raise InputError('The file does not exist.', file=path)
    try:
        image = nib.load(path)
        data = np.asanyarray(image.dataobj)
    except Exception as error:  # readers raise anything on a damaged file
        reason = ' '.join(str(error).split())
        raise InputError(f'The file cannot be read as an image ({reason}).', file=path) from error
    while data.ndim > 3 and data.shape[-1] == 1:
        data = data[..., 0]
    if data.ndim != 3:
        raise InputError(
            f'The image has {data.ndim} dimensions, but a mask needs three.', file=path
        )
    if data.dtype.kind not in 'buif':
        raise InputError(f'The image holds {data.dtype} values, not numbers.', file=path)
    if image.affine is None or not np.linalg.det(image.affine[:3, :3]):
        raise InputError('The image has no valid orientation.', file=path)
    # Not before here: options are parsed without these libraries.
    from csvdprep.imaging.images import canonical

    return canonical(nib.Nifti1Image(data, image.affine, dtype=data.dtype))


def _check_grid(reference_path: Path, reference, path: Path, prediction) -> None:
    from csvdprep.core.grids import same_grid

    remedy = f'Resample it to the grid of {reference_path}.'
    if prediction.shape != reference.shape:
        raise InputError(
            f'The prediction has {_times(prediction.shape)} voxels, '
            f'the reference {_times(reference.shape)}.',
            file=path,
            remedy=remedy,
        )
    if not same_grid(reference, prediction):
        raise InputError(
            'The prediction and the reference are not aligned: the same voxel is up to '
            f'{_apart(reference, prediction):.2f} mm away.',
            file=path,
            remedy=remedy,
        )


def _apart(reference, prediction) -> float:
    """Return the largest distance between the same voxel of two images, mm."""
    import numpy as np

    corners = np.array(np.meshgrid(*[(0, n - 1) for n in reference.shape])).reshape(3, -1)
    change = prediction.affine - reference.affine
    return float(np.linalg.norm(change[:3, :3] @ corners + change[:3, 3:], axis=0).max())


def _times(shape: tuple[int, ...]) -> str:
    return ' x '.join(map(str, shape))


def _text(value: float | int | str | None, decimals: int | None = None) -> str:
    if value is None:
        return 'n/a'
    return f'{value:.{decimals}f}' if decimals is not None else str(value)


def _tsv(rows: list[dict]) -> str:
    from csvdprep.bids.tsv import tsv_text

    return tsv_text([rows[0], *(row.values() for row in rows)])


def _table(rows: list[dict]) -> str:
    head = ['', *(heading for _, heading, _ in COLUMNS), 'Lesions detected']
    body = [
        [
            Path(row['prediction']).name,
            *(_text(row[name], decimals) for name, _, decimals in COLUMNS),
            f'{row["n_detected"]} of {row["n_reference"]}',
        ]
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(head, *body, strict=True)]
    lines = [
        '  '.join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])])
        for line in (head, *body)
    ]
    lines.append(
        'Dice, recall, F1 and precision: higher is better. HD95 and AVD: lower is better.'
    )
    return '\n'.join(lines)


def _write(target: str, text: str) -> None:
    if target == '-':
        print(text, end='')
        return
    try:
        Path(target).write_text(text, encoding='utf-8')
    except OSError as error:
        raise InputError(f'The file cannot be written: {error.strerror}.', file=target) from error
