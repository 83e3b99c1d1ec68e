"""Time from an empty browser to the first image of a visit of 1 mm, and a list of 1,000 visits.

    csvdprep demo DIR
    python benchmarks/desk.py DIR/derivatives

The images of the first visit are resampled to 1 mm, with noise, so that they are as large and as
hard to compress as those of a scanner; their masks come along. Needs playwright and Chromium.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.processing import resample_to_output
from playwright.sync_api import Page, sync_playwright

FLAGS = [
    '--no-sandbox',
    '--use-gl=angle',
    '--use-angle=swiftshader',
    '--enable-unsafe-swiftshader',
    '--ignore-gpu-blocklist',
]
LABEL = 'sub-01_ses-1'
#: Names of the images and masks of the large visit.
TAKEN = re.compile(
    r'ses-1_(desc-preproc_(T1w|FLAIR|T2starw)|(space-FLAIR_)?label-(WMH|lacune)_mask'
    r'|space-T2starw_label-CMB_mask|dseg)\.nii\.gz'
)
#: Voxels along the axes of a whole head at 1 mm.
LEAST = (176, 224, 224)
VISITS = 1000


def main() -> None:
    """Make the folders, open them, and tell the times."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('derivatives', type=Path, help='output folder of csvdprep demo')
    parser.add_argument('--tries', type=int, default=5)
    parser.add_argument('--visits', type=int, default=VISITS)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / 'out'
        make_large(asked.derivatives, out)
        fill(out, asked.visits)
        browser = shutil.which('chromium') or shutil.which('chromium-browser')
        with sync_playwright() as running:
            found = [once(running, browser, out) for _ in range(asked.tries)]
    for what in found[0]:
        values = [one[what] for one in found]
        print(
            f'{what}: {statistics.median(values):.2f} s ({min(values):.2f} to {max(values):.2f})'
        )


def make_large(demo: Path, out: Path) -> None:
    """Write the first visit at 1 mm."""
    source, target = demo / 'sub-01' / 'ses-1', out / 'sub-01' / 'ses-1'
    shutil.copytree(source / 'log', target / 'log')
    rng = np.random.default_rng(0)
    for file in sorted(source.glob('anat/*')):
        into = target / 'anat' / file.name
        into.parent.mkdir(parents=True, exist_ok=True)
        if not file.name.endswith('.nii.gz'):
            shutil.copyfile(file, into)
        elif TAKEN.search(file.name):
            small = nib.load(file)
            is_image = 'preproc' in file.name
            big = resample_to_output(small, 1.0, order=int(is_image))
            data = _padded(np.asanyarray(big.dataobj))
            if is_image:
                data = data + rng.normal(0, 0.02 * data.max(), data.shape)
                data = np.maximum(data, 0).astype(np.float32)
            else:
                data = np.rint(data).astype(np.uint8)
            nib.save(nib.Nifti1Image(data, big.affine), into)
            print(f'{into.name}: {data.shape}, {into.stat().st_size / 1e6:.1f} MB')


def _padded(data: np.ndarray) -> np.ndarray:
    return np.pad(
        data, [(0, max(0, least - have)) for least, have in zip(LEAST, data.shape, strict=True)]
    )


def fill(out: Path, visits: int) -> None:
    """Add visits that have a status and a list, but no images."""
    lists = sorted((out / 'sub-01' / 'ses-1' / 'anat').glob('*_lesions.tsv'))
    status = json.loads((out / 'sub-01' / 'ses-1' / 'log' / 'status.json').read_text('utf-8'))
    for number in range(2, visits + 1):
        label = f'sub-{number:04d}_ses-1'
        folder = out / f'sub-{number:04d}' / 'ses-1'
        (folder / 'log').mkdir(parents=True)
        (folder / 'log' / 'status.json').write_text(json.dumps(status | {'visit': label}))
        (folder / 'anat').mkdir()
        for file in lists:
            shutil.copyfile(file, folder / 'anat' / file.name.replace(LABEL, label))


def once(running, browser: str, out: Path) -> dict[str, float]:
    """Start a desk and a browser, open the visit, and then another image of it.

    Seconds of processor time are those of desk and browser together; several of their processes
    work at once, so that on idle cores less time passes than their sum.
    """
    command = [sys.executable, '-m', 'csvdprep', 'review', str(out), '--rater', 'AB']
    command += ['--ratings', str(out.parent / 'ratings.tsv'), '--port', '0']
    told: dict[str, float] = {}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as desk:
        try:
            url = next(m[0] for line in desk.stdout if (m := re.search(r'http://\S+', line)))
            opened = running.chromium.launch(executable_path=browser, args=FLAGS)
            page = opened.new_page(viewport={'width': 1400, 'height': 900})
            page.set_default_timeout(120_000)
            page.wait_for_timeout(2000)
            clock = _Clock(told)
            page.goto(f'{url}#visit={LABEL}&lesion=WMH-1')
            page.wait_for_selector('#visits .visit')
            clock.note('new browser, list of visits')
            page.wait_for_selector('body[data-shown]')
            clock.note('new browser, first image')
            page.wait_for_selector('body[data-whole]')
            while '…' in page.inner_text('#where'):  # the page may not evaluate conditions itself
                page.wait_for_timeout(200)
            page.evaluate('desk.nv.gl.readPixels(0, 0, 1, 1, 6408, 5121, new Uint8Array(4))')
            clock = _Clock(told)
            page.evaluate('delete document.body.dataset.shown')
            page.select_option('#image', 'desc-preproc_T1w')
            page.wait_for_selector('body[data-shown]')
            clock.note('open desk, first image of another')
            page.wait_for_selector('body[data-whole=desc-preproc_T1w]')
            clock.note('open desk, all of its voxels')
            told |= scrolled(page)
            opened.close()
        finally:
            desk.terminate()
    return told


class _Clock:
    """Time that passed, and processor time of all processes that were started here."""

    def __init__(self, told: dict[str, float]):
        self.told, self.began, self.used = told, time.perf_counter(), _processor_s()

    def note(self, what: str) -> None:
        self.told[what] = time.perf_counter() - self.began
        self.told[f'{what}: processor'] = _processor_s() - self.used


def _processor_s() -> float:
    ticks, parents, used = os.sysconf('SC_CLK_TCK'), {}, {}
    for folder in Path('/proc').glob('[0-9]*'):
        try:
            cells = (folder / 'stat').read_text().rpartition(')')[2].split()
        except OSError:
            continue  # it ended meanwhile
        parents[int(folder.name)] = int(cells[1])
        used[int(folder.name)] = (int(cells[11]) + int(cells[12])) / ticks
    ours, grown = {os.getpid()}, True
    while grown:
        more = {process for process, parent in parents.items() if parent in ours} - ours
        ours, grown = ours | more, bool(more)
    return sum(used.get(process, 0) for process in ours - {os.getpid()})


def scrolled(page: Page) -> dict[str, float]:
    """Scroll through the list, and filter it; each frame is timed by the browser."""
    told = page.evaluate(
        """async () => {
        const box = document.getElementById('visits'), frames = [];
        const frame = () => new Promise((done) => requestAnimationFrame(done));
        await frame();
        for (let at = 0; at < 60; at++) {
            const began = performance.now();
            box.scrollTop = at / 59 * (box.scrollHeight - box.clientHeight);
            await frame(); await frame();
            frames.push((performance.now() - began) / 2000);
        }
        const find = document.getElementById('find'), began = performance.now();
        find.value = 'sub-0777'; find.dispatchEvent(new Event('input'));
        const filtered = (performance.now() - began) / 1000;
        find.value = ''; find.dispatchEvent(new Event('input'));
        frames.sort((a, b) => a - b);
        return [frames[30], frames[57], filtered, document.querySelectorAll('#visits *').length];
    }"""
    )
    print(f'{told[3]:.0f} elements of the list are drawn')
    return {
        'frame while scrolling, median': told[0],
        'frame while scrolling, 95 %': told[1],
        'filter of the list': told[2],
    }


if __name__ == '__main__':
    main()
