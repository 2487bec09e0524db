"""How well each slice of each output is kept: which slices there are, their noise, and which are lost."""
