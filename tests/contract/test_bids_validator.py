"""Every file that any room may leave has a name and a sidecar that the validator accepts."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from csvdprep.bids.dataset import prepare_output
from csvdprep.bids.names import derivative_path
from csvdprep.bids.provenance import provenance, write_provenance
from csvdprep.core.plan import Scan, Visit, VisitInput, make_plan
from csvdprep.graph.discover import declared, discover
from csvdprep.graph.finish import versions
from csvdprep.graph.visit import _sidecar, _table, init_visit_wf
from csvdprep.interfaces.sink import SaveDerivative
from tests.builders import write_dataset, write_image

VALIDATOR = Path(sys.executable).with_name('bids-validator-deno')
TEXT = {'.bval': '0\n', '.bvec': '0\n0\n0\n', '.json': '{}\n'}
SPACES = ('MNI152NLin2009aSym', 'MNI152NLin6Asym:res-2', 'T1w', 'FLAIR', 'dwi')


def scans_of(*names):
    return {
        name: Scan(
            name=name,
            path='/raw/x.nii.gz',
            uri=f'bids:raw:sub-01/{item.datatype}/sub-01_{item.suffixes[0]}.nii.gz',
        )
        for item in declared().inputs
        for name in (item.name, *item.also)
        if not names or name in names
    }


def leave(plan, output, folder):
    """Write a file for every product of a plan, as the sink would."""
    image = write_image(folder / 'one.nii.gz', np.ones((4, 4, 4), 'uint8'))
    series = write_image(folder / 'series.nii.gz', np.ones((4, 4, 4, 1), 'uint8'))
    for step in plan.steps:
        for name, derivative in step.room.keeps().items():
            path = output / derivative_path(
                name,
                derivative,
                visit=plan.visit,
                hub=plan.context.hub,
                scans=plan.scans,
                declared=plan.declared,
            )
            content = series if derivative.suffix == 'dwi' else image
            if derivative.extension != '.nii.gz':
                content = image.with_name('one.txt')
                content.write_text(TEXT.get(derivative.extension, 'a\tb\n1\t2\n'))
            SaveDerivative(
                in_file=str(content),
                out_path=str(path),
                sidecar=_sidecar(name, derivative, plan=plan, step=step),
                table=_table(derivative),
            ).run()


@pytest.mark.parametrize('names', [(), ('flair', 'dwi'), ('t1w', 'flair', 'trace')], ids=str)
def test_whatever_a_visit_leaves(names, tmp_path):
    raw = write_dataset(tmp_path / 'raw', files=['sub-01/anat/sub-01_FLAIR'])
    output = tmp_path / 'out'
    prepare_output(output, bids_dir=raw, command=['csvdprep'])
    rooms = discover(SPACES)
    scans = scans_of(*names)
    if not names:
        scans['ratings'] = Scan(
            name='ratings', path='/r.tsv', uri='bids:manual-ratings:r.tsv', content={'ratings': []}
        )
    plan = make_plan(VisitInput(visit=Visit('01'), scans=scans), rooms)
    if not names:
        # Every room runs on a visit that has everything.
        assert {room.name for room in rooms} == {step.room.name for step in plan.steps}
    leave(plan, output, tmp_path)
    record = provenance(plan, [step.room.name for step in plan.steps], versions())
    write_provenance(output, plan.visit, record)
    check_provenance(output)
    done = subprocess.run(
        [VALIDATOR, str(output), '--format', 'json'], capture_output=True, text=True, check=False
    )
    issues = json.loads(done.stdout)['issues']['issues']
    errors = [issue for issue in issues if issue['severity'] == 'error']
    assert not errors, '\n'.join(f'{e["code"]} {e.get("subCode")} {e["location"]}' for e in errors)


def check_provenance(output):
    """Walk from every file back to raw files, templates and weights, by what is on the disk."""
    record = {}
    for file in output.glob('prov/prov-csvdprep/prov-csvdprep_desc-sub01_*.json'):
        record |= json.loads(file.read_text())
    objects = [item for items in record.values() for item in items]
    known = {item['Id'] for item in objects}
    assert len(known) == len(objects)
    made = {item['Id']: item['GeneratedBy'] for item in objects if 'GeneratedBy' in item}
    for file in output.glob('sub-01/**/*.json'):
        told = json.loads(file.read_text())
        if 'Sources' in told:
            for whole in file.parent.glob(f'{file.name.removesuffix(".json")}.*'):
                made[f'bids::{whole.relative_to(output).as_posix()}'] = told['GeneratedBy']
    activities = {item['Id']: item for item in record['Activities']}
    assert set(made.values()) == activities.keys()
    given = {item['Id'] for item in record['ProvEntities'] if 'GeneratedBy' not in item}
    environments = {item['Id'] for item in record['Environments']}
    for activity in activities.values():
        assert activity['AssociatedWith'] in {item['Id'] for item in record['Software']}
        lost = set(activity['Used']) - made.keys() - given - environments
        assert not lost, (activity['Label'], lost)
        assert not any(word.startswith('/') for word in activity['Command'].split())
    assert all(uri.startswith(('bids:raw:', 'bids:csvdprep:', 'bids:manual')) for uri in given)


def test_a_visit_that_has_everything_becomes_a_graph(tmp_path):
    """Names of nodes, figures and products of all rooms together."""
    plan = make_plan(VisitInput(visit=Visit('01'), scans=scans_of()), discover(SPACES))
    graph = init_visit_wf(plan, output_dir=tmp_path)
    names = graph.list_node_names()
    assert len(names) == len(set(names))
    drawn = {name for name in names if '.draw_' in f'.{name}'}
    assert len(drawn) == sum(len(step.room.figures) for step in plan.steps)
