"""Files in, files out; the detection is in the science."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, isdefined, traits
from scipy import ndimage as ndi

from csvdprep.imaging.atlas import label_names, labels_on, sides
from csvdprep.imaging.echoes import load_magnitudes
from csvdprep.imaging.frame import ImageFrame
from csvdprep.imaging.images import load, load_mask_on, save
from csvdprep.interfaces.lists import write_rows
from csvdprep.interfaces.values import Value, write_values
from csvdprep.markers.microbleeds import ROOM
from csvdprep.markers.microbleeds.inputs import anatomy_on, nonzero_labels
from csvdprep.markers.microbleeds.learned import load_model
from csvdprep.markers.microbleeds.science import Bleed, Found, find_microbleeds, region_of
from csvdprep.markers.microbleeds.science.evidence import THICK_MM
from csvdprep.markers.microbleeds.science.regions import WHITE, pattern
from csvdprep.science.lesion_rows import lesion_rows, most_within
from csvdprep.science.morphology import bounding_box
from csvdprep.science.shapes import axial_diameter, label_lesions

#: Share of a voxel from which a mask that was given on another grid counts.
LEAST_SHARE = 0.3
#: Voxels around the brain that are kept.
MARGIN = 6
#: Least product of echo time and field (ms T) at which small microbleeds are seen.
LEAST_WEIGHTING = 30.0
#: Field (T) that is assumed for it where no sidecar tells: the lowest that is usual.
LEAST_TESLA = 1.5
#: Diameter of the two classes of BOMBS, mm.
BOMBS_MM = 5.0


class _InputSpec(TraitedSpec):
    gre = traits.Dict(mandatory=True, desc='echoes, or the SWI of the scanner')
    gre_mag = File(exists=True, mandatory=True, desc='magnitude')
    gre_mask = File(exists=True, mandatory=True, desc='its brain')
    gre_to_anat = File(exists=True, mandatory=True, desc='resamples it onto the reference')
    gm_probseg = File(exists=True, mandatory=True, desc='probability of grey matter')
    csf_probseg = File(exists=True, mandatory=True, desc='probability of CSF')
    structures_dseg = File(exists=True, mandatory=True, desc='deep structures')
    lobes_dseg = File(exists=True, mandatory=True, desc='lobes')
    territories_dseg = File(exists=True, mandatory=True, desc='vascular territories')
    mni_to_anat = File(exists=True, mandatory=True, desc='resamples template onto reference')
    gre_chi = File(exists=True, desc='susceptibility, ppm')
    cmb_external = traits.Dict(desc='mask of microbleeds, and its image')
    flair_to_anat = File(exists=True, desc='resamples FLAIR onto reference')
    definite = traits.Float(0.7, usedefault=True, desc='probability from which one counts')
    definite_swi = traits.Float(0.9, usedefault=True, desc='the same on the SWI of the scanner')
    possible = traits.Float(0.2, usedefault=True, desc='probability from which one is listed')
    deep_mm = traits.Float(10.0, usedefault=True, desc='from ventricles to deep white matter')
    largest_mm = traits.Float(10.0, usedefault=True, desc='diameter of the largest')


class _OutputSpec(TraitedSpec):
    cmb_mask = File(exists=True, desc='microbleeds that count')
    cmb_candidates = File(exists=True, desc='numbers of the list')
    cmb_lesions = File(exists=True, desc='list')
    microbleeds_values = File(exists=True, desc='measures')


class Microbleeds(SimpleInterface):
    """Find microbleeds, or take over a mask of them."""

    input_spec = _InputSpec
    output_spec = _OutputSpec

    def _run_interface(self, runtime):
        given, folder = self.inputs, Path(runtime.cwd)
        flair = given.flair_to_anat if isdefined(given.flair_to_anat) else None
        whole = ImageFrame.read(given.gre_mag, given.gre_to_anat, {'flair': flair})
        brain = np.asanyarray(load(given.gre_mask).dataobj) > 0
        box = bounding_box(brain, MARGIN)
        frame = _part(whole, box)
        brain = brain[box]
        anatomy = anatomy_on(frame, given.gm_probseg, given.csf_probseg, given.structures_dseg)
        late = late_echoes(given.gre)
        if isdefined(given.cmb_external):
            found, origin = self._take_over(frame, box, whole), 'external'
        else:
            chi = None
            if isdefined(given.gre_chi):
                chi = np.asanyarray(load(given.gre_chi).dataobj, dtype=np.float32)[box]
            origin = 'csvdprep'
            found = find_microbleeds(
                _searched(frame, given.gre['echoes'], late, box),
                brain,
                frame.image.affine,
                model=load_model(),
                anatomy=anatomy,
                chi=chi,
                least=given.possible,
            )
        rows = self._rows(frame, found, origin, anatomy)
        counting = [row for row in rows if row['status'] in ('definite', 'external')]
        labels = np.zeros(whole.image.shape[:3], np.int16)
        labels[box] = found.labels
        mask = np.isin(labels, [row['index'] for row in counting])
        self._results['cmb_mask'] = save(
            mask.astype(np.uint8), whole.image, folder / 'mask.nii.gz'
        )
        self._results['cmb_candidates'] = save(labels, whole.image, folder / 'candidates.nii.gz')
        self._results['cmb_lesions'] = write_rows(
            rows, ROOM.makes['cmb_lesions'].columns, folder / 'lesions.tsv'
        )
        self._results['microbleeds_values'] = write_values(
            folder / 'values.json',
            _values(
                rows,
                counting,
                origin,
                whole.voxel_mm,
                given.gre,
                signed=isdefined(given.gre_chi),
                deep_mm=given.deep_mm,
            ),
            ROOM,
        )
        return runtime

    def _rows(self, frame, found, origin, anatomy):
        """Write a row for each candidate."""
        given, image = self.inputs, frame.image
        lobes, territories, structures = (
            labels_on(path, image, matrix=frame.to_anat)
            for path in (given.lobes_dseg, given.territories_dseg, given.structures_dseg)
        )
        rows = lesion_rows(
            found.labels,
            image.affine,
            to_mni=lambda points: frame.in_template(points, given.mni_to_anat),
            side=sides(lobes),
            lobes=(lobes, label_names('lobes')),
            territories=(territories, label_names('territories')),
        )
        ventricles = [k for k, name in label_names('structures').items() if 'lateral' in name]
        away = frame.distance(np.isin(structures, ventricles)) if rows else None
        boxes = ndi.find_objects(found.labels)
        for row, item, box in zip(rows, found.bleeds, boxes, strict=True):
            inside = found.labels[box] == item.number
            near = _widened(box, found.labels.shape, frame.voxel_mm)
            from_ventricle = float(away[box][inside].min())
            place = region_of(
                most_within(structures, label_names('structures'), box, inside),
                row['lobe'],
                cortex=float(anatomy['cortex'][near].mean()),
                ventricle_mm=from_ventricle,
                deep_mm=given.deep_mm,
            )
            row |= {
                'kind': place.category,
                'region': place.region,
                'ventricle_mm': from_ventricle,
                'status': _status(item, origin, given),
                'probability': None if origin == 'external' else item.probability,
                'size': _size(item.diameter_mm, given.largest_mm),
                'diameter_mm': item.diameter_mm,
                'contrast_pct': None if origin == 'external' else 100 * item.contrast,
                'sign': {1: 'paramagnetic', -1: 'diamagnetic', 0: 'not known'}[item.sign],
                'chi_ppm': item.chi_ppm,
                'reasons': item.reasons,
            }
        return rows

    def _take_over(self, frame, box, whole):
        """Describe the lesions of a mask that was given."""
        item = self.inputs.cmb_external
        if item['on'] == 'gre':
            mask = load_mask_on(item['mask'], whole.image, labels=item.get('labels'))
            mask = np.asarray(mask)[box]
        else:
            # Small lesions between thick slices are not to vanish.
            other = 'flair' if item['on'] == 'flair' else 'anat'
            values = item.get('labels') or nonzero_labels(item['mask'])
            mask = frame.share(item['mask'], other, labels=values) >= LEAST_SHARE
        labels, count = label_lesions(mask > 0, frame.image.affine)
        bleeds, centres = [], []
        for number in range(1, count + 1):
            inside = labels == number
            wide = axial_diameter(inside, frame.image.affine)
            bleeds.append(Bleed(number, 1.0, wide, float('nan'), 0, None, 'given'))
            centres.append(np.round(np.argwhere(inside).mean(axis=0)).astype(int))
        return Found(labels, tuple(bleeds), np.array(centres, int).reshape(-1, 3))


def late_echoes(gre: Mapping[str, Any]) -> list[int]:
    """Choose the echoes that show microbleeds.

    Parameters
    ----------
    gre : mapping
        ``echoes``, each with ``time`` (s, or None), and ``tesla``.

    Returns
    -------
    list of int
        Those whose echo time times field is at least 30 ms T, else the latest; all where a time
        is not known.

    Examples
    --------
    >>> times = (0.005, 0.011, 0.017)
    >>> late_echoes({'echoes': [{'time': time} for time in times], 'tesla': 3.0})
    [1, 2]
    >>> late_echoes({'echoes': [{'time': time} for time in times], 'tesla': 1.5})
    [2]
    """
    times = [echo.get('time') for echo in gre.get('echoes') or ()]
    if None in times:
        return list(range(len(times)))
    tesla = gre.get('tesla') or LEAST_TESLA
    late = [k for k, time in enumerate(times) if 1000 * time * tesla >= LEAST_WEIGHTING]
    return late or [k for k, time in enumerate(times) if time == max(times)]


def _searched(frame: ImageFrame, echoes, late: list[int], box) -> np.ndarray:
    """Return the magnitude in which microbleeds are sought: of the late echoes alone.

    The one of all echoes is corrected for shading; what the late ones have of it is the same.
    """
    whole = np.asanyarray(frame.image.dataobj, dtype=np.float32)
    if len(late) == len(echoes):
        return whole
    _, magnitude = load_magnitudes(echoes)
    power = np.square(magnitude[box])
    every = np.sqrt(power.mean(axis=-1))
    least = max(float(every.max()) * 1e-6, np.finfo(np.float32).tiny)
    share = np.sqrt(power[..., late].mean(axis=-1)) / np.maximum(every, least)
    return (whole * share).astype(np.float32)


def _part(frame: ImageFrame, box: tuple[slice, ...]) -> ImageFrame:
    """Return a part of a grid, with its image."""
    affine = frame.image.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [edge.start for edge in box]
    data = np.asanyarray(frame.image.dataobj, dtype=np.float32)[box]
    return ImageFrame(nib.Nifti1Image(data, affine), frame.ways)


def _widened(box, shape, voxel_mm) -> tuple[slice, ...]:
    """Return a box and two millimetres around it."""
    return tuple(
        slice(max(edge.start - r, 0), min(edge.stop + r, n))
        for edge, n, r in zip(box, shape, np.round(2 / voxel_mm).astype(int), strict=True)
    )


def _status(item: Bleed, origin: str, given) -> str:
    if origin == 'external':
        return 'external'
    if item.sign < 0:
        return 'calcification'
    least = given.definite if given.gre.get('echoes') else given.definite_swi
    sure = item.probability >= least and item.diameter_mm <= given.largest_mm
    return 'definite' if sure else 'possible'


def _size(diameter_mm: float, largest_mm: float) -> str:
    if diameter_mm > largest_mm:
        return 'over 10 mm'
    return 'under 5 mm' if diameter_mm < BOMBS_MM else '5 to 10 mm'


def _doubts(voxel_mm, gre) -> list[str]:
    """Say what the scan does not show well."""
    words = []
    thick = float(max(voxel_mm))
    if thick > THICK_MM:
        words.append(
            f'slices of {thick:.1f} mm: a vein across them looks like a microbleed, and small '
            'microbleeds are missed'
        )
    echoes = gre.get('echoes') or ()
    times = [1000 * echo['time'] for echo in echoes if echo.get('time')]
    tesla = gre.get('tesla')
    if echoes and not times:
        words.append(
            'no EchoTime in the sidecar: whether the echo is late enough to show small '
            'microbleeds is not known'
        )
    elif times and max(times) * (tesla or LEAST_TESLA) < LEAST_WEIGHTING:
        field = f'{tesla:g} T' if tesla else 'a field that the sidecar does not tell'
        words.append(f'echo time of {max(times):.0f} ms at {field}: small microbleeds are missed')
    return words


def _by_distance(kinds: Mapping[str, list], *, given_mm: float) -> list[str]:
    """Say how many are deep by their distance from the ventricles alone, and if that matters."""
    near = [row for row in kinds['deep'] if row['region'] == WHITE]
    if not near:
        return []
    words = (
        f'{len(near)} deep by lying up to {given_mm:g} mm from a lateral ventricle, outside of '
        'nuclei and capsules'
    )
    counts = {kind: len(found) for kind, found in kinds.items()}
    moved = counts | {'lobar': counts['lobar'] + len(near), 'deep': counts['deep'] - len(near)}
    if pattern(moved) != pattern(counts):
        words += f'; counted as lobar, the pattern would be {pattern(moved)}'
    return [words]


def _values(rows, counting, origin, voxel_mm, gre, *, signed: bool, deep_mm: float = 10.0):
    """Give every declared measure its value."""
    possible = [row for row in rows if row['status'] == 'possible']
    doubts = [] if origin == 'external' else _doubts(voxel_mm, gre)
    qc = 'warn' if doubts else ''
    review = [f'{len(possible)} more may be microbleeds: see the list'] if possible else []
    if counting and origin != 'external' and not signed:
        review.append('without phase, calcifications among them are not told from microbleeds')

    def count(chosen, more=()) -> Value:
        return Value(len(chosen), reason='; '.join([*doubts, *more]), qc=qc)

    kinds = {
        kind: [row for row in counting if row['kind'] == kind]
        for kind in ('lobar', 'deep', 'infratentorial')
    }
    told = _by_distance(kinds, given_mm=deep_mm)
    thick = max(voxel_mm) > THICK_MM
    weighted = not gre.get('echoes')
    return {
        'cmb_n': count(counting, review),
        'cmb_possible_n': len(possible),
        'cmb_lobar_n': count(kinds['lobar']),
        'cmb_deep_n': count(kinds['deep'], told),
        'cmb_infratentorial_n': count(kinds['infratentorial']),
        'cmb_lt5mm_n': count([r for r in counting if r['size'] == 'under 5 mm']),
        'cmb_5to10mm_n': count([r for r in counting if r['size'] == '5 to 10 mm']),
        'cmb_calcification_n': sum(row['status'] == 'calcification' for row in rows),
        'cmb_pattern': Value(
            pattern({kind: len(found) for kind, found in kinds.items()}),
            reason='; '.join([*doubts, *told]),
            qc=qc,
        ),
        'cmb_sequence': f'{"2D" if thick else "3D"} {"SWI" if weighted else "T2*"}',
        'cmb_origin': origin,
    }
