"""Which measure stands on which quality: one table, used by the code and printed in the docs.

A foundation is judged by the flags of some measures. Where it failed, the measures that stand on
it are not given out; where it asks for a look, so do they.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

__all__ = ['GATES', 'GROUPS', 'Gate', 'gates_table', 'groups_table', 'matches']


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
        Measures (patterns with ``*``, or names of :data:`GROUPS`) that are n/a where the
        foundation failed.
    warns : tuple of str
        Measures that ask for a look where the foundation does, or where it failed and
        does not stop them.
    """

    name: str
    judged_by: tuple[str, ...]
    stops: tuple[str, ...] = ()
    warns: tuple[str, ...] = ()


#: Measures that are named together.
GROUPS: dict[str, tuple[str, ...]] = {
    'tissue volumes': (
        'gm_ml',
        'wm_ml',
        'csf_ml',
        'bpf',
        'gm_pct_icv',
        'wm_pct_icv',
        'hippocampus_*',
    ),
    'lateral ventricles': ('lv_ml', 'lv_left_ml', 'lv_right_ml', 'lv_pct_icv', 'qc_lv_asymmetry'),
    'zones and grades': (
        'wmh_jv_*',
        'wmh_pv_*',
        'wmh_pv10_ml',
        'wmh_dw_*',
        'wmh_jc_*',
        'wmh_mean_d_v_mm',
        'wmh_confluent_ml',
        'wmh_zone_ambiguous_ml',
        'fazekas_*',
        'pen_*',
    ),
    'all of hyperintensities': ('wmh_*', 'qc_wmh_*', 'fazekas_*', 'pen_*'),
    'change of hyperintensities': (
        'wmh_growth_*',
        'wmh_shrink_*',
        'wmh_net_*',
        'wmh_stable_ml',
        'wmh_new_*',
        'wmh_vanished_*',
        'wmh_change_beyond_mdc',
        'wmh_change_mdc_ml',
    ),
    'change of volume': ('halfway_t1w_*', 'brain_change_*', 'ventricle_change_*'),
    'change of diffusion': (
        'fa_change_*',
        'md_change_*',
        'fw_change_*',
        '??_before_future_wmh',
        '??_excess_future_penumbra',
    ),
    'incident lesions': (
        '*_new_n_per_year',
        'lacune_new_n',
        'lacune_vanished_n',
        'cmb_new_n',
        'cmb_vanished_n',
        'recent_infarct_new_n',
        'recent_infarct_vanished_n',
    ),
    'load of hyperintensities': ('wmh_total_ml', 'wmh_total_pct_icv', 'wmh_ln_pct_icv'),
    'diffusion of hyperintensities': ('[afmr][adw]_wmh', '[afmr][adw]_wmh_*', 'pen_*'),
    'diffusion of white matter': ('[afmr][adw]_wm', '[afmr][adw]_nawm', 'md_nawm_*'),
    'skeleton': ('psmd_*', 'msmd_1e3'),
    'recent infarcts': ('rssi_*', 'recent_infarct_*'),
    'lacunes': ('lacune_*',),
    'perivascular spaces': ('pvs_*',),
    'deep grey susceptibility': ('qsm_*', 'r2star_*'),
    'blood flow': (
        'cbf_brain',
        'cbf_gm',
        'cbf_dgm',
        'cbf_wm',
        'cbf_nawm',
        'cbf_??_pvc',
        'cbf_gm_wm_ratio',
        'cbf_gm_asymmetry_pct',
        'cbf_?ca_*',
        'cbf_wmh*',
        'cbf_ring_*',
    ),
    'regional blood flow': (
        'cbf_gm*',
        'cbf_dgm',
        'cbf_wm*',
        'cbf_nawm',
        'cbf_?ca_*',
        'cbf_ring_*',
        'cbf_arterial_pct',
        'cbf_snr_*',
        'att_*',
    ),
    'blood flow of hyperintensities': ('cbf_nawm', 'cbf_wmh*', 'cbf_ring_*', 'cbf_snr_wmh'),
    'microbleeds': ('cmb_n', 'cmb_*_n', 'cmb_pattern'),
    'arteries': ('artery_*', 'cow_*', 'lsa_*'),
    'places of arteries': (
        'artery_density_m_per_l',
        'artery_*_left_*',
        'artery_*_right_*',
        'cow_*',
        'lsa_*',
    ),
    'DTI-ALPS': ('alps_reo_*', 'alps_pas_*', 'alps_lab_*', 'alps_d??_*'),
    'permeability': ('ps_*', 'vp_*', 'vl_*'),
    'blood volume and transit': ('dsc_cbv_*', 'dsc_cbf_*', 'dsc_mtt_*', 'dsc_tmax_*'),
    'times to peak': ('tdc_*',),
    'leakage in hyperintensities': ('ps_wmh*', 'vp_wmh*', 'vl_wmh*', 'ps_*_wmh_*'),
    'leakage in normal-appearing white matter': (
        'ps_nawm*',
        'vp_nawm*',
        'vl_nawm*',
        'ps_*_nawm_*',
    ),
    'bolus in hyperintensities': ('dsc_*_wmh_*', 'dsc_*_pen_*', 'tdc_wmh_*'),
    'bolus in normal-appearing white matter': ('dsc_*_nawm', 'dsc_*_nawm_s', 'tdc_nawm_*'),
    'all of diffusion': (
        '[afmr][adw]_wm',
        '[afmr][adw]_nawm',
        'md_nawm_*',
        '[afmr][adw]_wmh',
        '[afmr][adw]_wmh_*',
        'pen_*',
        'psmd_*',
        'msmd_1e3',
        'alps_reo_*',
        'alps_pas_*',
        'alps_lab_*',
        'alps_d??_*',
        'alps_fa_*',
        'alps_md_*',
    ),
}
_ANATOMY = (
    'tissue volumes',
    'lateral ventricles',
    'evans',
    'all of hyperintensities',
    'diffusion of hyperintensities',
    'diffusion of white matter',
    'recent infarcts',
    'lacunes',
    'perivascular spaces',
    'deep grey susceptibility',
    'microbleeds',
    'permeability',
    'blood volume and transit',
    'times to peak',
    'regional blood flow',
    'places of arteries',
)

#: Foundations, the deeper ones first: what one of them stops judges none that follows.
GATES = (
    Gate(
        name='brain mask',
        judged_by=('qc_brain_ml', 'icv_ml'),
        stops=('icv_ml', 'icv_template_ml', *_ANATOMY),
        warns=('icv_ml', '*_pct_icv', 'tissue volumes'),
    ),
    Gate(
        name='registration to the template',
        judged_by=('qc_template_dice', 'head_scale'),
        stops=('icv_template_ml', *_ANATOMY),
        warns=(
            'tissue volumes',
            'lateral ventricles',
            'evans',
            'load of hyperintensities',
            'zones and grades',
        ),
    ),
    Gate(
        name='contrast of grey and white matter',
        judged_by=('qc_cnr',),
        stops=('gm_ml', 'wm_ml', 'gm_pct_icv', 'wm_pct_icv', 'hippocampus_*'),
        warns=('tissue volumes',),
    ),
    Gate(
        name='grey and white matter of a FLAIR alone',
        judged_by=('qc_grey_dice',),
        warns=('load of hyperintensities', 'diffusion of white matter'),
    ),
    Gate(
        name='lateral ventricles',
        judged_by=('lv_ml', 'qc_lv_asymmetry'),
        stops=('lv_left_ml', 'lv_right_ml', 'lv_pct_icv', 'evans', 'zones and grades'),
        warns=('evans', 'bpf', 'csf_ml', 'wmh_total_ml', 'zones and grades'),
    ),
    Gate(
        name='FLAIR on T1w',
        judged_by=('qc_flair_t1w_edges', 'qc_flair_mask_dice'),
        stops=(
            'all of hyperintensities',
            'diffusion of hyperintensities',
            'blood flow of hyperintensities',
            'leakage in hyperintensities',
            'bolus in hyperintensities',
        ),
        warns=(
            'load of hyperintensities',
            'zones and grades',
            'diffusion of white matter',
            'leakage in hyperintensities',
            'leakage in normal-appearing white matter',
            'bolus in hyperintensities',
            'bolus in normal-appearing white matter',
        ),
    ),
    Gate(
        name='noise of the FLAIR',
        judged_by=('qc_flair_noise',),
        warns=('load of hyperintensities', 'wmh_n_lesions', 'fazekas_*'),
    ),
    Gate(
        name='coverage of the FLAIR',
        judged_by=('qc_wmh_at_border',),
        warns=('load of hyperintensities',),
    ),
    Gate(
        name='place and brightness of the hyperintensities',
        judged_by=('qc_wmh_cortex_pct', 'qc_wmh_mean_z', 'qc_wmh_side_ratio'),
        warns=('load of hyperintensities', 'wmh_jc_*'),
    ),
    Gate(
        name='registration of the FLAIR of the visits',
        judged_by=('qc_halfway_flair_mm',),
        stops=('change of hyperintensities', 'change of diffusion'),
        warns=('change of hyperintensities', 'change of diffusion'),
    ),
    Gate(
        name='protocol of the FLAIR of the visits',
        judged_by=('qc_halfway_flair_protocol',),
        warns=('change of hyperintensities', 'change of diffusion'),
    ),
    Gate(
        name='registration of the T1w of the visits',
        judged_by=('qc_halfway_t1w_mm',),
        stops=('change of volume',),
        # Of each lesion the error is judged at its place.
        warns=('change of volume', 'incident lesions'),
    ),
    Gate(
        name='protocol of the T1w of the visits',
        judged_by=('qc_halfway_t1w_protocol',),
        warns=('change of volume',),
    ),
    Gate(
        name='agreement of the intracranial volumes of the visits',
        judged_by=('qc_icv_change_pct',),
        stops=('bpf_change_per_year',),
        warns=('bpf_change_per_year',),
    ),
    Gate(
        name='scale of the skull at the visits',
        judged_by=('qc_brain_change_scale_pct',),
        stops=('brain_change_*', 'ventricle_change_*'),
        warns=('brain_change_*', 'ventricle_change_*'),
    ),
    Gate(
        name='coverage of the T1w of the visits',
        judged_by=('qc_brain_change_coverage_pct',),
        stops=('brain_change_*', 'ventricle_change_*'),
        warns=('brain_change_*',),
    ),
    Gate(
        name='contrast of the T1w of the visits',
        judged_by=('qc_brain_change_contrast',),
        stops=('brain_change_*',),
        warns=('brain_change_*', 'ventricle_change_*'),
    ),
    Gate(
        name='agreement of borders and deformation',
        judged_by=('qc_brain_change_gap_pct',),
        warns=('brain_change_*',),
    ),
    Gate(
        name='mask of the hyperintensities',
        judged_by=('wmh_total_ml',),
        stops=(
            'wmh_total_pct_icv',
            'wmh_ln_pct_icv',
            'wmh_volume_cv',
            'wmh_n_lesions',
            'wmh_largest_ml',
            'wmh_left_ml',
            'wmh_right_ml',
            'wmh_*_left_ml',
            'wmh_*_right_ml',
            'zones and grades',
            'diffusion of hyperintensities',
            'blood flow of hyperintensities',
            'leakage in hyperintensities',
            'bolus in hyperintensities',
        ),
        warns=(
            'wmh_total_pct_icv',
            'wmh_ln_pct_icv',
            'wmh_range_*',
            'zones and grades',
            'diffusion of hyperintensities',
            'blood flow of hyperintensities',
            'diffusion of white matter',
            'psmd_nonlesion_1e4',
            'psmd_lesion_pct',
            'leakage in hyperintensities',
            'leakage in normal-appearing white matter',
            'bolus in hyperintensities',
            'bolus in normal-appearing white matter',
        ),
    ),
    Gate(
        name='motion in the diffusion series',
        judged_by=('qc_dwi_fd_mm', 'qc_dwi_motion_max_mm', 'qc_dwi_lost_slices_pct'),
        stops=('all of diffusion',),
        warns=('all of diffusion',),
    ),
    Gate(
        name='noise of the diffusion series',
        judged_by=('qc_dwi_snr_b0',),
        stops=('skeleton',),
        warns=('all of diffusion',),
    ),
    Gate(
        name='fit of the tensor',
        judged_by=('dwi_tensor_b', 'qc_dwi_residual_pct'),
        stops=('all of diffusion',),
        warns=('all of diffusion',),
    ),
    Gate(
        name='gradient table',
        judged_by=('qc_dwi_table',),
        stops=('DTI-ALPS',),
        warns=('DTI-ALPS',),
    ),
    Gate(
        name='diffusion on the anatomy',
        judged_by=('qc_dwi_anat_dice',),
        stops=(
            'diffusion of white matter',
            'diffusion of hyperintensities',
            'psmd_nonlesion_1e4',
            'psmd_lesion_pct',
        ),
        warns=('diffusion of white matter', 'diffusion of hyperintensities'),
    ),
    Gate(
        name='trace image and ADC',
        judged_by=('qc_trace_anat_dice', 'qc_trace_coverage_pct', 'adc_median_1e3', 'trace_b'),
        stops=('recent infarcts',),
        warns=('recent infarcts',),
    ),
    Gate(
        name='T2w on the anatomy',
        judged_by=('qc_t2w_anat_edges', 'qc_t2w_coverage_pct'),
        stops=('lacunes', 'perivascular spaces'),
        warns=('lacunes', 'perivascular spaces'),
    ),
    Gate(
        name='noise of the T1w',
        judged_by=('qc_cavity_noise', 'qc_pvs_total_n'),
        stops=('perivascular spaces',),
        warns=('lacunes', 'perivascular spaces'),
    ),
    Gate(
        name='gradient echo',
        judged_by=('qc_gre_snr', 'qc_gre_anat_dice', 'qc_gre_coverage_pct', 'gre_slice_mm'),
        stops=('deep grey susceptibility', 'microbleeds'),
        warns=('deep grey susceptibility', 'microbleeds'),
    ),
    Gate(
        name='phase of the gradient echo',
        judged_by=(
            'qc_phase_misfit_rad',
            'qc_field_kept_pct',
            'gre_field_noise_ppb',
            'qc_qsm_white_sd_ppm',
        ),
        stops=('qsm_*',),
        warns=('qsm_*',),
    ),
    Gate(
        name='motion and noise of the dynamic series',
        judged_by=('qc_dce_motion_max_mm', 'qc_dce_noise_pct'),
        stops=('permeability',),
        warns=('permeability',),
    ),
    Gate(
        name='volumes of the dynamic series',
        judged_by=('dce_step_s', 'dce_duration_min', 'dce_baseline_n'),
        stops=('permeability',),
        warns=('permeability',),
    ),
    Gate(
        name='dynamic series on the anatomy',
        judged_by=('qc_dce_anat_dice', 'qc_dce_coverage_pct'),
        stops=('permeability',),
        warns=('permeability',),
    ),
    Gate(
        name='T1 before the contrast agent',
        judged_by=('t1_nawm_s',),
        stops=('permeability',),
        warns=('permeability',),
    ),
    Gate(
        name='input function',
        judged_by=('qc_vif_peak_mmol', 'qc_vif_tail_mmol', 'qc_ps_autocorrelation'),
        stops=('permeability',),
        warns=('permeability',),
    ),
    Gate(
        name='motion and noise of the bolus-tracking series',
        judged_by=('qc_dsc_motion_max_mm', 'qc_dsc_noise_pct'),
        stops=('blood volume and transit', 'times to peak'),
        warns=('blood volume and transit', 'times to peak'),
    ),
    Gate(
        name='volumes of the bolus-tracking series',
        judged_by=('dsc_step_s', 'dsc_baseline_n', 'qc_dsc_fall_pct'),
        stops=('blood volume and transit', 'times to peak'),
        warns=('blood volume and transit', 'times to peak'),
    ),
    Gate(
        name='end of the bolus-tracking series',
        judged_by=('dsc_tail_s',),
        stops=('blood volume and transit',),
        warns=('blood volume and transit',),
    ),
    Gate(
        name='bolus-tracking series on the anatomy',
        judged_by=('qc_dsc_anat_dice', 'qc_dsc_coverage_pct'),
        stops=('blood volume and transit', 'times to peak'),
        warns=('blood volume and transit', 'times to peak'),
    ),
    Gate(
        name='artery of the bolus-tracking series',
        judged_by=('qc_dsc_aif_width_s', 'qc_dsc_aif_lead_s', 'qc_dsc_aif_floor'),
        stops=('blood volume and transit', 'times to peak'),
        warns=('blood volume and transit', 'times to peak'),
    ),
    Gate(
        name='delay of the labelling',
        judged_by=('asl_delay_s',),
        stops=('blood flow',),
        warns=('blood flow',),
    ),
    Gate(
        name='ASL series',
        judged_by=('qc_asl_fd_mm', 'qc_asl_label_t', 'qc_asl_control_m0', 'asl_efficiency'),
        stops=('blood flow', 'regional blood flow'),
        warns=('blood flow', 'regional blood flow'),
    ),
    Gate(
        name='map of blood flow',
        judged_by=('qc_cbf_snr', 'qc_cbf_negative_pct', 'qc_cbf_high_pct', 'qc_cbf_qei'),
        stops=('regional blood flow',),
        warns=('blood flow', 'regional blood flow'),
    ),
    Gate(
        name='ASL series on the anatomy',
        judged_by=('qc_asl_anat_dice', 'qc_asl_anat_edges', 'qc_asl_coverage_pct'),
        stops=('regional blood flow',),
        warns=('regional blood flow',),
    ),
    Gate(
        name='quality of the angiogram',
        judged_by=(
            'tof_voxel_mm',
            'qc_tof_snr',
            'qc_tof_slabs_pct',
            'qc_artery_contrast',
            'qc_artery_veins_pct',
        ),
        stops=('arteries',),
        warns=('arteries',),
    ),
    Gate(
        name='angiogram on the anatomy',
        judged_by=('qc_tof_anat_edges',),
        stops=('places of arteries',),
        warns=('places of arteries',),
    ),
    Gate(
        name='extent of the angiogram',
        judged_by=('qc_tof_coverage_pct', 'qc_artery_side_ratio'),
        warns=('artery_*_length_mm', 'artery_*_branches_n', 'artery_length_mm'),
    ),
    Gate(
        name='registration of FA to its template',
        judged_by=('qc_fa_template_r',),
        stops=('skeleton', 'DTI-ALPS'),
        warns=('skeleton', 'DTI-ALPS'),
    ),
    Gate(
        name='coverage of the skeleton',
        judged_by=('qc_psmd_coverage_pct', 'qc_psmd_fluid_pct'),
        stops=('skeleton',),
        warns=('skeleton',),
    ),
    Gate(
        name='regions of DTI-ALPS',
        judged_by=('qc_alps_covered_pct', 'qc_alps_aligned_pct'),
        stops=('DTI-ALPS',),
        warns=('DTI-ALPS',),
    ),
    Gate(
        name='voxels in the small regions of DTI-ALPS',
        judged_by=('qc_alps_voxels_r2p5_left', 'qc_alps_voxels_r2p5_right'),
        warns=('alps_*_r2p5*',),
    ),
    Gate(
        name='voxels in the large regions of DTI-ALPS',
        judged_by=('qc_alps_voxels_r5_left', 'qc_alps_voxels_r5_right'),
        warns=('alps_*_r5*',),
    ),
    Gate(
        name='head in the scanner',
        judged_by=('alps_pitch_deg', 'alps_roll_deg', 'alps_yaw_deg'),
        warns=('alps_lab_*',),
    ),
)


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Tell whether a measure is meant by one of some patterns or names of :data:`GROUPS`.

    Examples
    --------
    >>> matches('wmh_total_ml', ('lv_ml', 'wmh_*')), matches('lv_left_ml', ('lv_ml',))
    (True, False)
    >>> matches('gm_ml', ('tissue volumes',))
    True

    """
    every = [one for pattern in patterns for one in GROUPS.get(pattern, (pattern,))]
    return any(fnmatchcase(name, pattern) for pattern in every)


def gates_table(gates: Iterable[Gate] = GATES) -> str:
    """Write the table in Markdown, as the docs have it.

    Examples
    --------
    >>> print(gates_table([Gate(name='brain mask', judged_by=('a',), stops=('b',))]))
    | foundation | judged by | n/a where it failed | to be checked where it is |
    |---|---|---|---|
    | brain mask | `a` | `b` | – |

    """
    rows = [
        '| foundation | judged by | n/a where it failed | to be checked where it is |',
        '|---|---|---|---|',
    ]
    rows += [
        f'| {g.name} | {_code(g.judged_by)} | {_code(g.stops)} | {_code(g.warns)} |' for g in gates
    ]
    return '\n'.join(rows)


def groups_table() -> str:
    """Write the groups in Markdown, as the docs have them."""
    rows = ['| group | measures |', '|---|---|']
    rows += [f'| {name} | {_code(patterns)} |' for name, patterns in GROUPS.items()]
    return '\n'.join(rows)


def _code(names: Iterable[str]) -> str:
    told = (name if name in GROUPS else f'`{name}`' for name in dict.fromkeys(names))
    return ', '.join(told) or '–'
