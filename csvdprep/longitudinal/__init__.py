"""Rooms of the participant level: what several visits of a participant tell together."""
