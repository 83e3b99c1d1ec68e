"""Files in, files out; the detection is in the science."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from nibabel.affines import apply_affine
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, isdefined, traits

from csvdprep.imaging.atlas import label_names, labels_of, sides
from csvdprep.imaging.images import load, load_mask_on, save
from csvdprep.imaging.points import map_points
from csvdprep.imaging.transforms import read_linear
from csvdprep.interfaces.lists import write_rows
from csvdprep.interfaces.values import Value, write_values
from csvdprep.markers.cavities import ROOM
from csvdprep.markers.cavities.inputs import Place, make_head, read_images, read_place
from csvdprep.markers.cavities.learned import load_model
from csvdprep.markers.cavities.science import Cavity, Found, Limits, find_cavities
from csvdprep.markers.cavities.science.counts import (
    BASAL_Z,
    BOSTON,
    CENTRUM_ABOVE,
    graded_slices,
    region_of,
    template_heights,
    worst_slice,
)
from csvdprep.science.lesion_rows import lesion_rows
from csvdprep.science.shapes import axial_axis, label_lesions

#: Regions of the atlas by their name here.
REGIONS = {'BG': 'basal', 'CSO': 'centrum', 'hippocampus': 'hippocampus', 'midbrain': 'midbrain'}
_DEEP = ('basal ganglia', 'thalamus', 'capsules')
_LOW = ('brainstem', 'cerebellum')
#: Thickness of slices (mm) from which half of the lacunes of phantoms are missed, and a third of
#: the perivascular spaces.
VERY_THICK_MM = 4.0


class _InputSpec(TraitedSpec):
    t1w = File(exists=True, desc='T1w as acquired')
    anat_preproc = File(exists=True, mandatory=True, desc='corrected T1w')
    brain_mask = File(exists=True, mandatory=True, desc='brain')
    csf_probseg = File(exists=True, mandatory=True, desc='probability of CSF')
    gm_probseg = File(exists=True, mandatory=True, desc='probability of grey matter')
    wm_probseg = File(exists=True, mandatory=True, desc='probability of white matter')
    ventricles = File(exists=True, mandatory=True, desc='lateral ventricles')
    structures_dseg = File(exists=True, mandatory=True, desc='deep structures')
    lobes_dseg = File(exists=True, mandatory=True, desc='lobes')
    territories_dseg = File(exists=True, mandatory=True, desc='vascular territories')
    mni_to_anat = File(exists=True, mandatory=True, desc='resamples template onto reference')
    flair_preproc = File(exists=True, desc='FLAIR')
    flair_to_anat = File(exists=True, desc='resamples FLAIR onto reference')
    wmh_mask = File(exists=True, desc='hyperintensities, on the FLAIR')
    t2w_preproc = File(exists=True, desc='T2w')
    t2w_to_anat = File(exists=True, desc='resamples T2w onto reference')
    lacune_external = traits.Dict(desc='mask of lacunes, and its image')
    pvs_external = traits.Dict(desc='mask of perivascular spaces, and its image')
    options = traits.Dict(desc='which candidates count')


class _OutputSpec(TraitedSpec):
    lacune_mask = File(exists=True, desc='lacunes')
    pvs_mask = File(exists=True, desc='perivascular spaces')
    cavity_candidates = File(exists=True, desc='numbers of the lists')
    lacune_lesions = File(exists=True, desc='list of lacunes')
    pvs_lesions = File(exists=True, desc='list of perivascular spaces')
    cavities_values = File(exists=True, desc='measures')


class Cavities(SimpleInterface):
    """Find lacunes and perivascular spaces, or take over masks of them."""

    input_spec = _InputSpec
    output_spec = _OutputSpec

    def _run_interface(self, runtime):
        folder = Path(runtime.cwd)
        files = {
            name: getattr(self.inputs, name)
            for name in self.inputs.copyable_trait_names()
            if name not in ('options', 'lacune_external', 'pvs_external')
            and isdefined(getattr(self.inputs, name))
        }
        place = read_place(files)
        head, told = make_head(place, read_images(files))
        model = load_model(head.images, thick=head.thick)
        found = find_cavities(
            head,
            model,
            Limits(**self.inputs.options),
            to_template=lambda points: map_points(points, files['mni_to_anat']),
        )
        found, origin = self._with_masks(found, place, files)
        rows = self._rows(found, place, files)
        lacunes, spaces = _lacune_rows(found, rows, place), _space_rows(found, rows, place)
        chosen = {
            'lacune_mask': [row['index'] for row in lacunes if row['status'] != 'possible'],
            'pvs_mask': [row['index'] for row in spaces if row['status'] != 'possible'],
        }
        for name, numbers in chosen.items():
            mask = np.isin(found.labels, numbers).astype(np.uint8)
            path = folder / f'{name}.nii.gz'
            self._results[name] = save(place.whole(mask), place.image, path)
        self._results['cavity_candidates'] = save(
            place.whole(found.labels.astype(np.int16)), place.image, folder / 'candidates.nii.gz'
        )
        for name, table in (('lacune_lesions', lacunes), ('pvs_lesions', spaces)):
            self._results[name] = write_rows(
                table, ROOM.makes[name].columns, folder / f'{name}.tsv'
            )
        values = _lacune_values(lacunes, head, told, origin['lacune'])
        values |= _space_values(spaces, found, place, head, told, files, origin['pvs'])
        values |= {
            'cavity_images': Value(head.images, reason='; '.join(told)),
            'lacune_origin': origin['lacune'],
            'pvs_origin': origin['pvs'],
            'qc_cavity_noise': head.t1w.noise,
        }
        self._results['cavities_values'] = write_values(folder / 'values.json', values, ROOM)
        return runtime

    def _with_masks(self, found: Found, place: Place, files) -> tuple[Found, dict[str, str]]:
        """Put the lesions of masks that were given in the place of ours; lacunes go first."""
        origin = {}
        labels, cavities = found.labels, list(found.cavities)
        for kind in ('lacune', 'pvs'):
            item = getattr(self.inputs, f'{kind}_external')
            origin[kind] = 'external' if isdefined(item) else 'csvdprep'
            if not isdefined(item):
                continue
            world = None if item['on'] == 't1w' else read_linear(files[f'{item["on"]}_to_anat'])
            mask = load_mask_on(
                item['mask'], place.image, matrix=world, labels=item.get('labels')
            )[place.box]
            status = f'{kind}_status'
            kept = [c for c in cavities if not (getattr(c, status) and c.kind in (kind, 'other'))]
            numbers = {c.number for c in kept}
            labels = np.where(np.isin(labels, [*numbers]) & (mask == 0), labels, 0)
            added, count = label_lesions(mask > 0, place.affine)
            start = max(numbers, default=0)
            labels = np.where(added > 0, added + start, labels).astype(np.int32)
            still = set(np.unique(labels).tolist())
            cavities = [c for c in kept if c.number in still]
            cavities += [_given(n + start, kind) for n in range(1, count + 1)]
        return _renumbered(labels, cavities, found.outside), origin

    def _rows(self, found: Found, place: Place, files) -> list[dict]:
        """Write what any list says of a lesion."""
        return lesion_rows(
            found.labels,
            place.affine,
            to_mni=lambda points: map_points(points, files['mni_to_anat']),
            side=sides(place.lobes),
            lobes=(place.lobes, label_names('lobes')),
            territories=(place.territories, label_names('territories')),
        )


def _given(number: int, kind: str) -> Cavity:
    """Describe a lesion of a mask that was given."""
    return Cavity(
        number=number,
        kind=kind,
        lacune=float(kind == 'lacune'),
        pvs=float(kind == 'pvs'),
        lacune_status='external' if kind == 'lacune' else '',
        pvs_status='external' if kind == 'pvs' else '',
        length_mm=0.0,
        width_mm=0.0,
        diameter_mm=0.0,
        fluid_mm3=0.0,
        facts={},
        reasons='given',
    )


def _renumbered(labels, cavities: list[Cavity], outside) -> Found:
    """Number lesions from 1 on, in their order."""
    table = np.zeros(
        int(max([labels.max(initial=0), *(c.number for c in cavities)])) + 1, np.int32
    )
    table[[c.number for c in cavities]] = np.arange(1, len(cavities) + 1)
    numbered = tuple(replace(c, number=n) for n, c in enumerate(cavities, start=1))
    return Found(table[labels], numbered, outside)


def _lacune_rows(found: Found, rows: list[dict], place: Place) -> list[dict]:
    """List lacunes and what may be some."""
    chosen = [c for c in found.cavities if c.lacune_status]
    numbers = [c.number for c in chosen]
    where = dict(zip(numbers, _places(found.labels, numbers, place), strict=True))
    return [
        rows[c.number - 1]
        | {
            'kind': c.kind,
            'status': c.lacune_status,
            'probability': None if c.lacune_status == 'external' else c.lacune,
            'pvs_probability': None if c.lacune_status == 'external' else c.pvs,
            'region': where[c.number],
            'reasons': c.reasons,
        }
        for c in chosen
    ]


def _places(labels, numbers: list[int], place: Place) -> list[str]:
    """Name the place in which most of each lesion lies."""
    deep = np.isin(place.lobes, labels_of('lobes', 'deep grey'))
    named = {
        'basal ganglia': ('caudate', 'putamen', 'pallidum'),
        'thalamus': ('thalamus',),
        'brainstem': ('brainstem',),
        'cerebellum': ('cerebellum',),
    }
    masks = {
        name: np.isin(place.structures, labels_of('structures', *words))
        for name, words in named.items()
    }
    inside = np.any([*masks.values()], axis=0)
    masks['capsules'] = deep & ~inside
    found = region_of(labels, int(labels.max(initial=0)), masks)
    return [found[number - 1] or 'lobar' for number in numbers]


def _space_rows(found: Found, rows: list[dict], place: Place) -> list[dict]:
    """List perivascular spaces and what may be some."""
    region = region_of(found.labels, len(found.cavities), _regions(place))
    voxel = float(np.prod(place.voxel_mm))
    return [
        rows[c.number - 1]
        | {
            'status': c.pvs_status,
            'probability': None if c.pvs_status == 'external' else c.pvs,
            'lacune_probability': None if c.pvs_status == 'external' else c.lacune,
            'region': region[c.number - 1] or 'other',
            'length_mm': c.length_mm or None,
            'width_mm': c.width_mm or None,
            'fluid_mm3': c.fluid_mm3 or rows[c.number - 1]['volume_mm3'] or voxel,
        }
        for c in found.cavities
        if c.pvs_status
    ]


def _regions(place: Place) -> dict[str, np.ndarray]:
    """Return the regions in which perivascular spaces are counted."""
    return {
        name: np.isin(place.regions, labels_of('pvsregions', word))
        for name, word in REGIONS.items()
    }


def _lacune_values(rows, head, told, origin) -> dict:
    """Give every measure of lacunes its value."""
    counting = [row for row in rows if row['status'] != 'possible']
    possible = len(rows) - len(counting)
    words, judged = list(told), ''
    if origin == 'external':
        words = []
    else:
        if possible:
            words.append(f'{possible} more may be lacunes: see the list')
        if head.flair is None:
            words.append('without a FLAIR: a lacune is not told from other dark lesions')
            judged = 'warn'
        if head.thick:
            missed = (
                'half of the lacunes' if head.voxel_mm.max() >= VERY_THICK_MM else 'small lacunes'
            )
            words.append(
                f'slices of {head.voxel_mm.max():.1f} mm: {missed} are missed, and a '
                'perivascular space across the slice looks like one'
            )
            judged = 'warn'

    def of(*places):
        return sum(row['region'] in places for row in counting)

    return {
        'lacune_n': Value(len(counting), reason='; '.join(words), qc=judged),
        'lacune_possible_n': possible,
        'lacune_deep_n': of(*_DEEP),
        'lacune_lobar_n': of('lobar'),
        'lacune_infratentorial_n': of(*_LOW),
        'lacune_volume_ml': sum(row['volume_mm3'] for row in counting) / 1000,
    }


def _space_values(rows, found, place, head, told, files, origin) -> dict:
    """Give every measure of perivascular spaces its value."""
    counting = [row for row in rows if row['status'] != 'possible']
    numbers = [row['index'] for row in counting]
    labels = np.where(np.isin(found.labels, numbers), found.labels, 0)
    words, judged = [], ''
    if origin != 'external':
        if head.t2w is None:
            words, judged = ['from the T1w: without a T2w fewer are seen'], 'warn'
        elif not head.use_t2w:
            words, judged = ['from the T1w: the T2w is coarser'], 'warn'
    thick = (
        f'slices of {head.voxel_mm.max():.1f} mm: counted within slices only, without faint ones'
    )
    if head.voxel_mm.max() >= VERY_THICK_MM:
        thick += ', and a third are missed'
    values = {}
    axis = axial_axis(place.affine)
    across = int(np.argmax(place.voxel_mm))
    gradable = not head.thick or axis == across
    for short, name in (('bg', 'BG'), ('cso', 'CSO')):
        region = _regions(place)[name]
        halves = _halves(labels, region, counting, name, place, head.thick)
        slices = _graded(short, place, files)
        if not (gradable and slices.any()):
            missing = Value(None, reason=_NOT_IN_IMAGE if gradable else _NOT_AXIAL)
            values |= {f'pvs_{short}_grade': missing, f'pvs_{short}_worst_n': missing}
            severe = missing
        else:
            worst = worst_slice(labels, halves, slices, axis, flat=head.thick)
            said = '; '.join([*words, *([thick] if head.thick else [])])
            flag = 'warn' if head.thick or judged else ''
            values |= {
                f'pvs_{short}_grade': Value(worst.grade, reason=said, qc=flag),
                f'pvs_{short}_worst_n': Value(worst.count, reason=said, qc=flag),
            }
            severe = Value('yes' if worst.count >= BOSTON else 'no', reason=said, qc=flag)
        own = [row for row in counting if row['region'] == name]
        ml = sum(row['fluid_mm3'] for row in own) / 1000
        total = region.sum() * float(np.prod(place.voxel_mm)) / 1000
        values |= _in_space(
            {
                f'pvs_{short}_n': len(own),
                f'pvs_{short}_ml': ml,
                f'pvs_{short}_pct': 100 * ml / max(total, 1e-3),
            },
            head.thick,
            thick,
        )
    values['pvs_cso_severe'] = severe
    counts = {
        f'pvs_{name}_n': sum(row['region'] == name for row in counting)
        for name in ('hippocampus', 'midbrain')
    }
    values['pvs_midbrain'] = Value(int(counts['pvs_midbrain_n'] > 0), reason='; '.join(words))
    values |= _in_space(counts, head.thick, thick)
    values['pvs_possible_n'] = len(rows) - len(counting)
    values['qc_pvs_total_n'] = len(counting)
    return values


_NOT_AXIAL = 'thick slices that are not axial: no count within them'
_NOT_IN_IMAGE = 'the slices in which they are graded are not in the image'


def _halves(labels, region, counting, name: str, place: Place, thick: bool) -> dict:
    """Return where spaces of either hemisphere are counted.

    In space each counts with all of its length where most of it lies; on thick slices what lies
    in the region does.
    """
    if thick:
        side = sides(place.lobes)
        return {text: region & (side == k) for k, text in ((1, 'left'), (2, 'right'))}
    own = [row for row in counting if row['region'] == name]
    return {
        text: np.isin(labels, [row['index'] for row in own if row['side'] == text])
        for text in ('left', 'right')
    }


def _in_space(values: dict, thick: bool, reason: str) -> dict:
    """Give what can only be counted in three dimensions, or say why it cannot."""
    return {k: Value(None, reason=reason) if thick else v for k, v in values.items()}


def _graded(short: str, place: Place, files) -> np.ndarray:
    """Choose the slices in which spaces are graded: bool, one for each; none if they are cut off.

    Slices are followed along their own axis: an oblique one crosses many heights of the world.
    """
    axis = axial_axis(place.affine)
    region = _regions(place)[{'bg': 'BG', 'cso': 'CSO'}[short]]
    count = region.shape[axis]
    held = region.any(axis=tuple(k for k in range(3) if k != axis))
    if not held.any():
        return np.zeros(count, bool)
    if short == 'bg':
        at = np.argwhere(region)
        # Not every nth: that may leave out whole slices.
        at = at[np.random.default_rng(0).permutation(len(at))[:4000]]
        z = map_points(apply_affine(place.affine, at), files['mni_to_anat'])[:, 2]
        return graded_slices(template_heights(at[:, axis], z, count), *BASAL_Z)
    ventricles = np.nonzero(load_part(files['ventricles'], place))[axis]
    if not len(ventricles):
        return np.zeros(count, bool)
    up = float(np.copysign(place.voxel_mm[axis], place.affine[2, axis]))
    heights = up * np.arange(count)
    roof = float(np.percentile(heights[ventricles], 99))
    heights[~held] = np.nan
    return graded_slices(heights, roof + CENTRUM_ABOVE[0], roof + CENTRUM_ABOVE[1])


def load_part(path: str, place: Place) -> np.ndarray:
    """Load a mask of the reference, cut to the brain."""
    return np.asanyarray(load(path).dataobj)[place.box] > 0
