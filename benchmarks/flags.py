"""Judge the quality flags as a classifier: do they tell visits that are off from sound ones?

Reads what ``csvdprep`` left of each visit, judges it by the ranges, checks and gates of the code
at hand (so that these can be changed without computing again), and holds the flags against the
error of the main measures where the truth is known::

    python benchmarks/flags.py DERIVATIVES... [--truth RAW/derivatives/truth] [--good] [-v]

``--good`` says that all visits without truth were looked at and are sound.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from csvdprep.bids.tsv import read_tsv
from csvdprep.graph.discover import discover
from csvdprep.graph.judging import Judged, counts, judge_together
from csvdprep.graph.tables import collect

#: A measure is off where its error is more than this share of the truth, or of the least amount.
OFF = 1 / 3
LEAST = {
    'wmh_total_ml': 3.0,
    'lv_ml': 5.0,
    'icv_ml': 0.0,
    'gm_ml': 0.0,
    'wm_ml': 0.0,
    'csf_ml': 0.0,
    'bpf': 0.0,
    'evans': 0.0,
}
#: Grades are off from this difference on.
GRADES, GRADES_OFF = ('fazekas_pv', 'fazekas_deep'), 2


@dataclass
class Seen:
    """A visit: flags and, where the truth is known, errors."""

    label: str
    judged: Judged
    flagged: set[str] = field(default_factory=set)
    errors: dict[str, float] = field(default_factory=dict)

    @property
    def off(self) -> set[str]:
        """Main measures that are off, as computed."""
        return {name for name, error in self.errors.items() if error >= 1}


def see(folder: Path, label: str, truth: Path | None) -> Seen:
    """Judge one visit anew."""
    rooms = discover()
    found = {}
    for room in rooms:
        path = (
            folder
            / 'log'
            / 'checkpoints'
            / (f'{label}_desc-{room.name.replace("_", "")}_values.json')
        )
        if path.is_file():
            found[room.name] = str(path)
    judged = judge_together(collect(rooms, found, {}), rooms)
    seen = Seen(label, judged)
    shown = {m.name for room in rooms for m in room.measures if counts(m)}
    seen.flagged = {
        row['name']
        for row in judged.rows
        if row['name'] in shown and (row['qc'] in ('warn', 'fail') or row['ungated'] is not None)
    }
    if truth and (rows := _true(truth, folder, label)):
        computed = {
            row['name']: row['value'] if row['ungated'] is None else row['ungated']
            for row in judged.rows
        }
        for name, least in LEAST.items():
            if computed.get(name) is not None and name in rows:
                error = abs(computed[name] - rows[name]) / max(rows[name], least)
                seen.errors[name] = error / OFF
        for name in GRADES:
            if computed.get(name) is not None and name in rows:
                seen.errors[name] = abs(computed[name] - rows[name]) / GRADES_OFF
    return seen


def _true(truth: Path, folder: Path, label: str) -> dict[str, float]:
    visit = folder.relative_to(folder.parents[1 if '_ses-' in label else 0])
    path = truth / visit / f'{label}_desc-csvd_measures.tsv'
    if not path.is_file():
        return {}
    row = read_tsv(path).rows[0]
    return {
        name: float(row[name]) for name in (*LEAST, *GRADES) if row.get(name) not in (None, 'n/a')
    }


def visits(derivatives: Path) -> list[tuple[Path, str]]:
    """Return folder and label of each visit."""
    found = sorted(derivatives.rglob('*_desc-csvdlong_measures.tsv'))
    return [(path.parent, path.name.split('_desc-')[0]) for path in found]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('derivatives', type=Path, nargs='+')
    parser.add_argument('--truth', type=Path)
    parser.add_argument('--good', action='store_true')
    parser.add_argument('-v', '--verbose', action='store_true', help='every flag and its reason')
    given = parser.parse_args()
    every = [
        see(folder, label, given.truth)
        for root in given.derivatives
        for folder, label in visits(root)
    ]
    nothing = [seen.label for seen in every if seen.judged.verdict == 'n/a']
    every = [seen for seen in every if seen.judged.verdict != 'n/a']
    fired: Counter = Counter()
    print(f'{"visit":32} {"verdict":8} off (share of what counts as off)')
    for seen in every:
        off = ', '.join(
            f'{n} {seen.errors[n]:.1f}{"" if n in seen.flagged else " NOT FLAGGED"}'
            for n in sorted(seen.off)
        )
        print(f'{seen.label:32} {seen.judged.verdict:8} {off}')
        fired.update(row['name'] for row in seen.judged.rows if row['qc'] in ('warn', 'fail'))
        if given.verbose:
            for flag, words in seen.judged.remarks:
                print(f'{"":8}{flag}: {words}')
            for row in seen.judged.rows:
                if row['qc'] in ('warn', 'fail') and row['name'] in seen.flagged:
                    print(f'{"":10}{row["qc"]} {row["name"]} {row["value"]}: {row["reason"]}')
    print('\nflags that fired: ' + ', '.join(f'{n} {c}' for n, c in fired.most_common()))
    if nothing:
        print('visits in which nothing is given out: ' + ', '.join(nothing))
    known = [seen for seen in every if seen.errors or given.good]
    for off, name in ((False, 'sound'), (True, 'off')):
        group = [seen for seen in known if bool(seen.off) == off]
        hit = sum(seen.judged.verdict != 'ok' for seen in group)
        print(f'visits that are {name}: {hit} of {len(group)} flagged')
    for name in (*LEAST, *GRADES):
        pairs = [
            (seen.errors[name] >= 1, name in seen.flagged) for seen in known if name in seen.errors
        ]
        print(
            f'  {name:14} off and flagged {sum(o and f for o, f in pairs)} of '
            f'{sum(o for o, _ in pairs)}; sound and flagged '
            f'{sum(f and not o for o, f in pairs)} of {sum(not o for o, _ in pairs)}'
        )


if __name__ == '__main__':
    main()
