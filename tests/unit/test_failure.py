"""What kind of failure it is, is decided by the error and not by its words."""

import errno
import json
import os
import pickle
from dataclasses import asdict

import pytest

from csvdprep.core.errors import (
    CsvdprepError,
    InputError,
    MeasureError,
    PreflightError,
    UsageError,
)
from csvdprep.core.failure import KINDS, Failure
from csvdprep.core.plan import Visit
from csvdprep.graph.status import Status, read_status, status_path


def os_error(number):
    return OSError(number, os.strerror(number), 'a.nii')


class BaseOfForeignError(Exception):
    """Stands for what a library in C++ throws."""


def foreign(module, text):
    return type('Fail', (BaseOfForeignError,), {'__module__': module})(text)


def chained(outer, inner, *, told=True):
    try:
        try:
            raise inner
        except type(inner) as error:
            raise outer from (error if told else None)
    except type(outer) as error:
        return error


@pytest.mark.parametrize(
    ('error', 'kind'),
    [
        (InputError('It is empty.'), 'input'),
        (MeasureError('It is constant.'), 'measure'),
        (PreflightError('No template.'), 'setup'),
        (UsageError('No such marker.'), 'setup'),
        (CsvdprepError('Other.'), 'setup'),
        (MemoryError(), 'memory'),
        (os_error(errno.ENOMEM), 'memory'),
        (os_error(errno.ENOSPC), 'disk'),
        (os_error(errno.EDQUOT), 'quota'),
        (os_error(errno.EROFS), 'readonly'),
        (os_error(errno.EACCES), 'system'),
        (OSError('no number'), 'system'),
        (ValueError('odd'), 'bug'),
        (KeyError('x'), 'bug'),
        (SystemExit(3), 'bug'),
        # C++ offers nothing else than words.
        (RuntimeError('std::bad_alloc'), 'memory'),
        (RuntimeError('itk: Failed to allocate memory for image.'), 'memory'),
        (RuntimeError('write: No space left on device'), 'disk'),
        (ImportError('libx.so: failed to map segment from shared object'), 'memory'),
        (foreign('onnxruntime.capi.state', 'Failed to allocate memory'), 'memory'),
        # Whoever can tell otherwise is not read.
        (ValueError('std::bad_alloc'), 'bug'),
        (foreign('elsewhere', 'Failed to allocate memory'), 'bug'),
        (RuntimeError('the memory of the scanner'), 'bug'),
        (ImportError('cannot allocate memory in static TLS block'), 'bug'),
        (MeasureError('No space left on device is no measure.'), 'measure'),
        # What it came from counts as far as it is owned to.
        (chained(MeasureError('No fit.'), MemoryError()), 'memory'),
        (chained(ValueError('No header.'), os_error(errno.ENOSPC)), 'disk'),
        (chained(MeasureError('No fit.'), MemoryError(), told=False), 'measure'),
        (chained(InputError('Not there.'), os_error(errno.ENOENT)), 'input'),
    ],
    ids=lambda value: value if isinstance(value, str) else repr(value)[:40],
)
def test_the_kind_follows_from_the_error(error, kind):
    failure = Failure.of(error, room='wmh', node='segment')
    assert failure.kind == kind
    assert failure.message
    assert failure.short_of_memory == (kind == 'memory')


def test_the_file_the_field_and_the_remedy_are_kept_and_no_letter_commands_a_terminal():
    error = InputError('It is\x1b[2J empty.', file='a\n.nii', field='TE', remedy='see\nit.')
    failure = Failure.of(error, room='flair', file='log/crash.txt')
    assert failure.message == r'It is\x1b[2J empty. [file: a\n.nii, field: TE]'
    assert failure.remedy == r'see\nit.'
    assert str(failure) == str(error)
    assert failure.file == 'log/crash.txt'


def test_errors_of_many_lines_are_one_line():
    text = 'itk.hxx:123:\nITK ERROR: no\n' + 'x' * 10_000
    failure = Failure.of(RuntimeError(text), room='brain')
    assert failure.message.startswith('RuntimeError: itk.hxx:123: ITK ERROR: no x')
    assert len(failure.message) < 600


def test_a_killed_process_may_have_wanted_memory():
    assert Failure('a', '', 'killed', 'm').short_of_memory
    assert not Failure('a', '', 'died', 'the memory').short_of_memory


def test_what_is_no_kind_is_refused():
    with pytest.raises(ValueError, match='no kind'):
        Failure('a', '', 'Memory', 'm')


@pytest.mark.parametrize('kind', KINDS)
def test_it_is_the_same_after_a_process_and_a_file(kind):
    failure = Failure('wmh', 'segment', kind, 'é <b>', 'log/crash.txt', 'r')
    assert pickle.loads(pickle.dumps(failure)) == failure
    assert Failure.read(json.loads(json.dumps(asdict(failure)))) == failure


def test_a_status_keeps_its_failures(tmp_path):
    failure = Failure('wmh', 'segment', 'memory', 'There was not enough memory.', 'log/c', 'more.')
    Status('sub-01', 'run', 'failed', failures=[failure]).write(tmp_path, Visit('01'))
    written = json.loads(status_path(tmp_path, Visit('01')).read_text())
    assert written['failures'] == [asdict(failure)]
    assert read_status(tmp_path, Visit('01')).failures == [failure]


def rewrite(tmp_path, failures):
    Status('sub-01', 'run', 'failed').write(tmp_path, Visit('01'))
    path = status_path(tmp_path, Visit('01'))
    path.write_text(json.dumps(json.loads(path.read_text()) | {'failures': failures}))
    return read_status(tmp_path, Visit('01'))


def test_a_status_of_the_former_shape_is_read(tmp_path):
    former = {'room': 'wmh', 'node': 'n', 'file': '', 'message': 'It is full. Remedy: free it.'}
    (failure,) = rewrite(tmp_path, [former]).failures
    assert failure == Failure('wmh', 'n', 'unknown', 'It is full. Remedy: free it.')
    later = rewrite(tmp_path, [former | {'kind': 'of a later version', 'more': 1}])
    assert later.failures == [failure]


@pytest.mark.parametrize(
    'failures',
    [None, {}, 'x', ['x'], [None], [{}], [{'room': 'a'}], [{'room': 1, 'message': 'm'}], {'a': 1}],
    ids=repr,
)
def test_what_is_no_failure_makes_no_status(tmp_path, failures):
    status = rewrite(tmp_path, failures)
    assert status is None or status.failures == []
