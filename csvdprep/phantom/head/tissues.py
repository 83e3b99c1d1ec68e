"""What tissues are made of: relaxation, susceptibility, perfusion, permeability, diffusion.

Relaxation at 3 T is near Stanisz 2005 (doi:10.1002/mrm.20605) and older measurements, chosen
within their spread so that images have the contrast of clinical ones. At 7 T, T1 and T2* of brain
are near Rooney 2007 (doi:10.1002/mrm.21122) and Peters 2007 (doi:10.1016/j.mri.2007.02.014).
Susceptibilities are those of the head phantom of Marques 2021 (doi:10.1002/mrm.28716). Perfusion
and permeability are round values of the range reported for older people. Where a tissue lies
outside the brain its values are plausible only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

#: Ratio of T1, T2 and T2* to their values at 3 T, for tissue; fluids keep theirs.
OTHER_FIELDS = {1.5: (0.72, 1.10, 1.55), 3.0: (1.0, 1.0, 1.0), 7.0: (1.45, 0.68, 0.52)}
#: T1 of blood in s (arterial, as in ASL), by field strength in T.
BLOOD_T1 = {1.5: 1.35, 3.0: 1.65, 7.0: 2.087}


@dataclass(frozen=True, kw_only=True)
class Tissue:
    """Physical properties of a tissue.

    Attributes
    ----------
    t1, t2, t2s : float
        Relaxation times at 3 T, ms.
    pd : float
        Proton density relative to water.
    texture : float
        Relative standard deviation of its signal within the tissue.
    myelin_texture : float
        The same of what differing myelin adds where T1 weights the signal; in a FLAIR
        its effects on T1, T2 and proton density cancel for the most part.
    fat : float
        Share of the signal that comes from fat.
    chi : float
        Susceptibility relative to water, ppm.
    cbf, att : float
        Blood flow, mL/100 g/min, and arrival time of labelled blood, s.
    ps, vp : float
        Permeability surface area product, 1/min, and plasma volume fraction.
    md, fa : float
        Mean diffusivity, mm²/s, and fractional anisotropy of its own water.
    free_water : float
        Share of free water between its cells.
    fluid : bool
        Whether the relaxation times do not depend on the field strength.
    """

    t1: float
    t2: float
    t2s: float
    pd: float
    texture: float = 0.02
    myelin_texture: float = 0.0
    fat: float = 0.0
    chi: float = 0.0
    cbf: float = 0.0
    att: float = 1.2
    ps: float = 0.0
    vp: float = 0.0
    md: float = 0.9e-3
    fa: float = 0.05
    free_water: float = 0.0
    fluid: bool = False

    def relaxation(self, tesla: float = 3.0) -> tuple[float, float, float]:
        """Return T1, T2 and T2* at a field strength, ms.

        Raises
        ------
        ValueError
            If the field strength is none of 1.5, 3 and 7 T.

        Examples
        --------
        >>> [round(time) for time in TISSUES['wm'].relaxation(7)]
        [1262, 48, 28]
        """
        if tesla not in OTHER_FIELDS:
            raise ValueError(f'No relaxation times for {tesla} T, only for 1.5, 3 and 7 T.')
        ratios = (1.0, 1.0, 1.0) if self.fluid else OTHER_FIELDS[tesla]
        return tuple(t * r for t, r in zip((self.t1, self.t2, self.t2s), ratios, strict=True))


_WATER: Mapping = {
    't1': 4300,
    't2': 1200,
    't2s': 800,
    'pd': 1.0,
    'fluid': True,
    'md': 3.0e-3,
    'fa': 0.0,
    'free_water': 1.0,
}

#: What heads and lesions are made of. ``gm`` is cortex; nuclei differ as :data:`NUCLEI` says.
TISSUES: dict[str, Tissue] = {
    'wm': Tissue(
        t1=870,
        t2=70,
        t2s=53,
        pd=0.70,
        texture=0.02,
        chi=-0.030,
        cbf=22,
        att=1.45,
        ps=3e-4,
        vp=0.006,
        md=0.66e-3,
        fa=0.50,
        free_water=0.10,
    ),
    'gm': Tissue(
        t1=1262,
        t2=87,
        t2s=62,
        pd=0.80,
        texture=0.03,
        myelin_texture=0.052,
        chi=0.020,
        cbf=55,
        att=1.05,
        ps=9e-4,
        vp=0.012,
        md=0.78e-3,
        fa=0.12,
        free_water=0.08,
    ),
    'csf': Tissue(**_WATER, texture=0.0, chi=0.019),
    'wmh': Tissue(
        t1=1350,
        t2=119,
        t2s=75,
        pd=0.80,
        texture=0.04,
        chi=-0.005,
        cbf=14,
        att=1.6,
        ps=5e-4,
        vp=0.006,
        md=0.80e-3,
        fa=0.32,
        free_water=0.32,
    ),
    'gliosis': Tissue(
        t1=1500,
        t2=140,
        t2s=90,
        pd=0.84,
        texture=0.04,
        cbf=10,
        att=1.7,
        ps=6e-4,
        vp=0.006,
        md=0.90e-3,
        fa=0.15,
        free_water=0.40,
    ),
    'infarct': Tissue(
        t1=1250,
        t2=125,
        t2s=85,
        pd=0.82,
        texture=0.03,
        cbf=8,
        att=1.8,
        ps=8e-4,
        vp=0.004,
        md=0.52e-3,
        fa=0.25,
        free_water=0.0,
    ),
    'haemosiderin': Tissue(t1=900, t2=25, t2s=6, pd=0.65, chi=1.0, md=0.6e-3),
    'calcium': Tissue(t1=900, t2=30, t2s=15, pd=0.35, chi=-2.0, md=0.6e-3),
    'vein': Tissue(t1=1550, t2=45, t2s=25, pd=0.85, texture=0.0, chi=0.30, vp=0.55, md=2.0e-3),
    'artery': Tissue(t1=1650, t2=150, t2s=50, pd=0.85, texture=0.0, chi=-0.02, vp=0.55, md=2.0e-3),
    'csf_spinal': Tissue(**_WATER, chi=0.019),
    'cord': Tissue(t1=900, t2=75, t2s=50, pd=0.72, chi=-0.03, md=0.8e-3, fa=0.6),
    'vitreous': Tissue(**_WATER),
    'dura': Tissue(t1=1400, t2=40, t2s=25, pd=0.50, texture=0.1, vp=0.03),
    'bone': Tissue(t1=800, t2=5, t2s=1.5, pd=0.10, texture=0.3, chi=-2.1),
    'marrow': Tissue(t1=450, t2=60, t2s=15, pd=0.55, texture=0.2, fat=0.5, chi=-0.6),
    'fat': Tissue(t1=370, t2=120, t2s=45, pd=0.68, texture=0.12, fat=0.95, chi=0.65),
    'muscle': Tissue(
        t1=1400, t2=38, t2s=28, pd=0.75, texture=0.12, cbf=5, vp=0.03, ps=0.03, md=1.5e-3, fa=0.2
    ),
    'skin': Tissue(t1=1000, t2=35, t2s=20, pd=0.60, texture=0.1, vp=0.03, ps=0.03),
}


@dataclass(frozen=True, kw_only=True)
class Nucleus:
    """What distinguishes a grey nucleus from the tissue that the template has there.

    Attributes
    ----------
    chi : float
        Susceptibility, ppm.
    t2s : float
        T2* at 3 T, ms: iron shortens it.
    cbf, ps, vp : float
        As in :class:`Tissue`.
    darker : float
        Factor on T2, as iron shortens it too.
    """

    chi: float
    t2s: float
    cbf: float = 48.0
    ps: float = 6e-4
    vp: float = 0.010
    darker: float = 1.0


#: By the name of the structure, without its side.
NUCLEI: dict[str, Nucleus] = {
    'caudate nucleus': Nucleus(chi=0.044, t2s=48, darker=0.94),
    'putamen': Nucleus(chi=0.038, t2s=45, darker=0.92),
    'pallidum': Nucleus(chi=0.1305, t2s=26, darker=0.78, cbf=40),
    'thalamus': Nucleus(chi=0.020, t2s=52),
    'red nucleus': Nucleus(chi=0.100, t2s=28, darker=0.80),
    'substantia nigra': Nucleus(chi=0.111, t2s=28, darker=0.80),
    'dentate nucleus': Nucleus(chi=0.152, t2s=30, darker=0.80),
}
