"""All visits of an output folder together: tables, states, and pages that show them."""
