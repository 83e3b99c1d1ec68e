"""Heads of patients as arrays: what a scan of disease can look like, with its truth.

Where the scenes of :mod:`csvdprep.phantom.dataset` are whole examinations written to files, these
are images of one contrast at a time in memory, made in seconds, so that a measure can be tried
on hundreds of them: loads of 0 to 150 mL, soft borders, linings, bright cortex, flow, noise of 1
to 8 %, slices of 1 to 8 mm with gaps, an atlas that lies some mm beside the truth.
"""
