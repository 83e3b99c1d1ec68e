"""Which measure stands on which quality: one table, used by the code and printed in the docs.

A foundation is judged by the flags of some measures. Where it failed, the measures that stand on
it are not given out; where it asks for a look, so do they.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

__all__ = ['GATES', 'Gate', 'gates_table', 'matches']


@dataclass(frozen=True, kw_only=True)
class Gate:
    """A foundation, what judges it, and what stands on it.

    Parameters
    ----------
    name : str
        The foundation, in words that begin a sentence of the report.
    judged_by : tuple of str
        Measures whose flags judge it; the worst counts. One that is n/a says nothing.
    stops : tuple of str
        Measures (patterns with ``*``) that are n/a where the foundation failed.
    warns : tuple of str
        Measures (patterns) that ask for a look where the foundation does, or where it failed and
        does not stop them.
    """

    name: str
    judged_by: tuple[str, ...]
    stops: tuple[str, ...] = ()
    warns: tuple[str, ...] = ()


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Tell whether a measure is meant by one of the patterns.

    Examples
    --------
    >>> matches('wmh_total_ml', ('lv_ml', 'wmh_*')), matches('lv_left_ml', ('lv_ml',))
    (True, False)

    """
    return any(fnmatchcase(name, pattern) for pattern in patterns)


_TISSUES = ('gm_ml', 'wm_ml', 'csf_ml', 'bpf')
_VENTRICLES = ('lv_ml', 'lv_left_ml', 'lv_right_ml', 'qc_lv_asymmetry')
_ZONES = ('wmh_jv_*', 'wmh_pv_*', 'wmh_pv10_ml', 'wmh_dw_*', 'wmh_jc_*', 'wmh_mean_d_v_mm',
          'wmh_confluent_ml', 'wmh_zone_ambiguous_ml', 'fazekas_*', 'pen_*')  # fmt: skip
#: What is measured of hyperintensities, their mask apart.
_OF_LESIONS = ('wmh_*', 'fazekas_*', 'pen_*', 'qc_wmh_*')
#: Diffusion of hyperintensities, and of white matter without them.
_DIFFUSION_OF_LESIONS = ('??_wmh', '??_wmh_*')
_DIFFUSION_OF_WHITE = ('??_wm', '??_nawm', 'md_nawm_*')
_DIFFUSION_AND_ANATOMY = (*_DIFFUSION_OF_WHITE, *_DIFFUSION_OF_LESIONS, 'pen_*')
_SKELETON = ('psmd_*', 'msmd_1e3')
_ALL_DIFFUSION = (*_DIFFUSION_AND_ANATOMY, *_SKELETON, 'alps_reo_*', 'alps_pas_*', 'alps_lab_*',
                  'alps_d??_*', 'alps_fa_*', 'alps_md_*')  # fmt: skip
_ALPS = ('alps_reo_*', 'alps_pas_*', 'alps_lab_*', 'alps_d??_*')
_ANATOMY = (*_TISSUES, *_VENTRICLES, 'evans', *_OF_LESIONS, *_DIFFUSION_AND_ANATOMY)

#: Foundations, the deeper ones first: what one of them stops judges none that follows.
GATES = (
    Gate(name='brain mask', judged_by=('qc_brain_ml', 'icv_ml'),
         stops=('icv_ml', 'icv_template_ml', *_ANATOMY),
         warns=('icv_ml', '*_pct_icv', *_TISSUES)),
    Gate(name='registration to the template', judged_by=('qc_template_dice', 'head_scale'),
         stops=('icv_template_ml', *_ANATOMY),
         warns=(*_TISSUES, *_VENTRICLES, 'evans', 'wmh_total_ml', *_ZONES)),
    Gate(name='contrast of grey and white matter', judged_by=('qc_cnr',),
         stops=('gm_ml', 'wm_ml'), warns=(*_TISSUES,)),
    Gate(name='lateral ventricles', judged_by=('lv_ml', 'qc_lv_asymmetry'),
         stops=('lv_left_ml', 'lv_right_ml', 'evans', *_ZONES),
         warns=('evans', 'bpf', 'csf_ml', 'wmh_total_ml', *_ZONES)),
    Gate(name='FLAIR on T1w', judged_by=('qc_flair_t1w_edges', 'qc_flair_mask_dice'),
         stops=(*_OF_LESIONS, *_DIFFUSION_OF_LESIONS),
         warns=('wmh_total_ml', 'wmh_total_pct_icv', *_ZONES, *_DIFFUSION_OF_WHITE)),
    Gate(name='noise of the FLAIR', judged_by=('qc_flair_noise',),
         warns=('wmh_total_ml', 'wmh_total_pct_icv', 'wmh_n_lesions', 'fazekas_*')),
    Gate(name='coverage of the FLAIR', judged_by=('qc_wmh_at_border',),
         warns=('wmh_total_ml', 'wmh_total_pct_icv')),
    Gate(name='place and brightness of the hyperintensities',
         judged_by=('qc_wmh_cortex_pct', 'qc_wmh_mean_z', 'qc_wmh_side_ratio'),
         warns=('wmh_total_ml', 'wmh_total_pct_icv', 'wmh_jc_*')),
    Gate(name='mask of the hyperintensities', judged_by=('wmh_total_ml',),
         stops=('wmh_total_pct_icv', 'wmh_ln_pct_icv', 'wmh_n_lesions', 'wmh_largest_ml',
                'wmh_left_ml', 'wmh_right_ml', 'wmh_*_left_ml', 'wmh_*_right_ml',
                'wmh_volume_cv', *_ZONES, *_DIFFUSION_OF_LESIONS),
         warns=_DIFFUSION_OF_WHITE),
    Gate(name='motion in the diffusion series',
         judged_by=('qc_dwi_fd_mm', 'qc_dwi_motion_max_mm', 'qc_dwi_lost_slices_pct'),
         stops=_ALL_DIFFUSION, warns=_ALL_DIFFUSION),
    Gate(name='noise of the diffusion series', judged_by=('qc_dwi_snr_b0',),
         stops=_ALL_DIFFUSION, warns=_ALL_DIFFUSION),
    Gate(name='fit of the tensor', judged_by=('dwi_tensor_b', 'qc_dwi_residual_pct'),
         stops=_ALL_DIFFUSION, warns=_ALL_DIFFUSION),
    Gate(name='gradient table', judged_by=('qc_dwi_table',), stops=_ALPS, warns=_ALPS),
    Gate(name='diffusion on the anatomy', judged_by=('qc_dwi_anat_dice',),
         stops=(*_DIFFUSION_AND_ANATOMY, 'psmd_nonlesion_1e4', 'psmd_lesion_pct'),
         warns=_DIFFUSION_AND_ANATOMY),
    Gate(name='registration of FA to its template', judged_by=('qc_fa_template_r',),
         stops=(*_SKELETON, *_ALPS), warns=(*_SKELETON, *_ALPS)),
    Gate(name='coverage of the skeleton',
         judged_by=('qc_psmd_coverage_pct', 'qc_psmd_fluid_pct'),
         stops=_SKELETON, warns=_SKELETON),
    Gate(name='regions of DTI-ALPS', judged_by=('qc_alps_covered_pct', 'qc_alps_aligned_pct'),
         stops=_ALPS, warns=_ALPS),
)  # fmt: skip


def gates_table(gates: Iterable[Gate] = GATES) -> str:
    """Write the table in Markdown, as the docs have it.

    Examples
    --------
    >>> print(gates_table([Gate(name='brain mask', judged_by=('a',), stops=('b',))]))
    | foundation | judged by | n/a where it failed | to be checked where it is |
    |---|---|---|---|
    | brain mask | `a` | `b` | – |

    """
    rows = ['| foundation | judged by | n/a where it failed | to be checked where it is |',
            '|---|---|---|---|']  # fmt: skip
    rows += [f'| {g.name} | {_code(g.judged_by)} | {_code(g.stops)} | {_code(g.warns)} |'
             for g in gates]  # fmt: skip
    return '\n'.join(rows)


def _code(names: Iterable[str]) -> str:
    return ', '.join(f'`{name}`' for name in dict.fromkeys(names)) or '–'
