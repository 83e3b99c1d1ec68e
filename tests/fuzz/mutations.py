"""Hostile input, each case decided by one whole number.

``seed // 1000`` chooses the kind (its place in :data:`KINDS`), and
``numpy.random.default_rng(seed)`` all the rest. New kinds go to the end, so that seeds that were
noted keep their meaning.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np
from builders import head, write_image

#: Small enough to be read in a millisecond, large enough to be taken for a head.
SHAPE, ZOOMS = (20, 24, 20), (9.0, 9.0, 9.0)
VOLUMES = 8
T1W = 'sub-01/anat/sub-01_T1w'
FLAIR = 'sub-01/anat/sub-01_FLAIR'
DWI = 'sub-01/dwi/sub-01_dir-AP_dwi'
EPI = 'sub-01/fmap/sub-01_dir-PA_epi'
PHASE, MAGNITUDE = 'sub-01/fmap/sub-01_phasediff', 'sub-01/fmap/sub-01_magnitude1'
LATER = 'sub-02/ses-1/anat/sub-02_ses-1_T1w'
#: Names of settings, as ``--config-file`` takes them.
SETTINGS = (
    'participant_label',
    'session_label',
    'visit',
    'bids_filters',
    'skip_bids_validation',
    'derivatives',
    'bids_database_dir',
    'nprocs',
    'omp_nthreads',
    'mem_gb',
    'low_mem',
    'use_plugin',
    'markers',
    'ignore',
    'output_spaces',
    'dry_run',
    'sloppy',
    'reports_only',
    'boilerplate_only',
    'work_dir',
    'clean_workdir',
    'keep_workdir',
    'rerun',
    'stop_on_first_crash',
    'random_seed',
    'write_graph',
    'resource_monitor',
    'verbose',
    'analysis_level',
)
#: Texts that programs have stumbled over.
TEXTS = (
    '',
    ' ',
    '.',
    '..',
    '../',
    '../../../../etc/passwd',
    '/etc/passwd',
    '/dev/zero',
    '~root/x',
    'file:///etc/passwd',
    'https://example.org/x',
    'javascript:alert(1)',
    'bids::../../x',
    '<script>alert(1)</script>',
    '"><img src=x onerror=alert(1)>',
    "' onload='alert(1)",
    '</style></object><svg onload=alert(1)>',
    '$(touch OWNED)',
    '`touch OWNED`',
    '; touch OWNED',
    '| touch OWNED',
    '&& touch OWNED',
    '%s%n%x',
    '{subject}',
    '{0.__class__}',
    '{{7*7}}',
    '{%',
    'a\nb',
    'a\r\nb\tc',
    '\x1b[31mred\x1b[2J',
    '\u202egpj',
    'é',
    'e\u0301',
    '²',
    '٣',
    '１',
    '𝟙',
    '\U0001f9e0',
    'NaN',
    'nan',
    'inf',
    '-inf',
    '1e999',
    '-1',
    '0',
    '00',
    '1_0',
    '0x10',
    'null',
    'None',
    'true',
    '*',
    '?',
    '[',
    '\\',
    '-',
    '--',
    '--help',
    '-w',
    'sub-01',
    'sub-',
    'sub-01/..',
    'ses-1',
    'CON',
    'a' * 300,
    'A' * 5000,
    '9' * 25,
    '9' * 5000,
    '((((a+)+)+)+)$',
    '\ufeff',
    '#',
    '=',
    '"',
    "'",
    ',',
    ';',
    '%00',
    '+',
    '__proto__',
    'Query.NONE',
    'Query.ANY',
    'dwi',
    'j',
    'j-',
)
#: Numbers likewise.
NUMBERS = (
    0,
    -1,
    1,
    2,
    255,
    65536,
    2**31,
    2**63,
    2**64,
    -(2**63),
    10**30,
    10**400,
    0.0,
    -0.0,
    1.5,
    -1e-300,
    5e-324,
    1e308,
    float('nan'),
    float('inf'),
    float('-inf'),
)
#: What a sidecar may say and this application looks at.
FIELDS = (
    'EchoTime',
    'EchoTime1',
    'EchoTime2',
    'RepetitionTime',
    'PhaseEncodingDirection',
    'PhaseEncodingAxis',
    'TotalReadoutTime',
    'EffectiveEchoSpacing',
    'SliceEncodingDirection',
    'PartialFourier',
    'IntendedFor',
    'B0FieldIdentifier',
    'B0FieldSource',
    'Units',
    'Manufacturer',
    'MagneticFieldStrength',
    'SliceThickness',
    'InversionTime',
)


@dataclass
class Box:
    """The folders of one case, and the arguments that it adds.

    Parameters
    ----------
    folder : Path
        All lies below it: ``raw``, ``deriv``, ``out``, ``work``, ``options``, ``home``, ``cwd``.
    options : list of str
        Arguments beyond the three folders.
    mode : list of str
        What keeps the run from computing.
    dataset : str
        The dataset as an argument, if it is not ``raw``.
    """

    folder: Path
    options: list[str] = field(default_factory=list)
    dataset: str = ''
    mode: list[str] = field(default_factory=lambda: ['--dry-run'])

    def __getattr__(self, name: str) -> Path:
        if name in ('raw', 'deriv', 'out', 'work', 'home', 'cwd', 'files'):
            return self.folder / name
        raise AttributeError(name)

    @property
    def argv(self) -> list[str]:
        """Arguments of the command."""
        return [
            self.dataset or str(self.raw),
            str(self.out),
            'participant',
            '-w',
            str(self.work),
            *self.mode,
            *self.options,
        ]

    def file(self, name: str, content: str | bytes) -> Path:
        """Write a file that an option will name."""
        path = self.files / name
        data = content if isinstance(content, bytes) else encoded(content)
        path.write_bytes(data)
        return path


def encoded(text: str) -> bytes:
    """Write text as UTF-8, with lone surrogates as an encoder without care would."""
    return text.encode('utf-8', 'surrogatepass')


def write_template(folder: Path) -> Path:
    """Write the sound dataset that every case spoils a copy of."""
    raw = folder / 'raw'
    for name in (T1W, FLAIR, LATER):
        write_image(raw / f'{name}.nii', head(SHAPE), zooms=ZOOMS)
    rng = np.random.default_rng(0)
    shape = (12, 12, 10)
    for name, volumes in ((DWI, VOLUMES), (EPI, 2), (PHASE, 1), (MAGNITUDE, 1)):
        write_image(
            raw / f'{name}.nii',
            rng.integers(1, 99, (*shape, volumes)).astype('i2'),
            zooms=(9, 9, 9),
        )
    vectors = rng.normal(size=(3, VOLUMES))
    np.savetxt(raw / f'{DWI}.bvec', vectors / np.linalg.norm(vectors, axis=0), fmt='%.6f')
    (raw / f'{DWI}.bval').write_text('0' + ' 1000' * (VOLUMES - 1) + '\n')
    sidecars = {
        'dataset_description': {'Name': 'x', 'BIDSVersion': '1.10.0', 'DatasetType': 'raw'},
        'T1w': {'MagneticFieldStrength': 3},
        T1W: {'EchoTime': 0.003},
        FLAIR: {'EchoTime': 0.1, 'Manufacturer': 'x'},
        DWI: {
            'PhaseEncodingDirection': 'j',
            'TotalReadoutTime': 0.05,
            'EchoTime': 0.08,
            'B0FieldSource': 'a',
        },
        EPI: {
            'PhaseEncodingDirection': 'j-',
            'TotalReadoutTime': 0.05,
            'EchoTime': 0.08,
            'IntendedFor': f'bids::{DWI}.nii',
        },
        PHASE: {'EchoTime1': 0.004, 'EchoTime2': 0.006, 'B0FieldIdentifier': ['a']},
    }
    for name, content in sidecars.items():
        (raw / f'{name}.json').write_text(json.dumps(content))
    (raw / 'participants.tsv').write_text('participant_id\tage\nsub-01\t70\nsub-02\t71\n')
    mask = (head(SHAPE) > 150).astype('u1')
    anat = folder / 'deriv' / 'sub-01' / 'anat'
    write_image(anat / 'sub-01_space-FLAIR_label-WMH_mask.nii', mask, zooms=ZOOMS)
    write_image(anat / 'sub-01_dseg.nii', mask, zooms=ZOOMS)
    (anat / 'sub-01_dseg.tsv').write_text('index\tname\n1\tWMH\n')
    for name in ('files', 'home', 'cwd'):
        (folder / name).mkdir()
    (folder / 'secret_T1w.json').write_text('{"Manufacturer": "SECRET"}')
    return folder


def make_case(seed: int, template: Path, folder: Path) -> Box:
    """Write the case of a seed into a folder that does not exist yet."""
    shutil.copytree(template, folder, symlinks=True)
    box = Box(folder)
    KINDS[kind_of(seed)](np.random.default_rng(seed), box)
    return box


def kind_of(seed: int) -> str:
    """Name the kind of a seed."""
    return list(KINDS)[seed // 1000]


def seeds_of(kind: str, number: int) -> range:
    """Return the first seeds of a kind."""
    first = 1000 * list(KINDS).index(kind)
    return range(first, first + number)


# ---- dice


def pick(rng, values):
    """Choose one of a sequence, whatever it holds."""
    return values[int(rng.integers(len(values)))]


def text(rng) -> str:
    """Return a text, known or random."""
    if rng.random() < 0.75:
        return pick(rng, TEXTS)
    letters = [chr(int(n)) for n in rng.integers(1, 0x2FF, int(rng.integers(1, 40)))]
    return ''.join(letters)


def argument(rng) -> str:
    """Return a text that can be an argument: without NUL, now and then no UTF-8."""
    found = text(rng).replace('\x00', '')
    return found + '\udcff' if rng.random() < 0.1 else found


def value(rng, depth: int = 3):
    """Return anything that JSON can say."""
    choice = int(rng.integers(9 if depth else 6))
    if choice < 2:
        return text(rng)
    if choice < 4:
        return pick(rng, NUMBERS)
    if choice < 6:
        return pick(rng, (None, True, False, [], {}, '\ud800', 'x\x00y'))
    if choice < 8:
        return [value(rng, depth - 1) for _ in range(int(rng.integers(4)))]
    return {text(rng): value(rng, depth - 1) for _ in range(int(rng.integers(4)))}


def broken(rng, content: str) -> bytes:
    """Spoil a text file as editors, disks and people do."""
    data = encoded(content)
    at = int(rng.integers(len(data) + 1))
    return pick(
        rng,
        (
            lambda: data[:at],
            lambda: b'\xef\xbb\xbf' + data,
            lambda: content.encode('utf-16', 'surrogatepass'),
            lambda: data[:at] + b'\xff\xfe\x80' + data[at:],
            lambda: data[:at] + b'\0' + data[at:],
            lambda: b'[' * 100_000 + data,
            lambda: b'{"a":' * 100_000 + data,
            lambda: b'',
            lambda: data * 2,
            lambda: data.replace(b'\n', b'\r'),
            lambda: rng.bytes(200),
            lambda: b'{"EchoTime": 1, "EchoTime": {"EchoTime": []}}',
            lambda: b'\n' * 5000 + data,
            lambda: b'{"EchoTime": ' + b'9' * 5000 + b'}',
            lambda: b'{"EchoTime": 1e' + b'9' * 50 + b'}',
            lambda: b'"' + b'x' * 200_000 + b'\t' + data,
            lambda: gzip.compress(data),
            lambda: b'NaN',
            lambda: b'Infinity',
            lambda: b'null',
            lambda: b'[]',
            lambda: b'"text"',
            lambda: data[:at] + rng.bytes(3) + data[at + 3 :],
        ),
    )()


def odd_file(rng, path: Path) -> None:
    """Put something that is no ordinary file in the place of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)

    def listen():
        # The name of a socket is short; the folders of a test are not.
        here = os.open(path.parent, os.O_RDONLY)
        with socket.socket(socket.AF_UNIX) as it:
            it.bind(f'/proc/self/fd/{here}/s')
        os.close(here)
        (path.parent / 's').rename(path)

    pick(
        rng,
        (
            lambda: path.mkdir(),
            lambda: path.symlink_to(path.name),
            lambda: os.mkfifo(path),
            lambda: os.mkfifo(path),
            lambda: path.symlink_to('/dev/zero'),
            lambda: path.symlink_to('/dev/urandom'),
            lambda: path.symlink_to('/dev/null'),
            lambda: path.symlink_to('/proc/self/mem'),
            lambda: path.symlink_to('nowhere'),
            lambda: path.symlink_to('..'),
            lambda: path.symlink_to('.git/annex/objects/x'),
            lambda: path.symlink_to('/dev/full'),
            listen,
            lambda: path.write_bytes(b''),
            lambda: path.symlink_to('/proc/self/fd/0'),
        ),
    )()


# ---- images


def image_of(rng, box: Box) -> Path:
    """Choose an image; an external mask is asked for if it is one."""
    path = pick(
        rng,
        [box.raw / f'{n}.nii' for n in (T1W, FLAIR, DWI, EPI, PHASE, MAGNITUDE)]
        + sorted(box.deriv.rglob('*.nii')),
    )
    if path.is_relative_to(box.deriv):
        box.options += ['-d', f'lst={box.deriv}']
    return path


def packed(rng, path: Path) -> Path:
    """Compress an image, half of the time."""
    if rng.random() < 0.5 or not path.is_file():
        return path
    target = path.with_name(path.name + '.gz')
    target.write_bytes(gzip.compress(path.read_bytes(), 1, mtime=0))
    path.unlink()
    return target


def as_nifti2(path: Path) -> None:
    """Write an image again with the longer header."""
    image = nib.load(path, mmap=False)
    nib.Nifti2Image(np.asanyarray(image.dataobj), image.affine).to_filename(path)


def odd_number(rng, kind: np.dtype):
    """Return a value that a field of a header may hold but should not."""
    if kind.kind == 'S':
        return rng.bytes(max(kind.itemsize, 1))
    if kind.kind == 'f':
        pool = (
            np.nan,
            np.inf,
            -np.inf,
            0,
            -0.0,
            1e-40,
            1e38,
            -1,
            1,
            0.5,
            352.5,
            -352,
            1e20,
            rng.normal(),
            rng.normal() * 1e5,
        )
        return pick(rng, pool)
    limits = np.iinfo(kind)
    pool = (
        limits.min,
        limits.max,
        0,
        1,
        2,
        -1,
        7,
        8,
        16,
        64,
        128,
        1536,
        2304,
        int(rng.integers(limits.min, limits.max)),
    )
    return np.array(pick(rng, pool)).astype(kind)


def change_header(rng, path: Path, fields=None, number=None) -> None:
    """Set fields of an uncompressed header, past all checks of nibabel."""
    content = bytearray(path.read_bytes())
    two = content[:4] == (540).to_bytes(4, 'little')
    size, kind = (540, nib.Nifti2Header) if two else (348, nib.Nifti1Header)
    raw = np.frombuffer(bytes(content[:size]), dtype=kind.template_dtype).copy()
    names = fields or list(raw.dtype.names)
    for _ in range(number or int(rng.integers(1, 4))):
        name = pick(rng, names)
        base = raw.dtype[name].base
        if raw.dtype[name].shape:
            raw[name][0][int(rng.integers(raw.dtype[name].shape[0]))] = odd_number(rng, base)
        else:
            raw[name][0] = odd_number(rng, base)
    if rng.random() < 0.1:
        raw = raw.byteswap()
    content[:size] = raw.tobytes()
    path.write_bytes(bytes(content))


def nifti_header(rng, box: Box) -> None:
    path = image_of(rng, box)
    if rng.random() < 0.4:
        as_nifti2(path)
    fields = pick(
        rng,
        (
            None,
            ['dim'],
            ['pixdim'],
            ['datatype', 'bitpix'],
            ['vox_offset'],
            ['vox_offset', 'dim'],
            ['sform_code', 'srow_x', 'srow_y', 'srow_z'],
            ['scl_slope', 'scl_inter'],
            [
                'qform_code',
                'quatern_b',
                'quatern_c',
                'quatern_d',
                'qoffset_x',
                'pixdim',
                'sform_code',
            ],
            ['magic', 'sizeof_hdr'],
            ['xyzt_units', 'dim_info', 'intent_code'],
        ),
    )
    change_header(rng, path, fields)
    packed(rng, path)


def nifti_bytes(rng, box: Box) -> None:
    path = packed(rng, image_of(rng, box))
    data = path.read_bytes()
    at = int(rng.integers(len(data)))
    pick(
        rng,
        (
            lambda: path.write_bytes(data[:at]),
            lambda: path.write_bytes(data[: at % 400]),
            lambda: path.write_bytes(b''),
            lambda: path.write_bytes(rng.bytes(1000)),
            lambda: path.write_bytes(data[:at] + rng.bytes(8) + data[at + 8 :]),
            lambda: path.write_bytes(data[:-8] + rng.bytes(8)),
            lambda: path.write_bytes(data + data),
            lambda: path.write_bytes(gzip.compress(data)),
            lambda: path.write_bytes(data + b'\0' * 99),
            lambda: path.write_bytes(b'\x1f\x8b' + data),
            lambda: path.write_bytes(data[:10]),
            lambda: path.rename(path.with_name(path.name + '.gz')),
            lambda: path.rename(
                path.with_name(path.name.removesuffix('.gz').removesuffix('.nii') + '.nii.gz')
            ),
            # An extension of the header that says it is longer than the file.
            lambda: path.write_bytes(data[:348] + b'\1\0\0\0' + b'\xff\xff\xff\x7f' + data[356:]),
            lambda: path.write_bytes(b'version https://git-lfs.github.com/spec/v1\n'),
            lambda: path.write_bytes(data[:348] + b'\0' * 4 + rng.bytes(len(data) - 352)),
        ),
    )()


def nifti_huge(rng, box: Box) -> None:
    """Claim more voxels than there is memory, or numbers for, in the world."""
    path = image_of(rng, box)
    two = rng.random() < 0.6
    if two:
        as_nifti2(path)
    content = bytearray(path.read_bytes())
    size, kind = (540, nib.Nifti2Header) if two else (348, nib.Nifti1Header)
    raw = np.frombuffer(bytes(content[:size]), dtype=kind.template_dtype).copy()
    most = 2**62 if two else 32767
    number = int(rng.integers(3, 8))
    pool = [most, most // 2 + 1, 2**15 - 1, 20, 1]
    if two:
        pool += [2**32, 2**31, 2**21, 2**16]
    dims = [number, *(pick(rng, pool) for _ in range(number)), *[1] * (7 - number)]
    raw['dim'][0] = dims
    if rng.random() < 0.7:
        # The middle of the image stays at the origin, however many voxels there are.
        raw['sform_code'], raw['qform_code'] = 1, 0
        for axis, row in enumerate(('srow_x', 'srow_y', 'srow_z')):
            zoom = float(raw['pixdim'][0][axis + 1])
            raw[row][0][3] = -zoom * (dims[axis + 1] - 1) / 2
    content[:size] = raw.tobytes()
    if rng.random() < 0.3:
        content += b'\0' * 8_000_000
    path.write_bytes(bytes(content))
    packed(rng, path)


def special_file(rng, box: Box) -> None:
    if rng.random() < 0.5:
        odd_file(rng, image_of(rng, box))
        return
    anat = box.deriv / 'sub-01' / 'anat'
    box.options += ['-d', f'lst={box.deriv}']
    odd_file(
        rng,
        pick(
            rng,
            [
                *(
                    box.raw / f'{n}.json'
                    for n in (T1W, FLAIR, DWI, EPI, PHASE, 'T1w', 'dwi', 'FLAIR')
                ),
                box.raw / 'dataset_description.json',
                box.raw / 'participants.tsv',
                box.raw / '.bidsignore',
                box.raw / f'{DWI}.bval',
                box.raw / f'{DWI}.bvec',
                anat / 'sub-01_dseg.tsv',
                anat / 'other_dseg.tsv',
                box.raw / 'sub-01' / 'anat',
                box.raw / 'sub-01' / 'dwi',
                box.raw / 'sub-03',
                box.raw / 'sub-01' / 'ses-1',
                box.raw / 'sub-01' / 'anat' / 'more',
                box.deriv / 'sub-01' / 'loop',
            ],
        ),
    )


# ---- text files of the dataset


def sidecar(rng, box: Box) -> None:
    name = pick(rng, (T1W, FLAIR, DWI, EPI, PHASE, MAGNITUDE, 'T1w', 'dwi', 'sub-01/sub-01_dwi'))
    path = box.raw / f'{name}.json'
    content = json.loads(path.read_text()) if path.exists() else {}
    for _ in range(int(rng.integers(1, 5))):
        content[pick(rng, FIELDS)] = value(rng)
    path.write_text(json.dumps(content, ensure_ascii=True))
    if rng.random() < 0.3:
        (box.raw / f'{EPI}.nii').unlink()


def sidecar_text(rng, box: Box) -> None:
    name = pick(rng, (T1W, FLAIR, DWI, EPI, PHASE, 'T1w', 'FLAIR', 'dwi', 'epi'))
    path = box.raw / f'{name}.json'
    content = {pick(rng, FIELDS): value(rng) for _ in range(3)}
    path.write_bytes(broken(rng, json.dumps(content, ensure_ascii=rng.random() < 0.5)))


def links(rng, box: Box) -> None:
    """Point from a field map to what it is not for, and where nobody should look."""
    target = pick(rng, (EPI, PHASE, MAGNITUDE, DWI))
    path = box.raw / f'{target}.json'
    content = json.loads(path.read_text()) if path.exists() else {}
    outside = pick(
        rng,
        (
            '../secret_T1w.json',
            str(box.folder / 'secret_T1w.json'),
            'bids::../secret_T1w.json',
            '/dev/zero',
            '/etc/passwd',
            f'bids:raw:../../{DWI}.nii',
            'http://127.0.0.1:9/x.nii',
            f'../../../../../..{box.raw}/{DWI}.nii',
            '..',
            '',
            '.',
        ),
    )
    wanted = pick(
        rng, (outside, [outside] * 3, [outside] * 20_000, {'a': outside}, [[outside]], value(rng))
    )
    content[pick(rng, ('IntendedFor', 'B0FieldIdentifier', 'B0FieldSource'))] = wanted
    path.write_text(json.dumps(content))


def participants(rng, box: Box) -> None:
    rows = ['\t'.join(text(rng) for _ in range(int(rng.integers(1, 4)))) for _ in range(4)]
    top = pick(
        rng,
        (
            'participant_id\tage',
            'participant_id',
            'participant_id\tparticipant_id',
            '\ufeffparticipant_id\tage',
            'id',
            '',
            '"participant_id',
            text(rng),
        ),
    )
    content = '\n'.join([top, *rows, 'sub-01\t' + text(rng)])
    if rng.random() < 0.2:
        content = top + '\n"' + 'x' * 300_000
    path = box.raw / pick(
        rng,
        (
            'participants.tsv',
            'sub-02/sub-02_sessions.tsv',
            'sub-01/sub-01_scans.tsv',
            'participants.json',
        ),
    )
    path.write_bytes(broken(rng, content) if rng.random() < 0.4 else encoded(content))


def gradients(rng, box: Box) -> None:
    def row(number):
        words = (
            '0',
            '1000',
            '-1',
            'nan',
            'inf',
            '1e400',
            '1e308',
            '-1e308',
            '1e-320',
            'x',
            '1,5',
            '0x1',
            '1_0',
            '٣',
            '5',
            '49.9',
            '0.5',
            '--',
        )
        return ' '.join(pick(rng, words) for _ in range(number))

    numbers = (0, 1, 3, VOLUMES - 1, VOLUMES, VOLUMES, VOLUMES + 1, 5000)
    path = box.raw / (DWI + pick(rng, ('.bval', '.bvec')))
    good = path.read_text()
    lines = good.splitlines()
    pick(
        rng,
        (
            lambda: path.write_text('\n'.join(row(pick(rng, numbers)) for _ in range(3))),
            lambda: path.write_text(row(VOLUMES)),
            lambda: path.unlink(),
            lambda: path.write_text(
                '\n'.join(' '.join(x) for x in zip(*map(str.split, lines), strict=False))
            ),
            lambda: path.write_bytes(broken(rng, good)),
            lambda: path.write_text(good * int(rng.integers(2, 500))),
            lambda: path.write_text(
                good.replace(' ', pick(rng, (',', '\t', '  ', '\u00a0', ';')))
            ),
            lambda: (
                path.write_text(good.replace('1000', pick(rng, ('1e308', '49', '1e5', '0'))))
                if path.suffix == '.bval'
                else path.write_text('1e308 ' * VOLUMES + '\n' + good)
            ),
            lambda: path.write_text('\n'.join('1e300 ' * VOLUMES for _ in range(3))),
            lambda: path.rename(path.with_name('dwi' + path.suffix)),
            lambda: path.rename(
                box.raw / pick(rng, ('dwi', 'sub-01_dwi', '_dwi')).__add__(path.suffix)
            ),
            lambda: path.write_text('\n'.join(row(VOLUMES) for _ in range(VOLUMES))),
        ),
    )()


def description(rng, box: Box) -> None:
    path = box.raw / 'dataset_description.json'
    content = json.dumps(
        {
            pick(
                rng,
                (
                    'Name',
                    'BIDSVersion',
                    'DatasetType',
                    'GeneratedBy',
                    'DatasetLinks',
                    'License',
                    text(rng),
                ),
            ): value(rng)
            for _ in range(3)
        }
    )
    path.write_bytes(broken(rng, content) if rng.random() < 0.6 else content.encode())
    box.options += [['--skip-bids-validation'], []][int(rng.integers(2))]


def ignore_rules(rng, box: Box) -> None:
    """Write rules that take a backtracking matcher years."""
    number = int(rng.integers(1, 30))
    piece = pick(
        rng,
        (
            '*',
            '**',
            '**/',
            '*a',
            '*?',
            '?*',
            '**/*',
            '*-*',
            '*_',
            '[a-',
            '*0*1',
            '/',
            '(a+)+',
            '\\',
            '!',
            '**a/',
            '*/',
            '+',
            '{a,b}',
            '*sub',
            text(rng),
        ),
    )
    end = pick(rng, ('', 'x', '$', '/', 'X' * 50, '.nii', '*', text(rng)))
    rule = piece * pick(rng, (1, number, 100, 3000)) + end
    lines = [rule, *(text(rng) for _ in range(3)), pick(rng, ('!*', '!sub-01', '#', '', '*'))]
    if rng.random() < 0.2:
        lines += [f'*{n}*{n}*{rule[:40]}' for n in range(500)]
    # Long names, on which patterns take longest.
    base = box.raw / 'sub-01' / 'anat'
    long = f'sub-01_acq-{"a0" * 50}_rec-{"0a" * 40}_T1w.nii'
    shutil.copy(box.raw / f'{T1W}.nii', base / long)
    content = '\n'.join(lines)
    data = broken(rng, content) if rng.random() < 0.2 else encoded(content)
    (box.raw / '.bidsignore').write_bytes(data)


def file_names(rng, box: Box) -> None:
    """Give images and folders names that are none."""
    folder = box.raw / 'sub-01' / 'anat'
    odd = text(rng).replace('/', '').replace('\x00', '')[:120] or 'x'
    label = pick(rng, (odd, 'A', '1', '01', '²', '1²3', '٣', 'a\nb', '', '<b>', 'x' * 200))
    entity = pick(rng, ('acq', 'run', 'ses', 'sub', 'echo', odd, '1²3', 'desc', 'part', 'ce'))
    name = pick(
        rng,
        (
            f'sub-01_{entity}-{label}_T1w.nii',
            f'sub-01_{label}_T1w.nii.gz',
            f'{odd}_T1w.nii',
            f'sub-01_{entity}-{label}_FLAIR.nii',
            '_T1w.nii',
            f'sub-01_T1w.nii.{odd}',
            f'sub-{label}_T1w.nii',
            'sub-01_run-1_run-2_T1w.nii',
            f'sub-01_T1w.{odd}.nii',
            f'sub-01_{entity}-{label}_dwi.nii',
            f'{odd}_epi.nii',
            f'sub-01_{entity}-{label}_T1w.json',
            f'{odd}_T1w.json',
            'sub-01__T1w.json',
        ),
    )
    data = os.fsencode(name) if not _surrogates(name) else b'sub-01_T1w.nii'
    if rng.random() < 0.15:
        data = data.replace(b'sub-01', b'sub-01_acq-\xff\xfe', 1)
    where = {'_dwi.nii': 'dwi', '_epi.nii': 'fmap'}.get(name[-8:], 'anat')
    target = os.path.join(os.fsencode(folder.with_name(where)), data[:255])
    source = box.raw / f'{T1W}.nii'
    try:
        if rng.random() < 0.5:
            shutil.copy(source, target)
        else:
            os.rename(source, target)
    except OSError:
        pass
    more = pick(rng, ('', f'sub-{odd}', f'ses-{odd}', f'{odd}'))
    if more and not _surrogates(more):
        place = pick(rng, (box.raw, box.raw / 'sub-01', box.raw / 'sub-02')) / more[:80] / 'anat'
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(box.raw / f'{LATER}.nii', place / 'sub-x_T1w.nii')
    if rng.random() < 0.4:
        content = json.dumps(
            {'t1w': {pick(rng, ('run', 'acq', 'acquisition', 'echo')): value(rng)}}
        )
        box.options += ['--bids-filter-file', str(box.file('filter.json', content))]


def _surrogates(name: str) -> bool:
    return any(0xD800 <= ord(letter) <= 0xDFFF for letter in name)


# ---- what the user gives


def filters(rng, box: Box) -> None:
    queries = ('t1w', 'flair', 'dwi', 'fmap', 'bold', 'x', '')
    names = (
        'acquisition',
        'acq',
        'run',
        'echo',
        'suffix',
        'extension',
        'datatype',
        'session',
        'inv',
        'x',
        '',
        'subject',
    )
    content = {
        pick(rng, queries): {pick(rng, names): value(rng) for _ in range(2)} for _ in range(2)
    }
    if rng.random() < 0.3:
        content = value(rng)
    written = json.dumps(content)
    if rng.random() < 0.5:
        for n in ('1', '2', 'A', '01'):
            path = box.raw / f'sub-01/anat/sub-01_acq-b_run-{n}_T1w.nii'
            shutil.copy(box.raw / f'{T1W}.nii', path)
    path = box.file('filter.json', broken(rng, written) if rng.random() < 0.3 else written)
    if rng.random() < 0.1:
        odd_file(rng, path)
    box.options += ['--bids-filter-file', str(path)]


def config(rng, box: Box) -> None:
    def toml(depth=2) -> str:
        choice = int(rng.integers(8 if depth else 6))
        if choice < 2:
            return json.dumps(text(rng).replace('\x7f', ''), ensure_ascii=False)
        if choice < 4:
            return pick(
                rng,
                (
                    '0',
                    '-1',
                    '1',
                    '3',
                    '99999999999999999999',
                    '1e400',
                    'nan',
                    'inf',
                    '-inf',
                    '0.5',
                    '1979-05-27',
                    '07:32:00',
                    '"a\\u0000b"',
                ),
            )
        if choice < 6:
            return pick(rng, ('true', 'false', '[]', '{}', '""', '["01"]', '"failed"', '"all"'))
        if choice == 6:
            return '[' + ', '.join(toml(depth - 1) for _ in range(int(rng.integers(1, 4)))) + ']'
        return '{ a = ' + toml(depth - 1) + ' }'

    keys = {pick(rng, SETTINGS): toml() for _ in range(int(rng.integers(1, 4)))}
    if 'bids_database_dir' in keys:
        # It is made where it is asked for, which a test may only ask for within its own folder.
        keys['bids_database_dir'] = pick(
            rng,
            (
                '5',
                '[]',
                'true',
                '{}',
                '"a\\u0000b"',
                '"/dev/null"',
                json.dumps(str(box.work / 'db')),
            ),
        )
    lines = [f'{key} = {item}' for key, item in keys.items()]
    rooms = ('wmh', 'brain', 'tissues', 'dwi_denoise', 'registration', 'x', 'psmd', 'zones')
    names = ('method', 'threshold', 'model', 'seed', '__class__', 'x', 'iterations', 'min_size')
    if rng.random() < 0.5:
        lines += [f'[{pick(rng, rooms)}]', f'{pick(rng, names)} = {toml()}']
    if rng.random() < 0.1:
        lines = [f'{pick(rng, SETTINGS)} = ' + '[' * 50_000]
    content = '\n'.join(lines)
    path = box.file('config.toml', broken(rng, content) if rng.random() < 0.15 else content)
    if rng.random() < 0.05:
        odd_file(rng, path)
    box.options += ['--config-file', str(path)]


def derivatives(rng, box: Box) -> None:
    folder = box.deriv
    if rng.random() < 0.5:
        odd = text(rng).replace('/', '').replace('\x00', '')[:80] or 'x'
        if not _surrogates(odd):
            source = folder / 'sub-01/anat/sub-01_dseg.nii'
            shutil.copy(source, folder / 'sub-01/anat' / f'sub-01_{odd}_wmh.nii')
            rows = f'{text(rng)}\twmh\n1\t{text(rng)}\n{"9" * 5000}\tlesion\n'
            (folder / 'sub-01/anat/sub-01_dseg.tsv').write_bytes(
                broken(rng, f'index\tname\n{rows}')
            )
        if rng.random() < 0.5:
            (folder / 'sub-01/anat/sub-01_space-FLAIR_label-WMH_mask.nii').unlink()
        (folder / 'sub-01' / 'up').symlink_to('..')
        box.options += ['-d', f'lst={folder}']
    else:
        names = ('lst', '', '..', 'a/b', '<b>', argument(rng))
        places = (
            str(folder),
            '',
            '..',
            '/',
            '/proc/self',
            '/dev/null',
            str(box.raw),
            str(box.out),
            argument(rng),
            f'{folder}/..',
            str(box.files / 'no'),
        )
        box.options += [
            '-d',
            *(
                f'{pick(rng, names)}={pick(rng, places[:1] + places)}'
                for _ in range(int(rng.integers(1, 4)))
            ),
        ]
        # The whole machine is not a test's to walk through.
        box.options = [o for o in box.options if not o.endswith(('=/', '=..', '=/proc/self'))]
        box.options += [f'x={folder}'] if box.options == ['-d'] else []


def labels(rng, box: Box) -> None:
    option = pick(rng, ('--participant-label', '--session-label'))
    given = [argument(rng) for _ in range(int(rng.integers(1, 5)))]
    if rng.random() < 0.3:
        given.append(pick(rng, ('01', 'sub-02', 'ses-1', '1')))
    box.options += [option, *given]


def numbers(rng, box: Box) -> None:
    option = pick(
        rng,
        (
            '--nprocs',
            '--omp-nthreads',
            '--mem',
            '--random-seed',
            '--markers',
            '--ignore',
            '--output-spaces',
            '--rerun',
            '--use-plugin',
            '--bids-database-dir',
            '--verbose',
            '--no',
            '--session-id',
            '--clean-workdir',
            '-v',
            '--write-graph',
            '-w',
        ),
    )
    words = (
        argument(rng),
        'MNI152NLin2009cAsym:res-../../x',
        'wmh',
        'MNI152NLin2009cAsym',
        'MNI152NLin2009cAsym:res-2',
        '2',
        'nan',
        '1e400',
        '8G',
        'nG',
        '-5',
        'inf',
        'infG',
    )
    box.options += [option, *(pick(rng, words) for _ in range(int(rng.integers(0, 4))))]
    if option in ('--bids-database-dir', '-w'):
        odd_file(rng, box.work / 'db')
        box.options[1:] = [str(box.work / 'db')]
    if rng.random() < 0.15:
        # A folder that is no text: bytes that no UTF-8 has, a line feed, something endless.
        odd = pick(rng, (b'\xff\xfe', b'a\nb', b'\x1b[2J', b'x' * 255, '²'.encode()))
        moved = os.path.join(os.fsencode(box.folder), odd)
        os.rename(box.raw, moved)
        box.dataset, box.options = os.fsdecode(moved), []
        box.mode = [pick(rng, ('--dry-run', '--boilerplate-only')), '--skip-bids-validation']


# ---- what lies in the output and in a database


def forge_checkpoint(root: Path, room: str, path: str, digest: str | None = None) -> None:
    """Note for sub-01 that a room is done, and has left a file where it has no business."""
    folder = root / 'sub-01' / 'log' / 'checkpoints'
    folder.mkdir(parents=True, exist_ok=True)
    if digest is None:
        target = root / path
        digest = hashlib.sha256(target.read_bytes()).hexdigest() if target.is_file() else ''
    content = {'key': 'x', 'files': {'brain_mask': {'path': path, 'sha256': digest}}}
    (folder / f'{room}.json').write_text(json.dumps(content))


def checkpoint(rng, box: Box) -> None:
    box.options += ['--rerun', pick(rng, ('missing', 'stale'))]
    rooms = ('brain', 'wmh', 'flair', 'tissues', 'figure-brain')
    box.out.mkdir()
    room = pick(rng, rooms)
    path = pick(
        rng,
        (
            '../secret_T1w.json',
            str(box.folder / 'secret_T1w.json'),
            '/dev/zero',
            'x/../../secret_T1w.json',
            '.',
            '',
            'a\x00b',
            '../out',
            'fifo',
        ),
    )
    os.mkfifo(box.out / 'fifo')
    forge_checkpoint(
        box.out, room, path, 'ab' * 32 if path in ('/dev/zero', 'fifo') or '\x00' in path else None
    )
    file = box.out / 'sub-01' / 'log' / 'checkpoints' / f'{pick(rng, rooms)}.json'
    if rng.random() < 0.6:
        written = json.dumps(
            {
                'key': value(rng),
                'files': pick(
                    rng,
                    (
                        value(rng),
                        {text(rng): value(rng)},
                        {'brain_mask': {'path': value(rng), 'sha256': value(rng)}},
                    ),
                ),
            }
        )
        file.write_bytes(broken(rng, written) if rng.random() < 0.4 else written.encode())
    if rng.random() < 0.2:
        odd_file(rng, file)


def output(rng, box: Box) -> None:
    """Find an output folder that somebody else has been at; nothing is computed."""
    box.mode = ['--boilerplate-only']
    box.out.mkdir()
    maker = {'DatasetType': 'derivative', 'GeneratedBy': [{'Name': 'csvdprep'}]}
    content = json.dumps({**maker, pick(rng, ('GeneratedBy', 'DatasetType', 'x')): value(rng)})
    path = box.out / 'dataset_description.json'
    path.write_bytes(broken(rng, content) if rng.random() < 0.3 else content.encode())
    if rng.random() < 0.5:
        (box.out / '.bidsignore').write_bytes(broken(rng, text(rng)))
    if rng.random() < 0.5:
        odd_file(
            rng,
            box.out
            / pick(
                rng,
                (
                    'dataset_description.json',
                    '.bidsignore',
                    'logs',
                    'logs/CITATION.md',
                    'logs/command.txt',
                ),
            ),
        )
    raw = box.raw / 'dataset_description.json'
    raw.write_text(json.dumps({'Name': 'x', 'BIDSVersion': '1', 'DatasetDOI': value(rng)}))


def database(rng, box: Box) -> None:
    import sqlite3

    place = box.work / 'db'
    place.mkdir(parents=True)
    file = place / 'layout_index.sqlite'
    with sqlite3.connect(file) as base:
        base.execute(
            'create table files (path text primary key, filename text, dirname text, '
            'is_dir boolean, class_ text)'
        )
        paths = [
            str(box.raw / f'{T1W}.nii'),
            str(box.raw / 'sub-01/anat/../../../secret_T1w.nii'),
            str(box.raw / 'sub-01/anat/x/../sub-01_T1w.nii'),
            text(rng),
            str(box.raw / 'sub-01/anat' / 'sub-01_acq-none_T1w.nii'),
        ]
        base.executemany(
            'insert or ignore into files(path) values (?)',
            [(p,) for p in paths[: int(rng.integers(1, 6))]],
        )
    base.close()
    shape = rng.random()
    if shape < 0.3:
        file.write_bytes(broken(rng, 'SQLite format 3\0'))
    elif shape < 0.5:
        data = file.read_bytes()
        at = int(rng.integers(len(data)))
        file.write_bytes(data[:at] + rng.bytes(16) + data[at + 16 :])
    elif shape < 0.6:
        odd_file(rng, file)
    (place / 'layout_args.json').write_bytes(broken(rng, '{"derivatives": ["/etc"]}'))
    box.options += ['--bids-database-dir', str(place)]


def status(rng, box: Box) -> None:
    """Find a status that somebody else has written; reports are written from it."""
    box.mode = ['--reports-only', '--participant-label', '02']
    folder = box.out / 'sub-02' / 'ses-1' / 'log'
    folder.mkdir(parents=True)
    sound = {'visit': 'sub-02_ses-1', 'run_id': '20200101_abc', 'state': 'ok'}
    names = (
        'visit',
        'run_id',
        'state',
        'version',
        'key',
        'started',
        'finished',
        'rooms',
        'nodes',
        'skipped',
        'failures',
        'warnings',
        'inputs',
        'origins',
        'scanner',
        'refused',
        'x',
    )
    content = sound | {pick(rng, names): value(rng) for _ in range(int(rng.integers(1, 4)))}
    if rng.random() < 0.4:
        content['run_id'] = pick(
            rng,
            (
                '../../../../elsewhere',
                str(box.folder / 'elsewhere'),
                '..',
                '../../../../home',
                '',
                '.',
                'a/b',
                'a\x00b',
            ),
        )
    written = json.dumps(content)
    file = folder / 'status.json'
    file.write_bytes(broken(rng, written) if rng.random() < 0.2 else written.encode())
    if rng.random() < 0.1:
        odd_file(rng, file)


KINDS: dict[str, Callable[..., None]] = {
    kind.__name__: kind
    for kind in (
        nifti_header,
        nifti_bytes,
        nifti_huge,
        special_file,
        sidecar,
        sidecar_text,
        links,
        participants,
        gradients,
        description,
        ignore_rules,
        file_names,
        filters,
        config,
        derivatives,
        labels,
        numbers,
        checkpoint,
        output,
        database,
        status,
    )
}
