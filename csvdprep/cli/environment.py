"""What the libraries are told before any of them is imported."""

from __future__ import annotations

import os
from pathlib import Path

#: Libraries that would otherwise take more than one thread, phone home, or write to HOME.
QUIET = {
    'OMP_NUM_THREADS': '1',
    'OPENBLAS_NUM_THREADS': '1',
    'MKL_NUM_THREADS': '1',
    'NUMEXPR_NUM_THREADS': '1',
    'ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS': '1',
    'NO_ET': '1',
    'NIPYPE_NO_ET': '1',
    'MPLBACKEND': 'Agg',
    'TEMPLATEFLOW_AUTOUPDATE': '0',
    'TQDM_DISABLE': '1',
    'PYTHONHASHSEED': '0',
    'ORT_DISABLE_TELEMETRY': '1',
}


def hold_threads() -> None:
    """Hold every library to one thread, so that results do not depend on how many there are."""
    os.environ.update(QUIET)
    try:
        Path.home()
    except RuntimeError:  # neither HOME nor an entry in /etc/passwd: libraries fail on import
        os.environ['HOME'] = '/nonexistent'
