"""Lesions of small vessel disease, and the people who have them."""
