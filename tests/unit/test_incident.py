"""What became of lesions between visits: matched by place, told only where it can be told."""

import json
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from builders import write_image
from scipy import ndimage as ndi
from scipy.spatial.transform import Rotation

from csvdprep.bids.tsv import read_tsv, write_tsv
from csvdprep.core.errors import InputError, MeasureError
from csvdprep.core.room import NoPlace
from csvdprep.imaging.transforms import write_linear
from csvdprep.longitudinal.incident import CHANGES, KINDS, ROOM
from csvdprep.longitudinal.incident.decide import resolve
from csvdprep.longitudinal.incident.figures import draw_incident
from csvdprep.longitudinal.incident.interfaces import _EACH, Incident, _InputSpec
from csvdprep.longitudinal.incident.science import Lesion, Rules, Scan, compare
from csvdprep.longitudinal.incident.science.contrast import look, points_of
from csvdprep.longitudinal.incident.science.matching import distances, match

SHAPE = (64, 64, 64)
CENTRE = (np.array(SHAPE) - 1) / 2


def rigid(turn, shift):
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler('xyz', turn, degrees=True).as_matrix()
    matrix[:3, 3] = shift
    return matrix


#: Shared world to world of each visit; grids of the visits are centred on their worlds.
WAYS = {
    'ses-1': rigid((4, -3, 2), (2, 1, -1)),
    'ses-2': rigid((-5, 2, 3), (-2, 0, 2)),
    'ses-3': rigid((2, 2, -6), (0, 3, 0)),
}


def affine():
    out = np.eye(4)
    out[:3, 3] = -CENTRE
    return out


class Site:
    """A lesion of the shared world: place (mm), radius (mm), status at a visit."""

    def __init__(self, place, radius=2.5, status='definite', depth=0.5, listed=True):
        self.place, self.radius, self.status = np.array(place, float), radius, status
        self.depth, self.listed = depth, listed


A, B, C = Site((10, 0, 0)), Site((-9, 8, 4)), Site((0, -12, -6))


def visit(way, sites, noise=4.0, seed=0):
    """Return image, brain, labels and rows of a visit that has lesions."""
    at = np.stack(np.indices(SHAPE), axis=-1) - CENTRE
    back = np.linalg.inv(way)
    shared = at @ back[:3, :3].T + back[:3, 3]
    brain = np.linalg.norm(shared, axis=-1) < 26
    image = np.where(brain, 100.0, 0.0)
    labels = np.zeros(SHAPE, np.int16)
    rows, number = [], 0
    for site in sites:
        inside = np.linalg.norm(shared - site.place, axis=-1) < site.radius
        image = np.where(inside, 100 * (1 - site.depth), image)
        if not site.listed:
            continue
        number += 1
        labels[inside] = number
        rows.append((number, site, float(inside.sum())))
    image = ndi.gaussian_filter(image, 0.4)
    image += noise * np.random.default_rng(seed).normal(size=SHAPE)
    return np.maximum(image, 0).astype(np.float32), brain, labels, rows


def as_science(way, made):
    image, brain, labels, rows = made
    scan = Scan(image, affine(), brain, labels.astype(int), way)
    back, boxes = np.linalg.inv(way), ndi.find_objects(labels)
    lesions = []
    for number, site, _ in rows:
        points, mm3 = points_of(labels, number, boxes[number - 1], affine())
        points = points @ back[:3, :3].T + back[:3, 3]
        lesions.append(Lesion(number, site.status == 'definite', points, mm3, site.status))
    return scan, lesions


def tracks(first, last, rules=None, **noise):
    """Compare two visits that have these sites; return verdicts by place."""
    made = [
        as_science(WAYS[name], visit(WAYS[name], sites, noise.get(name[-3:-1], 4.0), seed))
        for seed, (name, sites) in enumerate(zip(('ses-1', 'ses-2'), (first, last), strict=True))
    ]
    scans, lesions = zip(*made, strict=True)
    return compare(lesions, scans, ('ses-1', 'ses-2'), rules), scans, lesions


def told(found):
    return sorted((track.change, track.first is None, track.last is None) for track in found)


def test_new_persisting_and_vanished_lesions_and_their_places():
    found, scans, lesions = tracks([A, B], [A, C])
    assert told(found) == [
        ('new', True, False),
        ('persisting', False, False),
        ('vanished', False, True),
    ]
    stays = next(t for t in found if t.change == 'persisting')
    assert stays.distance_mm < 0.5
    new = next(t for t in found if t.change == 'new')
    # At baseline nothing is there, and the lesion would have been seen well.
    assert abs(new.cnr[0]) < 2
    assert new.cnr[1] < -8
    assert new.expected_cnr < -8
    back = compare(lesions[::-1], scans[::-1], ('ses-2', 'ses-1'))
    swapped = {'new': 'vanished', 'vanished': 'new'}
    assert sorted(swapped.get(t.change, t.change) for t in back) == sorted(t.change for t in found)
    gone = next(t for t in back if t.change == 'vanished')
    assert gone.cnr == new.cnr[::-1]
    assert gone.expected_cnr == new.expected_cnr


def test_a_candidate_that_does_not_count_is_no_proof_of_a_new_lesion():
    possible = Site(C.place, status='possible', depth=0.2)
    found, *_ = tracks([A, possible], [A, C])
    (unsure,) = [t for t in found if t.change != 'persisting']
    assert unsure.change == 'cannot be told'
    assert 'ses-1 has a candidate there that does not count (possible)' in unsure.reason
    assert unsure.first.index == 2


def test_what_the_earlier_image_shows_as_well_is_not_new():
    missed = Site(C.place, listed=False)
    (unsure,) = [t for t in tracks([A, missed], [A, C])[0] if t.change != 'persisting']
    assert unsure.change == 'cannot be told'
    assert 'of its contrast there, although no lesion was found' in unsure.reason
    faint = Site(C.place, listed=False, depth=0.08)
    (new,) = [t for t in tracks([A, faint], [A, C])[0] if t.change != 'persisting']
    assert new.change == 'new'


def test_poor_contrast_or_no_coverage_at_baseline_cannot_tell():
    noisy = visit(WAYS['ses-1'], [A], noise=30.0)
    good = visit(WAYS['ses-2'], [A, C], seed=1)
    (scan, first), (other, last) = (
        as_science(WAYS['ses-1'], noisy),
        as_science(WAYS['ses-2'], good),
    )
    rest = [t for t in compare((first, last), (scan, other), ('ses-1', 'ses-2')) if not t.first]
    assert [t.change for t in rest] == ['cannot be told']
    assert 'poor contrast at ses-1' in rest[0].reason
    assert abs(rest[0].expected_cnr) < 3
    # A slab that ends above the lesion.
    clear, first = as_science(WAYS['ses-1'], visit(WAYS['ses-1'], [A]))
    cut = clear.brain.copy()
    cut[..., : int(CENTRE[2]) - 4] = False
    slab = Scan(clear.image, clear.affine, cut, clear.labels, clear.way)
    rest = [t for t in compare((first, last), (slab, other), ('ses-1', 'ses-2')) if not t.first]
    assert 'lies outside of the brain that the scan of ses-1 shows' in rest[0].reason
    # An error of the registration there.
    off = [Lesion(o.index, o.definite, o.points, o.mm3, error_mm=2.5) for o in last]
    rest = [t for t in compare((first, off), (clear, other), ('ses-1', 'ses-2')) if not t.first]
    assert 'registered with an error of 2.5 mm' in rest[0].reason


def test_thick_slices_at_baseline_dilute_small_lesions():
    fine, lesions = as_science(np.eye(4), visit(np.eye(4), [Site((0.5, 0.5, 0.5), radius=1.6)]))
    thick_image = fine.image.reshape(64, 64, 8, 8).mean(axis=-1)
    matrix = affine() @ np.diag([1.0, 1, 8, 1])
    matrix[2, 3] = affine()[2, 3] + 3.5
    brain = fine.brain.reshape(64, 64, 8, 8).all(axis=-1)
    thick = Scan(thick_image, matrix, brain, np.zeros(brain.shape, int), np.eye(4))
    seen, whole = (look(s, lesions[0].points, lesions[0].mm3) for s in (thick, fine))
    assert seen.filled < 0.5
    assert whole.filled == 1
    # What the thick slices show of it is what is expected of them.
    assert seen.contrast == pytest.approx(whole.contrast * seen.filled, rel=0.35)


def test_assignment_is_one_to_one_and_does_not_depend_on_the_order():
    rng = np.random.default_rng(0)
    first = [rng.uniform(-30, 30, 3) + np.zeros((1, 3)) for _ in range(40)]
    last = [one + rng.normal(0, 1.0, 3) for one in first[5:]] + [np.full((1, 3), 90.0)]
    away = distances(first, last, 4.0)
    pairs = match(away)
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)
    right = sum(i == j + 5 for i, j in pairs)
    assert right >= 33
    assert match(away.T) == sorted((j, i) for i, j in pairs)
    # Two lesions beside one another keep their own, although the greedy choice is another.
    assert match(np.array([[1.0, 0.9], [3.0, 1.5]])) in ([(0, 0), (1, 1)],)


def test_lesions_that_overlap_are_one_however_far_their_centres_lie():
    line = np.stack([np.arange(20.0), np.zeros(20), np.zeros(20)], axis=1)
    assert distances([line[:8]], [line], 4.0)[0, 0] == pytest.approx(6.0)
    assert np.isinf(distances([line[:8]], [line[12:]], 4.0)[0, 0])


def write_visits(folder, kind, sites, **more):
    """Leave what visits have of a kind of lesion; half-way poses too."""
    files: dict[str, dict[str, str]] = {}
    for number, (session, given) in enumerate(sites.items()):
        own = folder / session
        # The image of the kind lies elsewhere in the scanner than the reference.
        beside = rigid((0, 0, 3), (1, -1, 0)) if kind.way else np.eye(4)
        way = beside @ WAYS[session]
        image, brain, labels, rows = visit(way, given, more.get(session, 4.0), number)
        for name, data in ((kind.image, image), (kind.brain, brain), (kind.labels, labels)):
            kept = data.astype('uint8') if data.dtype == bool else data
            path = write_image(own / f'{name}.nii.gz', kept, affine=affine())
            files.setdefault(name, {})[session] = str(path)
        if kind.way:
            path = write_linear(beside, own / 'xfm.txt')
            files.setdefault(kind.way, {})[session] = str(path)
        names = ['index', 'volume_mm3', 'status', 'probability', 'x', 'y', 'z', 'side', 'lobe']
        names += ['x_mni', 'y_mni', 'z_mni', 'territory', 'max_axial_diameter_mm']
        table = [names]
        for index, site, volume in rows:
            values = {'index': index, 'volume_mm3': volume, 'status': site.status}
            table.append([values.get(name, 0.8 if name == 'probability' else 1) for name in names])
        write_tsv(own / 'lesions.tsv', table)
        files.setdefault(kind.rows, {})[session] = str(own / 'lesions.tsv')
    return files


def write_poses(path, sessions):
    names = [f'm{r}{c}' for r in (1, 2, 3) for c in (1, 2, 3, 4)]
    rows = [[s, *map(float, WAYS[s][:3].ravel())] for s in sessions]
    write_tsv(path, [['session', *names], *rows], digits=12)
    return str(path)


def run(folder, files, sessions, monkeypatch, protocols=None, years=(0.0, 2.0, 3.0)):
    folder.mkdir(exist_ok=True)
    monkeypatch.chdir(folder)
    listed = [
        {'session': s, 'years': y, 'table': ''} for s, y in zip(sessions, years, strict=False)
    ]
    each = {f'each_{name}': {'visits': paths} for name, paths in files.items()}
    out = Incident(
        measures={'visits': listed},
        protocols={'visits': protocols or {}},
        halfway_t1w_poses=write_poses(folder / 'poses.tsv', sessions),
        options=vars(ROOM.options()),
        **each,
    ).run(cwd=str(folder))
    values = json.loads(Path(out.outputs.incident_values).read_text())
    return out.outputs, read_tsv(out.outputs.incident_list).rows, values


@pytest.mark.parametrize('kind', KINDS, ids=lambda kind: kind.prefix)
def test_from_files_to_a_list_and_back_in_time(tmp_path, monkeypatch, kind):
    files = write_visits(tmp_path / 'in', kind, {'ses-1': [A, B], 'ses-2': [A, C]})
    forth = run(tmp_path / 'a', files, ['ses-1', 'ses-2'], monkeypatch)
    back = run(tmp_path / 'b', files, ['ses-2', 'ses-1'], monkeypatch)
    for outputs, rows, values in (forth, back):
        assert [row['change'] for row in rows] == ['new', 'vanished', 'persisting']
        assert [row['index'] for row in rows] == ['1', '2', '3']
        assert {row['lesion'] for row in rows} == {kind.name}
        assert values[f'{kind.prefix}_new_n']['value'] == 1
        assert values[f'{kind.prefix}_new_n_per_year']['value'] == 0.5
        assert values[f'{kind.prefix}_vanished_n']['value'] == 1
        assert values[f'{kind.prefix}_persisting_n']['value'] == 1
        other = next(k for k in KINDS if k is not kind)
        missing = values[f'{other.prefix}_new_n']
        assert missing['value'] is None
        assert missing['reason'] == f'no visit was searched for {other.words}'
        out_file = tmp_path / 'figure.svg'
        draw_incident(
            out_file=str(out_file),
            incident_tiles=outputs.incident_tiles,
            incident_list=outputs.incident_list,
        )
        assert f'#1 {kind.name}: new' in out_file.read_text()
    new, vanished = forth[1][0], back[1][1]
    assert (new['to_index'], new['from_index']) == ('2', 'n/a')
    assert (vanished['from_index'], vanished['to_index']) == ('2', 'n/a')
    assert new['from_cnr'] == vanished['to_cnr']
    assert float(new['expected_cnr']) < -5
    assert float(new['to_cnr']) < -5 < float(new['from_cnr'])


def test_three_visits_give_consecutive_pairs_and_the_ends(tmp_path, monkeypatch):
    sites = {'ses-1': [A], 'ses-2': [A, C], 'ses-3': [A]}
    for kind, new, gone in ((KINDS[1], 0, 0), (KINDS[2], 1, 1)):
        files = write_visits(tmp_path / kind.prefix, kind, sites)
        _, rows, values = run(tmp_path / f'{kind.prefix}_out', files, [*sites], monkeypatch)
        assert [(r['from_session'], r['to_session'], r['change']) for r in rows] == [
            ('ses-1', 'ses-2', 'new'),
            ('ses-1', 'ses-2', 'persisting'),
            ('ses-2', 'ses-3', 'vanished'),
            ('ses-2', 'ses-3', 'persisting'),
            ('ses-1', 'ses-3', 'persisting'),
        ]
        # Infarcts fade: those of visits between count as well.
        assert values[f'{kind.prefix}_new_n']['value'] == new
        assert values[f'{kind.prefix}_vanished_n']['value'] == gone


def test_twenty_visits(tmp_path, monkeypatch):
    """A lesion appears at the sixth visit and another goes with the sixteenth."""
    sessions = [f'ses-{k}' for k in range(1, 21)]
    rng = np.random.default_rng(3)
    for name in sessions:
        monkeypatch.setitem(WAYS, name, rigid(rng.normal(0, 4, 3), rng.normal(0, 2, 3)))
    sites = {
        name: [A, *([B] if k <= 16 else []), *([C] if k >= 6 else [])]
        for k, name in enumerate(sessions, 1)
    }
    kind = KINDS[1]
    files = write_visits(tmp_path / 'in', kind, sites)
    years = np.arange(20.0) / 2
    _, rows, values = run(tmp_path / 'out', files, sessions, monkeypatch, years=years.tolist())
    pairs = [*dict.fromkeys((row['from_session'], row['to_session']) for row in rows)]
    assert pairs == [*pairwise(sessions), ('ses-1', 'ses-20')]
    told = {(r['from_session'], r['to_session'], r['change']) for r in rows}
    assert {item for item in told if item[2] != 'persisting'} == {
        ('ses-5', 'ses-6', 'new'),
        ('ses-16', 'ses-17', 'vanished'),
        ('ses-1', 'ses-20', 'new'),
        ('ses-1', 'ses-20', 'vanished'),
    }
    assert len(rows) == sum(len({*sites[a], *sites[b]}) for a, b in pairs)
    assert values['cmb_new_n']['value'] == values['cmb_vanished_n']['value'] == 1
    assert values['cmb_new_n_per_year']['value'] == pytest.approx(1 / 9.5)


def test_other_protocols_and_many_vanished_lesions_are_flagged(tmp_path, monkeypatch):
    kind = KINDS[1]
    files = write_visits(tmp_path / 'in', kind, {'ses-1': [A, B, C], 'ses-2': [A]})
    told = {'ses-1': {'gre': {'MagneticFieldStrength': 1.5}}}
    told['ses-2'] = {'gre': {'MagneticFieldStrength': 3.0}}
    _, _, values = run(tmp_path / 'out', files, ['ses-1', 'ses-2'], monkeypatch, told)
    for name in ('cmb_new_n', 'cmb_vanished_n'):
        assert values[name]['qc'] == 'fail'
        assert '2 of 3 microbleeds vanished' in values[name]['reason']
        assert 'field strength (T): 1.5 (ses-1), 3 (ses-2)' in values[name]['reason']
    kind = KINDS[2]
    files = write_visits(tmp_path / 'fades', kind, {'ses-1': [A, B, C], 'ses-2': [A]})
    _, _, values = run(tmp_path / 'fade', files, ['ses-1', 'ses-2'], monkeypatch)
    assert values['recent_infarct_vanished_n'] | {'reason': ''} == {
        **values['recent_infarct_vanished_n'],
        'value': 2,
        'qc': '',
        'reason': '',
    }


def test_unknown_times_and_lacking_modalities_have_reasons(tmp_path, monkeypatch):
    files = write_visits(tmp_path / 'in', KINDS[0], {'ses-1': [A], 'ses-2': [A, C]})
    files |= write_visits(tmp_path / 'gre', KINDS[1], {'ses-2': [A]})
    _, rows, values = run(
        tmp_path / 'out', files, ['ses-1', 'ses-2'], monkeypatch, years=(None, None)
    )
    assert values['lacune_new_n']['value'] == 1
    assert (
        'the time between ses-1 and ses-2 is unknown' in values['lacune_new_n_per_year']['reason']
    )
    assert values['cmb_new_n']['reason'] == 'only ses-2 was searched for microbleeds'
    assert {row['years'] for row in rows} == {'n/a'}


def test_no_lesion_at_any_visit_is_a_count_of_0(tmp_path, monkeypatch):
    files = write_visits(tmp_path / 'in', KINDS[1], {'ses-1': [], 'ses-2': []})
    outputs, rows, values = run(tmp_path / 'out', files, ['ses-1', 'ses-2'], monkeypatch)
    assert values['cmb_new_n']['value'] == 0
    assert not rows
    out_file = tmp_path / 'figure.svg'
    draw_incident(
        out_file=str(out_file),
        incident_tiles=outputs.incident_tiles,
        incident_list=outputs.incident_list,
    )
    assert 'No lesion of these kinds counts' in out_file.read_text()


def test_lists_that_do_not_belong_to_their_images_are_refused(tmp_path, monkeypatch):
    files = write_visits(tmp_path / 'in', KINDS[1], {'ses-1': [A], 'ses-2': [A, C]})
    files['cmb_candidates']['ses-2'] = files['cmb_candidates']['ses-1']
    with pytest.raises(InputError, match='Lesion 2 of the list is not in the image'):
        run(tmp_path / 'out', files, ['ses-1', 'ses-2'], monkeypatch)


def test_visits_that_cannot_be_registered_are_told(tmp_path, monkeypatch):
    files = write_visits(tmp_path / 'in', KINDS[1], {'ses-1': [A], 'ses-2': [A]})
    del files['gre_mag']['ses-1']
    with pytest.raises(MeasureError, match='fewer than two of the visits'):
        run(tmp_path / 'out', files, ['ses-1', 'ses-2'], monkeypatch)
    scans = {'measures': SimpleNamespace(content={'visits': [{'session': 'ses-1'}]})}
    with pytest.raises(NoPlace, match='no visit was searched for microbleeds'):
        resolve(scans, None)


def test_the_interface_takes_what_the_room_declares():
    assert {*_InputSpec().copyable_trait_names()} - {'options'} == {*ROOM.asks}
    assert set(_EACH) <= {*ROOM.asks}
    assert Rules() == Rules(**vars(ROOM.options()))
    assert [*CHANGES] == ['new', 'persisting', 'vanished', 'cannot be told']


@pytest.mark.parametrize('place', [(19, 19, 19), (25, 19, 19)])
def test_voxels_without_a_number_tell_nothing_of_a_lesion(place):
    image = 100 + np.random.default_rng(0).normal(0, 2, (40, 40, 40))
    dark = image.copy()
    dark[18:21, 18:21, 18:21] -= 50
    brain, labels = np.ones(image.shape, bool), np.zeros(image.shape, int)
    lesion = Lesion(1, True, np.argwhere(np.ones((3, 3, 3))) + 18.0, 1.0)

    def verdict(first, error=0.0):
        scans = [Scan(one, np.eye(4), brain, labels, np.eye(4)) for one in (first, dark)]
        found = Lesion(1, True, lesion.points, 1.0, error_mm=error)
        (track,) = compare(([], [found]), tuple(scans), ('ses-1', 'ses-2'))
        return track.change, track.reason

    assert verdict(image) == ('new', '')
    assert verdict(image, float('nan'))[0] == 'cannot be told'
    image[place] = np.nan
    change, reason = verdict(image)
    assert change == 'cannot be told'
    assert 'no intensities' in reason
