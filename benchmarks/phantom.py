"""Time, memory and size of the phantom's presets.

    python benchmarks/phantom.py FOLDER --preset full --protocol research --participants 2

Runs ``csvdprep phantom`` with the options given and prints wall time, CPU time and size for each
visit, and the peak of the memory that all its processes held together (shared pages counted once).
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil


def held(process: psutil.Process) -> float:
    """Return the memory of a process and its children, MB, shared pages counted once."""
    total = 0
    for one in [process, *process.children(recursive=True)]:
        try:
            total += one.memory_full_info().pss
        except psutil.Error:
            continue
    return total / 1e6


def main(folder: Path, options: list[str]) -> None:
    """Make a phantom and print a row of a table."""
    start, peak = time.time(), 0.0
    command = [sys.executable, '-m', 'csvdprep', 'phantom', str(folder), *options]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as run:
        process = psutil.Process(run.pid)
        while run.poll() is None:
            peak = max(peak, held(process))
            time.sleep(0.5)
    wall = time.time() - start
    times = psutil.Process().cpu_times()
    cpu = times.children_user + times.children_system
    visits = len(list(folder.glob('sub-*/ses-*')))
    size = sum(path.stat().st_size for path in folder.rglob('*') if path.is_file()) / 1e6
    print('| options | visits | wall s a visit | CPU s a visit | MB a visit | peak MB, all |')
    print('|---|---|---|---|---|---|')
    print(
        f'| {" ".join(options)} | {visits} | {wall / visits:.1f} | {cpu / visits:.1f} | '
        f'{size / visits:.0f} | {peak:.0f} |'
    )
    sys.exit(run.returncode)


if __name__ == '__main__':
    main(Path(sys.argv[1]), sys.argv[2:])
