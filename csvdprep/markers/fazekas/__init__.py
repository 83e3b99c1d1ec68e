"""Fazekas grades from the geometry of the hyperintensities."""

from dataclasses import dataclass

from csvdprep.core.options import option
from csvdprep.core.room import Measure, Room

RULES = ('ladis', 'credos')


@dataclass(frozen=True)
class Options:
    """Sizes of the deep grade."""

    rule: str = option(
        'ladis',
        'Size limits of the deep grade: ladis (10 and 20 mm) or credos (10 and 25 mm).',
        choices=RULES,
    )


_PERIVENTRICULAR = {
    '0': 'absent',
    '1': 'caps or pencil-thin lining',
    '2': 'smooth halo',
    '3': 'irregular, into the deep white matter',
}
_DEEP = {'0': 'absent', '1': 'punctate', '2': 'beginning confluence', '3': 'large confluent'}


def _grade(name, description, **more):
    return Measure(
        name=f'fazekas_{name}',
        units='1',
        method='geometry',
        reference='fazekas1987',
        description=description,
        **more,
    )


ROOM = Room(
    name='fazekas',
    title='Fazekas grades',
    marker=True,
    order=12,
    needs=('zones_dseg', 'flair_preproc', 'flair_to_anat', 'ventricles'),
    makes={},
    measures=(
        _grade(
            'pv',
            'Periventricular grade, from the thickness of the hyperintensities on the '
            'wall of the lateral ventricles. Grade 2: at least 5 mm on 3 % of the wall; '
            'grade 3: at least 10 mm on 1.5 %. Caps at the ends of the horns do not count.',
            levels=_PERIVENTRICULAR,
            title='Fazekas grade, periventricular',
            primary=True,
        ),
        _grade(
            'deep',
            'Deep grade, from the largest axial diameter of the deep hyperintensities, '
            'measured where they are at least a third as wide as long.',
            levels=_DEEP,
            title='Fazekas grade, deep',
            primary=True,
        ),
        _grade(
            'total',
            'Sum of the periventricular and the deep Fazekas grade, 0 to 6.',
            title='Fazekas grade, total',
        ),
        _grade(
            'deep_ladis', 'Deep grade with the size limits of LADIS (10 and 20 mm).', table=False
        ),
        _grade(
            'deep_credos', 'Deep grade with the size limits of CREDOS (10 and 25 mm).', table=False
        ),
        _grade(
            'by_volume',
            'Grade that the volume alone suggests; only a check of the other grades.',
            table=False,
        ),
        Measure(
            name='fazekas_volcheck',
            units='',
            method='geometry',
            table=False,
            description='Whether the volume agrees with the higher of the two grades.',
            levels={'ok': 'within one grade', 'warn': 'two grades or more apart'},
        ),
        Measure(
            name='fazekas_pv_ml',
            units='mL',
            method='geometry',
            table=False,
            description='Periventricular hyperintensities behind the grade: lesions that come '
            'within 3 mm (or one slice distance) of the lateral ventricles, up to '
            '13 mm from these.',
        ),
        Measure(
            name='fazekas_deep_ml',
            units='mL',
            method='geometry',
            table=False,
            description='Deep hyperintensities behind the grade: all other lesions, and the '
            'parts that are more than 13 mm from the ventricles.',
        ),
        Measure(
            name='fazekas_wall_pct',
            units='%',
            method='geometry',
            table=False,
            description='Share of the wall of the lateral ventricles with periventricular '
            'hyperintensity.',
        ),
        Measure(
            name='fazekas_wall5_pct',
            units='%',
            method='geometry',
            table=False,
            description='Share of the wall with periventricular hyperintensity at least 5 mm '
            'thick, without the first and last 12 mm of the ventricles.',
        ),
        Measure(
            name='fazekas_wall10_pct',
            units='%',
            method='geometry',
            table=False,
            description='Share of the wall with periventricular hyperintensity at least 10 mm '
            'thick, without the first and last 12 mm of the ventricles.',
        ),
        Measure(
            name='fazekas_thickness_mm',
            units='mm',
            method='geometry',
            table=False,
            description='Thickness, from the wall to the outer border, that the '
            'periventricular hyperintensities reach on 3 % of the wall, without '
            'the first and last 12 mm of the ventricles.',
        ),
        Measure(
            name='fazekas_deep_diameter_mm',
            units='mm',
            method='geometry',
            table=False,
            description='Largest axial diameter of deep lesions, measured where they are at '
            'least a third as wide as long.',
        ),
        Measure(
            name='fazekas_deep_group_mm',
            units='mm',
            method='geometry',
            table=False,
            description='Largest axial diameter of a group of deep foci that touch or are '
            'less than 3 mm apart; 0 if there is no such group.',
        ),
    ),
    version=2,
    build='csvdprep.markers.fazekas.workflow:init_fazekas_wf',
    options=Options,
    methods=(
        'Fazekas grades [@fazekas1987] were derived from the share of the wall of the '
        'lateral ventricles on which hyperintensities are 5 and 10 mm thick, and from the '
        'axial diameter of deep hyperintensities where they are at least a third as wide '
        'as long (size limits: {o.rule}). The grades were checked against the volume.'
    ),
    references=('fazekas1987',),
)
