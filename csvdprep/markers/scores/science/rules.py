"""The rules of each score, on bounds of the markers.

Every item is a function of markers that never falls as one of them rises, so that the points of
the lower bounds and those of the upper bounds are the least and the most that it can have. The
only rule that falls (a deep haemorrhage ends the pattern of Boston 2.0) swaps the bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from csvdprep.core.ratings import MARKERS
from csvdprep.markers.scores.science.findings import Finding, hull

__all__ = [
    'PATTERNS',
    'RULES',
    'Boston',
    'Item',
    'Score',
    'amin_amended',
    'amin_simple',
    'boston2',
    'caa',
    'caa4',
    'hypertensive',
    'lau',
    'staals',
]

#: Patterns of Boston 2.0, the lesser first.
PATTERNS = ('none', 'possible', 'probable')
Findings = Mapping[str, Finding]


@dataclass(frozen=True)
class Item:
    """Points of one item of a score.

    Attributes
    ----------
    score, name : str
        Which item of which score.
    low, high, most : int
        Least and most points that it can have here, and the most that it can have at all.
    found : Finding
        What it was judged by: value of the marker that decides, source, reason and lesions.
    value : str
        What is known of each marker of it.
    """

    score: str
    name: str
    low: int
    high: int
    most: int
    found: Finding
    value: str

    @property
    def known(self) -> bool:
        """Whether its points are certain."""
        return self.low == self.high

    @property
    def why(self) -> str:
        """Why they are not certain."""
        return self.found.reason or f'{self.name}: {self.value}'


@dataclass(frozen=True)
class Score:
    """A score, as a range where an input is missing.

    Attributes
    ----------
    name : str
        Its measure.
    items : tuple of Item
        Points of each item.
    """

    name: str
    items: tuple[Item, ...]

    @property
    def low(self) -> int:
        """The least that it can be."""
        return sum(item.low for item in self.items)

    @property
    def high(self) -> int:
        """The most that it can be."""
        return sum(item.high for item in self.items)

    @property
    def most(self) -> int:
        """The most that the scale has."""
        return sum(item.most for item in self.items)

    @property
    def known(self) -> bool:
        """Whether it has one value."""
        return self.low == self.high

    @property
    def known_items(self) -> int:
        """Number of items whose points are certain."""
        return sum(item.known for item in self.items)

    @property
    def measures(self) -> tuple[str, ...]:
        """Measures that it was computed from."""
        return tuple(dict.fromkeys(n for item in self.items for n in item.found.measures))

    @property
    def reason(self) -> str:
        """Why it is a range; empty where it has a value."""
        if self.known:
            return ''
        return f'{self.low} to {self.high} of {self.most}: {self.why}'

    @property
    def why(self) -> str:
        """Why items are not certain."""
        said = [item.why for item in self.items if not item.known]
        return '; '.join(dict.fromkeys(said))


@dataclass(frozen=True)
class Boston:
    """Imaging pattern of the Boston criteria 2.0, each as least and most.

    Attributes
    ----------
    lobar : tuple of float
        Strictly lobar haemorrhagic lesions.
    feature : tuple of bool
        Whether there is a white-matter feature.
    pattern : tuple of str
        'none', 'possible' or 'probable'.
    score : Score
        Its items, for the list; its total is no score.
    """

    lobar: tuple[float, float]
    feature: tuple[bool, bool]
    pattern: tuple[str, str]
    score: Score

    @property
    def measures(self) -> tuple[str, ...]:
        """Measures that it was computed from."""
        return self.score.measures


def staals(findings: Findings, *, bgpvs_threshold: int = 10) -> Score:
    """Compute the total score of small vessel disease, 0 to 4.

    Parameters
    ----------
    findings : mapping of str to Finding
        ``lacune_n``, ``cmb_n``, ``pvs_bg`` (grade), ``fazekas_pv``, ``fazekas_deep``.
    bgpvs_threshold : {10, 20}
        Perivascular spaces of the basal ganglia above which the item counts: 10 as Staals et al.,
        20 as in later reviews.

    Returns
    -------
    Score

    References
    ----------
    Staals et al. 2014, doi:10.1212/WNL.0000000000000837

    Examples
    --------
    >>> found = {'lacune_n': Finding.of(2), 'cmb_n': Finding.of(0), 'pvs_bg': Finding.of(2),
    ...          'fazekas_pv': Finding.of(3), 'fazekas_deep': Finding.of(1)}
    >>> score = staals(found)
    >>> score.low, score.high, [item.low for item in score.items]
    (3, 3, [1, 0, 1, 1])
    >>> score = staals({**found, 'cmb_n': Finding(0, 99, 'missing', 'no SWI')})
    >>> score.low, score.high, score.reason
    (3, 4, '3 to 4 of 4: no SWI')
    """
    least = 3 if bgpvs_threshold == 20 else 2
    return _score(
        'svd_staals',
        findings,
        ('lacunes', 1, ('lacune_n',), lambda n: n >= 1),
        ('microbleeds', 1, ('cmb_n',), lambda n: n >= 1),
        ('perivascular spaces, basal ganglia', 1, ('pvs_bg',), lambda grade: grade >= least),
        ('hyperintensities', 1, ('fazekas_pv', 'fazekas_deep'), _severe),
    )


def lau(findings: Findings) -> Score:
    """Compute the modified total score, 0 to 6.

    Parameters
    ----------
    findings : mapping of str to Finding
        As for `staals`.

    Returns
    -------
    Score

    References
    ----------
    Lau et al. 2017, doi:10.1212/WNL.0000000000004042

    Examples
    --------
    >>> found = {'lacune_n': Finding.of(1), 'cmb_n': Finding.of(5), 'pvs_bg': Finding.of(3),
    ...          'fazekas_pv': Finding.of(2), 'fazekas_deep': Finding.of(3)}
    >>> [item.low for item in lau(found).items]
    [1, 2, 1, 2]
    """
    return _score(
        'svd_lau',
        findings,
        ('lacunes', 1, ('lacune_n',), lambda n: n >= 1),
        ('microbleeds', 2, ('cmb_n',), lambda n: (n >= 1) + (n >= 5)),
        ('perivascular spaces, basal ganglia', 1, ('pvs_bg',), lambda grade: grade >= 3),
        (
            'hyperintensities',
            2,
            ('fazekas_pv', 'fazekas_deep'),
            lambda pv, deep: (pv + deep >= 3) + (pv + deep >= 5),
        ),
    )


def caa(findings: Findings) -> Score:
    """Compute the total score of cerebral amyloid angiopathy, 0 to 6.

    Parameters
    ----------
    findings : mapping of str to Finding
        ``cmb_lobar_n``, ``css`` (0 none, 1 focal, 2 disseminated), ``pvs_cso`` (grade),
        ``fazekas_pv``, ``fazekas_deep``.

    Returns
    -------
    Score

    References
    ----------
    Charidimou et al. 2016, doi:10.1001/jamaneurol.2016.0832

    Examples
    --------
    >>> found = {'cmb_lobar_n': Finding.of(1), 'css': Finding.of(2), 'pvs_cso': Finding.of(3),
    ...          'fazekas_pv': Finding.of(0), 'fazekas_deep': Finding.of(2)}
    >>> [item.low for item in caa(found).items]
    [0, 2, 1, 1]
    """
    return _score(
        'caa_score',
        findings,
        ('lobar microbleeds', 2, ('cmb_lobar_n',), lambda n: (n >= 2) + (n >= 5)),
        ('cortical superficial siderosis', 2, ('css',), lambda extent: extent),
        ('perivascular spaces, centrum semiovale', 1, ('pvs_cso',), lambda grade: grade >= 3),
        ('hyperintensities', 1, ('fazekas_pv', 'fazekas_deep'), _severe),
    )


def hypertensive(findings: Findings) -> Score:
    """Compute the score of hypertensive arteriopathy, 0 to 4.

    Parameters
    ----------
    findings : mapping of str to Finding
        ``lacune_deep_n``, ``cmb_deep_n``, ``pvs_bg`` (grade), ``fazekas_deep``.

    Returns
    -------
    Score

    Examples
    --------
    >>> found = {'lacune_deep_n': Finding.of(1), 'cmb_deep_n': Finding.of(0),
    ...          'pvs_bg': Finding.of(2), 'fazekas_deep': Finding.of(1)}
    >>> hypertensive(found).low
    2
    """
    return _score(
        'ha_score',
        findings,
        ('deep lacunes', 1, ('lacune_deep_n',), lambda n: n >= 1),
        ('deep microbleeds', 1, ('cmb_deep_n',), lambda n: n >= 1),
        ('perivascular spaces, basal ganglia', 1, ('pvs_bg',), lambda grade: grade >= 2),
        ('deep hyperintensities', 1, ('fazekas_deep',), lambda deep: deep >= 2),
    )


def caa4(findings: Findings) -> Score:
    """Compute the score of amyloid angiopathy that is the twin of `hypertensive`, 0 to 4.

    Parameters
    ----------
    findings : mapping of str to Finding
        ``lacune_lobar_n``, ``cmb_lobar_n``, ``pvs_cso`` (grade), ``fazekas_pv``, ``fazekas_deep``.

    Returns
    -------
    Score

    Examples
    --------
    >>> found = {'lacune_lobar_n': Finding.of(0), 'cmb_lobar_n': Finding.of(1),
    ...          'pvs_cso': Finding.of(2), 'fazekas_pv': Finding.of(3),
    ...          'fazekas_deep': Finding(0, 3, 'missing')}
    >>> caa4(found).low, caa4(found).high
    (3, 3)
    """
    return _score(
        'caa4_score',
        findings,
        ('lobar lacunes', 1, ('lacune_lobar_n',), lambda n: n >= 1),
        ('lobar microbleeds', 1, ('cmb_lobar_n',), lambda n: n >= 1),
        ('perivascular spaces, centrum semiovale', 1, ('pvs_cso',), lambda grade: grade >= 2),
        ('hyperintensities', 1, ('fazekas_pv', 'fazekas_deep'), _severe),
    )


def amin_simple(findings: Findings) -> Score:
    """Compute the simple score, 0 to 3: lacunes, microbleeds, (early) confluent hyperintensities.

    Parameters
    ----------
    findings : mapping of str to Finding
        ``lacune_n``, ``cmb_n``, ``fazekas_pv``, ``fazekas_deep``; the higher grade counts.

    Returns
    -------
    Score

    References
    ----------
    Amin Al Olama et al. 2020, doi:10.1212/WNL.0000000000009141; the items are not checked
    against the paper.

    Examples
    --------
    >>> found = {'lacune_n': Finding.of(1), 'cmb_n': Finding.of(1), 'fazekas_pv': Finding.of(2),
    ...          'fazekas_deep': Finding.of(0)}
    >>> amin_simple(found).low
    3
    """
    return _score(
        'svd_amin_simple',
        findings,
        ('lacunes', 1, ('lacune_n',), lambda n: n >= 1),
        ('microbleeds', 1, ('cmb_n',), lambda n: n >= 1),
        (
            'hyperintensities',
            1,
            ('fazekas_pv', 'fazekas_deep'),
            lambda pv, deep: max(pv, deep) >= 2,
        ),
    )


def amin_amended(findings: Findings) -> Score:
    """Compute the amended score, 0 to 7.

    Parameters
    ----------
    findings : mapping of str to Finding
        As for `amin_simple`.

    Returns
    -------
    Score

    References
    ----------
    As for `amin_simple`.

    Examples
    --------
    >>> found = {'lacune_n': Finding.of(4), 'cmb_n': Finding.of(1), 'fazekas_pv': Finding.of(3),
    ...          'fazekas_deep': Finding.of(0)}
    >>> [item.low for item in amin_amended(found).items]
    [2, 1, 3]
    """
    return _score(
        'svd_amin_amended',
        findings,
        ('lacunes', 3, ('lacune_n',), lambda n: (n >= 1) + (n >= 3) + (n > 5)),
        ('microbleeds', 1, ('cmb_n',), lambda n: n >= 1),
        ('hyperintensities', 3, ('fazekas_pv', 'fazekas_deep'), max),
    )


def boston2(findings: Findings) -> Boston:
    """Tell the imaging pattern of the Boston criteria 2.0: no diagnosis.

    Age (50 years or more), presentation and other causes are not looked at.

    Parameters
    ----------
    findings : mapping of str to Finding
        ``cmb_lobar_n``, ``ich_lobar_n``, ``css`` (focal counts as one focus, disseminated as
        two), ``cmb_deep_n``, ``cmb_brainstem_n``, ``ich_deep_n``, ``pvs_cso`` (grade) and
        ``wmh_multispot``. Lesions of the cerebellum are neither lobar nor deep.

    Returns
    -------
    Boston
        Probable: no deep haemorrhage, and two lobar lesions, or one and a white-matter feature.
        Possible: no deep haemorrhage, and one lobar lesion, or a white-matter feature.

    References
    ----------
    Charidimou et al. 2022, doi:10.1016/S1474-4422(22)00208-3

    Examples
    --------
    >>> none = {name: Finding.of(0) for name in ('cmb_lobar_n', 'ich_lobar_n', 'css', 'pvs_cso',
    ...         'cmb_deep_n', 'cmb_brainstem_n', 'ich_deep_n', 'wmh_multispot')}
    >>> boston2({**none, 'cmb_lobar_n': Finding.of(1), 'pvs_cso': Finding.of(3)}).pattern
    ('probable', 'probable')
    >>> boston2({**none, 'cmb_lobar_n': Finding(1, 9)}).pattern
    ('possible', 'probable')
    """
    score = _score(
        'boston2',
        findings,
        (
            'lobar haemorrhagic lesions',
            0,
            ('cmb_lobar_n', 'ich_lobar_n', 'css'),
            lambda bleeds, haemorrhages, foci: bleeds + haemorrhages + foci,
        ),
        (
            'deep haemorrhagic lesions',
            0,
            ('cmb_deep_n', 'cmb_brainstem_n', 'ich_deep_n'),
            lambda bleeds, stem, haemorrhages: bleeds + stem + haemorrhages,
        ),
        (
            'white-matter feature',
            1,
            ('pvs_cso', 'wmh_multispot'),
            lambda grade, spots: grade >= 3 or spots >= 1,
        ),
    )
    lobar, deep, feature = score.items
    strictly = (lobar.low if deep.high == 0 else 0, lobar.high if deep.low == 0 else 0)
    return Boston(
        strictly,
        (bool(feature.low), bool(feature.high)),
        (
            _pattern(lobar.low, deep.high, feature.low),
            _pattern(lobar.high, deep.low, feature.high),
        ),
        score,
    )


def _pattern(lobar: float, deep: float, feature: float) -> str:
    if deep:
        return 'none'
    if lobar >= 2 or (lobar >= 1 and feature):
        return 'probable'
    return 'possible' if lobar >= 1 or feature else 'none'


def _severe(pv: float, deep: float) -> bool:
    return deep >= 2 or pv >= 3


def _score(name: str, findings: Findings, *items) -> Score:
    """Judge items: name, most points, markers, and points by the values of these."""
    return Score(name, tuple(_item(name, findings, *item) for item in items))


def _item(
    score: str,
    findings: Findings,
    name: str,
    most: int,
    takes: tuple[str, ...],
    points: Callable[..., float],
) -> Item:
    found = [findings[marker] for marker in takes]
    low, high = (points(*(getattr(f, side) for f in found)) for side in ('low', 'high'))
    # A marker that is not known, and does not matter here, is no reason for anything.
    unsure = [f for f in found if not f.known] if low != high else []
    reasons = dict.fromkeys(f.reason for f in (unsure or found) if f.reason)
    used = [f for f in found if f.source != 'missing'] or found
    whole = replace(
        hull(used if low == high else found),
        reason='; '.join(reasons) if low != high else '; '.join(_notes(used)),
    )
    value = '; '.join(
        f'{marker} {_text(marker, f)}' for marker, f in zip(takes, found, strict=True)
    )
    return Item(score, name, _whole(low), _whole(high), most, whole, value)


def _text(name: str, found: Finding) -> str:
    marker = MARKERS.get(name)
    if found.source == 'missing':
        return 'not known'
    if marker is None or not marker.levels:
        return str(found)
    words = [marker.word(int(value)) for value in (found.low, found.high)]
    return ' to '.join(dict.fromkeys(words))


def _notes(found: list[Finding]) -> list[str]:
    return list(dict.fromkeys(f.reason for f in found if f.reason))


def _whole(points: float) -> float:
    return points if points == float('inf') else int(points)


#: Scores that are sums of points, by the name of their measure.
RULES: Mapping[str, Callable[..., Score]] = {
    'svd_staals': staals,
    'svd_lau': lau,
    'caa_score': caa,
    'caa4_score': caa4,
    'ha_score': hypertensive,
    'svd_amin_simple': amin_simple,
    'svd_amin_amended': amin_amended,
}
