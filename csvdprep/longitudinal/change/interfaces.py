"""Tables in, a table out."""

from pathlib import Path

from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, traits

from csvdprep.bids.tsv import read_tsv
from csvdprep.interfaces.lists import write_rows
from csvdprep.interfaces.values import Value, write_values
from csvdprep.longitudinal.change import ROOM
from csvdprep.longitudinal.change.science import VisitRows, differences, icv_change_pct, pairs

#: Measures of the visits whose yearly difference is a measure of the participant.
YEARLY = {
    'wmh_change_ml_per_year': 'wmh_total_ml',
    'lv_change_ml_per_year': 'lv_ml',
    'bpf_change_per_year': 'bpf',
    'psmd_change_1e4_per_year': 'psmd_1e4',
}


class _InputSpec(TraitedSpec):
    measures = traits.Dict(mandatory=True, desc='visits: session, years, table')


class _OutputSpec(TraitedSpec):
    change_list = File(exists=True, desc='differences')
    change_values = File(exists=True, desc='measures')


class Change(SimpleInterface):
    """Subtract the measures of visits."""

    input_spec = _InputSpec
    output_spec = _OutputSpec

    def _run_interface(self, runtime):
        folder = Path(runtime.cwd)
        visits = [
            VisitRows(
                item['session'],
                item['years'],
                {row['measure']: row for row in read_tsv(item['table']).rows},
            )
            for item in self.inputs.measures['visits']
        ]
        rows = [row for pair in pairs(visits) for row in differences(*pair)]
        self._results['change_list'] = write_rows(
            rows, ROOM.makes['change_list'].columns, folder / 'change.tsv', digits=6
        )
        ends = {row['measure']: row for row in differences(visits[0], visits[-1])}
        span = visits[-1].years
        values = {
            'visits_n': len(visits),
            'follow_up_years': Value(
                span, reason='' if span is not None else 'no table gives the times of the visits'
            ),
        }
        values |= {name: _yearly(ends.get(of), of) for name, of in YEARLY.items()}
        grown = icv_change_pct(visits[0], visits[-1])
        values['qc_icv_change_pct'] = Value(
            grown, reason='' if grown is not None else 'a visit has no intracranial volume'
        )
        self._results['change_values'] = write_values(folder / 'values.json', values, ROOM)
        return runtime


def _yearly(row, name: str) -> Value:
    """Give the yearly difference of a measure, or say why there is none."""
    if row is None:
        return Value(None, reason=f'no visit has a value of {name}')
    if row['difference'] is None:
        return Value(None, reason=row['reason'])
    if row['per_year'] is None:
        return Value(None, reason='the time between the visits is unknown')
    qc = row['qc'] if row['qc'] in ('warn', 'fail') else ''
    bounds = [None if row[side] is None else row[side] / row['years'] for side in ('low', 'high')]
    return Value(row['per_year'], *bounds, reason=row['reason'] or '', qc=qc)
