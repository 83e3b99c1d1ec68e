"""Lists and images of visits in, a list of what became of lesions out."""

from pathlib import Path

from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, isdefined, traits

from csvdprep.core.errors import MeasureError
from csvdprep.interfaces.lists import write_rows
from csvdprep.interfaces.values import write_values
from csvdprep.interfaces.visits import visit_pairs, years_between
from csvdprep.longitudinal.incident import KINDS, ROOM
from csvdprep.longitudinal.incident.measures import kind_values, none_of
from csvdprep.longitudinal.incident.rows import SHOWN, row_of, sorted_tracks
from csvdprep.longitudinal.incident.science import Rules, compare
from csvdprep.longitudinal.incident.tiles import save_tiles, tiles_of
from csvdprep.longitudinal.incident.visits import Space, Visits
from csvdprep.science.protocols import protocol_differences

_EACH = tuple(name for name in ROOM.asks if name.startswith('each_'))


class _InputSpec(TraitedSpec):
    measures = traits.Dict(mandatory=True, desc='visits in the order of time')
    protocols = traits.Dict(mandatory=True, desc='how they were scanned')
    halfway_t1w_poses = File(exists=True, desc='where visits with T1w lie')
    halfway_t1w_error = File(exists=True, desc='error of that, mm')
    halfway_flair_poses = File(exists=True, desc='where visits with FLAIR lie')
    halfway_flair_error = File(exists=True, desc='error of that, mm')
    each_flair_to_anat = traits.Dict(desc='transforms of FLAIR onto reference, by visit')
    each_lacune_lesions = traits.Dict(desc='lists of lacunes')
    each_cavity_candidates = traits.Dict(desc='their numbers')
    each_anat_preproc = traits.Dict(desc='references')
    each_brain_mask = traits.Dict(desc='their brains')
    each_cmb_lesions = traits.Dict(desc='lists of microbleeds')
    each_cmb_candidates = traits.Dict(desc='their numbers')
    each_gre_mag = traits.Dict(desc='gradient echoes')
    each_gre_mask = traits.Dict(desc='their brains')
    each_gre_to_anat = traits.Dict(desc='transforms of gradient echoes onto reference')
    each_infarct_lesions = traits.Dict(desc='lists of recent infarcts')
    each_infarct_candidates = traits.Dict(desc='their numbers')
    each_trace_preproc = traits.Dict(desc='trace images')
    each_trace_mask = traits.Dict(desc='their brains')
    each_trace_to_anat = traits.Dict(desc='transforms of trace images onto reference')
    options = traits.Dict(mandatory=True, desc='thresholds')


class _OutputSpec(TraitedSpec):
    incident_list = File(exists=True, desc='list')
    incident_tiles = File(exists=True, desc='slices for the picture')
    incident_values = File(exists=True, desc='measures')


class Incident(SimpleInterface):
    """Match lesions of the visits by place."""

    input_spec = _InputSpec
    output_spec = _OutputSpec

    def _run_interface(self, runtime):
        folder, given = Path(runtime.cwd), self.inputs
        rules = Rules(**given.options)
        self._years = {v['session']: v['years'] for v in given.measures['visits']}
        files = {name.removeprefix('each_'): self._files(name) for name in _EACH}
        spaces = self._spaces(files)
        rows, tiles, values = [], [], {}
        for kind in KINDS:
            visits = Visits(kind, files, spaces, [*self._years])
            if len(visits.sessions) < 2:
                values |= none_of(kind, visits, bool(spaces))
                continue
            found = self._compared(visits, rules, rows, tiles)
            values |= kind_values(kind, visits, found, self._years, self._protocols(visits))
        if all(value.value is None for value in values.values()):
            raise MeasureError(
                'No lesions of two visits could be brought together: '
                + '; '.join(dict.fromkeys(value.reason for value in values.values()))
                + '.'
            )
        for number, row in enumerate(rows, 1):
            row['index'] = number
        self._results['incident_list'] = write_rows(
            rows, ROOM.makes['incident_list'].columns, folder / 'lesions.tsv'
        )
        self._results['incident_tiles'] = save_tiles(tiles, folder / 'tiles.nii.gz')
        self._results['incident_values'] = write_values(folder / 'values.json', values, ROOM)
        return runtime

    def _compared(self, visits, rules, rows, tiles) -> dict:
        """Compare the visits of a kind; return tracks and origins by pair of visits."""
        found, sessions = {}, visits.sessions
        pairs = visit_pairs(len(sessions))
        for number, (one, two) in enumerate(pairs):
            names = sessions[one], sessions[two]
            both = [visits.read(name) for name in names]
            tracks = compare(
                tuple(item.lesions for item in both),
                tuple(item.scan for item in both),
                names,
                rules,
            )
            tracks = sorted_tracks(tracks)
            found[one, two] = tracks, {item.origin for item in both}
            last = number == len(pairs) - 1
            for rank, track in enumerate(tracks):
                row = row_of(track, both, visits.kind, years_between(self._years, *names))
                row['tile'] = len(tiles) if last and rank < SHOWN else None
                rows.append(row)
                if row['tile'] is not None:
                    tiles.append(tiles_of(track, [item.scan for item in both]))
        return found

    def _files(self, name: str) -> dict[str, str]:
        given = getattr(self.inputs, name)
        return dict(given['visits']) if isdefined(given) else {}

    def _spaces(self, files) -> list[Space]:
        given, spaces = self.inputs, []
        for name, to_reference in (('t1w', None), ('flair', files['flair_to_anat'])):
            poses = getattr(given, f'halfway_{name}_poses')
            error = getattr(given, f'halfway_{name}_error')
            if isdefined(poses):
                spaces.append(Space(poses, error if isdefined(error) else None, to_reference))
        return spaces

    def _protocols(self, visits) -> str:
        """Say in what the scans of the visits differ."""
        told = self.inputs.protocols['visits']
        sidecars = {name: told.get(name, {}) for name in visits.sessions}
        found = [
            protocol_differences(sidecars, visits.voxels(), scan) for scan in visits.kind.scans
        ]
        # Voxel sizes are the same whichever scan is meant.
        return '; '.join(
            dict.fromkeys(part for text in found for part in text.split('; ') if part)
        )
