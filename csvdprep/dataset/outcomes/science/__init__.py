"""Outcome models: elastic nets in blocks, and how good they are."""
