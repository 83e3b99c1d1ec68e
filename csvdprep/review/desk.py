"""What the desk answers: the visits, a visit, its voxels; and what it keeps."""

from __future__ import annotations

import re
import threading
import time
import zlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from csvdprep import __version__
from csvdprep.bids.ratings import Row
from csvdprep.core.errors import InputError
from csvdprep.core.plan import Visit
from csvdprep.core.ratings import CONSENSUS, DECISION, DECISIONS, LISTS, MARKERS, MASKS
from csvdprep.graph.status import read_status
from csvdprep.group.agreement import COLUMNS as AGREEMENT
from csvdprep.group.agreement import agreement_rows
from csvdprep.group.tables import read_long
from csvdprep.review.layers import Layer, cached_mni, digest, find_layers, mask_array, voxels
from csvdprep.review.lists import LABELS, Listed, find_lists
from csvdprep.review.store import Store
from csvdprep.review.visits import Glance, glances, order

__all__ = ['Desk', 'NotFound', 'Refused']

#: Markers in the order of the form, by their heading.
FORM: Mapping[str, tuple[str, ...]] = {
    'White matter hyperintensities': ('fazekas_pv', 'fazekas_deep', 'wmh_multispot'),
    'Perivascular spaces': ('pvs_bg_grade', 'pvs_cso_grade', 'pvs_midbrain'),
    'Cortical superficial siderosis': ('css',),
    'Counts': (
        'lacune_n',
        'lacune_deep_n',
        'lacune_lobar_n',
        'cmb_n',
        'cmb_lobar_n',
        'cmb_deep_n',
        'cmb_infratentorial_n',
        'cmb_brainstem_n',
        'ich_lobar_n',
        'ich_deep_n',
        'microinfarct_n',
        'pvs_bg_worst_n',
        'pvs_cso_worst_n',
    ),
}
#: Seconds for which the list of visits is believed.
_FRESH_S = 20.0
#: Bytes of voxels that are kept.
_MOST_KEPT = 256 << 20
_TEXT = 200


class NotFound(Exception):  # noqa: N818
    """There is no such thing."""


class Refused(Exception):  # noqa: N818
    """The request cannot be meant, or is not allowed; its words say why."""


@dataclass
class Desk:
    """A desk over one output folder.

    Parameters
    ----------
    output_dir : Path
        Root of the derivatives; it is only read.
    store : Store
        Where ratings go.
    rater : str
        Who rates; empty if the page is to ask.
    blind : bool
        Whether the machine's opinion is not told.
    """

    output_dir: Path
    store: Store
    rater: str = ''
    blind: bool = False
    _seen: tuple[float, list[Glance]] = (0.0, [])
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _kept: OrderedDict[tuple, bytes] = field(default_factory=OrderedDict)

    def about(self) -> dict[str, Any]:
        """Tell the page what it is for."""
        return {
            'version': __version__,
            'folder': self.output_dir.name,
            'rater': self.rater,
            'blind': self.blind,
            'ratings': self.store.path.name,
            'decisions': dict(DECISIONS),
            'decision': DECISION,
            'form': [
                {
                    'title': title,
                    'markers': [
                        {
                            'name': name,
                            'title': MARKERS[name].title,
                            'most': MARKERS[name].most,
                            'levels': list(MARKERS[name].levels),
                        }
                        for name in names
                    ],
                }
                for title, names in FORM.items()
            ],
        }

    def visits(self, rater: str) -> dict[str, Any]:
        """List the visits, those that need a look first."""
        with self._lock:
            when, found = self._seen
            if time.monotonic() - when > _FRESH_S:
                found = glances(self.output_dir)
                self._seen = (time.monotonic(), found)
        rows = order(found, self.store.current(), rater)
        if self.blind:
            rows = [
                row | {'verdict': '', 'remarks': 0, 'unsure': 0}
                for row in sorted(rows, key=lambda row: (bool(row['decision']), row['visit']))
            ]
        return {'visits': rows}

    def visit(self, label: str, rater: str) -> dict[str, Any]:
        """Tell all about a visit but its voxels."""
        visit = self._visit(label)
        layers = [item.shown() for item in self._layers(visit)]
        frames = self._frames_of_lists(visit)
        lists = [
            item.shown(blind=self.blind) | {'frame': frames.get(LABELS[item.name], '')}
            for item in find_lists(self.output_dir, visit)
        ]
        status = read_status(self.output_dir, visit)
        remarks = [] if self.blind or status is None else [list(r) for r in status.remarks]
        return {
            'visit': visit.label,
            'layers': layers,
            'lists': lists,
            'remarks': remarks,
            'measured': {} if self.blind else self._measured(visit),
            'said': [_shown(row) for row in self._said(visit, rater)],
            'report': not self.blind and (self.output_dir / f'{visit.label}.html').is_file(),
        }

    def fragment(self, place: str) -> str:
        """Return the fragment of the page's address that opens it at a visit or a lesion.

        Parameters
        ----------
        place : str
            ``VISIT`` or ``VISIT/LABEL-INDEX``, as in ``sub-01_ses-1/CMB-3``.

        Raises
        ------
        NotFound
            If there is no such visit or lesion; says which there are.
        """
        label, _, lesion = place.partition('/')
        visit = self._visit(label)
        if not lesion:
            return f'#visit={quote(visit.label)}'
        listed = {LABELS[item.name].lower(): item for item in find_lists(self.output_dir, visit)}
        name, _, index = lesion.rpartition('-')
        found = listed.get(name.lower())
        if found is None:
            there = ', '.join(LABELS[item.name] for item in listed.values()) or 'none'
            raise NotFound(f'The visit has no list {name or lesion} (lists: {there}).')
        if index not in {str(row['index']) for row in found.rows}:
            raise NotFound(f'The list {name} has no row {index} ({len(found.rows)} rows).')
        return f'#visit={quote(visit.label)}&lesion={LABELS[found.name]}-{index}'

    def volume(self, label: str, key: str, step: int) -> bytes:
        """Return the voxels of an image of a visit, as NIfTI."""
        layer = self._layer(self._visit(label), key)
        if step not in (1, 2, 3, 4):
            raise Refused('The step has to be 1 to 4.')
        facts = layer.file.stat()
        known = (str(layer.file), facts.st_mtime_ns, facts.st_size, step)
        with self._lock:
            if known in self._kept:
                self._kept.move_to_end(known)
                return self._kept[known]
        data = voxels(layer, step=step)
        with self._lock:
            self._kept[known] = data
            while sum(map(len, self._kept.values())) > _MOST_KEPT and len(self._kept) > 1:
                self._kept.popitem(last=False)
        return data

    def edited(self, label: str, key: str, rater: str) -> bytes:
        """Return the mask as the rater left it; as the machine made it, if it was not edited."""
        visit = self._visit(label)
        layer = self._layer(visit, key)
        rows = [r for r in self._own(visit, rater) if r.marker == layer.mask]
        if not layer.mask or not rows:
            return self.volume(label, key, 1)
        file = self.store.path.parent / str(rows[-1].value)
        if not file.resolve().is_relative_to(self.store.folder.resolve()) or not file.is_file():
            raise NotFound('The edited mask is not there any more.')
        moved = Layer(**{**vars(layer), 'file': file})
        return voxels(moved)

    def mni(self, label: str, point: list[float]) -> dict[str, Any]:
        """Take a position of the reference to the template."""
        found = cached_mni(self.output_dir, self._visit(label), tuple(round(p, 1) for p in point))
        return {'mni': found}

    def rate(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Keep one rating.

        Parameters
        ----------
        given : mapping
            ``visit, rater, marker, value`` (None takes back), ``candidate, comment``.

        Returns
        -------
        dict
            The row as it was kept, and what the rater had said before (``before``).
        """
        visit = self._visit(_text(given, 'visit'))
        rater, marker = self._rater(given), _text(given, 'marker')
        candidate, value = _text(given, 'candidate'), given.get('value')
        if not (value is None or isinstance(value, str | int)):
            raise Refused('The value has to be a text or a number.')
        if marker in MASKS and value is not None:
            self._check_own_mask(visit, marker, str(value), rater)
        before = self._before(visit, rater, marker, candidate)
        row = self.store.add(
            visit,
            rater,
            marker,
            None if value is None else str(value),
            candidate=candidate,
            comment=_text(given, 'comment', 500),
            version=self._version(visit, marker),
        )
        return {'row': _shown(row), 'before': _shown(before) if before else None}

    def save_mask(self, label: str, key: str, rater: str, data: bytes) -> dict[str, Any]:
        """Keep a mask that the rater drew."""
        visit = self._visit(label)
        layer = self._layer(visit, key)
        rater = self._rater({'rater': rater})
        if not layer.mask:
            raise Refused(f'{key} cannot be edited.')
        if data[:2] == b'\x1f\x8b':
            data = _inflated(data, most=512 << 20)
        try:
            made, count = mask_array(layer, data)
        except ValueError as error:
            raise Refused(f'The mask does not fit: {error}.') from error
        before = self._before(visit, rater, layer.mask, '')
        version = self._version(visit, layer.mask)
        value = self.store.save_mask(
            visit,
            layer.file.name,
            made,
            {
                'Type': 'Lesion',
                'Description': f'{layer.title}, edited by a person.',
                'Rater': rater,
                'Sources': [layer.file.relative_to(self.output_dir).as_posix()],
                'SourceVersion': version,
                'Voxels': count,
            },
        )
        row = self.store.add(visit, rater, layer.mask, value, version=version)
        return {'row': _shown(row), 'before': _shown(before) if before else None, 'voxels': count}

    def agreement(self, rater: str) -> dict[str, Any]:
        """Compare raters with each other, and with what is measured."""
        if self.blind or not self.sees_others(rater):
            raise Refused(
                'How raters agree is told to the rater "consensus" alone, so that nobody learns '
                'what the others said.'
            )
        by_visit: dict[tuple, dict[str, dict[str, int]]] = {}
        for row in self.store.current():
            if row.marker in MARKERS:
                said = by_visit.setdefault((row.subject, row.session or None), {})
                said.setdefault(row.marker, {})[row.rater] = int(row.value or 0)
        found = []
        for (subject, session), said in by_visit.items():
            visit = Visit(subject, session)
            measured = {
                name: float(value)
                for name, value in self._measured(visit).items()
                if isinstance(value, int | float)
            }
            found.append((visit.label, said, measured))
        return {'columns': dict(AGREEMENT), 'rows': agreement_rows(found)}

    def sees_others(self, rater: str) -> bool:
        """Tell whether a rater is told what others said: who settles what they disagree about."""
        return rater.strip().lower() == CONSENSUS

    def _said(self, visit: Visit, rater: str) -> list[Row]:
        rows = self.store.current(visit)
        return rows if self.sees_others(rater) else [row for row in rows if row.rater == rater]

    def _own(self, visit: Visit, rater: str) -> list[Row]:
        return [row for row in self.store.current(visit) if row.rater == rater]

    def _before(self, visit: Visit, rater: str, marker: str, candidate: str) -> Row | None:
        same = [
            row
            for row in self._own(visit, rater)
            if row.marker == marker and row.candidate == candidate
        ]
        return same[-1] if same else None

    def _rater(self, given: Mapping[str, Any]) -> str:
        rater = self.rater or _text(given, 'rater', 40)
        if not rater:
            raise Refused('Tell who rates: initials or a number.')
        return rater

    def _visit(self, label: str) -> Visit:
        try:
            visit = Visit.of(label)
        except ValueError as error:
            raise NotFound('There is no such visit.') from error
        if not (self.output_dir / visit.log / 'status.json').is_file():
            raise NotFound('There is no such visit.')
        return visit

    def _layers(self, visit: Visit) -> list[Layer]:
        found = find_layers(self.output_dir, visit)
        return [item for item in found if not (self.blind and item.opinion)]

    def _frames_of_lists(self, visit: Visit) -> dict[str, str]:
        """Return the grid that positions of each list are about: that of the mask beside it.

        Who is blinded does not see the mask, but has to be led to the same place.
        """
        return {
            item.name.entities.get('label', ''): item.frame
            for item in reversed(find_layers(self.output_dir, visit))
            if item.kind == 'mask'
        }

    def _layer(self, visit: Visit, key: str) -> Layer:
        for item in self._layers(visit):
            if item.key == key:
                return item
        raise NotFound('There is no such image.')

    def _version(self, visit: Visit, marker: str) -> str:
        """Tell what was looked at: the list, the mask, or the results of the visit."""
        if marker in LISTS:
            listed: list[Listed] = find_lists(self.output_dir, visit)
            found = next((item.version for item in listed if item.name == marker), '')
        elif marker in MASKS:
            masks = [x for x in find_layers(self.output_dir, visit) if x.mask == marker]
            found = digest(masks[0].file) if masks else ''
        else:
            status = read_status(self.output_dir, visit)
            found = status.key[:12] if status else ''
        return f'{__version__}+{found}' if found else __version__

    def _measured(self, visit: Visit) -> dict[str, Any]:
        """Return what the machine says of the markers of the form."""
        rows = {row['measure']: row for row in read_long(self.output_dir, visit)}
        found: dict[str, Any] = {}
        for name in MARKERS:
            text = rows.get(name, {}).get('value', 'n/a')
            if re.fullmatch(r'-?\d+(\.\d+)?', text):
                found[name] = float(text) if '.' in text else int(text)
            elif text != 'n/a':
                found[name] = text
        return found

    def _check_own_mask(self, visit: Visit, marker: str, value: str, rater: str) -> None:
        """Refuse a mask that the rater never drew; who undoes names an earlier one."""
        drawn = {
            row.value
            for row in self.store.rows()
            if row.rater == rater
            and row.marker == marker
            and (row.subject, row.session or None) == (visit.subject, visit.session)
        }
        if value not in drawn:
            raise Refused('There is no such edited mask.')


def _shown(row: Row) -> dict[str, Any]:
    value = row.value
    if row.marker in MARKERS and isinstance(value, int):
        value = MARKERS[row.marker].word(value)
    return {
        'rater': row.rater,
        'marker': row.marker,
        'value': value,
        'candidate': row.candidate,
        'comment': row.comment,
        'time': row.time,
    }


def _text(given: Mapping[str, Any], name: str, most: int = _TEXT) -> str:
    text = given.get(name, '')
    if text is None:
        return ''
    if not isinstance(text, str) or len(text) > most:
        raise Refused(f'{name} has to be a text of at most {most} letters.')
    return text


def _inflated(data: bytes, *, most: int) -> bytes:
    """Take gzip apart, up to a size."""
    unpack = zlib.decompressobj(wbits=31)
    try:
        made = unpack.decompress(data, most + 1)
    except zlib.error as error:
        raise Refused('The mask cannot be read.') from error
    if len(made) > most:
        raise Refused('The mask is too large.')
    return made


#: What a request may raise that is the client's fault.
FAULTS = (Refused, InputError)
