"""Noise and ringing of a series, on arrays."""
