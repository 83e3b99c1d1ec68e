"""Blood flow from differences of control and label: arrays in, arrays out."""
