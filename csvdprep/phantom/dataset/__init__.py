"""Whole datasets: participants, sites, presets."""
