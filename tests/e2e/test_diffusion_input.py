"""Diffusion series as they should not be: told by name, and everything else goes on."""

import json
import shutil
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest

from csvdprep.phantom.dataset.design import draw_persons
from csvdprep.phantom.dataset.make import make_phantom
from csvdprep.phantom.dataset.presets import get_preset

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3000)]


def run(raw, out, work):
    command = [
        sys.executable,
        '-m',
        'csvdprep',
        str(raw),
        str(out),
        'participant',
        '-w',
        str(work),
        '--sloppy',
        '--nprocs',
        '2',
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert 'Traceback' not in done.stderr
    return done


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    """A visit as it should be, processed: what does not depend on diffusion is then there."""
    folder = tmp_path_factory.mktemp('diffusion')
    make_phantom(folder / 'raw', draw_persons(1), get_preset('tiny'), modalities=('T1w', 'dwi'))
    assert run(folder / 'raw', folder / 'out', folder / 'work').returncode == 0
    assert measure(folder / 'out', 'alps_reo_r5') != 'n/a'
    return folder


def measure(out, name, column='value'):
    path = next(out.rglob('*csvdlong_measures.tsv'))
    rows = [line.split('\t') for line in path.read_text().splitlines()]
    return next(r[rows[0].index(column)] for r in rows if r[rows[0].index('measure')] == name)


class Series:
    """The files of a series, to be spoilt."""

    def __init__(self, raw):
        self.image = next(raw.rglob('*_dwi.nii.gz'))
        self.bval, self.bvec, self.json = (
            self.image.with_name(self.image.name.replace('.nii.gz', end))
            for end in ('.bval', '.bvec', '.json')
        )

    def table(self, change):
        """Change b-values and vectors, and the volumes with them if asked."""
        bvals, bvecs = np.loadtxt(self.bval), np.loadtxt(self.bvec)
        bvals, bvecs = change(bvals, bvecs)
        np.savetxt(self.bval, np.atleast_2d(bvals), fmt='%g')
        np.savetxt(self.bvec, bvecs, fmt='%.6f')

    def volumes(self, chosen):
        """Keep some volumes."""
        image = nib.load(self.image)
        data = np.asanyarray(image.dataobj)[..., chosen]
        nib.Nifti1Image(data, image.affine, image.header).to_filename(self.image)
        self.table(lambda b, v: (b[chosen], v[:, chosen]))

    def fields(self, **changes):
        """Change the sidecar."""
        fields = json.loads(self.json.read_text()) | changes
        self.json.write_text(json.dumps(fields))

    def second(self, **changes):
        """Add another series with a sidecar of its own."""
        for path in (self.image, self.bval, self.bvec, self.json):
            shutil.copy(path, path.with_name(path.name.replace('dir-AP', 'acq-b_dir-AP')))
        other = self.json.with_name(self.json.name.replace('dir-AP', 'acq-b_dir-AP'))
        other.write_text(json.dumps(json.loads(other.read_text()) | changes))


def nan(b, v):
    v[0, 3] = np.nan
    return b, v


def truncate(s):
    data = s.image.read_bytes()
    s.image.write_bytes(data[: len(data) // 2])


def other_grid(s):
    reverse = next(s.image.parents[1].rglob('*dir-PA_epi.nii.gz'))
    image = nib.load(reverse)
    data = np.asanyarray(image.dataobj)[4:-4, :, 2:]
    affine = image.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [4, 0, 2]
    nib.Nifti1Image(data, affine).to_filename(reverse)


def slab(s):
    image = nib.load(s.image)
    data = np.asanyarray(image.dataobj)[:, :, 22:38]
    affine = image.affine.copy()
    affine[:3, 3] += affine[:3, 2] * 22
    nib.Nifti1Image(data, affine).to_filename(s.image)


REFUSED = {
    'one b-value too few': (lambda s: s.table(lambda b, v: (b[:-1], v)), 'bval'),
    'a vector that is no number': (lambda s: s.table(nan), 'bvec'),
    'half of the file': (truncate, 'dwi.nii.gz'),
}
TOO_LITTLE = {
    'nothing without gradient': (lambda s: s.volumes(np.arange(1, 13)), 'no volume with b = 0'),
    'one direction': (lambda s: s.volumes(np.array([0, 1])), '1 direction, but a tensor'),
}
USED = {
    'a table on its side': lambda s: s.table(lambda b, v: (b, v.T)),
    'vectors of another length': lambda s: s.table(lambda b, v: (b, v * 1.01)),
    'no sidecar': lambda s: s.json.unlink(),
    'another echo time': lambda s: s.second(EchoTime=0.12),
    'partners on different grids': other_grid,
}


def spoilt(whole, folder, change):
    raw, out = folder / 'raw', folder / 'out'
    shutil.copytree(whole / 'raw', raw)
    shutil.copytree(whole / 'out', out)
    change(Series(raw))
    return run(raw, out, folder / 'work'), out


@pytest.mark.parametrize('case', REFUSED)
def test_what_cannot_be_used_is_told_and_the_rest_goes_on(whole, tmp_path, case):
    change, word = REFUSED[case]
    done, out = spoilt(whole, tmp_path, change)
    assert word in done.stderr, done.stderr
    assert measure(out, 'bpf') == measure(whole / 'out', 'bpf')
    assert measure(out, 'alps_reo_r5') == 'n/a'
    assert done.returncode == 1
    assert 'dwi.nii.gz cannot be used' in measure(out, 'alps_reo_r5', 'reason')


@pytest.mark.parametrize('case', TOO_LITTLE)
def test_what_is_too_little_is_no_error_but_told(whole, tmp_path, case):
    change, words = TOO_LITTLE[case]
    done, out = spoilt(whole, tmp_path, change)
    assert done.returncode == 0, done.stderr
    assert measure(out, 'bpf') == measure(whole / 'out', 'bpf')
    assert measure(out, 'alps_reo_r5') == 'n/a'
    assert words in measure(out, 'alps_reo_r5', 'reason')


@pytest.mark.parametrize('case', USED)
def test_what_can_be_used_is_used(whole, tmp_path, case):
    done, out = spoilt(whole, tmp_path, USED[case])
    assert done.returncode == 0, done.stderr
    assert measure(out, 'bpf') == measure(whole / 'out', 'bpf')
    # Without a sidecar nobody knows how the field distorted it. Of two series the first by name
    # is taken: its B0FieldSource names the partner, whatever IntendedFor says.
    sdc = {'no sidecar': 'none'}.get(case, 'pepolar')
    assert measure(out, 'dwi_sdc') == sdc
    assert float(measure(out, 'md_wm')) == pytest.approx(
        float(measure(whole / 'out', 'md_wm')), rel=0.03
    )


def test_a_slab_gives_what_it_holds(whole, tmp_path):
    done, out = spoilt(whole, tmp_path, slab)
    assert done.returncode == 0, done.stderr
    assert measure(out, 'bpf') == measure(whole / 'out', 'bpf')
    assert measure(out, 'dwi_n_directions') == measure(whole / 'out', 'dwi_n_directions')
    assert float(measure(out, 'md_wm')) == pytest.approx(
        float(measure(whole / 'out', 'md_wm')), rel=0.1
    )
    # Of the skeleton it holds a part, which is told.
    assert measure(out, 'psmd_1e4') == 'n/a' or measure(out, 'qc_psmd_coverage_pct', 'qc') != 'ok'
