"""What the network is trained on: truth goes where the image goes, and breadth can be left out."""

import numpy as np
import pandas as pd
import pytest

from csvdprep.markers.wmh.science.planes import CHANNELS

torch = pytest.importorskip('torch')
fit, breadth = (pytest.importorskip(f'training.{name}') for name in ('fit', 'breadth'))

SHAPE = (6, 64, 80)


@pytest.fixture
def case(tmp_path):
    """Write a case: an ellipse of white matter in grey matter, fluid and a bright lesion."""
    at = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE[1:]], indexing='ij')
    far = np.sqrt(sum(a**2 for a in at))
    brain = np.broadcast_to(far < 0.75, SHAPE)
    grey, fluid = (far > 0.5) & (far < 0.75), far < 0.12
    lesion = (abs(at[0] - 0.25) < 0.12) & (abs(at[1]) < 0.12)
    flair = np.where(lesion, 1.8, np.where(grey, 1.15, np.where(fluid, 0.2, 1.0))) * brain
    t1w = np.where(grey, 0.7, np.where(fluid, 0.3, 1.0)) * brain
    zero = np.zeros(SHAPE[1:])
    maps = [(far < 0.5) & ~fluid, grey, zero, grey, fluid]
    path = tmp_path / 'real_sub-01.npz'
    np.savez(
        path,
        flair=flair.astype(np.float16),
        brain=brain,
        maps=np.stack([np.broadcast_to(m, SHAPE) * 255.0 for m in maps]).astype(np.uint8),
        share=(np.broadcast_to(lesion, SHAPE) * 250).astype(np.uint8),
        lining=np.zeros(SHAPE, np.uint8),
        thickness=3.0,
        has_t1w=True,
        t1w=(t1w * 120).astype(np.uint8),
    )
    return path


def batch(case, breadths, seed=1, size=12):
    rng = np.random.default_rng(seed)
    return fit.prepare(*fit.Cases([case]).batch(rng, size, breadths), rng, breadths)


@pytest.mark.parametrize('breadths', [frozenset(), breadth.BREADTH], ids=['plain', 'broad'])
def test_planes_are_what_the_network_takes_and_lesions_are_bright_where_they_are_true(
    case, breadths
):
    planes, truth = batch(case, breadths)
    assert planes.shape == (12, len(CHANNELS), *SHAPE[1:])
    assert torch.isfinite(planes).all()
    flair, lesion = planes[:, CHANNELS.index('flair')], truth[:, 0] > 0.9
    white = (planes[:, CHANNELS.index('flair')] > -0.9) & (truth[:, 0] < 0.01)
    assert flair[lesion].mean() > flair[white].mean() + 0.3
    without = planes[:, CHANNELS.index('has_t1w'), 0, 0] < 0.5
    assert without.any()
    assert not without.all()
    for name in ('t1w', 'grey', 'fluid'):
        assert not planes[without, CHANNELS.index(name)].any()
        assert planes[~without, CHANNELS.index(name)].any()


def test_a_source_of_breadth_that_is_off_does_nothing(case):
    planes, truth = batch(case, frozenset())
    again = batch(case, frozenset())[0]
    assert torch.equal(planes, again)
    # Nothing is lost at the edges, and what is known is known everywhere in the brain.
    inside = planes[:, CHANNELS.index('flair')] > -1
    assert truth[:, 2][inside].mean() > 0.99
    cut = batch(case, frozenset({'cut'}), size=60)[0]
    assert len(inside.sum((1, 2)).unique()) == 1
    assert (cut[:, 1] > -1).sum((1, 2)).min() < 0.97 * inside[0].sum()


def test_contrast_that_is_drawn_keeps_lesions_brighter_than_grey_matter(case):
    rng = np.random.default_rng(3)
    x, _ = fit.Cases([case]).batch(rng, 24, frozenset())
    drawn = breadth.rendered_flair(x, breadth.Draw(rng, 24))[:, 1]
    lesion, grey = x[:, breadth.LESION][:, 1] > 0.9, x[:, breadth.GREY][:, 1] > 0.9
    levels = []
    for one, bright, other in zip(drawn, lesion, grey, strict=True):
        if bright.any():
            assert one[bright].mean() > one[other].mean() + 0.03
            levels.append(float(one[other].mean()))
    assert np.std(levels) > 0.05


def test_weights_for_fewer_channels_are_widened_without_effect():
    torch.manual_seed(0)
    net = fit.UNet(4)
    state = net.state_dict()
    narrow = state | {'down.0.0.weight': state['down.0.0.weight'][:, :10]}
    wide = fit.widened(narrow)
    net.load_state_dict(wide)
    planes = torch.rand(1, len(CHANNELS), 32, 32)
    other = planes.clone()
    other[:, 10] = 0
    assert torch.equal(net(planes), net(other))
    assert fit.widened(wide) is wide


def test_training_resumes_and_writes_the_same_weights(case, tmp_path, monkeypatch):
    monkeypatch.setattr(fit, 'judge', lambda net, cases: {'loss': 0.0})

    def run(name, steps):
        given = [str(case.parent), str(tmp_path / name), '--steps', steps, '--base', '4']
        given += ['--batch', '2', '--threads', '1', '--off', 'rendered']
        monkeypatch.setattr('sys.argv', ['fit', *given])
        fit.main()
        return torch.load(tmp_path / name, weights_only=False)

    once, again = run('once.pt', '3'), run('again.pt', '3')
    for name, value in once['mean'].items():
        assert torch.equal(value, again['mean'][name])
    assert run('once.pt', '4')['step'] == 4


@pytest.mark.parametrize('source', ['thick', 'turned', 'mirrored', 'moved', 'contrast', 'level'])
def test_each_source_of_breadth_alone_changes_planes(case, source):
    plain = batch(case, frozenset())[0]
    alone = batch(case, frozenset({source}))[0]
    assert not torch.allclose(plain, alone, atol=1e-3)


def test_planes_as_they_are_show_what_is_stored(case):
    planes, truth = batch(case, frozenset(), size=4)
    with np.load(case) as stored:
        flair, share = stored['flair'].astype(np.float32), stored['share'] / 250
    for one in range(4):
        assert abs(planes[one, CHANNELS.index('flair')].numpy() - (flair[0] - 1)).max() < 0.01
        assert abs(truth[one, 0].numpy() - share[0]).max() < 0.01


def test_coarse_cases_keep_volume_brightness_and_what_is_not_known(case):
    fine, coarse = fit.read_case(case), fit.read_case(case, 2)
    assert coarse['share'].shape == (SHAPE[0], SHAPE[1] // 2, SHAPE[2] // 2)
    assert coarse['maps'].shape == (5, *coarse['share'].shape)
    assert coarse['share'].sum() * 4 == pytest.approx(fine['share'].sum(), rel=0.01)
    for name in ('flair', 't1w'):
        mean = fine[name].astype(float).mean()
        assert coarse[name].astype(float).mean() == pytest.approx(mean, rel=0.01)
    share = fine['share'].copy()
    share[0, :2, :2] = [[255, 255], [255, 250]]
    share[0, :2, 2:4] = [[255, 100], [100, 250]]
    np.savez(case, **fine | {'share': share})
    again = fit.read_case(case, 2)['share']
    assert again[0, 0, :2].tolist() == [255, 150]
    assert (fit.read_case(case)['share'] == share).all()


def test_sources_name_breadth_that_there_is():
    ablate = pytest.importorskip('training.ablate')
    named = [name for source in ablate.SOURCES.values() for name in source.off]
    assert sorted(named) == sorted(breadth.BREADTH)


def test_whole_heads_are_judged_by_what_is_said_of_them(case):
    ablate = pytest.importorskip('training.ablate')
    flair = CHANNELS.index('flair')
    heads = ablate.judged(lambda planes: (planes[:, flair] > 0.5).astype(float), [case])
    assert heads.t1w.tolist() == [True, False]
    assert (heads.dice > 0.95).all()
    lesion_ml = heads.true_ml.iloc[0]
    coarse = ablate.judged(lambda planes: planes[:, flair] > 0.5, [case], coarse=2)
    assert coarse.true_ml.iloc[0] == pytest.approx(heads.true_ml.iloc[0], rel=0.2)
    everything = ablate.judged(lambda planes: planes[:, flair] > -2, [case], every=2)
    with np.load(case) as stored:
        brain_ml = stored['brain'].sum() * 1.25**2 * 3 / 1000
    assert everything.ml.iloc[0] == pytest.approx(brain_ml)
    assert everything.true_ml.iloc[0] == pytest.approx(lesion_ml)
    # 2 (lesion and brain) / (lesion + brain)
    assert everything.dice.iloc[0] == pytest.approx(2 * lesion_ml / (lesion_ml + brain_ml))
    nothing = ablate.judged(lambda planes: planes[:, flair] > 9, [case])
    assert (nothing.dice == 0).all()


def test_ablation_trains_with_each_source_off_and_goes_on(case, tmp_path, capsys, monkeypatch):
    ablate = pytest.importorskip('training.ablate')
    monkeypatch.setattr(fit, 'judge', lambda net, cases: {'loss': 0.5})
    folder, kept = tmp_path / 'cases', tmp_path / 'kept'
    folder.mkdir()
    kept.mkdir()
    for name in ('real_sub-02', 'labelled_sub-02', 'real_sub-09'):
        (folder / f'{name}.npz').write_bytes(case.read_bytes())
    (kept / 'phantom_7.npz').write_bytes(case.read_bytes())
    words = [str(tmp_path / 'out'), '--cases', str(folder), '--kept', str(kept)]
    words += ['--without', 'sub-09', '--sources', 'contrast', 'geometry', '--steps', '4']
    words += ['--batch', '2', '--base', '4', '--marks']
    heads = ablate.ablate(ablate.arguments().parse_args([*words, '2']))
    nets = ['all, seed 1', 'all, seed 2', 'without contrast, seed 1', 'without geometry, seed 1']
    assert heads.net.unique().tolist() == nets
    assert set(heads['case']) == {'real_sub-09', 'phantom_7'}
    assert '1 cases' in capsys.readouterr().out  # without contrast: the insertion alone is learned
    weights = {p.stem: torch.load(p, weights_only=False)['net'] for p in tmp_path.rglob('*.pt')}
    first = [state['down.0.0.weight'] for state in weights.values()]
    assert len(first) == 4
    for k, one in enumerate(first):
        assert not any(torch.equal(one, other) for other in first[:k])
    more = ablate.ablate(ablate.arguments().parse_args([*words, '2', '3']))
    assert len(more) == 2 * len(heads)
    again = ablate.arguments().parse_args([*words, '2', '3'])
    assert len(ablate.ablate(again)) == len(more)
    table = ablate.summary(more.assign(true_ml=2.0))
    assert table.shape[0] == 8
    assert table['mean'].notna().all()
    pairs = ablate.runs(ablate.arguments().parse_args([*words, '2', '--pairs']))
    assert [name for name, _, _ in pairs][-2:] == [
        'without contrast, seed 2',
        'without geometry, seed 2',
    ]


def test_differences_are_between_means_of_seeds():
    ablate = pytest.importorskip('training.ablate')
    dice = {'all, seed 1': 0.6, 'all, seed 2': 0.5, 'without real, seed 1': 0.3}
    dice['without real, seed 2'] = 0.4
    heads = [
        {'kind': kind, 't1w': t1w, 'true_ml': 9.0, 'ml': 8.0, 'dice': value, 'net': net, 'step': 5}
        for net, value in dice.items()
        for kind in ('inserted', 'phantom')
        for t1w in (True, False)
    ]
    heads += [head | {'true_ml': 0.0, 'dice': np.nan} for head in heads]
    found = ablate.differences(pd.DataFrame(heads))
    assert found.loc[(5, 'without real'), 'mean'] == pytest.approx(-0.2)
    assert found.loc[(5, 'seeds'), 'mean'] == pytest.approx(0.1)
    assert found.loc[(5, 'without real'), 'empty, mean mL'] == pytest.approx(0)
