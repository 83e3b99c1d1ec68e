"""Figures: the same picture whatever the storage, sides where they belong, nothing too fragile."""

from __future__ import annotations

import base64
import io
import re
from xml.etree import ElementTree

import nibabel as nb
import numpy as np
import pytest
from PIL import Image

from csvdprep.imaging import drawing, slices
from csvdprep.imaging.transforms import write_linear
from csvdprep.markers.zones.figures import draw_lesions, draw_zones
from csvdprep.preprocessing.brain.figures import draw_brain_mask
from csvdprep.preprocessing.flair.figures import draw_coregistration
from csvdprep.preprocessing.ventricles.figures import draw_tissues

ORIENTATIONS = ('RAS', 'LPS', 'PIR', 'ASL', 'SRP')
SVG = '{http://www.w3.org/2000/svg}'
XLINK = '{http://www.w3.org/1999/xlink}href'


@pytest.fixture
def head() -> dict[str, nb.Nifti1Image]:
    """Return a brain 40 x 50 x 40 mm in voxels of 1 x 1 x 4 mm, brighter on its right."""
    x, y, z = np.ogrid[-30:30, -35:35, -7:8]
    inside = (x / 20) ** 2 + (y / 25) ** 2 + (z / 5) ** 2 < 1
    data = np.where(inside, 100.0 + 60 * (x > 5), 5.0).astype(np.float32)
    lesion = inside & (abs(x - 10) < 3) & (abs(y) < 2) & (abs(z) < 1)
    data[lesion] = 220
    affine = np.diag([1.0, 1.0, 4.0, 1.0])
    affine[:3, 3] = (-30, -35, -28)
    return {
        'image': nb.Nifti1Image(data, affine),
        'mask': nb.Nifti1Image(inside.astype(np.uint8), affine),
        'lesion': nb.Nifti1Image(lesion.astype(np.uint8), affine),
        'empty': nb.Nifti1Image(np.zeros(data.shape, np.uint8), affine),
    }


def stored(image: nb.Nifti1Image, axes: str) -> nb.Nifti1Image:
    """Store an image with its axes in another order."""
    there = nb.orientations.axcodes2ornt(axes)
    return image.as_reoriented(
        nb.orientations.ornt_transform(nb.io_orientation(image.affine), there)
    )


def save(images, folder, axes='RAS') -> dict[str, str]:
    """Write all images in one storage order."""
    folder.mkdir(exist_ok=True)
    paths = {name: str(folder / f'{name}.nii.gz') for name in images}
    for name, image in images.items():
        stored(image, axes).to_filename(paths[name])
    return paths


def pictures(svg: str) -> list[np.ndarray]:
    """Decode the grey pictures embedded in a figure."""
    found = re.findall(r'data:image/jpeg;base64,([^"]+)', svg)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(text)))) for text in found]


def texts(svg: str) -> list[str]:
    return [item.text for item in ElementTree.fromstring(svg).iter(f'{SVG}text')]


@pytest.mark.parametrize('axes', ORIENTATIONS)
def test_storage_order_changes_no_byte(head, tmp_path, axes):
    reference, other = save(head, tmp_path / 'RAS'), save(head, tmp_path / axes, axes)
    drawn = []
    for number, paths in enumerate((reference, other)):
        out = tmp_path / f'{number}.svg'
        draw_brain_mask(out_file=str(out), anat_preproc=paths['image'], brain_mask=paths['mask'])
        drawn.append(out.read_bytes())
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize('axes', ORIENTATIONS)
def test_the_right_is_on_the_left(head, tmp_path, axes):
    path = save(head, tmp_path / axes, axes)['image']
    volume = slices.load_volume(path)
    view = slices.plane(volume.data, slices.Cut(2, 7), [slice(0, n) for n in volume.data.shape])
    half = view.shape[1] // 2
    assert view[:, :half].max() > 150
    assert view[:, half:].max() < 150


def test_rows_run_from_anterior_and_superior_down():
    data = np.zeros((3, 4, 5))
    data[1, 3, 4] = 1
    box = [slice(0, n) for n in data.shape]
    assert slices.plane(data, slices.Cut(2, 4), box)[0, 1] == 1
    assert slices.plane(data, slices.Cut(1, 3), box)[0, 1] == 1
    assert slices.plane(data, slices.Cut(0, 1), box)[0, 0] == 1


def test_sides_and_positions_are_written(head, tmp_path):
    paths = save(head, tmp_path / 'a', 'LPS')
    out = tmp_path / 'a.svg'
    draw_brain_mask(out_file=str(out), anat_preproc=paths['image'], brain_mask=paths['mask'])
    root = ElementTree.fromstring(out.read_text())
    first = {t.text: float(t.get('x')) for t in list(root.iter(f'{SVG}text'))[:2]}
    assert first['R'] < first['L']
    assert any(text.startswith('z ') for text in texts(out.read_text()))


def test_voxel_size_decides_the_aspect(head, tmp_path):
    paths = save(head, tmp_path / 'a')
    volume = slices.load_volume(paths['image'])
    out = tmp_path / 'a.svg'
    drawing.draw_mosaic(out, drawing.Layer(volume), [slices.Cut(1, 35)], columns=1)
    image = next(ElementTree.fromstring(out.read_text()).iter(f'{SVG}image'))
    assert float(image.get('width')) / float(image.get('height')) == pytest.approx(60 / (15 * 4))


@pytest.mark.parametrize(('axes', 'axis'), [('RAS', 2), ('SRP', 2), ('LPS', 2)])
def test_thick_slices_are_shown_as_acquired(head, tmp_path, axes, axis):
    volume = slices.load_volume(save(head, tmp_path / axes, axes)['image'])
    assert slices.slice_axis(volume) == axis


def test_sagittal_acquisition_is_shown_sagittal(tmp_path):
    nb.Nifti1Image(np.ones((8, 40, 40), np.float32), np.diag([5.0, 1, 1, 1])).to_filename(
        tmp_path / 'a.nii.gz'
    )
    assert slices.slice_axis(slices.load_volume(tmp_path / 'a.nii.gz')) == 0


def test_another_grid_is_brought_over_by_the_affine(head, tmp_path):
    paths = save(head, tmp_path / 'a')
    image = slices.load_volume(paths['image'])
    mask = head['mask']
    shifted = nb.Nifti1Image(
        mask.get_fdata()[5:], mask.affine @ nb.affines.from_matvec(np.eye(3), (5, 0, 0))
    )
    shifted.to_filename(tmp_path / 'b.nii.gz')
    again = slices.load_volume(tmp_path / 'b.nii.gz', image, order=0)
    assert np.array_equal(again.data[5:], mask.get_fdata()[5:])


def test_empty_masks_say_so(head, tmp_path):
    paths = save(head, tmp_path / 'a')
    out = tmp_path / 'a.svg'
    draw_brain_mask(out_file=str(out), anat_preproc=paths['image'], brain_mask=paths['empty'])
    assert any('empty' in text for text in texts(out.read_text()))
    draw_zones(out_file=str(out), flair_preproc=paths['image'], zones_dseg=paths['empty'])
    assert any('No WMH were found' in text for text in texts(out.read_text()))
    draw_lesions(out_file=str(out), flair_preproc=paths['image'], wmh_mask=paths['empty'])
    assert any('No WMH found' in text for text in texts(out.read_text()))
    assert not pictures(out.read_text())


def test_blank_and_broken_voxels_are_drawn(head, tmp_path):
    data = head['image'].get_fdata(dtype=np.float32)
    data[30, 35, 7] = np.nan
    data[31, 35, 7] = np.inf
    nb.Nifti1Image(data, head['image'].affine).to_filename(tmp_path / 'nan.nii.gz')
    nb.Nifti1Image(np.zeros_like(data), head['image'].affine).to_filename(tmp_path / 'zero.nii.gz')
    mask = save(head, tmp_path / 'a')['mask']
    for name in ('nan', 'zero'):
        draw_brain_mask(
            out_file=str(tmp_path / 'a.svg'),
            brain_mask=mask,
            anat_preproc=str(tmp_path / f'{name}.nii.gz'),
        )
        assert len(pictures((tmp_path / 'a.svg').read_text())) > 10


def test_the_outline_encloses_the_mask():
    mask = np.zeros((20, 30))
    mask[5:12, 8:20] = 1
    numbers = re.findall(r'([\d.]+) ([\d.]+)', drawing.outline(mask, 300, 200))
    points = np.array(numbers, dtype=float)
    assert points[:, 0].min() == pytest.approx(80, abs=6)
    assert points[:, 0].max() == pytest.approx(200, abs=6)
    assert points[:, 1].min() == pytest.approx(50, abs=6)
    assert points[:, 1].max() == pytest.approx(120, abs=6)


def test_a_mask_at_the_border_is_closed():
    path = drawing.outline(np.ones((4, 4)), 40, 40)
    assert path.count('M') == path.count('Z') == 1


def test_the_largest_lesions_are_named_after_the_table(head, tmp_path):
    paths = save(head, tmp_path / 'a', 'LPS')
    points = np.argwhere(head['lesion'].get_fdata() > 0).mean(axis=0)
    x, y, z = (head['lesion'].affine @ [*points, 1])[:3]
    table = tmp_path / 'lesions.tsv'
    table.write_text(
        'index\tvolume_mm3\tx\ty\tz\tzone\tside\tlobe\tmean_probability\n'
        f'3\t50\t{x + 20}\t{y}\t{z}\tpv\tleft\tfrontal\t0.5\n'
        f'7\t50\t{x}\t{y}\t{z}\tdw\tright\tparietal\t0.8\n'
    )
    out = tmp_path / 'a.svg'
    draw_lesions(
        out_file=str(out),
        flair_preproc=paths['image'],
        wmh_mask=paths['lesion'],
        wmh_lesions=str(table),
    )
    written = ' '.join(texts(out.read_text()))
    assert '#7' in written
    assert 'right parietal' in written
    table.write_text(table.read_text().replace('right\tparietal', 'right\tright parietal lobe'))
    draw_lesions(
        out_file=str(out),
        flair_preproc=paths['image'],
        wmh_mask=paths['lesion'],
        wmh_lesions=str(table),
    )
    written = ' '.join(texts(out.read_text()))
    assert 'right parietal lobe' in written
    assert 'right right' not in written
    assert '#3' not in written


def test_zones_are_coloured(head, tmp_path):
    paths = save(head, tmp_path / 'a')
    out = tmp_path / 'a.svg'
    draw_zones(out_file=str(out), flair_preproc=paths['image'], zones_dseg=paths['lesion'])
    assert 'data:image/png' in out.read_text()
    assert {'Juxtaventricular', 'Deep'} <= set(texts(out.read_text()))


def test_tissues_without_ventricles(head, tmp_path):
    paths = save(head, tmp_path / 'a')
    out = tmp_path / 'a.svg'
    draw_tissues(
        out_file=str(out),
        anat_preproc=paths['image'],
        brain_mask=paths['mask'],
        tissue_dseg=paths['mask'],
        ventricles=None,
    )
    assert 'Left lateral ventricle' not in texts(out.read_text())


def test_coregistration_moves_the_flair(head, tmp_path):
    paths = save(head, tmp_path / 'a')
    moved = nb.Nifti1Image(head['image'].get_fdata(dtype=np.float32), head['image'].affine.copy())
    moved.affine[0, 3] += 7  # the same anatomy, 7 mm to the right
    stored(moved, 'PIR').to_filename(tmp_path / 'flair.nii.gz')
    matrix = np.eye(4)
    matrix[0, 3] = 7
    write_linear(matrix, tmp_path / 'xfm.txt')
    out = tmp_path / 'a.svg'
    draw_coregistration(
        out_file=str(out),
        anat_preproc=paths['image'],
        flair_preproc=str(tmp_path / 'flair.nii.gz'),
        flair_to_anat=str(tmp_path / 'xfm.txt'),
        brain_mask=paths['mask'],
    )
    found = pictures(out.read_text())
    before, after = found[: len(found) // 2], found[len(found) // 2 :]
    for one, other in zip(before, after, strict=True):
        assert np.abs(one.astype(int) - other).max() < 40
    assert '@keyframes' in out.read_text()


def test_files_are_ascii_and_load_nothing(head, tmp_path):
    paths = save(head, tmp_path / 'a')
    out = tmp_path / 'a.svg'
    draw_brain_mask(out_file=str(out), anat_preproc=paths['image'], brain_mask=paths['mask'])
    root = ElementTree.fromstring(out.read_bytes().decode('ascii'))
    assert all(image.get(XLINK).startswith('data:') for image in root.iter(f'{SVG}image'))
    assert out.stat().st_size < 500_000


def test_hostile_text_stays_text(tmp_path, head):
    volume = slices.load_volume(save(head, tmp_path / 'a')['image'])
    out = tmp_path / 'a.svg'
    hostile = '<script>alert(1)</script>'
    drawing.draw_mosaic(
        out,
        drawing.Layer(volume),
        [slices.Cut(2, 7)],
        columns=1,
        note=hostile,
        legend={hostile: '#ffffff'},
    )
    assert '<script' not in out.read_text()
    assert hostile in ' '.join(texts(out.read_text()))


@pytest.mark.parametrize('kind', ['matrix', 'field'])
def test_registration_is_drawn_on_the_template(tmp_path, kind):
    from csvdprep.imaging.transforms import write_composite
    from csvdprep.preprocessing.registration.figures import draw_registration
    from csvdprep.resources import resource

    # The participant is the template moved by 6 mm to the right and 4 mm up.
    template = nb.load(resource('template'))
    for name in ('template', 'template_mask'):
        image = nb.load(resource(name))
        moved = nb.Nifti1Image(np.asanyarray(image.dataobj), image.affine.copy())
        moved.affine[:3, 3] += (6, 0, 4)
        stored(moved, 'PIR').to_filename(tmp_path / f'{name}.nii.gz')
    if kind == 'matrix':
        step = nb.affines.from_matvec(np.eye(3), (6, 0, 4))
    else:
        grid = nb.affines.rescale_affine(template.affine, template.shape, 4, (50, 60, 50))
        step = nb.Nifti1Image(np.full((50, 60, 50, 3), (-6, 0, 4), np.float32), grid)
    write_composite([step], tmp_path / 'xfm.h5')
    out = tmp_path / 'a.svg'
    draw_registration(
        out_file=str(out),
        anat_filled=str(tmp_path / 'template.nii.gz'),
        anat_to_mni=str(tmp_path / 'xfm.h5'),
        brain_mask=str(tmp_path / 'template_mask.nii.gz'),
    )
    found = pictures(out.read_text())
    half = len(found) // 2
    for one, other in zip(found[:half], found[half:], strict=True):
        assert np.abs(one.astype(int) - other).mean() < 4


def test_all_slices_with_lesions_are_shown_and_outlines_can_be_hidden(tmp_path):
    from csvdprep.markers.wmh.figures import draw_levels, draw_wmh

    data = np.full((30, 36, 60), 100, np.float32)
    lesion = np.zeros(data.shape, np.uint8)
    lesion[10:14, 10:14, 5:55] = 1
    affine = np.diag([4.0, 4.0, 2.0, 1.0])
    files = {}
    for name, array in (('flair_preproc', data), ('wmh_mask', lesion), ('flair_mask', data > 0)):
        files[name] = str(tmp_path / f'{name}.nii.gz')
        nb.Nifti1Image(np.asarray(array, np.float32), affine).to_filename(files[name])
    draw_wmh(out_file=str(tmp_path / 'all.svg'), **files)
    written = (tmp_path / 'all.svg').read_text()
    assert 'All 52 slices with hyperintensities and one on either side' in written
    assert written.count('class="o"') == 50
    assert 'href="#plain"' in written
    assert '<view id="key"' in written
    draw_levels(out_file=str(tmp_path / 'levels.svg'), **files)
    assert (tmp_path / 'levels.svg').read_text().count('<image') == 3


def test_each_lesion_of_a_gallery_can_be_shown_alone(head, tmp_path):
    paths = save(head, tmp_path / 'a')
    lesion = head['lesion'].get_fdata() > 0
    centre = head['lesion'].affine @ [*np.argwhere(lesion).mean(axis=0), 1]
    table = tmp_path / 'lesions.tsv'
    table.write_text('index\tx\ty\tz\n7\t' + '\t'.join(f'{v:.2f}' for v in centre[:3]) + '\n')
    out = tmp_path / 'a.svg'
    draw_lesions(
        out_file=str(out),
        flair_preproc=paths['image'],
        wmh_mask=paths['lesion'],
        wmh_lesions=str(table),
    )
    text = out.read_text()
    (frame,) = re.findall(r'<view id="lesion-WMH-7" viewBox="([\d. ]+)"', text)
    x, y, wide, tall = (float(part) for part in frame.split())
    # The frame of the picture, which begins below the strip with the links.
    places = re.findall(r'translate\(([\d.]+) ([\d.]+)\)"><image width="([\d.]+)"', text)
    assert [(float(a), float(b) + 22, float(c)) for a, b, c in places] == [(x, y, wide)]
    assert tall == wide
