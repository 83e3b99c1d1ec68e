"""Regions of series with contrast agent: their names, and what each is, in words."""

TITLES = {
    'nawm': 'normal-appearing white matter',
    'wmh': 'WMH',
    'wmh_jv': 'juxtaventricular WMH',
    'wmh_pv': 'periventricular WMH',
    'wmh_dw': 'deep WMH',
    'wmh_jc': 'juxtacortical WMH',
    'dgm': 'deep grey matter',
    'cgm': 'cortical grey matter',
}
REGIONS = {
    'nawm': 'normal-appearing cerebral white matter, more than 2 mm from hyperintensities',
    'wmh': 'hyperintensities (voxels at least half hyperintense), without fluid',
    'wmh_jv': 'juxtaventricular hyperintensities, without fluid',
    'wmh_pv': 'periventricular hyperintensities, without fluid',
    'wmh_dw': 'deep hyperintensities, without fluid',
    'wmh_jc': 'juxtacortical hyperintensities, without fluid',
    'dgm': 'caudate, putamen, pallidum and thalamus',
    'cgm': 'cerebral cortex (voxels with at least 70 % grey matter)',
    'pen_0to2': 'white matter up to 2 mm from hyperintensities',
    'pen_2to4': 'white matter 2 to 4 mm from hyperintensities',
    'pen_4to6': 'white matter 4 to 6 mm from hyperintensities',
    'pen_6to8': 'white matter 6 to 8 mm from hyperintensities',
}
#: Regions that have all measures, in the table of the visit.
MAIN = ('nawm', 'wmh', 'dgm', 'cgm')
#: Zones in the label image of the room of zones.
ZONES = {'wmh_jv': 1, 'wmh_pv': 2, 'wmh_dw': 3, 'wmh_jc': 4}
#: Distances from hyperintensities, mm.
RINGS = {f'pen_{low}to{low + 2}': (low, low + 2) for low in (0, 2, 4, 6)}
