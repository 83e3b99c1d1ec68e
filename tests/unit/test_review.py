"""The reviewing desk: what it keeps, whom it serves, and what becomes of what was said."""

import gzip
import hashlib
import http.client
import json
import os
import signal
import threading
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from builders import write_dataset, write_image
from desk import AFFINE, HOSTILE, SHAPE, SPOTS, write_output

from csvdprep.bids.query import collect_visits
from csvdprep.bids.ratings import masks_of, read_ratings
from csvdprep.bids.tsv import read_tsv
from csvdprep.cli.run import run
from csvdprep.cluster.manifest import freeze_files
from csvdprep.core.errors import CsvdprepError, InputError, UsageError
from csvdprep.core.plan import Visit
from csvdprep.core.settings import Settings
from csvdprep.graph.discover import declared
from csvdprep.group.triage import triage_row
from csvdprep.group.visits import Entry
from csvdprep.imaging.inspect import inspect_image
from csvdprep.interfaces.values import read_values
from csvdprep.markers.review import rooms_for
from csvdprep.markers.review.interfaces import ReviewedList
from csvdprep.review.desk import Desk
from csvdprep.review.export import export
from csvdprep.review.layers import find_layers, voxels
from csvdprep.review.lists import find_lists
from csvdprep.review.server import PAGE, STATIC, make_server
from csvdprep.review.store import HEAD, Store
from csvdprep.review.visits import glances

VISIT = Visit('01', '1')
NIIVUE = '47b896b77ec4a5be3ef1949c33ad393b6f45629921f326c279000bcf51bdb4af'
MASK = 'space-T2starw_label-CMB_mask'


@pytest.fixture(scope='module')
def template(tmp_path_factory):
    return write_output(tmp_path_factory.mktemp('template') / 'out')


@pytest.fixture
def out(template, tmp_path):
    import shutil

    return Path(shutil.copytree(template, tmp_path / 'out'))


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / 'ratings.tsv')


# The table


def test_what_is_kept_is_read_by_the_participant_level(store):
    store.add(VISIT, 'AB', 'cmb_lesions', 'vein', candidate='-8 2 4', version='0.1.0+abc')
    store.add(VISIT, 'AB', 'cmb_lesions', 'add lobar', candidate='1 2 3', comment='a\tb\n=c')
    store.add(VISIT, 'AB', 'qc_decision', 'exclude', comment='=HYPERLINK("x")')
    rows = read_ratings(store.path, pytest.fail)
    assert [(row.value, row.candidate) for row in rows] == [
        ('vein', '-8 2 4'),
        ('add lobar', '1 2 3'),
        ('exclude', ''),
    ]
    lines = store.path.read_text().splitlines()
    assert [line.count('\t') for line in lines] == [len(HEAD) - 1] * 4
    assert not any(cell.startswith('=') for line in lines for cell in line.split('\t'))
    told = json.loads(store.path.with_suffix('.json').read_text())
    assert told.keys() == {*HEAD}


def test_the_last_word_counts_and_may_be_taken_back(store):
    for value in ('1', '3', '2'):
        store.add(VISIT, 'AB', 'fazekas_pv', value)
    assert [row.value for row in read_ratings(store.path, pytest.fail)] == [2]
    store.add(VISIT, 'AB', 'fazekas_pv', None)
    told = []
    assert read_ratings(store.path, told.append) == ()
    assert len(store.rows()) == 4
    # A table in which a person wrote one thing twice, without times, is still refused.
    lines = store.path.read_text().splitlines()
    cut = ['\t'.join(line.split('\t')[:-2]) for line in lines[:3]]
    store.path.write_text('\n'.join(cut) + '\n')
    with pytest.raises(InputError, match='twice'):
        read_ratings(store.path, pytest.fail)


@pytest.mark.parametrize(
    ('row', 'said'),
    [
        (('cmb', '1', ''), 'There is no marker'),
        (('fazekas_pv', '4', ''), 'cannot be'),
        (('cmb_lesions', 'add lobar', '2'), 'no position'),
        (('cmb_lesions', 'add vein', '1 2 3'), 'nothing that can be said'),
        (('qc_decision', 'perhaps', ''), 'no decision'),
        (('wmh_mask', '../../etc/passwd.nii', ''), 'no image beside the table'),
        (('wmh_mask', '/etc/passwd.nii.gz', ''), 'no image beside the table'),
    ],
)
def test_what_cannot_be_meant_is_not_kept(store, row, said):
    marker, value, candidate = row
    with pytest.raises(InputError, match=said):
        store.add(VISIT, 'AB', marker, value, candidate=candidate)
    with pytest.raises(InputError, match='no name of a rater'):
        store.add(VISIT, '<b>', 'css', 'none')
    assert not store.path.exists()


def test_two_raters_at_once_lose_nothing_and_readers_see_whole_rows(store):
    stop, seen = threading.Event(), []

    def rate(rater):
        own = Store(store.path)
        for number in range(40):
            own.add(VISIT, rater, 'cmb_lesions', 'accept', candidate=str(number))

    def look():
        while not stop.is_set():
            if store.path.exists():
                seen.append(len(read_ratings(store.path, lambda line: None)))

    raters = [threading.Thread(target=rate, args=(name,)) for name in ('AB', 'CD')]
    reader = threading.Thread(target=look)
    for thread in (reader, *raters):
        thread.start()
    for thread in raters:
        thread.join()
    stop.set()
    reader.join()
    rows = read_ratings(store.path, pytest.fail)
    assert {(row.rater, row.candidate) for row in rows} == {
        (rater, str(n)) for rater in ('AB', 'CD') for n in range(40)
    }
    assert seen == sorted(seen)


def test_killed_while_saving_loses_nothing_that_was_confirmed(store):
    receive, send = os.pipe()
    child = os.fork()
    if not child:
        os.close(receive)
        number = 0
        while True:
            store.add(VISIT, 'AB', 'cmb_lesions', 'reject', candidate=str(number))
            os.write(send, b'.')
            number += 1
    os.close(send)
    time.sleep(0.25)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    confirmed = b''
    while part := os.read(receive, 65536):
        confirmed += part
    os.close(receive)
    rows = Store(store.path).rows()
    assert confirmed
    assert len(rows) in (len(confirmed), len(confirmed) + 1)
    store.add(VISIT, 'AB', 'css', 'none')
    assert len(read_ratings(store.path, pytest.fail)) == len(rows) + 1


def test_a_row_that_was_not_written_to_its_end_is_no_row(store):
    store.add(VISIT, 'AB', 'css', 'none')
    whole = store.path.read_text()
    store.path.write_text(whole + 'sub-01\tses-1\tAB\tfazekas_pv')
    store.add(VISIT, 'AB', 'fazekas_deep', '1')
    assert store.path.read_text().startswith(whole)
    assert [row.marker for row in read_ratings(store.path, pytest.fail)] == ['css', 'fazekas_deep']


def test_a_table_that_a_person_began_is_gone_on_with(store):
    store.path.write_text('participant_id\trater\tmarker\tvalue\nsub-01\tXY\tcss\tfocal')
    store.add(Visit('01'), 'AB', 'css', 'none', comment='clear')
    store.add(Visit('01'), 'XY', 'css', 'disseminated')
    rows = read_ratings(store.path, pytest.fail)
    assert [(row.rater, row.value) for row in rows] == [('AB', 0), ('XY', 2)]
    assert read_tsv(store.path).rows[0]['time'] == 'n/a'


def test_what_others_add_or_change_is_read_again(store):
    other = Store(store.path)
    store.add(VISIT, 'AB', 'css', 'none')
    assert [row.value for row in store.rows()] == [0]
    other.add(VISIT, 'CD', 'css', 'focal')
    assert [row.value for row in store.rows()] == [0, 1]
    # An editor leaves no last line end, and replaces what was there.
    text = store.path.read_text().replace('none', 'disseminated').rstrip('\n')
    store.path.write_text(text)
    assert [row.value for row in store.rows()] == [2, 1]
    other.add(VISIT, 'EF', 'css', 'none')
    assert [row.value for row in store.rows()] == [2, 1, 0] == [r.value for r in other.rows()]


# The server


@pytest.fixture
def serve(out, tmp_path):
    servers = []

    def start(**more):
        server = make_server(0, Desk(out, Store(tmp_path / 'r' / 'ratings.tsv'), **more))
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return Client(server)

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


class Client:
    """Ask a server, with or without what a browser would have."""

    def __init__(self, server):
        self.server = server
        self.port = server.server_address[1]
        self.host = f'127.0.0.1:{self.port}'

    def ask(self, path, *, method='GET', body=None, known=True, **headers):
        headers = {'Host': self.host, **{k.replace('_', '-'): v for k, v in headers.items()}}
        if known:
            headers['Cookie'] = f'{self.server.cookie}={self.server.token}'
        connection = http.client.HTTPConnection('127.0.0.1', self.port, timeout=20)
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer.status, data, answer.headers

    def json(self, path, **more):
        status, data, _ = self.ask(path, **more)
        return status, json.loads(data)

    def rate(self, known=True, **row):
        body = json.dumps({'visit': 'sub-01_ses-1', **row})
        return self.json('/api/rate', method='POST', body=body, known=known, X_Csvdprep_Review='1')


def test_nothing_is_told_without_the_token(serve):
    client = serve(rater='AB')
    assert client.server.server_address[0] == '127.0.0.1'
    for path in ('/', '/static/desk.js', '/api/visits', '/report/sub-01_ses-1.html'):
        assert client.ask(path, known=False)[0] == 403
    assert client.rate(known=False, marker='css', value='none')[0] == 403
    assert client.ask('/?token=wrong', known=False)[0] == 403
    assert client.ask('/', known=False, Cookie=f'{client.server.cookie}=wrong')[0] == 403
    status, _, headers = client.ask(f'/?token={client.server.token}', known=False)
    assert status == 303
    assert headers['Location'] == '/'
    assert 'HttpOnly; SameSite=Strict' in headers['Set-Cookie']
    cookie = headers['Set-Cookie'].split(';')[0]
    status, _, headers = client.ask('/', known=False, Cookie=cookie)
    assert status == 200
    assert "default-src 'none'" in headers['Content-Security-Policy']
    assert headers['Cache-Control'] == 'no-store'


def test_other_sites_can_neither_read_nor_save(serve):
    client = serve(rater='AB')
    assert client.ask('/api/visits', Host='evil.example')[0] == 403
    assert client.ask('/api/visits', Host=f'127.0.0.1.evil.example:{client.port}')[0] == 403
    body = json.dumps({'visit': 'sub-01_ses-1', 'marker': 'css', 'value': 'none'})
    assert client.ask('/api/rate', method='POST', body=body)[0] == 403
    status, _ = client.json(
        '/api/rate', method='POST', body=body, X_Csvdprep_Review='1', Origin='http://evil.example'
    )
    assert status == 403
    assert client.rate(marker='css', value='none')[0] == 200


@pytest.mark.parametrize(
    'path',
    [
        '/static/../server.py',
        '/static/%2e%2e/server.py',
        '/static/..%2fserver.py',
        '/report/../../etc/passwd',
        '/report/%2e%2e/%2e%2e/etc/passwd',
        '/report/sub-01/ses-1/log/status.json',
        '/report/sub-01/ses-1/figures/../../../secret.html',
        '/report/sub-01/ses-1/figures/leads_out.svg',
        '/report/dataset_description.json',
        '/api/volume.nii?visit=sub-01_ses-1&key=../../../secret',
        '/api/volume.nii?visit=../../sub-01_ses-1&key=dseg',
        '/api/visit?visit=sub-01_ses-1/..',
        '/etc/passwd',
        '//etc/passwd',
    ],
)
def test_no_way_leads_out_of_what_is_served(serve, out, path):
    (out.parent / 'secret.svg').write_text('secret')
    (out / 'sub-01/ses-1/figures/leads_out.svg').symlink_to(out.parent / 'secret.svg')
    status, data, _ = serve().ask(path)
    assert status == 404
    assert b'secret' not in data


def test_bad_requests_are_answered_in_words(serve):
    client = serve()
    post = {'method': 'POST', 'X_Csvdprep_Review': '1'}
    for path, body, code in (
        ('/api/rate', 'no json', 400),
        ('/api/rate', '[1]', 400),
        ('/api/rate', '{"visit": 3}', 422),
        ('/api/rate', '{"visit": "sub-09", "marker": "css", "value": "none"}', 404),
        ('/api/rate', 'x' * 100_000, 422),
        ('/api/mask?visit=sub-01_ses-1&key=dseg&rater=AB', 'x', 422),
        (f'/api/mask?visit=sub-01_ses-1&key={MASK}&rater=AB', 'x', 422),
        (f'/api/mask?visit=sub-01_ses-1&key={MASK}&rater=AB', b'\x1f\x8bno', 422),
        ('/api/else', '{}', 404),
    ):
        status, told = client.json(path, body=body, **post)
        assert status == code, path
        assert told['error']
    assert client.rate(marker='css', value='none')[0] == 422  # nobody said who rates
    assert client.rate(marker='css', value='all', rater='AB')[1]['error'].startswith('"all"')
    assert client.rate(marker='wmh_mask', value='ratings/x.nii.gz', rater='AB')[0] == 422
    assert client.ask('/api/mni?visit=sub-01_ses-1&at=1,2')[0] == 422
    assert client.ask('/api/volume.nii?visit=sub-01_ses-1&key=dseg&step=0')[0] == 422


def snapshot(folder):
    return {
        path.relative_to(folder): path.read_bytes() for path in folder.rglob('*') if path.is_file()
    }


def test_a_reader_rates_and_nothing_else_is_written(serve, out, tmp_path):
    before = snapshot(out)
    client = serve(rater='AB')
    _, visits = client.json('/api/visits')
    assert visits['visits'][0]['unsure'] == 2
    _, told = client.json('/api/visit?visit=sub-01_ses-1')
    first = told['lists'][0]
    assert [row['index'] for row in first['rows']] == [1, 2, 3]
    assert first['rows'][0]['where'] == 'lobar, left lobe'
    status, answer = client.rate(marker='cmb_lesions', candidate='-8.0 2.0 4.0', value='accept')
    assert (status, answer['before']) == (200, None)
    status, answer = client.rate(marker='cmb_lesions', candidate='-8.0 2.0 4.0', value='vein')
    assert answer['before']['value'] == 'accept'
    client.rate(marker='qc_decision', value='doubtful', comment='motion')
    _, visits = client.json('/api/visits')
    assert (visits['visits'][0]['done'], visits['visits'][0]['decision']) == (1, 'doubtful')
    _, told = client.json('/api/visit?visit=sub-01_ses-1')
    assert {row['value'] for row in told['said']} == {'vein', 'doubtful'}
    assert snapshot(out) == before
    found = read_tsv(tmp_path / 'r' / 'ratings.tsv').rows
    version = hashlib.sha256(
        (out / 'sub-01/ses-1/anat/sub-01_ses-1_label-CMB_lesions.tsv').read_bytes()
    ).hexdigest()[:12]
    assert found[0]['version'].endswith(f'+{version}')
    assert found[2]['version'].endswith(f'+{"a" * 12}')


def test_readers_are_blind_to_each_other_and_to_the_machine_when_asked(serve):
    first, second = serve(rater='AB'), serve(rater='CD')
    first.rate(marker='fazekas_pv', value='3')
    second.rate(marker='fazekas_pv', value='1')
    assert [r['value'] for r in second.json('/api/visit?visit=sub-01_ses-1')[1]['said']] == ['1']
    assert second.ask('/api/agreement')[0] == 422
    judge = serve(rater='consensus')
    _, told = judge.json('/api/visit?visit=sub-01_ses-1')
    assert {row['rater'] for row in told['said']} == {'AB', 'CD'}
    assert told['measured'] == {'cmb_n': 1, 'fazekas_pv': 2}
    assert judge.json('/api/agreement')[1]['rows'][0]['marker'] == 'fazekas_pv'
    blind = serve(rater='EF', blind=True)
    _, told = blind.json('/api/visit?visit=sub-01_ses-1')
    assert told['measured'] == {}
    assert told['remarks'] == []
    assert MASK not in {layer['key'] for layer in told['layers']}
    for row in told['lists'][0]['rows']:
        assert (row['probability'], row['status']) == (None, '')
        assert not {'probability', 'status'} & row['cells'].keys()
    assert [row['index'] for row in told['lists'][0]['rows']] != [1, 2, 3]
    assert blind.ask(f'/api/volume.nii?visit=sub-01_ses-1&key={MASK}')[0] == 404
    assert blind.ask('/report/sub-01_ses-1.html')[0] == 422
    item = blind.json('/api/visits')[1]['visits'][0]
    assert (item['verdict'], item['remarks'], item['unsure']) == ('', 0, 0)


def test_a_report_leads_to_the_desk_and_may_ask_it_for_nothing(serve):
    client = serve(rater='AB')
    status, data, headers = client.ask('/report/sub-01_ses-1.html')
    assert status == 200
    assert b'<a href="/#visit=sub-01_ses-1" target="_top">' in data
    lesion = b'href="/#visit=sub-01_ses-1&amp;lesion=CMB-%d" target="_top"'
    # The picture, if the row has one, and the number.
    assert [data.count(lesion % number) for number in (1, 2, 3)] == [2, 2, 1]
    assert b'class="large"' not in data
    assert "connect-src 'none'" in headers['Content-Security-Policy']
    figure = '/report/sub-01/ses-1/figures/sub-01_ses-1_desc-wmh_FLAIR.svg'
    assert client.ask(figure)[2]['Content-Type'] == 'image/svg+xml'


@pytest.mark.parametrize(
    ('asked', 'found'),
    [
        ('sub-01_ses-1', '#visit=sub-01_ses-1'),
        ('sub-01_ses-1/CMB-3', '#visit=sub-01_ses-1&lesion=CMB-3'),
        ('sub-01_ses-1/cmb-3', '#visit=sub-01_ses-1&lesion=CMB-3'),
    ],
)
def test_a_place_is_opened(out, asked, found):
    assert Desk(out, Store(out / 'ratings.tsv')).fragment(asked) == found


@pytest.mark.parametrize(
    ('asked', 'said'),
    [
        ('sub-02_ses-1/CMB-3', 'There is no such visit.'),
        ('sub-01_ses-1/PVS-3', 'The visit has no list PVS (lists: CMB).'),
        ('sub-01_ses-1/3', 'The visit has no list 3 (lists: CMB).'),
        ('sub-01_ses-1/CMB-9', 'The list CMB has no row 9 (3 rows).'),
    ],
)
def test_a_place_that_is_not_there_is_refused_in_words(out, asked, said):
    with pytest.raises(UsageError) as caught:
        run(['review', str(out), '--port', '0', '--at', asked])
    assert said in caught.value.message
    assert caught.value.field == '--at'


# Images and masks


def test_images_lie_in_the_coordinates_of_the_reference(out):
    layers = {item.key: item for item in find_layers(out, VISIT)}
    layer = layers['desc-preproc_T2starw']
    made = nib.Nifti1Image.from_bytes(voxels(layer))
    assert nib.aff2axcodes(made.affine) == ('R', 'A', 'S')
    # The transform takes points of the T1w 1 mm to the left and 3 mm up.
    place = np.array([*SPOTS[0][0], 1]) - [-1, 0, 3, 0]
    voxel = np.rint(np.linalg.inv(made.affine) @ place)[:3].astype(int)
    assert made.get_fdata()[tuple(voxel)] == pytest.approx(10, abs=0.1)
    assert made.header['cal_max'] == pytest.approx(110, abs=8)
    coarse = nib.Nifti1Image.from_bytes(voxels(layer, step=2))
    assert coarse.shape == tuple((n + 1) // 2 for n in SHAPE)
    there = coarse.affine @ [3, 4, 5, 1]
    assert made.affine @ [6, 8, 10, 1] == pytest.approx(there)
    assert layers['dseg'].shown()['toHub'] == np.eye(4).tolist()
    # What was resampled onto the reference is there already, on its own grid.
    anat = out / 'sub-01/ses-1/anat'
    write_image(anat / 'sub-01_ses-1_space-T1w_label-CMB_mask.nii.gz', np.ones(SHAPE, 'uint8'))
    write_image(anat / 'sub-01_ses-1_desc-preproc_swi.nii.gz', np.ones(SHAPE, 'int16'))
    write_image(anat / 'sub-01_ses-1_desc-brain_mask.nii.gz', np.ones(SHAPE, 'uint8'))
    layers = {item.key: item for item in find_layers(out, VISIT)}
    assert layers['desc-brain_mask'].frame == 'T1w'
    assert 'space-T1w_label-CMB_mask' not in layers
    assert layers['desc-preproc_swi'].frame == 'T2starw'


def test_an_edited_mask_is_kept_on_the_grid_of_the_mask(serve, out, tmp_path):
    client = serve(rater='AB')
    path = f'/api/volume.nii?visit=sub-01_ses-1&key={MASK}'
    drawn = np.asanyarray(nib.Nifti1Image.from_bytes(client.ask(path)[1]).dataobj).copy()
    assert drawn.sum() == 1
    drawn[3:6, 4, 5] = 1
    body = gzip.compress(drawn.tobytes(order='F'))
    place = f'/api/mask?visit=sub-01_ses-1&key={MASK}'
    status, answer = client.json(place, method='POST', body=body, X_Csvdprep_Review='1')
    assert (status, answer['voxels']) == (200, 4)
    table = tmp_path / 'r' / 'ratings.tsv'
    file = table.parent / answer['row']['value']
    kept, was = nib.load(file), nib.load(out / f'sub-01/ses-1/anat/sub-01_ses-1_{MASK}.nii.gz')
    assert np.array_equal(kept.affine, was.affine)
    assert np.array_equal(kept.affine, AFFINE)
    assert np.array_equal(np.asanyarray(nib.as_closest_canonical(kept).dataobj), drawn)
    assert json.loads(file.with_name(file.name.replace('.nii.gz', '.json')).read_text())[
        'Sources'
    ] == [f'sub-01/ses-1/anat/sub-01_ses-1_{MASK}.nii.gz']
    again = np.asanyarray(nib.Nifti1Image.from_bytes(client.ask(path + '&edited=1')[1]).dataobj)
    assert np.array_equal(again, drawn)
    rows = read_ratings(table, pytest.fail)
    assert masks_of(rows, {'01': ['1']}, table, pytest.fail) == {VISIT: {'cmb_external': file}}
    # Undone, the machine's mask is back.
    client.rate(marker='cmb_mask', value=None)
    assert masks_of(read_ratings(table, print), {'01': ['1']}, table, pytest.fail) == {}


def test_an_edited_mask_goes_before_those_of_other_tools(tmp_path):
    raw = write_dataset(tmp_path / 'raw')
    mask = np.zeros(nib.load(raw / 'sub-01/anat/sub-01_FLAIR.nii.gz').shape, np.uint8)
    mask[5, 5, 5] = 1
    edited = 'ratings/sub-01/anat/sub-01_label-WMH_desc-edited1_mask.nii.gz'
    write_image(tmp_path / edited, mask)
    store = Store(tmp_path / 'ratings.tsv')
    store.add(Visit('01'), 'AB', 'wmh_mask', edited)
    asked = Settings(bids_dir=raw, output_dir=tmp_path / 'o', manual_ratings=store.path)

    def given():
        return collect_visits(asked, declared(), inspect=inspect_image, warn=pytest.fail)[0]

    found = given()
    assert found.scans['wmh_external'].content['mask'] == str(tmp_path / edited)
    assert found.scans['wmh_external'].uri == f'bids:manual-ratings:{edited}'
    assert 'ratings' not in found.scans  # nothing for the scores
    assert any('which a person corrected' in note for note in found.notes)
    write_image(tmp_path / edited, mask[:-2])
    found = given()
    assert 'wmh_external' not in found.scans
    assert 'does not match the grid' in found.refused[0][1]


def test_array_jobs_take_edited_masks_with_the_table(store, tmp_path):
    edited = 'ratings/sub-01/anat/sub-01_label-WMH_desc-edited1_mask.nii.gz'
    write_image(tmp_path / edited, np.ones(SHAPE, 'uint8'))
    store.add(VISIT, 'AB', 'wmh_mask', edited)
    _, table = freeze_files(['--manual-ratings', str(store.path)], tmp_path / 'job')
    rows = read_ratings(Path(table), pytest.fail)
    found = masks_of(rows, {'01': ['1']}, Path(table), pytest.fail)[VISIT]['wmh_external']
    assert found.is_relative_to(tmp_path / 'job')
    assert found.read_bytes() == (tmp_path / edited).read_bytes()


def test_the_viewer_is_what_was_vendored():
    data = (STATIC / 'niivue.umd.js').read_bytes()
    assert hashlib.sha256(data).hexdigest() == NIIVUE
    assert len(data) < 3_000_000
    assert NIIVUE in (STATIC / 'NIIVUE-LICENSES.txt').read_text()
    for name in PAGE:
        assert (STATIC / name).is_file()


def test_a_folder_without_a_server(out, tmp_path):
    write_output(out, '02', region=HOSTILE)
    desk = Desk(out, Store(tmp_path / 'ratings.tsv'))
    page = export(desk, tmp_path / 'web')
    assert 'data.js' in page.read_text()
    for file in (page.parent / 'data.js', *(page.parent / 'visits').iterdir()):
        assert '<' not in file.read_text()
    text = (page.parent / 'visits' / 'sub-01_ses-1.js').read_text()
    told = json.loads(
        text.partition(' = window.CSVDPREP_VISITS || {})')[2].partition(' = ')[2][:-2]
    )
    assert told['volumes'].keys() == {layer['key'] for layer in told['visit']['layers']}
    export(desk, tmp_path / 'web')
    with pytest.raises(CsvdprepError, match='something else'):
        export(desk, out)


def test_the_command_refuses_what_it_cannot_serve(out, tmp_path):
    empty = tmp_path / 'empty'
    empty.mkdir()
    other = tmp_path / 'notes.tsv'
    other.write_text('mine')
    for argv, said in (
        ([str(tmp_path / 'none')], 'does not exist'),
        ([str(empty)], 'no results'),
        ([str(out), '--ratings', str(other)], 'another kind'),
        ([str(out), '--rater', '<b>'], 'no name of a rater'),
    ):
        with pytest.raises(CsvdprepError, match=said):
            run(['review', *argv])
    assert other.read_text() == 'mine'


# What becomes of it


def reviewed(out, folder, *said):
    room = rooms_for()[1]
    anat = out / 'sub-01/ses-1/anat'
    mask = nib.load(anat / f'sub-01_ses-1_{MASK}.nii.gz')
    labels = np.zeros(SHAPE, np.uint8)
    for number, (place, *_) in enumerate(SPOTS, start=1):
        labels[tuple(np.rint(np.linalg.inv(AFFINE) @ [*place, 1])[:3].astype(int))] = number
    file = write_image(folder / 'labels.nii.gz', labels, affine=mask.affine)
    names = ('rater', 'candidate', 'value')
    rows = [{'marker': 'cmb_lesions', **dict(zip(names, row, strict=True))} for row in said]
    interface = ReviewedList(room)
    interface.inputs.trait_set(
        ratings={'ratings': rows},
        cmb_lesions=str(anat / 'sub-01_ses-1_label-CMB_lesions.tsv'),
        cmb_candidates=str(file),
    )
    done = interface.run(cwd=str(folder)).outputs
    return done, read_values(Path(done.review_cmb_values))


def test_verdicts_change_counts_list_and_mask(out, tmp_path):
    done, values = reviewed(
        out,
        tmp_path,
        ('AB', '6.0 4.0 2.0', 'reject'),
        ('AB', '-8 2 4', 'lobar'),
        ('AB', '0 0 -8', 'add infratentorial'),
    )
    assert values['cmb_reviewed_n'].value == 2
    assert values['cmb_reviewed_lobar_n'].value == 1
    assert values['cmb_reviewed_deep_n'].value == 0
    assert values['cmb_reviewed_infratentorial_n'].value == 1
    assert '2 of 3 candidates were looked at, by AB' in values['cmb_reviewed_n'].reason
    rows = read_tsv(done.cmb_reviewed_lesions).rows
    assert [(r['index'], r['status'], r['source'], r['region']) for r in rows] == [
        ('1', 'no lesion', 'rater', 'lobar'),
        ('2', 'lesion', 'rater', 'lobar'),
        ('3', 'no lesion', 'machine', 'lobar'),
        ('4', 'lesion', 'added', 'infratentorial'),
    ]
    mask = nib.load(done.cmb_reviewed_mask)
    inverse = np.linalg.inv(mask.affine)

    def at(*place):
        return int(mask.dataobj[tuple(np.rint(inverse @ [*place, 1])[:3].astype(int))])

    assert (at(6, 4, 2), at(-8, 2, 4), at(4, -10, -6), at(0, 0, -8)) == (0, 1, 0, 1)


def test_verdicts_on_recent_infarcts_count_by_kind(out, tmp_path):
    room = rooms_for()[3]
    listed = tmp_path / 'list.tsv'
    head = 'index\tx\ty\tz\tkind\tstatus\tprobability\tregion\n'
    listed.write_text(
        f'{head}1\t0\t0\t0\trssi\tdefinite\t0.9\tn/a\n'
        '2\t4\t0\t0\tlarge\tpossible\t0.4\tn/a\n'
        '3\t8\t0\t0\tcortical\tpossible\t0.2\tn/a\n'
    )
    labels = np.zeros((8, 8, 8), np.uint8)
    labels[1, 1, 1], labels[3, 3, 3], labels[5, 5, 5] = 1, 2, 3
    file = write_image(tmp_path / 'labels.nii.gz', labels)
    said = [('1', 'old'), ('2', 'rssi'), ('3', 'accept')]
    rows = [
        {'rater': 'AB', 'marker': 'infarct_lesions', 'candidate': which, 'value': value}
        for which, value in said
    ]
    interface = ReviewedList(room)
    interface.inputs.trait_set(
        ratings={'ratings': rows}, infarct_lesions=str(listed), infarct_candidates=str(file)
    )
    done = interface.run(cwd=str(tmp_path)).outputs
    values = read_values(Path(done.review_infarct_values))
    counts = ('recent_infarct_reviewed_n', 'rssi_reviewed_n', 'recent_infarct_reviewed_cortical_n')
    assert [values[name].value for name in counts] == [2, 1, 1]
    found = read_tsv(done.infarct_reviewed_lesions).rows
    assert [(row['status'], row['part'], row['kind']) for row in found] == [
        ('no lesion', 'rssi', 'old'),
        ('lesion', 'rssi', 'n/a'),
        ('lesion', 'cortical', 'n/a'),
    ]
    mask = np.asanyarray(nib.load(done.infarct_reviewed_mask).dataobj)
    assert [int(mask[k, k, k]) for k in (1, 3, 5)] == [0, 1, 1]


def test_candidates_of_all_folders_are_seen(out):
    folder = out / 'sub-01/ses-1/dwi'
    folder.mkdir()
    table = 'index\tx\ty\tz\tkind\tstatus\tprobability\n1\t0\t0\t0\trssi\tpossible\t0.4\n'
    (folder / 'sub-01_ses-1_label-infarct_lesions.tsv').write_text(table)
    (item,) = glances(out)
    # Three microbleeds of which two are possible, and the infarct.
    assert (item.candidates, item.unsure) == (4, 3)
    listed = {found.name: found for found in find_lists(out, VISIT)}['infarct_lesions']
    told = listed.shown(blind=False)
    assert told['reviewed']
    assert 'rssi' in [kind['name'] for kind in told['kinds'] if kind['counts']]


def test_a_list_at_which_nobody_looked_is_not_counted(out, tmp_path):
    _, values = reviewed(out, tmp_path)
    assert values['cmb_reviewed_n'].value is None
    assert 'nobody looked' in values['cmb_reviewed_n'].reason
    _, values = reviewed(
        out, tmp_path, ('AB', '1', 'accept'), ('AB', '2', 'accept'), ('CD', '2', 'reject')
    )
    assert values['cmb_reviewed_n'].value == 1
    assert 'raters disagree (AB accept, CD reject)' in values['cmb_reviewed_n'].reason
    assert values['cmb_reviewed_n'].qc == 'warn'


def test_the_decision_is_told_first_in_the_list_of_visits():
    def why(decision):
        rows = {'measures': {'review_decision': decision}, 'qc': {}}
        return triage_row(Entry(VISIT, 'failed'), rows, (), (), (), Path())['why']

    assert why('exclude')[0] == 'decided by a reader: exclude'
    assert len(why('n/a')) == 1
