"""Files in, files out; what a review says is in the science."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from nipype.interfaces.base import DynamicTraitedSpec, File, SimpleInterface, TraitedSpec, traits
from nipype.interfaces.io import add_traits

from csvdprep.core.ratings import CONSENSUS, DECIDED, DECISIONS
from csvdprep.imaging.images import load, save
from csvdprep.interfaces.candidates import read_candidates
from csvdprep.interfaces.lists import write_rows
from csvdprep.interfaces.values import Value, write_values
from csvdprep.markers.review import PARTS, ListRoom, reviewed_name
from csvdprep.markers.review.science import reviewed_mask
from csvdprep.science.lesion_review import Candidate, Review, counted, review


class _DecisionInput(TraitedSpec):
    ratings = traits.Dict(mandatory=True, desc='what persons said')


class _DecisionOutput(TraitedSpec):
    review_values = File(exists=True, desc='measures')


class Decision(SimpleInterface):
    """Tell what persons decided on a visit."""

    input_spec = _DecisionInput
    output_spec = _DecisionOutput

    def _run_interface(self, runtime):
        from csvdprep.markers.review import rooms_for

        room = rooms_for()[0]
        value = decide(self.inputs.ratings.get('decisions', ()))
        file = Path(runtime.cwd) / 'values.json'
        self._results['review_values'] = write_values(file, {DECIDED: value}, room)
        return runtime


def decide(decisions) -> Value:
    """Settle what persons decided on a visit.

    Parameters
    ----------
    decisions : sequence of mapping
        ``rater``, ``value`` and ``reason`` of each.

    Returns
    -------
    Value
        The most cautious, or that of 'consensus'.

    Examples
    --------
    >>> said = [{'rater': 'AB', 'value': 'accept', 'reason': ''},
    ...         {'rater': 'CD', 'value': 'exclude', 'reason': 'motion'}]
    >>> found = decide(said)
    >>> found.value, found.reason
    ('exclude', 'AB: accept; CD: exclude (motion)')
    """
    said = list(decisions)
    said = [item for item in said if item['rater'].lower() == CONSENSUS] or said
    if not said:
        return Value(None, reason='nobody decided on the use of the visit')
    words = (
        f'{item["rater"]}: {item["value"]}' + (f' ({item["reason"]})' if item['reason'] else '')
        for item in said
    )
    value = max((item['value'] for item in said), key=[*DECISIONS].index)
    return Value(value, reason='; '.join(words))


class _ListInput(DynamicTraitedSpec):
    ratings = traits.Dict(mandatory=True, desc='what persons said')
    added_mm = traits.Float(4.0, usedefault=True, desc='diameter of what was added')


class ReviewedList(SimpleInterface):
    """Count and draw the lesions of a list after its review."""

    input_spec = _ListInput
    output_spec = DynamicTraitedSpec

    def __init__(self, room: ListRoom | None = None, **inputs):
        self._room = room
        super().__init__(**inputs)
        if room is not None:
            add_traits(self.inputs, [name for name in room.needs if name != 'ratings'])

    def _outputs(self):
        outputs = super()._outputs()
        return add_traits(outputs, [*self._room.outputs()])

    def _run_interface(self, runtime):
        room, folder = self._room, Path(runtime.cwd)
        family = room.family
        mask_name, list_name = room.makes
        candidates = read_candidates(Path(getattr(self.inputs, family.list)), family.column)
        said = [
            (item['rater'], item['candidate'], item['value'])
            for item in self.inputs.ratings.get('ratings', ())
            if item['marker'] == family.list
        ]
        looked = review(candidates, said, family.list)
        image = load(getattr(self.inputs, room.needs[2]))
        labels = np.rint(np.asanyarray(image.dataobj)).astype(np.int32)
        mask = reviewed_mask(
            labels, image.affine, looked.candidates, added_mm=self.inputs.added_mm
        )
        self._results[mask_name] = save(
            mask.astype(np.uint8), image, folder / f'{mask_name}.nii.gz'
        )
        self._results[list_name] = write_rows(
            [_row(item, looked, candidates, family.column) for item in looked.candidates],
            room.makes[list_name].columns,
            folder / f'{list_name}.tsv',
        )
        values = _values(room, looked, candidates)
        self._results[f'{room.name}_values'] = write_values(folder / 'values.json', values, room)
        return runtime


def _row(item: Candidate, looked: Review, before: list[Candidate], column: str) -> dict:
    by = looked.by.get(item.index, ())
    machine = {one.index: one.probability for one in before if not one.excluded}
    place = item.position or (None, None, None)
    return {
        'index': item.index,
        **dict(zip('xyz', place, strict=True)),
        'status': 'lesion' if item.counts else 'no lesion',
        'source': 'added' if item.added else 'rater' if by else 'machine',
        'rater': ', '.join(by),
        PARTS[column].name: item.region,
        'kind': item.kind,
        'probability': machine.get(item.index),
    }


def _values(room: ListRoom, looked: Review, before: list[Candidate]) -> dict[str, Value]:
    """Count what is left; n/a where nobody looked at the list."""
    names = (room.family.total, *room.family.parts)
    if not looked.by:
        reason = '; '.join(looked.notes) or 'nobody looked at the candidates of the list'
        return {reviewed_name(name): Value(None, reason=reason) for name in names}
    seen = sum(item.index in looked.by for item in before)
    unseen = [item for item in before if not item.excluded and item.index not in looked.by]
    reason = '; '.join(
        (
            f'{seen} of {len(before)} candidates were looked at, by {", ".join(looked.raters)}',
            *looked.notes,
        )
    )
    left = unseen or looked.notes
    found = counted(looked.candidates, room.family)
    return {
        reviewed_name(name): Value(len(found[name]), reason=reason, qc='warn' if left else '')
        for name in names
    }
