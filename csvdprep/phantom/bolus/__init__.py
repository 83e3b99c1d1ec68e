"""Dynamic susceptibility contrast: the first pass of a bolus through the brain."""
