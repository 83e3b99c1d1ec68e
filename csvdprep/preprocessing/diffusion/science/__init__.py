"""What is computed, on arrays."""
