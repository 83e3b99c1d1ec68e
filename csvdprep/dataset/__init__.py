"""Rooms of the dataset: what the tables of all visits tell together."""
