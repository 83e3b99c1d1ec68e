"""T1w, FLAIR and T2w, and the truth of the structural markers."""
