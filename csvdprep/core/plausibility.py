"""Measures that have to agree with each other: declared checks, used by the code and the docs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

__all__ = ['CHECKS', 'Apart', 'Contradiction', 'Share', 'checks_table', 'contradictions']


@dataclass(frozen=True)
class Contradiction:
    """Measures of a visit that do not agree.

    Parameters
    ----------
    name : str
        Of the check.
    flag : {'warn', 'fail'}
        By size.
    words : str
        A sentence for the report.
    concerns : tuple of str
        Measures that are flagged.
    """

    name: str
    flag: str
    words: str
    concerns: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Share:
    """One amount is not to be less than a share of another.

    Parameters
    ----------
    name : str
        What is compared.
    part, whole : tuple of str
        Measures whose sums are compared; all are needed.
    also : tuple of str
        Measures that are added to ``part`` where they are known.
    warn, fail : float, optional
        Shares of ``whole`` below which ``part`` is odd, or impossible.
    least : float
        ``whole`` below which nothing is said: small amounts scatter.
    words : str
        Sentence, with ``{part}`` and ``{whole}`` as numbers.
    concerns : tuple of str
        Measures that are flagged.
    unless : tuple of str
        Measures that explain a difference where they failed: then nothing is said.
    """

    name: str
    part: tuple[str, ...]
    whole: tuple[str, ...]
    words: str
    concerns: tuple[str, ...]
    also: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    warn: float | None = None
    fail: float | None = None
    least: float = 0.0

    @property
    def reads(self) -> tuple[str, ...]:
        """Measures that are looked at."""
        return (*self.part, *self.also, *self.whole)

    @property
    def rule(self) -> str:
        """The rule in words."""
        part, whole = (
            ' + '.join(f'`{name}`' for name in names)
            for names in ((*self.part, *self.also), self.whole)
        )
        limits = [
            f'{flag} below {share:g} × {whole}'
            for flag, share in (('warn', self.warn), ('fail', self.fail))
            if share is not None
        ]
        above = f' (checked if that is {self.least:g} or more)' if self.least else ''
        told = ', '.join(f'`{name}`' for name in self.unless)
        return f'{part}: {", ".join(limits)}{above}' + (
            f'; not checked if {told} failed' if told else ''
        )

    def contradiction(self, values: Mapping[str, float | None]) -> Contradiction | None:
        """Compare; None where the amounts agree or one is not known.

        Examples
        --------
        >>> check = Share(name='x', part=('a',), whole=('b',), also=('c',), warn=0.5, fail=0.25,
        ...               least=4, words='{part} mL of {whole} mL.', concerns=('a',))
        >>> found = [check.contradiction({'a': a, 'b': 8}) for a in (5, 3, 1, None)]
        >>> [item and item.flag for item in found]
        [None, 'warn', 'fail', None]
        >>> check.contradiction({'a': 1, 'b': 8, 'c': 2}).words
        '3 mL of 8 mL.'
        """
        known = {name: value for name, value in values.items() if value is not None}
        if not {*self.part, *self.whole} <= known.keys():
            return None
        part = float(sum(known.get(name, 0) for name in (*self.part, *self.also)))
        whole = float(sum(known[name] for name in self.whole))
        if whole < self.least or whole <= 0:
            return None
        flag = next(
            (
                flag
                for flag in ('fail', 'warn')
                if (share := getattr(self, flag)) is not None and part < share * whole
            ),
            None,
        )
        words = self.words.format(part=f'{part:.3g}', whole=f'{whole:.3g}')
        return Contradiction(self.name, flag, words, self.concerns) if flag else None


@dataclass(frozen=True, kw_only=True)
class Apart:
    """The highest of some grades is not to be far from another grade.

    Parameters
    ----------
    name : str
        What is compared.
    highest_of : tuple of str
        Grades; all are needed.
    other : str
        The grade to compare with.
    warn, fail : int
        Differences from which they are odd, or impossible.
    words : str
        Sentence, with ``{highest}`` and ``{other}`` as numbers.
    concerns : tuple of str
        Measures that are flagged.
    unless : tuple of str
        Measures that explain a difference where they failed.
    """

    name: str
    highest_of: tuple[str, ...]
    other: str
    warn: int
    fail: int
    words: str
    concerns: tuple[str, ...]
    unless: tuple[str, ...] = ()

    @property
    def reads(self) -> tuple[str, ...]:
        """Measures that are looked at."""
        return (*self.highest_of, self.other)

    @property
    def rule(self) -> str:
        """The rule in words."""
        grades = ', '.join(f'`{name}`' for name in self.highest_of)
        return (
            f'highest of {grades} and `{self.other}`: warn where {self.warn} apart, '
            f'fail where {self.fail}'
        )

    def contradiction(self, values: Mapping[str, float | None]) -> Contradiction | None:
        """Compare; None where the grades agree or one is not known.

        Examples
        --------
        >>> check = Apart(name='x', highest_of=('a', 'b'), other='c', warn=2, fail=3,
        ...               words='{highest}, not {other}.', concerns=('a',))
        >>> check.contradiction({'a': 0, 'b': 1, 'c': 3}).flag
        'warn'
        """
        found = [values.get(name) for name in self.reads]
        if any(value is None for value in found):
            return None
        highest, other = max(found[:-1]), found[-1]
        difference = abs(highest - other)
        if difference < self.warn:
            return None
        words = self.words.format(highest=f'{highest:g}', other=f'{other:g}')
        flag = 'fail' if difference >= self.fail else 'warn'
        return Contradiction(self.name, flag, words, self.concerns)


_WMH = ('wmh_total_ml',)
_ELSEWHERE = ('wmh_deepgrey_ml', 'wmh_infratentorial_ml', 'wmh_infarct_ml')
_ZONES = ('wmh_jv_ml', 'wmh_pv_ml', 'wmh_dw_ml', 'wmh_jc_ml')

#: Whether T1w and FLAIR show the same.
_TOGETHER = ('qc_flair_t1w_edges', 'qc_flair_mask_dice')

#: What has to agree, the most serious first.
CHECKS: tuple[Share | Apart, ...] = (
    Share(
        name='preliminary and final hyperintensities',
        part=_WMH,
        also=_ELSEWHERE,
        whole=('qc_filled_ml',),
        warn=0.5,
        fail=0.33,
        least=5,
        words='The preliminary step found {whole} mL of hyperintensities on the FLAIR, but '
        'the mask has only {part} mL.',
        concerns=_WMH,
    ),
    Share(
        name='brightness of the FLAIR and hyperintensities',
        part=_WMH,
        also=_ELSEWHERE,
        whole=('qc_flair_bright_ml',),
        warn=0.5,
        fail=0.33,
        least=5,
        words='Deep in the brain, {whole} mL are brighter than normal tissue on the FLAIR, '
        'but the mask of hyperintensities has only {part} mL.',
        concerns=_WMH,
    ),
    Share(
        name='final and preliminary hyperintensities',
        part=('qc_filled_ml',),
        whole=_WMH,
        warn=0.08,
        least=10,
        words='The mask of hyperintensities has {whole} mL, but the preliminary step found '
        'only {part} mL on the FLAIR: the mask may include cortex or healthy white '
        'matter.',
        concerns=_WMH,
    ),
    Share(
        name='dark fluid of the FLAIR and ventricles',
        part=('lv_ml',),
        whole=('qc_flair_dark_ml',),
        warn=0.5,
        fail=0.33,
        least=8,
        words='The FLAIR shows {whole} mL of fluid in the middle of the brain, but the '
        'lateral ventricles have only {part} mL.',
        concerns=('lv_ml',),
        unless=_TOGETHER,
    ),
    Share(
        name='ventricles and dark fluid of the FLAIR',
        part=('qc_flair_dark_ml',),
        whole=('lv_ml',),
        warn=0.4,
        fail=0.2,
        least=15,
        words='The lateral ventricles have {whole} mL, but the FLAIR shows only {part} mL of '
        'fluid in the middle of the brain.',
        concerns=('lv_ml',),
        unless=_TOGETHER,
    ),
    Share(
        name='ventricles and cerebrospinal fluid',
        part=('csf_ml',),
        whole=('lv_ml',),
        warn=1.2,
        fail=1.0,
        least=5,
        words='The lateral ventricles have {whole} mL, but all cerebrospinal fluid together '
        'has only {part} mL.',
        concerns=('lv_ml', 'csf_ml', 'bpf'),
    ),
    Share(
        name='ventricles and Evans index',
        part=('lv_ml',),
        whole=('evans',),
        warn=25,
        fail=12,
        least=0.15,
        words='The Evans index is {whole}, but the lateral ventricles have {part} mL.',
        concerns=('lv_ml', 'evans'),
    ),
    Share(
        name='intracranial volume and that of the template',
        part=('icv_ml',),
        whole=('icv_template_ml',),
        warn=0.88,
        fail=0.75,
        words='The brain mask has {part} mL, but the template suggests {whole} mL.',
        concerns=('icv_ml',),
    ),
    Share(
        name='intracranial volume of the template and by the mask',
        part=('icv_template_ml',),
        whole=('icv_ml',),
        warn=0.88,
        fail=0.75,
        words='The brain mask has {whole} mL, but the template suggests {part} mL.',
        concerns=('icv_ml',),
    ),
    Share(
        name='tissues and intracranial volume',
        part=('gm_ml', 'wm_ml', 'csf_ml'),
        whole=('icv_ml',),
        warn=0.95,
        fail=0.9,
        words='Grey matter, white matter and fluid sum to {part} mL, but the intracranial '
        'volume is {whole} mL.',
        concerns=('gm_ml', 'wm_ml', 'csf_ml', 'bpf'),
    ),
    Share(
        name='white matter and hyperintensities',
        part=('wm_ml',),
        whole=_WMH,
        warn=4,
        fail=2,
        least=10,
        words='Hyperintensities have {whole} mL, but all white matter has only {part} mL.',
        concerns=_WMH,
    ),
    Share(
        name='hyperintensities beside the brainstem and cerebellum',
        part=_WMH,
        whole=('wmh_infratentorial_ml',),
        warn=1.0,
        fail=0.5,
        least=2,
        words='Brainstem and cerebellum have {whole} mL of hyperintensities, but the white '
        'matter of the hemispheres has only {part} mL.',
        concerns=_WMH,
    ),
    Share(
        name='hyperintensities beside deep grey matter',
        part=_WMH,
        whole=('wmh_deepgrey_ml',),
        warn=1.0,
        fail=0.5,
        least=2,
        words='Deep grey matter has {whole} mL of hyperintensities, but white matter has only '
        '{part} mL.',
        concerns=_WMH,
    ),
    Share(
        name='hyperintensities away from the cortex',
        part=_ZONES[:3],
        whole=_WMH,
        warn=0.25,
        fail=0.1,
        least=3,
        words='Of {whole} mL of hyperintensities, all but {part} mL are juxtacortical: the '
        'ventricles or the cortex were probably not found.',
        concerns=(
            'wmh_jv_ml',
            'wmh_pv_ml',
            'wmh_dw_ml',
            'wmh_jc_ml',
            'fazekas_pv',
            'fazekas_deep',
            'fazekas_total',
        ),
    ),
    Share(
        name='zones and all hyperintensities',
        part=_ZONES,
        whole=_WMH,
        warn=0.97,
        fail=0.9,
        least=1,
        words='The four zones sum to {part} mL, but there are {whole} mL of hyperintensities.',
        concerns=_ZONES,
    ),
    Share(
        name='hyperintensities of left and right',
        part=('wmh_left_ml',),
        whole=('wmh_right_ml',),
        warn=0.1,
        fail=0.02,
        least=5,
        words='The right hemisphere has {whole} mL of hyperintensities, but the left has only '
        '{part} mL. Possible causes are an infarct, intensity non-uniformity, or '
        'lesions missed on one side.',
        concerns=_WMH,
    ),
    Share(
        name='hyperintensities of right and left',
        part=('wmh_right_ml',),
        whole=('wmh_left_ml',),
        warn=0.1,
        fail=0.02,
        least=5,
        words='The left hemisphere has {whole} mL of hyperintensities, but the right has only '
        '{part} mL. Possible causes are an infarct, intensity non-uniformity, or '
        'lesions missed on one side.',
        concerns=_WMH,
    ),
    Apart(
        name='Fazekas grades and volume',
        highest_of=('fazekas_pv', 'fazekas_deep'),
        other='fazekas_by_volume',
        warn=2,
        fail=3,
        words='The higher Fazekas grade is {highest}, but the volume suggests {other}.',
        concerns=('fazekas_pv', 'fazekas_deep', 'fazekas_total'),
    ),
    Share(
        name='diffusivity of hyperintensities and white matter',
        part=('md_wmh',),
        whole=('md_nawm',),
        warn=0.98,
        fail=0.85,
        words='Mean diffusivity is {part} in hyperintensities and {whole} in normal-appearing '
        'white matter (1e-3 mm²/s): the diffusion images and the hyperintensities may '
        'not be aligned.',
        concerns=('md_wmh', 'fa_wmh'),
    ),
)


def contradictions(
    values: Mapping[str, float | None],
    checks: Iterable[Share | Apart] = CHECKS,
    *,
    failed: Collection[str] = (),
) -> list[Contradiction]:
    """Hold the measures of a visit against each other.

    Parameters
    ----------
    values : mapping of str to float
        Measures by name; None, or nothing, for what is not known.
    checks : iterable of Share or Apart
        What has to agree.
    failed : collection of str
        Measures that failed by themselves.

    Returns
    -------
    list of Contradiction
        Failures first.

    Examples
    --------
    >>> [found.flag for found in contradictions({'wmh_total_ml': 0.0, 'qc_filled_ml': 60.0})]
    ['fail']
    >>> contradictions({})
    []

    """
    found = [
        item
        for check in checks
        if not set(check.unless) & set(failed) and (item := check.contradiction(values))
    ]
    return sorted(found, key=lambda item: item.flag != 'fail')


def checks_table(checks: Iterable[Share | Apart] = CHECKS) -> str:
    """Write the table in Markdown, as the docs have it."""
    rows = ['| check | rule | flags |', '|---|---|---|']
    rows += [
        f'| {check.name} | {check.rule} | {", ".join(f"`{n}`" for n in check.concerns)} |'
        for check in checks
    ]
    return '\n'.join(rows)
