"""Fit the model that tells recent infarcts from what is taken for them.

    python -m training.infarct_fit HEADS_DIR [--draws 12] [--seed 1] [--model model.json]

HEADS_DIR holds what ``training.infarct_heads`` made: scans of people, or phantoms, with trace
image, ADC, and anatomy on their grid. Infarcts of 4 to 22 mm are drawn into them, in a third of
the draws none, old lesions that shine through in half, with noise from none to 6 % added;
candidates are labelled by what was drawn, and a logistic model is fitted. Prints recall and false
positives with each person left out, or with ``--judge`` those of a model that was fitted before.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from scipy import ndimage as ndi
from scipy.optimize import minimize

from csvdprep.markers.infarcts.science.candidates import FEATURES, candidates
from csvdprep.markers.infarcts.science.evidence import evidence
from csvdprep.markers.infarcts.science.probability import FARTHEST, read_model
from csvdprep.phantom.patients.infarcts import add_noise, draw_infarcts
from csvdprep.science.logistic import QuadraticModel, expanded

#: Ridge of the slopes, and weight of scans of people where those of phantoms count 1.
RIDGE, PEOPLE = 20.0, 3.0
#: How the names of phantoms begin, and the answer of candidates that touch an infarct only.
PHANTOM, UNCLEAR = 'phantom', -1
CUTS = (0.2, 0.5, 0.7, 0.85)


def load_heads(folder: Path) -> dict[str, dict]:
    """Read all heads of a folder."""
    return {path.stem: dict(np.load(path)) for path in sorted(folder.glob('*.npz'))}


def make_draw(head: dict, rng) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[float, ...]]:
    """Draw infarcts into a head and add noise: trace, ADC, labels, diameters."""
    trace, adc, brain, b = head['trace'], head['adc'], head['brain'], float(head['b'])
    count = 0 if rng.random() < 1 / 3 else int(rng.integers(1, 7))
    sizes = tuple(np.exp(rng.uniform(np.log(4), np.log(22), count)))
    allowed = brain & (adc < 1.1e-3) & (head['fluid'] < 0.3)
    if rng.random() < 0.5:
        allowed &= head['cortex'] < 0.3
    if 'own' in head:
        allowed &= ~ndi.binary_dilation(head['own'] > 0, iterations=3)
    # Old lesions that shine through, in half of the draws: they are none.
    old = tuple(rng.uniform(5, 18, int(rng.integers(0, 5)) if rng.random() < 0.5 else 0))
    away = allowed & (head['cortex'] < 0.3)
    through = draw_infarcts(
        trace, adc, b, away, head['affine'], rng, old, factor=(0.98, 1.3), rise=(0.2, 0.7)
    )
    allowed &= ~ndi.binary_dilation(through.labels > 0, iterations=3)
    made = draw_infarcts(through.trace, through.adc, b, allowed, head['affine'], rng, sizes)
    noisy = add_noise(made.trace, made.adc, b, brain, rng.choice([0, 0.02, 0.04, 0.06]), rng)
    return *noisy, made.labels, made.diameters


def judge(head: dict, trace, adc, labels):
    """Find candidates: features, the infarct that each holds (0: none, -1: unclear)."""
    affine, brain = head['affine'], head['brain']
    size = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    signs = evidence(trace, adc, brain, size, head['mirror'])
    seen = candidates(signs, adc, brain, affine, fluid=head['fluid'], air=head['air'])
    near = ndi.grey_dilation(labels, size=3)
    own = head.get('own')
    if own is not None:
        own = ndi.binary_dilation(own > 0, iterations=2)
    answers = []
    for number, box in enumerate(ndi.find_objects(seen.labels), start=1):
        inside = seen.labels[box] == number
        hit = labels[box][inside]
        if (hit > 0).any():
            answers.append(int(np.bincount(hit[hit > 0]).argmax()))
        elif own is not None and own[box][inside].any():
            answers.append(-2)
        else:
            answers.append(UNCLEAR if (near[box][inside] > 0).any() else 0)
    return seen.features, np.array(answers, int)


def fit(features: np.ndarray, truth: np.ndarray, weight: np.ndarray) -> QuadraticModel:
    """Fit the logistic model with a ridge on the slopes."""
    mean, sd = features.mean(axis=0), features.std(axis=0) + 1e-9
    x = expanded((features - mean) / sd, FARTHEST)
    sign = np.where(truth, 1.0, -1.0)

    def loss(w):
        z = sign * (x @ w)
        value = weight @ np.logaddexp(0, -z) + 0.5 * RIDGE * (w[1:] ** 2).sum()
        slope = -(weight * sign / (1 + np.exp(np.minimum(z, 500)))) @ x
        slope[1:] += RIDGE * w[1:]
        return value, slope

    start = np.zeros(x.shape[1])
    found = minimize(loss, start, jac=True, method='L-BFGS-B', options={'maxiter': 3000})
    return QuadraticModel(mean, sd, found.x, FARTHEST)


def main() -> None:
    """Fit, cross-validate, print."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('heads', type=Path)
    parser.add_argument('--draws', type=int, default=12)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--model', type=Path, help='JSON to write')
    parser.add_argument('--judge', type=Path, help='judge by this model; fit nothing')
    asked = parser.parse_args()
    rows = []
    for k, (name, head) in enumerate(load_heads(asked.heads).items()):
        rng = np.random.default_rng([asked.seed, k])
        for _ in range(asked.draws):
            trace, adc, labels, diameters = make_draw(head, rng)
            features, answers = judge(head, trace, adc, labels)
            rows.append((name, features, answers, diameters))
        last = rows[-asked.draws :]
        drawn = sum(len(row[3]) for row in last)
        met = sum(len({*row[2][row[2] > 0]}) for row in last)
        others = np.mean([(row[2] == 0).sum() for row in last])
        print(
            f'{name}: {met} of {drawn} drawn are candidates, {others:.1f} others a draw',
            flush=True,
        )
    if asked.judge:
        model = read_model(json.loads(asked.judge.read_text()), FEATURES)
        scores = [
            (group(name), model.probability(features), answers, diameters)
            for name, features, answers, diameters in rows
        ]
    else:
        scores = []
        for person in sorted({person_of(row[0]) for row in rows}):
            model = fit_rows([row for row in rows if person_of(row[0]) != person])
            scores += [
                (group(name), model.probability(features), answers, diameters)
                for name, features, answers, diameters in rows
                if person_of(name) == person
            ]
    for cut in CUTS:
        report(scores, cut)
    if asked.model:
        model = fit_rows(rows)
        content = {
            'features': list(FEATURES),
            'mean': [float(f'{v:.6g}') for v in model.mean],
            'sd': [float(f'{v:.6g}') for v in model.sd],
            'weights': [float(f'{v:.6g}') for v in model.weights],
        }
        asked.model.write_text(json.dumps(content, indent=1) + '\n', encoding='utf-8')


def person_of(name: str) -> str:
    """Return whose head it is: ``canon_acq-ortho`` is a scan of ``canon``."""
    return name.split('_')[0]


def group(name: str) -> str:
    """Return the person, or 'phantom'."""
    return 'phantom' if name.startswith(PHANTOM) else person_of(name)


def fit_rows(rows) -> QuadraticModel:
    """Fit to draws; heads of people count more than phantoms."""
    x, y, w = [], [], []
    for name, features, answers, _ in rows:
        clear = answers != UNCLEAR
        x.append(features[clear])
        y.append(answers[clear] != 0)
        w.append(np.full(int(clear.sum()), 1.0 if name.startswith(PHANTOM) else PEOPLE))
    return fit(*(np.concatenate(part) for part in (x, y, w)))


def report(scores, cut: float) -> None:
    """Print recall by size and false positives of a cut."""
    sizes = {'4-6': [], '6-9': [], '9-13': [], '13-22': []}
    false = {}
    for name, p, answers, diameters in scores:
        for number, mm in enumerate(diameters, start=1):
            key = '4-6' if mm < 6 else '6-9' if mm < 9 else '9-13' if mm < 13 else '13-22'
            sizes[key].append(bool(((answers == number) & (p >= cut)).any()))
        false.setdefault(name, []).append(int(((answers == 0) & (p >= cut)).sum()))
    recall = ', '.join(f'{k} mm {np.mean(v):.2f}' for k, v in sizes.items() if v)
    noise = ', '.join(f'{k} {np.mean(v):.2f}' for k, v in false.items())
    print(f'cut {cut}: recall {recall}; false positives a scan: {noise}')


if __name__ == '__main__':
    main()
