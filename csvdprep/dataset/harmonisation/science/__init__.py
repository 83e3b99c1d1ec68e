"""ComBat on arrays: fit, keep, apply; written from the papers.

Johnson 2007 (doi:10.1093/biostatistics/kxj037), Fortin 2018
(doi:10.1016/j.neuroimage.2017.11.024), Beer 2020 (doi:10.1016/j.neuroimage.2020.117129),
Pomponio 2020 (doi:10.1016/j.neuroimage.2019.116450), Chen 2022 (doi:10.1002/hbm.25688).
"""

from csvdprep.dataset.harmonisation.science.combat import add_site, apply, fit
from csvdprep.dataset.harmonisation.science.effects import site_effects
from csvdprep.dataset.harmonisation.science.model import Model

__all__ = ['Model', 'add_site', 'apply', 'fit', 'site_effects']
