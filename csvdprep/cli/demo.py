"""``csvdprep demo DIR``: make a phantom, run both levels on it, and compare with its truth."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from csvdprep.cli.numbers import natural, positive
from csvdprep.cli.paths import path
from csvdprep.cli.streams import tell
from csvdprep.core.errors import PreflightError

#: Measures of the summary, and what they are called in it.
SHOWN = {
    'icv_ml': 'Intracranial volume, mL',
    'gm_ml': 'Grey matter, mL',
    'wm_ml': 'White matter, mL',
    'lv_ml': 'Lateral ventricles, mL',
    'wmh_total_ml': 'White matter hyperintensities (WMH), mL',
    'fazekas_total': 'Fazekas grade, 0 to 6',
    'lacune_n': 'Lacunes',
    'rssi_n': 'Recent small subcortical infarcts',
    'fa_nawm': 'FA of normal-appearing white matter',
    'md_nawm': 'MD of normal-appearing white matter',
    'psmd_1e4': 'PSMD, 1e-4 mm2/s',
}
#: Finest resolution of registration where voxels have 2 mm: finer, it sees nothing new.
COARSE = ('registration.resolution_mm=3', 'dwi_template.resolution_mm=3')
#: A volume that is farther than this from the truth (percent) is called far from it.
GOOD_PCT = 15
#: Lesions of the summary, by label.
KINDS = {'WMH': 'WMH', 'CMB': 'microbleeds', 'lacune': 'lacunes', 'PVS': 'perivascular spaces'}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        'folder', type=path, help='folder to create; it will hold raw/, derivatives/ and score/'
    )
    parser.add_argument(
        '--preset',
        choices=('tiny', 'demo', 'full'),
        default='tiny',
        help='resolution of the phantom: tiny (default): 2 mm; demo, full: 1 mm',
    )
    parser.add_argument(
        '--nprocs', type=positive, default=None, help='number of steps that run in parallel'
    )
    parser.add_argument('--seed', type=natural, default=42, help='random seed of the phantom')
    parser.add_argument(
        '--sloppy', action='store_true', help='lower precision for a faster run; for tests only'
    )


def run(args: argparse.Namespace) -> int:
    """Make the phantom, run the app and print how what it finds agrees with the truth."""
    from csvdprep.phantom.dataset.demo import make_demo

    raw, out = args.folder / 'raw', args.folder / 'derivatives'
    if args.folder.exists() and any(args.folder.iterdir()):
        raise PreflightError(
            'The folder is not empty.',
            file=args.folder,
            remedy='Give a new folder, so that no old results remain in it.',
        )
    tell(f'Making the phantom in {raw}')
    make_demo(raw, size=args.preset, seed=args.seed, progress=tell)
    asked = [str(raw), str(out), 'participant', '-w', str(args.folder / 'work')]
    if args.nprocs:
        asked += ['--nprocs', str(args.nprocs)]
    if args.sloppy:
        asked += ['--sloppy']
    if args.preset == 'tiny':
        asked += ['--set', *COARSE]
    code = args.app(asked)
    if code in (0, 1):
        from csvdprep.scoring import score, write

        code = max(code, args.app([str(raw), str(out), 'group']))
        scores = score(out, raw / 'derivatives' / 'truth')
        page = write(scores, args.folder / 'score')
        print(summary(scores, args.preset, out, page))
    return code


def summary(scores, preset: str, out: Path, page: Path) -> str:
    """Say what was found beside what is true, and what to look at next.

    Parameters
    ----------
    scores : csvdprep.scoring.Scores
        Agreement with the truth.
    preset : str
        Size of the phantom.
    out : Path
        Root of the derivatives, with the reports.
    page : Path
        Page with all scores.
    """
    lines = ['', 'What csvdprep found, beside what is true of this synthetic head', '']
    visits = list(dict.fromkeys((r['participant_id'], r['session_id']) for r in scores.pairs))
    lines.append(f'{"":44}' + ''.join(f'{"_".join(visit):>18}' for visit in visits))
    pairs = {(r['participant_id'], r['session_id'], r['measure']): r for r in scores.pairs}
    for measure, words in SHOWN.items():
        cells = []
        for visit in visits:
            row = pairs.get((*visit, measure))
            both = (row or {}).get('found'), (row or {}).get('truth')
            cells.append('-' if None in both else f'{both[0]:.4g} of {both[1]:.4g}')
        if set(cells) != {'-'}:
            lines.append(f'{words:44}' + ''.join(f'{cell:>18}' for cell in cells))
    overlaps = [
        f'{row["dice"]:.2f}'
        for row in scores.masks
        if row['label'] == 'WMH' and row['space'] == 'FLAIR' and row.get('dice') is not None
    ]
    seen = [
        f'{row["found_ml"]:.4g} of {row["truth_ml"]:.4g}'
        for row in scores.masks
        if row['label'] == 'WMH' and row['space'] == 'FLAIR' and row.get('truth_ml') is not None
    ]
    if seen:
        words = 'WMH that fill half of a voxel or more, mL'
        lines.append(f'{words:44}' + ''.join(f'{cell:>18}' for cell in seen))
    if overlaps:
        lines.append(f'{"Overlap of the masks of WMH (Dice, best 1)":44}{", ".join(overlaps):>18}')
    lines += ['', *_remarks(scores, preset), '', 'Open next']
    reports = sorted(out.glob('sub-*.html'))
    pages = (
        (next((f for f in reports if '_' in f.stem), None), 'report of the visit with all scans'),
        (next((f for f in reports if '_' not in f.stem), None), 'change between two visits'),
        (out / 'group.html', 'all visits: distributions, flags, links to each report'),
        (page, 'all scores, with plots'),
    )
    lines += [f'  {file}  ({what})' for file, what in pages if file and file.is_file()]
    lines += [
        f'  csvdprep review {shlex.quote(str(out))}  (images and candidates, in a browser)',
        '  docs/howto/eyes.md  (what to check in a report)',
    ]
    return '\n'.join(lines)


#: What the figures mean, of any phantom and of coarse ones.
_MEANING = """\
"-" is a value that is not there: the scan is missing (the report says which), or what the value
rests on failed its quality check. A phantom is cleaner than a patient; results in people are in
README.md, "How well it does"."""
_COARSE = """\
What voxels of 2 mm cannot show: lacunes and perivascular spaces of a few mm are one or two voxels
and are missed, as are small hyperintensities, so that their volume is too low. Flags for low
resolution in the reports are right. The same with 1 mm, which takes longer: --preset demo."""


def _detected(row) -> str:
    """Say how many lesions of a kind were found; what is only possible apart.

    Examples
    --------
    >>> _detected({'label': 'lacune', 'n_true': 6, 'tp': 1, 'fp': 7, 'n_found': 8,
    ...            'n_counted': 0, 'tp_counted': 0, 'fp_counted': 0})
    'lacunes: 0 of 6 (0); 8 possible, 1 of them a lesion'
    """
    words = f'{KINDS[row["label"]]}: {row["tp_counted"]} of {row["n_true"]} ({row["fp_counted"]})'
    more, hits = row['n_found'] - row['n_counted'], row['tp'] - row['tp_counted']
    if not more:
        return words
    share = {0: 'none of them a lesion', 1: '1 of them a lesion'}
    return f'{words}; {more} possible, {share.get(hits, f"{hits} of them lesions")}'


def _remarks(scores, preset: str) -> list[str]:
    """Say what the figures mean."""
    good, off = [], []
    for words, names in (
        ('intracranial volume, grey and white matter', ('icv_ml', 'gm_ml', 'wm_ml')),
        ('ventricles', ('lv_ml',)),
        ('hyperintensities', ('wmh_total_ml',)),
    ):
        shares = [
            100 * abs(row['found'] / row['truth'] - 1)
            for row in scores.pairs
            if row['measure'] in names and row['truth'] and row['found'] is not None
        ]
        if shares:
            near = max(shares) <= GOOD_PCT
            said = f'{words} ({"within" if near else "off by up to"} {max(shares):.0f} %)'
            (good if near else off).append(said)
    lines = ['What to make of it']
    lines += [f'Close to the truth: {"; ".join(good)}.'] if good else []
    lines += [f'Far from it: {"; ".join(off)}.'] if off else []
    found = [
        _detected(row)
        for row in scores.detection
        if row['size'] == 'all' and row['label'] in KINDS
    ]
    if found:
        lines += [
            'Lesions found and counted (in brackets: counted where there is none). Marks that are',
            'only possible lesions are not counted; a reader decides on them in the list:',
            *(f'  {line}' for line in found),
        ]
    return [*lines, *([_COARSE] if preset == 'tiny' else []), _MEANING]
