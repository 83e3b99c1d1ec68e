"""Distortion by the field, on arrays."""
