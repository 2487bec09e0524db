"""Progress: bars in a terminal, a bar in a notebook, a function of the caller."""
