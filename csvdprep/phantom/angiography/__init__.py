"""Time-of-flight angiograms."""
