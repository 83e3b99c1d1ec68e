"""Lesions of known truth in real scans: any BIDS dataset becomes a phantom of its own protocol.

Geometry comes from files: tissues, ventricles, structures and transforms that csvdprep, or
another tool that writes the same names, made of the same scans. Nothing is taken from code that
measures.
"""
