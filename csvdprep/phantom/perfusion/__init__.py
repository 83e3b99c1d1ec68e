"""Arterial spin labelling."""
