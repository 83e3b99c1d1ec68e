"""Compare what the application found in the demonstration dataset with the truth."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from csvdprep.core.errors import MeasureError
from csvdprep.science.overlap import evaluate

MASK = 'label-WMH_mask.nii.gz'


@dataclass(frozen=True)
class Score:
    """Agreement with the truth.

    Attributes
    ----------
    rows : tuple of dict
        One a visit: ``visit``, ``dice``, ``truth_ml``, ``found_ml`` (masks), ``exact_ml`` (the
        lesions themselves), ``recall`` and ``f1`` over lesions.
    slope : float
        Slope of found over true mask volumes, least squares through the origin.
    """

    rows: tuple[dict, ...]
    slope: float

    def __str__(self) -> str:
        lines = ['visit          Dice  true mL  found mL  exact mL  recall    F1']
        lines += [
            f'{r["visit"]:13}{r["dice"]:6.3f}{r["truth_ml"]:9.2f}{r["found_ml"]:10.2f}'
            f'{r["exact_ml"]:10.2f}{r["recall"]:8.2f}{r["f1"]:6.2f}'
            for r in self.rows
        ]
        return '\n'.join([*lines, f'volume slope {self.slope:.3f}'])


def score_demo(derivatives_dir: Path, truth_dir: Path) -> Score:
    """Score the WMH masks of a run on a phantom.

    Parameters
    ----------
    derivatives_dir : Path
        Output of the run; masks are found by their BIDS name (``label-WMH_mask``).
    truth_dir : Path
        ``derivatives/truth`` of the phantom.

    Returns
    -------
    Score
        ``str()`` of it is a table.

    Raises
    ------
    csvdprep.core.errors.MeasureError
        If a visit has no mask, more than one, or one on another grid than its FLAIR.
    """
    volumes = truth_dir / 'volumes.tsv'
    with volumes.open(encoding='utf-8') as file:
        exact = {
            f'{row["participant_id"]}_{row["session_id"]}': float(row['wmh_ml'])
            for row in csv.DictReader(file, delimiter='\t')
        }
    rows = tuple(
        _score_visit(visit, exact_ml, derivatives_dir, truth_dir)
        for visit, exact_ml in sorted(exact.items())
    )
    true = np.array([row['truth_ml'] for row in rows])
    found = np.array([row['found_ml'] for row in rows])
    slope = float(true @ found / (true @ true)) if true.any() else float('nan')
    return Score(rows, slope)


def _score_visit(visit: str, exact_ml: float, derivatives: Path, truth: Path) -> dict:
    reference = nib.load(_only(truth, visit))
    path = _only(derivatives, visit)
    prediction = nib.load(path)
    same = reference.shape == prediction.shape and np.allclose(
        reference.affine, prediction.affine, atol=1e-3
    )
    if not same:
        raise MeasureError('The mask is not on the grid of the FLAIR.', file=path)
    across = int(np.argmax(reference.header.get_zooms()[:3]))
    result = evaluate(
        np.asanyarray(reference.dataobj), np.asanyarray(prediction.dataobj).astype(np.uint8),
        reference.affine, slice_axis=across,
    )  # fmt: skip
    return {
        'visit': visit, 'dice': result.dice, 'truth_ml': result.reference_ml,
        'found_ml': result.prediction_ml, 'exact_ml': exact_ml, 'recall': result.recall,
        'f1': result.f1,
    }  # fmt: skip


def _only(folder: Path, visit: str) -> Path:
    """Return the one WMH mask of a visit in the FLAIR's grid."""
    subject, _, session = visit.partition('_')
    found = [
        path for path in sorted((folder / subject / session).glob(f'anat/{visit}_*{MASK}'))
        if '_space-' not in path.name or '_space-FLAIR_' in path.name
    ]  # fmt: skip
    if len(found) != 1:
        raise MeasureError(
            f'{visit} has {len(found)} files *_{MASK}, needs one.', file=folder,
            remedy='Run the application on the whole demonstration dataset.',
        )  # fmt: skip
    return found[0]
