"""What a person may rate: names of markers, and the values that each may have."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = [
    'ADD',
    'CONSENSUS',
    'COUNTED',
    'DECIDED',
    'DECISION',
    'DECISIONS',
    'FAMILIES',
    'KINDS',
    'LISTS',
    'MARKERS',
    'MASKS',
    'REVIEWED',
    'VERDICTS',
    'Family',
    'Kind',
    'Marker',
    'Verdict',
    'read_verdict',
]

#: A rater of this name settles what others disagree about.
CONSENSUS = 'consensus'
#: What may be said of a candidate of a list.
VERDICTS = ('accept', 'reject')
#: What is said of a lesion that the list does not have; its place follows: 'add lobar'.
ADD = 'add'
#: Lists whose candidates may be reviewed, and what is on them.
LISTS: Mapping[str, str] = {
    'cmb_lesions': 'microbleeds',
    'lacune_lesions': 'lacunes',
    'infarct_lesions': 'recent infarcts',
}
#: Masks that a person may correct, and the result from outside as which a corrected one is taken.
MASKS: Mapping[str, str] = {
    'wmh_mask': 'wmh_external',
    'cmb_mask': 'cmb_external',
    'lacune_mask': 'lacune_external',
    'pvs_mask': 'pvs_external',
}
#: Whether a visit may be used, and what may be said of it.
DECISION = 'qc_decision'
#: Measure that hands it on.
DECIDED = 'review_decision'
DECISIONS: Mapping[str, str] = {
    'accept': 'may be used',
    'doubtful': 'may be used with care; the reason is given',
    'exclude': 'is not to be used; the reason is given',
}


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What a candidate of a list is, other than the list says.

    Parameters
    ----------
    name : str
        As in the column ``value``.
    title : str
        In words.
    counts : bool
        Whether it is a lesion of the list; then ``name`` is the part of the count.
    """

    name: str
    title: str
    counts: bool = False


def _kind(name: str, title: str, *, counts: bool = False) -> Kind:
    return Kind(name=name, title=title, counts=counts)


#: By list.
KINDS: Mapping[str, tuple[Kind, ...]] = {
    'cmb_lesions': (
        _kind('lobar', 'lobar microbleed', counts=True),
        _kind('deep', 'deep microbleed', counts=True),
        _kind('infratentorial', 'infratentorial microbleed', counts=True),
        _kind('vein', 'vein'),
        _kind('calcification', 'calcification'),
        _kind('mineral', 'mineral of the basal ganglia'),
        _kind('haemorrhage', 'haemorrhage larger than a microbleed'),
        _kind('artefact', 'artefact'),
    ),
    'lacune_lesions': (
        _kind('deep', 'deep lacune', counts=True),
        _kind('lobar', 'lobar lacune', counts=True),
        _kind('infratentorial', 'infratentorial lacune', counts=True),
        _kind('pvs', 'perivascular space'),
        _kind('infarct', 'old infarct larger than a lacune'),
        _kind('fluid', 'fluid of a sulcus or ventricle'),
        _kind('artefact', 'artefact'),
    ),
    'infarct_lesions': (
        _kind('rssi', 'recent small subcortical infarct', counts=True),
        _kind('cortical', 'recent infarct that reaches the cortex', counts=True),
        _kind('large', 'larger subcortical infarct', counts=True),
        _kind('cerebellar', 'recent infarct of the cerebellum', counts=True),
        _kind('old', 'not recent: old infarct or hyperintensity (T2 shine-through)'),
        _kind('haemorrhage', 'haemorrhage'),
        _kind('artefact', 'artefact'),
    ),
}


@dataclass(frozen=True)
class Verdict:
    """What a person says of a candidate.

    Attributes
    ----------
    counts : bool
        Whether it is a lesion of the list.
    place : str
        Part of the count that it belongs to, where the person says so.
    added : bool
        Whether the list does not have it.
    kind : str
        What it is, where it is none of the list and the person says so.
    """

    counts: bool
    place: str = ''
    added: bool = False
    kind: str = ''


def read_verdict(name: str, text: str) -> Verdict:
    """Read what is said of a candidate.

    Parameters
    ----------
    name : str
        One of `LISTS`.
    text : str
        'accept', 'reject', one of `KINDS`, or 'add' with one that counts.

    Raises
    ------
    ValueError
        If it is nothing that can be said; tells what can.

    Examples
    --------
    >>> read_verdict('cmb_lesions', 'vein')
    Verdict(counts=False, place='', added=False, kind='vein')
    >>> read_verdict('cmb_lesions', 'add lobar')
    Verdict(counts=True, place='lobar', added=True, kind='')
    >>> read_verdict('cmb_lesions', 'add')
    Traceback (most recent call last):
    ValueError: Write accept, reject, lobar, deep, infratentorial, vein, calcification, mineral,
    haemorrhage, artefact, add lobar, add deep or add infratentorial.
    """
    words = text.strip().lower().split()
    kinds = {kind.name: kind for kind in KINDS[name]}
    if words == ['accept'] or words == ['reject']:
        return Verdict(words == ['accept'])
    if len(words) == 1 and words[0] in kinds:
        found = kinds[words[0]]
        return Verdict(True, found.name) if found.counts else Verdict(False, kind=found.name)
    if len(words) == 2 and words[0] == ADD and words[1] in kinds and kinds[words[1]].counts:
        return Verdict(True, words[1], added=True)
    *known, last = (
        *VERDICTS,
        *kinds,
        *(f'{ADD} {kind.name}' for kind in kinds.values() if kind.counts),
    )
    raise ValueError(f'Write {", ".join(known)} or {last}.')


@dataclass(frozen=True, kw_only=True)
class Marker:
    """Something that a person may rate.

    Parameters
    ----------
    name : str
        As in the column ``marker``; the measure of the same name is what a detector says.
    title : str
        In words, as part of a sentence.
    most : int, optional
        Largest value; open for counts.
    levels : tuple of str
        Words for 0, 1, ... where the value is no number.
    """

    name: str
    title: str
    most: int | None = None
    levels: tuple[str, ...] = ()

    @property
    def highest(self) -> float:
        """The largest value, infinite for counts."""
        return math.inf if self.most is None else self.most

    @property
    def allowed(self) -> str:
        """Say which values it may have.

        Examples
        --------
        >>> MARKERS['fazekas_pv'].allowed, MARKERS['cmb_n'].allowed, MARKERS['css'].allowed
        ('a whole number from 0 to 3', 'a whole number from 0', 'none, focal, disseminated')
        """
        if self.levels:
            return ', '.join(self.levels)
        return 'a whole number from 0' + ('' if self.most is None else f' to {self.most}')

    def read(self, text: str) -> int:
        """Read a value, as people and spreadsheets write it.

        Raises
        ------
        ValueError
            If it may not have this value; says which it may have.

        Examples
        --------
        >>> MARKERS['cmb_n'].read('3.0'), MARKERS['css'].read('Focal')
        (3, 1)
        """
        if self.levels:
            word = text.strip().lower()
            if word in self.levels:
                return self.levels.index(word)
            raise ValueError(f'{self.name} has to be one of {self.allowed}')
        try:
            number = float(text.replace(',', '.'))
        except ValueError:
            number = math.nan
        if not (number.is_integer() and 0 <= number <= self.highest and number < 1e6):
            raise ValueError(f'{self.name} has to be {self.allowed}')
        return int(number)

    def word(self, value: int) -> str:
        """Write a value as it is read."""
        return self.levels[value] if self.levels else str(value)


@dataclass(frozen=True, kw_only=True)
class Family:
    """A count of lesions, and the counts of its parts.

    Parameters
    ----------
    total : str
        Marker that counts all of them.
    parts : mapping of str to str
        Markers that count some of them, each with a regular expression of the regions in lists,
        in lower case.
    whole : bool
        Whether each lesion is in one of the parts.
    list : str
        List of candidates.
    column : str
        Column of the list that tells the part.
    """

    total: str
    parts: Mapping[str, str]
    whole: bool
    list: str
    column: str = 'region'


#: Those that may be rated as a count, too, and that scores use.
FAMILIES = (
    Family(
        total='cmb_n',
        parts={
            'cmb_lobar_n': r'lobar|frontal|parietal|temporal|occipital|insula',
            'cmb_deep_n': r'deep|basal|thalam|capsule|callosum|periventricular',
            'cmb_infratentorial_n': r'infratent|cerebell|brain ?stem|pons|medulla|midbrain',
        },
        whole=True,
        list='cmb_lesions',
    ),
    Family(
        total='lacune_n',
        parts={
            'lacune_deep_n': r'deep|basal|thalam|capsule|caudate|putamen|pallid|\b(bg|ic)\b',
            'lacune_lobar_n': r'lobar|frontal|parietal|temporal|occipital|insula|semiovale|radiata'
            r'|\b(cso|cr)\b',
        },
        whole=False,
        list='lacune_lesions',
    ),
)
#: Those whose candidates are looked at.
REVIEWED = (
    *FAMILIES,
    Family(
        total='recent_infarct_n',
        parts={'rssi_n': r'rssi', 'recent_infarct_cortical_n': r'cortical'},
        whole=False,
        list='infarct_lesions',
        column='kind',
    ),
)


def _marker(name: str, title: str, **more) -> Marker:
    return Marker(name=name, title=title, **more)


_ALL = (
    _marker('fazekas_pv', 'periventricular Fazekas grade', most=3),
    _marker('fazekas_deep', 'deep Fazekas grade', most=3),
    _marker('wmh_multispot', 'multispot hyperintensities', most=1),
    _marker('lacune_n', 'lacunes'),
    _marker('lacune_deep_n', 'deep lacunes'),
    _marker('lacune_lobar_n', 'lobar lacunes'),
    _marker('cmb_n', 'microbleeds'),
    _marker('cmb_lobar_n', 'lobar microbleeds'),
    _marker('cmb_deep_n', 'deep microbleeds'),
    _marker('cmb_infratentorial_n', 'infratentorial microbleeds'),
    _marker('cmb_brainstem_n', 'microbleeds of the brainstem'),
    _marker('pvs_bg_grade', 'grade of perivascular spaces, basal ganglia', most=4),
    _marker('pvs_cso_grade', 'grade of perivascular spaces, centrum semiovale', most=4),
    _marker('pvs_bg_worst_n', 'perivascular spaces, basal ganglia, worst slice and side'),
    _marker('pvs_cso_worst_n', 'perivascular spaces, centrum semiovale, worst slice and side'),
    _marker('pvs_midbrain', 'perivascular spaces of the midbrain', most=1),
    _marker(
        'css', 'cortical superficial siderosis', most=2, levels=('none', 'focal', 'disseminated')
    ),
    _marker('ich_lobar_n', 'lobar intracerebral haemorrhages'),
    _marker('ich_deep_n', 'deep intracerebral haemorrhages'),
    _marker('microinfarct_n', 'cortical microinfarcts'),
)
#: By name.
MARKERS: Mapping[str, Marker] = {marker.name: marker for marker in _ALL}
#: What the counts of reviewed lists are of, by name.
COUNTED: Mapping[str, str] = {name: marker.title for name, marker in MARKERS.items()} | {
    'recent_infarct_n': 'recent infarcts',
    'rssi_n': 'recent small subcortical infarcts',
    'recent_infarct_cortical_n': 'recent infarcts that reach the cortex',
}
