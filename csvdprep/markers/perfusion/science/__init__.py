"""What a map of blood flow holds, and how good it is: arrays in, arrays out."""
