"""A small consortium of phantoms, from images to the page of the group.

Run as ``python benchmarks/consortium.py FOLDER``: three sites with scanners of their own, twelve
participants with two visits, of whom the first two travel to all sites (``csvdprep phantom``).
Images of the participants ``--imaged`` are processed. All other visits, and those of
``--more`` further participants, are rows: the truth of a head that was drawn like the others,
with the effect of its scanner on lengths and the errors that the images showed (mean and spread
of the logarithm of found over true). They are there since harmonisation takes 20 participants a
site, and norms 40 controls. The group level then runs as for a user; printed are differences of
sites before and after, travelling participants, percentiles and the index of burden of controls
and patients, processor time and memory. ``--picture`` opens the page in Chromium.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from csvdprep.bids.checkpoints import json_text
from csvdprep.bids.tsv import read_tsv, write_tsv
from csvdprep.core.plan import Visit
from csvdprep.graph.discover import discover
from csvdprep.graph.judging import Judged
from csvdprep.graph.status import Status
from csvdprep.graph.tables import collect, long_table, write_tables
from csvdprep.phantom.dataset.design import draw_persons
from csvdprep.phantom.dataset.sites import draw_sites
from csvdprep.phantom.head.anatomy import make_anatomy

SITES, PARTICIPANTS, TRAVELLING, SEED = 3, 12, 2, 42
MAIN = ('icv_ml', 'bpf', 'lv_ml', 'wmh_total_ml')
#: Powers of a length that a scanner reports too large.
POWER = {'icv_ml': 3, 'lv_ml': 3, 'wmh_total_ml': 3, 'bpf': 0}
SPACING = 6.0


def main() -> None:
    """Make the consortium, unless it is there, and measure."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('folder', type=Path)
    parser.add_argument('--imaged', nargs='+', default=['01', '03'], metavar='LABEL')
    parser.add_argument('--more', type=int, default=140)
    parser.add_argument('--picture', type=Path)
    asked = parser.parse_args()
    raw, out, work = (asked.folder / name for name in ('raw', 'out', 'work'))
    if not raw.exists():
        options = ['--preset', 'tiny', '--participants', PARTICIPANTS, '--visits', 2]
        options += ['--sites', SITES, '--travelling', TRAVELLING, '--seed', SEED]
        command('phantom', raw, *options, '--modalities', 'T1w', 'FLAIR', '--nprocs', 1)
    labels = asked.imaged
    more = ['--participant-label', *labels, '--markers', 'wmh', 'zones', 'atrophy']
    command(raw, out, 'participant', *more, '--sloppy', '-w', work, '--nprocs', 1)
    errors = found_over_true(raw, out, labels)
    write_rows(raw, out, labels, asked.more, errors)
    command(raw, out, 'group', '-w', work, '--nprocs', 1)
    tell(raw, out, errors)
    if asked.picture:
        take_picture(out / 'group.html', asked.picture)


def command(*args) -> None:
    """Run the application as a user does; tell its processor time and memory."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, '-m', 'csvdprep', *map(str, args)], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    name = next((w for w in map(str, args) if w in ('phantom', 'participant', 'group')), '')
    print(f'{name}: {used:.0f} CPU s, peak of any so far {after.ru_maxrss / 1000:.0f} MB')


def truth_of(raw: Path) -> dict[tuple[str, str], dict[str, float]]:
    """Return what is true of each visit of the phantom, by labels."""
    rows = read_tsv(raw / 'derivatives' / 'truth' / 'measures.tsv').rows
    return {
        (row['participant_id'][4:], row['session_id'][4:]): {
            name: float(row[name]) for name in MAIN
        }
        for row in rows
    }


def found_over_true(raw: Path, out: Path, labels) -> dict[str, tuple[float, float]]:
    """Return mean and spread of ln(found / true) of each measure over the imaged visits."""
    ratios = {name: [] for name in MAIN}
    for (subject, session), true in truth_of(raw).items():
        if subject in labels:
            rows = read_tsv(long_table(out, Visit(subject, session))).rows
            found = {row['measure']: row['value'] for row in rows}
            for name in MAIN:
                if found.get(name, 'n/a') != 'n/a':
                    ratios[name].append(np.log(float(found[name]) / true[name]))
    return {name: (float(np.mean(r)), float(np.std(r, ddof=1))) for name, r in ratios.items()}


def write_rows(raw: Path, out: Path, labels, more: int, errors) -> None:
    """Write participants.tsv, and results of all visits whose images are not processed."""
    rng = np.random.default_rng(SEED)
    sites = {site.name: site for site in draw_sites(SITES, SEED)}
    own = draw_persons(
        PARTICIPANTS, visits=2, seed=SEED, sites=list(sites.values()), travelling=TRAVELLING
    )
    others = draw_persons(more, seed=SEED + 1, sites=list(sites.values()), prefix='R')
    truth, table = truth_of(raw), [['participant_id', 'age', 'sex', 'site', 'group']]
    for person in (*own, *others):
        facts = person.covariates
        group = 'patient' if facts['hypertension'] else 'control'
        table.append([f'sub-{person.label}', facts['age'], facts['sex'], facts['site'], group])
        if person.label in labels:
            continue
        for number, state in enumerate(person.states, start=1):
            visit = Visit(person.label, str(number))
            true = truth.get((person.label, str(number))) or drawn(person, state)
            value = {
                name: true[name]
                * sites[state.site].length ** POWER[name]
                * float(np.exp(rng.normal(*errors[name])))
                for name in MAIN
            }
            value['wmh_total_pct_icv'] = 100 * value['wmh_total_ml'] / value['icv_ml']
            disease = state.disease
            value['lacune_n'] = disease.lacunes + disease.new_lacunes
            value['cmb_n'] = sum(disease.microbleeds) + sum(disease.new_microbleeds)
            leave(out, visit, value)
    write_tsv(raw / 'participants.tsv', table)


def drawn(person, state) -> dict[str, float]:
    """Return the true volumes of a head that was not scanned."""
    head = make_anatomy(
        person.seed,
        spacing=SPACING,
        ventricles_mm=state.ventricles_mm,
        atrophy=state.atrophy,
        size=person.size,
    )
    gm, wm, csf = (head.volume_ml(name) for name in ('gm', 'wm', 'csf'))
    fluid = head.regions['ventricles']
    lv = float(fluid.sum() * abs(np.linalg.det(head.affine[:3, :3])) / 1000)
    icv = gm + wm + csf
    return {
        'icv_ml': icv,
        'bpf': (gm + wm) / icv,
        'lv_ml': lv,
        'wmh_total_ml': state.disease.wmh_ml,
    }


def leave(out: Path, visit: Visit, value) -> None:
    """Write status and tables of a visit as the participant level leaves them."""
    rooms = discover()
    moments = ('2026-01-01T00:00:00+00:00', '2026-01-01T00:10:00+00:00')
    status = Status(
        visit.label,
        'row',
        'ok',
        'rows',
        'row',
        *moments,
        rooms={},
        scanner={'manufacturer': 'csvdprep', 'model': 'phantom', 'field_t': '3.0'},
        verdict='ok',
    )
    status.write(out, visit)
    rows = collect(rooms, {}, {})
    for row in rows:
        row |= {'value': value.get(row['name']), 'qc': 'ok', 'reason': None, 'ungated': None}
        if row['value'] is None:
            row |= {'qc': 'na', 'reason': 'not drawn'}
    write_tables(visit, Judged(rows), rooms, out)


def tell(raw: Path, out: Path, errors) -> None:
    """Print what the tables of the group say."""
    print('\n| measure | ln(found/true) of the images, mean (SD) | site | d before | d after |')
    print('|---|---|---|---|---|')
    for row in read_tsv(out / 'group_harmonisation.tsv').rows:
        if row['measure'] in MAIN and row['site'] != 'n/a':
            mean, spread = errors[row['measure']]
            cells = [row['measure'], f'{mean:+.3f} ({spread:.3f})', row['site']]
            print('|', ' | '.join([*cells, row['d_before'], row['d_after']]), '|')
    groups = {
        row['participant_id']: row['group'] for row in read_tsv(raw / 'participants.tsv').rows
    }
    for name, column in (
        ('percentiles', 'wmh_total_ml'),
        ('percentiles', 'bpf'),
        ('burden', 'csvdq'),
    ):
        rows = read_tsv(out / f'group_{name}.tsv').rows
        for group in ('control', 'patient'):
            mine = [r for r in rows if groups[r['participant_id']] == group]
            values = [float(r[column]) for r in mine if r[column] != 'n/a']
            print(f'{column}, {name} of {group}s: n {len(values)} of {len(mine)} visits', end='')
            print(f', mean {np.mean(values):.2f}, SD {np.std(values):.2f}')
    shared = read_tsv(out / 'group_travelling.tsv').rows
    print('travelling:', len(shared), 'rows', {row['persons'] for row in shared})
    for row in read_tsv(out / 'group_values.tsv').rows:
        print(row['measure'], row['value'], row['qc'], row['reason'][:120])


def take_picture(page: Path, picture: Path) -> None:
    """Open the page in Chromium; say what it said, and keep a picture of all of it."""
    from playwright.sync_api import sync_playwright

    browser = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser'))))
    with sync_playwright() as running:
        started = running.chromium.launch(
            executable_path=browser, args=['--no-sandbox', '--disable-gpu']
        )
        opened = started.new_page(viewport={'width': 1366, 'height': 900})
        opened.set_default_timeout(300_000)
        said: list[str] = []
        opened.on('console', lambda message: said.append(message.text))
        opened.on('pageerror', lambda error: said.append(str(error)))
        opened.on('requestfailed', lambda request: said.append(request.url))
        opened.goto(page.absolute().as_uri())
        opened.wait_for_timeout(800)
        opened.screenshot(path=picture, full_page=True)
        wide = opened.evaluate('document.documentElement.scrollWidth - window.innerWidth')
        started.close()
    print(json_text({'the browser said': said, 'wider than the window by': max(0, wide)}))


if __name__ == '__main__':
    main()
