"""Diffusion-weighted images."""
