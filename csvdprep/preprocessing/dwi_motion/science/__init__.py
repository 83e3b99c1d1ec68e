"""What a volume should look like, on arrays."""
