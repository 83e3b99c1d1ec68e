"""What each column of the tables means, and its unit."""

from __future__ import annotations

__all__ = ['TABLES']

_VISIT = {
    'participant_id': ('Participant.', None),
    'session_id': ('Session; n/a in a dataset without sessions.', None),
}
_LABEL = {
    'label': ('Kind of lesion or tissue.', None),
    'space': ('Image in whose grid the masks lie.', None),
}
_REASON = {'reason': ('Why values are missing.', None)}
_STATISTICS = {
    'measure': ('Name of the measure, as in the tables that were compared.', None),
    'units': ('Unit of the measure.', None),
    'scale': ('continuous, or ordinal for grades.', None),
    'n': ('Pairs of a true and a found value.', None),
    'mean_truth': ('Mean of the true values.', 'as units'),
    'mean_found': ('Mean of the found values.', 'as units'),
    'bias': ('Mean of found less true.', 'as units'),
    'bias_low': ('Lower limit of the 95 % confidence interval of the bias.', 'as units'),
    'bias_high': ('Upper limit of the 95 % confidence interval of the bias.', 'as units'),
    'bias_pct': ('Bias in percent of the mean of the truth.', '%'),
    'sd': ('Standard deviation of found less true.', 'as units'),
    'loa_low': ('Lower 95 % limit of agreement: bias less 1.96 SD.', 'as units'),
    'loa_low_low': ('Lower limit of the 95 % confidence interval of loa_low.', 'as units'),
    'loa_low_high': ('Upper limit of the 95 % confidence interval of loa_low.', 'as units'),
    'loa_high': ('Upper 95 % limit of agreement: bias plus 1.96 SD.', 'as units'),
    'loa_high_low': ('Lower limit of the 95 % confidence interval of loa_high.', 'as units'),
    'loa_high_high': ('Upper limit of the 95 % confidence interval of loa_high.', 'as units'),
    'slope': ('Slope of found on true values, least squares.', '1'),
    'intercept': ('Intercept of found on true values.', 'as units'),
    'r': ('Correlation of Pearson.', '1'),
    'icc': ('Intraclass correlation, absolute agreement, single values: ICC(A,1).', '1'),
    'icc_low': ('Lower limit of the 95 % confidence interval of the ICC.', '1'),
    'icc_high': ('Upper limit of the 95 % confidence interval of the ICC.', '1'),
}
_ORDINAL = {
    'exact_pct': ('Grades that are equal; ordinal measures only.', '%'),
    'kappa': ('Kappa of Cohen, quadratic weights; ordinal measures only.', '1'),
}

#: Description and unit by column, by table.
TABLES: dict[str, dict[str, tuple[str, str | None]]] = {
    'masks': {
        **_VISIT,
        **_LABEL,
        'dice': ('Dice coefficient of the voxels; best 1.', '1'),
        'hd95': ('95th percentile Hausdorff distance; not made for tissues.', 'mm'),
        'avd': ('Absolute difference of the volumes in percent of the true one.', '%'),
        'recall': ('Share of the true lesions that the mask touches; lesions only.', '1'),
        'f1': ('Harmonic mean of precision and recall; lesions only.', '1'),
        'precision': ('Share of the found lesions that touch a true one; lesions only.', '1'),
        'truth_ml': ("Volume of the truth's mask.", 'mL'),
        'found_ml': ("Volume of the app's mask.", 'mL'),
        'n_truth': ('Number of true lesions, 26-connected; lesions only.', None),
        'n_found': ('Number of found lesions, 26-connected; lesions only.', None),
        'n_detected': ('Number of true lesions that the mask touches; lesions only.', None),
        'n_hits': ('Number of found lesions that touch a true one; lesions only.', None),
        'file': ('File of the app that was compared.', None),
        **_REASON,
    },
    'mask_summary': {
        **_LABEL,
        'measure': (
            'Column of masks, or volume_slope: found on true volumes, through the origin.',
            None,
        ),
        'n': ('Visits with a value.', None),
        'mean': ('Mean over visits; of volume_slope the slope.', None),
        'median': ('Median over visits.', None),
        'low': ('Least of the visits.', None),
        'high': ('Largest of the visits.', None),
        **_REASON,
    },
    'detection': {
        'label': _LABEL['label'],
        'size': (
            'Diameter of the true lesions. What is about false positives is n/a but for all.',
            None,
        ),
        'n_scans': ('Visits that could be compared.', None),
        'n_true': ('Number of true lesions.', None),
        'n_found': ('Number of candidates that the app reports.', None),
        'tp': ('True lesions found, each counted once.', None),
        'fn': ('True lesions missed.', None),
        'fp': ('Candidates on no true lesion.', None),
        'n_repeats': ('Further candidates on a lesion, neither hit nor false positive.', None),
        'n_distractors': ('Number of things in the truth that only look like such lesions.', None),
        'fp_on_distractors': ('False positives on such things.', None),
        'sensitivity': ('tp / n_true.', '1'),
        'precision': ('tp / (tp + fp).', '1'),
        'f1': ('2 tp / (2 tp + fp + fn).', '1'),
        'fp_per_scan': ('False positives per visit.', None),
        **{
            f'sensitivity_at_{limit}_fp': (
                f'Largest sensitivity with at most {limit} false positives per visit.',
                '1',
            )
            for limit in (1, 2, 5, 10)
        },
        'matched_by': ('overlap of masks, or distance of at most max(diameter / 2, 2 mm).', None),
        **_REASON,
    },
    'limits': {
        'label': _LABEL['label'],
        'group': ('all; place, as the truth names it; contrast: thirds of its size.', None),
        'level': ('Place, or range of the contrast (signal over white matter, less 1).', None),
        'n_scans': ('Visits with such lesions.', None),
        'n_true': ('Number of true lesions.', None),
        'n_found': ('Number of them on which any candidate lies.', None),
        'sensitivity': ('n_found / n_true.', '1'),
        'd50_mm': ('Diameter of which half of the lesions are found: the detection limit.', 'mm'),
        'd50_low': ('Lower limit of its 95 % interval, bootstrap over visits.', 'mm'),
        'd50_high': ('Upper limit of its 95 % interval.', 'mm'),
        'd90_mm': ('Diameter of which nine in ten are found; n/a beyond the largest.', 'mm'),
        'smallest_mm': ('Diameter of the smallest true lesion.', 'mm'),
        'largest_mm': ('Diameter of the largest true lesion.', 'mm'),
        'logit': ('Intercept of the logistic function of the logarithm of the diameter.', None),
        'steepness': ('Its slope.', None),
        'volume_slope': (
            'Slope of found on true volumes of single lesions; what is found is of the nearest.',
            '1',
        ),
        'fp_per_scan': ('Candidates on no true lesion, per visit; for all only.', None),
        **_REASON,
    },
    'lesions': {
        'label': _LABEL['label'],
        'visit': ('Visit.', None),
        'diameter_mm': ('Diameter of the true lesion.', 'mm'),
        'region': ('Where it lies, as the truth says.', None),
        'contrast': ('Signal over that of white matter, less 1, as the truth says.', '1'),
        'found': ('1 if any candidate lies on it, else 0.', None),
        'true_mm3': ('Its volume; n/a without masks on one grid.', 'mm3'),
        'found_mm3': ('Volume found nearest to it, up to 3 mm beyond its border.', 'mm3'),
    },
    'froc': {
        'label': _LABEL['label'],
        'threshold': ('Candidates of at least this confidence count; n/a: all.', None),
        'fp_per_scan': ('False positives per visit.', None),
        'sensitivity': ('Share of the true lesions found.', '1'),
        'tp': ('True lesions found.', None),
        'fp': ('False positives.', None),
    },
    'scalars': {**_STATISTICS, **_ORDINAL, **_REASON},
    'changes': {
        'participant_id': _VISIT['participant_id'],
        'from_session': ('Session from which the change counts.', None),
        'to_session': ('Session to which it counts, the next of the truth.', None),
        'measure': _STATISTICS['measure'],
        'true_change': ('Change of the truth.', 'as units'),
        'found_change': ('Change of what was found.', 'as units'),
        'error': ('Found less true change.', 'as units'),
        **_REASON,
    },
    'change_summary': {**_STATISTICS, **_REASON},
    'groups': {
        'what': ('error: found less true; or Dice of a mask.', None),
        'measure': ('Name of the measure, or of the mask and its grid.', None),
        'units': ('Unit of the measure.', None),
        'by': ('What groups differ in: site, scanner, sex, age.', None),
        'group': ('The group, as the raw dataset tells it.', None),
        'visits': ('Visits with a value.', None),
        'participants': ('Their participants.', None),
        'mean': (
            'Mean of the participants, each the mean of the visits in the group.',
            'as units',
        ),
        'mean_low': ('Lower limit of its 95 % confidence interval.', 'as units'),
        'mean_high': ('Upper limit of its 95 % confidence interval.', 'as units'),
        'sd': ('Standard deviation of the visits.', 'as units'),
        'mean_abs': ('Mean of the magnitudes.', 'as units'),
        'p': (
            'Probability of means so different if groups were alike (permutation, uncorrected).',
            '1',
        ),
        **_REASON,
    },
    'pairs': {
        **_VISIT,
        'measure': _STATISTICS['measure'],
        'truth': ('True value.', 'as units'),
        'found': ('Found value.', 'as units'),
    },
}
