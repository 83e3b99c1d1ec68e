"""The datasets of ``csvdprep demo`` and of the tests of the application."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from csvdprep.phantom.dataset.make import make_phantom
from csvdprep.phantom.dataset.presets import get_preset
from csvdprep.phantom.dataset.sites import Site
from csvdprep.phantom.disease.person import Disease, Person, State

#: Scanners without effects of their own: thick slices at one, 3D scans at the other.
SITES = (Site(name='A', protocol='clinical'), Site(name='B', protocol='research'))


def _person(label, seed, age, sex, site, size, states) -> Person:
    return Person(
        label=label,
        seed=seed,
        covariates={'age': age, 'sex': sex, 'site': site},
        size=size,
        states=tuple(State(site=site, **state) for state in states),
    )


#: Two patients with two visits each: load and atrophy grow, one has a new lacune.
PERSONS = (
    _person(
        '01',
        2101,
        71,
        'M',
        'A',
        (0.93, 0.94, 0.93),
        [
            {
                'ventricles_mm': 3.5,
                'atrophy': 0.8,
                'disease': Disease(
                    wmh_ml=14, lacunes=2, microbleeds=(3, 2, 1), pvs=(22, 30), recent_infarcts=1
                ),
            },
            {
                'years': 2,
                'ventricles_mm': 3.8,
                'atrophy': 0.84,
                'disease': Disease(
                    wmh_ml=14,
                    wmh_growth_ml=7,
                    wmh_shrink_ml=1,
                    lacunes=3,
                    microbleeds=(4, 2, 1),
                    pvs=(22, 30),
                ),
            },
        ],
    ),
    _person(
        '02',
        2102,
        66,
        'F',
        'B',
        (0.90, 0.91, 0.91),
        [
            {
                'ventricles_mm': 2,
                'atrophy': 0.5,
                'disease': Disease(wmh_ml=6, lacunes=1, microbleeds=(1, 0, 0), pvs=(12, 18)),
            },
            {
                'years': 2,
                'ventricles_mm': 2.2,
                'atrophy': 0.53,
                'disease': Disease(
                    wmh_ml=6,
                    wmh_growth_ml=3.5,
                    wmh_shrink_ml=0.5,
                    lacunes=1,
                    microbleeds=(1, 1, 0),
                    pvs=(12, 18),
                ),
            },
        ],
    ),
)


def _quick() -> tuple[Person, ...]:
    """Leave out what takes most of the time and shows least that is new.

    The first visit has all scans; the second is there for what changes; the other participant is
    one of another site. Reports of these two say what could not be measured without more scans.
    """
    one, two = PERSONS
    first, second = one.states
    few = ('T1w', 'FLAIR')
    return (
        replace(one, states=(first, replace(second, modalities=few))),
        replace(two, states=(replace(two.states[0], modalities=few),)),
    )


def make_demo(
    out_dir: Path,
    *,
    size: str = 'tiny',
    seed: int = 42,
    progress: Callable[[str], None] | None = None,
) -> Path:
    """Make the demonstration dataset: two participants with two visits, all modalities.

    The tiny one has three visits: all scans, then T1w and FLAIR of the first participant, T1w and
    FLAIR of the second.

    Parameters
    ----------
    out_dir : Path
        Folder of the dataset; made where it does not exist.
    size : {'tiny', 'demo', 'full'}
        Resolution. But for ``tiny``, which has one protocol, the first participant is scanned
        with thick, tilted slices and the second in 3D.
    seed : int
        The same seed gives the same bytes.
    progress : callable, optional
        Told what is being made.

    Returns
    -------
    Path
        ``out_dir``.

    """
    presets = {site.protocol: get_preset(size, site.protocol) for site in SITES}
    return make_phantom(
        Path(out_dir),
        _quick() if size == 'tiny' else PERSONS,
        presets['research'],
        seed=seed,
        sites=SITES,
        presets=presets,
        progress=progress,
    )


def make_tiny(
    out_dir: Path,
    *,
    seed: int = 42,
    visits: int = 1,
    modalities: Iterable[str] = ('T1w', 'FLAIR'),
    progress: Callable[[str], None] | None = None,
) -> Path:
    """Make a dataset of one participant with coarse voxels, for quick tests.

    Parameters
    ----------
    out_dir, seed, progress
        As in :func:`make_demo`.
    visits : int
        Number of visits; 4 mL of hyperintensities are added from one to the next to 10 mL.
    modalities : iterable of str
        Scans to make.

    Returns
    -------
    Path
        ``out_dir``.

    """
    states = [
        {'disease': Disease(wmh_ml=10.0 + 4 * visit), 'years': 2.0 * visit}
        for visit in range(visits)
    ]
    person = _person('01', seed, 70, 'F', '', (0.93, 0.93, 0.93), states)
    return make_phantom(
        Path(out_dir),
        [person],
        get_preset('tiny'),
        seed=seed,
        modalities=modalities,
        progress=progress,
    )
