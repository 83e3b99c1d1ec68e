"""Records of provenance as BIDS-Prov has them: which step made which file, with what and of what.

The shape is that of the page *Provenance* of the BIDS specification (BIDS extension proposal 28):
activities, software, environments and entities in ``prov/``, and in the sidecar of each file the
activity that made it. Its terms are those of W3C PROV. Times are left out, as repeated runs have
to give the same files; they are in ``log/status.json``.
"""

from __future__ import annotations

import hashlib
import platform
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any

from csvdprep.bids.checkpoints import json_text
from csvdprep.bids.files import atomic_write
from csvdprep.bids.names import derivative_path
from csvdprep.bids.tsv import tsv_text
from csvdprep.core.plan import Plan, Step, Visit
from csvdprep.resources import checksum, resource, shipped_uri

__all__ = ['LABEL', 'activity_id', 'provenance', 'write_provenance']

#: Value of the entity ``prov``: one record for all that the application does.
LABEL = 'csvdprep'
_HERE = 'bids::prov#'
_ABOUT = 'Steps of csvdprep, one group of files per visit (participant and session).'
#: Files whose sidecar cannot name the activity that made them.
_WITHOUT_SIDECAR = ('.json', '.bval', '.bvec')


def activity_id(step: Step, visit: Visit) -> str:
    """Name a step of a visit, by what it is computed from.

    Parameters
    ----------
    step : Step
        Room with its options; its key stands for method, options and inputs.
    visit : Visit
        Participant and session.

    Returns
    -------
    str
        BIDS URI with a fragment, for ``GeneratedBy`` of a sidecar.

    Examples
    --------
    >>> from csvdprep.core.room import Room
    >>> room = Room(name='wmh', title='', needs=(), makes={}, build='')
    >>> activity_id(Step(room=room, options=None, takes=(), key='k'), Visit('01', '1'))
    'bids::prov#wmh-838c069b'
    """
    return f'{_HERE}{step.room.name}-{_short(visit.label, step.key)}'


def provenance(plan: Plan, rooms: Iterable[str], versions: Mapping[str, str]) -> dict[str, Any]:
    """Describe what made the files of a visit.

    Parameters
    ----------
    plan : Plan
        Plan of the visit.
    rooms : iterable of str
        Steps that were carried out.
    versions : mapping of str to str
        Versions of csvdprep, Python and packages, by name.

    Returns
    -------
    dict of str to list
        ``Activities``, ``Software``, ``Environments`` and ``ProvEntities``: raw files, templates,
        weights, what is passed on from step to step and not kept, and files without a sidecar.
    """
    carried = set(rooms)
    steps = [step for step in plan.steps if step.room.name in carried]
    made = {name: step for step in plan.steps for name in step.room.outputs()}
    names = dict(versions)
    version, python = names.pop('csvdprep'), names.pop('python')
    software = {
        'Id': f'{_HERE}csvdprep-{_short(version)}',
        'Label': 'csvdprep',
        'Version': version,
    }
    packages = ', '.join(f'{name} {number}' for name, number in sorted(names.items()))
    system = f'{platform.system()} {platform.machine()}'
    environment = {
        'Id': f'{_HERE}python-{_short(python, packages, system)}',
        'Label': f'Python {python} with {packages}',
        'OperatingSystem': system,
    }
    entities: dict[str, dict[str, Any]] = {}
    activities = []
    for step in steps:
        used = [uri for name in step.takes for uri in _used(name, plan, made, entities)]
        used += [_shipped(name, entities) for name in step.room.resources]
        activities.append(
            {
                'Id': activity_id(step, plan.visit),
                'Label': step.room.title,
                'Command': _command(step, plan.visit),
                'AssociatedWith': software['Id'],
                'Used': [environment['Id'], *sorted(set(used))],
            }
        )
        for name, product in step.room.keeps().items():
            if product.extension in _WITHOUT_SIDECAR:
                _product(name, plan, made, entities)
    return {
        'Activities': activities,
        'Software': [software],
        'Environments': [environment],
        'ProvEntities': [entities[uri] for uri in sorted(entities)],
    }


def write_provenance(output_dir: Path, visit: Visit, record: Mapping[str, Any]) -> None:
    """Write the record of a visit into ``prov/`` of the output folder.

    Parameters
    ----------
    output_dir : Path
        Root of the derivatives.
    visit : Visit
        Participant and session.
    record : mapping
        As :func:`provenance` returns it.
    """
    folder = Path(output_dir) / 'prov'
    rows = [('provenance_label', 'description'), (f'prov-{LABEL}', _ABOUT)]
    atomic_write(folder / 'provenance.tsv', tsv_text(rows))
    about = {'description': {'Description': 'What the files of each label describe.'}}
    atomic_write(folder / 'provenance.json', json_text(about))
    for suffix, key in (
        ('act', 'Activities'),
        ('soft', 'Software'),
        ('env', 'Environments'),
        ('ent', 'ProvEntities'),
    ):
        name = f'prov-{LABEL}_desc-{_desc(visit)}_{suffix}.json'
        atomic_write(folder / f'prov-{LABEL}' / name, json_text({key: record[key]}))


def _desc(visit: Visit) -> str:
    """Name a visit in a label, which has letters and digits alone.

    Examples
    --------
    >>> _desc(Visit('01', '2')), _desc(Visit('01')), _desc(Visit('1ses1'))
    ('sub01ses2', 'sub01', 'sub1ses1x048f')
    """
    plain = re.sub(r'[^A-Za-z0-9]', '', visit.label)
    parts = [f'sub{visit.subject}'] + ([f'ses{visit.session}'] if visit.session else [])
    is_plain = plain == ''.join(parts) and 'ses' not in visit.subject
    return plain if is_plain else f'{plain}x{_short(visit.label)[:4]}'


def _short(*parts: str) -> str:
    return hashlib.sha256('\n'.join(parts).encode()).hexdigest()[:8]


def _command(step: Step, visit: Visit) -> str:
    """Say how the step is asked for; datasets by the names of their links, without paths.

    Examples
    --------
    >>> from dataclasses import make_dataclass
    >>> from csvdprep.core.room import Room
    >>> options = make_dataclass('Options', [('visits', tuple), ('seed_z', float, 3.5)])
    >>> room = Room(name='wmh', title='', needs=(), makes={}, build='')
    >>> step = Step(room=room, options=options(('1', '2'), 4.0), takes=(), key='k')
    >>> _command(step, Visit('01'))
    'csvdprep raw derivatives participant --participant-label 01 --set wmh.seed_z=4.0'
    """
    words = ['csvdprep', 'raw', 'derivatives', 'participant']
    words += ['--participant-label', visit.subject]
    if visit.session:
        words += ['--session-label', visit.session]
    given = step.options if step.asked is None else step.asked
    for field in fields(given) if is_dataclass(given) else ():
        value = getattr(given, field.name)
        # What has no default was settled by the application, and not asked for.
        if field.default is not MISSING and value != field.default:
            words += ['--set', f'{step.room.name}.{field.name}={value}']
    return shlex.join(words)


def _used(
    name: str, plan: Plan, made: Mapping[str, Step], entities: dict[str, dict[str, Any]]
) -> list[str]:
    """Return the identifiers of what a step takes, and describe what is not of this dataset."""
    name = plan.aliases.get(name, name)
    if name.startswith('resource:'):
        return [_shipped(name.removeprefix('resource:'), entities)]
    if name in made:
        return [_product(name, plan, made, entities)]
    if name not in plan.scans:
        return []
    scan = plan.scans[name]
    uris = [scan.uri, *scan.others]
    for uri in uris:
        where = uri.rpartition(':')[2]
        entities[uri] = {'Id': uri, 'Label': where.rpartition('/')[2], 'AtLocation': where}
    return uris


def _product(
    name: str, plan: Plan, made: Mapping[str, Step], entities: dict[str, dict[str, Any]]
) -> str:
    """Return the identifier of a product; those that no sidecar describes are described here."""
    step = made[name]
    product = step.room.outputs()[name]
    maker = activity_id(step, plan.visit)
    if not product.kept:
        uri = f'{_HERE}provEntity-{_short(maker, name)}'
        entities[uri] = {'Id': uri, 'Label': name, 'GeneratedBy': maker}
        return uri
    path = derivative_path(
        name,
        product,
        visit=plan.visit,
        hub=plan.context.hub,
        scans=plan.scans,
        declared=plan.declared,
    )
    uri = f'bids::{path}'
    if product.extension in _WITHOUT_SIDECAR:
        label = path.rpartition('/')[2]
        entities[uri] = {'Id': uri, 'Label': label, 'AtLocation': path, 'GeneratedBy': maker}
    return uri


def _shipped(name: str, entities: dict[str, dict[str, Any]]) -> str:
    file = resource(name)
    uri = shipped_uri(file)
    entities[uri] = {
        'Id': uri,
        'Label': file.name,
        'AtLocation': uri.rpartition(':')[2],
        'Digest': {'sha256': checksum(file)},
    }
    return uri
