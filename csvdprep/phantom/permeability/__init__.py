"""T1 mapping and dynamic contrast-enhanced series."""
