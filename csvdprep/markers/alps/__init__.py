"""DTI-ALPS: a ratio of diffusivities beside the lateral ventricles."""

from dataclasses import dataclass

from csvdprep.core.options import option
from csvdprep.core.room import Derivative, Figure, Limits, Measure, Room


@dataclass(frozen=True)
class Options:
    """How tensors are turned."""

    reorientation: str = option(
        'finite strain',
        'How tensors are reoriented: by the rotation of the registration only (finite '
        'strain), or also by its shear (ppd).',
        choices=('finite strain', 'ppd'),
    )


INDICES = {
    'alps_reo_r2p5': 'tensors reoriented to the axes of the template, spheres of 2.5 mm radius',
    'alps_reo_r5': 'tensors reoriented to the axes of the template, spheres of 5 mm radius',
    'alps_reo_r2p5_withwmh': 'as alps_reo_r2p5, but hyperintensities are not excluded',
    'alps_pas_r2p5': 'along the axes of the fibres, spheres of 2.5 mm radius',
    'alps_lab_r2p5': 'along the axes of the scanner, as in older papers; only if the head is '
    'nearly straight; spheres of 2.5 mm radius',
}
TITLES = {
    'alps_reo_r2p5': 'reoriented, 2.5 mm',
    'alps_reo_r5': 'reoriented, 5 mm',
    'alps_reo_r2p5_withwmh': 'reoriented, 2.5 mm, with hyperintensities',
    'alps_pas_r2p5': 'principal axes, 2.5 mm',
    'alps_lab_r2p5': 'scanner axes, 2.5 mm',
}
#: Least voxels that a region should be worth: on the phantom (32 directions, SNR 25, eight places
#: of the grid) the index of one side spreads by up to 2.6 % (SD) above, and by up to 4.5 % below.
LEAST_VOXELS = 4
RANGE = Limits(ok=(0.9, 2.0), warn=(0.6, 2.6))


def _index(name, where, side=''):
    of = {'': 'mean of both sides', '_left': 'left', '_right': 'right'}[side]
    return Measure(
        name=name + side,
        units='1',
        method='native-tensors',
        reference='taoka2017',
        description=f'Diffusivity ratio DTI-ALPS, {of}: {where}. It is not a measure of '
        'glymphatic flow.',
        limits=RANGE,
        table=name in ('alps_reo_r2p5', 'alps_reo_r5', 'alps_pas_r2p5') and not side,
        title=f'DTI-ALPS, {TITLES[name]}' + (f', {of}' if side else ''),
        primary=name == 'alps_reo_r2p5' and not side,
    )


def _diffusivities():
    for bundle, fibres in (('proj', 'projection'), ('assoc', 'association')):
        for axis, way in (('x', 'left to right'), ('y', 'front to back'), ('z', 'up and down')):
            for side in ('', '_left', '_right'):
                yield Measure(
                    name=f'alps_d{axis * 2}_{bundle}{side}',
                    units='1e-3 mm2/s',
                    method='native-tensors',
                    table=False,
                    description=f'Diffusivity {way} in the region of {fibres} '
                    f'fibres{_SIDE[side]}.',
                )
        for name, what, units in (
            ('fa', 'Fractional anisotropy', '1'),
            ('md', 'Mean diffusivity', '1e-3 mm2/s'),
        ):
            for side in ('', '_left', '_right'):
                yield Measure(
                    name=f'alps_{name}_{bundle}{side}',
                    units=units,
                    method='native-tensors',
                    table=False,
                    description=f'{what} of the region of {fibres} fibres{_SIDE[side]}.',
                )


_SIDE = {'': '', '_left': ', left', '_right': ', right'}


def _voxels():
    for radius, mm in (('r2p5', '2.5'), ('r5', '5')):
        for side in ('_left', '_right'):
            yield Measure(
                name=f'qc_alps_voxels_{radius}{side}',
                units='1',
                method='overlap',
                table=False,
                limits=Limits(ok=(LEAST_VOXELS, None)),
                description=f'Number of voxels in the smaller of the two regions of {mm} mm '
                f'radius{_SIDE[side]}: the volume that was measured, divided by '
                'the volume of an acquired voxel if the sidecar gives it '
                '(dwi_interpolation), else of a stored voxel.',
            )


def _angle(name, what, ok):
    return Measure(
        name=f'alps_{name}_deg',
        units='degree',
        method='affine',
        table=False,
        description=f'Angle of the head in the scanner: {what}.',
        limits=Limits(ok=(-ok, ok)),
        qc_id='Q8' if name == 'pitch' else None,
    )


ROOM = Room(
    name='alps',
    title='DTI-ALPS',
    marker=True,
    pooled_t=(1.5, 3.0),
    needs=('dwi_tensor', 'dwi_fa', 'dwi_direction', 'dwi_mask', 'fa_to_dwi'),
    wants=('wmh_mask', 'flair_to_anat', 'dwi_to_anat', 'dwi_denoise_values'),
    reads=('dwi_denoise.dwi_interpolation',),
    makes={
        'alps_regions': Derivative(
            suffix='probseg',
            label='ALPS',
            desc='sphere',
            space='dwi',
            frame='dwi',
            description='Spheres of 2.5 mm radius for DTI-ALPS, as the fraction of each '
            'voxel; volumes: left projection, left association, right projection, '
            'right association fibres.',
        ),
        'alps_kept': Derivative(
            suffix='probseg',
            label='ALPS',
            desc='measured',
            space='dwi',
            frame='dwi',
            description='Voxels that were measured for DTI-ALPS: fibres along the expected '
            'axis, without fluid and hyperintensities; volumes as in desc-sphere.',
        ),
    },
    figures=(
        Figure(
            desc='alps',
            suffix='dwi',
            title='Regions of DTI-ALPS',
            caption='Four spheres on the colour map of fibre directions. Those of the '
            'projection fibres must be in blue, those of the association fibres in '
            'green. Filled areas were measured. The index is a ratio of '
            'diffusivities; it does not show glymphatic flow.',
            build='csvdprep.markers.alps.figures:draw_alps',
            takes=('dwi_fa', 'dwi_direction', 'alps_regions', 'alps_kept'),
            disease=True,
        ),
    ),
    measures=(
        *(
            _index(name, where, side)
            for name, where in INDICES.items()
            for side in ('', '_left', '_right')
        ),
        *_diffusivities(),
        _angle('pitch', 'chin up is positive', 5),
        _angle('roll', 'right ear down is positive', 10),
        _angle('yaw', 'face to the left is positive', 10),
        Measure(
            name='qc_alps_aligned_pct',
            units='%',
            method='alignment',
            qc_id='Q7',
            description='Fraction of the region with fibres along the expected axis and '
            'without fluid and hyperintensities; the lowest of the four regions.',
            limits=Limits(ok=(75, None), warn=(25, None)),
        ),
        Measure(
            name='qc_alps_covered_pct',
            units='%',
            method='alignment',
            table=False,
            description='Fraction of the region within the image and the brain mask; the '
            'lowest of the four regions.',
            limits=Limits(ok=(90, None), warn=(75, None)),
        ),
        *_voxels(),
        Measure(
            name='alps_shift_mm',
            units='mm',
            method='alignment',
            table=False,
            description='Largest distance of a region from its position in the template; '
            'regions are moved to where fibres are aligned.',
        ),
        Measure(
            name='alps_wmh_pct',
            units='%',
            method='overlap',
            table=False,
            description='Hyperintense fraction of the regions; mean of the four.',
        ),
    ),
    version=4,
    resources=('fa_template',),
    build='csvdprep.markers.alps.workflow:init_alps_wf',
    options=Options,
    methods=(
        'The diffusivity ratio DTI-ALPS [@taoka2017] was measured in native voxels. '
        'Regions were transformed from the FA template. Tensors were reoriented by the '
        'local rotation of the registration ({o.reorientation}) [@alexander2001] and '
        'averaged over voxels with fibres along the expected axis.'
    ),
    references=('taoka2017', 'alexander2001'),
)
