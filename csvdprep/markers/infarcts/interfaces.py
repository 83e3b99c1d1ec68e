"""Files in, files out; the detection is in the science."""

from pathlib import Path

import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, isdefined, traits

from csvdprep.imaging.atlas import label_names, labels_on, sides
from csvdprep.imaging.images import load, load_mask_on, save
from csvdprep.interfaces.lists import write_rows
from csvdprep.interfaces.values import Value, write_values
from csvdprep.markers.infarcts import ROOM
from csvdprep.markers.infarcts.inputs import TraceScan, nonzero_labels, shares
from csvdprep.markers.infarcts.learned import load_model
from csvdprep.markers.infarcts.science import Found, Infarct, classify, find_infarcts
from csvdprep.markers.infarcts.science.evidence import evidence
from csvdprep.science.lesion_rows import lesion_rows
from csvdprep.science.shapes import label_lesions

_NONE = 'there is no recent small subcortical infarct'
#: Share of a voxel from which a mask that was given on another grid counts.
LEAST_SHARE = 0.3


class _InputSpec(TraitedSpec):
    trace_preproc = File(exists=True, mandatory=True, desc='trace image')
    adc_preproc = File(exists=True, mandatory=True, desc='ADC, mm2/s')
    trace_mask = File(exists=True, mandatory=True, desc='its brain')
    trace_to_anat = File(exists=True, mandatory=True, desc='resamples it onto the reference')
    gm_probseg = File(exists=True, mandatory=True, desc='probability of grey matter')
    csf_probseg = File(exists=True, mandatory=True, desc='probability of CSF')
    structures_dseg = File(exists=True, mandatory=True, desc='deep structures')
    lobes_dseg = File(exists=True, mandatory=True, desc='lobes')
    territories_dseg = File(exists=True, mandatory=True, desc='vascular territories')
    mni_to_anat = File(exists=True, mandatory=True, desc='resamples template onto reference')
    anat_to_mni = File(exists=True, mandatory=True, desc='resamples reference onto template')
    infarct_external = traits.Dict(desc='mask of infarcts, and its image')
    flair_to_anat = File(exists=True, desc='resamples FLAIR onto reference')
    definite = traits.Float(0.7, usedefault=True, desc='probability from which one counts')
    possible = traits.Float(0.2, usedefault=True, desc='probability from which one is listed')
    rssi_mm = traits.Float(20.0, usedefault=True, desc='largest axial diameter of a small one')


class _OutputSpec(TraitedSpec):
    infarct_mask = File(exists=True, desc='recent infarcts')
    rssi_mask = File(exists=True, desc='recent small subcortical infarcts')
    infarct_candidates = File(exists=True, desc='numbers of the list')
    infarct_lesions = File(exists=True, desc='list')
    infarcts_values = File(exists=True, desc='measures')


class Infarcts(SimpleInterface):
    """Find recent infarcts, or take over a mask of them."""

    input_spec = _InputSpec
    output_spec = _OutputSpec

    def _run_interface(self, runtime):
        given, folder = self.inputs, Path(runtime.cwd)
        scan = TraceScan.read(
            given.trace_preproc,
            given.trace_mask,
            given.trace_to_anat,
            given.mni_to_anat,
            given.anat_to_mni,
            given.flair_to_anat if isdefined(given.flair_to_anat) else None,
        )
        trace = np.asanyarray(scan.frame.image.dataobj, dtype=np.float32)
        adc = np.asanyarray(load(given.adc_preproc).dataobj, dtype=np.float32)
        parts = shares(scan.frame, given.gm_probseg, given.csf_probseg, given.structures_dseg)
        if isdefined(given.infarct_external):
            found, origin = self._take_over(scan, trace, adc, parts), 'external'
        else:
            origin = 'csvdprep'
            found = find_infarcts(
                trace,
                adc,
                scan.brain,
                scan.frame.image.affine,
                model=load_model(),
                mirror=scan.mirror,
                air=scan.near_air(),
                least=given.possible,
                rssi_mm=given.rssi_mm,
                **parts,
            )
        rows = self._rows(scan.frame, found, origin)
        counting = [row for row in rows if row['status'] != 'possible']
        small = [row for row in counting if row['kind'] == 'rssi']
        for name, chosen in (('infarct_mask', counting), ('rssi_mask', small)):
            mask = np.isin(found.labels, [row['index'] for row in chosen])
            path = folder / f'{name}.nii.gz'
            self._results[name] = save(mask.astype(np.uint8), scan.frame.image, path)
        self._results['infarct_candidates'] = save(
            found.labels.astype(np.int16), scan.frame.image, folder / 'candidates.nii.gz'
        )
        self._results['infarct_lesions'] = write_rows(
            rows, ROOM.makes['infarct_lesions'].columns, folder / 'lesions.tsv'
        )
        self._results['infarcts_values'] = write_values(
            folder / 'values.json', _values(rows, counting, small, origin), ROOM
        )
        return runtime

    def _rows(self, frame, found, origin):
        """Write a row for each candidate."""
        given = self.inputs
        lobes, territories = (
            labels_on(path, frame.image, matrix=frame.to_anat)
            for path in (given.lobes_dseg, given.territories_dseg)
        )
        rows = lesion_rows(
            found.labels,
            frame.image.affine,
            to_mni=lambda points: frame.in_template(points, given.mni_to_anat),
            side=sides(lobes),
            lobes=(lobes, label_names('lobes')),
            territories=(territories, label_names('territories')),
        )
        for row, item in zip(rows, found.infarcts, strict=True):
            status = 'definite' if item.probability >= given.definite else 'possible'
            row |= {
                'kind': item.kind,
                'status': 'external' if origin == 'external' else status,
                'probability': None if origin == 'external' else item.probability,
                'adc_1e3': 1e3 * item.adc,
                'adc_ratio': item.adc_ratio,
                'trace_ratio': item.trace_ratio,
                'reasons': item.reasons,
            }
        return rows

    def _take_over(self, scan, trace, adc, parts):
        """Describe the lesions of a mask that was given."""
        given, image = self.inputs, scan.frame.image
        item = given.infarct_external
        if item['on'] == 'trace':
            mask = load_mask_on(item['mask'], image, labels=item.get('labels'))
        else:
            # Small infarcts between thick slices are not to vanish.
            frame = 'flair' if item['on'] == 'flair' else 'anat'
            values = item.get('labels') or nonzero_labels(item['mask'])
            mask = scan.frame.share(item['mask'], frame, labels=values) >= LEAST_SHARE
        labels, count = label_lesions(mask > 0, image.affine)
        voxel_mm = np.sqrt((image.affine[:3, :3] ** 2).sum(axis=0))
        signs = evidence(trace, adc, scan.brain, voxel_mm, scan.mirror)
        found = []
        for number in range(1, count + 1):
            inside = labels == number
            kind = classify(
                inside, image.affine, parts['cortex'], parts['cerebellum'], given.rssi_mm
            )
            found.append(
                Infarct(
                    number,
                    1.0,
                    kind,
                    float(adc[inside].mean()),
                    float(np.exp(-signs.low[inside].mean())),
                    float(np.exp(signs.bright[inside].mean())),
                    'given',
                )
            )
        return Found(labels, tuple(found))


def _values(rows, counting, small, origin):
    """Give every declared measure its value."""
    missing = Value(None, reason=_NONE)
    volume = sum(row['volume_mm3'] for row in small)
    possible = [row for row in rows if row['status'] == 'possible']
    ratio = missing
    if small:
        ratio = Value(
            sum(row['adc_ratio'] * row['volume_mm3'] for row in small) / volume, n=len(small)
        )
    review = (
        ''
        if not possible
        else f'{len(possible)} other candidates are possible infarcts: see the list'
    )
    return {
        'rssi_n': Value(len(small), reason=review),
        'rssi_volume_ml': volume / 1000,
        'rssi_max_diam_mm': (
            Value(max(row['max_axial_diameter_mm'] for row in small)) if small else missing
        ),
        'rssi_adc_ratio': ratio,
        'rssi_possible_n': sum(row['kind'] == 'rssi' for row in possible),
        'recent_infarct_n': len(counting),
        'recent_infarct_ml': sum(row['volume_mm3'] for row in counting) / 1000,
        'recent_infarct_cortical_n': sum(row['kind'] == 'cortical' for row in counting),
        'recent_infarct_possible_n': len(possible),
        'infarct_origin': origin,
    }
