"""The vocabulary of the application: declarations, plans, settings, errors. Standard library only."""
