"""How a scanner sees a head, and where its images go."""
