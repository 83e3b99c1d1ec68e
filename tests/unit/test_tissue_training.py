"""What the network for tissue is trained on: ventricles are widened, truth goes with the image."""

import numpy as np
import pytest

torch = pytest.importorskip('torch')
fit = pytest.importorskip('training.tissue_fit')
cases = pytest.importorskip('training.tissue_cases')

SHAPE = (6, 112, 144)


def drawn():
    """Return a brain of planes: white matter in grey matter, with a ventricle."""
    at = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE[1:]], indexing='ij')
    far = np.broadcast_to(np.sqrt(sum(a**2 for a in at)), SHAPE)
    brain, fluid = far < 0.7, (far < 0.15).astype(np.float32)
    grey = ((far > 0.5) & brain).astype(np.float32)
    place = cases.Place(
        brain=brain,
        white=brain & (far < 0.5) & (far > 0.2),
        ventricle=fluid.copy(),
        grey=grey,
        fluid=fluid,
        step_mm=np.array([4.0, cases.PIXEL_MM, cases.PIXEL_MM]),
    )
    image = (brain * (1 + 0.2 * grey - 0.8 * fluid)).astype(np.float32)
    atlas = np.stack([fluid, grey, (1 - fluid - grey) * brain]).astype(np.float32)
    return place, image, atlas


@pytest.fixture
def case(tmp_path):
    place, image, atlas = drawn()
    noisy = image + 0.01 * np.random.default_rng(0).standard_normal(image.shape)
    cases.save(tmp_path / 'real_sub-01.npz', noisy, place, atlas, np.zeros(SHAPE))
    return tmp_path


def widest():
    """Widen the ventricle of the brain, with the first seed that does."""
    place, image, atlas = drawn()
    for seed in range(20):
        rng = np.random.default_rng(seed)
        wide, (new,), _ = cases.widened(place, image[None].copy(), atlas, 0.2, rng)
        if wide is not place:
            return place, wide, new
    raise AssertionError('no seed widens a ventricle')


def test_wider_ventricles_press_tissue_together_and_the_image_goes_with_the_truth():
    place, wide, image = widest()
    assert wide.ventricle.sum() > 1.15 * place.ventricle.sum()
    assert abs(wide.grey.sum() / place.grey.sum() - 1) < 0.2
    assert image[wide.ventricle > 0.95].mean() < 0.3
    white = wide.brain & (wide.fluid + wide.grey < 0.05)
    assert abs(image[white].mean() - 1) < 0.05


def test_shares_of_a_batch_add_up_and_fluid_is_dark_where_it_is_true(case):
    rng = np.random.default_rng(1)
    batch = fit.Cases([*case.glob('*.npz')]).batch(rng, 8)
    planes, truth, known = fit.prepare(*batch, rng, frozenset())
    assert planes.shape == (8, fit.CHANNELS, *fit.SHAPE)
    inside = known > 0
    assert torch.allclose(truth.sum(1)[inside], torch.tensor(1.0), atol=1e-4)
    ventricle, white = ((truth[:, k] > 0.95) & inside for k in (3, 2))
    flair = planes[:, 1]
    assert ventricle.any()
    assert flair[ventricle].mean() < flair[white].mean() - 0.3


@pytest.mark.filterwarnings('ignore::torch.jit.TracerWarning')
def test_the_fit_goes_on_where_it_stopped_and_writes_a_network_that_runs(case):
    onnxruntime = pytest.importorskip('onnxruntime')
    pytest.importorskip('onnx')
    out, network = case / 'net.pt', case / 'net.onnx'
    common = [str(case), str(out), '--base', '4', '--batch', '2']
    fit.train(fit.parser().parse_args([*common, '--steps', '1']))
    net = fit.train(fit.parser().parse_args([*common, '--steps', '2']))
    assert torch.load(out, weights_only=False)['step'] == 2
    fit.export(net, network)
    session = onnxruntime.InferenceSession(str(network), providers=['CPUExecutionProvider'])
    planes = np.random.default_rng(0).random((2, fit.CHANNELS, 32, 48), np.float32)
    share = session.run(None, {'planes': planes})[0]
    assert share.shape == (2, 4, 32, 48)
    assert np.allclose(share.sum(1), 1, atol=1e-5)
    with torch.no_grad():
        assert np.allclose(torch.softmax(net(torch.from_numpy(planes)), 1), share, atol=1e-4)
