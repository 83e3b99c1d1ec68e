"""Shapes and smooth fields."""
