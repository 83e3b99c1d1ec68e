"""Fit the model that tells microbleeds from what is taken for them.

    python -m training.cmb_fit HEADS_DIR [--draws 5] [--seed 1] [--model model.json]
    python -m training.cmb_fit HEADS_DIR --judge model.json [--plain | --mimics]

HEADS_DIR holds what ``training.cmb_heads`` made. Microbleeds, calcifications, mineral, veins and
flow voids are drawn into the complex echoes, with noise, ripple of motion and a rest of the
coil's shading; most images are magnitudes, the others susceptibility-weighted. Candidates
are labelled by what was drawn, and boosted trees are fitted. Prints sensitivity and false
positives with each head left out, or with ``--judge`` those of a model that was fitted before.
``--plain`` draws nothing, ``--mimics`` no microbleeds: what is found then is false, but for the
microbleeds that a head has of its own.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from scipy import ndimage as ndi

from csvdprep.markers.microbleeds.interfaces import late_echoes
from csvdprep.markers.microbleeds.science.candidates import FEATURES, candidates
from csvdprep.markers.microbleeds.science.evidence import evidence
from csvdprep.markers.microbleeds.science.probability import Model
from csvdprep.phantom.geometry.fields import smooth_noise
from csvdprep.phantom.scanner.scan import ghosts
from training.cmb_heads import PARTS
from training.cmb_lesions import Thing, factors, random_things

#: A candidate within so many mm of a microbleed, or its radius and this, is that microbleed.
MATCH_MM = 1.8
#: Answers: nothing, what is not judged, and 1 + number of the microbleed.
NONE, UNCLEAR = 0, -1
#: Mean number of microbleeds in draws that have any: to fit, many; to judge, as in patients.
FITTED, JUDGED = 24, 5
#: Share of draws of several echoes whose times are not known.
UNTOLD = 0.15
CUTS = (0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95)


def load_head(path: Path) -> dict:
    """Read a head."""
    return dict(np.load(path))


def make_draw(
    head: dict, rng: np.random.Generator, mean: float | None, things: list[Thing] | None = None
) -> dict:
    """Draw an image of a head, with a mean number of microbleeds; None: nothing is drawn into it.

    ``things`` are drawn instead, where they are given.

    Returns
    -------
    dict
        ``image``, ``brain``, ``anatomy``, ``things`` (microbleeds and calcifications),
        ``kind`` of the image.
    """
    affine, tesla = head['affine'], float(head['tesla'])
    signal = head['signal']
    if things is None:
        things = [] if mean is None else random_things(head, rng, mean)
    te = head['te']
    brain = head['brain']
    middle = float(np.median(np.abs(signal[..., -1][brain])))
    sigma = middle * float(np.exp(rng.uniform(np.log(0.01), np.log(0.07))))
    if np.prod(np.linalg.norm(affine[:3, :3], axis=0)) > 2:
        sigma *= 0.5
    moving = rng.random() < 0.15
    size = np.linalg.norm(affine[:3, :3], axis=0)
    echoes = []
    changed = factors(signal.shape[:3], affine, head['edges'], things, te, tesla)
    lost = 1 - np.abs(changed[-1])
    for number, part in enumerate(changed):
        echo = signal[..., number] * part
        if moving:
            echo = ghosts(echo, 1, rng.uniform(0.1, 0.5), float(size[1]), rng)
        noise = rng.standard_normal((2, *echo.shape), np.float32) * np.float32(sigma)
        echoes.append(echo + noise[0] + 1j * noise[1])
    # Shading that the correction leaves.
    shade = 1 + rng.uniform(0, 0.06) * smooth_noise(brain.shape, 25 / float(size.mean()), rng)
    kind = 'swi' if rng.random() < 0.3 else 'mag'
    image = weighted(echoes, te, tesla, kind, rng) * shade
    mask = _other_mask(brain, size, rng)
    rolls = np.round(rng.normal(0, 0.7, 3) / size).astype(int)
    anatomy = {name: np.roll(share, rolls, (0, 1, 2)) for name, share in anatomy_of(head).items()}
    own = [
        Thing('CMB' if chi > 0 else 'calcification', np.array([[x, y, z]]), r, chi, 0.1)
        for x, y, z, r, chi in head['own']
    ]
    focal = [t for t in things if t.kind in ('CMB', 'calcification')] + own
    return {
        'image': image.astype(np.float32),
        'brain': mask,
        'anatomy': anatomy,
        'things': focal,
        'all': things,
        'kind': kind,
        'lost': lost,
    }


def anatomy_of(head: dict) -> dict[str, np.ndarray]:
    """Give the shares that detection asks for."""
    parts = head['parts']
    one = {name: (parts == number).astype(np.float32) for name, number in PARTS.items()}
    return {
        'fluid': head['fluid'].astype(np.float32) / 255,
        'cortex': head['cortex'].astype(np.float32) / 255,
        'pallidum': one['pallidum'],
        'ventricle': one['ventricle'],
        'deep': one['deep'] + one['pallidum'],
        'infratentorial': one['cerebellum'] + one['brainstem'],
    }


def weighted(echoes, te, tesla: float, kind: str, rng: np.random.Generator) -> np.ndarray:
    """Combine the late echoes, as the application does, to a magnitude or a weighted image."""
    # Where a sidecar does not tell the times, all of them are searched.
    if rng.random() > UNTOLD:
        times = [{'time': float(time) / 1000} for time in te]
        echoes = [echoes[k] for k in late_echoes({'echoes': times, 'tesla': tesla})]
    magnitude = np.sqrt(sum(np.abs(echo) ** 2 for echo in echoes) / len(echoes))
    if kind == 'mag':
        return magnitude
    last = echoes[-1]
    width = rng.uniform(3, 8)
    low = ndi.gaussian_filter(last.real, (width, width, 0)) + 1j * ndi.gaussian_filter(
        last.imag, (width, width, 0)
    )
    phase = np.angle(last * np.conj(low))
    mask = np.where(phase > 0, np.clip(1 - phase / np.pi, 0, 1), 1)
    return magnitude * mask ** float(rng.integers(2, 5))


def _other_mask(brain: np.ndarray, size: np.ndarray, rng) -> np.ndarray:
    """Give the mask an error of its border."""
    move = rng.uniform(-2.0, 1.0)
    inside = brain if move <= 0 else ~brain
    away = ndi.distance_transform_edt(inside, sampling=size)
    return (brain & (away > -move)) if move <= 0 else (brain | (away <= move))


def judge(drawn: dict, affine: np.ndarray, rng: np.random.Generator):
    """Find candidates: features, and the answer of each."""
    size = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    signs = evidence(drawn['image'], drawn['brain'], size)
    seen = candidates(signs, drawn['brain'], affine, drawn['anatomy'])
    features = seen.features
    world = seen.centres @ affine[:3, :3].T + affine[:3, 3]
    answers = np.zeros(len(world), int)
    known = rng.random() < 0.5
    inverse = np.linalg.inv(affine)
    for i, place in enumerate(world):
        nearest, answer = np.inf, None
        box, grown = seen.parts[i]
        for number, thing in enumerate(drawn['things']):
            away = place - thing.points[0]
            reach = max(MATCH_MM, thing.radius + 0.8, 0.6 * size.max())
            distance = np.linalg.norm(away)
            voxel = np.rint(inverse[:3, :3] @ thing.points[0] + inverse[:3, 3]).astype(int)
            voxel -= [edge.start for edge in box]
            within = (voxel >= 0).all() and (voxel < grown.shape).all() and grown[tuple(voxel)]
            if (distance < reach or (within and distance < 5)) and distance < nearest:
                nearest = distance
                answer = (number, thing)
        if answer is not None:
            number, thing = answer
            answers[i] = number + 1 if thing.kind == 'CMB' else NONE
        elif any(
            np.linalg.norm(place - t.points[0]) < t.radius + 4
            for t in drawn['things']
            if t.kind == 'CMB'
        ):
            answers[i] = UNCLEAR
        if known:
            features[i, FEATURES.index('sign')] = _sign(place, answer, drawn, size, rng)
    return features, answers, seen


def _sign(place, answer, drawn, size, rng) -> float:
    """Draw what a map of susceptibility would say of a candidate."""
    if answer is not None:
        moment = abs(answer[1].chi) * answer[1].radius ** 3 / float(np.prod(size)) ** 0.7
        if moment < rng.uniform(0.1, 0.6):
            return 0.0
        return float(np.sign(answer[1].chi)) * (1 if rng.random() > 0.03 else -1)
    for thing in drawn['all']:
        if np.linalg.norm(thing.points - place, axis=1).min() < thing.radius + 1:
            return 1.0 if thing.chi > 0 and rng.random() < 0.7 else 0.0
    return float(rng.choice([-1, 0, 0, 0, 1, 1]))


def draw_row(name: str, head: dict, rng: np.random.Generator, mean: float | None) -> dict:
    """Draw an image, and describe its candidates."""
    drawn = make_draw(head, rng, mean)
    features, answers, _ = judge(drawn, head['affine'], rng)
    inverse = np.linalg.inv(head['affine'])
    truth = []
    for number, thing in enumerate(drawn['things']):
        if thing.kind != 'CMB':
            continue
        voxel = np.rint(inverse[:3, :3] @ thing.points[0] + inverse[:3, 3]).astype(int)
        box = tuple(slice(max(v - 1, 0), v + 2) for v in voxel)
        seen = drawn['brain'][box].any() if all(s.stop > 0 for s in box) else False
        if not seen:
            continue
        truth.append((number + 1, thing.radius, thing.chi, float(drawn['lost'][box].max())))
    return {
        'name': name,
        'features': features.astype(np.float32),
        'answers': answers,
        'truth': np.array(truth, float).reshape(-1, 4),
        'kind': drawn['kind'],
        'thick': float(np.linalg.norm(head['affine'][:3, :3], axis=0).max()),
        'noise': float(features[0, FEATURES.index('noise')]) if len(features) else 0.0,
    }


def fit(features: np.ndarray, truth: np.ndarray, weight: np.ndarray, rounds: int = 160) -> dict:
    """Fit boosted trees; returns what :meth:`Model.read` takes."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    found = HistGradientBoostingClassifier(
        max_iter=rounds,
        learning_rate=0.06,
        max_leaf_nodes=12,
        min_samples_leaf=25,
        l2_regularization=4.0,
        max_features=0.4,
        random_state=0,
        early_stopping=False,
    ).fit(features, truth, sample_weight=weight)
    trees = []
    for (one,) in found._predictors:
        nodes = one.nodes
        leaf = nodes['is_leaf'].astype(bool)
        trees.append(
            {
                'feature': np.where(leaf, -1, nodes['feature_idx']).tolist(),
                'threshold': [
                    0.0 if end else float(f'{v:.6g}')
                    for end, v in zip(leaf, nodes['num_threshold'], strict=True)
                ],
                'left': np.where(leaf, 0, nodes['left']).tolist(),
                'right': np.where(leaf, 0, nodes['right']).tolist(),
                'value': [
                    float(f'{v:.5g}') if end else 0.0
                    for end, v in zip(leaf, nodes['value'], strict=True)
                ],
            }
        )
    return {
        'features': list(FEATURES),
        'start': float(np.ravel(found._baseline_prediction)[0]),
        'trees': trees,
    }


def fit_rows(rows: list[dict]) -> dict:
    """Fit to draws, without what is unclear; a false positive weighs more than a miss."""
    clear = [row['answers'] != UNCLEAR for row in rows]
    x = np.concatenate([row['features'][c] for row, c in zip(rows, clear, strict=True)])
    y = np.concatenate([row['answers'][c] > 0 for row, c in zip(rows, clear, strict=True)])
    return fit(x, y, np.where(y, 1.0, FALSE_WEIGHT))


#: Weight of what is no microbleed.
FALSE_WEIGHT = 2.0


def report(rows: list[dict], scores: list[np.ndarray]) -> None:
    """Print sensitivity by size, contrast and thickness, and false positives, at each cut."""
    groups = {
        'all': lambda t, r: True,
        'r<0.7': lambda t, r: t[1] < 0.7,
        'r0.7-1': lambda t, r: 0.7 <= t[1] < 1,
        'r1-1.5': lambda t, r: 1 <= t[1] < 1.5,
        'r>1.5': lambda t, r: t[1] >= 1.5,
        'mag': lambda t, r: visible(t, r) and r['kind'] == 'mag',
        'swi': lambda t, r: visible(t, r) and r['kind'] == 'swi',
        'seen': lambda t, r: visible(t, r),
        'seen thin': lambda t, r: visible(t, r) and r['thick'] <= 2.2,
        'seen thick': lambda t, r: visible(t, r) and r['thick'] > 2.2,
        'lost>.5': lambda t, r: t[3] > 0.5,
        'lost.25-.5': lambda t, r: 0.25 < t[3] <= 0.5,
        'lost<.25': lambda t, r: t[3] <= 0.25,
    }
    count = {
        name: sum(test(t, r) for r in rows for t in r['truth']) for name, test in groups.items()
    }
    print('number of microbleeds:', count)
    for cut in (0.0, *CUTS):
        hits = dict.fromkeys(groups, 0)
        false, parts = [], {}
        right = 0
        for row, score in zip(rows, scores, strict=True):
            kept = score >= cut
            met = set(row['answers'][kept].tolist())
            for t in row['truth']:
                for name, test in groups.items():
                    hits[name] += bool(test(t, row) and int(t[0]) in met)
            right += sum(int(t[0]) in met for t in row['truth'])
            wrong = int((kept & (row['answers'] == NONE)).sum())
            false.append(wrong)
            parts.setdefault(('thin' if row['thick'] <= 2.2 else 'thick', row['kind']), []).append(
                wrong
            )
        total = max(count['all'], 1)
        precision = right / max(right + sum(false), 1)
        f1 = 2 * precision * right / total / max(precision + right / total, 1e-9)
        text = ' '.join(f'{n} {hits[n] / count[n]:.2f}' for n in groups if count[n])
        more = ' '.join(f'{"/".join(k)} {np.mean(v):.2f}' for k, v in sorted(parts.items()))
        print(f'cut {cut}: {text}; FP/scan {np.mean(false):.2f} ({more}); F1 {f1:.3f}')


def visible(truth, row) -> bool:
    """Tell whether a microbleed can be seen: a quarter of the signal lost, five SD of noise."""
    return truth[3] > max(0.25, 5 * row['noise'])


def main() -> None:
    """Fit, cross-validate, print."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('heads', type=Path)
    parser.add_argument('--draws', type=int, default=5)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--model', type=Path, help='JSON to write')
    parser.add_argument('--judge', type=Path, help='judge by this model; fit nothing')
    parser.add_argument('--plain', action='store_true', help='draw nothing into the heads')
    parser.add_argument('--mimics', action='store_true', help='draw mimics alone')
    parser.add_argument(
        '--keep', type=Path, help='folder of candidates that were described before'
    )
    asked = parser.parse_args()
    rows = []
    for path in sorted(asked.heads.glob('*.npz')):
        for draw in range(asked.draws):
            kept = asked.keep and asked.keep / f'{path.stem}_{asked.seed}_{draw}.npy'
            if kept and kept.exists():
                rows.append(np.load(kept, allow_pickle=True).item())
                continue
            rng = np.random.default_rng([asked.seed, int(path.stem), draw])
            mean = JUDGED if asked.judge else FITTED
            mean = None if asked.plain else 0 if asked.mimics else mean
            rows.append(draw_row(path.stem, load_head(path), rng, mean))
            if kept:
                kept.parent.mkdir(parents=True, exist_ok=True)
                np.save(kept, rows[-1], allow_pickle=True)
    if asked.judge:
        model = Model.read(json.loads(asked.judge.read_text()), FEATURES)
        scores = [model.probability(row['features']) for row in rows]
    else:
        folds = {name: k % 5 for k, name in enumerate(sorted({row['name'] for row in rows}))}
        scores = [np.zeros(0)] * len(rows)
        for fold in range(5):
            content = fit_rows([row for row in rows if folds[row['name']] != fold])
            model = Model.read(content, FEATURES)
            for k, row in enumerate(rows):
                if folds[row['name']] == fold:
                    scores[k] = model.probability(row['features'])
    report(rows, scores)
    if asked.model:
        content = fit_rows(rows)
        asked.model.parent.mkdir(parents=True, exist_ok=True)
        asked.model.write_text(json.dumps(content) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
