"""The vocabulary of the application: declarations, plans, settings, errors. Stdlib only."""
