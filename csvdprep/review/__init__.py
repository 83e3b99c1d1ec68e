"""The reviewing desk: a local page to look at results, and a table of what persons say of them."""
