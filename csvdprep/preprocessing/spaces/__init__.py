"""Images and lesions in the spaces that the user asks for; two rooms a space."""

from dataclasses import dataclass

from csvdprep.core.room import Derivative, Room
from csvdprep.imaging.spaces import SPACE, parse_space, spell_space


@dataclass(frozen=True, kw_only=True)
class SpaceRoom(Room):
    """A room of one output space, which it knows as `find_space` takes it."""

    spec: str


def rooms_for(specs: tuple[str, ...]) -> tuple[Room, ...]:
    """Declare the rooms of some output spaces.

    Parameters
    ----------
    specs : tuple of str
        ``SPACE[:res-N][:cohort-N]``, as `read_spaces` returns them.

    Returns
    -------
    tuple of Room
        For each space one for the anatomical reference and one for FLAIR and WMH.

    Examples
    --------
    >>> [room.name for room in rooms_for(('MNI152NLin2009aSym:res-2',))]
    ['space_MNI152NLin2009aSymres2', 'space_MNI152NLin2009aSymres2_wmh']

    """
    return tuple(room for spec in dict.fromkeys(specs) for room in _rooms(spec))


def _rooms(spec):
    name, resolution, cohort = parse_space(spec)
    spec = spell_space(name, resolution, cohort)
    space = name + (str(cohort) if cohort is not None else '')
    res = None if resolution is None else f'{resolution:02d}'
    tag = space + (f'res{resolution}' if resolution is not None else '')

    grid = {} if res is None else {'Resolution': f'Grid res-{res} of the template {name}.'}

    def placed(suffix, description, metadata=None, **more):
        return Derivative(
            suffix=suffix,
            frame='mni',
            space=space,
            res=res,
            description=description,
            metadata={**grid, **(metadata or {})},
            **more,
        )

    own = (
        {}
        if name == SPACE
        else {
            f'anat_to_{tag}': Derivative(
                suffix='xfm',
                xfm=('{hub}', tag),
                extension='.h5',
                description=f'Resamples the {{hub}} into {space} (ITK composite, LPS mm).',
            )
        }
    )
    way = next(iter(own), 'anat_to_mni')
    yield SpaceRoom(
        spec=spec,
        name=f'space_{tag}',
        title=f'{space}: anatomy',
        needs=('anat_preproc', 'anat_filled', 'brain_mask', 'anat_to_mni'),
        wants=('lesion_guess',),
        makes={
            **own,
            f'anat_in_{tag}': placed(
                '{hub}', f'{{hub}}, intensity-corrected, in {space}.', desc='preproc'
            ),
            f'brain_in_{tag}': placed('mask', f'Brain mask in {space}.', desc='brain'),
        },
        context=('hub',),
        build='csvdprep.preprocessing.spaces.workflow:init_space_wf',
        methods=f'The anatomical reference was resampled into {space}.',
    )
    yield SpaceRoom(
        spec=spec,
        name=f'space_{tag}_wmh',
        title=f'{space}: FLAIR and WMH',
        needs=('flair_preproc', 'flair_to_anat', 'wmh_mask', 'wmh_probseg', way),
        makes={
            f'flair_in_{tag}': placed(
                'FLAIR', f'FLAIR, intensity-corrected, in {space}.', desc='preproc', source='flair'
            ),
            f'wmh_in_{tag}': placed(
                'mask',
                f'White matter hyperintensities in {space}. Reported volumes are measured '
                'on the FLAIR grid, not on this image.',
                label='WMH',
                source='flair',
            ),
            f'wmhprob_in_{tag}': placed(
                'probseg', f'Degree of membership of WMH in {space}.', label='WMH', source='flair'
            ),
        },
        build='csvdprep.preprocessing.spaces.workflow:init_space_wmh_wf',
    )
