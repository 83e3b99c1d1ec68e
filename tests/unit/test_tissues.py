"""Tissues, ventricles, filling, volumes and widths on phantoms of known truth."""

import nibabel as nib
import numpy as np
import pytest

from csvdprep.core.errors import InputError, MeasureError
from csvdprep.imaging.images import load
from csvdprep.markers.atrophy.science import evans_index, volumes
from csvdprep.preprocessing.tissues.interfaces import _given_tissues
from csvdprep.science.alignment import best_affine
from csvdprep.science.quality import edge_overlap
from csvdprep.science.tissues import CSF, GM, WM, fill_lesions, segment_tissues
from csvdprep.science.ventricles import lateral_ventricles

LEVELS = {'T1w': (40, 100, 150), 'FLAIR': (20, 125, 105)}


def dice(first, second):
    return 2 * (first & second).sum() / (first.sum() + second.sum())


def phantom(zoom=1.5):
    """Return truth (0 CSF, 1 GM, 2 WM, -1 outside) of nested spheres with two ventricles."""
    voxel_mm = (zoom, zoom, 2 * zoom)
    shape = tuple(int(100 / size) for size in voxel_mm)
    grids = np.indices(shape)
    x, y, z = ((g - (n - 1) / 2) * size for g, n, size in zip(grids, shape, voxel_mm, strict=True))
    radius = np.sqrt(x**2 + y**2 + z**2)
    truth = np.full(shape, -1)
    truth[radius < 46] = CSF
    truth[radius < 42] = GM
    truth[radius < 34] = WM
    ventricles = np.zeros(shape, int)
    for side, centre in ((1, -9), (2, 9)):
        ventricles[((x - centre) / 6) ** 2 + (y / 16) ** 2 + (z / 9) ** 2 < 1] = side
    truth[ventricles > 0] = CSF
    return truth, ventricles, voxel_mm


def blurred(truth, sharp=0.75):
    """Return an atlas that is right on average, but not sharp."""
    from scipy import ndimage

    maps = np.stack(
        [ndimage.gaussian_filter((truth == k).astype(float), (3, 3, 1.5)) for k in range(3)]
    )
    return sharp * maps + (1 - sharp) / 3


@pytest.mark.parametrize(('contrast', 'noise', 'least'), [('T1w', 12, 0.95), ('FLAIR', 6, 0.93)])
def test_tissues_of_a_phantom(contrast, noise, least):
    truth, _, voxel_mm = phantom()
    image = np.choose(truth.clip(0), LEVELS[contrast]).astype(float)
    image += np.random.default_rng(0).normal(0, noise, image.shape)
    found = segment_tissues(image, truth >= 0, blurred(truth), voxel_mm, contrast=contrast)
    total = found.probability.sum(axis=0)
    assert found.probability.dtype == np.float32
    assert np.allclose(total[truth >= 0], 1, atol=1e-5)
    assert (total[truth < 0] == 0).all()
    hard = found.probability.argmax(axis=0)
    for tissue in (CSF, GM, WM):
        assert dice((hard == tissue) & (truth >= 0), truth == tissue) > least
    assert found.mean == pytest.approx(LEVELS[contrast], rel=0.05)


def shrunken(cortex_mm, cavity_mm, fine=0.75):
    """Return shares of CSF, GM and WM on 2.25 mm of a head with that much cortex and cavity."""
    grid = np.indices((96,) * 3, np.float32) * fine - 35.6
    radius = np.sqrt((grid**2).sum(0))
    folds = 1.5 * np.sin(grid[0] / 3) * np.sin(grid[1] / 3) * np.sin(grid[2] / 3)
    inner = radius + folds
    truth = np.full(radius.shape, -1)
    truth[radius < 34] = CSF
    truth[inner < 24 + cortex_mm] = GM
    truth[inner < 24] = WM
    truth[radius < cavity_mm] = CSF
    blocks = np.stack([truth == k for k in range(3)]).reshape(3, 32, 3, 32, 3, 32, 3)
    return blocks.mean((2, 4, 6), dtype=np.float32)


def test_lost_tissue_is_found_lost_under_the_atlas_of_the_healthy():
    atlas = blurred(shrunken(6, 8).argmax(0)) * (shrunken(6, 8).sum(0) > 0.5)
    errors, brains = [], []
    for cortex, cavity in ((6, 8), (3.5, 16)):
        share = shrunken(cortex, cavity)
        image = np.tensordot(LEVELS['T1w'], share, 1)
        image += np.random.default_rng(1).normal(0, 5, image.shape)
        mask = share.sum(0) > 0.5
        found = segment_tissues(image, mask, atlas, (2.25,) * 3).probability[:, mask].sum(1)
        truth = share[:, mask].sum(1)
        errors.append((found - truth)[1:] / mask.sum())
        brains.append(((truth[1:].sum() / mask.sum()), (found[1:].sum() / mask.sum())))
    assert np.abs(errors).max() < 0.02
    lost = np.subtract(*brains)
    assert lost[0] > 0.2
    assert lost[1] / lost[0] == pytest.approx(1, abs=0.05)


def test_fluid_of_a_flair_where_the_template_has_none():
    share = shrunken(6, 16)
    mask = share.sum(0) > 0.5
    atlas = blurred(shrunken(6, 8).argmax(0)) * mask
    image = np.tensordot(LEVELS['FLAIR'], share, 1)
    image += np.random.default_rng(1).normal(0, 4, image.shape)
    found = segment_tissues(image, mask, atlas, (2.25,) * 3, contrast='FLAIR')
    assert found.mean[CSF] == pytest.approx(LEVELS['FLAIR'][CSF], abs=8)
    assert dice((found.probability[CSF] > 0.5) & mask, (share[CSF] > 0.5) & mask) > 0.9


def test_lesions_are_white_matter_and_not_learned_from():
    truth, _, voxel_mm = phantom()
    image = np.choose(truth.clip(0), LEVELS['T1w']).astype(float)
    image += np.random.default_rng(0).normal(0, 8, image.shape)
    lesion = np.zeros(truth.shape, bool)
    lesion[45:60, 20:26, 10:20] = True
    lesion &= truth == WM
    image[lesion] = 95
    plain = segment_tissues(image, truth >= 0, blurred(truth), voxel_mm)
    told = segment_tissues(image, truth >= 0, blurred(truth), voxel_mm, lesion=lesion)
    assert plain.probability[GM][lesion].mean() > 0.5
    assert (told.probability[WM][lesion] == 1).all()
    assert told.sd[GM] <= plain.sd[GM] + 0.1


def test_an_image_without_tissue_is_refused():
    truth, _, voxel_mm = phantom()
    inverted = np.choose(truth.clip(0), (150, 100, 40)).astype(float)
    inverted += np.random.default_rng(0).normal(0, 3, inverted.shape)
    with pytest.raises(MeasureError, match='cannot be told apart'):
        segment_tissues(inverted, truth >= 0, blurred(truth), voxel_mm)
    with pytest.raises(MeasureError, match='too small'):
        segment_tissues(inverted, np.zeros(truth.shape), blurred(truth), voxel_mm)


def test_ventricles_are_found_from_a_displaced_template():
    truth, ventricles, voxel_mm = phantom()
    template = np.roll(ventricles, (2, -1), (0, 1))
    others = (truth == CSF) & (ventricles == 0)
    found = lateral_ventricles((truth == CSF).astype(float), template, others, voxel_mm)
    for side in (1, 2):
        assert dice(found == side, ventricles == side) > 0.97


def test_plexus_inside_and_sulci_outside():
    truth, ventricles, voxel_mm = phantom()
    csf = (truth == CSF).astype(float)
    plexus = np.zeros(truth.shape, bool)
    x, y, z = (int(np.mean(i)) for i in np.nonzero(ventricles == 1))
    plexus[x, y, z] = True
    csf[plexus] = 0
    found = lateral_ventricles(csf, ventricles, (truth == CSF) & (ventricles == 0), voxel_mm)
    assert found[plexus].all()
    assert not found[(truth == CSF) & (ventricles == 0)].any()


@pytest.mark.parametrize('voxel_mm', [(2, 2, 2), (1.5, 1.5, 6)])
def test_large_ventricles_are_taken_whole_and_small_ones_do_not_leak(voxel_mm):
    shape = tuple(int(112 / size) for size in voxel_mm)
    x, y, z = (
        (g - (n - 1) / 2) * size
        for g, n, size in zip(np.indices(shape), shape, voxel_mm, strict=True)
    )

    def ball(centre, radii):
        return sum(((a - c) / r) ** 2 for a, c, r in zip((x, y, z), centre, radii)) < 1  # noqa: B905

    third = ball((0, 0, -18), (3, 14, 12))
    foramina = (abs(x) < 14) & (abs(y) < 1.6) & (abs(z + 12) < max(3, voxel_mm[2] / 2))
    surface = np.sqrt(x**2 + y**2 + z**2) > 48
    template = np.where(ball((-12, 0, 4), (6, 16, 8)), 1, 0)
    template[ball((12, 0, 4), (6, 16, 8))] = 2
    for left, right in (((5, 14, 7), (5, 14, 7)), ((20, 30, 18), (8, 20, 12))):
        truth = np.where(ball((-1.5 - left[0], 0, 4), left), 1, 0)
        truth[ball((1.5 + right[0], 0, 4), right)] = 2
        csf = ((truth > 0) | third | foramina | surface).astype(float)
        # The template is out of place: its third ventricle reaches into the left ventricle.
        others = ball((-2, 0, -12), (5, 14, 14)) | surface
        found = lateral_ventricles(csf, template, others & (template == 0), voxel_mm)
        for side in (1, 2):
            assert dice(found == side, truth == side) > 0.93
        assert not (found > 0)[surface | (third & (z < -20))].any()


def test_no_ventricles_give_none():
    nothing = np.zeros((10, 10, 10))
    found = lateral_ventricles(nothing, nothing.astype(int), nothing > 0, (1, 1, 1))
    assert found.dtype == np.uint8
    assert not found.any()


def test_filled_lesions_look_like_what_is_around_them():
    truth, _, voxel_mm = phantom()
    image = np.choose(truth.clip(0), LEVELS['T1w']).astype(float)
    image += np.random.default_rng(0).normal(0, 5, image.shape)
    lesion = np.zeros(truth.shape, bool)
    lesion[48:54, 20:24, 12:18] = True
    lesion &= truth == WM
    image[lesion] = 70
    wm = (truth == WM) & ~lesion
    filled = fill_lesions(image, lesion, wm, voxel_mm)
    assert filled[lesion].mean() == pytest.approx(150, abs=2)
    assert np.array_equal(filled[~lesion], image.astype(np.float32)[~lesion])
    assert np.array_equal(filled, fill_lesions(image, lesion, wm, voxel_mm))
    assert not np.array_equal(filled, fill_lesions(image, lesion, wm, voxel_mm, seed=1))


def test_volumes_count_a_lesion_as_white_matter():
    probability = np.zeros((3, 10, 10, 10))
    probability[GM, :5], probability[WM, 5:] = 1, 1
    lesion = np.zeros((10, 10, 10))
    lesion[4] = 0.5
    found = volumes(probability, lesion, 8.0)
    assert found == pytest.approx({'csf_ml': 0, 'gm_ml': 3.6, 'wm_ml': 4.4})


def slab():
    grid = np.stack(np.meshgrid(*(np.arange(-70, 71),) * 2, np.arange(-30, 30, 3), indexing='ij'))
    x, y, z = grid
    brain = grid[:, (x / 65) ** 2 + (y / 70) ** 2 < 1].T
    horns = (abs(x) >= 2) & (abs(x) <= 20) & (abs(y - 15) <= 6) & (abs(z - 15) < 5)
    return grid, brain, grid[:, horns].T


@pytest.mark.parametrize('turn', [0, 12])
def test_evans_index_of_known_widths(turn):
    angle = np.radians(turn)
    rotation = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    _, brain, horns = slab()
    # The patient lies turned: the affine fitted to the template takes the turn out again.
    matrix = best_affine(brain @ rotation.T, brain)
    back = (horns @ rotation.T) @ matrix[:3, :3].T + matrix[:3, 3]
    assert evans_index(back, brain) == pytest.approx(40 / 128, rel=0.03)


@pytest.mark.parametrize(('front', 'top'), [(-3, -15), (5, -15), (5, -3), (12, 15)])
def test_wide_temporal_horns_do_not_count_as_frontal(front, top):
    (x, y, z), brain, horns = slab()
    temporal = (abs(x) > 26) & (abs(x) < 40) & (y <= front) & (y > -30) & (z <= top)
    ventricles = np.vstack([horns, np.stack([x, y, z])[:, temporal].T])
    assert evans_index(ventricles, brain) == pytest.approx(40 / 128, rel=0.03)


def test_no_frontal_horns_no_evans_index():
    (x, y, z), brain, horns = slab()
    temporal = np.stack([x, y, z])[:, (abs(x) > 26) & (abs(x) < 40) & (abs(y) < 8) & (z < 9)].T
    assert evans_index(np.zeros((0, 3)), brain) is None
    assert evans_index(temporal, brain) is None
    assert evans_index(np.vstack([temporal, horns[horns[:, 0] > 0]]), brain) is None


def test_edges_tell_a_shift_of_millimetres():
    truth, _, voxel_mm = phantom()
    t1w = np.choose(truth.clip(0), LEVELS['T1w']).astype(float)
    flair = np.choose(truth.clip(0), LEVELS['FLAIR']).astype(float)
    mask = truth >= 0
    scores = [edge_overlap(t1w, np.roll(flair, shift, 0), mask, voxel_mm) for shift in (0, 3, 6)]
    assert scores[0] > 0.8
    assert scores[0] > scores[1] + 0.1
    assert scores[1] > scores[2]
    assert edge_overlap(t1w, flair, np.zeros(mask.shape), voxel_mm) == 0


def test_a_given_segmentation_whose_cortex_has_names_of_gyri_is_refused(tmp_path):
    """What its table does not tell was taken as fluid, and grey matter was too small."""
    labels = np.zeros((20, 20, 20), 'u1')
    labels[4:16, 4:16, 4:16] = 5
    labels[6:14, 6:14, 6:14] = 2
    labels[9:11, 9:11, 9:11] = 3
    labels[8, 8, 8] = 1
    file = tmp_path / 'dseg.nii.gz'
    nib.save(nib.Nifti1Image(labels, np.eye(4)), file)
    anat, mask = load(str(file)), labels > 0
    given = {'mask': str(file), 'classes': {'csf': [1], 'wm': [2], 'gm': [3, 5]}}
    found = _given_tissues(given, anat, mask, None)
    assert found.sum(axis=(1, 2, 3)).tolist() == [1, 1224, 503]
    given['classes']['gm'] = [3]
    with pytest.raises(InputError, match='70 % of what the segmentation labels'):
        _given_tissues(given, anat, mask, None)
