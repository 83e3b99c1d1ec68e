"""Tables in; curves, model, percentiles and deviates out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, isdefined, traits

from csvdprep import __version__
from csvdprep.bids.tsv import write_tsv
from csvdprep.core.errors import MeasureError
from csvdprep.dataset.norms import ROOM
from csvdprep.dataset.norms.decide import suited
from csvdprep.dataset.norms.science import curve, fit_norm, norms_text, scores
from csvdprep.dataset.norms.unseen import without_each_site
from csvdprep.interfaces.group_tables import ages_and_sexes, controls_of, read_numbers
from csvdprep.interfaces.lists import write_rows
from csvdprep.interfaces.values import Value, write_values
from csvdprep.science.small_groups import FEW

#: Share of zeros above which a measure has no percentiles that say anything.
ZEROS = 0.5
_PERCENT = (5, 25, 50, 75, 95)


class _InputSpec(TraitedSpec):
    group_measures = File(exists=True, mandatory=True, desc='a row a visit')
    group_covariates = traits.Dict(mandatory=True, desc='rows: age, sex, group')
    group_dictionary = traits.Dict(mandatory=True, desc='measures: what each is')
    harmonised_table = File(exists=True, desc='measures without effects of sites')
    controls = traits.Str(mandatory=True, desc='words for controls')
    least_n = traits.Int(mandatory=True, desc='fewest controls')
    harmonised = traits.Bool(mandatory=True, desc='take harmonised measures')


class _OutputSpec(TraitedSpec):
    norm_curves = File(exists=True, desc='curves')
    norm_model = File(exists=True, desc='model')
    percentiles = File(exists=True, desc='percentiles')
    norm_scores = File(exists=True, desc='deviates')
    norm_unseen = File(exists=True, desc='calibration at sites left out')
    norms_values = File(exists=True, desc='measures of the dataset')


class Norms(SimpleInterface):
    """Fit norms to the controls, and apply them to all."""

    input_spec = _InputSpec
    output_spec = _OutputSpec

    def _run_interface(self, runtime):
        folder, rows = Path(runtime.cwd), self.inputs.group_covariates['rows']
        described = self.inputs.group_dictionary['measures']
        names = suited(described)
        who, numbers = read_numbers(self.inputs.group_measures, names)
        source = dict.fromkeys(numbers, 'as measured')
        kinds = {'as measured': dict(numbers)}
        table = self.inputs.harmonised_table
        if self.inputs.harmonised and isdefined(table) and table:
            better = read_numbers(table, names)[1]
            numbers |= better
            source |= dict.fromkeys(better, 'harmonised')
            kinds['harmonised'] = better
        ages, sexes = ages_and_sexes(rows)
        mine = controls_of(rows, self.inputs.controls)
        known = np.isfinite(ages) & np.isin(sexes, ['F', 'M'])
        norms = {}
        for name, values in numbers.items():
            used = mine & known & np.isfinite(values)
            some = values[used]
            counted = described[name]['units'] == '1' and np.array_equal(some, some.round())
            if used.sum() < self.inputs.least_n or counted or (some == 0).mean() > ZEROS:
                continue
            try:
                norms[name] = fit_norm(name, some, ages[used], sexes[used] == 'M')
            except MeasureError:
                continue
        if not norms:
            raise MeasureError(
                'No measure has norms.',
                remedy=f'At least {self.inputs.least_n} controls with a value are needed.',
            )
        male = sexes == 'M'
        found = {
            name: scores(norm, np.where(known, numbers[name], np.nan), ages, male)
            for name, norm in norms.items()
        }
        for file, at in (('percentiles', 1), ('zscores', 0)):
            lines = [['participant_id', 'session_id', *norms]]
            columns = [found[name][at] for name in norms]
            lines += [
                [*pair, *(None if np.isnan(c[k]) else float(c[k]) for c in columns)]
                for k, pair in enumerate(who)
            ]
            write_tsv(folder / f'{file}.tsv', lines, digits=4)
        unseen, held = without_each_site(
            {
                kind: {n: v for n, v in some.items() if n in norms and described[n].get('primary')}
                for kind, some in kinds.items()
            },
            ages,
            male,
            mine & known,
            np.array([row['site'] for row in rows]),
            self.inputs.least_n,
        )
        provenance = {
            'software': f'csvdprep {__version__}',
            'controls': int((mine & known).sum()),
            'women': _women(sexes[mine & known]),
            'words for controls': self.inputs.controls,
            'units': {name: described[name]['units'] for name in norms},
            'measures taken': {name: source[name] for name in norms},
            'sites': sorted({r['site'] for r, m in zip(rows, mine, strict=True) if m} - {'n/a'}),
        }
        (folder / 'norms.json').write_text(norms_text(norms, provenance), encoding='utf-8')
        self._results |= {
            'percentiles': str(folder / 'percentiles.tsv'),
            'norm_scores': str(folder / 'zscores.tsv'),
            'norm_model': str(folder / 'norms.json'),
            'norm_curves': write_rows(
                [line for norm in norms.values() for line in _curves(norm, described)],
                ROOM.makes['norm_curves'].columns,
                folder / 'curves.tsv',
            ),
            'norm_unseen': write_rows(
                unseen, ROOM.makes['norm_unseen'].columns, folder / 'unseen.tsv'
            ),
            'norms_values': write_values(
                folder / 'values.json',
                {
                    'norms_controls_n': int((mine & known).sum()),
                    'norms_n': len(norms),
                    'norms_within_90_pct': float(
                        100 * np.median([norm.within_90 for norm in norms.values()])
                    ),
                    'norms_unseen_within_90_pct': held
                    if held is not None
                    else Value(None, reason=_untested(unseen)),
                },
                ROOM,
            ),
        }
        return runtime


def _women(sexes: np.ndarray) -> int | str:
    """Count the women among the controls, unless that tells of few of one sex."""
    counts = [int((sexes == sex).sum()) for sex in 'FM']
    small = any(0 < count < FEW for count in counts)
    return f'not told, as fewer than {FEW} are of one sex' if small else counts[0]


def _untested(unseen) -> str:
    """Say why no site could be left out."""
    whys = {row['reason'] for row in unseen if row['reason']}
    return '; '.join(sorted(whys)) or 'no primary measure has norms of controls of known sites'


def _curves(norm, described):
    """Return the rows of one measure: each sex, every five years."""
    ages = np.arange(5 * np.ceil(norm.low / 5), norm.high + 1e-9, 5.0)
    for sex in norm.sexes:
        male = sex == 'M'
        columns = {f'p{p}': curve(norm, p, ages, male) for p in _PERCENT}
        for at, age in enumerate(ages):
            yield {
                'measure': norm.name,
                'units': described[norm.name]['units'],
                'sex': sex,
                'age': float(age),
                **{key: float(column[at]) for key, column in columns.items()},
                'n': norm.n,
                'power': norm.power,
                'zeros_pct': 100 * norm.zeros,
                'within_90_pct': 100 * norm.within_90,
            }
