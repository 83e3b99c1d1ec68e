"""Tables in, a list out."""

from pathlib import Path

import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, traits

from csvdprep.dataset.outliers import ROOM
from csvdprep.dataset.outliers.science import robust_z
from csvdprep.interfaces.group_tables import read_numbers
from csvdprep.interfaces.lists import write_rows
from csvdprep.interfaces.values import write_values


class _InputSpec(TraitedSpec):
    group_measures = File(exists=True, mandatory=True, desc='a row a visit')
    group_covariates = traits.Dict(mandatory=True, desc='rows: site, scanner, ... of each visit')
    group_dictionary = traits.Dict(mandatory=True, desc='measures: what each is')
    by = traits.Str(mandatory=True, desc='site, scanner or all')
    far = traits.Float(mandatory=True, desc='robust z that is listed')
    fewest = traits.Int(mandatory=True, desc='fewest values of a group')


class _OutputSpec(TraitedSpec):
    outliers_list = File(exists=True, desc='list')
    outliers_values = File(exists=True, desc='measures')


class Outliers(SimpleInterface):
    """List the values that lie far from the others."""

    input_spec = _InputSpec
    output_spec = _OutputSpec

    def _run_interface(self, runtime):
        folder, by = Path(runtime.cwd), self.inputs.by
        described = self.inputs.group_dictionary['measures']
        results = [name for name, facts in described.items() if facts['result']]
        who, numbers = read_numbers(self.inputs.group_measures, results)
        rows = self.inputs.group_covariates['rows']
        groups = ['all' if by == 'all' else row[by] for row in rows]
        found = []
        for name, values in numbers.items():
            far = robust_z(values, groups, fewest=self.inputs.fewest)
            with np.errstate(invalid='ignore'):
                found += [
                    (-abs(far[i]), i, name, values[i], far[i])
                    for i in np.flatnonzero(np.abs(far) > self.inputs.far)
                ]
        lines = [
            {
                'participant_id': who[i][0],
                'session_id': who[i][1],
                'measure': name,
                'value': value,
                'units': described[name]['units'],
                'robust_z': z,
                'group': groups[i],
            }
            for _, i, name, value, z in sorted(found)
        ]
        self._results['outliers_list'] = write_rows(
            lines, ROOM.makes['outliers_list'].columns, folder / 'outliers.tsv', digits=6
        )
        self._results['outliers_values'] = write_values(
            folder / 'values.json', {'outliers_n': len(lines)}, ROOM
        )
        return runtime
